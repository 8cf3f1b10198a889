"""NME: the mean distance of the joints from their annotations, divided by the length of the person's torso."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evaluator.dataset import Dataset
from evaluator.distances import NORMALISERS, euclidean
from evaluator.poses import Annotations, Predictions, aligned
from evaluator.tally import MeanTally, by_image

TITLE = "Normalised mean error"
SOURCE = "A metric that is added by one file"
HIGHER_IS_BETTER = False
RANGE = (0.0, None)
PARTS = "joints"
INVARIANCES = frozenset({"translation", "scale", "rotation", "confidence", "rank", "unannotated", "farther", "perfect"})


def measure(annotations: Annotations, predictions: Predictions, dataset: Dataset, *, names: Sequence[str]) -> MeanTally:
    """A joint that is not predicted counts as one torso away; people without an annotated torso are left out."""
    (name,) = names
    lengths = NORMALISERS["torso"](annotations, dataset)[:, None]  # [P, 1]
    distances = euclidean(aligned(annotations, predictions).keypoints, annotations.keypoints)  # [P, K]
    counted = (annotations.visibility > 0) & annotations.people[:, None] & dataset.scored & (lengths > 0)
    errors = np.divide(distances, lengths, out=np.ones_like(distances), where=counted & ~np.isnan(distances))
    images = len(annotations.image_ids)
    return MeanTally(
        metric=name,
        sums=by_image(np.where(counted, errors, 0.0), annotations.image, images),
        counts=by_image(counted.astype(np.float64), annotations.image, images),
        parts={part: tuple(map(dataset.joint, joints)) for part, joints in dataset.parts.items()},
    )
