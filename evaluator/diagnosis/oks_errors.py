"""How detections match annotated people under OKS: matches, false positives, false negatives, score errors.

After Ronchi and Perona, "Benchmarking and error diagnosis in multi-instance pose estimation", ICCV 2017. The matching
is COCO's, at one more threshold: 0.1, below which a detection and a person have nothing to do with each other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from evaluator.dataset import Dataset
from evaluator.matching import THRESHOLDS, ordered
from evaluator.metrics.oks import AREAS, MOST_DETECTIONS, measure, oks
from evaluator.poses import Annotations, Booleans, Floats, Integers, Predictions

LOOSEST = 0.1
RECALLS: Floats = np.linspace(0.0, 1.0, 101)


@dataclass(frozen=True, eq=False)
class Pairing:
    """Which person each of D detections was matched to, best score first, at T limits: 0.1 and those of COCO."""

    rows: Integers  # [D], into the predictions
    person: Integers  # [T, D], into the annotations, -1 where nobody
    nearest: Floats  # [D] OKS with the most similar annotation of the image, 0 where there is none
    favourite: Integers  # [D] the most similar person who counts, -1 where none reaches 0.1
    similarity: Floats  # [D] OKS with that person, 0 where there is none
    outside: Booleans  # [D] larger than any range of areas: not counted when nobody matches
    counts: Booleans  # [P] who counts as a person
    reached: Booleans  # [P] whose OKS with some detection is at least 0.1


@dataclass(frozen=True)
class DetectionErrors:
    """Detections and people at one OKS threshold. `background` are false positives, `never_found` false negatives."""

    threshold: float
    true_positives: int
    false_positives: int
    background: int  # false positives whose OKS with everybody is below 0.1
    false_negatives: int
    never_found: int  # false negatives whose OKS with every detection is below 0.1


@dataclass(frozen=True)
class ScoreErrors:
    """Where the confidence of detections contradicts their OKS.

    `people` have at least two detections nearest to them (OKS >= 0.1); for `errors` of them the most confident is not
    the most similar. `ap_optimal` is the AP if every detection's score were its OKS with the most similar person.
    """

    people: int
    errors: int
    ap: float
    ap_optimal: float


def object_areas(annotations: Annotations, box_share: float | None) -> Floats:
    """[P] the area that OKS divides by, square pixels: the file's, or a share of the box (CrowdPose)."""
    if box_share is None:
        return annotations.areas
    return np.asarray(box_share * annotations.boxes[:, 2] * annotations.boxes[:, 3])


def pair(annotations: Annotations, predictions: Predictions, dataset: Dataset, box_share: float | None) -> Pairing:
    """Matches the twenty best detections of each image as COCO does, at 0.1 and at COCO's thresholds."""
    areas = object_areas(annotations, box_share)
    limits = np.minimum(np.concatenate([[LOOSEST], THRESHOLDS]), 1 - 1e-10)
    largest = AREAS["all"][1]
    counts = np.asarray(annotations.people & (areas <= largest))
    image = np.searchsorted(annotations.image_ids, predictions.image_ids)
    detections = ordered(image, predictions.scores, predictions.keypoints, MOST_DETECTIONS)
    points = predictions.keypoints[detections.rows, :, :2]
    total = len(detections.rows)
    person = np.full((len(limits), total), -1, dtype=np.int64)
    favourite = np.full(total, -1, dtype=np.int64)
    nearest, similarity = np.zeros(total), np.zeros(total)
    reached = np.zeros(len(counts), dtype=bool)
    people = np.argsort(annotations.image, kind="stable")
    first = np.searchsorted(annotations.image[people], np.arange(len(annotations.image_ids) + 1))
    bounds = np.searchsorted(detections.image, np.arange(len(annotations.image_ids) + 1))
    for number in np.flatnonzero((np.diff(first) > 0) & (np.diff(bounds) > 0)).tolist():
        here = people[first[number] : first[number + 1]]
        there = slice(bounds[number], bounds[number + 1])
        similar = _similarities(points[there], annotations, here, areas[here], dataset.sigmas)
        matched = _greedy(similar, limits, counts[here], annotations.crowd[here])
        person[:, there] = np.where(matched >= 0, here[matched], -1)
        nearest[there] = similar.max(axis=1)
        reached[here] = (similar >= LOOSEST).any(axis=0)
        wanted = np.where(counts[here], similar, -1.0)
        best = wanted.max(axis=1)
        favourite[there] = np.where(best >= LOOSEST, here[wanted.argmax(axis=1)], -1)
        similarity[there] = np.maximum(best, 0.0)
    with np.errstate(invalid="ignore", over="ignore"):
        size = points.max(axis=1) - points.min(axis=1) if total else np.zeros((0, 2))
        outside = np.asarray(size[:, 0] * size[:, 1] > largest)
    best_first = np.lexsort((np.arange(total), -detections.scores))
    return Pairing(
        rows=detections.rows[best_first],
        person=person[:, best_first],
        nearest=nearest[best_first],
        favourite=favourite[best_first],
        similarity=similarity[best_first],
        outside=outside[best_first],
        counts=counts,
        reached=reached,
    )


def _similarities(points: Floats, annotations: Annotations, people: Integers, areas: Floats, sigmas: Floats) -> Floats:
    """[D, P] OKS of the detections [D, K, 2] and the people of one image; unlabelled people are their doubled box."""
    labelled: Booleans = np.asarray(annotations.visibility[people] > 0)  # [P, K]
    bare = np.asarray(~labelled.any(axis=1))
    with np.errstate(invalid="ignore"):
        offsets = np.where(labelled[None, :, :, None], points[:, None] - annotations.keypoints[people][None], 0.0)
        if bare.any():
            boxes = annotations.boxes[people[bare]]
            low, high = (boxes[:, :2] - boxes[:, 2:])[:, None], (boxes[:, :2] + boxes[:, 2:] * 2)[:, None]
            beyond = np.maximum(0.0, low - points[:, None]) + np.maximum(0.0, points[:, None] - high)
            offsets[:, bare] = beyond
    labelled = labelled | bare[:, None]
    shape = offsets.shape[:2]
    similar = oks(
        offsets.reshape(-1, *offsets.shape[2:]),
        np.broadcast_to(labelled, (*shape, labelled.shape[1])).reshape(-1, labelled.shape[1]),
        np.broadcast_to(areas, shape).ravel(),
        sigmas,
    ).reshape(shape)
    similar[~np.isfinite(points).all(axis=(1, 2))] = 0.0
    return similar


def _greedy(similar: Floats, limits: Floats, counts: Booleans, crowd: Booleans) -> Integers:
    """[T, D] the person of each detection, -1 for nobody. similar [D, P], best score first; people by ascending id."""
    detections, people = similar.shape
    free = np.ones((len(limits), people), dtype=bool)
    matched = np.full((len(limits), detections), -1, dtype=np.int64)
    for row in range(detections):
        able = (similar[row] >= limits[:, None]) & free
        best = _last_best(np.where(able & counts, similar[row], -1.0))
        chosen = np.where(best >= 0, best, _last_best(np.where(able & ~counts, similar[row], -1.0)))
        matched[:, row] = chosen
        found = np.flatnonzero(chosen >= 0)
        free[found, chosen[found]] = crowd[chosen[found]]
    return matched


def _last_best(values: Floats) -> Integers:
    """[T] the column of the largest value, the later of equals, -1 in a row without one."""
    last = values.shape[1] - 1 - values[:, ::-1].argmax(axis=1)
    return np.where(values.max(axis=1) >= 0, last, -1)


def detection_errors(pairing: Pairing) -> tuple[DetectionErrors, ...]:
    """At each of COCO's thresholds, over everybody who counts."""
    people = int(pairing.counts.sum())
    never_found = int((pairing.counts & ~pairing.reached).sum())
    found = []
    for threshold, person in zip(THRESHOLDS.tolist(), pairing.person[1:], strict=True):
        hit, false = hits(pairing, person)
        background = false & (pairing.nearest < LOOSEST)
        true = int(hit.sum())
        found.append(
            DetectionErrors(
                threshold=round(threshold, 2),
                true_positives=true,
                false_positives=int(false.sum()),
                background=int(background.sum()),
                false_negatives=people - true,
                never_found=never_found,
            )
        )
    return tuple(found)


def hits(pairing: Pairing, person: Integers) -> tuple[Booleans, Booleans]:
    """[D] true and false positives at one limit; a detection that is neither was absorbed by who does not count."""
    hit = (person >= 0) & pairing.counts[person]
    return np.asarray(hit), np.asarray((person < 0) & ~pairing.outside)


def recalls(pairing: Pairing) -> Floats:
    """[P] at how many of COCO's thresholds, as a share, a person is found; their mean over who counts is the AR."""
    found = np.zeros((len(pairing.person) - 1, len(pairing.counts)), dtype=bool)
    for row, person in enumerate(pairing.person[1:]):
        found[row, person[person >= 0]] = True
    return np.asarray(found.mean(axis=0))


def precision_recall(pairing: Pairing, person: Integers) -> Floats:
    """[101] interpolated precision at recall 0, 0.01 .. 1: COCO's curve, whose mean is the average precision."""
    hit, false = hits(pairing, person)
    true, wrong = np.cumsum(hit), np.cumsum(false)
    people = int(pairing.counts.sum())
    precision = np.zeros(len(RECALLS))
    if not people or not len(hit):
        return precision
    precise = true / np.maximum(true + wrong, 1)
    envelope = np.append(np.maximum.accumulate(precise[::-1])[::-1], 0.0)
    return np.asarray(envelope[np.searchsorted(true / people, RECALLS, side="left")])


def score_errors(
    pairing: Pairing,
    annotations: Annotations,
    predictions: Predictions,
    dataset: Dataset,
    box_share: float | None,
) -> ScoreErrors:
    """Confidence against similarity, and what AP would be if they agreed."""
    near = np.flatnonzero(pairing.favourite >= 0)
    # Stable: within a person the detections stay in the order of their scores.
    near = near[np.argsort(pairing.favourite[near], kind="stable")]
    starts = np.flatnonzero(np.diff(pairing.favourite[near], prepend=-1))
    groups = np.split(pairing.similarity[near], starts[1:]) if len(near) else []
    contested = [group for group in groups if len(group) > 1]
    scored = Predictions(
        image_ids=predictions.image_ids[pairing.rows],
        person_ids=predictions.person_ids[pairing.rows],
        keypoints=predictions.keypoints[pairing.rows],
        scores=predictions.scores[pairing.rows],
    )
    parameters = {} if box_share is None else {"box_share": box_share}
    averages = [
        float(measure(annotations, rows, dataset, names=("ap",), **parameters).scores()[0].value)
        for rows in (scored, replace(scored, scores=pairing.similarity))
    ]
    return ScoreErrors(
        people=len(contested),
        errors=sum(bool(group[0] < group.max()) for group in contested),
        ap=averages[0],
        ap_optimal=averages[1],
    )
