"""Reads and checks an upload: every rule of the predictions format, and the first hundred problems at once.

What is said depends on the upload and on public definitions (dataset, image list) only, never on annotations.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluator.archives import read_upload, refuse, unpacked
from evaluator.arrays import predictions_from_arrays
from evaluator.definitions import Dataset
from evaluator.distances import limbs_of
from evaluator.documents import MOST_DEPTH, NonFinite, Problems, depth, entries, plain
from evaluator.errors import shown
from evaluator.ground_truth import digest
from evaluator.image_list import PublicImages
from evaluator.poses import Predictions
from evaluator.scanning import scanned_predictions

Source = str | Path | bytes | list[Any] | dict[str, Any] | NDArray[Any] | Predictions

LARGEST = 1e6
NUMBER = "a finite number of magnitude up to 1e6"
WHOLE_NUMBER = "a whole number"
READ_KEYS = frozenset({"image_id", "keypoints", "score"})
NUMBERS = frozenset({int, float})


@dataclass(frozen=True)
class Checked:
    """What a valid upload holds, before any scoring."""

    entries: int
    images_covered: int
    images_total: int | None  # None without an image list
    most_detections: int  # in one image
    mean_detections: float  # per image that has any


@dataclass
class _Rows:
    """The entries that could be read, as flat buffers."""

    entry: array[int] = field(default_factory=lambda: array("q"))
    image: array[int] = field(default_factory=lambda: array("q"))
    person: array[int] = field(default_factory=lambda: array("q"))
    keypoints: array[float] = field(default_factory=lambda: array("d"))
    score: array[float] = field(default_factory=lambda: array("d"))
    limbs: dict[int, list[float]] = field(default_factory=dict)  # row -> numbers


def read_predictions(source: Source, dataset: Dataset, images: PublicImages | None = None) -> Predictions:
    """The predictions of a path or a file's bytes (JSON, gzip, zip), of a list of entries, or of arrays.

    A plain array, on single-person datasets, has a row for each of the images 1, 2, ...
    Raises PredictionError. Ids are checked when `images` is given. Rows keep the order of the file.
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
        scanned = scanned_predictions(source, dataset, known)
        if scanned is not None:
            return scanned
    if isinstance(source, list | dict):
        sha256 = ""
        found: Iterable[tuple[int, Any]] = _in_memory(source)
    else:
        content = read_upload(source)
        sha256 = hashlib.sha256(content).hexdigest()
        found = entries(unpacked(content), problems)
        del content
    rows = _Rows()
    reader = _EntryReader(dataset, images, problems, rows)
    for number, entry in found:
        reader.read(number, entry)
    predictions = _arrays(rows, dataset, sha256)
    problems.merged(_ranges(predictions, rows.entry)).raise_any()
    return replace(predictions, sha256=digest(source)) if isinstance(source, list) else predictions


def check_upload(source: Source, dataset: Dataset, images: PublicImages | None = None) -> Checked:
    """Reads and checks without scoring; raises PredictionError."""
    predictions = read_predictions(source, dataset, images)
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


class _Ids:
    """Image and person ids against the image list; without one, only repeated people are found."""

    def __init__(self, dataset: Dataset, images: PublicImages | None, problems: Problems) -> None:
        self.single = dataset.single_person
        self.images = images
        self.problems = problems
        self.seen: set[tuple[int, int]] = set()

    def person(self, image: int, given: int | None) -> int:
        """The person an entry is for: what it says, else the only one of the image. 0 on multi-person datasets."""
        if not self.single:
            return 0
        if given is not None:
            return given
        return 0 if self.images is None else self.images.people_of(image)[0]

    def check(self, number: int, image: int, given: int | None) -> bool:
        if self.images is not None and image not in self.images.people:
            message = f"the benchmark has no image {image}"
            self.problems.add("unknown_image", number, "/image_id", message, "an id of its image list")
            return False
        if not self.single:
            return True
        if self.images is not None:
            people = self.images.people_of(image)
            if given is None and len(people) != 1:
                message = f"image {image} has {len(people)} people and the entry has no person_id"
                self.problems.add("missing_person_id", number, "", message, "a person_id")
                return False
            if given is not None and given not in people:
                message = f"image {image} has no person {given}"
                self.problems.add("unknown_person", number, "/person_id", message, "a person of the image list")
                return False
        key = (image, self.person(image, given))
        if key in self.seen:
            message = f"person {key[1]} of image {image} has an entry already"
            self.problems.add("repeated_person", number, "", message, "one entry a person")
            return False
        self.seen.add(key)
        return True


class _EntryReader:
    """Takes one entry after another apart; what is wrong with one does not stop the next."""

    def __init__(self, dataset: Dataset, images: PublicImages | None, problems: Problems, rows: _Rows) -> None:
        self.single = dataset.single_person
        self.missing_joints = dataset.missing_joints
        self.ids = _Ids(dataset, images, problems)
        self.numbers = 3 * len(dataset.joints)
        self.limbs = len(dataset.limbs)
        self.read_keys = READ_KEYS | ({"person_id"} if self.single else set()) | ({"limbs"} if self.limbs else set())
        self.problems = problems
        self.rows = rows
        self.expected = f"{self.numbers} numbers: x, y, confidence for each of {len(dataset.joints)} joints"
        if len(dataset.keypoint_fields) > 1:
            self.expected += (
                f"; `poseboard convert predictions {dataset.name}` puts {', '.join(dataset.keypoint_fields)} together"
            )

    def read(self, number: int, entry: Any) -> None:
        if type(entry) is not dict:
            self.problems.add("not_an_object", number, "", f"the entry is {shown(entry)}", "an object")
            return
        before = self.problems.total
        image = self._whole(number, entry, "image_id", required=True)
        person = self._whole(number, entry, "person_id", required=False) if self.single else None
        score = self._score(number, entry)
        keypoints = self._keypoints(number, entry)
        limbs = self._limbs(number, entry["limbs"]) if self.limbs and "limbs" in entry else None
        for key in entry.keys() - self.read_keys:
            if isinstance(entry[key], list | dict) and depth(entry[key]) > MOST_DEPTH - 2:
                self.problems.add("too_deep", number, "", f"{shown(key)} is nested too deep", f"{MOST_DEPTH} levels")
        if image is None or (self.single and person is None and "person_id" in entry):
            return
        known = self.ids.check(number, image, person)
        if self.problems.total != before or not known or keypoints is None or score is None:
            return
        rows = self.rows
        try:
            rows.keypoints.extend(keypoints)
        except OverflowError:
            del rows.keypoints[len(rows.entry) * self.numbers :]
            self.problems.add("out_of_range", number, "/keypoints", "a number is far too large", NUMBER)
            return
        if limbs is not None:
            rows.limbs[len(rows.entry)] = limbs
        rows.entry.append(number)
        rows.image.append(image)
        rows.person.append(self.ids.person(image, person))
        rows.score.append(score)

    def _whole(self, number: int, entry: dict[str, Any], key: str, *, required: bool) -> int | None:
        if key not in entry:
            if required:
                self.problems.add("missing_key", number, "", f"no {key}", f"a {key}")
            return None
        value = entry[key]
        if isinstance(value, NonFinite):
            self.problems.add("not_finite", number, f"/{key}", f"{key} is {value.text}", WHOLE_NUMBER)
        elif type(value) is not int:
            self.problems.add("wrong_type", number, f"/{key}", f"{key} is {shown(value)}", WHOLE_NUMBER)
        elif not -(1 << 63) <= value < 1 << 63:
            self.problems.add("invalid_id", number, f"/{key}", f"{key} is {shown(value)}", "a 64-bit whole number")
        else:
            return value
        return None

    def _score(self, number: int, entry: dict[str, Any]) -> float | None:
        if "score" not in entry:
            self.problems.add("missing_key", number, "", "no score", "a score")
            return None
        score = entry["score"]
        if self._is_number(number, "/score", "score", score):
            try:
                return float(score)
            except OverflowError:
                self.problems.add("out_of_range", number, "/score", f"score is {shown(score)}", NUMBER)
        return None

    def _is_number(self, number: int, path: str, what: str, value: Any) -> bool:
        if type(value) in NUMBERS:
            return True
        if isinstance(value, NonFinite):
            self.problems.add("not_finite", number, path, f"{what} is {value.text}", NUMBER)
        else:
            self.problems.add("wrong_type", number, path, f"{what} is {shown(value)}", NUMBER)
        return False

    def _keypoints(self, number: int, entry: dict[str, Any]) -> list[float] | None:
        if "keypoints" not in entry:
            self.problems.add("missing_key", number, "", "no keypoints", "keypoints")
            return None
        keypoints = entry["keypoints"]
        if type(keypoints) is not list:
            self.problems.add("wrong_type", number, "/keypoints", f"keypoints is {shown(keypoints)}", self.expected)
            return None
        if len(keypoints) != self.numbers:
            message = f"keypoints has {len(keypoints)} values"
            self.problems.add("wrong_count", number, "/keypoints", message, self.expected)
            return None
        if set(map(type, keypoints)) <= NUMBERS:
            return keypoints
        return self._with_nulls(number, "/keypoints", "keypoints", keypoints, 3, "joint")

    def _with_nulls(
        self, number: int, path: str, what: str, values: list[Any], size: int, unit: str
    ) -> list[float] | None:
        """Numbers of which each whole group of `size` may be null, which becomes NaN."""
        before = self.problems.total
        numbers: list[float] = []
        for start in range(0, len(values), size):
            group = values[start : start + size]
            missing = sum(value is None for value in group)
            if missing == size and self.missing_joints:
                numbers += [np.nan] * size
            elif missing == size:
                message = f"{unit} {start // size} is missing"
                self.problems.add("missing_joint", number, f"{path}/{start}", message, "a place for every joint")
            elif missing:
                message = f"{unit} {start // size} is partly null"
                self.problems.add("incomplete_joint", number, f"{path}/{start}", message, "all null, or none")
            else:
                for index, value in enumerate(group, start):
                    if self._is_number(number, f"{path}/{index}", f"{what}[{index}]", value):
                        numbers.append(value)
        return numbers if self.problems.total == before else None

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
            ends = self._with_nulls(number, path, f"limbs[{index}]", limb, 4, "limb")
            if ends is not None:
                self._check_limb(number, path, ends)
                numbers += ends
        return numbers

    def _check_limb(self, number: int, path: str, ends: list[float]) -> None:
        for index, value in enumerate(ends):
            if value == value and not -LARGEST <= value <= LARGEST:
                code = "not_finite" if value in (np.inf, -np.inf) else "out_of_range"
                self.problems.add(code, number, f"{path}/{index}", f"a limb's end is {shown(value)}", NUMBER)


def _arrays(rows: _Rows, dataset: Dataset, sha256: str) -> Predictions:
    joints = len(dataset.joints)
    keypoints = np.array(rows.keypoints, dtype=np.float64).reshape(-1, joints, 3)
    limbs = None
    if rows.limbs:
        limbs = limbs_of(keypoints, dataset)
        for row, numbers in rows.limbs.items():
            limbs[row] = np.array(numbers, dtype=np.float64).reshape(-1, 2, 2)
    return Predictions(
        image_ids=np.array(rows.image, dtype=np.int64),
        person_ids=np.array(rows.person, dtype=np.int64),
        keypoints=keypoints,
        scores=np.array(rows.score, dtype=np.float64),
        limbs=limbs,
        sha256=sha256,
    )


def _ranges(predictions: Predictions, entry: Sequence[int]) -> Problems:
    """Numbers that are infinite or too large; NaN is a missing joint by now."""
    problems = Problems()
    flat = predictions.keypoints.reshape(len(entry), predictions.keypoints.shape[1] * 3)
    for values, path in ((flat, "/keypoints/{}"), (predictions.scores[:, None], "/score")):
        for row, column in np.argwhere(np.abs(values) > LARGEST).tolist():
            value = float(values[row, column])
            code = "out_of_range" if np.isfinite(value) else "not_finite"
            problems.add(code, entry[row], path.format(column), f"a number is {shown(value)}", NUMBER)
    return problems


def _check_arrays(
    predictions: Predictions, dataset: Dataset, images: PublicImages | None, problems: Problems
) -> Problems:
    """The rules of a file for arrays: here a row is an entry and a joint of three NaN is missing."""
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
    ids = _Ids(dataset, images, problems)
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
