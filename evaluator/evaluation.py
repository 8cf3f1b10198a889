"""A dataset, predictions and annotations in; a report out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import evaluator
from evaluator.definitions import Dataset, load_dataset
from evaluator.digests import DigestField, deferred
from evaluator.errors import GroundTruthError
from evaluator.ground_truth import listed, read_truth
from evaluator.image_list import PublicImages, read_images
from evaluator.metrics import load_metric
from evaluator.poses import Annotations, Predictions
from evaluator.predictions import Checked, Source, check_upload, read_predictions
from evaluator.surfaces import Surface, read_surface
from evaluator.tally import Score, Tally
from evaluator.uncertainty import resamples, with_intervals

Images = PublicImages | Mapping[str, Any] | str | Path | bytes
Truth = str | Path | bytes | Mapping[str, Any] | Annotations


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
    surface: Surface | str | Path | None = None,
) -> Report:
    """Scores predictions against annotations by every metric of the dataset.

    predictions: a path or the bytes of a JSON file (plain, gzip, zip), a list of entries, or `Predictions`.
    truth: a path, bytes, parsed annotation document, or `Annotations`. images: the benchmark's public image list;
    taken from the truth when not given. intervals: add 95 % bootstrap intervals. surface: DensePose's geodesic tables,
    a path or `evaluator.surfaces.Surface`.

    Raises PredictionError (the submitter's fault), GroundTruthError (the operator's), DatasetDefinitionError.
    """
    definition = load_dataset(dataset) if isinstance(dataset, str) else dataset
    annotations = on_surface(read_truth(truth, definition), surface)
    known = listed(annotations, definition) if images is None else read_images(images)
    if images is not None and set(known.people) != set(annotations.image_ids.tolist()):
        raise GroundTruthError("the public image list and the annotations do not have the same images")
    entries = read_predictions(predictions, definition, known)
    tallies = measure(definition, entries, annotations)
    if intervals:
        weights = resamples(annotations.sha256, len(annotations.image_ids))
        scores = [score for tally in tallies for score in with_intervals(tally, weights)]
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
    """Checks predictions without annotations: the rules that the server applies. Raises PredictionError."""
    definition = load_dataset(dataset) if isinstance(dataset, str) else dataset
    return check_upload(predictions, definition, None if images is None else read_images(images))
