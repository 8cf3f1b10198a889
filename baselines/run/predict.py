"""Runs a baseline on the images of a benchmark: chooses the boxes, saves and resumes predictions, records the run."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from baselines.devices.names import device_name
from baselines.protocol import BaselineFailed, BottomUpEstimator, Estimator
from baselines.run import boxes as box_sources
from baselines.run.batches import Crops, Entry, Files, ImageEntry, WholeImages
from baselines.run.boxes import Boxes
from baselines.run.loading import load
from baselines.run.resume import Earlier, ImagePredictions, SavedRun
from evaluator import Dataset, load_dataset

__all__ = ["BaselineFailed", "Run", "predict"]


@dataclass(frozen=True)
class Run:
    """The record of a run: what was run, on what, and how fast."""

    baseline: str
    variant: str
    checkpoint_sha256: str
    device: str
    device_name: str
    precision: str
    batch: int
    lost_with_batch: int | None  # batch of the last worker that this run lost; the next one starts with half of it
    input_size: tuple[int, int]
    parameters: int
    gmacs: float
    boxes: str  # where the people's boxes come from: "given", "whole image", a file, the person detector, or "none"
    images: int
    people: int
    seconds: float  # of all workers that worked on this run
    images_per_second: float
    taken_over: int  # images that lost workers had predicted
    left_out: tuple[str, ...]  # images whose file could not be used, and why

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "input_size": list(self.input_size), "left_out": list(self.left_out)}


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
    box_file: Path | None = None,
    grouping: bool | None = None,
    saved: SavedRun | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> tuple[list[Entry], Run]:
    """Predictions (COCO results entries) for a public image list, and the record of the run.

    People are cut out by the boxes of the list (entries then have its `person_id`), or by those of `box_file`. Where
    there are neither, the crop is the whole image on a single-person benchmark, and on others the person detector finds
    the boxes. Bottom-up networks get whole images, unless there are boxes and they accept crops as well. `grouping`
    turns grouping in crops on or off; the default is the checkpoint's. `saved` stores the predictions as they are made,
    and returns those of lost workers; the batch is then at most half of the last such worker's, which may have run out
    of memory. `progress` is called with the images done and all images; an exception it raises ends the run. A file
    that is not the listed image is left out and named in the record. Raises BaselineFailed.
    """
    definition = load_dataset(dataset)
    images = image_list["images"]
    files = Files(Path(image_folder))
    estimator = load(name, dataset, variant=variant, checkpoint=checkpoint, checkpoints=checkpoints, device=device)
    if grouping is not None:
        _set_grouping(estimator, grouping)
    report = progress or (lambda done, total: None)
    bottom_up = _takes_whole_images(estimator, images, definition, box_file)
    boxes = _boxes(images, files, definition, box_file, estimator.device, lambda: report(0, len(images)), bottom_up)
    earlier = saved.begin(_identity(estimator, image_list, dataset, boxes)) if saved else Earlier({}, 0.0)
    predicted = dict(earlier.images)
    todo = [image for image in images if image["id"] not in predicted]
    started = time.monotonic()
    work = _work(estimator, definition, bottom_up, earlier.lost_with_batch)
    noted = None
    try:
        if saved is not None:
            saved.note_batch(noted := work.batch)
        with closing(work.predictions(todo, files, boxes)) as coming:
            for image_id, entries, left_out in coming:
                predicted[image_id] = ImagePredictions(
                    image_id, entries, left_out, round(time.monotonic() - started, 3)
                )
                if saved is not None:
                    saved.add(predicted[image_id])
                    if work.batch != noted:
                        saved.note_batch(noted := work.batch)
                report(len(predicted), len(images))
    finally:
        if saved is not None:
            saved.close()
    seconds = earlier.seconds + time.monotonic() - started
    found = [predicted[image["id"]] for image in images]
    results = [entry for image in found for entry in image.entries]
    missing = tuple(image.left_out for image in found if image.left_out)
    if images and not results:
        reason = missing[0] if missing else "no people were found in them"
        raise BaselineFailed("no_images", f"none of the {len(images)} images gave a prediction: {reason}")
    return results, Run(
        baseline=name,
        variant=estimator.variant,
        checkpoint_sha256=estimator.checkpoint_sha256,
        device=estimator.device,
        device_name=device_name(estimator.device),
        precision=estimator.precision,
        batch=work.batch,
        lost_with_batch=earlier.lost_with_batch,
        input_size=estimator.input_size,
        parameters=estimator.parameters,
        gmacs=round(estimator.gmacs, 4),
        boxes=boxes.source,
        images=len(images) - len(missing),
        people=len(results),
        seconds=round(seconds, 3),
        images_per_second=round(len(images) / max(seconds, 1e-9), 2),
        taken_over=len(earlier.images),
        left_out=missing,
    )


def _set_grouping(estimator: Any, grouping: bool) -> None:
    """Turn grouping on or off. Raises BaselineFailed for an estimator without statistics to group by."""
    if grouping and getattr(estimator, "model", None) is None:
        message = (
            f"{estimator.name} has no statistics to group by: run python -m baselines fit-grouping CHECKPOINT.json"
        )
        raise BaselineFailed("no_grouping", message)
    if hasattr(estimator, "grouped"):
        estimator.grouped = grouping


def _takes_whole_images(
    estimator: Estimator | BottomUpEstimator, images: list[ImageEntry], dataset: Dataset, box_file: Path | None
) -> bool:
    """Whether the network finds people in whole images. A bottom-up network that also accepts crops gets these where
    the boxes are known."""
    if not isinstance(estimator, BottomUpEstimator):
        return False
    told = dataset.single_person or box_file is not None or _all_have_boxes(images)
    return not (told and hasattr(estimator, "forward"))


def _work(
    estimator: Estimator | BottomUpEstimator, dataset: Dataset, bottom_up: bool, lost_with: int | None
) -> WholeImages | Crops:
    """Whole images; or crops, with half the batch of the last lost worker, if one was lost."""
    if bottom_up:
        return WholeImages(cast(BottomUpEstimator, estimator), dataset)
    crops_of = cast(Estimator, estimator)
    batch = crops_of.batch if lost_with is None else min(crops_of.batch, max(1, lost_with // 2))
    return Crops(crops_of, dataset, batch)


def _all_have_boxes(images: list[ImageEntry]) -> bool:
    """Whether the list names the people of every image with their boxes."""
    return all("people" in image and all(person.get("box") for person in image["people"]) for image in images)


def _boxes(
    images: list[ImageEntry],
    files: Files,
    dataset: Dataset,
    box_file: Path | None,
    device: str,
    after_each: Callable[[], object],
    bottom_up: bool,
) -> Boxes:
    """The boxes of the people to cut out. Raises BaselineFailed."""
    if box_file is not None and (bottom_up or dataset.single_person):
        who = "a bottom-up network" if bottom_up else f"{dataset.title}, which lists its people,"
        raise BaselineFailed("boxes", f"{who} does not accept a box file")
    if box_file is not None:
        return box_sources.from_file(box_file, images)
    listed = box_sources.given(images)
    if bottom_up:
        return Boxes(listed.people, "none: bottom-up")
    if dataset.single_person or all(person.box for people in listed.people.values() for person in people):
        return listed
    return box_sources.detected(images, files.read, device, after_each)


def _identity(
    estimator: Estimator | BottomUpEstimator, image_list: dict[str, Any], dataset: str, boxes: Boxes
) -> dict[str, Any]:
    """Everything that the predictions depend on; a later worker resumes only where all of it is equal."""
    return {
        "baseline": estimator.name,
        "variant": estimator.variant,
        "checkpoint": estimator.checkpoint_sha256,
        "grouping": getattr(estimator, "grouping_sha256", ""),
        "device": estimator.device,
        "precision": estimator.precision,
        "dataset": dataset,
        "images": hashlib.sha256(json.dumps(image_list, sort_keys=True).encode()).hexdigest(),
        "boxes": boxes.digest,
    }
