"""The predictions of a network for the images of a run, image by image, as entries of a predictions file.

While the network works on a batch, threads read and crop the next images, and another one decodes the poses of the
previous batch.
"""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from baselines.decode import oks_nms, pose_nms
from baselines.protocol import BaselineFailed, BottomUpEstimator, Estimator, Poses
from baselines.run import crops
from baselines.run.boxes import Boxes, PersonBox
from baselines.run.images import UnreadableImage, read_image
from evaluator import Dataset

DECIMALS = 3  # of a pixel, in the predictions file
# what a network or its decoding raises when there is a mistake in it, or in its weights
NETWORK_ERRORS = (ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError)

ImageEntry = dict[str, Any]  # of a public image list: id, file_name, width, height, people
Entry = dict[str, Any]  # of a predictions file


@dataclass(frozen=True)
class Files:
    """The folder with the images of a run."""

    folder: Path

    def read(self, image: ImageEntry) -> Image.Image:
        """Raises UnreadableImage."""
        path = (self.folder / image["file_name"]).resolve()
        if not path.is_relative_to(self.folder.resolve()):
            raise UnreadableImage("missing", f"{image['file_name']}: outside the folder of images")
        listed = (image["width"], image["height"]) if image.get("width") and image.get("height") else None
        return read_image(path, listed)


# image id, entries, why it was left out (empty if it was not)
PredictedImages = Generator[tuple[int, list[Entry], str], None, None]


class WholeImages:
    """A bottom-up network on images, one at a time; the next ones are read meanwhile."""

    batch = 1

    def __init__(self, estimator: BottomUpEstimator, dataset: Dataset) -> None:
        self.estimator, self.dataset = estimator, dataset

    def predictions(self, images: list[ImageEntry], files: Files, boxes: Boxes) -> PredictedImages:
        def read(image: ImageEntry) -> tuple[NDArray[np.uint8] | None, str]:
            try:
                return np.asarray(files.read(image)), ""
            except UnreadableImage as error:
                return None, str(error)

        for image, (pixels, problem) in _ahead(read, images, 4):
            entries = []
            if pixels is not None:
                poses = self._poses(pixels, image["id"])
                people = boxes.people[image["id"]] if self.dataset.single_person else ()
                entries = [_entry(image["id"], poses, row, person_id) for row, person_id in _asked(poses, people)]
            yield image["id"], entries, problem

    def _poses(self, pixels: NDArray[np.uint8], image_id: int) -> Poses:
        try:
            return self.estimator.poses_from(pixels)
        except BaselineFailed:
            raise
        except NETWORK_ERRORS as error:
            raise _failed(error, self.estimator, image_id, image_id) from error


def _asked(poses: Poses, people: tuple[PersonBox, ...]) -> list[tuple[int, int | None]]:
    """(row, person id) of the poses asked for: all, or the best one in the box of each listed person."""
    if not people:
        return [(row, None) for row in range(len(poses.score))]
    middles = poses.joints.mean(axis=1)  # [N, 2]
    asked = []
    for person in people:
        inside = np.ones(len(middles), bool)
        if person.box is not None:
            x, y, w, h = person.box
            inside = ((middles >= (x, y)) & (middles <= (x + w, y + h))).all(axis=1)
        rows = np.flatnonzero(inside)
        if len(rows):
            asked.append((int(rows[poses.score[rows].argmax()]), person.person_id))
    return asked


@dataclass(frozen=True)
class _Cut:
    """A person's crop, and the matrix from the image to it."""

    image_id: int
    person: PersonBox
    matrix: crops.Matrix
    pixels: NDArray[np.uint8]


@dataclass
class _Open:
    """An image whose people have not all been predicted; `pending` of them are missing."""

    pending: int
    problem: str
    people: list[tuple[PersonBox, Entry]] = field(default_factory=list)


class Crops:
    """A network for single people on images; `batch` is how many it gets at once, halved when memory is short."""

    def __init__(self, estimator: Estimator, dataset: Dataset, batch: int) -> None:
        self.estimator, self.dataset, self.batch = estimator, dataset, batch

    def predictions(self, images: list[ImageEntry], files: Files, boxes: Boxes) -> PredictedImages:
        def cut(image: ImageEntry) -> tuple[list[_Cut], str]:
            return _cut(image, files, boxes.people.get(image["id"], ()), self.estimator)

        with ThreadPoolExecutor(1) as decoder:
            decoding: deque[Future[list[tuple[_Cut, Entry]]]] = deque()
            opened: dict[int, _Open] = {}
            waiting: list[_Cut] = []
            for done, (image, (cuts, problem)) in enumerate(_ahead(cut, images, 2 * self.batch), start=1):
                opened[image["id"]] = _Open(len(cuts), problem)
                waiting += cuts
                last = done == len(images)
                while waiting and (len(waiting) >= self.batch or last):
                    raw, used = self._forward(waiting)
                    decoding.append(decoder.submit(_decode, self.estimator, waiting[:used], raw))
                    waiting = waiting[used:]
                    if len(decoding) > 1:  # the previous one was decoded during this batch
                        _enter(decoding.popleft().result(), opened)
                while last and decoding:
                    _enter(decoding.popleft().result(), opened)
                while opened and next(iter(opened.values())).pending == 0:
                    image_id = next(iter(opened))
                    whole = opened.pop(image_id)
                    yield image_id, _ranked(whole.people, self.dataset, self.estimator), whole.problem

    def _forward(self, cuts: list[_Cut]) -> tuple[Any, int]:
        """The network's output for the first of `cuts`, and how many these are."""
        while True:
            used = cuts[: self.batch]
            try:
                return self.estimator.forward(np.stack([cut.pixels for cut in used])), len(used)
            except NETWORK_ERRORS as error:
                if not _out_of_memory(error) or len(used) == 1:
                    raise _failed(error, self.estimator, used[0].image_id, used[-1].image_id) from error
                self.batch = len(used) // 2


def _ahead(work: Callable[[ImageEntry], Any], images: list[ImageEntry], ahead: int) -> Iterator[tuple[ImageEntry, Any]]:
    """Every image in turn with the result of `work`; threads work on the next `ahead` images meanwhile."""
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        pending = deque(pool.submit(work, image) for image in images[:ahead])
        for index, image in enumerate(images):
            result = pending.popleft().result()
            if index + ahead < len(images):
                pending.append(pool.submit(work, images[index + ahead]))
            yield image, result


def _cut(
    image: ImageEntry, files: Files, people: tuple[PersonBox, ...], estimator: Estimator
) -> tuple[list[_Cut], str]:
    """The crops of one image, or why there are none."""
    try:
        picture = files.read(image)
    except UnreadableImage as error:
        return [], str(error)
    cuts = []
    for person in people:
        padding = estimator.padding if person.box else crops.IMAGE_PADDING
        box = person.box or (0.0, 0.0, float(picture.width), float(picture.height))
        matrix = crops.box_crop(box, estimator.input_size, padding)
        crop = crops.warp(picture, matrix, estimator.input_size, getattr(estimator, "fill", (0, 0, 0)))
        cuts.append(_Cut(image["id"], person, matrix, np.asarray(crop)))
    return cuts, ""


def _decode(estimator: Estimator, cuts: list[_Cut], raw: Any) -> list[tuple[_Cut, Entry]]:
    """The entry of the predictions file of every person of a batch."""
    try:
        poses = estimator.decode(raw)
        return [
            (cut, _entry(cut.image_id, poses, row, cut.person.person_id, crops.inverse(cut.matrix)))
            for row, cut in enumerate(cuts)
        ]
    except BaselineFailed:
        raise
    except NETWORK_ERRORS as error:
        raise _failed(error, estimator, cuts[0].image_id, cuts[-1].image_id) from error


def _enter(found: list[tuple[_Cut, Entry]], opened: dict[int, _Open]) -> None:
    """Add the entries of a batch to their images."""
    for cut, entry in found:
        opened[cut.image_id].people.append((cut.person, entry))
        opened[cut.image_id].pending -= 1


def _ranked(people: list[tuple[PersonBox, Entry]], dataset: Dataset, estimator: Estimator) -> list[Entry]:
    """An image's entries. Where the boxes are not the benchmark's own, people are rescored and duplicates dropped, or
    merged where that is part of the method."""
    if not people or people[0][0].person_id is not None:
        return [entry for _, entry in people]
    triples = np.array([entry["keypoints"] for _, entry in people], float).reshape(len(people), -1, 3)
    box_scores = np.array([person.score for person, _ in people])
    if getattr(estimator, "merges_poses", False):
        boxes = np.array([person.box or (0.0, 0.0, 1.0, 1.0) for person, _ in people])
        merged = pose_nms.suppress(triples[..., :2], triples[..., 2], boxes, box_scores)
        return [_of_merged(person, people[person.members[0]][1]) for person in merged]
    areas = np.array([person.box[2] * person.box[3] if person.box else 1.0 for person, _ in people])
    scores = oks_nms.person_scores(triples[..., 2], box_scores, estimator.joint_threshold)
    rows = oks_nms.suppress(triples[..., :2], scores, areas, np.asarray(dataset.sigmas, float))
    return [{**people[row][1], "score": round(float(scores[row]), 6)} for row in rows]


def _of_merged(person: pose_nms.MergedPose, entry: Entry) -> Entry:
    """The entry of a person's best pose, with the joints and the score of all of them."""
    triples = np.column_stack([person.joints, person.confidence])
    return {**entry, "keypoints": triples.ravel().round(DECIMALS).tolist(), "score": round(person.score, 6)}


def _entry(image_id: int, poses: Poses, row: int, person_id: int | None, back: crops.Matrix | None = None) -> Entry:
    """One person of the predictions file; `back` maps the crop to the image."""
    joints = poses.joints[row] if back is None else crops.apply(back, poses.joints[row])
    triples = np.column_stack([crops.to_pixels(joints), poses.confidence[row]])
    score = float(poses.score[row])
    if not (np.isfinite(triples).all() and math.isfinite(score)):
        raise BaselineFailed("not_finite", f"the network gave numbers that are not finite on image {image_id}")
    return {
        "image_id": image_id,
        **({} if person_id is None else {"person_id": person_id}),
        "category_id": 1,
        "keypoints": triples.ravel().round(DECIMALS).tolist(),
        "score": round(score, 6),
    }


def _out_of_memory(error: Exception) -> bool:
    """Whether memory ran out: PyTorch has an error class for it on GPUs, and only a message on the CPU."""
    return isinstance(error, MemoryError) or any(
        words in str(error) for words in ("out of memory", "not enough memory", "can't allocate memory")
    )


def _failed(error: Exception, estimator: Estimator | BottomUpEstimator, first: int, last: int) -> BaselineFailed:
    """The failure for what a network raised, with a code and the images it happened on."""
    if _out_of_memory(error):
        message = f"{estimator.name} does not fit into the memory of {estimator.device}"
        return BaselineFailed("out_of_memory", message, final=False)
    where = f"image {first}" if first == last else f"images {first} to {last}"
    return BaselineFailed("network_failed", f"{estimator.name} failed on {where}: {type(error).__name__}: {error}")
