"""The offsets of joints from their neighbours: the part-based spatial prior of Jain et al. 2014 (arXiv 1312.7302).

Section 3.2 of the paper: how far one joint lies from its neighbour is a histogram over the training people, P(a | b). A
joint's belief is its detector's response times a message from every neighbour, the neighbour's response convolved with
that histogram: responses that no strong response of a neighbour makes plausible are lowered. The paper chains face,
shoulder, elbow and wrist; here the training people determine which joints are neighbours, so that it works for any set
of joints.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float64]
FLOOR = 0.1  # of a message, as a share of its largest value: a neighbour that was not found does not silence a joint


@dataclass(frozen=True)
class Priors:
    """A tree of neighbours [K - 1, 2] and, for each, the histogram [K - 1, S, S] of the second joint's offset from the
    first, in cells; the middle of a histogram is no offset, rows are y. Each sums to 1."""

    neighbours: NDArray[np.int64]
    histograms: Floats


def estimate(joints: Floats, weights: NDArray[np.floating], stride: float, reach: int) -> Priors:
    """Priors of people: joints [N, K, 2] in pixels of crops of one size, weights [N, K], 0 where not annotated.

    `stride`: pixels of a cell; `reach`: cells from the middle of a histogram to its border (S = 2 reach + 1); offsets
    further than that do not count. Histograms are smoothed with a Gaussian of one cell, as people are few.
    """
    neighbours = _tree(joints, weights)
    size = 2 * reach + 1
    histograms = np.zeros((len(neighbours), size, size))
    for edge, (first, second) in enumerate(neighbours):
        both = (weights[:, first] > 0) & (weights[:, second] > 0)
        cells = np.rint((joints[both, second] - joints[both, first]) / stride).astype(int) + reach  # [n, 2]
        inside = ((cells >= 0) & (cells < size)).all(axis=1)
        np.add.at(histograms[edge], (cells[inside, 1], cells[inside, 0]), 1.0)
        if not inside.any():
            histograms[edge] = 1.0  # nothing is known
    line = np.exp(-(np.arange(-3, 4) ** 2) / 2.0)
    for axis in (1, 2):
        padded = np.pad(histograms, [(0, 0)] + [(3, 3) if a == axis else (0, 0) for a in (1, 2)])
        shifted = [np.take(padded, np.arange(size) + step, axis=axis) for step in range(7)]
        histograms = np.tensordot(line, np.stack(shifted), axes=1)
    return Priors(neighbours, histograms / histograms.sum(axis=(1, 2), keepdims=True))


def _tree(joints: Floats, weights: NDArray[np.floating]) -> NDArray[np.int64]:
    """The tree [K - 1, 2] over all joints whose neighbours keep their offsets best: least total variance (Prim)."""
    count = joints.shape[1]
    spread = np.full((count, count), np.inf)
    for a in range(count):
        for b in range(count):
            both = (weights[:, a] > 0) & (weights[:, b] > 0)
            if a != b and both.any():
                spread[a, b] = (joints[both, b] - joints[both, a]).var(axis=0).sum()
    largest = np.nanmax(np.where(np.isinf(spread), np.nan, spread)) if np.isfinite(spread).any() else 0.0
    spread = np.where(np.isinf(spread), 2.0 * largest + 1.0, spread)  # never annotated together: the last to be joined
    inside, edges = [0], []
    while len(inside) < count:
        outside = [joint for joint in range(count) if joint not in inside]
        costs = spread[np.ix_(inside, outside)]
        row, column = np.unravel_index(int(costs.argmin()), costs.shape)
        edges.append((inside[row], outside[column]))
        inside.append(outside[column])
    return np.array(edges, np.int64).reshape(-1, 2)


def apply(responses: Tensor, neighbours: Tensor, histograms: Tensor) -> Tensor:
    """Responses [B, K, H, W] between 0 and 1 times the messages of their neighbours: beliefs of the same shape.

    Every message is scaled so that it is 1 at most; FLOOR bounds it from below. Outside the image responses are zero.
    """
    reach = histograms.shape[-1] // 2
    factors = [responses[:, k] for k in range(responses.shape[1])]  # each [B, H, W]
    for (first, second), histogram in zip(neighbours.tolist(), histograms, strict=True):
        # F.conv2d correlates: turned by half, the kernel takes the response at x to x + offset
        there = _message(responses[:, first], histogram.flip(0, 1), reach)
        back = _message(responses[:, second], histogram, reach)
        factors[second], factors[first] = factors[second] * there, factors[first] * back
    return torch.stack(factors, dim=1)  # [B, K, H, W]


def _message(response: Tensor, kernel: Tensor, reach: int) -> Tensor:
    """A response [B, H, W] convolved with a histogram [S, S]: [B, H, W] between FLOOR and 1."""
    message = F.conv2d(response[:, None], kernel[None, None].to(response.dtype), padding=reach)[:, 0]  # [B, H, W]
    largest = message.amax(dim=(1, 2), keepdim=True).clamp(min=1e-12)  # [B, 1, 1]
    return FLOOR + (1.0 - FLOOR) * message / largest
