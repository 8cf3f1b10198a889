"""Run a baseline over the images of a benchmark: read, crop, estimate, and write poses in image coordinates."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baselines import crops, load
from baselines.estimators import BaselineFailed, Estimator, Poses
from evaluator import load_dataset

__all__ = ["BaselineFailed", "Run", "predict"]

DECIMALS = 3  # of a pixel, in the predictions file


@dataclass(frozen=True)
class Run:
    """What was run, on what, how fast: the record beside the predictions."""

    baseline: str
    variant: str
    checkpoint_sha256: str
    device: str
    precision: str
    batch: int
    input_size: tuple[int, int]
    parameters: int
    gmacs: float
    images: int
    people: int
    seconds: float
    images_per_second: float
    left_out: tuple[str, ...]  # images that could not be read, and why

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "input_size": list(self.input_size), "left_out": list(self.left_out)}


@dataclass(frozen=True)
class _Cut:
    """A person's crop, and how to get back from it."""

    image_id: int
    person_id: int
    matrix: crops.Matrix
    pixels: NDArray[np.uint8]


def predict(
    name: str,
    image_list: dict[str, Any],
    image_folder: Path,
    dataset: str,
    *,
    variant: str | None = None,
    checkpoint: Path | None = None,
    checkpoints: Path | None = None,
    device: str | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> tuple[list[dict[str, Any]], Run]:
    """Predictions (COCO results entries with `person_id`) for a public image list, and the record of the run.

    People are cut out by the boxes of the list; where it gives none, a single-person benchmark's whole image is the
    crop. `progress` is called with the images done and all images, after each batch; what it raises ends the run. A
    file that cannot be read as an image is left out and named in the record. Raises BaselineFailed.
    """
    definition = load_dataset(dataset)
    images = image_list["images"]
    if not definition.single_person and any("box" not in p for image in images for p in image.get("people", [{}])):
        raise BaselineFailed("no_boxes", f"{name} needs the boxes of people, and this benchmark does not give them")
    estimator = load(name, dataset, variant=variant, checkpoint=checkpoint, checkpoints=checkpoints, device=device)
    results: list[dict[str, Any]] = []
    left_out: list[str] = []
    waiting: list[_Cut] = []
    batch = estimator.batch
    started = time.monotonic()
    for done, (cuts, problem) in enumerate(_cut_all(images, Path(image_folder), estimator), start=1):
        waiting += cuts
        left_out += [problem] if problem else []
        if len(waiting) >= batch or done == len(images):
            while waiting and (len(waiting) >= batch or done == len(images)):
                poses, batch = _estimate(estimator, waiting[:batch], batch)
                used = len(poses.score)
                results += [_entry(cut, poses, i) for i, cut in enumerate(waiting[:used])]
                waiting = waiting[used:]
            if progress is not None:
                progress(done, len(images))
    seconds = time.monotonic() - started
    if images and not results:
        raise BaselineFailed("no_images", f"none of the {len(images)} images could be read: {left_out[0]}")
    return results, Run(
        baseline=name,
        variant=estimator.variant,
        checkpoint_sha256=estimator.checkpoint_sha256,
        device=estimator.device,
        precision=estimator.precision,
        batch=batch,
        input_size=estimator.input_size,
        parameters=estimator.parameters,
        gmacs=round(estimator.gmacs, 4),
        images=len(images) - len(left_out),
        people=len(results),
        seconds=round(seconds, 3),
        images_per_second=round(len(images) / max(seconds, 1e-9), 2),
        left_out=tuple(left_out),
    )


def _cut_all(images: list[dict[str, Any]], folder: Path, estimator: Estimator) -> Iterator[tuple[list[_Cut], str]]:
    """The crops of every image in turn, or why there are none; files are read and cut ahead of the network."""
    ahead = 2 * estimator.batch
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        pending = [pool.submit(_cut, image, folder, estimator) for image in images[:ahead]]
        for index in range(len(images)):
            yield pending[index].result()
            if index + ahead < len(images):
                pending.append(pool.submit(_cut, images[index + ahead], folder, estimator))
            pending[index] = None  # type: ignore[call-overload]  # its crops are on their way


def _cut(image: dict[str, Any], folder: Path, estimator: Estimator) -> tuple[list[_Cut], str]:
    """The crops of one image."""
    path = (folder / image["file_name"]).resolve()
    if not path.is_relative_to(folder.resolve()):
        return [], f"{image['file_name']}: outside the folder of images"
    listed = (image["width"], image["height"]) if image.get("width") and image.get("height") else None
    try:
        picture = crops.read_image(path, listed)
    except crops.UnreadableImage as error:
        return [], str(error)
    cuts = []
    for person in image.get("people", [{"person_id": 0}]):
        if person.get("box"):
            x, y, w, h = person["box"]
            matrix = crops.box_crop((x, y, w, h), estimator.input_size, estimator.padding)
        else:
            whole = (0.0, 0.0, float(picture.width), float(picture.height))
            matrix = crops.box_crop(whole, estimator.input_size, crops.IMAGE_PADDING)
        pixels = np.asarray(crops.warp(picture, matrix, estimator.input_size))
        cuts.append(_Cut(image["id"], person["person_id"], matrix, pixels))
    return cuts, ""


def _estimate(estimator: Estimator, cuts: list[_Cut], batch: int) -> tuple[Poses, int]:
    """Poses of the first people of `cuts`; the batch is halved for as long as memory does not suffice."""
    while True:
        try:
            return estimator(np.stack([cut.pixels for cut in cuts[:batch]])), batch
        except (MemoryError, RuntimeError) as error:
            if not isinstance(error, MemoryError) and "out of memory" not in str(error):
                raise
            if batch == 1:
                message = f"{estimator.name} does not fit into the memory of {estimator.device}"
                raise BaselineFailed("out_of_memory", message, final=False) from error
            batch //= 2


def _entry(cut: _Cut, poses: Poses, index: int) -> dict[str, Any]:
    """One person of the predictions file."""
    joints = crops.to_pixels(crops.apply(crops.inverse(cut.matrix), poses.joints[index]))
    triples = np.column_stack([joints, poses.confidence[index]])
    score = float(poses.score[index])
    if not (np.isfinite(triples).all() and math.isfinite(score)):
        raise BaselineFailed("not_finite", f"the network gave numbers that are not finite on image {cut.image_id}")
    return {
        "image_id": cut.image_id,
        "person_id": cut.person_id,
        "category_id": 1,
        "keypoints": triples.ravel().round(DECIMALS).tolist(),
        "score": round(score, 6),
    }
