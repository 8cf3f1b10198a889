"""PCP: the share of limbs whose two ends were predicted within a fraction of the limb's true length."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evaluator.dataset import Dataset
from evaluator.distances import check_thresholds, euclidean, limbs_of, within
from evaluator.errors import DatasetDefinitionError
from evaluator.metrics import pck
from evaluator.poses import Annotations, Predictions, aligned
from evaluator.tally import RateTally, by_image

TITLE = "Percentage of correct parts"
SOURCE = "Ferrari, Marin-Jimenez and Zisserman, CVPR 2008; strict and loose after Pishchulin et al., CVPR 2012"
HIGHER_IS_BETTER = True
PARTS = "limbs"
INVARIANCES = pck.INVARIANCES | {"mirror"}


def check(dataset: Dataset, *, threshold: float, loose: bool = False) -> None:
    if not dataset.limbs:
        raise DatasetDefinitionError(f"{dataset.name}.toml: limbs: missing, and PCP scores them")
    check_thresholds(threshold)


def measure(
    annotations: Annotations,
    predictions: Predictions,
    dataset: Dataset,
    *,
    names: Sequence[str],
    threshold: float,
    loose: bool = False,
) -> RateTally:
    """Limbs of which both ends are at most `threshold` x limb length away; `loose`: the mean of the two distances is.

    Ends are compared in the order of the dataset's [limbs]. A limb of length zero is a miss; so is one that was not
    predicted. Limbs that the predictions carry themselves are used instead of those between their keypoints.
    """
    (name,) = names
    predicted = aligned(annotations, predictions)
    found = limbs_of(predicted.keypoints, dataset) if predicted.limbs is None else predicted.limbs  # [P, L, 2, 2]
    true = limbs_of(annotations.keypoints, dataset) if annotations.limbs is None else annotations.limbs
    distances = euclidean(found, true)  # [P, L, 2]
    lengths = euclidean(true[..., 0, :], true[..., 1, :])  # [P, L]
    counted = ~np.isnan(lengths) & annotations.people[:, None]
    if loose:
        with np.errstate(over="ignore"):
            hits = within(distances.mean(axis=-1), lengths, threshold)
    else:
        hits = np.logical_and.reduce(within(distances, lengths[..., None], threshold), axis=-1)
    images = len(annotations.image_ids)
    limbs = list(dataset.limbs)
    return RateTally(
        metric=name,
        hits=by_image((hits & counted).astype(float), annotations.image, images),
        counts=by_image(counted.astype(float), annotations.image, images),
        parts={part: tuple(map(limbs.index, members)) for part, members in dataset.limb_parts.items()},
    )
