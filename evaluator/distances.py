"""Distances in pixels and the lengths they are divided by: torso, boxes, head, limbs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from evaluator.errors import GroundTruthError
from evaluator.poses import Annotations, Booleans, Floats

if TYPE_CHECKING:
    from evaluator.dataset import Dataset


def euclidean(a: Floats, b: Floats) -> Floats:
    """Distances between points of shape [..., 2], in pixels; NaN where a point is missing or not finite."""
    with np.errstate(invalid="ignore", over="ignore"):
        distance = np.hypot(a[..., 0] - b[..., 0], a[..., 1] - b[..., 1])
    return np.where(np.isfinite(distance), distance, np.nan)


TORSO = ("left_shoulder", "right_hip")


def torso(annotations: Annotations, dataset: Dataset) -> Floats:
    """[P] |left shoulder - right hip| of the annotation (Sapp and Taskar, MODEC, CVPR 2013)."""
    shoulder, hip = (annotations.keypoints[:, dataset.joint(joint)] for joint in TORSO)
    return euclidean(shoulder, hip)


def torso_box(annotations: Annotations, dataset: Dataset) -> Floats:
    """[P] diagonal of the torso box stored with the annotation (FLIC)."""
    diagonal = np.hypot(annotations.torso_boxes[:, 0], annotations.torso_boxes[:, 1])
    return _given(diagonal, annotations, "torso_box")


def joint_box(annotations: Annotations, dataset: Dataset) -> Floats:
    """[P] diagonal of the bounding box of the annotated joints."""
    points, known = annotations.keypoints, ~np.isnan(annotations.keypoints)
    low = np.where(known, points, np.inf).min(axis=1, initial=np.inf)
    high = np.where(known, points, -np.inf).max(axis=1, initial=-np.inf)
    diagonal = np.hypot(*(high - low).T)
    return np.where(np.isfinite(diagonal), diagonal, np.nan)


def head(annotations: Annotations, dataset: Dataset) -> Floats:
    """[P] head size: 0.6 x the diagonal of the head box (Andriluka et al., CVPR 2014)."""
    return _given(annotations.head_sizes, annotations, "head_size")


def _given(lengths: Floats, annotations: Annotations, field: str) -> Floats:
    if len(lengths) and annotations.people.any() and np.isnan(lengths[annotations.people]).all():
        raise GroundTruthError(f"the annotations have no {field}, which this metric divides by")
    return lengths


NORMALISERS: dict[str, Callable[[Annotations, Dataset], Floats]] = {
    "torso": torso,
    "torso_box": torso_box,
    "joint_box": joint_box,
    "head": head,
}


def check_normaliser(dataset: Dataset, name: str) -> None:
    """ValueError for an unknown normaliser, DatasetDefinitionError for a joint that it needs."""
    if name not in NORMALISERS:
        raise ValueError(f"normaliser: no {name!r}; there are {', '.join(NORMALISERS)}")
    if name == "torso":
        for joint in TORSO:
            dataset.joint(joint)


def check_thresholds(threshold: float, step: float | None = None) -> None:
    """ValueError unless there is a curve or a point of it: 0 < step <= threshold."""
    if threshold <= 0:
        raise ValueError(f"threshold: expected a number above 0, found {threshold}")
    if step is not None and not 0 < step <= threshold:
        raise ValueError(f"step: expected a number above 0 and up to the threshold, found {step}")


def limbs_of(keypoints: Floats, dataset: Dataset) -> Floats:
    """Endpoints of the dataset's limbs, [..., L, 2, 2], from joints [..., K, 2]; NaN where a joint is missing.

    An endpoint of two joints is the point halfway between them.
    """
    with np.errstate(over="ignore"):
        ends = [
            [np.mean([keypoints[..., dataset.joint(name), :2] for name in joints], axis=0) for joints in limb]
            for limb in dataset.limbs.values()
        ]
    return np.stack([np.stack(limb, axis=-2) for limb in ends], axis=-3)


def within(distances: Floats, lengths: Floats, threshold: float, *, strict: bool = False) -> Booleans:
    """Whether distances are at most (`strict`: under) threshold x length. NaN, and a length of zero, never are."""
    with np.errstate(invalid="ignore"):
        limit = threshold * lengths
        return np.asarray((distances < limit if strict else distances <= limit) & (lengths > 0))


def area_under_curve(distances: Floats, lengths: Floats, threshold: float, step: float) -> tuple[Floats, int]:
    """What each distance adds to the trapezoid area of its curve over thresholds 0:step:threshold.

    Returned in half steps, a whole number, with the whole area in half steps; so sums are exact in any order.
    """
    steps = round(threshold / step)
    area = np.zeros(distances.shape)
    for k in range(steps + 1):
        area += within(distances, lengths, round(k * step, 12)) * (1 if k in (0, steps) else 2)
    return area, 2 * steps
