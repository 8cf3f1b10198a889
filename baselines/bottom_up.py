"""All people of a whole image, from DeeperCut's maps: without boxes, at several sizes of the image.

The detectors know people of one size, that of their training. So the image is looked at in sizes that bring people of
a whole, of 0.7, ... of its height to that size; what is found at several of them is settled by object keypoint
similarity.
"""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from baselines import grouping, oks_nms
from baselines.deepercut import STRIDE, DeeperCut, positions
from baselines.estimators import Poses

HEIGHTS = (1.0, 0.7, 0.5, 0.35, 0.25)  # of people, as shares of the image's height
LEAST_JOINTS = 3  # that a person must have been found with
SAME_PERSON = 0.4  # object keypoint similarity of two findings at different sizes
SIGMA = 0.08  # of all joints in that similarity: about what COCO has for a shoulder
MULTIPLE = 16  # of pixels, that the network's input must be
LARGEST_INPUT = 4_000_000  # pixels

Floats = NDArray[np.float64]
Prepare = Callable[[NDArray[np.uint8]], Tensor]  # RGB images [1, H, W, 3] to what the network takes [1, 3, H, W]


def poses_from(
    network: DeeperCut,
    image: NDArray[np.uint8],
    prepare: Prepare,
    *,
    person_height: float,
    weights: Floats | None = None,
) -> Poses:
    """The people of an RGB image [H, W, 3], best score first, in its continuous coordinates.

    `person_height`: of the people that the network was trained with, pixels; `weights` [9] or [K, K, 9] of the
    pair logistic (`grouping.probabilities`). A joint that was not found has confidence 0, and lies where the others
    expect it; without pairwise terms, in their middle.
    """
    found = []
    picture = Image.fromarray(image)
    for share in HEIGHTS:
        size = _size(picture.size, person_height / (share * picture.height))
        if size is None:
            continue
        scale = np.array([size[0] / picture.width, size[1] / picture.height])
        seen = np.asarray(picture.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0))
        joints, confidence, score = people(network, prepare(_padded(seen)[None]), weights)
        found.append((joints / scale, confidence, score))
    if not found:
        k = network.num_joints
        return Poses(np.zeros((0, k, 2)), np.zeros((0, k)), np.zeros(0))
    joints, confidence, score = (np.concatenate(parts) for parts in zip(*found, strict=True))
    enough = (confidence > 0).sum(axis=1) >= LEAST_JOINTS
    joints, confidence, score = joints[enough], confidence[enough], score[enough]
    if not len(score):
        return Poses(joints, confidence, score)
    low, high = np.nanmin(joints, axis=1), np.nanmax(joints, axis=1)  # [P, 2]
    areas = np.maximum(high - low, 1.0).prod(axis=1)
    joints = np.where(np.isnan(joints), np.nanmean(joints, axis=1, keepdims=True), joints)
    kept = oks_nms.suppress(joints, score, areas, np.full(joints.shape[1], SIGMA), SAME_PERSON)
    return Poses(joints[kept], confidence[kept], score[kept])


def _size(size: tuple[int, int], scale: float) -> tuple[int, int] | None:
    """The (width, height) of an image of this scale, None when it is too small or too large to look at."""
    width, height = (max(1, round(side * scale)) for side in size)
    return None if min(width, height) < MULTIPLE or width * height > LARGEST_INPUT else (width, height)


def _padded(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pixels [H, W, 3] with black at the right and below, up to multiples of what the network takes."""
    height, width = pixels.shape[:2]
    return np.pad(pixels, ((0, -height % MULTIPLE), (0, -width % MULTIPLE), (0, 0)))


def people(network: DeeperCut, images: Tensor, weights: Floats | None = None) -> tuple[Floats, Floats, Floats]:
    """Joints [P, K, 2], confidence [P, K] and score [P] of the people in one image [1, 3, H, W], in its continuous
    coordinates.

    A joint that was not found has confidence 0 and is where those that were found expect it. Without pairwise terms it
    is NaN, and nothing tells people apart: then there is one person, of the best detection of every class.
    """
    detections, ways = seen(network, images)
    classes = network.num_joints
    if ways is None:
        first = np.full(len(detections.scores), -1)
        for k in np.unique(detections.classes):
            own = np.flatnonzero(detections.classes == k)
            first[own[detections.scores[own].argmax()]] = 0
        return grouping.people(detections, first, classes)
    q = grouping.probabilities(detections, ways, _by_pair(weights, classes))
    labels = grouping.partition(*grouping.costs(detections.scores, q))
    return grouping.people(detections, labels, classes, ways)


def seen(network: DeeperCut, images: Tensor) -> tuple[grouping.Detections, Floats | None]:
    """The detections in one image [1, 3, H, W], and where each expects every other class, seen from its own place
    [N, K, 2], pixels; None when the network has no pairwise terms."""
    with torch.inference_mode():
        maps = network.maps(images)
        scores = maps.scores[0].double().cpu().numpy()  # [K, H/8, W/8]
        places = positions(maps.offsets)[0].double().cpu().numpy()  # [K, 2, H/8, W/8]
        pairs = None if maps.pairs is None else network.pair_pixels(maps.pairs)[0].double().cpu().numpy()
    detections = grouping.detect(scores, places)
    if pairs is None:
        return detections, None
    classes = network.num_joints
    ways = np.zeros((len(detections.scores), classes, 2))
    u, v = detections.cells.T
    middle = detections.cells * STRIDE + STRIDE / 2  # [N, 2]: pairs lead from the middle of the cell
    for target in range(classes):
        other = np.flatnonzero(detections.classes != target)
        row = grouping.pair_row(detections.classes[other], np.full(len(other), target), classes)
        ways[other, target] = middle[other] + pairs[row, :, v[other], u[other]] - detections.places[other]
    return detections, ways


def fit(network: DeeperCut, examples: Iterable[tuple[Tensor, Floats]], reach: float) -> Floats:
    """Weights [9] of the pair logistic, for all pairs of classes, from images [1, 3, H, W] and the joints [P, K, 2] of
    all of their people (NaN where there is none).

    Detections are of the person whose joint of their class is nearest, if it is within `reach` pixels; pairs of them
    are the examples.
    """
    features, same = [np.zeros((0, grouping.FEATURES))], [np.zeros(0, bool)]
    for images, joints in examples:
        detections, ways = seen(network, images)
        if ways is None:
            raise ValueError("the network has no pairwise terms")
        distance = np.linalg.norm(joints[:, detections.classes] - detections.places, axis=2)  # [P, N]
        distance = np.where(np.isnan(distance), np.inf, distance)
        if not distance.size:
            continue
        owner = np.where(distance.min(axis=0) <= reach, distance.argmin(axis=0), -1)
        first, second = np.triu_indices(len(owner), 1)
        known = (owner[first] >= 0) & (owner[second] >= 0)
        known &= detections.classes[first] != detections.classes[second]
        first, second = first[known], second[known]
        features.append(grouping.pair_features(detections, ways, first, second))
        same.append(owner[first] == owner[second])
    return grouping.fit_logistic(np.concatenate(features), np.concatenate(same))


def _by_pair(weights: Floats | None, classes: int) -> Floats:
    """Weights [K, K, 9] of [9] or [K, K, 9]; the prior without any."""
    given = grouping.PRIOR if weights is None else weights
    return np.broadcast_to(given, (classes, classes, grouping.FEATURES))
