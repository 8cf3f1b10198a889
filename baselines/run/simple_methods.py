"""Simple methods that predict poses in given boxes, for comparison with networks. NumPy and Pillow only.

They are trained within seconds: the mean pose, the poses of the most similar training people, a linear
map from oriented gradients (Dalal and Triggs, CVPR 2005) to joints, and a cascade of such maps around each estimate
(Dollár, Welinder and Perona, CVPR 2010; Xiong and De la Torre, CVPR 2013).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baselines.run import crops
from baselines.run.images import read_image

CROP = (96, 128)  # width, height
PADDING = 1.1
CELL = 4  # pixels of a crop
DIRECTIONS = 6
RIDGE = 2.0  # penalty, as a share of the number of people
STAGES = (10.0, 8.0, 6.0, 4.5)  # of the cascade: pixels between the 3 x 3 places around each joint
NEIGHBOURS = 5

DESCRIPTIONS = {
    "Mean pose": "The mean of all training poses, stretched over the box. It does not look at the image.",
    "Nearest neighbours": "The average pose of the five training people whose grey crops are most alike.",
    "Gradient ridge": "Ridge regression from histograms of oriented gradients of a 96 x 128 crop to the joints.",
    "Cascaded regression": "Ridge regressions in sequence, each on the gradients around the joints of the one before.",
}


Floats = NDArray[np.float32]


@dataclass(frozen=True)
class GreyCrops:
    """People in boxes: grey crops [N, 128, 96] from 0 to 1, and matrices [N, 2, 3] from the image to the crop."""

    pixels: NDArray[np.float32]
    matrices: NDArray[np.float64]
    image_ids: list[int]
    person_ids: list[int]
    sizes: NDArray[np.float64]  # [N] diagonals of the boxes, pixels


def demo_predictions(
    train_folder: Path, image_list: dict[str, Any], image_folder: Path, names: Collection[str] = tuple(DESCRIPTIONS)
) -> dict[str, list[dict[str, Any]]]:
    """Predictions (COCO results entries with `person_id`) of each method for a public image list with boxes.

    `train_folder` holds images/ and annotations.json of a training split. `names` are keys of DESCRIPTIONS.
    """
    truth = json.loads((train_folder / "annotations.json").read_text())
    by_image: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in truth["images"]}
    for person in truth["annotations"]:
        by_image[person["image_id"]].append({"person_id": person["id"], "box": person["bbox"]})
    listed = {"images": [{**image, "people": by_image[image["id"]]} for image in truth["images"]]}
    known, asked = _cut(listed, train_folder / "images"), _cut(image_list, image_folder)
    triples = {person["id"]: person["keypoints"] for person in truth["annotations"]}
    joints = np.array([triples[i] for i in known.person_ids], float).reshape(len(known.person_ids), -1, 3)
    poses = crops.to_continuous(joints[..., :2])
    poses = np.einsum("nij,nkj->nki", known.matrices[:, :, :2], poses) + known.matrices[:, None, :, 2]
    weights = (joints[..., 2] > 0).astype(float)
    methods: dict[str, Callable[[], tuple[NDArray[np.float64], NDArray[np.float64]]]] = {
        "Mean pose": lambda: mean_pose(poses, weights, len(asked.pixels)),
        "Nearest neighbours": lambda: nearest_neighbours(known.pixels, poses, weights, asked.pixels),
        "Gradient ridge": lambda: gradient_ridge(features, poses, weights, asked_features),
        "Cascaded regression": lambda: cascaded_regression(features, poses, weights, asked_features, _mirror(truth)),
    }
    if {"Gradient ridge", "Cascaded regression"} & set(names):
        features, asked_features = gradients(known.pixels), gradients(asked.pixels)
    return {name: _results(asked, *methods[name]()) for name in names}


def mean_pose(
    poses: NDArray[np.float64], weights: NDArray[np.float64], count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean of training poses [N, K, 2] with weights [N, K], `count` times, and equal scores [count]."""
    return np.repeat(_mean(poses, weights)[None], count, axis=0), np.full(count, 0.5)


def nearest_neighbours(
    known: NDArray[np.float32], poses: NDArray[np.float64], weights: NDArray[np.float64], asked: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Average pose [M, K, 2] of the training crops [N, H, W] most correlated with the asked ones [M, H, W], and
    scores [M].

    Crops are reduced to an eighth and brought to mean 0 and length 1, so that brightness and contrast do not count. A
    joint that no neighbour has is at its place in the mean pose.
    """
    similar = _signature(asked) @ _signature(known).T  # [M, N]
    best = np.argpartition(-similar, NEIGHBOURS - 1, axis=1)[:, :NEIGHBOURS]
    alike = np.take_along_axis(similar, best, axis=1)
    share = np.exp(6.0 * alike)[..., None] * weights[best]  # [M, neighbours, K]
    total = share.sum(axis=1)
    mixed = (share[..., None] * poses[best]).sum(axis=1) / np.maximum(total, 1e-9)[..., None]
    mean = _mean(poses, weights)
    return np.where((total > 0)[..., None], mixed, mean), np.clip(alike.mean(axis=1), 0.0, 1.0)


def gradient_ridge(
    known: Floats, poses: NDArray[np.float64], weights: NDArray[np.float64], asked: Floats
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Joints [M, K, 2] by ridge regression on the gradients [N, h, w, D] of whole crops, and scores [M].

    Joints that a training person lacks are at their place in the mean pose. The score falls with the distance from the
    mean pose, because unusual poses are predicted less well.
    """
    mean = _mean(poses, weights)
    targets = np.where((weights > 0)[..., None], poses - mean, 0.0)
    fitted = _fit(_coarse(known), targets)
    moved = fitted(_coarse(asked))
    return mean + moved, _likely(moved)


def cascaded_regression(
    known: Floats, poses: NDArray[np.float64], weights: NDArray[np.float64], asked: Floats, mirror: list[int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Joints [M, K, 2] from gradients [M, h, w, D] by a cascade, and scores [M]; `mirror` gives each joint's mirrored
    joint.

    Training people count twice, as they are and mirrored. Every stage corrects the joints by the gradients around them.
    In training, a person is corrected by a map that was fitted to the other half of the people, so that a stage
    learns from errors as large as those it will meet.
    """
    mean = _mean(poses, weights)
    targets = np.where((weights > 0)[..., None], poses, mean)
    reflected = targets[:, mirror] * [-1.0, 1.0] + [CROP[0], 0.0]
    targets = np.concatenate([targets, reflected])
    known = np.concatenate([known, mirrored_gradients(known)])
    half = np.arange(len(targets)) % len(poses) % 2
    mean = targets.mean(axis=0)
    trained = np.repeat(mean[None], len(targets), axis=0)
    found = np.repeat(mean[None], len(asked), axis=0)
    for stage, step in enumerate((0.0, *STAGES)):
        around = _around(known, trained, step) if stage else _coarse(known)
        errors = targets - trained
        around_asked = _around(asked, found, step) if stage else _coarse(asked)
        found = found + _fit(around, errors)(around_asked)
        corrected = trained.copy()
        for part in (0, 1):
            corrected[half == part] += _fit(around[half != part], errors[half != part])(around[half == part])
        trained = corrected
    return found, _likely(found - mean)


def gradients(pixels: NDArray[np.float32]) -> Floats:
    """Oriented gradients of crops [N, H, W] in cells [N, H/4, W/4, 7]: 6 unsigned directions, each cell scaled with its
    neighbourhood, and the grey value against the crop's mean."""
    return np.concatenate([_cells(pixels[i : i + 128]) for i in range(0, len(pixels), 128)])


def mirrored_gradients(cells: Floats) -> Floats:
    """The `gradients` of the mirrored crops: direction d becomes -d."""
    order = [-d % DIRECTIONS for d in range(DIRECTIONS)]
    return cells[:, :, ::-1, [*order, DIRECTIONS]]


def _cells(pixels: NDArray[np.float32]) -> Floats:
    n, height, width = pixels.shape
    down, across = np.gradient(pixels, axis=(1, 2))
    strength = np.hypot(across, down)
    angle = (np.arctan2(down, across) % np.pi) * (DIRECTIONS / np.pi)
    lower = np.floor(angle)
    share = angle - lower
    bins = lower.astype(np.int64) % DIRECTIONS
    rows, columns = height // CELL, width // CELL
    cell = (np.arange(height)[:, None] // CELL) * columns + np.arange(width)[None, :] // CELL  # [H, W]
    base = (np.arange(n)[:, None, None] * rows * columns + cell) * DIRECTIONS
    size = n * rows * columns * DIRECTIONS
    histogram = np.bincount((base + bins).ravel(), (strength * (1 - share)).ravel(), size)
    histogram += np.bincount((base + (bins + 1) % DIRECTIONS).ravel(), (strength * share).ravel(), size)
    histogram = histogram.reshape(n, rows, columns, DIRECTIONS)
    energy = np.pad((histogram**2).sum(axis=3), ((0, 0), (1, 1), (1, 1)), mode="edge")
    around = sum(energy[:, i : i + rows, j : j + columns] for i in range(3) for j in range(3)) / 9
    grey = pixels.reshape(n, rows, CELL, columns, CELL).mean(axis=(2, 4))
    grey = grey - grey.mean(axis=(1, 2), keepdims=True)
    scaled = np.minimum(histogram / np.sqrt(around + 0.02)[..., None], 0.6)
    return np.concatenate([scaled, grey[..., None]], axis=3).astype(np.float32)


def _coarse(cells: Floats) -> Floats:
    """Cells [N, h, w, D] averaged two by two, as features [N, h/2 * w/2 * D]."""
    n, rows, columns, depth = cells.shape
    return cells.reshape(n, rows // 2, 2, columns // 2, 2, depth).mean(axis=(2, 4)).reshape(n, -1)


def _around(cells: Floats, joints: NDArray[np.float64], step: float) -> Floats:
    """Cells [N, h, w, D] at 3 x 3 places, `step` pixels apart, around joints [N, K, 2]; and the shape of the pose."""
    n, rows, columns, _ = cells.shape
    offsets = np.stack(np.meshgrid([-step, 0.0, step], [-step, 0.0, step]), axis=-1).reshape(1, 1, 9, 2)
    places = (joints[:, :, None] + offsets) / CELL - 0.5  # [N, K, 9, 2]
    u, v = np.clip(places[..., 0], 0, columns - 1.001), np.clip(places[..., 1], 0, rows - 1.001)
    i, j = u.astype(np.int64), v.astype(np.int64)
    fu, fv = (u - i).astype(np.float32)[..., None], (v - j).astype(np.float32)[..., None]
    row = np.arange(n)[:, None, None]
    upper = cells[row, j, i] * (1 - fu) + cells[row, j, i + 1] * fu
    lower = cells[row, j + 1, i] * (1 - fu) + cells[row, j + 1, i + 1] * fu
    shape = (joints - joints.mean(axis=1, keepdims=True)).reshape(n, -1) / CROP[0]
    return np.concatenate([(upper * (1 - fv) + lower * fv).reshape(n, -1), shape.astype(np.float32)], axis=1)


def _fit(features: Floats, targets: NDArray[np.float64]) -> Callable[[Floats], NDArray[np.float64]]:
    """The ridge regression from features [N, F] to targets [N, K, 2], as a function of features [M, F]."""
    centre, spread = features.mean(axis=0), features.std(axis=0) + 1e-2
    scaled = (features - centre) / spread
    flat = targets.reshape(len(targets), -1)
    middle = flat.mean(axis=0)
    gram = (scaled.T @ scaled).astype(np.float64) + RIDGE * len(scaled) * np.eye(scaled.shape[1])
    weights = np.linalg.solve(gram, scaled.T @ (flat - middle))

    def apply(asked: Floats) -> NDArray[np.float64]:
        return (middle + ((asked - centre) / spread) @ weights).reshape(len(asked), *targets.shape[1:])

    return apply


def _likely(moved: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores [M] that fall with the mean distance of joints from the mean pose, moved [M, K, 2]."""
    return np.exp(-np.linalg.norm(moved, axis=-1).mean(axis=1) / CROP[0])


def _mirror(truth: dict[str, Any]) -> list[int]:
    """For each joint of the annotation file's category the index of its mirrored joint."""
    names = truth["categories"][0]["keypoints"]
    swap = {"left": "right", "right": "left"}
    sides = [name.partition("_") for name in names]
    return [names.index(f"{swap[side]}_{rest}") if side in swap else k for k, (side, _, rest) in enumerate(sides)]


def _mean(poses: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    mean: NDArray[np.float64] = (poses * weights[..., None]).sum(axis=0) / np.maximum(weights.sum(axis=0), 1)[:, None]
    return mean


def _signature(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    n, height, width = pixels.shape
    small = pixels.reshape(n, height // 8, 8, width // 8, 8).mean(axis=(2, 4)).reshape(n, -1)
    small = small - small.mean(axis=1, keepdims=True)
    signature: NDArray[np.float32] = small / np.maximum(np.linalg.norm(small, axis=1, keepdims=True), 1e-6)
    return signature


def _cut(image_list: dict[str, Any], folder: Path) -> GreyCrops:
    pixels, matrices, image_ids, person_ids, sizes = [], [], [], [], []
    for image in image_list["images"]:
        picture = read_image(folder / image["file_name"]).convert("L").convert("RGB")
        for person in image["people"]:
            x, y, w, h = person["box"]
            matrix = crops.box_crop((x, y, w, h), CROP, PADDING)
            grey = crops.warp(picture, matrix, CROP).getchannel(0)
            pixels.append(np.asarray(grey, np.float32) / 255.0)
            matrices.append(matrix)
            image_ids.append(image["id"])
            person_ids.append(person["person_id"])
            sizes.append(float(np.hypot(w, h)))
    return GreyCrops(np.stack(pixels), np.stack(matrices), image_ids, person_ids, np.array(sizes))


def _results(people: GreyCrops, poses: NDArray[np.float64], scores: NDArray[np.float64]) -> list[dict[str, Any]]:
    """Poses [M, K, 2] in crops as entries of a predictions file. Larger people score slightly higher."""
    results = []
    for i, (pose, score) in enumerate(zip(poses, scores, strict=True)):
        joints = crops.to_pixels(crops.apply(crops.inverse(people.matrices[i]), pose)).round(2)
        results.append(
            {
                "image_id": people.image_ids[i],
                "person_id": people.person_ids[i],
                "category_id": 1,
                "keypoints": np.column_stack([joints, np.full(len(joints), round(float(score), 4))]).ravel().tolist(),
                "score": round(float(score) * (0.5 + 0.5 * min(people.sizes[i] / 400.0, 1.0)), 6),
            }
        )
    return results
