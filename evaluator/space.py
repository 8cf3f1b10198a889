"""Poses in space: predictions as arrays, poses relative to a root, and sums by joint and action. Millimetres."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluator.dataset import MEAN_OF_ACTIONS, Dataset
from evaluator.errors import GroundTruthError, PredictionError, Problem
from evaluator.poses import Annotations, Booleans, Floats, Predictions, nowhere, rows_for
from evaluator.tally import by_image


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


def poses_in_space(
    annotations: Annotations, predictions: Predictions, dataset: Dataset, *, root: str, every_joint: bool = False
) -> tuple[Floats, Floats, Booleans]:
    """(predicted [P, K, 3], annotated [P, K, 3], counted [P, K]) of the annotated people, in millimetres.

    Of the people who count, the annotated and scored joints are counted; with `every_joint` all annotated ones.
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
        raise PredictionError([Problem("missing_person", None, "", message, "one entry per person")], len(lost))
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
