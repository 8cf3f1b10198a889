"""Pose-guided proposal generator of RMPE (Fang et al., ICCV 2017, arXiv 1612.00137, section 3.3).

The errors of a person detector depend on the pose: it may cut off the legs of a sitting person and the arms of a
stretching one. So the offsets of detected boxes from the true ones are modelled for each atomic pose: poses are scaled
to one torso length and clustered, and a Gaussian mixture is fitted to the offsets of each cluster. Training people are
then cut out by boxes drawn from it, as a detector would give them: `data.batches` draws one per crop.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from baselines.protocol import BaselineFailed

if TYPE_CHECKING:
    from baselines.train.data import TrainingPeople
    from evaluator import Dataset

Floats = NDArray[np.float64]
Torso = tuple[int, int, int, int]  # joints: left and right shoulder, left and right hip
ROUNDS = 100  # of clustering and of fitting, at most
LEAST_VARIANCE = 1e-4  # of an offset, in box sides squared
LEAST_SIDE = 0.2  # of a drawn box, in sides of the true one
COMPONENTS = 3  # Gaussians of each atomic pose; the paper does not say
TORSO = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
SAME_PERSON = 0.5  # intersection over union of a detected box with the true one
FEWEST_FOUND = 0.5  # of the training people; a detector that finds fewer has worse errors than offsets
MOST_IMAGES = 2000  # on which the detector runs


@dataclass(frozen=True)
class Proposals:
    """Atomic poses [A, K, 2], and of each the mixture of offsets: weights [A, M], means [A, M, 4], covariances
    [A, M, 4, 4]. An offset is that of the left, top, right and bottom side, in widths and heights of the true box."""

    torso: Torso
    atomic: Floats
    weights: Floats
    means: Floats
    covariances: Floats


def learn(
    people: "TrainingPeople", dataset: "Dataset", file: Path | None, device: str, *, atomic: int, seed: int
) -> Proposals:
    """The model of training people, from the boxes of a detector in their images: those of a file in COCO's form (see
    boxes.from_file), otherwise those of the person detector. Raises BaselineFailed."""
    from baselines.run import boxes

    missing = [joint for joint in TORSO if joint not in dataset.joints]
    if missing:
        raise BaselineFailed("proposals", f"{dataset.name} has no {missing[0]}, and proposals need a torso")
    images = np.unique(people.image_of)[:MOST_IMAGES].tolist()
    if file is not None:
        found = boxes.from_file(file, [{"id": people.pictures.ids[image]} for image in images]).people
        by_image = {image: found[people.pictures.ids[image]] for image in images}
    else:
        listed = [{"id": image} for image in images]
        by_image = boxes.detected(listed, lambda image: people.pictures[image["id"]], device, lambda: None).people
    rows = np.flatnonzero(np.isin(people.image_of, images))
    own = [
        nearest(people.regions[row], np.array([p.box for p in by_image[int(people.image_of[row])]]).reshape(-1, 4))
        for row in rows
    ]
    was_found = np.array([box is not None for box in own])
    if was_found.mean() < FEWEST_FOUND:
        message = f"the detector finds {was_found.mean():.0%} of the training people, too few to learn its errors from"
        raise BaselineFailed("proposals", f"{message}: give a detector's boxes with --boxes, or --atomic-poses 0")
    rows = rows[was_found]
    joints = np.where(people.weights[rows][..., None] > 0, people.joints[rows], np.nan)
    torso = dataset.joint(TORSO[0]), dataset.joint(TORSO[1]), dataset.joint(TORSO[2]), dataset.joint(TORSO[3])
    detected = np.array([box for box in own if box is not None])
    try:
        return fit(joints, people.regions[rows], detected, torso, atomic=atomic, components=COMPONENTS, seed=seed)
    except ValueError as error:
        message = f"{error}: train on more people, or with fewer --atomic-poses (0 for the annotated boxes)"
        raise BaselineFailed("proposals", message) from error


def nearest(box: Floats, detected: Floats) -> Floats | None:
    """The one of detected boxes [M, 4] that a true box [4] (x, y, width, height) overlaps most, if that is enough."""
    from baselines.run.person_detector import overlaps

    if not len(detected):
        return None
    shares = overlaps(box[None], detected)[0]  # [M]
    best: Floats = detected[shares.argmax()]
    return best if shares.max() >= SAME_PERSON else None


def fit(
    joints: Floats, boxes: Floats, detected: Floats, torso: Torso, *, atomic: int, components: int, seed: int = 0
) -> Proposals:
    """The model of people: joints [N, K, 2] (NaN where not annotated), true boxes and detected boxes [N, 4] (x, y,
    width, height). People whose torso is not annotated are left out. Raises ValueError when fewer than `atomic` remain.
    """
    aligned = align(joints, torso)
    usable = np.isfinite(aligned).all(axis=2).sum(axis=1) >= 4
    if usable.sum() < atomic:
        raise ValueError(f"{atomic} atomic poses from {int(usable.sum())} people with a torso")
    draw = np.random.default_rng(seed)
    aligned, offset = aligned[usable], offsets(boxes, detected)[usable]
    centres, cluster = _clustered(aligned, atomic, draw)
    everyone = _mixture(offset, components, draw)
    fitted = []
    for pose in range(atomic):
        own = offset[cluster == pose]
        # too few examples for 4 x 4 covariances are replaced with everyone's
        fitted.append(_mixture(own, components, draw) if len(own) >= 8 * components else everyone)
    weights, means, covariances = (np.stack(part) for part in zip(*fitted, strict=True))
    return Proposals(torso, centres, weights, means, covariances)


def propose(model: Proposals, joints: Floats, boxes: Floats, draw: np.random.Generator) -> Floats:
    """A box [N, 4] drawn for every person: joints [N, K, 2], true boxes [N, 4]. A person without a torso keeps the true
    box."""
    aligned = align(joints, model.torso)
    cluster = _nearest(aligned, model.atomic)
    known = np.isfinite(aligned).any(axis=(1, 2))
    drawn = boxes.astype(np.float64).copy()
    for row in np.flatnonzero(known):
        pose = cluster[row]
        component = draw.choice(model.weights.shape[1], p=model.weights[pose])
        moved = draw.multivariate_normal(model.means[pose, component], model.covariances[pose, component])
        x, y, w, h = boxes[row]
        left, top, right, bottom = moved
        width, height = max(1.0 + right - left, LEAST_SIDE), max(1.0 + bottom - top, LEAST_SIDE)
        drawn[row] = x + left * w, y + top * h, width * w, height * h
    return drawn


def align(joints: Floats, torso: Torso) -> Floats:
    """Poses [N, K, 2] with the middle of the hips at (0, 0) and a torso of length 1; NaN without a torso."""
    shoulders, hips = joints[:, list(torso[:2])].mean(axis=1), joints[:, list(torso[2:])].mean(axis=1)  # [N, 2]
    length = np.linalg.norm(shoulders - hips, axis=1)
    length = np.where(length > 0, length, np.nan)
    aligned: Floats = (joints - hips[:, None]) / length[:, None, None]
    return aligned


def offsets(boxes: Floats, detected: Floats) -> Floats:
    """How far the sides of detected boxes [N, 4] are from the true ones: left, top, right, bottom [N, 4], in widths and
    heights of the true boxes."""
    w, h = boxes[:, 2], boxes[:, 3]
    moved = detected[:, :2] - boxes[:, :2]
    far = detected[:, :2] + detected[:, 2:] - boxes[:, :2] - boxes[:, 2:]
    return np.stack([moved[:, 0] / w, moved[:, 1] / h, far[:, 0] / w, far[:, 1] / h], axis=1)


def _distances(poses: Floats, centres: Floats) -> Floats:
    """Mean squared distance [N, A] of poses [N, K, 2] from centres [A, K, 2], over the joints that both have."""
    squares = ((poses[:, None] - centres[None]) ** 2).sum(axis=3)  # [N, A, K]
    both = np.isfinite(squares)
    found: Floats = np.where(both, squares, 0.0).sum(axis=2) / np.maximum(both.sum(axis=2), 1)
    return found


def _nearest(poses: Floats, centres: Floats) -> NDArray[np.intp]:
    return _distances(poses, centres).argmin(axis=1)


def _clustered(poses: Floats, count: int, draw: np.random.Generator) -> tuple[Floats, NDArray[np.intp]]:
    """k-means: centres [A, K, 2] and the cluster of each pose [N], begun as k-means++ does."""
    chosen = [int(draw.integers(len(poses)))]
    while len(chosen) < count:
        apart = _distances(poses, poses[chosen]).min(axis=1)
        apart[chosen] = 0.0
        share = apart / apart.sum() if apart.sum() > 0 else np.full(len(poses), 1 / len(poses))
        chosen.append(int(draw.choice(len(poses), p=share)))
    centres, cluster = poses[chosen].copy(), np.full(len(poses), -1)
    for _ in range(ROUNDS):
        nearest = _nearest(poses, centres)
        if (nearest == cluster).all():
            break
        cluster = nearest
        for pose in range(count):
            own = poses[cluster == pose]
            annotated = np.isfinite(own).any(axis=0)  # a joint that nobody in the cluster has does not move
            sums, counts = np.nansum(own, axis=0), np.isfinite(own).sum(axis=0)
            centres[pose] = np.where(annotated, sums / np.maximum(counts, 1), centres[pose])
    return centres, cluster


def _mixture(values: Floats, components: int, draw: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """Weights [M], means [M, D] and covariances [M, D, D] of a Gaussian mixture of values [N, D], by EM."""
    count, size = values.shape
    means = values[draw.choice(count, components, replace=count < components)].copy()
    spread = np.cov(values.T, bias=True).reshape(size, size) + LEAST_VARIANCE * np.eye(size)
    covariances, weights = np.repeat(spread[None], components, axis=0), np.full(components, 1 / components)
    before = -np.inf
    for _ in range(ROUNDS):
        logs = np.stack(
            [np.log(w) + _log_normal(values, m, c) for w, m, c in zip(weights, means, covariances, strict=True)], axis=1
        )  # [N, M]
        largest = logs.max(axis=1, keepdims=True)
        total = largest[:, 0] + np.log(np.exp(logs - largest).sum(axis=1))
        share = np.exp(logs - total[:, None])  # [N, M]
        mass = share.sum(axis=0) + 1e-12
        weights = mass / mass.sum()
        means = share.T @ values / mass[:, None]
        for m in range(components):
            off = values - means[m]
            covariances[m] = (share[:, m, None] * off).T @ off / mass[m] + LEAST_VARIANCE * np.eye(size)
        now = float(total.mean())
        if now - before < 1e-7:
            break
        before = now
    return weights, means, covariances


def _log_normal(values: Floats, mean: Floats, covariance: Floats) -> Floats:
    """Log-density [N] of a Gaussian."""
    lower = np.linalg.cholesky(covariance)
    off = np.linalg.solve(lower, (values - mean).T)  # [D, N]
    found: Floats = -0.5 * (off**2).sum(axis=0) - np.log(np.diag(lower)).sum() - 0.5 * len(mean) * np.log(2 * np.pi)
    return found
