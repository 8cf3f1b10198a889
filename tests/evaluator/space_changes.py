"""What the invariances of metrics in space are tested with: a case of poses in millimetres, changed."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from evaluator import load_dataset
from tests.evaluator.pose_cases import Document, Entries

Case = tuple[Document, Entries]


def mapped(found: Case, point: Callable[[Any], Any]) -> Case:
    """Annotations and predictions with every point [x, y, z] mapped."""
    truth, entries = copy.deepcopy(found)
    for row in (*truth["annotations"], *entries):
        values = row["keypoints_3d"]
        for at in range(0, len(values), 3):
            if values[at] is not None:
                values[at : at + 3] = [float(v) for v in point(np.array(values[at : at + 3]))]
    return truth, entries


def mirrored(dataset: str, found: Case) -> Case:
    definition = load_dataset(dataset)
    order = list(range(len(definition.joints)))
    for left, right in definition.flip_pairs:
        a, b = definition.joint(left), definition.joint(right)
        order[a], order[b] = b, a
    truth, entries = mapped(found, lambda p: p * [-1, 1, 1])
    for row in (*truth["annotations"], *entries):
        row["keypoints_3d"] = [v for joint in order for v in row["keypoints_3d"][3 * joint : 3 * joint + 3]]
    return truth, entries


def unannotated(found: Case) -> Case:
    """Predicted joints elsewhere where nobody annotated them."""
    rng = np.random.default_rng(3)
    truth, entries = copy.deepcopy(found)
    annotated = {(row["image_id"], row["person_id"]): row["keypoints_3d"] for row in truth["annotations"]}
    for row in entries:
        true = annotated[row["image_id"], row["person_id"]]
        for at in range(0, len(true), 3):
            if true[at] is None:
                row["keypoints_3d"][at : at + 3] = rng.uniform(-5000, 5000, 3).tolist()
    return truth, entries


# A turn about the axis (1, 1, 1) after one by the angle of the triangle 3, 4, 5: every axis goes elsewhere.
TURN = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]) @ [[0.6, -0.8, 0.0], [0.8, 0.6, 0.0], [0, 0, 1]]


def changed(word: str, dataset: str, found: Case) -> Case:
    match word:
        case "translation":
            return mapped(found, lambda p: p + np.array([64, -1024, 4096]))
        case "scale":
            return mapped(found, lambda p: 4 * p)
        case "rotation":
            return mapped(found, lambda p: TURN @ p)
        case "mirror":
            return mirrored(dataset, found)
        case "confidence" | "rank":
            scores = np.random.default_rng(9).random(len(found[1])).tolist()
            return found[0], [row | {"score": score} for row, score in zip(found[1], scores, strict=True)]
        case "unannotated":
            return unannotated(found)
        case _:
            raise AssertionError(word)


def perfect(truth: Document) -> Entries:
    """The annotations themselves, with 0 for joints that nobody annotated."""
    rows: Iterator[dict[str, Any]] = iter(truth["annotations"])
    return [
        {
            "image_id": row["image_id"],
            "person_id": row["person_id"],
            "keypoints_3d": [0.0 if v is None else v for v in row["keypoints_3d"]],
        }
        for row in rows
    ]


def better_with_its_root_farther_away(dataset: str) -> tuple[str, Case, Case]:
    """All joints lie 400 mm to the right, the root 100 mm: relative to it, all others are 300 mm off. With the root at
    400 mm, farther from its place than before, the pose is exact.
    """
    definition = load_dataset(dataset)
    joints, root = len(definition.joints), definition.joint("pelvis")
    true = np.arange(3.0 * joints).reshape(joints, 3) * 20
    row = {"id": 1, "image_id": 1, "keypoints_3d": true.ravel().tolist(), "action": definition.actions[0]}
    truth: Document = {"images": [{"id": 1}], "annotations": [row]}
    cases = []
    for offset in (100, 400):
        pose = true + np.array([400, 0, 0])
        pose[root] = true[root] + np.array([offset, 0, 0])
        cases.append((truth, [{"image_id": 1, "keypoints_3d": pose.ravel().tolist()}]))
    return dataset, cases[0], cases[1]
