"""OKS mAP: average precision and recall over object keypoint similarity, COCO's metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluator.dataset import Dataset
from evaluator.errors import DatasetDefinitionError, GroundTruthError
from evaluator.matching import (
    EPSILON,
    HIGHEST_THRESHOLD,
    THRESHOLDS,
    Candidates,
    Detections,
    Matches,
    accumulated,
    bits,
    greedy,
    ordered,
    pairs,
)
from evaluator.native import engine
from evaluator.native.codes import FAILED
from evaluator.poses import Annotations, Booleans, Floats, Integers, Predictions
from evaluator.tally import Evidence, Score, defined_scores

TITLE = "Average precision and recall by object keypoint similarity"
SOURCE = "COCO keypoint evaluation (Lin et al., ECCV 2014), as pycocotools 2.0.11 computes it on input without ties"
HIGHER_IS_BETTER = True
PARTS = "none"
# Scaling moves people between the area ranges, and turning, or a joint that nobody annotated, a detection's own area;
# a joint moved away can free an annotation for a better match.
INVARIANCES = frozenset({"translation", "mirror", "rank", "perfect", "nobody"})

AREAS: dict[str, tuple[float, float]] = {  # square pixels, both ends included
    "all": (0.0, 1e5**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e5**2),
}
RANGES: Floats = np.array(list(AREAS.values()))
MOST_DETECTIONS = 20
PAIRS_AT_ONCE = 1 << 15
COMPILED_PAIRS_AT_ONCE = 1 << 12  # their exponents fit into the second-level cache


@dataclass(frozen=True)
class Statistic:
    """One of the ten numbers: mean precision or recall over the thresholds [first, last) in a range of areas."""

    recall: bool
    first: int
    last: int
    area: str


STATISTICS: dict[str, Statistic] = {
    f"{kind}{suffix}": Statistic(kind == "ar", first, last, area)
    for kind in ("ap", "ar")
    for suffix, first, last, area in (
        ("", 0, 10, "all"),
        ("50", 0, 1, "all"),
        ("75", 5, 6, "all"),
        ("_medium", 0, 10, "medium"),
        ("_large", 0, 10, "large"),
    )
}


SCORES = tuple(STATISTICS)


def check(dataset: Dataset, *, box_share: float | None = None) -> None:
    if not len(dataset.sigmas):
        raise DatasetDefinitionError(f"{dataset.name}.toml: sigmas: missing, and OKS divides by them")
    if box_share is not None and box_share <= 0:
        raise ValueError(f"box_share: expected a number above 0, found {box_share}")


@dataclass(frozen=True, eq=False)
class MatchTally:
    """The matches behind OKS average precision; any weighting of the images is accumulated anew."""

    names: tuple[str, ...]
    matches: Matches
    statistics: tuple[str, ...] = ()  # of STATISTICS, the one for each name; the names themselves when not given

    @property
    def columns(self) -> tuple[tuple[str, str], ...]:
        return tuple((name, "all") for name in self.names)

    @property
    def images(self) -> int:
        return self.matches.images

    def scores(self, weights: Floats | None = None) -> list[Score]:
        return defined_scores(self, weights)

    def values(self, weights: Floats) -> Floats:
        values = np.full((len(weights), len(self.names)), np.nan)
        for row, (precision, recall) in enumerate(accumulated(self.matches, weights)):
            for column, name in enumerate(self.statistics or self.names):
                wanted = STATISTICS[name]
                source = recall if wanted.recall else precision
                values[row, column] = source[_area(wanted), wanted.first : wanted.last].mean()
        return values

    def evidence(self) -> list[Evidence]:
        """Hits are people found at a score's loosest threshold, misses people not found at its strictest."""
        found = []
        for name in self.statistics or self.names:
            wanted = STATISTICS[name]
            area = _area(wanted)
            people = self.matches.people_image[self.matches.counts[area]]
            hit = self.matches.hit[area].sum(axis=1)
            found.append(
                Evidence(
                    images=float(len(np.unique(people))),
                    hits=float(hit[wanted.first]),
                    misses=float(len(people) - hit[wanted.last - 1]),
                )
            )
        return found


def _area(statistic: Statistic) -> int:
    return list(AREAS).index(statistic.area)


def measure(
    annotations: Annotations,
    predictions: Predictions,
    dataset: Dataset,
    *,
    names: Sequence[str],
    box_share: float | None = None,
) -> MatchTally:
    """The ten numbers of COCO. `box_share`: the object's area is this share of its box (CrowdPose), not the file's.

    Crowd regions and people without a labelled joint are tried last and absorb detections. Of equal OKS, a detection is
    matched to the larger id among people who count, otherwise to the later in the annotation file. The area of a
    detection is that of its keypoints' extent: boxes and areas in a prediction file are not read.
    A detection that is not finite matches nobody.
    """
    return MatchTally(tuple(names), matches(annotations, predictions, dataset.sigmas, areas_of(annotations, box_share)))


def matches(
    annotations: Annotations, predictions: Predictions, sigmas: Floats, areas: Floats, extents: Floats | None = None
) -> Matches:
    """What happens to every detection. areas [P] of the people, extents [N] of the detections, in square pixels;
    a detection's is that of the box around its keypoints when not given.
    """
    people = _people(annotations, areas)
    found = _compiled_matches(annotations, predictions, people, sigmas, extents)
    return _matches(annotations, predictions, people, sigmas, extents) if found is None else found


@dataclass(frozen=True, eq=False)
class _People:
    """The annotated people, by image; ids ascend within an image."""

    image: Integers  # [P], ascending
    points: Floats  # [P, K, 2], NaN where not labelled
    labelled: Booleans  # [P, K]
    bare: Booleans  # [P] without a single labelled joint
    around: Floats  # [P, 4] left, top, right, bottom of the box doubled on every side
    areas: Floats  # [P]
    away: Booleans  # [A, P] who does not count in a range
    crowd: Booleans  # [P]
    position: Integers  # [P]


def _people(annotations: Annotations, areas: Floats) -> _People:
    order = np.argsort(annotations.image, kind="stable")  # ids ascend throughout, so within an image too
    labelled = np.ascontiguousarray(annotations.visibility[order] > 0)
    bare = np.asarray(~labelled.any(axis=1))
    boxes = np.asarray(annotations.boxes[order], dtype=np.float64)
    if np.isnan(boxes[bare]).any():
        raise GroundTruthError("an annotation without labelled joints has no bbox, which OKS needs for it")
    return _People(
        image=annotations.image[order],
        points=np.ascontiguousarray(annotations.keypoints[order], dtype=np.float64),
        labelled=labelled,
        bare=bare,
        around=np.concatenate([boxes[:, :2] - boxes[:, 2:], boxes[:, :2] + boxes[:, 2:] * 2], axis=1),
        areas=np.asarray(areas[order], dtype=np.float64),
        away=(~annotations.people)[order] | outside(areas[order], RANGES),
        crowd=annotations.crowd[order],
        position=annotations.positions[order],
    )


def _matches(
    annotations: Annotations, predictions: Predictions, people: _People, sigmas: Floats, extents: Floats | None
) -> Matches:
    image = np.searchsorted(annotations.image_ids, predictions.image_ids)
    detections = ordered(image, predictions.scores, predictions.keypoints, MOST_DETECTIONS)
    keypoints = predictions.keypoints[detections.rows, :, :2]
    candidates = _candidates(people, len(annotations.image_ids), detections, keypoints, sigmas)
    matched, absorbed = greedy(detections, candidates, people.away, people.crowd, people.position)
    sizes = extents_of(keypoints) if extents is None else extents[detections.rows]
    out = outside(sizes, RANGES)[:, None, :]  # [A, 1, D]
    best_first = np.lexsort((np.arange(len(detections.rows)), -detections.scores))
    return Matches(
        images=len(annotations.image_ids),
        image=detections.image[best_first],
        hit_bits=bits((matched & ~absorbed)[..., best_first]),
        false_bits=bits((~matched & ~out)[..., best_first]),
        people_image=people.image,
        counts=~people.away,
    )


def _compiled_matches(
    annotations: Annotations, predictions: Predictions, people: _People, sigmas: Floats, extents: Floats | None
) -> Matches | None:
    """The same in C; None without it, for arrays that are not finite and for images with very many people."""
    rows, joints = predictions.keypoints.shape[:2]
    native = engine.native()
    if native is None or not np.isfinite(predictions.scores).all():
        return None
    images = len(annotations.image_ids)
    keypoints = np.ascontiguousarray(predictions.keypoints, dtype=np.float64).reshape(rows, 3 * joints)
    scores = np.ascontiguousarray(predictions.scores, dtype=np.float64)
    image_ids, wanted = (
        np.ascontiguousarray(ids, dtype=np.int64) for ids in (annotations.image_ids, predictions.image_ids)
    )
    image = native.places(image_ids, wanted)
    if rows and image.max() >= images:
        return None
    chosen, image, few = native.ordered(image, scores, keypoints, images, MOST_DETECTIONS)
    if not few:
        return None
    out = np.empty((len(RANGES), len(chosen)), dtype=bool)
    start = np.searchsorted(people.image, np.arange(images + 1))
    count = people.labelled.sum(axis=1)
    most = max(COMPILED_PAIRS_AT_ONCE, int(np.diff(start).max(initial=0)))
    detection, person = np.empty(most, dtype=np.int64), np.empty(most, dtype=np.int64)
    exponent, similarity = np.empty((most, joints)), np.empty(most)
    parts: list[tuple[Integers, Integers, Floats]] = []
    following = 0
    while following < len(chosen):
        following, pairs = native.exponents(
            following, image, chosen, keypoints, start, people.points, people.labelled, count, people.around,
            people.areas, (sigmas * 2) ** 2, RANGES, out, detection, person, exponent,
        )  # fmt: skip
        if pairs == FAILED:
            return None
        np.exp(exponent[:pairs], out=exponent[:pairs])
        near = native.similar(detection[:pairs], person[:pairs], exponent[:pairs], people.labelled, count, similarity)
        parts.append((detection[:near].copy(), person[:near].copy(), similarity[:near].copy()))
    if not parts:
        parts.append((detection[:0], person[:0], similarity[:0]))
    found = [np.concatenate(column) for column in zip(*parts, strict=True)]
    limits = np.minimum(THRESHOLDS, HIGHEST_THRESHOLD)
    matched, absorbed = native.greedy(
        len(chosen), found[0], found[1], found[2], people.away, people.crowd, people.position, limits
    )
    if extents is not None:
        out = outside(extents[chosen], RANGES)
    best_first = native.descending(scores[chosen])
    every = np.uint16((1 << len(limits)) - 1)
    false = np.where(out, np.uint16(0), every & ~matched)
    return Matches(
        images=images,
        image=image[best_first],
        hit_bits=np.ascontiguousarray((matched & ~absorbed)[:, best_first]),
        false_bits=np.ascontiguousarray(false[:, best_first]),
        people_image=people.image,
        counts=~people.away,
    )


def areas_of(annotations: Annotations, box_share: float | None) -> Floats:
    areas = annotations.areas
    if box_share is not None:
        areas = box_share * annotations.boxes[:, 2] * annotations.boxes[:, 3]
    unknown = np.isnan(areas)
    if unknown.any():
        lacks = "area" if box_share is None else "bbox"
        raise GroundTruthError(f"annotation {annotations.ids[unknown][0]} has no {lacks}, which OKS needs")
    return areas


def outside(areas: Floats, ranges: Floats) -> Booleans:
    """[A, n] whether areas [n] lie outside the ranges [A, 2]."""
    with np.errstate(invalid="ignore"):
        return np.asarray((areas < ranges[:, :1]) | (areas > ranges[:, 1:]))


def extents_of(keypoints: Floats) -> Floats:
    """[D] area of the box around keypoints [D, K, 2]."""
    with np.errstate(invalid="ignore", over="ignore"):
        size = keypoints.max(axis=1) - keypoints.min(axis=1)
        return size[:, 0] * size[:, 1]


def _candidates(people: _People, images: int, detections: Detections, keypoints: Floats, sigmas: Floats) -> Candidates:
    detection, person = pairs(detections.image, people.image, images)
    true, labelled, bare, sizes = people.points, people.labelled, people.bare, people.areas
    parts: list[tuple[Integers, Integers, Floats]] = []
    for start in range(0, len(detection), PAIRS_AT_ONCE):
        d, p = detection[start : start + PAIRS_AT_ONCE], person[start : start + PAIRS_AT_ONCE]
        for unlabelled in (False, True):
            chosen = bare[p] == unlabelled
            dc, pc = d[chosen], p[chosen]
            if unlabelled:
                offset = _beyond(keypoints[dc], people.around[pc])
                similarity = oks(offset, np.ones(offset.shape[:2], dtype=bool), sizes[pc], sigmas)
            else:
                offset = np.where(labelled[pc][..., None], keypoints[dc] - true[pc], 0.0)
                similarity = oks(offset, labelled[pc], sizes[pc], sigmas)
                # A coordinate that is not finite spoils the detection even where the person has no label.
                similarity[~np.isfinite(keypoints[dc]).all(axis=(1, 2))] = 0.0
            near = similarity >= THRESHOLDS[0]
            parts.append((dc[near], pc[near], similarity[near]))
    if not parts:
        none = np.zeros(0, dtype=np.int64)
        return Candidates(none, none, np.zeros(0))
    found = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return Candidates(found[0], found[1], found[2])


def _beyond(keypoints: Floats, around: Floats) -> Floats:
    """[n, K, 2] how far keypoints lie outside boxes [n, 4] of left, top, right and bottom."""
    low, high = around[:, None, :2], around[:, None, 2:]
    with np.errstate(invalid="ignore"):
        return np.maximum(0.0, low - keypoints) + np.maximum(0.0, keypoints - high)


def oks(offsets: Floats, labelled: Booleans, areas: Floats, sigmas: Floats) -> Floats:
    """[n] object keypoint similarity: mean over labelled joints of exp(-d^2 / (2 s^2 k^2)), k = 2 sigma, s^2 = area.

    offsets [n, K, 2] in pixels, labelled [n, K], areas [n] in square pixels, sigmas [K]. 0 where it is not finite.
    """
    variances = (sigmas * 2) ** 2
    with np.errstate(invalid="ignore", over="ignore"):
        squares = offsets[..., 0] ** 2 + offsets[..., 1] ** 2
        exponents = squares / variances / (areas + EPSILON)[:, None] / 2
        each = np.exp(-exponents) * labelled
        total = np.zeros(len(each))
        for joint in range(each.shape[1]):  # in this order, which the compiled code has too
            total += each[:, joint]
        similarity = total / np.maximum(labelled.sum(axis=1), 1)
    return np.where(np.isfinite(similarity), similarity, 0.0)
