"""Annotated people to train on: read from the datasets' own files, split, cut out and augmented.

How a person is augmented depends only on the seed, the epoch and the person, not on the people before: a training that
resumes after a kill gets the crops that it would have got, and several threads can prepare them.
"""

import json
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from baselines.mannequins import generate
from baselines.protocol import BaselineFailed
from baselines.run import crops
from baselines.run.images import UnreadableImage, read_image
from baselines.train.proposals import Proposals, propose
from evaluator import Dataset

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LSP_TRAIN = 1000  # images 1 to 1000 of LSP; the others are its test split
CACHE_BYTES = 1 << 30  # of decoded images in memory; further images are read again in every epoch
FEWEST_HALF = 8  # annotated joints of a person who may be cut to half a body (HRNet's toolkit)


@dataclass(frozen=True)
class Augmentation:
    """How far a person is changed: uniformly in plus and minus `rotation` degrees, `scale` and `shift` (shares of the
    crop), `colour` (share of the brightness); mirrored half of the time; cut to the upper or the lower body with
    probability `half_body`."""

    rotation: float = 0.0
    scale: float = 0.0
    shift: float = 0.0
    colour: float = 0.0
    half_body: float = 0.0


class Pictures:
    """Images by number, read when needed; up to CACHE_BYTES of them stay in memory."""

    def __init__(self, paths: list[Path], ids: list[int] | None = None) -> None:
        self.paths = paths
        self.ids = ids or list(range(len(paths)))  # as the annotations number them
        self._cache: dict[int, Image.Image] = {}
        self._room = CACHE_BYTES

    def __getitem__(self, index: int) -> Image.Image:
        cached = self._cache.get(index)
        if cached is not None:
            return cached
        try:
            image = read_image(self.paths[index])
        except UnreadableImage as error:
            raise BaselineFailed("unreadable_image", f"a training image cannot be read: {error}") from error
        size = 3 * image.width * image.height
        if size <= self._room:
            self._room -= size
            self._cache[index] = image
        return image


@dataclass(frozen=True)
class TrainingFiles:
    """The annotations and the folder of images to learn from; `rendered` where these are Mannequins made for it."""

    annotations: Path
    folder: Path
    rendered: bool = False

    @classmethod
    def named(
        cls, dataset: str, data: Path | None, annotations: Path | None, folder: Path | None, scratch: Path
    ) -> "TrainingFiles":
        """Those of a folder `data`, those given one by one, or without either Mannequins in `scratch`.

        Raises BaselineFailed for half of a pair, and where a dataset other than Mannequins has no files.
        """
        if data is not None:
            return cls(data / "annotations.json", data / "images")
        if annotations is not None and folder is not None:
            return cls(annotations, folder)
        if annotations is not None or folder is not None:
            raise BaselineFailed("no_data", "--annotations and --folder belong together: the people, and their images")
        if dataset != "mannequins":
            message = f"no training data of {dataset}: give --annotations and --folder, or --data"
            raise BaselineFailed("no_data", message)
        return cls(scratch / "annotations.json", scratch / "images", rendered=True)

    def render_if_missing(self, images: int, seed: int) -> None:
        """Render so many Mannequins, unless there are files already."""
        if self.rendered:
            generate(self.annotations.parent, split="train", images=images, seed=seed)


@dataclass(frozen=True)
class TrainingPeople:
    """Annotated people: the image [N] and region [N, 4] (x, y, w, h) of each, joints [N, K, 2] in continuous
    coordinates, weights [N, K], 0 where a joint is not annotated. `padding` goes around a region. Where `proposals` are
    learned, an augmented person is cut out by a box drawn from them."""

    pictures: Pictures
    image_of: NDArray[np.int64]
    regions: NDArray[np.float64]
    joints: NDArray[np.float64]
    weights: NDArray[np.float64]
    padding: float
    proposals: Proposals | None = None

    def __len__(self) -> int:
        return len(self.regions)

    def chosen(self, rows: NDArray[np.intp]) -> "TrainingPeople":
        """The people of these rows."""
        return replace(
            self,
            image_of=self.image_of[rows],
            regions=self.regions[rows],
            joints=self.joints[rows],
            weights=self.weights[rows],
        )


@dataclass(frozen=True)
class Batch:
    """People cut out: images [B, 3, H, W], normalised; joints [B, K, 2] in continuous coordinates of the crop; weights
    [B, K], 0 where a joint is not annotated or outside the crop. With everyone in the image: joints [B, P, K, 2]
    and weights [B, P, K], first the person it was cut out for; weights are 0 where an image has fewer people."""

    images: NDArray[np.float32]
    joints: NDArray[np.float64]
    weights: NDArray[np.float32]


def read_people(dataset: Dataset, annotations: Path, folder: Path, *, padding: float) -> TrainingPeople:
    """The people with an annotated joint in `annotations`, an annotation JSON (COCO's own, or converted) or LSP's
    joints.mat, whose images are in `folder`.

    Where a benchmark has one person per image and gives no box, as LSP, the region is the whole image, as when a
    baseline runs; elsewhere it is the person's box with `padding`. Of LSP only training images are accepted. Raises
    BaselineFailed.
    """
    truth = _read_annotations(dataset, annotations)
    images, people = truth["images"], truth["annotations"]
    if dataset.name == "lsp":
        _check_training_images(truth, annotations)
    number = {image["id"]: i for i, image in enumerate(images)}
    people = [p for p in people if any(v > 0 for v in p["keypoints"][2::3]) and not p.get("iscrowd")]
    if not people:
        raise BaselineFailed("no_people", f"{annotations.name} contains no person with an annotated joint")
    k = len(dataset.joints)
    if any(len(p["keypoints"]) != 3 * k for p in people):
        raise BaselineFailed(
            "other_joints", f"{annotations.name}: expected the {k} joints of {dataset.name} for every person"
        )
    triples = np.array([p["keypoints"] for p in people], float).reshape(-1, k, 3)
    image_of = np.array([number[p["image_id"]] for p in people])
    pictures = Pictures([folder / image["file_name"] for image in images], [image["id"] for image in images])
    shown = sorted(set(image_of.tolist()))
    missing = next((pictures.paths[i].name for i in shown if not pictures.paths[i].is_file()), None)
    if missing is not None:
        raise BaselineFailed("no_images", f"{missing} of {annotations.name} is not in the folder of images")
    if dataset.single_person:
        sizes = {i: pictures[i].size for i in shown}
        regions = np.array([(0.0, 0.0, *sizes[i]) for i in image_of.tolist()])
    else:
        regions = np.array([p["bbox"] for p in people], float)
    return TrainingPeople(
        pictures,
        image_of,
        regions,
        crops.to_continuous(triples[..., :2]),
        (triples[..., 2] > 0).astype(float),
        crops.IMAGE_PADDING if dataset.single_person else padding,
    )


def _read_annotations(dataset: Dataset, path: Path) -> dict[str, Any]:
    """The annotation JSON in a file."""
    if not path.is_file():
        raise BaselineFailed("no_data", f"{path.name}: no such annotation file")
    try:
        if path.suffix == ".json":
            found = json.loads(path.read_text())
        else:
            from evaluator.convert import ConversionError, convert_truth

            try:
                split = "train" if "train" in dataset.splits else None
                found = convert_truth(dataset.name, path, split=split)
            except ConversionError as error:
                raise BaselineFailed("annotations", str(error)) from error
        for image in found["images"]:
            image["id"], image["file_name"]
        for person in found["annotations"]:
            person["image_id"], person["keypoints"]
            if not dataset.single_person:
                person["bbox"]
    except (ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise BaselineFailed("annotations", f"{path.name} is not an annotation JSON ({error!r})") from error
    annotations: dict[str, Any] = found
    return annotations


def _check_training_images(truth: dict[str, Any], path: Path) -> None:
    """Raise BaselineFailed for a converted file of LSP with images of its test split."""
    later = sorted(image["id"] for image in truth["images"] if image["id"] > LSP_TRAIN)
    if later:
        message = f"{path.name} contains the test image {later[0]}: train on images 1 to {LSP_TRAIN} of LSP"
        raise BaselineFailed("test_images", message)


def split(people: TrainingPeople, share: float, seed: int) -> tuple[TrainingPeople, TrainingPeople]:
    """The people to learn from, and those to choose the best epoch by: the people of a `share` of the images, at least
    one, drawn by the seed. No image is in both parts; with a share of 0 the second is empty."""
    images = np.unique(people.image_of)
    count = min(max(1, round(share * len(images))), len(images) - 1) if share > 0 else 0
    drawn = np.random.default_rng([seed, 1]).permutation(images)[:count]
    held = np.isin(people.image_of, drawn)
    return people.chosen(np.flatnonzero(~held)), people.chosen(np.flatnonzero(held))


def order(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order of the people in an epoch, [count]."""
    return np.random.default_rng([seed, 2, epoch]).permutation(count)


def batches(
    people: TrainingPeople,
    rows: NDArray[np.int64],
    *,
    size: tuple[int, int],
    batch: int,
    mirrored: list[int],
    augmentation: Augmentation | None,
    seed: int,
    epoch: int,
    everyone: bool = False,
    threads: int = 0,
) -> Iterator[Batch]:
    """The people of `rows` in turn, cut out to `size` (width, height), and augmented where `augmentation` is given.

    `everyone`: with the joints of all people in the image. `threads`: how many prepare batches ahead; with 0 a batch is
    prepared when it is needed.
    """

    def cut(start: int) -> Batch:
        chosen = rows[start : start + batch]
        cuts = [_cut(people, int(row), size, mirrored, augmentation, seed, epoch) for row in chosen.tolist()]
        return _stack(cuts, size, everyone)

    starts = range(0, len(rows), batch)
    if not threads:
        yield from map(cut, starts)
        return
    with ThreadPoolExecutor(threads) as pool:
        ahead = 2 * threads
        pending = [pool.submit(cut, start) for start in starts[:ahead]]
        for index in range(len(starts)):
            ready = pending.pop(0).result()
            if index + ahead < len(starts):
                pending.append(pool.submit(cut, starts[index + ahead]))
            yield ready


def _stack(
    cuts: list[tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]], size: Any, everyone: bool
) -> Batch:
    pixels = np.stack([c[0] for c in cuts])  # [B, H, W, 3]
    most = max(len(c[1]) for c in cuts)
    joints = np.stack([np.pad(c[1], ((0, most - len(c[1])), (0, 0), (0, 0))) for c in cuts])  # [B, P, K, 2]
    weights = np.stack([np.pad(c[2], ((0, most - len(c[2])), (0, 0))) for c in cuts])  # [B, P, K]
    inside = ((joints >= 0) & (joints < np.array(size))).all(axis=-1)
    weights = weights * inside
    normalised = (pixels - np.array(MEAN, np.float32)) / np.array(STD, np.float32)  # [B, H, W, 3]
    images = normalised.astype(np.float32, copy=False).transpose(0, 3, 1, 2)  # [B, 3, H, W]
    every = Batch(images, joints, weights.astype(np.float32))
    return every if everyone else replace(every, joints=every.joints[:, 0], weights=every.weights[:, 0])


def _cut(
    people: TrainingPeople,
    row: int,
    size: tuple[int, int],
    mirrored: list[int],
    augmentation: Augmentation | None,
    seed: int,
    epoch: int,
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    """One person's crop: pixels [H, W, 3] from 0 to 1, joints [P, K, 2] in it of everyone in the image, that person
    first, and weights [P, K]."""
    region = people.regions[row]
    if augmentation is not None and people.proposals is not None:
        known = np.where(people.weights[row][:, None] > 0, people.joints[row], np.nan)
        draw = np.random.default_rng([seed, 4, epoch, row])
        region = propose(people.proposals, known[None], region[None], draw)[0]
    x, y, w, h = region.tolist()
    matrix = crops.box_crop((x, y, w, h), size, people.padding)
    light: NDArray[np.float64] = np.ones(3)
    flip = False
    if augmentation is not None:
        rng = np.random.default_rng([seed, 3, epoch, row])
        if rng.random() < augmentation.half_body:
            half = _half(people.joints[row], people.weights[row], rng)
            matrix = matrix if half is None else crops.box_crop(half, size, 1.5)
        flip = bool(rng.random() < 0.5)
        matrix = crops.turned(
            matrix,
            size,
            angle=math.radians(augmentation.rotation * rng.uniform(-1, 1)),
            scale=1.0 + augmentation.scale * rng.uniform(-1, 1),
            flip=flip,
        )
        matrix[:, 2] += augmentation.shift * rng.uniform(-1, 1, size=2) * size
        light = 1.0 + augmentation.colour * (rng.uniform(-1, 1) + rng.uniform(-1, 1, size=3) / 2)
    picture = crops.warp(people.pictures[int(people.image_of[row])], matrix, size)
    pixels = np.clip(np.asarray(picture, np.float32) * (light / 255.0).astype(np.float32), 0, 1)
    together = np.flatnonzero(people.image_of == people.image_of[row])
    together = np.concatenate([[row], together[together != row]])
    joints, weights = crops.apply(matrix, people.joints[together]), people.weights[together]
    return (pixels, joints[:, mirrored], weights[:, mirrored]) if flip else (pixels, joints, weights)


def _half(
    joints: NDArray[np.float64], weights: NDArray[np.float64], rng: np.random.Generator
) -> tuple[float, float, float, float] | None:
    """The box of the upper or the lower half of a person's annotated joints [K, 2], halved at their median height;
    None where too few are annotated (half-body augmentation of HRNet's toolkit)."""
    there = joints[weights > 0]
    if len(there) < FEWEST_HALF:
        return None
    below = there[:, 1] > np.median(there[:, 1])
    half = there[below] if rng.random() < 0.5 else there[~below]
    if len(half) < 2:
        return None
    (left, top), (right, bottom) = half.min(axis=0), half.max(axis=0)
    return float(left), float(top), float(right - left), float(bottom - top)
