"""Percentile bootstrap over images, or groups of them: 1,000 resamples, the same for all on the same annotations.

Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 6 and 13. Frames of one video, or pictures of
one person, are alike: drawn one by one they look like more evidence than they are. So annotations may say which belong
together, and whole groups are drawn.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from evaluator.errors import GroundTruthError
from evaluator.poses import Annotations, Integers
from evaluator.tally import Evidence, Score, Tally

RESAMPLES = 1000
PERCENTILES = (2.5, 97.5)
# Percentile intervals cover too little at the extremes: 0.63 of the time at p = 0.995 and n = 200.
FEWEST_GROUPS = 200
FEWEST_OUTCOMES = 10


def groups_of(annotations: Annotations, given: Mapping[int, Hashable] | None = None) -> Integers:
    """[I] the group of each image, 0.. in the order of their first images: what is drawn as one.

    From `given`, image id to any label (a benchmark's own grouping), or from the key `group` of the annotations'
    images; without either, each image is a group of its own. GroundTruthError when some images have a group and others
    have none.

    >>> from evaluator import annotations_from_arrays
    >>> groups_of(annotations_from_arrays(np.ones((3, 14, 2))), {1: "video a", 2: "video b", 3: "video a"})
    array([0, 1, 0])
    """
    image_ids = annotations.image_ids.tolist()
    if given is None:
        given = {image["id"]: image["group"] for image in annotations.images if image.get("group") is not None}
        if not given:
            return np.arange(len(image_ids))
    without = [image for image in image_ids if image not in given]
    if without:
        raise GroundTruthError(f"image {without[0]} has no group, and others have one: give every image its group")
    number: dict[Hashable, int] = {}
    try:
        found = [number.setdefault((type(given[image]), given[image]), len(number)) for image in image_ids]
    except TypeError:
        raise GroundTruthError("the group of an image is a list or an object: expected text or a number") from None
    return np.array(found, dtype=np.int64)


def image_weights(annotations: Annotations, groups: Integers, count: int = RESAMPLES) -> NDArray[np.uint16]:
    """[count, I] how often each image counts when whole groups are drawn; groups [I] as `groups_of` gives them."""
    drawn = resamples(annotations.sha256, int(groups.max(initial=-1)) + 1, count)
    return drawn if drawn.shape[1] == len(groups) else drawn[:, groups]


def resamples(truth_sha256: str, groups: int, count: int = RESAMPLES) -> NDArray[np.uint16]:
    """[count, groups] how often each is drawn when as many as there are are drawn with replacement.

    Seeded by the digest of the ground truth: every method is weighted alike, so differences can be paired.
    """
    generator = np.random.default_rng(int(truth_sha256, 16))
    weights = np.empty((count, groups), dtype=np.uint16)
    for row in range(count):
        weights[row] = np.bincount(generator.integers(0, groups, groups), minlength=groups)
    return weights


def enough(evidence: Evidence) -> bool:
    """Whether a percentile interval means anything."""
    return evidence.images >= FEWEST_GROUPS and evidence.hits >= FEWEST_OUTCOMES and evidence.misses >= FEWEST_OUTCOMES


def _evidence(tally: Tally, groups: Integers | None) -> list[Evidence]:
    """The tally's evidence with groups instead of images: those that define the score by themselves."""
    found = tally.evidence()
    many = tally.images if groups is None else int(groups.max(initial=-1)) + 1
    if groups is None or many == tally.images:
        return found
    if many < FEWEST_GROUPS:
        return [replace(each, images=min(each.images, many)) for each in found]
    defined = np.zeros(len(found))
    for some in np.array_split(np.arange(many), -(-many // 64)):
        alone = (groups == some[:, None]).astype(np.float64)  # [64, I] each group by itself
        defined += np.isfinite(tally.values(alone)).sum(axis=0)
    return [replace(each, images=float(count)) for each, count in zip(found, defined.tolist(), strict=True)]


def with_intervals(tally: Tally, weights: NDArray[np.uint16], groups: Integers | None = None) -> list[Score]:
    """The scores with their 95% intervals, none where there is too little to say: under 200 groups (of images, each
    its own when not given), or with fewer than 10 hits or misses. weights [B, I], groups [I].
    """
    scores = tally.scores()
    solid = {key: enough(evidence) for key, evidence in zip(tally.columns, _evidence(tally, groups), strict=True)}
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


@dataclass(frozen=True)
class Difference:
    """A score of two methods on the same images, A minus B; fractions.

    `low` and `high` bound the 95% interval of the difference, `p` is two-sided; None where there is too little to say.
    """

    metric: str
    part: str
    a: float
    b: float
    difference: float
    low: float | None = None
    high: float | None = None
    p: float | None = None


def paired_differences(
    a: Tally, b: Tally, weights: NDArray[np.uint16], groups: Integers | None = None
) -> list[Difference]:
    """A minus B for every score that both have, from one set of resamples, weights [B, I]: each draws the same images.

    p is twice the smaller share of resamples, the sample itself counted as one, in which the difference is at most,
    or at least, zero (Efron and Tibshirani 1993, chapter 15): never below 2 / 1,001, and 1 for equal results. There is
    no interval and no p under 200 groups (images, unless groups [I] say otherwise), or with fewer than 10 hits or
    misses of the two together.
    """
    if a.columns != b.columns or a.images != b.images:
        raise ValueError("two tallies are paired only on the same images and scores")
    ones = np.ones((1, a.images))
    value_a, value_b = a.values(ones)[0], b.values(ones)[0]
    solid = [
        enough(Evidence(min(one.images, other.images), one.hits + other.hits, one.misses + other.misses))
        for one, other in zip(_evidence(a, groups), _evidence(b, groups), strict=True)
    ]
    replicates = np.zeros((0, len(solid)))
    if any(solid):
        blocks = [block.astype(np.float64) for block in np.array_split(weights, 10)]
        replicates = np.concatenate([a.values(block) - b.values(block) for block in blocks])
    found = []
    for column, (metric, part) in enumerate(a.columns):
        if not np.isfinite(value_a[column]) or not np.isfinite(value_b[column]):
            continue
        plain = float(value_a[column]), float(value_b[column])
        difference = Difference(metric, part, *plain, plain[0] - plain[1])
        drawn = replicates[:, column]
        drawn = drawn[np.isfinite(drawn)]
        if solid[column] and len(drawn):
            low, high = np.percentile(drawn, PERCENTILES)
            tail = min((drawn <= 0).sum(), (drawn >= 0).sum())
            p = min(1.0, 2 * (float(tail) + 1) / (len(drawn) + 1))
            difference = replace(difference, low=float(low), high=float(high), p=p)
        found.append(difference)
    return found
