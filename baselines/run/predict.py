"""Run a baseline over the images of a benchmark: whom to cut out, what to keep, and the record of the run."""

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
from baselines.run.resume import Answer, Earlier, SavedRun
from evaluator import Dataset, load_dataset

__all__ = ["BaselineFailed", "Run", "predict"]


@dataclass(frozen=True)
class Run:
    """What was run, on what, how fast: the record beside the predictions."""

    baseline: str
    variant: str
    checkpoint_sha256: str
    device: str
    device_name: str
    precision: str
    batch: int
    lost_with_batch: int | None  # of the last worker that was lost with this run: the next one starts with half of it
    input_size: tuple[int, int]
    parameters: int
    gmacs: float
    boxes: str  # where the people's boxes come from: "given", "whole image", a file, the person detector, or "none"
    images: int
    people: int
    seconds: float  # of all workers that had this run
    images_per_second: float
    taken_over: int  # images that workers which were lost had answered
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
    kept: SavedRun | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> tuple[list[Entry], Run]:
    """Predictions (COCO results entries) for a public image list, and the record of the run.

    People are cut out by the boxes of the list (then entries have its `person_id`), or by those of `box_file`. Where
    there are neither, a single-person benchmark's whole image is the crop, and on others the person detector looks for
    them. Bottom-up networks take whole images; one that takes crops as well takes those where there are boxes.
    `grouping` puts the person of a crop together by grouping or joint by joint, else as the checkpoint says. `kept` is
    where the answers are written as they come, and where those of lost workers are taken from; the batch is then at
    most half of what the last of them had, for it may have been killed for want of memory. `progress` is called with
    the images done and all images; what it raises ends the run. A file that is not the listed image is left out and
    named in the record. Raises BaselineFailed.
    """
    definition = load_dataset(dataset)
    images = image_list["images"]
    files = Files(Path(image_folder))
    estimator = load(name, dataset, variant=variant, checkpoint=checkpoint, checkpoints=checkpoints, device=device)
    if grouping is not None:
        _set_grouping(estimator, grouping)
    say = progress or (lambda done, total: None)
    bottom_up = _takes_whole_images(estimator, images, definition, box_file)
    boxes = _boxes(images, files, definition, box_file, estimator.device, lambda: say(0, len(images)), bottom_up)
    earlier = kept.begin(_what(estimator, image_list, dataset, boxes)) if kept else Earlier({}, 0.0)
    answers = dict(earlier.answers)
    todo = [image for image in images if image["id"] not in answers]
    started = time.monotonic()
    work = _work(estimator, definition, bottom_up, earlier.lost_with_batch)
    noted = None
    try:
        if kept is not None:
            kept.note_batch(noted := work.batch)
        with closing(work.answers(todo, files, boxes)) as coming:
            for image_id, entries, left_out in coming:
                answers[image_id] = Answer(image_id, entries, left_out, round(time.monotonic() - started, 3))
                if kept is not None:
                    kept.add(answers[image_id])
                    if work.batch != noted:
                        kept.note_batch(noted := work.batch)
                say(len(answers), len(images))
    finally:
        if kept is not None:
            kept.close()
    seconds = earlier.seconds + time.monotonic() - started
    found = [answers[image["id"]] for image in images]
    results = [entry for answer in found for entry in answer.entries]
    missing = tuple(answer.left_out for answer in found if answer.left_out)
    if images and not results:
        reason = missing[0] if missing else "nobody was found in them"
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
        taken_over=len(earlier.answers),
        left_out=missing,
    )


def _set_grouping(estimator: Any, grouping: bool) -> None:
    """Have an estimator that can group do so or not. Raises BaselineFailed where there is nothing to group by."""
    if grouping and getattr(estimator, "model", None) is None:
        message = (
            f"nothing was fitted that {estimator.name} could group by: python -m baselines fit-grouping CHECKPOINT.json"
        )
        raise BaselineFailed("no_grouping", message)
    if hasattr(estimator, "grouped"):
        estimator.grouped = grouping


def _takes_whole_images(
    estimator: Estimator | BottomUpEstimator, images: list[ImageEntry], dataset: Dataset, box_file: Path | None
) -> bool:
    """Whether a bottom-up network is to find people by itself: one that can look at one person's crop, too, does so
    where it is told where people are."""
    if not isinstance(estimator, BottomUpEstimator):
        return False
    told = dataset.single_person or box_file is not None or _all_have_boxes(images)
    return not (told and hasattr(estimator, "forward"))


def _work(
    estimator: Estimator | BottomUpEstimator, dataset: Dataset, bottom_up: bool, lost_with: int | None
) -> WholeImages | Crops:
    """Whole images, or crops with half the batch that a lost worker had, if one was lost."""
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
    """Whom to cut out of the images."""
    if box_file is not None and (bottom_up or dataset.single_person):
        who = "a bottom-up network" if bottom_up else f"{dataset.title}, which lists its people,"
        raise BaselineFailed("boxes", f"{who} takes no file of boxes")
    if box_file is not None:
        return box_sources.from_file(box_file, images)
    listed = box_sources.given(images)
    if bottom_up:
        return Boxes(listed.people, "none: bottom-up")
    if dataset.single_person or all(person.box for people in listed.people.values() for person in people):
        return listed
    return box_sources.detected(images, files.read, device, after_each)


def _what(
    estimator: Estimator | BottomUpEstimator, image_list: dict[str, Any], dataset: str, boxes: Boxes
) -> dict[str, Any]:
    """Everything that the predictions depend on: a successor goes on only where all of it is the same."""
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
