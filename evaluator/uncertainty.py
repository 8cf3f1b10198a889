"""Percentile bootstrap over images: 1,000 multinomial resamples, the same for everyone who is scored on a truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from evaluator.tally import Evidence, Score, Tally

RESAMPLES = 1000
PERCENTILES = (2.5, 97.5)
# Percentile intervals cover too little at the extremes: 0.63 of the time at p = 0.995 and n = 200.
FEWEST_IMAGES = 200
FEWEST_OUTCOMES = 10


def resamples(truth_sha256: str, images: int, count: int = RESAMPLES) -> NDArray[np.uint16]:
    """[count, images] how often each image is drawn when as many as there are are drawn with replacement.

    Seeded by the digest of the ground truth: every method is weighted alike, so differences can be paired.
    """
    generator = np.random.default_rng(int(truth_sha256, 16))
    weights = np.empty((count, images), dtype=np.uint16)
    for row in range(count):
        weights[row] = np.bincount(generator.integers(0, images, images), minlength=images)
    return weights


def enough(evidence: Evidence) -> bool:
    """Whether a percentile interval means anything."""
    return evidence.images >= FEWEST_IMAGES and evidence.hits >= FEWEST_OUTCOMES and evidence.misses >= FEWEST_OUTCOMES


def with_intervals(tally: Tally, weights: NDArray[np.uint16]) -> list[Score]:
    """The scores with their 95 % intervals, none where there is too little to say."""
    scores = tally.scores()
    solid = {key: enough(evidence) for key, evidence in zip(tally.columns, tally.evidence(), strict=True)}
    if not any(solid.values()):
        return scores
    blocks = np.array_split(weights, 10)  # a matrix of all resamples in float64 is large
    values = np.concatenate([tally.values(block.astype(np.float64)) for block in blocks])
    column = {key: index for index, key in enumerate(tally.columns)}
    found = []
    for score in scores:
        key = (score.metric, score.part)
        replicates = values[:, column[key]]
        replicates = replicates[np.isfinite(replicates)]
        if solid[key] and len(replicates):
            low, high = np.percentile(replicates, PERCENTILES)
            score = replace(score, low=float(low), high=float(high))
        found.append(score)
    return found
