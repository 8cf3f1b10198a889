"""COCO-WholeBody (Jin et al., ECCV 2020): COCO keypoint JSON in which feet, face and hands have their own keys.

Annotations pass through: the evaluator reads both forms. Predictions become one list `keypoints` of all joints.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evaluator import load_dataset, validate
from evaluator.convert import coco
from evaluator.convert.coco import truth
from evaluator.convert.errors import ConversionError
from evaluator.convert.json_form import read_json
from evaluator.reading.json_documents import Problems

__all__ = ["predictions", "truth"]


def predictions(
    path: Path, *, dataset: str, limbs: Path | None, split: str | None, truth: dict[str, Any] | None
) -> list[dict[str, Any]]:
    """Results in COCO-WholeBody's own form with the keys of a person's parts put together, in the order of the joints.

    Files of the one form pass through. Raises evaluator.PredictionError, with entry and key, for keys that are missing
    or of another length, and for what the server would reject.
    """
    entries = read_json(path) if path.suffix != ".zip" else None
    fields = load_dataset(dataset).keypoint_fields
    others = list(fields)[1:]
    if not isinstance(entries, list) or not any(isinstance(row, dict) and row.keys() & set(others) for row in entries):
        return coco.predictions(path, dataset=dataset, limbs=limbs, split=split, truth=truth)
    if limbs is not None:
        raise ConversionError("sticks can be added to an official keypoint file only, not to predictions in JSON")
    problems = Problems()
    whole = []
    for number, row in enumerate(entries):
        if not isinstance(row, dict):
            problems.broken("not_an_object", number, value=row)
            continue
        keypoints: list[Any] = []
        for field, joints in fields.items():
            expected = f"{3 * joints} numbers: x, y, confidence for each of {joints} joints"
            if field not in row:
                problems.broken("missing_key", number, key=field)
            elif not isinstance(row[field], list):
                problems.broken("list_wrong_type", number, f"/{field}", key=field, value=row[field], expected=expected)
            elif len(row[field]) != 3 * joints:
                count = len(row[field])
                problems.broken("list_wrong_count", number, f"/{field}", key=field, count=count, expected=expected)
            else:
                keypoints += row[field]
        whole.append({key: value for key, value in row.items() if key not in others} | {"keypoints": keypoints})
    problems.raise_any()
    validate(dataset, whole)
    return whole
