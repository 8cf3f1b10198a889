"""Official files and other tools' outputs, converted to the one JSON form. May import the rest of the evaluator.

The folder is the registry: `convert/<dataset>.py` has `truth(...)` and `predictions(...)`. A dataset without one uses
COCO keypoint JSON. Binary files (.mat, .h5) are read by scipy and h5py in a separate process, because scipy crashes on
some damaged files. This package is for the client and an operator's shell; no web server or worker imports it.
"""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from evaluator import dataset_names
from evaluator.convert.errors import ConversionError

__all__ = ["ConversionError", "convert_predictions", "convert_truth"]


def convert_truth(
    dataset: str, path: Path, *, split: str | None = None, companion: Path | None = None
) -> dict[str, Any]:
    """An official annotation file as the annotation JSON (see docs/formats.md).

    `split` selects a part of a file that has several (LSP: test, train); `companion` is the second file of a
    dataset that needs two (MPII `valid.json`: its `gt_valid.mat`); by default it is looked for next to the first.
    Raises ConversionError, whose message is for the person who has the file.
    """
    module = _module(dataset)
    path = _existing(path, folder=getattr(module, "FOLDERS", False))
    document: dict[str, Any] = module.truth(path, dataset=dataset, split=split, companion=companion)
    return document


def convert_predictions(
    dataset: str,
    path: Path,
    *,
    limbs: Path | None = None,
    split: str | None = None,
    truth: dict[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """A file of predictions in a dataset's official layout as the prediction JSON (see docs/formats.md).

    Row i, counted from 1, belongs to image i (LSP test: 1000 + i), person 0; with `truth`, an annotation document, row
    i belongs to the image and person of its i-th annotation. `limbs` is a file of predicted sticks (LSP: 2x20x1000).
    Raises ConversionError, and evaluator.PredictionError for predictions that are JSON already.
    """
    module = _module(dataset)
    path = _existing(path, folder=getattr(module, "FOLDERS", False))
    entries: list[dict[str, Any]] = module.predictions(
        path, dataset=dataset, limbs=_existing(limbs) if limbs else None, split=split, truth=truth
    )
    return entries


def _module(dataset: str) -> Any:
    if dataset not in dataset_names():
        raise ConversionError(f"no converter for the dataset {dataset!r}: there are {', '.join(dataset_names())}")
    own = f"evaluator.convert.{dataset}"
    return importlib.import_module(own if find_spec(own) else "evaluator.convert.coco")


def _existing(path: Path, *, folder: bool = False) -> Path:
    if not path.exists():
        raise ConversionError(f"{path}: no such file")
    if not path.is_file() and not (folder and path.is_dir()):
        raise ConversionError(f"{path} is not a file")
    return path
