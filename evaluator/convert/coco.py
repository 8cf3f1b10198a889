"""COCO keypoint JSON (Lin et al., ECCV 2014), which is also the one JSON form: it is checked and passed through.

The same holds for every dataset without a converter of its own, and for files that were converted before.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from evaluator import load_dataset, validate
from evaluator.convert.errors import ConversionError
from evaluator.convert.json_form import read_json


def truth(path: Path, *, dataset: str, split: str | None, companion: Path | None) -> dict[str, Any]:
    """The document as it is, with dataset and split named in its `info`.

    Raises ConversionError for what is not JSON, and evaluator.GroundTruthError for annotations that cannot be used.
    """
    from evaluator.reading.annotations import read_truth

    document = read_json(path)
    if not isinstance(document, dict):
        raise ConversionError(f"{path.name}: expected an object with images, annotations and categories")
    read_truth(path, load_dataset(dataset))
    info = document.get("info")
    named = {**(info if isinstance(info, dict) else {}), "dataset": dataset}
    if split is not None:
        named["split"] = split
    return {**document, "info": named}


def predictions(
    path: Path, *, dataset: str, limbs: Path | None, split: str | None, truth: dict[str, Any] | None
) -> list[dict[str, Any]]:
    """The list as it is. Raises evaluator.PredictionError for what the server would reject."""
    if limbs is not None:
        raise ConversionError("sticks can be added to an official keypoint file only, not to predictions in JSON")
    from evaluator.reading.archives import read_upload, unpacked

    content = read_upload(path)
    validate(dataset, content)
    entries: list[dict[str, Any]] = json.loads(unpacked(content))
    return entries
