"""Run a baseline over the images of a benchmark: read, crop, estimate, and write poses in image coordinates.

Threads read and cut the next images, and another one decodes and keeps the poses of the last batch, while the network
works on this one.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baselines import crops, load
from baselines.estimators import BaselineFailed, Estimator, Poses
from baselines.images import UnreadableImage, read_image
from baselines.kept import Answer, Earlier, Kept
from evaluator import load_dataset

__all__ = ["BaselineFailed", "Run", "predict"]

DECIMALS = 3  # of a pixel, in the predictions file
# what a network or its decoding raises when it is wrong, or when its numbers are
NETWORK_ERRORS = (ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError)


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
    boxes: str  # where the people's boxes come from: "given", "whole image"
    images: int
    people: int
    seconds: float  # of all workers that had this run
    images_per_second: float
    taken_over: int  # images that workers which were lost had answered
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
    kept: Kept | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> tuple[list[dict[str, Any]], Run]:
    """Predictions (COCO results entries with `person_id`) for a public image list, and the record of the run.

    People are cut out by the boxes of the list; where it gives none, a single-person benchmark's whole image is the
    crop. `kept` is where the answers are written as they come, and where those of lost workers are taken from.
    `progress` is called with the images done and all images, after each image; what it raises ends the run. A file
    that cannot be read as an image is left out and named in the record. Raises BaselineFailed.
    """
    definition = load_dataset(dataset)
    images = image_list["images"]
    if not definition.single_person and any("box" not in p for image in images for p in image.get("people", [{}])):
        raise BaselineFailed("no_boxes", f"{name} needs the boxes of people, and this benchmark does not give them")
    estimator = load(name, dataset, variant=variant, checkpoint=checkpoint, checkpoints=checkpoints, device=device)
    earlier = kept.begin(_what(estimator, image_list, dataset)) if kept else Earlier({}, 0.0)
    answers = dict(earlier.answers)
    todo = [image for image in images if image["id"] not in answers]
    started = time.monotonic()
    work = _Work(estimator, Path(image_folder))
    try:
        with closing(work.answers(todo)) as found_now:
            for image_id, entries, left_out in found_now:
                answers[image_id] = Answer(image_id, entries, left_out, round(time.monotonic() - started, 3))
                if kept is not None:
                    kept.add(answers[image_id])
                if progress is not None:
                    progress(len(answers), len(images))
    finally:
        if kept is not None:
            kept.close()
    seconds = earlier.seconds + time.monotonic() - started
    found = [answers[image["id"]] for image in images]
    results = [entry for answer in found for entry in answer.entries]
    missing = tuple(answer.left_out for answer in found if answer.left_out)
    if images and not results:
        reason = missing[0] if missing else "there is nobody in them"
        raise BaselineFailed("no_images", f"none of the {len(images)} images gave a prediction: {reason}")
    return results, Run(
        baseline=name,
        variant=estimator.variant,
        checkpoint_sha256=estimator.checkpoint_sha256,
        device=estimator.device,
        precision=estimator.precision,
        batch=work.batch,
        input_size=estimator.input_size,
        parameters=estimator.parameters,
        gmacs=round(estimator.gmacs, 4),
        boxes="given" if any("box" in p for image in images for p in image.get("people", [])) else "whole image",
        images=len(images) - len(missing),
        people=len(results),
        seconds=round(seconds, 3),
        images_per_second=round(len(images) / max(seconds, 1e-9), 2),
        taken_over=len(earlier.answers),
        left_out=missing,
    )


def _what(estimator: Estimator, image_list: dict[str, Any], dataset: str) -> dict[str, Any]:
    """Everything that the predictions depend on: a successor goes on only where all of it is the same."""
    return {
        "baseline": estimator.name,
        "variant": estimator.variant,
        "checkpoint": estimator.checkpoint_sha256,
        "device": estimator.device,
        "precision": estimator.precision,
        "dataset": dataset,
        "images": hashlib.sha256(json.dumps(image_list, sort_keys=True).encode()).hexdigest(),
    }


class _Work:
    """The estimator over images; `batch` is how many people it takes at once, halved where memory does not suffice."""

    def __init__(self, estimator: Estimator, folder: Path) -> None:
        self.estimator, self.folder, self.batch = estimator, folder, estimator.batch

    def answers(self, images: list[dict[str, Any]]) -> Generator[tuple[int, list[dict[str, Any]], str], None, None]:
        """(image id, entries, why it was left out) of every image in turn."""
        with ThreadPoolExecutor(1) as decoder:
            decoding: deque[Future[list[tuple[int, dict[str, Any]]]]] = deque()
            open_images: dict[int, tuple[int, list[dict[str, Any]], str]] = {}  # id: people to come, entries, problem
            waiting: list[_Cut] = []
            for done, (image, cuts, problem) in enumerate(_cut_all(images, self.folder, self.estimator), start=1):
                open_images[image["id"]] = (len(cuts), [], problem)
                waiting += cuts
                while waiting and (len(waiting) >= self.batch or done == len(images)):
                    raw, used = self._forward(waiting)
                    decoding.append(decoder.submit(_decode, self.estimator, waiting[:used], raw))
                    waiting = waiting[used:]
                    if len(decoding) > 1:  # the one before has had the time of a batch
                        _enter(decoding.popleft().result(), open_images)
                if done == len(images):
                    while decoding:
                        _enter(decoding.popleft().result(), open_images)
                while open_images and next(iter(open_images.values()))[0] == 0:
                    image_id = next(iter(open_images))
                    _, entries, left_out = open_images.pop(image_id)
                    yield image_id, entries, left_out

    def _forward(self, cuts: list[_Cut]) -> tuple[Any, int]:
        """What the network says of the first people of `cuts`, and how many they are."""
        while True:
            used = cuts[: self.batch]
            try:
                return self.estimator.forward(np.stack([cut.pixels for cut in used])), len(used)
            except NETWORK_ERRORS as error:
                if not _out_of_memory(error):
                    raise _failed(error, self.estimator, used) from error
                if len(used) == 1:
                    message = f"{self.estimator.name} does not fit into the memory of {self.estimator.device}"
                    raise BaselineFailed("out_of_memory", message, final=False) from error
                self.batch = len(used) // 2


def _out_of_memory(error: Exception) -> bool:
    """PyTorch has a class of its own for this on GPUs, and says it in words on the CPU."""
    return isinstance(error, MemoryError) or any(
        words in str(error) for words in ("out of memory", "not enough memory", "can't allocate memory")
    )


def _failed(error: Exception, estimator: Estimator, cuts: list[_Cut]) -> BaselineFailed:
    """What a network raised, with a name, and on which images."""
    first, last = cuts[0].image_id, cuts[-1].image_id
    where = f"image {first}" if first == last else f"images {first} to {last}"
    return BaselineFailed("network_failed", f"{estimator.name} failed on {where}: {type(error).__name__}: {error}")


def _enter(
    found: list[tuple[int, dict[str, Any]]], open_images: dict[int, tuple[int, list[dict[str, Any]], str]]
) -> None:
    """Put the entries of a batch to their images."""
    for image_id, entry in found:
        people, entries, problem = open_images[image_id]
        open_images[image_id] = (people - 1, [*entries, entry], problem)


def _cut_all(
    images: list[dict[str, Any]], folder: Path, estimator: Estimator
) -> Iterator[tuple[dict[str, Any], list[_Cut], str]]:
    """Every image in turn with its crops, or why there are none; files are read and cut ahead of the network."""
    ahead = 2 * estimator.batch
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        pending = deque(pool.submit(_cut, image, folder, estimator) for image in images[:ahead])
        for index, image in enumerate(images):
            cuts, problem = pending.popleft().result()
            if index + ahead < len(images):
                pending.append(pool.submit(_cut, images[index + ahead], folder, estimator))
            yield image, cuts, problem


def _cut(image: dict[str, Any], folder: Path, estimator: Estimator) -> tuple[list[_Cut], str]:
    """The crops of one image."""
    path = (folder / image["file_name"]).resolve()
    if not path.is_relative_to(folder.resolve()):
        return [], f"{image['file_name']}: outside the folder of images"
    listed = (image["width"], image["height"]) if image.get("width") and image.get("height") else None
    try:
        picture = read_image(path, listed)
    except UnreadableImage as error:
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


def _decode(estimator: Estimator, cuts: list[_Cut], raw: Any) -> list[tuple[int, dict[str, Any]]]:
    """(image id, entry of the predictions file) of every person of a batch."""
    try:
        poses = estimator.decode(raw)
        return [(cut.image_id, _entry(cut, poses, index)) for index, cut in enumerate(cuts)]
    except BaselineFailed:
        raise
    except NETWORK_ERRORS as error:
        raise _failed(error, estimator, cuts) from error


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
