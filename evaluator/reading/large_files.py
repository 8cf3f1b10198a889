"""Large files of the plain form, read in C. None means that the careful reader has to read the file, and say what is
wrong with it if anything is."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluator.dataset import Dataset
from evaluator.digests import Digest
from evaluator.native import engine
from evaluator.native.codes import BEFORE, BETWEEN, DONE, FAILED, FULL, MOST_EXTRAS, NUM_KEYPOINTS, PADDING, PERSON
from evaluator.poses import Floats, Integers, Predictions
from evaluator.reading.archives import GZIP_MAGIC, ZIP_MAGICS, unpacked
from evaluator.reading.upload_rules import LARGEST, NO_BENCHMARK, UploadLimits

CHUNK = 1 << 17  # well within the second-level cache
MOST_UNDECIDED = 4096
LEAST_ENTRY = 4  # bytes an entry of K joints has at least, for each joint
SHORT = 1 << 14  # bytes that are tried first after an entry that had to be read carefully
WHITE_SPACE = b" \t\n\r"


def read_large_predictions(
    source: str | Path | bytes,
    dataset: Dataset,
    image_ids: Integers | None,
    limits: UploadLimits = NO_BENCHMARK,
    inflated: list[bytes | bytearray] | None = None,
) -> Predictions | None:
    """The predictions of a file of a multi-person dataset without anything wrong; image_ids ascend.

    inflated: receives the document of an archive, so that the careful reader need not inflate it again.
    """
    inflated = [] if inflated is None else inflated
    if dataset.single_person or dataset.entry != "keypoints" or engine.native() is None:
        return None
    if isinstance(source, bytes):
        if len(source) > limits.size:
            return None
        found = _entries(io.BytesIO(source), len(source), len(dataset.joints), limits, inflated)
        return _predictions(found, image_ids, hashlib.sha256(source).hexdigest()) if found else None
    with Path(source).open("rb", buffering=0) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_size > limits.size:
            return None
        found = _entries(file, status.st_size, len(dataset.joints), limits, inflated)
    return _predictions(found, image_ids, Digest.of(source, status)) if found else None


@dataclass
class _Rows:
    """Room for entries, which grows with their number."""

    images: Integers
    scores: Floats
    keypoints: Floats  # [rows, 3K]

    @classmethod
    def empty(cls, rows: int, numbers: int) -> _Rows:
        return cls(np.empty(rows, dtype=np.int64), np.empty(rows), np.empty((rows, numbers)))

    def grown(self, rows: int, used: int) -> _Rows:
        larger = _Rows.empty(rows, self.keypoints.shape[1])
        larger.images[:used], larger.scores[:used] = self.images[:used], self.scores[:used]
        larger.keypoints[:used] = self.keypoints[:used]
        return larger


def _entries(
    file: io.RawIOBase | io.BytesIO, size: int, joints: int, limits: UploadLimits, inflated: list[bytes | bytearray]
) -> tuple[_Rows, int] | None:
    """All entries of a document, and their number."""
    native = engine.native()
    buffer = np.zeros(CHUNK + PADDING, dtype=np.uint8)
    view = memoryview(buffer)  # type: ignore[arg-type]
    rows = _Rows.empty(CHUNK // (LEAST_ENTRY * joints), 3 * joints)
    undecided = np.empty((MOST_UNDECIDED, 3), dtype=np.int64)
    extras = np.empty((MOST_EXTRAS, 2), dtype=np.int64)
    state, used, rest, bytes_read = BEFORE, 0, 0, 0
    while state != DONE:
        count = file.readinto(view[rest:CHUNK]) or 0
        if not bytes_read and bytes(view[:4]).startswith((GZIP_MAGIC, *ZIP_MAGICS)):
            file.seek(0)
            document = unpacked(file.read() or b"", limits.size)
            inflated.append(document)
            return _entries(io.BytesIO(document), len(document), joints, limits, inflated)
        bytes_read += count
        end = rest + count
        buffer[end : end + PADDING] = 0
        place = 0
        while True:
            before = used
            place, state, used, pending, why = native.entries(
                buffer, place, end, state, used, rows.images, rows.scores, rows.keypoints, undecided, extras
            )
            if pending and not _decide(view, undecided[:pending], rows):
                return None
            if limits.entries is not None and used > limits.entries:
                return None
            if why != FULL:
                break
            if used == len(rows.images):
                # by the bytes per entry so far, and a little more
                expected = int(used * size / (bytes_read - end + place) * 1.02)
                rows = rows.grown(max(expected, used + used // 4) + 64, used)
            elif used == before:
                return None
        if place == 0 and count == 0:
            return None
        if state == DONE:
            break
        if end - place == CHUNK:
            return None  # an entry longer than the buffer
        rest = end - place
        buffer[:rest] = buffer[place:end].copy()
    if bytes(view[place:end]).strip(WHITE_SPACE):
        return None
    while more := file.read(CHUNK):
        if more.strip(WHITE_SPACE):
            return None
        bytes_read += len(more)
    return (rows, used) if bytes_read == size else None


class CleanEntries:
    """Reads entries of a careful reader's document in C, as long as they need no careful reading.

    add: called with the number of the first entry, and the image ids [n], scores [n] and keypoints [n, 3K] of what
    was read; returns whether to go on.
    """

    def __init__(
        self, document: bytes | bytearray, joints: int, add: Callable[[int, Integers, Floats, Floats], bool]
    ) -> None:
        self._document, self._add = document, add
        self._buffer = np.zeros(CHUNK + PADDING, dtype=np.uint8)
        self._rows = _Rows.empty(CHUNK // (LEAST_ENTRY * joints) + 1, 3 * joints)
        self._undecided = np.empty((MOST_UNDECIDED, 3), dtype=np.int64)
        self._extras = np.empty((MOST_EXTRAS, 2), dtype=np.int64)

    def read(self, position: int, number: int) -> tuple[int, int]:
        """From the end of an entry on: (the place after the last entry that was read, their number)."""
        count, size = 0, SHORT
        while True:
            place, used, more = self._part(position, size, number + count)
            position, count, size = position + place, count + used, CHUNK
            if not more:
                return position, count

    def _part(self, position: int, size: int, number: int) -> tuple[int, int, bool]:
        part = self._document[position : position + size]
        rows, end = self._rows, len(part)
        view = memoryview(self._buffer)  # type: ignore[arg-type]
        view[:end] = part
        self._buffer[end : end + PADDING] = 0
        place, state, used, pending, _ = engine.native().entries(
            self._buffer, 0, end, BETWEEN, 0, rows.images, rows.scores, rows.keypoints, self._undecided, self._extras
        )
        if not used or not _decide(view, self._undecided[:pending], rows):
            return 0, 0, False
        more = self._add(number, rows.images[:used], rows.scores[:used], rows.keypoints[:used])
        # at the end of the list the C has gone past the bracket
        return place - (state == DONE), used, more


def _decide(view: memoryview, undecided: Integers, rows: _Rows) -> bool:
    """Reads the numbers that the C could not round, by float(); False when one is out of range."""
    numbers = rows.keypoints.shape[1]
    for target, start, end in undecided.tolist():
        value = float(bytes(view[start:end]))
        if not abs(value) <= LARGEST:
            return False
        if target < 0:
            rows.scores[-1 - target] = value
        else:
            rows.keypoints[target // numbers, target % numbers] = value
    return True


def _predictions(found: tuple[_Rows, int], image_ids: Integers | None, digest: str | Digest) -> Predictions | None:
    rows, used = found
    images = rows.images[:used]
    if image_ids is not None and used:
        if not len(image_ids):
            return None
        places = engine.native().places(image_ids, images)
        if (image_ids[np.minimum(places, len(image_ids) - 1)] != images).any():
            return None
    return Predictions(
        image_ids=images,
        person_ids=np.zeros(used, dtype=np.int64),
        keypoints=rows.keypoints[:used].reshape(used, rows.keypoints.shape[1] // 3, 3),
        scores=rows.scores[:used],
        sha256=digest,
    )


@dataclass(frozen=True, eq=False)
class AnnotationColumns:
    """An annotation file as columns in the order of the file, with the JSON text of what is not numbers."""

    image_ids: Integers  # [I]
    images: bytes  # the text of the list of images
    others: dict[str, bytes]  # the text of the other top-level fields
    ids: Integers  # [P]
    row_images: Integers  # [P]
    num_keypoints: Integers  # [P]
    given: NDArray[np.bool_]  # [P] whether the file has num_keypoints
    crowd: NDArray[np.bool_]  # [P]
    person_ids: Integers | None  # [P]
    areas: Floats  # [P]
    boxes: Floats  # [P, 4]
    keypoints: Floats  # [P, K, 2]
    visibility: NDArray[np.int8]  # [P, K]
    digest: str | Digest


def read_large_annotations(source: str | Path | bytes, dataset: Dataset) -> AnnotationColumns | None:
    """The annotations of a large file, JSON or gzipped JSON, that has the plain form of COCO's own."""
    if dataset.entry != "keypoints" or engine.native() is None:
        return None
    if isinstance(source, bytes):
        return _columns(_padded(source), len(dataset.joints), hashlib.sha256(source).hexdigest())
    with Path(source).open("rb", buffering=0) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            return None
        buffer = np.empty(status.st_size + PADDING, dtype=np.uint8)
        view = memoryview(buffer)  # type: ignore[arg-type]
        size = 0
        while size < status.st_size and (count := file.readinto(view[size : status.st_size])):
            size += count
        if size != status.st_size or file.read(1):
            return None
    if bytes(view[:2]) == GZIP_MAGIC:
        return _columns(_padded(bytes(view[:size])), len(dataset.joints), Digest.of(source, status))
    buffer[size:] = 0
    return _columns(buffer, len(dataset.joints), Digest.of(source, status))


def _padded(content: bytes) -> NDArray[np.uint8] | None:
    """A buffer for the C with the content, inflated if it is gzip data; None when that is damaged."""
    if content.startswith(GZIP_MAGIC):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, ValueError):
            return None
    return np.frombuffer(content + bytes(PADDING), dtype=np.uint8).copy()


def _columns(buffer: NDArray[np.uint8] | None, joints: int, digest: str | Digest) -> AnnotationColumns | None:
    if buffer is None:
        return None
    size = len(buffer) - PADDING
    # Room for the smallest possible objects; what is not used is never touched, and so needs no memory.
    people, images = size // (6 * joints + 30) + 1, size // 8 + 1
    image_ids, whole = np.empty(images, dtype=np.int64), np.empty((people, 5), dtype=np.int64)
    present, areas, boxes = np.empty(people, dtype=np.int64), np.empty(people), np.empty((people, 4))
    points, flags = np.empty((people, joints, 2)), np.empty((people, joints), dtype=np.int8)
    spans = np.empty((16, 4), dtype=np.int64)
    images, rows, fields = engine.native().annotation_file(
        buffer, size, image_ids, whole, present, areas, boxes, points, flags, spans
    )
    if images == FAILED:
        return None
    texts: dict[str, bytes] = {}
    for key, key_end, start, end in spans[:fields].tolist():
        name = buffer[key:key_end].tobytes().decode("ascii")
        if name in texts:
            return None
        texts[name] = buffer[start:end].tobytes() if name != "annotations" else b""
    whole, present = whole[:rows], present[:rows]
    named = (present & PERSON) > 0
    if named.any() and not named.all():
        return None
    return AnnotationColumns(
        image_ids=image_ids[:images].copy(),
        images=texts["images"],
        others={name: text for name, text in texts.items() if name not in ("images", "annotations")},
        ids=whole[:, 0],
        row_images=whole[:, 1],
        num_keypoints=whole[:, 2],
        given=(present & NUM_KEYPOINTS) > 0,
        crowd=whole[:, 3] != 0,
        person_ids=whole[:, 4] if rows and named.all() else None,
        areas=areas[:rows],
        boxes=boxes[:rows],
        keypoints=points[:rows],
        visibility=flags[:rows],
        digest=digest,
    )


class ImageRecords(Sequence[dict[str, Any]]):
    """The records of images in a file that was read in C, parsed when they are first used."""

    def __init__(self, text: bytes, parse: Callable[[bytes], tuple[dict[str, Any], ...]]) -> None:
        self._text: bytes | None = text
        self._parse = parse
        self._records: tuple[dict[str, Any], ...] = ()

    def _parsed(self) -> tuple[dict[str, Any], ...]:
        if self._text is not None:
            self._records, self._text = self._parse(self._text), None
        return self._records

    def __len__(self) -> int:
        return len(self._parsed())

    def __getitem__(self, index: Any) -> Any:
        return self._parsed()[index]
