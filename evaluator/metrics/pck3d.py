"""3DPCK: the share of a 3D pose's joints within some millimetres of their annotations, and the area under its curve."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evaluator.alignment import distances, root_centred
from evaluator.dataset import Dataset
from evaluator.distances import check_thresholds
from evaluator.metrics import mpjpe
from evaluator.poses import Annotations, Predictions
from evaluator.space import by_joint_and_action, poses_in_space
from evaluator.tally import RateTally

TITLE = "Percentage of correct keypoints in space"
SOURCE = (
    "Mehta, Rhodin, Casas, Fua, Sotnychenko, Xu and Theobalt, Monocular 3D human pose estimation in the wild using "
    "improved CNN supervision, 3DV 2017; the conventions of the dataset's own evaluation (mpii_compute_3d_pck.m)"
)
HIGHER_IS_BETTER = True
ENTRY, PARTS, INVARIANCES = mpjpe.ENTRY, mpjpe.PARTS, mpjpe.INVARIANCES


def check(dataset: Dataset, *, root: str, threshold: float, step: float | None = None) -> None:
    mpjpe.check(dataset, root=root)
    check_thresholds(threshold, step)


def measure(
    annotations: Annotations,
    predictions: Predictions,
    dataset: Dataset,
    *,
    names: Sequence[str],
    root: str,
    threshold: float,
    step: float | None = None,
) -> RateTally:
    """Joints less than `threshold` millimetres away (strictly) after both poses have their `root` at the origin.

    With `step`, the mean of the shares at the thresholds 0, step, .. threshold, all with the same weight. Nothing is
    nearer than 0, so with the official 31 thresholds of 0:5:150 a perfect prediction has 30/31.
    Joints that nobody annotated, and the dataset's unscored ones, do not count. PredictionError for a person without a
    pose.
    """
    (name,) = names
    found, true, counted = poses_in_space(annotations, predictions, dataset, root=root)
    joint = dataset.joint(root)
    apart = distances(root_centred(found, joint), root_centred(true, joint))
    thresholds = np.array([threshold]) if step is None else step * np.arange(round(threshold / step) + 1)
    # How many of the thresholds are larger than each distance; none for NaN, where nobody annotated the joint.
    hits = len(thresholds) - np.searchsorted(thresholds, apart, side="right")
    sums, counts, parts = by_joint_and_action(hits.astype(np.float64), counted, annotations, dataset)
    return RateTally(
        metric=name,
        hits=sums,
        counts=counts * len(thresholds),
        parts=parts,
        unit=len(thresholds),
        whole=len(dataset.joints),
    )
