"""The person whom a crop was cut out for, by grouping: what belongs to others, or to nobody, is left out.

The same multicut as for whole images (`grouping`), also for networks that answer with heatmaps alone: then the local
maxima of the maps are the detections, and where each other joint is expected is the mean way of the training people.
"""

import numpy as np
from numpy.typing import NDArray

from baselines.decode import grouping, heatmaps
from baselines.decode.grouping import Detections, Model

Floats = NDArray[np.float64]
MOST_MAXIMA = 5  # of a heatmap: the highest
LEAST_SHARE = 0.1  # of a map's highest pixel, that another maximum must have
NEARNESS = 0.25  # of the crop's diagonal: how fast people count less the further they are from its middle


def detections(
    maps: NDArray[np.floating], peaks: Floats, stride: Floats, origin: float, model: Model | None
) -> Detections:
    """The local maxima of heatmaps [K, H, W], whose pixel (u, v) is at (u + origin, v + origin) times `stride` [2].

    `peaks` [K, 2]: where the highest one of each map is; a decoder may read that better than to a quarter pixel.
    """
    classes, joints, values = heatmaps.maxima(maps, MOST_MAXIMA, LEAST_SHARE)
    places = (joints + origin) * stride
    highest = np.unique(classes, return_index=True)[1]  # the first of each map
    places[highest] = peaks[classes[highest]]
    ways = np.zeros((len(maps), len(maps), 2)) if model is None or model.ways is None else model.ways
    return Detections(places, classes, np.clip(values, 0.0, 1.0), np.rint(joints).astype(np.int64), ways[classes])


def person(found: Detections, model: Model, size: Floats) -> tuple[Floats, Floats]:
    """Joints [K, 2] and confidence [K] of the person in the middle of a crop of `size` [2]; NaN and 0 where a joint was
    not found."""
    classes = len(model.scores)
    found = grouping.calibrated(found, model)
    joints, confidence, score = grouping.people(found, grouping.grouped(found, model), classes)
    if not len(score):
        return np.full((classes, 2), np.nan), np.zeros(classes)
    seen = (confidence > 0)[..., None]
    middles = (joints * seen).sum(axis=1) / seen.sum(axis=1)  # [P, 2]
    away = np.linalg.norm(middles - size / 2, axis=1) / (NEARNESS * np.linalg.norm(size))
    best = int((score * np.exp(-(away**2) / 2)).argmax())
    return np.where(seen[best], joints[best], np.nan), confidence[best]
