"""The person at the centre of a crop, by grouping: what belongs to others, or to nobody, is left out.

This is the same multicut as for whole images (`grouping`), and it also serves networks with heatmaps alone: the local
maxima of the maps are their detections, and the other joints are expected at the mean offsets of the training people.
"""

import numpy as np
from numpy.typing import NDArray

from baselines.decode import grouping, heatmaps
from baselines.decode.grouping import JointDetections, Model

Floats = NDArray[np.float64]
MOST_MAXIMA = 5  # per heatmap: the highest
LEAST_SHARE = 0.1  # of a map's highest pixel that another maximum must reach
NEARNESS = 0.25  # of the crop's diagonal: sigma of the weight by which people count less away from its middle


def detections(
    maps: NDArray[np.floating], peaks: Floats, stride: Floats, origin: float, model: Model | None
) -> JointDetections:
    """The local maxima of heatmaps [K, H, W], whose pixel (u, v) is at (u + origin, v + origin) times `stride` [2].

    `peaks` [K, 2]: the places of the highest ones, which a decoder may know more exactly than to a quarter pixel.
    """
    classes, joints, values = heatmaps.maxima(maps, MOST_MAXIMA, LEAST_SHARE)
    places = (joints + origin) * stride
    highest = np.unique(classes, return_index=True)[1]  # the first of each map
    places[highest] = peaks[classes[highest]]
    ways = np.zeros((len(maps), len(maps), 2)) if model is None or model.ways is None else model.ways
    return JointDetections(places, classes, np.clip(values, 0.0, 1.0), np.rint(joints).astype(np.int64), ways[classes])


def person(found: JointDetections, model: Model, size: Floats) -> tuple[Floats, Floats]:
    """Joints [K, 2] and confidence [K] of the person in the middle of a crop of `size` [2]; NaN and 0 where a joint was
    not found."""
    classes = len(model.scores)
    found = grouping.calibrated(found, model)
    joints, confidence, score = grouping.people(found, grouping.grouped(found, model), classes)
    if not len(score):
        return np.full((classes, 2), np.nan), np.zeros(classes)
    found_joints = (confidence > 0)[..., None]
    middles = (joints * found_joints).sum(axis=1) / found_joints.sum(axis=1)  # [P, 2]
    away = np.linalg.norm(middles - size / 2, axis=1) / (NEARNESS * np.linalg.norm(size))
    best = int((score * np.exp(-(away**2) / 2)).argmax())
    return np.where(found_joints[best], joints[best], np.nan), confidence[best]
