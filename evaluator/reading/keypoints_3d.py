"""Poses in space: joints in millimetres, as annotations and uploads give them and as their metrics use them.

An annotation, and an entry of an upload, has `keypoints_3d`: x, y, z of each joint. Both are in coordinates of the same
orientation (the camera's), from any origin: poses are compared relative to a joint. Every person and every joint must
be predicted: a mean error cannot express a miss.
"""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluator.dataset import Dataset
from evaluator.errors import GroundTruthError
from evaluator.poses import Floats, Integers, Predictions
from evaluator.reading.entries import NUMBERS, EntryReader, Ids, out_of_range
from evaluator.reading.image_list import PublicImages
from evaluator.reading.json_documents import Problems
from evaluator.reading.upload_rules import keypoint_names
from evaluator.space import predictions_in_space


class Keypoints3dReader(EntryReader):
    """Entries with `keypoints_3d`. The score is not read, because nothing is ranked."""

    keys = frozenset({"keypoints_3d"})
    has_score = False

    def __init__(self, dataset: Dataset, images: PublicImages | None, problems: Problems) -> None:
        super().__init__(dataset, images, problems)
        self.names = keypoint_names(dataset)
        self.count = 3 * len(dataset.joints)
        self.points = array("d")

    def payload(self, number: int, entry: dict[str, Any]) -> list[float] | None:
        values = self.numbers(number, entry, "keypoints_3d", self.count)
        if values is None or set(map(type, values)) <= NUMBERS:
            return values
        return self.with_nulls(number, self.names, values, may_miss=False)

    def add(self, number: int, payload: list[float]) -> bool:
        if not self.extend(number, "keypoints_3d", self.points, payload):
            return False
        self.in_range(number, self.names, payload)
        return True

    def finished(self, sha256: str) -> tuple[Predictions, Problems]:
        missing = Problems()
        if self.problems.total == self.too_far and not self.problems.full:
            self.ids.everybody(missing)
        points = np.array(self.points, dtype=np.float64).reshape(-1, self.count // 3, 3)
        image_ids, person_ids, _ = self.columns()
        return predictions_in_space(image_ids, points, person_ids, sha256=sha256), missing


def check_arrays(predictions: Predictions, dataset: Dataset, images: PublicImages | None, problems: Problems) -> None:
    """The rules of a file for arrays: a row is an entry, and no joint may be NaN."""
    rows, points = len(predictions.image_ids), predictions.keypoints_3d
    if points is None or points.shape != (rows, len(dataset.joints), 3):
        found = "there are none" if points is None else f"they have the shape {list(points.shape)}"
        expected = f"[{rows}, {len(dataset.joints)}, 3]"
        problems.add("wrong_count", None, "", f"keypoints_3d: {found}", expected)
        return
    ids, names = Ids(dataset, images, problems), keypoint_names(dataset)
    people = zip(predictions.image_ids.tolist(), predictions.person_ids.tolist(), strict=True)
    for number, (image, person) in enumerate(people):
        ids.check(number, image, person)
    for row, joint in np.argwhere(np.isnan(points).any(axis=2)).tolist():
        problems.broken("missing_joint", row, names.place(3 * joint), what=names.groups[joint])
    if not problems.total:
        ids.everybody(problems)
    wrong = out_of_range(points.reshape(rows, 3 * points.shape[1]), names, range(rows))
    problems.listed += wrong.listed
    problems.total += wrong.total


def annotated_in_space(rows: list[dict[str, Any]], dataset: Dataset) -> tuple[Floats, NDArray[np.int8]]:
    """keypoints_3d [P, K, 3] of annotations, NaN where not annotated (three nulls), and visibility [P, K]: 0 or 2."""
    joints = len(dataset.joints)
    points = np.full((len(rows), joints, 3), np.nan)
    for index, row in enumerate(rows):
        given = row.get("keypoints_3d")
        if not isinstance(given, list) or len(given) != 3 * joints:
            raise GroundTruthError(f"annotation {row['id']}: keypoints_3d are not {3 * joints} numbers")
        try:
            points[index] = np.array(given, dtype=np.float64).reshape(joints, 3)
        except (TypeError, ValueError):
            raise GroundTruthError(f"annotation {row['id']}: keypoints_3d are not {3 * joints} numbers") from None
    missing = np.isnan(points)
    broken = (missing.any(axis=2) != missing.all(axis=2)) | np.isinf(points).any(axis=2)
    if broken.any():
        row = rows[int(np.argwhere(broken)[0][0])]
        raise GroundTruthError(f"annotation {row['id']}: a joint is neither three finite numbers nor three nulls")
    return points, np.where(missing.any(axis=2), 0, 2).astype(np.int8)


def actions_of(rows: list[dict[str, Any]], dataset: Dataset) -> Integers | None:
    """[P] the action of each annotation, an index into the dataset's; None where the dataset has none."""
    if not dataset.actions:
        return None
    place = {action: index for index, action in enumerate(dataset.actions)}
    for row in rows:
        if row.get("action") not in place:
            known = ", ".join(dataset.actions)
            raise GroundTruthError(f"annotation {row['id']}: action is {row.get('action')!r}: expected one of {known}")
    return np.array([place[row["action"]] for row in rows], dtype=np.int64)
