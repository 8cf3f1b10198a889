"""The greedy matching of scored detections to annotated people, and the precision-recall accumulation on top of it.

Both are COCO's (Lin et al., ECCV 2014; the conventions are those of pycocotools 2.0.11, maxDets 20), written over
arrays: all images at once, one pass per rank of detection. What COCO leaves to the order of the file is defined here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from evaluator.native import engine
from evaluator.poses import Booleans, Floats, Integers

Bits = NDArray[np.uint16]

THRESHOLDS: Floats = np.linspace(0.5, 0.95, 10)
RECALLS: Floats = np.linspace(0.0, 1.0, 101)
EPSILON = float(np.spacing(1))
# A similarity of exactly 1 must pass a threshold of 1 after rounding.
HIGHEST_THRESHOLD = 1 - 1e-10


@dataclass(frozen=True, eq=False)
class Detections:
    """The D detections that count, ordered by image, then descending score, then keypoints."""

    rows: Integers  # [D], into the predictions
    image: Integers  # [D], index of the image
    rank: Integers  # [D], 0.. in each image
    scores: Floats  # [D]


@dataclass(frozen=True, eq=False)
class Candidates:
    """C pairs of a detection and a person that are similar enough to match at the loosest threshold."""

    detection: Integers  # [C]
    person: Integers  # [C]
    similarity: Floats  # [C]


def ordered(image: Integers, scores: Floats, keypoints: Floats, most: int) -> Detections:
    """The `most` best-scored detections of each image, in an order that depends on their content alone.

    image [N], scores [N], keypoints [N, K, 3]. A score that is not a number comes last.
    """
    ranking = np.where(np.isnan(scores), -np.inf, scores)
    order = np.lexsort((-ranking, image))
    same = (np.diff(image[order]) == 0) & (ranking[order][1:] == ranking[order][:-1])
    tied = np.zeros(len(order), dtype=bool)
    tied[1:] |= same
    tied[:-1] |= same
    if tied.any():
        # Each run of ties is contiguous, and sorting by image and score again keeps the runs where they are.
        places = np.flatnonzero(tied)
        rows = order[places]
        columns = np.nan_to_num(keypoints[rows].reshape(len(rows), -1), nan=np.inf)
        order[places] = rows[np.lexsort((*columns.T[::-1], -ranking[rows], image[rows]))]
    sorted_image = image[order]
    starts = np.searchsorted(sorted_image, sorted_image)
    rank = np.arange(len(order)) - starts
    best = rank < most
    rows = order[best]
    return Detections(rows, sorted_image[best], rank[best], ranking[rows])


def pairs(image: Integers, people_image: Integers, images: int) -> tuple[Integers, Integers]:
    """Every pair of detection and person in the same image, as two index arrays of shape [pairs].

    image [D] and people_image [P] are ascending image indices.
    """
    count = np.bincount(people_image, minlength=images)
    start = np.concatenate([[0], np.cumsum(count)[:-1]]).astype(np.int64)
    many = count[image]
    detection = np.repeat(np.arange(len(image)), many)
    before = np.repeat(np.cumsum(many) - many, many)
    person = np.repeat(start[image], many) + np.arange(len(detection)) - before
    return detection, person


def greedy(
    detections: Detections, candidates: Candidates, ignored: Booleans, crowd: Booleans, position: Integers
) -> tuple[Booleans, Booleans]:
    """(matched, absorbed), both [A, T, D], at COCO's thresholds: absorbed were matched to someone who does not count.

    The arguments are those of `assigned`.
    """
    person = assigned(detections, candidates, ignored, crowd, position, THRESHOLDS)
    matched = person >= 0
    area = np.arange(len(ignored))[:, None, None]
    return matched, matched & ignored[area, person]


def assigned(
    detections: Detections,
    candidates: Candidates,
    ignored: Booleans,
    crowd: Booleans,
    position: Integers,
    thresholds: Floats,
) -> NDArray[np.int32]:
    """[A, T, D] the person of each detection, -1 for nobody: best score first, at every threshold and area range.

    ignored [A, P] says who does not count in a range, crowd [P] who may be matched by any number of detections,
    position [P] the place of each in the annotation file. A detection is matched to the most similar person that is
    free; people who count come first. Of people with equal similarity, the detection is matched to the one with the
    larger id if they count, otherwise to the later in the file: similarities of exactly 1 are common there, and
    pycocotools decides by the file.
    """
    areas, total = len(ignored), len(detections.rows)
    limits = np.minimum(thresholds, HIGHEST_THRESHOLD)
    found = np.full((areas, len(limits), total), -1, dtype=np.int32)
    free = np.ones((areas, len(limits), ignored.shape[1]), dtype=bool)
    rank = detections.rank[candidates.detection]
    # A detection's candidates are in ascending order, so the best is the one with the largest place. Those who do not
    # count are in another order: `late` turns a place of the first order into one of the second, `early` turns it back.
    order = np.lexsort((candidates.person, candidates.similarity, candidates.detection, rank))
    by_position = np.lexsort((position[candidates.person], candidates.similarity, candidates.detection, rank))
    place_of = np.empty(len(order), dtype=np.int64)
    place_of[order] = np.arange(len(order))
    early = place_of[by_position]
    late = np.empty(len(order), dtype=np.int64)
    late[early] = np.arange(len(order))
    bounds = np.searchsorted(rank[order], np.arange(rank.max(initial=-1) + 2))
    for first, last in pairwise(bounds.tolist()):
        if first == last:
            continue
        chosen = order[first:last]
        detection, person = candidates.detection[chosen], candidates.person[chosen]
        starts = np.flatnonzero(np.diff(detection, prepend=-1))
        able = (candidates.similarity[chosen] >= limits[:, None]) & free[:, :, person]  # [A, T, n]
        counts = ~ignored[:, None, person]  # [A, 1, n]
        best = np.maximum.reduceat(np.where(able & counts, np.arange(len(chosen)), -1), starts, axis=2)
        second = np.maximum.reduceat(np.where(able & ~counts, late[first:last] - first, -1), starts, axis=2)
        second = np.where(second >= 0, early[first + second] - first, -1)
        winner = np.where(best >= 0, best, second)  # [A, T, detections of this rank]
        area, threshold, place = np.nonzero(winner >= 0)
        who, row = person[winner[area, threshold, place]], detection[starts[place]]
        found[area, threshold, row] = who
        free[area, threshold, who] = crowd[who]
    return found


@dataclass(frozen=True, eq=False)
class Settled:
    """One area range, prepared for many weightings: detections whose state depends on the threshold, and the rest."""

    image: Integers  # [V] image of each detection that is a hit somewhere, or changes state with the threshold
    hit: Floats  # [T, V]
    false: Floats  # [T, V]
    false_image: Integers  # [F] image of each detection that is a false positive at every threshold
    false_before: Integers  # [V] how many of these F are ranked before each of the V
    people_image: Integers  # [people who count in this range]


@dataclass(frozen=True, eq=False)
class Matches:
    """What happened to every detection: D in descending score, T thresholds, A area ranges, P people, I images."""

    images: int
    image: Integers  # [D]
    hit_bits: Bits  # [A, D] true positives: bit t for threshold t
    false_bits: Bits  # [A, D] false positives; a detection that is neither is ignored
    people_image: Integers  # [P]
    counts: Booleans  # [A, P] who counts in each range

    @cached_property
    def hit(self) -> Booleans:
        """[A, T, D]"""
        return _spread(self.hit_bits)

    @cached_property
    def false(self) -> Booleans:
        """[A, T, D]"""
        return _spread(self.false_bits)

    @cached_property
    def settled(self) -> tuple[Settled, ...]:
        prepared = []
        for hit, false, counts in zip(self.hit, self.false, self.counts, strict=True):
            always_false = false.all(axis=0)
            never = ~(hit | false).any(axis=0)
            changing = np.flatnonzero(~always_false & ~never)
            constant = np.flatnonzero(always_false)
            prepared.append(
                Settled(
                    image=self.image[changing],
                    hit=hit[:, changing].astype(np.float64),
                    false=false[:, changing].astype(np.float64),
                    false_image=self.image[constant],
                    false_before=np.searchsorted(constant, changing).astype(np.int64),
                    people_image=self.people_image[counts],
                )
            )
        return tuple(prepared)


def bits(values: Booleans) -> Bits:
    """[A, D] of [A, T, D]: bit t for threshold t."""
    place = (1 << np.arange(values.shape[1])).astype(np.uint16)
    # in C's order, whatever the order of the values: the C reads no other
    return np.ascontiguousarray((values * place[:, None]).sum(axis=1, dtype=np.uint16))


def _spread(packed: Bits) -> Booleans:
    return (packed[:, None, :] >> np.arange(len(THRESHOLDS), dtype=np.uint16)[:, None] & 1).astype(bool)


def accumulated(matches: Matches, weights: Floats) -> Iterator[tuple[Floats, Floats]]:
    """`accumulate` for each of the weightings [B, I]."""
    whole = weights.size > 0 and (weights == np.floor(weights)).all() and np.abs(weights).max() < 1 << 20
    if whole and (native := engine.native()):
        precision, recall = native.accumulate(
            matches.hit_bits, matches.false_bits, matches.image, matches.people_image, matches.counts, weights,
            RECALLS, len(THRESHOLDS),
        )  # fmt: skip
        yield from zip(precision, recall, strict=True)
    else:
        yield from (accumulate(matches, weight) for weight in weights)


def accumulate(matches: Matches, weights: Floats) -> tuple[Floats, Floats]:
    """Interpolated precision [A, T, 101] and final recall [A, T], each image counting `weights[image]` times.

    NaN in a range where nobody counts. Whole weights equal images that are literally repeated.
    """
    shape = matches.hit.shape[:2]
    precision, recall = np.full((*shape, len(RECALLS)), np.nan), np.full(shape, np.nan)
    for area, part in enumerate(matches.settled):
        people = weights[part.people_image].sum()
        if people <= 0:
            continue
        constant = np.concatenate([[0.0], np.cumsum(weights[part.false_image])])[part.false_before]
        weight = weights[part.image]
        hits = np.cumsum(part.hit * weight, axis=1)
        false = np.cumsum(part.false * weight, axis=1) + constant
        recalled = hits / people
        precise = hits / (false + hits + EPSILON)
        # Interpolation: the best precision at this recall or any higher one.
        envelope = np.maximum.accumulate(precise[:, ::-1], axis=1)[:, ::-1]
        envelope = np.concatenate([envelope, np.zeros((len(envelope), 1))], axis=1)
        for threshold in range(shape[1]):
            reached = np.searchsorted(recalled[threshold], RECALLS, side="left")
            precision[area, threshold] = envelope[threshold, reached]
        recall[area] = recalled[:, -1] if recalled.shape[1] else 0.0
    return precision, recall
