"""Reads and checks an upload: every rule of the predictions format, and the first hundred problems at once.

Messages depend only on the upload and on public definitions (dataset, image list), never on annotations.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluator.dataset import Dataset, in_words
from evaluator.distances import limbs_of
from evaluator.errors import MOST_COUNTED
from evaluator.native import engine
from evaluator.poses import Floats, Integers, Predictions
from evaluator.reading import keypoints_3d, uv
from evaluator.reading.annotations import digest
from evaluator.reading.archives import read_upload, reject, unpacked
from evaluator.reading.arrays import predictions_from_arrays
from evaluator.reading.entries import NUMBERS, EntryReader, Ids, out_of_range
from evaluator.reading.image_list import PublicImages
from evaluator.reading.json_documents import Problems, entries, plain
from evaluator.reading.keypoints_3d import Keypoints3dReader
from evaluator.reading.large_files import CleanEntries, read_large_predictions
from evaluator.reading.upload_rules import (
    LIST,
    NO_BENCHMARK,
    SCORE,
    NonFinite,
    UploadLimits,
    keypoint_names,
    limb_names,
    limits_of,
)
from evaluator.reading.uv import UvReader

Source = str | Path | bytes | list[Any] | dict[str, Any] | NDArray[Any] | Predictions


@dataclass(frozen=True)
class Checked:
    """What a valid upload holds, before any scoring."""

    entries: int
    images_covered: int
    images_total: int | None  # None without an image list
    most_detections: int  # in one image
    mean_detections: float  # per image that has any


def read_predictions(
    source: Source, dataset: Dataset, images: PublicImages | None = None, *, limits: UploadLimits = NO_BENCHMARK
) -> Predictions:
    """The predictions of a path or a file's bytes (JSON, gzip, zip), of a list of entries, or of arrays.

    A plain array, on single-person datasets, has a row for each of the images 1, 2, ...
    Raises PredictionError; reading stops where there are too many problems to count. Ids are checked when `images` is
    given; `limits` is how much a file may hold. Rows have the order of the file.
    """
    problems = Problems()
    if isinstance(source, np.ndarray):
        if not dataset.single_person:
            reject("wrong_type", "an array does not say which image each row is on", "entries, or Predictions with ids")
        source = predictions_from_arrays(source)
    if isinstance(source, Predictions):
        _check_arrays(source, dataset, images, problems).raise_any()
        return source
    if not isinstance(source, list | dict):
        known = None if images is None else np.array(sorted(images.people), dtype=np.int64)
        inflated: list[bytes | bytearray] = []
        clean = read_large_predictions(source, dataset, known, limits, inflated)
        if clean is not None:
            return clean
    reader = READERS[dataset.entry](dataset, images, problems)
    reader.most_pixels = limits.pixels
    if isinstance(source, list | dict):
        sha256 = ""
        found: Iterable[tuple[int, Any]] = _in_memory(source)
    else:
        content = read_upload(source, limits.size)
        sha256 = hashlib.sha256(content).hexdigest()
        document = inflated[0] if inflated else unpacked(content, limits.size)
        read_clean = clean_entries(document, reader) if isinstance(reader, KeypointsReader) else None
        found = entries(document, problems, limits=limits, read_clean=read_clean)
        del content
    for number, entry in found:
        reader.read(number, entry)
        if problems.full:
            break
    predictions, wrong = reader.finished(sha256)
    problems.merged(wrong).raise_any()
    return replace(predictions, sha256=digest(source)) if isinstance(source, list) else predictions


def check_upload(source: Source, dataset: Dataset, images: PublicImages | None = None) -> Checked:
    """Reads and checks without scoring; raises PredictionError. An image list says how much the file may hold, too."""
    limits = NO_BENCHMARK if images is None else limits_of(dataset, images)
    predictions = read_predictions(source, dataset, images, limits=limits)
    _, counts = np.unique(predictions.image_ids, return_counts=True)
    return Checked(
        entries=len(predictions.image_ids),
        images_covered=len(counts),
        images_total=None if images is None else len(images.people),
        most_detections=int(counts.max(initial=0)),
        mean_detections=float(counts.mean()) if len(counts) else 0.0,
    )


def _in_memory(source: list[Any] | dict[str, Any]) -> Iterable[tuple[int, Any]]:
    if isinstance(source, dict):
        reject("not_a_list", "the predictions are an object", LIST)
    for number, entry in enumerate(source):
        whole = {key: plain(value) for key, value in entry.items()} if isinstance(entry, Mapping) else entry
        yield number, whole


class KeypointsReader(EntryReader):
    """Entries with `keypoints`, and with `limbs` where the dataset has them."""

    def __init__(self, dataset: Dataset, images: PublicImages | None, problems: Problems) -> None:
        self.keys = frozenset({"keypoints", "limbs"} if dataset.limbs else {"keypoints"})
        super().__init__(dataset, images, problems)
        self.names = keypoint_names(dataset)
        self.count = 3 * len(dataset.joints)
        self.limb_names = limb_names(dataset)
        self.points = array("d")
        self.given_limbs: dict[int, list[float]] = {}  # row -> numbers
        self.known = None if images is None else np.array(sorted(images.people), dtype=np.int64)

    def payload(self, number: int, entry: dict[str, Any]) -> tuple[list[float], list[float] | None] | None:
        keypoints = self._keypoints(number, entry)
        limbs = self._limbs(number, entry) if self.limb_names and "limbs" in entry else None
        return None if keypoints is None else (keypoints, limbs)

    def add(self, number: int, payload: tuple[list[float], list[float] | None]) -> bool:
        keypoints, limbs = payload
        if not self.extend(number, "keypoints", self.points, keypoints):
            return False
        self.in_range(number, self.names, keypoints)
        if limbs is not None:
            self.given_limbs[len(self.entries)] = limbs
        return True

    def add_clean(self, number: int, image_ids: Integers, scores: Floats, keypoints: Floats) -> bool:
        """Adds entries that the C has read, from this number on: keypoints [n, 3K], all numbers in range.

        Returns whether more of them are wanted.
        """
        if self.known is not None:
            known = np.isin(image_ids, self.known)
            for row in np.flatnonzero(~known)[:MOST_COUNTED].tolist():
                self.ids.check(number + row, int(image_ids[row]), None)
        if self.problems.total:
            return not self.problems.full
        self.entries.extend(range(number, number + len(scores)))
        self.images.frombytes(image_ids.tobytes())
        self.people.frombytes(bytes(8 * len(scores)))
        self.scores.frombytes(scores.tobytes())
        self.points.frombytes(keypoints.tobytes())
        return True

    def finished(self, sha256: str) -> tuple[Predictions, Problems]:
        keypoints = np.array(self.points, dtype=np.float64).reshape(-1, len(self.dataset.joints), 3)
        limbs = None
        if self.given_limbs:
            limbs = limbs_of(keypoints, self.dataset)
            for row, numbers in self.given_limbs.items():
                limbs[row] = np.array(numbers, dtype=np.float64).reshape(-1, 2, 2)
        image_ids, person_ids, scores = self.columns()
        return Predictions(image_ids, person_ids, keypoints, scores, limbs, sha256=sha256), Problems()

    def _keypoints(self, number: int, entry: dict[str, Any]) -> list[float] | None:
        keypoints = self.numbers(number, entry, "keypoints", self.count)
        if keypoints is None or set(map(type, keypoints)) <= NUMBERS:
            return keypoints
        return self.with_nulls(number, self.names, keypoints, may_miss=self.dataset.missing_joints)

    def _limbs(self, number: int, entry: dict[str, Any]) -> list[float] | None:
        limbs = self.numbers(number, entry, "limbs", len(self.limb_names))
        if limbs is None:
            return None
        numbers: list[float] = []
        for names, limb in zip(self.limb_names, limbs, strict=True):
            if type(limb) is not list or len(limb) != 4:
                self.problems.broken("limb_wrong_count", number, names.path, what=names.groups[0], value=limb)
                continue
            ends = self.with_nulls(number, names, limb, may_miss=self.single)
            for index, value in enumerate(ends or ()):
                self.check_range(number, names, index, value)
            numbers += ends or ()
        return numbers


def clean_entries(document: bytes | bytearray, reader: KeypointsReader) -> Callable[[int, int], tuple[int, int]] | None:
    """The `read_clean` of `json_documents.entries`: reads in C what needs no careful reading; None without the C."""
    if reader.single or engine.native() is None:
        return None
    return CleanEntries(document, reader.count // 3, reader.add_clean).read


READERS: dict[str, type[EntryReader]] = {
    "keypoints": KeypointsReader,
    "keypoints_3d": Keypoints3dReader,
    "uv": UvReader,
}


def _check_arrays(
    predictions: Predictions, dataset: Dataset, images: PublicImages | None, problems: Problems
) -> Problems:
    """The rules of a file for arrays: here a row is an entry and a joint of three NaN is missing."""
    if dataset.entry != "keypoints":
        check = keypoints_3d.check_arrays if dataset.entry == "keypoints_3d" else uv.check_arrays
        check(predictions, dataset, images, problems)
        return problems
    rows, joints = len(predictions.image_ids), len(dataset.joints)
    if predictions.keypoints.shape != (rows, joints, 3):
        found = list(predictions.keypoints.shape)
        problems.add("wrong_count", None, "", f"keypoints have the shape {found}", f"[{rows}, {joints}, 3]")
        return problems
    limbs = predictions.limbs
    if limbs is not None and limbs.shape != (rows, len(dataset.limbs), 2, 2):
        problems.add("wrong_count", None, "", f"limbs have the shape {list(limbs.shape)}", "[N, limbs, 2, 2]")
        return problems
    for name, kind in (("image_ids", "i"), ("person_ids", "i"), ("scores", "f"), ("keypoints", "f")):
        values = getattr(predictions, name)
        if name != "keypoints" and values.shape != (rows,):
            problems.add("wrong_count", None, "", f"{name} have the shape {list(values.shape)}", f"[{rows}]")
        if values.dtype.kind != kind:
            expected = "64-bit whole numbers" if kind == "i" else "floating-point numbers"
            problems.add("wrong_type", None, "", f"{name} are of the type {values.dtype}", expected)
    if problems.total:
        return problems
    ids = Ids(dataset, images, problems)
    people = zip(predictions.image_ids.tolist(), predictions.person_ids.tolist(), strict=True)
    for number, (image, person) in enumerate(people):
        ids.check(number, image, person)
    names = keypoint_names(dataset)
    for row in np.flatnonzero(np.isnan(predictions.scores)).tolist():
        problems.broken("not_finite", row, SCORE.path, what="score", value=NonFinite("NaN"))
    missing = np.isnan(predictions.keypoints).sum(axis=2)
    for row, joint in np.argwhere((missing > 0) & ((missing < 3) | (not dataset.missing_joints))).tolist():
        rule = "missing_joint" if missing[row, joint] == 3 else "partly_nan"
        problems.broken(rule, row, names.place(3 * joint), what=names.groups[joint])
    if limbs is not None:
        ends = limbs.reshape(rows, len(dataset.limbs), 4)
        holes = np.isnan(ends).sum(axis=2)
        for row, limb in np.argwhere((holes > 0) & (holes < 4)).tolist():
            problems.broken("partly_nan", row, f"/limbs/{limb}", what=in_words(list(dataset.limbs)[limb]))
        for names_of_limb, values in zip(limb_names(dataset), ends.transpose(1, 0, 2), strict=True):
            problems = problems.merged(out_of_range(values, names_of_limb, range(rows)))
    flat = predictions.keypoints.reshape(rows, 3 * joints)
    problems = problems.merged(out_of_range(flat, names, range(rows)))
    return problems.merged(out_of_range(predictions.scores[:, None], SCORE, range(rows)))
