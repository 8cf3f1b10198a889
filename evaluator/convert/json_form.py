"""The one JSON form of annotations and predictions, built from arrays or read from files that already have it."""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluator import load_dataset
from evaluator.convert.errors import ConversionError

GZIP, ZIP = b"\x1f\x8b", b"PK\x03\x04"


@dataclass(frozen=True, eq=False)
class People:
    """What an official annotation file says about N people, in its order.

    `points` [N, K, 2] in pixels; `flags` [N, K]: 0 not annotated, 1 occluded, 2 visible; `boxes` [N, 4] x, y, w, h;
    `image_ids`, `person_ids` [N]; `file_names`: one per person, None if the file has no names; `extra`: further keys of
    the annotations, with a list of N values each.
    """

    points: NDArray[np.float64]
    flags: NDArray[np.int64]
    boxes: NDArray[np.float64]
    image_ids: Sequence[int]
    person_ids: Sequence[int]
    file_names: Sequence[str] | None
    extra: dict[str, Sequence[Any]]


def annotation_document(dataset: str, split: str, people: People) -> dict[str, Any]:
    """The annotation JSON: COCO's keypoint annotations with `person_id` and what the dataset's normaliser needs.

    `area` is the area of the box: these datasets have no object masks.
    """
    definition = load_dataset(dataset)
    place = {joint: index for index, joint in enumerate(definition.joints, start=1)}
    images: dict[int, dict[str, Any]] = {}
    annotations = []
    for index, image_id in enumerate(people.image_ids):
        image: dict[str, Any] = {"id": int(image_id)}
        if people.file_names is not None:
            image["file_name"] = people.file_names[index]
        images.setdefault(int(image_id), image)
        flags = people.flags[index]
        keypoints: list[float | int] = []
        for (x, y), flag in zip(people.points[index].tolist(), flags.tolist(), strict=True):
            keypoints += [number(x), number(y), flag] if flag else [0, 0, 0]
        box = people.boxes[index].tolist()
        annotations.append(
            {
                "id": index + 1,
                "image_id": int(image_id),
                "person_id": int(people.person_ids[index]),
                "category_id": 1,
                "keypoints": keypoints,
                "num_keypoints": int((flags > 0).sum()),
                "bbox": [number(value) for value in box],
                "area": number(box[2] * box[3]),
                "iscrowd": 0,
                **{key: values[index] for key, values in people.extra.items()},
            }
        )
    skeleton = [[place[start], place[end]] for start, end in definition.skeleton]
    return document(dataset, split, list(images.values()), annotations, skeleton)


def document(
    dataset: str, split: str, images: list[Any], annotations: list[Any], skeleton: Sequence[Any] = ()
) -> dict[str, Any]:
    """The annotation JSON around lists of images and annotations."""
    definition = load_dataset(dataset)
    person = {"id": 1, "name": "person", "keypoints": list(definition.joints), "skeleton": list(skeleton)}
    return {
        "info": {"dataset": dataset, "split": split, "description": definition.title},
        "images": images,
        "annotations": annotations,
        "categories": [person],
    }


def prediction_entries(
    points: NDArray[np.float64],
    rows: Sequence[tuple[int, int]],
    limbs: NDArray[np.float64] | None = None,
) -> list[dict[str, Any]]:
    """The prediction JSON of points [N, K, 2], NaN where missing, for the (image id, person id) of `rows`.

    Official single-person files have no confidences: every joint and every entry gets 1. `limbs` is [N, L, 4].
    """
    entries = []
    for index, (image_id, person_id) in enumerate(rows):
        keypoints: list[float | int | None] = []
        for x, y in points[index].tolist():
            keypoints += [None, None, None] if math.isnan(x) or math.isnan(y) else [number(x), number(y), 1]
        entry: dict[str, Any] = {"image_id": image_id, "person_id": person_id, "keypoints": keypoints, "score": 1.0}
        if limbs is not None:
            entry["limbs"] = [
                [None] * 4 if any(map(math.isnan, limb)) else [number(value) for value in limb]
                for limb in limbs[index].tolist()
            ]
        entries.append(entry)
    return entries


def rows_of(truth: dict[str, Any], count: int, name: str) -> list[tuple[int, int]]:
    """(image id, person id) of a document's annotations, in its order; ConversionError unless there are `count`."""
    annotations = truth.get("annotations")
    if not isinstance(annotations, list):
        raise ConversionError("the annotations given for the order of the rows have no list 'annotations'")
    if len(annotations) != count:
        raise ConversionError(f"{name} has {count} rows, but the annotations have {len(annotations)} people")
    try:
        return [(int(each["image_id"]), int(each.get("person_id", 0))) for each in annotations]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ConversionError("an annotation has no integer 'image_id'") from None


def joints_box(points: NDArray[np.float64], flags: NDArray[np.int64]) -> NDArray[np.float64]:
    """The bounding boxes [N, 4] (x, y, w, h) of the annotated joints; zeros where a person has none."""
    annotated = (flags > 0)[:, :, None]
    low = np.where(annotated, points, np.inf).min(axis=1)
    high = np.where(annotated, points, -np.inf).max(axis=1)
    boxes = np.concatenate([low, high - low], axis=1)
    return np.where(np.isfinite(boxes).all(axis=1, keepdims=True), boxes, 0.0)


def number(value: float) -> float | int:
    """A float that is a whole number as an int, so that files stay small and equal whatever wrote them."""
    return int(value) if float(value).is_integer() else float(value)


def read_json(path: Path) -> Any:
    """The JSON of a .json or .json.gz file; ConversionError for anything else."""
    raw = path.read_bytes()
    if raw.startswith(GZIP):
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError, zlib.error) as error:
            raise ConversionError(f"{path.name}: damaged gzip ({error})") from None
    try:
        return json.loads(raw.decode("utf-8"), parse_constant=_reject_constant)
    except UnicodeDecodeError as error:
        raise ConversionError(f"{path.name}: not UTF-8 text at byte {error.start}; expected JSON") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise ConversionError(f"{path.name}: not JSON: {error.msg} at {where}") from None
    except RecursionError:
        raise ConversionError(f"{path.name}: nested too deeply") from None
    except ValueError as error:
        raise ConversionError(f"{path.name}: not JSON: {error}") from None


def _reject_constant(name: str) -> None:
    raise ValueError(f"{name} is not valid JSON")


def read_annotations(path: Path) -> dict[str, Any]:
    """An annotation document; ConversionError for anything else."""
    if not path.is_file():
        raise ConversionError(f"{path}: no such file")
    document = read_json(path)
    if not isinstance(document, dict):
        raise ConversionError(f"{path.name}: expected annotations: an object with a list 'annotations'")
    return document


def looks_like_json(path: Path) -> bool:
    """Whether a file starts like a JSON object or list, or is gzip or zip (no official binary file is)."""
    with path.open("rb") as file:
        head = file.read(64)
    return head.startswith((GZIP, ZIP)) or head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[")
