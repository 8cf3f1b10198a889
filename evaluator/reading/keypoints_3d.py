"""Poses in space: joints in millimetres, as truths and uploads give them, and as the metrics of them want them.

An annotation, and an entry of an upload, has `keypoints_3d`: x, y, z of each joint, in any coordinates that are turned
alike in both (the camera's), from any origin: poses are compared relative to a joint. Everybody must be predicted, and
every joint: a mean error has no place for a miss.
"""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluator.dataset import MEAN_OF_ACTIONS, Dataset
from evaluator.errors import GroundTruthError, PredictionError, Problem
from evaluator.poses import Annotations, Booleans, Floats, Integers, Predictions, nowhere, rows_for
from evaluator.reading.entries import NUMBERS, EntryReader, out_of_range
from evaluator.reading.image_list import PublicImages
from evaluator.reading.json_documents import Problems
from evaluator.tally import by_image


class Keypoints3dReader(EntryReader):
    """Entries with `keypoints_3d`. The score is not read: there is nothing to rank."""

    keys = frozenset({"keypoints_3d"})
    has_score = False

    def __init__(self, dataset: Dataset, images: PublicImages | None, problems: Problems) -> None:
        super().__init__(dataset, images, problems)
        self.count = 3 * len(dataset.joints)
        self.points = array("d")
        self.expected = f"{self.count} numbers: x, y, z in millimetres for each of {len(dataset.joints)} joints"

    def payload(self, number: int, entry: dict[str, Any]) -> list[float] | None:
        values = self.numbers(number, entry, "keypoints_3d", self.count, self.expected)
        if values is None or set(map(type, values)) <= NUMBERS:
            return values
        return self.with_nulls(number, "/keypoints_3d", "keypoints_3d", values, 3, "joint", may_miss=False)

    def keep(self, number: int, payload: list[float]) -> bool:
        if not self.kept(number, "/keypoints_3d", self.points, payload, len(self.entries)):
            return False
        self.in_range(number, "/keypoints_3d/{}", payload)
        return True

    def finished(self, sha256: str) -> tuple[Predictions, Problems]:
        missing = Problems()
        if self.problems.total == self.too_far and not self.problems.full:
            self.ids.everybody(missing)
        points = np.array(self.points, dtype=np.float64).reshape(-1, self.count // 3, 3)
        image_ids, person_ids, _ = self.columns()
        return predictions_in_space(image_ids, points, person_ids, sha256=sha256), missing


def predictions_in_space(
    image_ids: ArrayLike, keypoints_3d: ArrayLike, person_ids: ArrayLike | None = None, *, sha256: str = ""
) -> Predictions:
    """Predictions from arrays: image_ids [N], keypoints_3d [N, K, 3] in millimetres, person_ids [N], 0 unless given."""
    points = np.asarray(keypoints_3d, dtype=np.float64)
    if points.ndim != 3 or points.shape[2] != 3:
        raise ValueError(f"keypoints_3d have the shape {list(points.shape)}: expected [N, K, 3]")
    return Predictions(
        image_ids=np.asarray(image_ids, dtype=np.int64),
        person_ids=np.zeros(len(points), np.int64) if person_ids is None else np.asarray(person_ids, dtype=np.int64),
        keypoints=nowhere(*points.shape),
        scores=np.ones(len(points)),
        keypoints_3d=points,
        sha256=sha256,
    )


def poses_of_people(keypoints_3d: NDArray[Any], annotations: Annotations) -> Predictions:
    """The predictions [P, K, 3] of which row i is for the i-th annotated person, by ascending annotation id."""
    rows = np.flatnonzero(~annotations.crowd)
    if keypoints_3d.ndim != 3 or len(keypoints_3d) != len(rows) or keypoints_3d.shape[2] != 3:
        message = f"keypoints_3d have the shape {list(keypoints_3d.shape)}"
        raise PredictionError([Problem("wrong_count", None, "", message, f"[{len(rows)}, K, 3]")])
    image_ids = annotations.image_ids[annotations.image[rows]]
    return predictions_in_space(image_ids, keypoints_3d, annotations.person_ids[rows])


def check_arrays(predictions: Predictions, dataset: Dataset, images: PublicImages | None, problems: Problems) -> None:
    """The rules of a file for arrays: a row is an entry, and no joint may be NaN."""
    rows, points = len(predictions.image_ids), predictions.keypoints_3d
    if points is None or points.shape != (rows, len(dataset.joints), 3):
        found = "there are none" if points is None else f"they have the shape {list(points.shape)}"
        expected = f"[{rows}, {len(dataset.joints)}, 3]"
        problems.add("wrong_count", None, "", f"keypoints_3d: {found}", expected)
        return
    ids = Keypoints3dReader(dataset, images, problems).ids
    people = zip(predictions.image_ids.tolist(), predictions.person_ids.tolist(), strict=True)
    for number, (image, person) in enumerate(people):
        ids.check(number, image, person)
    for row, joint in np.argwhere(np.isnan(points).any(axis=2)).tolist():
        message = f"joint {joint} is missing"
        problems.add("missing_joint", row, f"/keypoints_3d/{3 * joint}", message, "a place for every joint")
    if not problems.total:
        ids.everybody(problems)
    wrong = out_of_range(points.reshape(rows, 3 * points.shape[1]), range(rows), "/keypoints_3d/{}")
    problems.kept += wrong.kept
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


def poses_in_space(
    annotations: Annotations, predictions: Predictions, dataset: Dataset, *, root: str, every_joint: bool = False
) -> tuple[Floats, Floats, Booleans]:
    """(predicted [P, K, 3], annotated [P, K, 3], counted [P, K]) of the annotated people, in millimetres.

    Counted are the annotated joints of the people who count that are scored, or all of them where `every_joint`.
    GroundTruthError for people whose root nobody annotated; PredictionError for people without a whole, finite pose.
    """
    true, given = annotations.keypoints_3d, predictions.keypoints_3d
    if true is None:
        raise GroundTruthError("the annotations have no keypoints_3d")
    if given is None:
        raise PredictionError([Problem("missing_key", None, "", "no keypoints_3d", "keypoints_3d")])
    people, joint = annotations.people, dataset.joint(root)
    rootless = people & (annotations.visibility[:, joint] == 0)
    if rootless.any():
        raise GroundTruthError(f"annotation {annotations.ids[rootless][0]} has no {root}, to which poses are relative")
    rows = rows_for(annotations, predictions)
    lost = np.flatnonzero(people & (rows < 0))
    if len(lost):
        image, person = annotations.image_ids[annotations.image[lost[0]]], annotations.person_ids[lost[0]]
        message = f"person {person} of image {image} has no entry"
        raise PredictionError([Problem("missing_person", None, "", message, "an entry for everybody")], len(lost))
    found = np.zeros(true.shape)
    found[people] = given[rows[people]]
    if not np.isfinite(found).all():
        row = int(rows[np.argwhere(~np.isfinite(found))[0][0]])
        raise PredictionError([Problem("not_finite", row, f"/{row}", "a joint is not finite", "finite numbers")])
    counted = (annotations.visibility > 0) & people[:, None]
    return found, true, counted if every_joint else counted & dataset.scored


def by_joint_and_action(
    values: Floats, counted: Booleans, annotations: Annotations, dataset: Dataset
) -> tuple[Floats, Floats, dict[str, tuple[int, ...]]]:
    """(sums [I, K + A], counts [I, K + A], parts) of values [P, K]: by image, for each joint and then each action.

    An action's element holds all joints of the people who do it. NaN is allowed where nothing counts.
    """
    images, joints, actions = len(annotations.image_ids), len(dataset.joints), len(dataset.actions)
    parts = {part: tuple(map(dataset.joint, members)) for part, members in dataset.parts.items()}
    columns = [np.where(counted, values, 0.0), counted.astype(np.float64)]
    if actions and annotations.actions is not None:
        does = annotations.actions[:, None] == np.arange(actions)  # [P, A]
        columns = [np.concatenate([each, each.sum(axis=1, keepdims=True) * does], axis=1) for each in columns]
        parts |= {action: (joints + index,) for index, action in enumerate(dataset.actions)}
        parts[MEAN_OF_ACTIONS] = tuple(range(joints, joints + actions))
    sums, counts = (by_image(each, annotations.image, images) for each in columns)
    return sums, counts, parts
