"""All people of a whole image, from DeeperCut's maps: without boxes, at several sizes of the image.

The detectors know people of one size, that of their training. So the image is scaled until people of its whole height,
of 0.7 of it and so on have that size; of people found at several sizes, object keypoint similarity selects one.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from baselines.decode import grouping, oks_nms
from baselines.decode.grouping import JointDetections, Model
from baselines.protocol import Poses

HEIGHTS = (1.0, 0.7, 0.5, 0.35, 0.25)  # of people, as shares of the image's height
RADIUS = 10.0  # pixels: of two detections of one class this close together the better one remains
NEARBY = 0.1 * grouping.PERSON_HEIGHT  # pixels: how far a joint may be from where it is expected
LEAST_JOINTS = 3  # that a person must have been found with
SAME_PERSON = 0.4  # object keypoint similarity of two findings at different sizes
SIGMA = 0.08  # of all joints in that similarity: about that of a shoulder in COCO
FRAME = 16  # pixels of black around an image
MULTIPLE = 16  # pixels; the sides of the network's input are multiples of it
LARGEST_INPUT = 4_000_000  # pixels

Floats = NDArray[np.float64]


class Findings(NamedTuple):
    """What the network finds in images: scores [B, K, H', W'] between 0 and 1; the part of each place at `points`
    [B, K, 2, H', W'], and the other parts of the same person at `targets` [B, K, K, 2, H', W'], by part of the place
    and other part (of no meaning where they are the same; None without pairwise terms). In pixels, x first."""

    scores: NDArray[np.floating]
    points: NDArray[np.floating]
    targets: NDArray[np.floating] | None


def look(network: Any, images: Tensor) -> Findings:
    """What the network finds in images [B, 3, H, W]."""
    with torch.inference_mode():
        maps = network.maps(images)
        points, targets = network.positions(maps.offsets), None
        if maps.pairs is not None:
            k = network.num_joints
            middles = network.positions(torch.zeros_like(maps.offsets[:, :1]))  # [B, 1, 2, H', W']: of the places
            apart = ~torch.eye(k, dtype=torch.bool, device=images.device)
            targets = torch.zeros(len(images), k, k, *points.shape[2:], device=images.device)
            targets[:, apart] = (network.pair_pixels(maps.pairs) + middles).float()
        return Findings(
            maps.scores.float().cpu().numpy(),
            points.float().cpu().numpy(),
            None if targets is None else targets.cpu().numpy(),
        )


def averaged(findings: Findings, mirror_image: Findings, order: list[int], width: float) -> Findings:
    """The mean of the findings in images `width` pixels wide and in their mirror images; `order` [K] gives each part's
    mirrored part."""

    def back(points: NDArray[np.floating]) -> NDArray[np.floating]:
        """Points [B, K, ..., 2, H', W'] of the mirror image."""
        turned = points[:, order][..., ::-1].copy()
        turned[..., 0, :, :] = width - turned[..., 0, :, :]
        return turned

    scores = (findings.scores + mirror_image.scores[:, order][..., ::-1]) / 2
    points = (findings.points + back(mirror_image.points)) / 2
    if findings.targets is None or mirror_image.targets is None:
        return Findings(scores, points, None)
    return Findings(scores, points, (findings.targets + back(mirror_image.targets[:, :, order])) / 2)


def detections(findings: Findings, person_height: float) -> list[JointDetections]:
    """The detections in every image, scaled from people `person_height` pixels tall to PERSON_HEIGHT."""
    factor = grouping.PERSON_HEIGHT / person_height
    each = range(len(findings.scores))
    targets = [None if findings.targets is None else findings.targets[i] for i in each]
    return [grouping.detect(findings.scores[i], findings.points[i], targets[i], RADIUS).resized(factor) for i in each]


def people(found: JointDetections, classes: int, model: Model | None) -> tuple[Floats, Floats, Floats]:
    """Joints [P, K, 2], confidence [P, K] and score [P] of the people that the detections belong to.

    Without a model nothing tells people apart: there is one person, with the best detection of every class.
    """
    if model is not None:
        found = grouping.calibrated(found, model)
        return grouping.people(found, grouping.grouped(found, model), classes)
    first = np.full(len(found.scores), -1)
    for k in np.unique(found.classes):
        own = np.flatnonzero(found.classes == k)
        first[own[found.scores[own].argmax()]] = 0
    return grouping.people(found, first, classes)


def settled(joints: Floats, confidence: Floats, scores: Floats, points: Floats) -> Floats:
    """Joints [P, K, 2], with those without confidence [P, K] moved from where they are expected to the likeliest place
    nearby: the place with the highest product of its score [K, H', W'] and a Gaussian of the distance of its point
    [K, 2, H', W'] from there."""
    joints = joints.copy()
    for person, part in zip(*np.nonzero(confidence == 0), strict=True):
        away = ((points[part] - joints[person, part, :, None, None]) ** 2).sum(axis=0)  # [H', W']
        likely = scores[part] * np.exp(-away / (2 * NEARBY**2))
        if likely.any():
            joints[person, part] = points[part].reshape(2, -1)[:, likely.argmax()]
    return joints


def poses_from(
    view: Callable[[NDArray[np.uint8]], Findings],
    image: NDArray[np.uint8],
    *,
    classes: int,
    person_height: float,
    model: Model | None,
) -> Poses:
    """The people of an RGB image [H, W, 3], best score first, in its continuous coordinates.

    `view` gives the network's findings of `classes` parts in RGB images [B, H, W, 3]; `person_height` is that of the
    people that it was trained with, in pixels. A joint that was not found has confidence 0, and is at the likeliest
    place near where the others expect it.
    """
    found = []
    picture = Image.fromarray(image)
    for share in HEIGHTS:
        size = _size(picture.size, person_height / (share * picture.height))
        if size is None:
            continue
        scale = np.array([size[0] / picture.width, size[1] / picture.height])
        pixels = _framed(np.asarray(picture.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)))
        findings = view(pixels[None])
        joints, confidence, score = people(detections(findings, person_height)[0], classes, model)
        joints = settled(
            joints, confidence, findings.scores[0], findings.points[0] * (grouping.PERSON_HEIGHT / person_height)
        )
        joints = joints * (person_height / grouping.PERSON_HEIGHT)
        found.append(((joints - FRAME) / scale, confidence, score))
    if not found:
        return Poses(np.zeros((0, classes, 2)), np.zeros((0, classes)), np.zeros(0))
    joints, confidence, score = (np.concatenate(parts) for parts in zip(*found, strict=True))
    enough = (confidence > 0).sum(axis=1) >= LEAST_JOINTS
    joints, confidence, score = joints[enough], confidence[enough], score[enough]
    if not len(score):
        return Poses(joints, confidence, score)
    areas = np.maximum(joints.max(axis=1) - joints.min(axis=1), 1.0).prod(axis=1)
    rows = oks_nms.suppress(joints, score, areas, np.full(joints.shape[1], SIGMA), SAME_PERSON)
    return Poses(joints[rows], confidence[rows], score[rows])


def _size(size: tuple[int, int], scale: float) -> tuple[int, int] | None:
    """The (width, height) of an image of this scale, None when it is too small or too large for the network."""
    width, height = (max(1, round(side * scale)) for side in size)
    return None if min(width, height) < MULTIPLE or width * height > LARGEST_INPUT else (width, height)


def _framed(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pixels [H, W, 3] with black around them, as around people at the border in training, up to multiples of
    MULTIPLE."""
    height, width = pixels.shape[:2]
    down, across = (FRAME + -(side + 2 * FRAME) % MULTIPLE for side in (height, width))
    return np.pad(pixels, ((FRAME, down), (FRAME, across), (0, 0)))
