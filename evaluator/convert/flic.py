"""Frames Labeled In Cinema (Sapp and Taskar, CVPR 2013): the 1,016 test people.

Annotations: joints 2x12x1016, eleven joints and, in column 12, width and height of the torso box.
Predictions: pred 2x11x1016. Image ids are 1..1016, the order of the file, which has no names of images.
Coordinates are copied unchanged.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from evaluator.convert import coco
from evaluator.convert.errors import ConversionError
from evaluator.convert.json_form import (
    People,
    annotation_document,
    joints_box,
    looks_like_json,
    number,
    prediction_entries,
    rows_of,
)
from evaluator.convert.layout import oriented, reject_infinite, reject_unfinite
from evaluator.convert.reading import read_arrays

JOINTS, IMAGES = 11, 1016


def truth(path: Path, *, dataset: str, split: str | None, companion: Path | None) -> dict[str, Any]:
    """joints 2x12x1016 -> annotations with `torso_box`. A joint that is NaN is not annotated."""
    _split(split)
    if looks_like_json(path):
        return coco.truth(path, dataset=dataset, split="test", companion=companion)
    file = read_arrays(path)
    joints = oriented(file, "joints", file.need("joints", "2x12x1016"), [(2, JOINTS + 1, IMAGES)])
    by_person = np.ascontiguousarray(joints.transpose(2, 1, 0))
    reject_infinite(file, "joints", by_person)
    points, torso = by_person[:, :JOINTS], by_person[:, JOINTS]
    reject_unfinite(file, "torso box", torso)
    if (torso <= 0).any():
        row = int(np.argwhere((torso <= 0).any(axis=1))[0, 0])
        raise ConversionError(f"{path.name}: the torso box of person {row + 1} is {torso[row, 0]} x {torso[row, 1]}")
    missing = np.isnan(points).any(axis=2)
    flags = np.where(missing, 0, 2).astype(np.int64)
    return annotation_document(
        dataset,
        "test",
        People(
            points=points,
            flags=flags,
            boxes=joints_box(points, flags),
            image_ids=range(1, IMAGES + 1),
            person_ids=[0] * IMAGES,
            file_names=None,
            extra={"torso_box": [[number(width), number(height)] for width, height in torso.tolist()]},
        ),
    )


def predictions(
    path: Path, *, dataset: str, limbs: Path | None, split: str | None, truth: dict[str, Any] | None
) -> list[dict[str, Any]]:
    """pred 2x11x1016; FLIC has no official stick file, its limbs are derived from the keypoints."""
    _split(split)
    if limbs is not None:
        raise ConversionError("FLIC has no official stick file: its limbs are derived from the keypoints")
    if looks_like_json(path):
        return coco.predictions(path, dataset=dataset, limbs=limbs, split=split, truth=truth)
    file = read_arrays(path)
    pred = oriented(file, "pred", file.need("pred", "2x11x1016"), [(2, JOINTS, IMAGES)])
    points = np.ascontiguousarray(pred.transpose(2, 1, 0))
    reject_infinite(file, "pred", points)
    rows = rows_of(truth, IMAGES, path.name) if truth else [(image, 0) for image in range(1, IMAGES + 1)]
    return prediction_entries(points, rows)


def _split(split: str | None) -> None:
    if split not in (None, "test"):
        raise ConversionError(f"FLIC has no split {split!r}: the official files hold the 1,016 test people")
