"""Leeds Sports Pose (Johnson and Everingham, BMVC 2010).

`joints.mat`: joints 3x14x2000 (x, y, 1 where the joint is occluded); images 1..1000 train, 1001..2000 test.
Predictions: pred 2x14x1000, sticks 2x20x1000 (start and end of the ten sticks, in the order of the dataset's limbs).
Coordinates are copied unchanged: annotations and predictions share one origin, and no score depends on it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluator.convert import coco
from evaluator.convert.errors import ConversionError
from evaluator.convert.json_form import (
    People,
    annotation_document,
    joints_box,
    looks_like_json,
    prediction_entries,
    rows_of,
)
from evaluator.convert.layout import oriented, reject_infinite, reject_unfinite
from evaluator.convert.reading import read_arrays

JOINTS, STICKS, IMAGES = 14, 10, 1000
FIRST_IMAGE = {"train": 1, "test": 1001}


def truth(path: Path, *, dataset: str, split: str | None, companion: Path | None) -> dict[str, Any]:
    """joints.mat -> annotations of one split; every joint is annotated. Image ids are the numbers in the file names."""
    split = _split(split)
    if looks_like_json(path):
        return coco.truth(path, dataset=dataset, split=split, companion=companion)
    file = read_arrays(path)
    shape = (3, JOINTS, 2 * IMAGES)
    joints = oriented(file, "joints", file.need("joints", "3x14x2000"), [shape])
    first = FIRST_IMAGE[split]
    chosen = joints[:, :, first - 1 : first - 1 + IMAGES]
    reject_unfinite(file, "joints", chosen)
    points = np.ascontiguousarray(chosen[:2].transpose(2, 1, 0))
    flags = np.where(chosen[2].T > 0, 1, 2).astype(np.int64)
    ids = range(first, first + IMAGES)
    return annotation_document(
        dataset,
        split,
        People(
            points=points,
            flags=flags,
            boxes=joints_box(points, flags),
            image_ids=ids,
            person_ids=[0] * IMAGES,
            file_names=[f"im{image:04d}.jpg" for image in ids],
            extra={},
        ),
    )


def predictions(
    path: Path, *, dataset: str, limbs: Path | None, split: str | None, truth: dict[str, Any] | None
) -> list[dict[str, Any]]:
    """pred 2x14x1000, or sticks 2x20x1000 alone (then every keypoint is missing), and the sticks of `limbs`."""
    if looks_like_json(path):
        return coco.predictions(path, dataset=dataset, limbs=limbs, split=split, truth=truth)
    file = read_arrays(path)
    shapes: list[tuple[int | None, ...]] = [(2, JOINTS, IMAGES), (2, 2 * STICKS, IMAGES)]
    pred = oriented(file, "pred", file.need("pred", "2x14x1000"), shapes)
    reject_infinite(file, "pred", pred.transpose(2, 1, 0))
    sticks = _sticks(limbs) if limbs else None
    if pred.shape[1] == 2 * STICKS:
        sticks = sticks if sticks is not None else _as_limbs(pred)
        points = np.full((IMAGES, JOINTS, 2), np.nan)
    else:
        points = np.ascontiguousarray(pred.transpose(2, 1, 0))
    first = FIRST_IMAGE[_split(split)]
    rows = rows_of(truth, IMAGES, path.name) if truth else [(image, 0) for image in range(first, first + IMAGES)]
    return prediction_entries(points, rows, sticks)


def _sticks(path: Path) -> NDArray[np.float64]:
    file = read_arrays(path)
    pred = oriented(file, "pred", file.need("pred", "sticks 2x20x1000"), [(2, 2 * STICKS, IMAGES)])
    reject_infinite(file, "pred", pred.transpose(2, 1, 0))
    return _as_limbs(pred)


def _as_limbs(pred: NDArray[np.float64]) -> NDArray[np.float64]:
    """[2, 20, N] -> [N, 10, 4]: x1, y1, x2, y2 of each stick."""
    return np.ascontiguousarray(pred.transpose(2, 1, 0)).reshape(-1, STICKS, 4)


def _split(split: str | None) -> str:
    if split is None:
        return "test"
    if split not in FIRST_IMAGE:
        raise ConversionError(f"LSP has no split {split!r}: there are {', '.join(FIRST_IMAGE)}")
    return split
