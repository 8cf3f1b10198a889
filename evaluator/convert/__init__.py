"""The datasets' official files -> the one JSON form of annotations and of predictions.

The folder is the registry: `convert/<dataset>.py` has `truth(...)` and `predictions(...)`. Binary files (.mat, .h5)
are read by scipy and h5py in a process of their own, because scipy crashes its process on some damaged files; so this
package belongs to the client and to an operator's shell and is never imported by the web server or a worker.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from evaluator.convert.errors import ConversionError

__all__ = ["ConversionError", "convert_predictions", "convert_truth"]

CONVERTIBLE = (
    "coco", "crowdpose", "ochuman", "coco_wholebody", "mpii", "mpii_multi", "posetrack", "lsp", "flic", "mannequins",
    "densepose", "human36m", "mpi_inf_3dhp",
)  # fmt: skip


def convert_truth(
    dataset: str, path: Path, *, split: str | None = None, companion: Path | None = None
) -> dict[str, Any]:
    """An official annotation file as the annotation JSON (see docs/formats.md).

    `split` chooses the part of a file that holds several (LSP: test, train); `companion` is the second file of a
    dataset that needs two (MPII `valid.json`: its `gt_valid.mat`; found beside the first when it is not given).
    Raises ConversionError, with a message for the person who has the file.
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
    if dataset not in CONVERTIBLE:
        raise ConversionError(f"no converter for the dataset {dataset!r}: there are {', '.join(sorted(CONVERTIBLE))}")
    return importlib.import_module(f"evaluator.convert.{dataset}")


def _existing(path: Path, *, folder: bool = False) -> Path:
    if not path.exists():
        raise ConversionError(f"{path}: no such file")
    if not path.is_file() and not (folder and path.is_dir()):
        raise ConversionError(f"{path}: is not a file")
    return path
