"""PDJ: the share of joints detected within a fraction of a base element, the torso or the person's box."""

from __future__ import annotations

from collections.abc import Sequence

from evaluator.dataset import Dataset
from evaluator.distances import check_normaliser, check_thresholds
from evaluator.metrics import pck
from evaluator.poses import Annotations, Predictions
from evaluator.tally import RateTally

TITLE = "Percentage of detected joints"
SOURCE = "Toshev and Szegedy, DeepPose, CVPR 2014 (torso); sum(d < t x diagonal) / n for the bounding box"
HIGHER_IS_BETTER = True
PARTS = pck.PARTS
# Turning changes the box.
INVARIANCES = pck.INVARIANCES - {"rotation"}

# The base element decides whether the threshold itself is still a hit.
STRICT = {"torso": False, "joint_box": True}


def check(dataset: Dataset, *, base: str, threshold: float) -> None:
    if base not in STRICT:
        raise ValueError(f"base: no {base!r}; there are {', '.join(STRICT)}")
    check_normaliser(dataset, base)
    check_thresholds(threshold)


def measure(
    annotations: Annotations,
    predictions: Predictions,
    dataset: Dataset,
    *,
    names: Sequence[str],
    base: str,
    threshold: float,
) -> RateTally:
    """Joints at most `threshold` x torso away, or less than `threshold` x the diagonal of the annotated joints' box."""
    return pck.measure(
        annotations,
        predictions,
        dataset,
        names=names,
        normaliser=base,
        threshold=threshold,
        strict=STRICT[base],
    )
