"""Multi-person mAP: the average precision of each joint, with poses assigned to people by PCKh. MPII and PoseTrack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from evaluator.dataset import Dataset
from evaluator.distances import check_thresholds, euclidean, within
from evaluator.errors import GroundTruthError
from evaluator.matching import Detections, ordered, pairs
from evaluator.poses import Annotations, Booleans, Floats, Integers, Predictions
from evaluator.regions import inside
from evaluator.tally import Evidence, Score, by_image, defined_scores

TITLE = "Mean average precision of joints, by PCKh"
SOURCE = (
    "Pishchulin et al., DeepCut, CVPR 2016 (MPII multi-person); Andriluka et al., PoseTrack, CVPR 2018, as the "
    "official poseval computes it on input without ties"
)
HIGHER_IS_BETTER = True
PARTS = "joints"
# A joint that is not annotated is a false positive, unless it lies in an ignored region; moving a joint away from one
# person can assign its pose to another, and a better pose to the first; and a pose that fits two people equally well is
# assigned to one of them, though it may be the other's.
INVARIANCES = frozenset({"translation", "scale", "rotation", "mirror", "rank", "nobody"})

PAIRS_AT_ONCE = 1 << 15


@dataclass(frozen=True, eq=False)
class PrecisionTally:
    """The detections of each of K joints, most confident first, and how many of it are annotated in I images.

    A joint's score is the area under its precision-recall curve: the precision at a recall is the best at this recall
    or any higher one, and every recall counts (the all-point rule of PASCAL VOC since 2010). A part is the mean of its
    joints, `all` of all that count and that somebody annotated.
    """

    metric: str
    image: tuple[Integers, ...]  # K x [D_k]
    hit: tuple[Booleans, ...]  # K x [D_k]
    annotated: Floats  # [I, K]
    parts: Mapping[str, tuple[int, ...]]  # part -> joints; with `all`, the last

    @property
    def columns(self) -> tuple[tuple[str, str], ...]:
        return tuple((self.metric, part) for part in self.parts)

    @property
    def images(self) -> int:
        return len(self.annotated)

    def scores(self, weights: Floats | None = None) -> list[Score]:
        return defined_scores(self, weights)

    def values(self, weights: Floats) -> Floats:
        values = np.full((len(weights), len(self.parts)), np.nan)
        joints = sorted({joint for members in self.parts.values() for joint in members})
        for row, weight in enumerate(weights):
            people = weight @ self.annotated
            average = {
                joint: average_precision(weight[self.image[joint]], self.hit[joint], float(people[joint]))
                for joint in joints
                if people[joint] > 0
            }
            for column, members in enumerate(self.parts.values()):
                known = [average[joint] for joint in members if joint in average]
                if known:
                    values[row, column] = sum(known) / len(known)
        return values

    def evidence(self) -> list[Evidence]:
        """Hits are annotated joints that were found, misses those that were not."""
        found = []
        for members in self.parts.values():
            hits = float(sum(self.hit[joint].sum() for joint in members))
            counted = self.annotated[:, list(members)]
            found.append(Evidence(float((counted.sum(axis=1) > 0).sum()), hits, float(counted.sum()) - hits))
        return found


def average_precision(weights: Floats, hit: Booleans, people: float) -> float:
    """The area under the precision envelope of detections [D] in descending confidence, each counting its weight.

    people > 0: the weight of all that could be found. The area is the sum over hits of their share of recall times the
    best precision from there on, which is reached at a hit; where nothing has any weight yet, precision is 0.
    """
    total, share = np.cumsum(weights)[hit], weights[hit]
    precision = np.cumsum(share) / np.where(total > 0, total, 1.0)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float((share * envelope).sum() / people)


def check(dataset: Dataset, *, threshold: float) -> None:
    check_thresholds(threshold)


def measure(
    annotations: Annotations,
    predictions: Predictions,
    dataset: Dataset,
    *,
    names: Sequence[str],
    threshold: float,
) -> PrecisionTally:
    """AP of each joint, a hit being at most `threshold` x head size from the joint of the person its pose belongs to.

    Each pose is assigned to the person with the largest share of annotated joints hit, and each person to the pose that
    hits most of them; the joints of a pose without a person are false positives. So are joints that their person has no
    annotation for, and all in an image whose people are left without joints; images without any annotation do not
    count. Joints in ignored regions are dropped from poses and people alike. A joint that is not predicted is no
    detection. Equal shares: the smaller annotation id, and the pose with the higher score, then with the smaller
    keypoints; equal confidences are ordered by image id, then like the poses.
    """
    (name,) = names
    poses = assign(annotations, predictions, dataset, threshold)
    counted = poses.predicted & dataset.scored  # [D, K]
    image, hit = [], []
    for joint in range(len(dataset.joints)):
        rows = np.flatnonzero(counted[:, joint])
        confidence = predictions.keypoints[poses.detections.rows[rows], joint, 2]
        order = rows[np.argsort(-np.where(np.isnan(confidence), -np.inf, confidence), kind="stable")]
        image.append(poses.detections.image[order])
        hit.append(poses.hit[order, joint])
    scored = tuple(np.flatnonzero(dataset.scored).tolist())
    return PrecisionTally(
        metric=name,
        image=tuple(image),
        hit=tuple(hit),
        annotated=by_image(poses.annotated.astype(np.float64), annotations.image, len(annotations.image_ids)),
        parts={part: tuple(map(dataset.joint, joints)) for part, joints in dataset.parts.items()} | {"all": scored},
    )


@dataclass(frozen=True, eq=False)
class Assigned:
    """D predicted poses, ordered by image, then descending score, and the person of each."""

    detections: Detections
    predicted: Booleans  # [D, K] what is there to be scored
    person: Integers  # [D], into the annotations; -1 where a pose has none
    hit: Booleans  # [D, K]
    annotated: Booleans  # [P, K] what counts of the people


def assign(annotations: Annotations, predictions: Predictions, dataset: Dataset, threshold: float) -> Assigned:
    """Assigns poses to people as `measure` says. Joints that the dataset does not score are ignored."""
    _check_heads(annotations)
    annotated = (annotations.visibility > 0) & ~annotations.crowd[:, None] & dataset.scored
    image = np.searchsorted(annotations.image_ids, predictions.image_ids)
    detections = ordered(image, predictions.scores, predictions.keypoints, len(image))
    points = predictions.keypoints[detections.rows, :, :2]
    predicted = ~np.isnan(points).any(axis=2) & np.isin(detections.image, annotations.image)[:, None]
    predicted &= ~_ignored(points, detections.image, annotations.ignore_regions)
    annotated &= ~_ignored(annotations.keypoints, annotations.image, annotations.ignore_regions)
    person = _persons(annotations, detections, points, predicted, annotated, threshold)
    hit = np.zeros_like(predicted)
    found = np.flatnonzero(person >= 0)
    hit[found] = _hits(annotations, points[found], person[found], predicted[found], annotated, threshold)
    return Assigned(detections, predicted, person, hit, annotated)


def _ignored(points: Floats, image: Integers, regions: Mapping[int, tuple[Floats, ...]]) -> Booleans:
    """[n, K] which of points [n, K, 2], in images [n], lie in a region of their image."""
    found = np.zeros(points.shape[:2], dtype=bool)
    for number, polygons in regions.items():
        rows = np.flatnonzero(image == number)
        for polygon in polygons:
            found[rows] |= inside(points[rows].reshape(-1, 2), polygon).reshape(len(rows), points.shape[1])
    return found


def _check_heads(annotations: Annotations) -> None:
    lacking = annotations.people & np.isnan(annotations.head_sizes)
    if lacking.any():
        raise GroundTruthError(
            f"annotation {annotations.ids[lacking][0]} has no head_size, which multi-person mAP divides by"
        )


def _hits(
    annotations: Annotations,
    points: Floats,
    person: Integers,
    predicted: Booleans,
    annotated: Booleans,
    threshold: float,
) -> Booleans:
    """[n, K] the joints of poses [n, K, 2] that lie near enough to those of their persons [n]."""
    distances = euclidean(points, annotations.keypoints[person])
    return within(distances, annotations.head_sizes[person, None], threshold) & predicted & annotated[person]


def _persons(
    annotations: Annotations,
    detections: Detections,
    points: Floats,
    predicted: Booleans,
    annotated: Booleans,
    threshold: float,
) -> Integers:
    """[D] the person of each pose, -1 for none."""
    people = np.argsort(annotations.image, kind="stable")  # ids ascend throughout, so within an image too
    people_image, images = annotations.image[people], len(annotations.image_ids)
    most = np.maximum(annotated.sum(axis=1), 1)
    favourite, share = np.full(len(points), -1, dtype=np.int64), np.zeros(len(points))
    # Some poses at a time: a file may have any number of them for one image.
    pairs_until = np.cumsum(np.bincount(people_image, minlength=images)[detections.image])
    steps = np.searchsorted(pairs_until, np.arange(PAIRS_AT_ONCE, pairs_until.max(initial=0), PAIRS_AT_ONCE))
    for first, last in pairwise(np.unique([0, *steps, len(points)]).tolist()):
        pose, place = pairs(detections.image[first:last], people_image, images)
        pose, person = pose + first, people[place]
        hits = _hits(annotations, points[pose], person, predicted[pose], annotated, threshold)
        shares = hits.sum(axis=1) / most[person]
        best = _first(np.lexsort((person, -shares, pose)), pose)  # the largest share, then the smaller id
        favourite[pose[best]], share[pose[best]] = person[best], shares[best]
    near = np.flatnonzero(share > 0)
    # of each person the pose with the largest share, then that with the higher score, which comes first
    order = np.lexsort((near, -share[near], favourite[near]))
    matched = near[_first(order, favourite[near])]
    found = np.full(len(points), -1, dtype=np.int64)
    found[matched] = favourite[matched]
    return found


def _first(order: Integers, group: Integers) -> Integers:
    """The first of each group in an order that keeps groups together."""
    if not len(order):
        return order
    return order[np.diff(group[order], prepend=group[order[0]] - 1) != 0]
