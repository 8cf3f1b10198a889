"""The metrics of human pose estimation, as one library: read predictions and annotations, score, give intervals.

>>> from evaluator import evaluate
>>> truth = [{"image_id": 1, "keypoints": [10, 20, 2] * 14}]  # or a path
>>> found = [{"image_id": 1, "keypoints": [10, 20, 0.9] * 14, "score": 0.9}]
>>> report = evaluate("lsp", found, truth)
>>> report.scores[0]  # a torso of length zero: nobody could hit within a fraction of it
Score(metric='pck@0.2', part='head', value=0.0, low=None, high=None)

Importing this package imports nothing heavy; the first use of a name does.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from evaluator.errors import DatasetDefinitionError, GroundTruthError, PredictionError, Problem

if TYPE_CHECKING:
    from evaluator.dataset import Dataset, MetricSpec, part_label
    from evaluator.datasets import dataset_names, load_dataset
    from evaluator.diagnosis.joints import Diagnosis, Slice, diagnose
    from evaluator.evaluation import Report, evaluate, measure, public_images, validate
    from evaluator.native.engine import warm_up, warm_up_if_compiled
    from evaluator.poses import Annotations, Predictions
    from evaluator.reading.annotations import read_truth
    from evaluator.reading.arrays import annotations_from_arrays, predictions_from_arrays
    from evaluator.reading.image_list import PublicImages, read_images
    from evaluator.reading.predictions import Checked, read_predictions
    from evaluator.slices import shown_on_a_hidden_split
    from evaluator.tally import Score

# Of the definitions and the code together: a change that can move a score raises it.
__version__ = "0.1.0"

_HOMES = {
    "CODES": "reading.upload_rules",
    "Annotations": "poses",
    "Checked": "reading.predictions",
    "Dataset": "dataset",
    "Diagnosis": "diagnosis.joints",
    "MetricSpec": "dataset",
    "Predictions": "poses",
    "PublicImages": "reading.image_list",
    "Report": "evaluation",
    "Score": "tally",
    "Slice": "diagnosis.joints",
    "annotations_from_arrays": "reading.arrays",
    "dataset_names": "datasets",
    "diagnose": "diagnosis.joints",
    "evaluate": "evaluation",
    "load_dataset": "datasets",
    "measure": "evaluation",
    "part_label": "dataset",
    "predictions_from_arrays": "reading.arrays",
    "public_images": "evaluation",
    "read_images": "reading.image_list",
    "read_predictions": "reading.predictions",
    "read_truth": "reading.annotations",
    "shown_on_a_hidden_split": "slices",
    "validate": "evaluation",
    "warm_up": "native.engine",
    "warm_up_if_compiled": "native.engine",
}

__all__ = [  # noqa: RUF022 - grouped by what they are for
    "evaluate",
    "validate",
    "measure",
    "Report",
    "Score",
    "Checked",
    "diagnose",
    "Diagnosis",
    "Slice",
    "shown_on_a_hidden_split",
    "load_dataset",
    "dataset_names",
    "part_label",
    "Dataset",
    "MetricSpec",
    "public_images",
    "read_images",
    "PublicImages",
    "read_truth",
    "Annotations",
    "annotations_from_arrays",
    "read_predictions",
    "Predictions",
    "predictions_from_arrays",
    "PredictionError",
    "Problem",
    "CODES",
    "GroundTruthError",
    "DatasetDefinitionError",
    "warm_up",
    "warm_up_if_compiled",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
