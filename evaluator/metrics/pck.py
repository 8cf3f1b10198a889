"""PCK: the share of joints that were predicted within a fraction of the annotated person's size."""

from __future__ import annotations

from collections.abc import Sequence

from evaluator.dataset import Dataset
from evaluator.distances import NORMALISERS, area_under_curve, check_normaliser, check_thresholds, euclidean, within
from evaluator.poses import Annotations, Predictions, aligned
from evaluator.tally import RateTally, by_image

TITLE = "Percentage of correct keypoints"
SOURCE = "Yang and Ramanan, TPAMI 2013; the torso as in Sapp and Taskar, MODEC, CVPR 2013"
HIGHER_IS_BETTER = True
PARTS = "joints"
# Mirroring turns the torso of one side into that of the other.
INVARIANCES = frozenset(
    {"translation", "scale", "rotation", "confidence", "rank", "unannotated", "farther", "perfect", "nobody"}
)


def check(
    dataset: Dataset, *, normaliser: str, threshold: float, step: float | None = None, strict: bool = False
) -> None:
    check_normaliser(dataset, normaliser)
    check_thresholds(threshold, step)


def measure(
    annotations: Annotations,
    predictions: Predictions,
    dataset: Dataset,
    *,
    names: Sequence[str],
    normaliser: str,
    threshold: float,
    step: float | None = None,
    strict: bool = False,
) -> RateTally:
    """Joints at most `threshold` x normaliser from the annotated place (`strict`: under it).

    With `step`, the trapezoid area under the curve over thresholds 0:step:threshold, divided by the threshold.
    Every annotated joint counts, occluded ones too; a joint that was not predicted is a miss; joints that nobody
    annotated, and people whose normaliser cannot be measured, leave the denominator; a normaliser of zero is a miss.
    """
    (name,) = names
    lengths = NORMALISERS[normaliser](annotations, dataset)[:, None]  # [P, 1]
    distances = euclidean(aligned(annotations, predictions).keypoints, annotations.keypoints)  # [P, K]
    counted = (annotations.visibility > 0) & annotations.people[:, None] & (lengths == lengths)
    counted = counted & dataset.scored
    if step is None:
        hits, unit = within(distances, lengths, threshold, strict=strict).astype(float), 1
    else:
        hits, unit = area_under_curve(distances, lengths, threshold, step)
    images = len(annotations.image_ids)
    return RateTally(
        metric=name,
        hits=by_image(hits * counted, annotations.image, images),
        counts=by_image(counted * float(unit), annotations.image, images),
        parts={part: tuple(map(dataset.joint, joints)) for part, joints in dataset.parts.items()},
        unit=unit,
    )
