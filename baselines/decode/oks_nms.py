"""What top-down methods do with the people of an image before they are ranked: rescoring and removing duplicates.

Source: Xiao et al. 2018 (arXiv 1804.06208, section 4.1) and Sun et al. 2019 (arXiv 1902.09212, section 4.1); the
threshold of joints is that of their releases.
"""

import numpy as np
from numpy.typing import NDArray

from baselines.protocol import JOINT_THRESHOLD

OKS_THRESHOLD = 0.9  # people that agree more than this are the same

Floats = NDArray[np.float64]


def person_scores(confidence: Floats, box_scores: Floats, threshold: float = JOINT_THRESHOLD) -> Floats:
    """Box score [N] times the mean confidence [N, K] of the joints above the threshold; [N], 0 where none is."""
    counted = confidence > threshold
    total = np.where(counted, confidence, 0.0).sum(axis=1)
    means: Floats = box_scores * total / np.maximum(counted.sum(axis=1), 1)
    return means


def suppress(
    joints: Floats, scores: Floats, areas: Floats, sigmas: Floats, threshold: float = OKS_THRESHOLD
) -> list[int]:
    """The people that remain, best score first: rows of joints [N, K, 2], scores [N] and areas [N] (square pixels).

    The best person remains, everyone with an OKS above the threshold to that person is dropped, and so on. The OKS of
    two predictions is the mean over joints of exp(-d^2 / (2 a (2 sigma)^2)), where a is the mean of their areas.
    """
    left = np.argsort(-scores, kind="stable")
    rows = []
    while len(left):
        best, rest = left[0], left[1:]
        rows.append(int(best))
        squares = ((joints[rest] - joints[best]) ** 2).sum(axis=2)  # [N left, K]
        area = np.maximum((areas[rest] + areas[best]) / 2, np.spacing(1.0))[:, None]
        oks = np.exp(-squares / (2 * area * (2 * sigmas) ** 2)).mean(axis=1)
        left = rest[oks <= threshold]
    return rows
