"""Parametric pose non-maximum suppression: several poses of the same person become one.

Source: Fang et al., RMPE, ICCV 2017 (arXiv 1612.00137), section 3.2: a pose is eliminated when its similarity with a
better one, the soft number of matching joints plus lambda times the spatial similarity, exceeds eta. The constants are
those that the authors' release was tuned to, so the similarity is also the release's. It differs from the paper: joints
match softly within a pixel (the paper: within a box around the joint, of a tenth of the person's), the spatial
similarity falls with the distance in pixels (the paper: with its square), poses that share enough places are one person
whatever their similarity, and those that are eliminated are merged into the better one.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Constants:
    """`delta1`, `delta2`, `mu` and `gamma` are the paper's sigma 1, sigma 2, lambda and eta."""

    delta1: float = 1.0
    delta2: float = 2.65  # pixels
    mu: float = 1.7
    gamma: float = 22.48  # poses more similar than this are one person
    match: int = 5  # poses with so many joints in the same place are one person
    score: float = 0.3  # a person whose best joint is worse is dropped
    alpha: float = 0.1  # of the box's longer side: how near joints must be to be in the same place, or merged


SOFT_PIXELS = 1.0  # joints further apart do not match softly
MATCH_PIXELS = 7.0  # joints further apart are not in the same place, however large the box
MERGE_PIXELS = 15.0  # joints further apart are not merged
LEAST = 1e-5  # confidence of a joint that has none, so that weights never sum to zero


@dataclass(frozen=True)
class MergedPose:
    """A person: joints [K, 2], confidence [K], score, and the rows of the poses that were merged into it."""

    joints: Floats
    confidence: Floats
    score: float
    members: tuple[int, ...]


def similarity(
    joints: Floats, confidence: Floats, others: Floats, other_confidence: Floats, constants: Constants
) -> Floats:
    """How similar a pose [K, 2] is to others [N, K, 2], with confidences [K] and [N, K]: [N].

    Sum over joints of tanh(c / delta1) tanh(c' / delta1) where they match, plus mu times that of exp(-d / delta2).
    """
    distance = np.linalg.norm(others - joints, axis=2)  # [N, K], pixels
    soft = np.tanh(confidence / constants.delta1) * np.tanh(other_confidence / constants.delta1)  # [N, K]
    near = np.where(distance <= SOFT_PIXELS, soft, 0.0).sum(axis=1)
    spatial = np.exp(-distance / constants.delta2).sum(axis=1)
    total: Floats = near + constants.mu * spatial
    return total


def suppress(
    joints: Floats, confidence: Floats, boxes: Floats, box_scores: Floats, *, constants: Constants | None = None
) -> list[MergedPose]:
    """The people in poses [N, K, 2] with confidence [N, K], found in boxes [N, 4] (x, y, width, height), scores [N].

    The pose with the highest mean confidence absorbs those too similar to it, and so on. A person's joints are the mean
    of the members' joints near those of the first, weighted by confidence; people come best score first.
    """
    constants = constants or Constants()
    confidence = np.where(confidence > 0, confidence, LEAST)
    left = np.argsort(-confidence.mean(axis=1), kind="stable")
    people = []
    while len(left):
        best = left[0]
        reach = max(constants.alpha * float(boxes[best, 2:].max()), 1e-6)
        similar = similarity(joints[best], confidence[best], joints[left], confidence[left], constants)
        apart = np.linalg.norm(joints[left] - joints[best], axis=2)  # [N left, K]
        same = (apart <= min(reach, MATCH_PIXELS)).sum(axis=1)
        joined = (similar > constants.gamma) | (same >= constants.match)
        joined[0] = True
        person = _merged(joints, confidence, box_scores, left[joined], min(reach, MERGE_PIXELS))
        if min(confidence[best].max(), person.confidence.max()) >= constants.score:
            people.append(person)
        left = left[~joined]
    return sorted(people, key=lambda person: -person.score)


def _merged(
    joints: Floats, confidence: Floats, box_scores: Floats, members: NDArray[np.intp], reach: float
) -> MergedPose:
    """One person from the poses `members`, the most confident first."""
    near = np.linalg.norm(joints[members] - joints[members[0]], axis=2) <= reach  # [M, K]
    weights = np.where(near, confidence[members], 0.0)
    share = weights / weights.sum(axis=0)  # [M, K]
    mean = (joints[members] * share[:, :, None]).sum(axis=0)  # [K, 2]
    sure = (confidence[members] * share).sum(axis=0)  # [K]
    score = float(box_scores[members[0]] + sure.mean() + 1.25 * sure.max())
    return MergedPose(mean, sure, score, tuple(int(row) for row in members))
