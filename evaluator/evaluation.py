"""A dataset, predictions and annotations in; a report out."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import evaluator
from evaluator.dataset import Dataset
from evaluator.datasets import load_dataset
from evaluator.digests import DigestField, deferred
from evaluator.errors import GroundTruthError
from evaluator.metrics import load_metric
from evaluator.poses import Annotations, Predictions
from evaluator.reading.annotations import Truth, annotations_of, listed, read_document, read_truth
from evaluator.reading.arrays import predictions_of_people
from evaluator.reading.image_list import PublicImages, read_images
from evaluator.reading.predictions import Checked, Source, check_upload, read_predictions
from evaluator.reading.upload_rules import NO_BENCHMARK, limits_of
from evaluator.space import poses_of_people
from evaluator.surface.surfaces import Surface, read_surface
from evaluator.tally import Score, Tally
from evaluator.uncertainty import groups_of, image_weights, with_intervals

NO_DATASET = "the annotations do not name their dataset: give --dataset NAME, or dataset=NAME in Python"
Images = PublicImages | Mapping[str, Any] | str | Path | bytes


@dataclass(frozen=True, kw_only=True)
class Report:
    """What one evaluation found. `images` and `people` are those of the annotations, `entries` those of the upload.

    The digests of files are worked out when they are first read; RuntimeError when a file has changed by then.
    """

    dataset: str
    protocol: str
    evaluator_version: str
    truth_sha256: DigestField = DigestField()  # noqa: RUF009 - a descriptor
    predictions_sha256: DigestField = DigestField()  # noqa: RUF009 - a descriptor
    scores: list[Score]
    images: int
    people: int
    entries: int

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON: the fields by name, the scores as objects."""
        return asdict(self)


def measure(dataset: Dataset, predictions: Predictions, annotations: Annotations) -> list[Tally]:
    """Every measurement of the dataset, in the order of its definition."""
    return [
        load_metric(metric).measure(annotations, predictions, dataset, names=names, **parameters)
        for metric, parameters, names in dataset.measurements
    ]


def on_surface(annotations: Annotations, surface: Surface | str | Path | None) -> Annotations:
    """The annotations on a surface, where one is given. GroundTruthError when its file is wrong."""
    return annotations if surface is None else replace(annotations, surface=read_surface(surface))


def evaluate(
    dataset: str | Dataset,
    predictions: Source,
    truth: Truth,
    *,
    images: Images | None = None,
    intervals: bool = False,
    groups: Mapping[int, Hashable] | None = None,
    surface: Surface | str | Path | None = None,
) -> Report:
    """Scores predictions against annotations by every metric of the dataset.

    predictions: a path or the bytes of a JSON file (plain, gzip, zip), a list of entries, or `Predictions`; on
    single-person datasets also an array [P, K, 2] or [P, K, 3], in pixels and with a confidence: row i is for the i-th
    annotated person by ascending annotation id, NaN is a missing joint. In space [P, K, 3], millimetres.
    truth: a path, bytes, a parsed annotation document or its list of annotations, `Annotations`, or an array [P, K, 2]
    with NaN where nothing is annotated, or [P, K, 3] with the flags 0, 1, 2.
    images: the benchmark's public image list, which also says how much a file may hold; without it, ids are checked
    against the annotations.
    intervals: add 95% bootstrap intervals over images, or over groups of images (videos, scenes, subjects): `groups`
    maps each image id to its group; without it, the images of the annotations may have a key `group`.
    surface: DensePose's geodesic tables, a path or `evaluator.surface.surfaces.Surface`.

    Raises PredictionError (the submitter's fault), GroundTruthError (the operator's), DatasetDefinitionError.

    >>> import numpy as np
    >>> people = np.random.default_rng(1).uniform(0, 200, (4, 14, 2))  # LSP's 14 joints
    >>> found = people.copy()
    >>> found[0, 0] = np.nan  # one joint of 56 is missing
    >>> report = evaluate("lsp", found, people)
    >>> [score.value * 56 for score in report.scores if (score.metric, score.part) == ("pck@0.2", "all")]
    [55.0]
    """
    definition = load_dataset(dataset) if isinstance(dataset, str) else dataset
    annotations = on_surface(read_truth(truth, definition), surface)
    known = listed(annotations, definition) if images is None else read_images(images)
    if images is not None and set(known.people) != set(annotations.image_ids.tolist()):
        raise GroundTruthError("the public image list and the annotations do not have the same images")
    if isinstance(predictions, np.ndarray) and definition.single_person:
        of_people = poses_of_people if definition.entry == "keypoints_3d" else predictions_of_people
        predictions = of_people(predictions, annotations)
    limits = NO_BENCHMARK if images is None else limits_of(definition, known)
    entries = read_predictions(predictions, definition, known, limits=limits)
    tallies = measure(definition, entries, annotations)
    if intervals:
        together = groups_of(annotations, groups)
        weights = image_weights(annotations, together)
        scores = [score for tally in tallies for score in with_intervals(tally, weights, together)]
    else:
        scores = [score for tally in tallies for score in tally.scores()]
    return Report(
        dataset=definition.name,
        protocol=definition.protocol,
        evaluator_version=evaluator.__version__,
        truth_sha256=deferred(annotations, "sha256"),
        predictions_sha256=deferred(entries, "sha256"),
        scores=scores,
        images=len(annotations.image_ids),
        people=int(annotations.people.sum()),
        entries=len(entries.image_ids),
    )


def validate(dataset: str | Dataset, predictions: Source, *, images: Images | None = None) -> Checked:
    """Checks predictions without annotations: the rules that the server applies. Raises PredictionError.

    >>> validate("lsp", [{"image_id": 7, "keypoints": [10, 20, 0.9] * 14, "score": 1}])
    Checked(entries=1, images_covered=1, images_total=None, most_detections=1, mean_detections=1.0)
    >>> validate("lsp", [{"image_id": 7, "keypoints": [10, 20, 0.9] * 13, "score": 1}])
    Traceback (most recent call last):
    evaluator.errors.PredictionError: entry 0, /0/keypoints: keypoints has 39 values (expected 42 numbers: ...)
    """
    definition = load_dataset(dataset) if isinstance(dataset, str) else dataset
    return check_upload(predictions, definition, None if images is None else read_images(images))


def read_named(truth: str | Path | bytes | Mapping[str, Any]) -> Annotations:
    """Annotations of the dataset that their file names. GroundTruthError where it names none."""
    document, sha256 = (truth, "") if isinstance(truth, Mapping) else read_document(truth)
    info = document.get("info")
    dataset = info.get("dataset") if isinstance(info, Mapping) else None
    if not isinstance(dataset, str):
        raise GroundTruthError(NO_DATASET)
    return annotations_of(document, sha256, load_dataset(dataset))


def public_images(
    truth: str | Path | bytes | Mapping[str, Any] | Annotations,
    *,
    boxes: bool,
    dataset: str | None = None,
    split: str | None = None,
) -> dict[str, Any]:
    """The public image list of annotations, ready for JSON: images, and their people on single-person datasets.

    `boxes`: the benchmark gives each person's box (baselines run on them, boards say so). `dataset` and `split` are
    those of the file's info when not given.
    """
    if isinstance(truth, Annotations):
        annotations = truth
    else:
        annotations = read_truth(truth, load_dataset(dataset)) if dataset else read_named(truth)
    dataset = dataset or annotations.dataset
    if not dataset:
        raise GroundTruthError(NO_DATASET)
    definition = load_dataset(dataset)
    # groups are left out: only the bootstrap needs to know which images were filmed together
    images = [{key: value for key, value in image.items() if key != "group"} for image in annotations.images]
    if definition.single_person or boxes:
        for image in images:
            image["people"] = []
        for row in np.flatnonzero(~annotations.crowd).tolist():
            person: dict[str, Any] = {"person_id": int(annotations.person_ids[row])}
            if boxes and np.isfinite(annotations.boxes[row]).all():
                person["box"] = annotations.boxes[row].tolist()
            images[annotations.image[row]]["people"].append(person)
        for image in images:
            image["people"].sort(key=lambda person: person["person_id"])
    return {"dataset": dataset, "split": split or annotations.split, "images": images}
