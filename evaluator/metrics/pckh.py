"""PCKh: PCK measured against the head, MPII's metric."""

from __future__ import annotations

from collections.abc import Sequence

from evaluator.dataset import Dataset
from evaluator.distances import check_thresholds
from evaluator.metrics import pck
from evaluator.poses import Annotations, Predictions
from evaluator.tally import RateTally

TITLE = "Percentage of correct keypoints, by head size"
SOURCE = "Andriluka, Pishchulin, Gehler and Schiele, 2D human pose estimation: new benchmark, CVPR 2014"
HIGHER_IS_BETTER = True
PARTS = pck.PARTS
INVARIANCES = pck.INVARIANCES | {"mirror"}


def check(dataset: Dataset, *, threshold: float, step: float | None = None) -> None:
    check_thresholds(threshold, step)


def measure(
    annotations: Annotations,
    predictions: Predictions,
    dataset: Dataset,
    *,
    names: Sequence[str],
    threshold: float,
    step: float | None = None,
) -> RateTally:
    """Joints at most `threshold` x head size away, the head size being 0.6 x the diagonal of the head box.

    `step` asks for the area under the curve, as in PCK. The dataset's unscored joints (pelvis, thorax) never count.
    """
    return pck.measure(
        annotations, predictions, dataset, names=names, normaliser="head", threshold=threshold, step=step
    )
