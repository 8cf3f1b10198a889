"""OKS mAP: average precision and recall over object keypoint similarity, COCO's metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluator.definitions import Dataset
from evaluator.errors import GroundTruthError
from evaluator.matching import (
    EPSILON,
    THRESHOLDS,
    Candidates,
    Detections,
    Matches,
    accumulate,
    greedy,
    ordered,
    pairs,
)
from evaluator.poses import Annotations, Booleans, Floats, Integers, Predictions
from evaluator.tally import Evidence, Score, defined_scores

TITLE = "Average precision and recall by object keypoint similarity"
SOURCE = "COCO keypoint evaluation (Lin et al., ECCV 2014), as pycocotools 2.0.11 computes it on input without ties"
HIGHER_IS_BETTER = True
PARTS = "none"
# Scaling moves people between the area ranges, and a joint moved away can free an annotation for a better match.
INVARIANCES = frozenset({"translation", "mirror", "rank"})

AREAS: dict[str, tuple[float, float]] = {  # square pixels, both ends included
    "all": (0.0, 1e5**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e5**2),
}
MOST_DETECTIONS = 20
PAIRS_AT_ONCE = 1 << 15


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


@dataclass(frozen=True, eq=False)
class MatchTally:
    """The matches behind OKS average precision; any weighting of the images is accumulated anew."""

    names: tuple[str, ...]
    matches: Matches

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
        for row, weight in enumerate(weights):
            precision, recall = accumulate(self.matches, weight)
            for column, name in enumerate(self.names):
                wanted = STATISTICS[name]
                source = recall if wanted.recall else precision
                values[row, column] = source[_area(wanted), wanted.first : wanted.last].mean()
        return values

    def evidence(self) -> list[Evidence]:
        """Hits are people found at a score's loosest threshold, misses people not found at its strictest."""
        found = []
        for name in self.names:
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

    Crowd regions and people without a labelled joint are tried last and absorb detections. The area of a detection
    is that of its keypoints' extent: what a file says about boxes and areas of its own is not looked at.
    A detection that is not finite matches nobody.
    """
    areas = _areas(annotations, box_share)
    # People by image; ids ascend within an image because they ascend throughout.
    people = np.argsort(annotations.image, kind="stable")
    image = np.searchsorted(annotations.image_ids, predictions.image_ids)
    detections = ordered(image, predictions.scores, predictions.keypoints, MOST_DETECTIONS)
    keypoints = predictions.keypoints[detections.rows, :, :2]
    candidates = _candidates(annotations, people, areas, detections, keypoints, dataset.sigmas)
    ranges = np.array(list(AREAS.values()))
    away = (~annotations.people)[people] | _outside(areas[people], ranges)  # [A, P]
    matched, absorbed = greedy(detections, candidates, away, annotations.crowd[people])
    out = _outside(_extents(keypoints), ranges)[:, None, :]  # [A, 1, D]
    best_first = np.lexsort((np.arange(len(detections.rows)), -detections.scores))
    matches = Matches(
        images=len(annotations.image_ids),
        image=detections.image[best_first],
        hit=(matched & ~absorbed)[..., best_first],
        false=(~matched & ~out)[..., best_first],
        people_image=annotations.image[people],
        counts=~away,
    )
    return MatchTally(tuple(names), matches)


def _areas(annotations: Annotations, box_share: float | None) -> Floats:
    areas = annotations.areas
    if box_share is not None:
        areas = box_share * annotations.boxes[:, 2] * annotations.boxes[:, 3]
    unknown = np.isnan(areas)
    if unknown.any():
        lacks = "area" if box_share is None else "bbox"
        raise GroundTruthError(f"annotation {annotations.ids[unknown][0]} has no {lacks}, which OKS needs")
    return areas


def _outside(areas: Floats, ranges: Floats) -> Booleans:
    """[A, n] whether areas [n] lie outside the ranges [A, 2]."""
    with np.errstate(invalid="ignore"):
        return np.asarray((areas < ranges[:, :1]) | (areas > ranges[:, 1:]))


def _extents(keypoints: Floats) -> Floats:
    """[D] area of the box around keypoints [D, K, 2]."""
    with np.errstate(invalid="ignore", over="ignore"):
        size = keypoints.max(axis=1) - keypoints.min(axis=1)
        return size[:, 0] * size[:, 1]


def _candidates(
    annotations: Annotations,
    people: Integers,
    areas: Floats,
    detections: Detections,
    keypoints: Floats,
    sigmas: Floats,
) -> Candidates:
    detection, person = pairs(detections.image, annotations.image[people], len(annotations.image_ids))
    true, labelled = annotations.keypoints[people], annotations.visibility[people] > 0
    boxes, sizes = annotations.boxes[people], areas[people]
    bare = labelled.sum(axis=1) == 0
    if np.isnan(boxes[bare]).any():
        raise GroundTruthError("an annotation without labelled joints has no bbox, which OKS needs for it")
    kept: list[tuple[Integers, Integers, Floats]] = []
    for start in range(0, len(detection), PAIRS_AT_ONCE):
        d, p = detection[start : start + PAIRS_AT_ONCE], person[start : start + PAIRS_AT_ONCE]
        for unlabelled in (False, True):
            chosen = bare[p] == unlabelled
            dc, pc = d[chosen], p[chosen]
            if unlabelled:
                offset = _beyond(keypoints[dc], boxes[pc])
                similarity = oks(offset, np.ones(offset.shape[:2], dtype=bool), sizes[pc], sigmas)
            else:
                offset = np.where(labelled[pc][..., None], keypoints[dc] - true[pc], 0.0)
                similarity = oks(offset, labelled[pc], sizes[pc], sigmas)
                # A coordinate that is not finite spoils the detection even where the person has no label.
                similarity[~np.isfinite(keypoints[dc]).all(axis=(1, 2))] = 0.0
            near = similarity >= THRESHOLDS[0]
            kept.append((dc[near], pc[near], similarity[near]))
    if not kept:
        none = np.zeros(0, dtype=np.int64)
        return Candidates(none, none, np.zeros(0))
    found = [np.concatenate(column) for column in zip(*kept, strict=True)]
    return Candidates(found[0], found[1], found[2])


def _beyond(keypoints: Floats, boxes: Floats) -> Floats:
    """[n, K, 2] how far keypoints lie outside boxes [n, 4] that are doubled on every side."""
    low = (boxes[:, :2] - boxes[:, 2:])[:, None]
    high = (boxes[:, :2] + boxes[:, 2:] * 2)[:, None]
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
        similarity = (np.exp(-exponents) * labelled).sum(axis=1) / np.maximum(labelled.sum(axis=1), 1)
    return np.where(np.isfinite(similarity), similarity, 0.0)
