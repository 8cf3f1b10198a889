"""Reads and checks an upload: every rule of the predictions format, and the first hundred problems at once.

What is said depends on the upload and on public definitions (dataset, image list) only, never on annotations.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluator.dataset import Dataset
from evaluator.distances import limbs_of
from evaluator.errors import MOST_COUNTED, shown
from evaluator.native import engine
from evaluator.poses import Floats, Integers, Predictions
from evaluator.reading import keypoints_3d, uv
from evaluator.reading.annotations import digest
from evaluator.reading.archives import read_upload, refuse, unpacked
from evaluator.reading.arrays import predictions_from_arrays
from evaluator.reading.entries import LARGEST, NUMBER, NUMBERS, EntryReader, Ids, out_of_range
from evaluator.reading.image_list import PublicImages
from evaluator.reading.json_documents import Problems, entries, plain
from evaluator.reading.keypoints_3d import Keypoints3dReader
from evaluator.reading.large_files import Skimmer, scanned_predictions
from evaluator.reading.upload_limits import NO_BENCHMARK, UploadLimits, limits_of
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
    Raises PredictionError, which stops the reading where the problems are too many to count. Ids are checked when
    `images` is given; `limits` is how much a file may hold. Rows keep the order of the file.
    """
    problems = Problems()
    if isinstance(source, np.ndarray):
        if not dataset.single_person:
            refuse("wrong_type", "an array does not say which image each row is on", "entries, or Predictions with ids")
        source = predictions_from_arrays(source)
    if isinstance(source, Predictions):
        _check_arrays(source, dataset, images, problems).raise_any()
        return source
    if not isinstance(source, list | dict):
        known = None if images is None else np.array(sorted(images.people), dtype=np.int64)
        inflated: list[bytes | bytearray] = []
        scanned = scanned_predictions(source, dataset, known, limits, inflated)
        if scanned is not None:
            return scanned
    reader = READERS[dataset.entry](dataset, images, problems)
    reader.most_pixels = limits.pixels
    if isinstance(source, list | dict):
        sha256 = ""
        found: Iterable[tuple[int, Any]] = _in_memory(source)
    else:
        content = read_upload(source, limits.size)
        sha256 = hashlib.sha256(content).hexdigest()
        document = inflated[0] if inflated else unpacked(content, limits.size)
        skim = skimming(document, reader) if isinstance(reader, KeypointsReader) else None
        found = entries(document, problems, limits=limits, skim=skim)
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
        refuse("not_a_list", "the predictions are an object", "a list of entries")
    for number, entry in enumerate(source):
        whole = {key: plain(value) for key, value in entry.items()} if isinstance(entry, Mapping) else entry
        yield number, whole


class KeypointsReader(EntryReader):
    """Entries with `keypoints`, and with `limbs` where the dataset has them."""

    def __init__(self, dataset: Dataset, images: PublicImages | None, problems: Problems) -> None:
        self.keys = frozenset({"keypoints", "limbs"} if dataset.limbs else {"keypoints"})
        super().__init__(dataset, images, problems)
        self.count = 3 * len(dataset.joints)
        self.limbs = len(dataset.limbs)
        self.points = array("d")
        self.given_limbs: dict[int, list[float]] = {}  # row -> numbers
        self.known = None if images is None else np.array(sorted(images.people), dtype=np.int64)
        self.expected = f"{self.count} numbers: x, y, confidence for each of {len(dataset.joints)} joints"
        if len(dataset.keypoint_fields) > 1:
            self.expected += (
                f"; `poseboard convert predictions {dataset.name}` puts {', '.join(dataset.keypoint_fields)} together"
            )

    def payload(self, number: int, entry: dict[str, Any]) -> tuple[list[float], list[float] | None] | None:
        keypoints = self._keypoints(number, entry)
        limbs = self._limbs(number, entry["limbs"]) if self.limbs and "limbs" in entry else None
        return None if keypoints is None else (keypoints, limbs)

    def keep(self, number: int, payload: tuple[list[float], list[float] | None]) -> bool:
        keypoints, limbs = payload
        if not self.kept(number, "/keypoints", self.points, keypoints, len(self.entries)):
            return False
        self.in_range(number, "/keypoints/{}", keypoints)
        if limbs is not None:
            self.given_limbs[len(self.entries)] = limbs
        return True

    def take(self, number: int, image_ids: Integers, scores: Floats, keypoints: Floats) -> bool:
        """Entries that a scanner has read, the first of this number: keypoints [n, 3K], all numbers in range.

        Whether more of them are wanted.
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
        keypoints = self.numbers(number, entry, "keypoints", self.count, self.expected)
        if keypoints is None or set(map(type, keypoints)) <= NUMBERS:
            return keypoints
        may_miss = self.dataset.missing_joints
        return self.with_nulls(number, "/keypoints", "keypoints", keypoints, 3, "joint", may_miss=may_miss)

    def _limbs(self, number: int, limbs: Any) -> list[float] | None:
        expected = f"a list of {self.limbs} limbs, each [x1, y1, x2, y2]"
        if type(limbs) is not list:
            self.problems.add("wrong_type", number, "/limbs", f"limbs is {shown(limbs)}", expected)
            return None
        if len(limbs) != self.limbs:
            self.problems.add("wrong_count", number, "/limbs", f"limbs has {len(limbs)} values", expected)
            return None
        numbers: list[float] = []
        for index, limb in enumerate(limbs):
            path = f"/limbs/{index}"
            if type(limb) is not list or len(limb) != 4:
                self.problems.add("wrong_count", number, path, f"limb {index} is {shown(limb)}", expected)
                continue
            ends = self.with_nulls(number, path, f"limbs[{index}]", limb, 4, "limb", may_miss=self.single)
            if ends is not None:
                self._check_limb(number, path, ends)
                numbers += ends
        return numbers

    def _check_limb(self, number: int, path: str, ends: list[float]) -> None:
        for index, value in enumerate(ends):
            if value == value and not -LARGEST <= value <= LARGEST:
                code = "not_finite" if value in (np.inf, -np.inf) else "out_of_range"
                self.problems.add(code, number, f"{path}/{index}", f"a limb's end is {shown(value)}", NUMBER)


def skimming(document: bytes | bytearray, reader: KeypointsReader) -> Callable[[int, int], tuple[int, int]] | None:
    """What `documents.entries` calls to pass the compiled scanner what needs no careful reading, where it can."""
    if reader.single or engine.native() is None:
        return None
    return Skimmer(document, reader.count // 3, reader.take).take


READERS: dict[str, type[EntryReader]] = {
    "keypoints": KeypointsReader,
    "keypoints_3d": Keypoints3dReader,
    "uv": UvReader,
}


def _ranges(predictions: Predictions, entry: Sequence[int]) -> Problems:
    """Numbers that are infinite or too large; NaN is a missing joint by now."""
    flat = predictions.keypoints.reshape(len(entry), predictions.keypoints.shape[1] * 3)
    problems = out_of_range(flat, entry, "/keypoints/{}")
    scores = out_of_range(predictions.scores[:, None], entry, "/score")
    return Problems(problems.kept + scores.kept, problems.total + scores.total)


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
    for row in np.flatnonzero(np.isnan(predictions.scores)).tolist():
        problems.add("not_finite", row, "/score", "score is NaN", NUMBER)
    missing = np.isnan(predictions.keypoints).sum(axis=2)
    for row, joint in np.argwhere((missing > 0) & ((missing < 3) | (not dataset.missing_joints))).tolist():
        code, message = (
            ("missing_joint", "is missing") if missing[row, joint] == 3 else ("incomplete_joint", "is partly NaN")
        )
        problems.add(code, row, f"/keypoints/{3 * joint}", f"joint {joint} {message}", "a place for every joint")
    if limbs is not None:
        ends = limbs.reshape(rows, len(dataset.limbs), 4)
        holes = np.isnan(ends).sum(axis=2)
        for row, limb in np.argwhere((holes > 0) & (holes < 4)).tolist():
            message = f"limb {limb} is partly NaN"
            problems.add("incomplete_joint", row, f"/limbs/{limb}", message, "all four numbers, or none")
        for row, limb, place in np.argwhere(np.abs(ends) > LARGEST).tolist():
            code = "out_of_range" if np.isfinite(ends[row, limb, place]) else "not_finite"
            message = f"a limb's end is {shown(float(ends[row, limb, place]))}"
            problems.add(code, row, f"/limbs/{limb}/{place}", message, NUMBER)
    return problems.merged(_ranges(predictions, range(rows)))
