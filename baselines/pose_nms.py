"""Parametric pose non-maximum suppression: several poses of the same person become one.

Source: Fang et al., RMPE, ICCV 2017 (arXiv 1612.00137), section 3.2, equations 7 to 10, with the constants that the
authors' release was tuned to. Poses are compared at the scale of their box.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Constants:
    """`delta1`, `delta2`, `mu` (lambda in the paper) and `gamma` (eta) are equations 8 to 10's."""

    delta1: float = 1.0
    delta2: float = 2.65
    mu: float = 1.7
    gamma: float = 22.48  # at least this similar: the same person
    match: int = 5  # at least so many joints in the same place: the same person
    score: float = 0.3  # a pose whose best joint is worse is dropped
    alpha: float = 0.1  # of the box's longer side: how near joints must be


MATCH_PIXELS = 7.0  # joints further apart are never in the same place


@dataclass(frozen=True)
class Kept:
    """A person: joints [K, 2], confidence [K], score, and the rows of the poses that were taken to be this person."""

    joints: NDArray[np.float64]
    confidence: NDArray[np.float64]
    score: float
    members: tuple[int, ...]


def similarity(
    joints: NDArray[np.float64],
    confidence: NDArray[np.float64],
    others: NDArray[np.float64],
    other_confidence: NDArray[np.float64],
    reach: float,
    constants: Constants,
) -> NDArray[np.float64]:
    """How similar a pose [K, 2] is to others [N, K, 2]: [N]. `reach`, in pixels, is the unit of distance.

    The soft number of joints in the same place (equation 8) plus mu times the spatial similarity (equation 9).
    """
    distance = np.linalg.norm(others - joints, axis=2) / reach  # [N, K]
    soft = np.tanh(confidence / constants.delta1) * np.tanh(other_confidence / constants.delta1)  # [N, K]
    near = np.where(distance <= 1.0, soft, 0.0).sum(axis=1)
    spatial = np.exp(-distance / constants.delta2).sum(axis=1)
    total: NDArray[np.float64] = near + constants.mu * spatial
    return total


def suppress(
    joints: NDArray[np.float64],
    confidence: NDArray[np.float64],
    boxes: NDArray[np.float64],
    box_scores: NDArray[np.float64],
    *,
    constants: Constants | None = None,
) -> list[Kept]:
    """The people in poses [N, K, 2] with confidence [N, K], found in boxes [N, 4] (x, y, width, height), scores [N].

    The most confident pose is kept, those too similar to it join it, and so on. A person's joints are the mean of the
    members' joints within reach of the kept one's, weighted by confidence; best score first.
    """
    constants = constants or Constants()
    left = [
        row for row in np.argsort(-confidence.mean(axis=1), kind="stable") if confidence[row].max() >= constants.score
    ]
    people = []
    while left:
        best, rows = left[0], np.array(left)
        reach = max(constants.alpha * float(boxes[best, 2:].max()), 1e-6)
        similar = similarity(joints[best], confidence[best], joints[rows], confidence[rows], reach, constants)
        apart = np.linalg.norm(joints[rows] - joints[best], axis=2)  # [N left, K]
        same = (apart <= min(reach, MATCH_PIXELS)).sum(axis=1)
        joined = (similar > constants.gamma) | (same >= constants.match)
        joined[0] = True
        people.append(_merged(joints, confidence, box_scores, rows[joined], reach))
        left = rows[~joined].tolist()
    return sorted(people, key=lambda person: -person.score)


def _merged(
    joints: NDArray[np.float64],
    confidence: NDArray[np.float64],
    box_scores: NDArray[np.float64],
    members: NDArray[np.intp],
    reach: float,
) -> Kept:
    """One person from the poses `members`, the kept one first."""
    near = np.linalg.norm(joints[members] - joints[members[0]], axis=2) <= reach  # [M, K]
    weights = np.where(near, np.maximum(confidence[members], 1e-9), 0.0)
    share = weights / weights.sum(axis=0)  # [M, K]
    mean = (joints[members] * share[:, :, None]).sum(axis=0)  # [K, 2]
    sure = (confidence[members] * share).sum(axis=0)  # [K]
    score = float(box_scores[members[0]] + sure.mean() + 1.25 * sure.max())
    return Kept(mean, sure, score, tuple(int(row) for row in members))
