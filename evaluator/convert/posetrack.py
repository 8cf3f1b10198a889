"""PoseTrack (Andriluka et al., CVPR 2018): one JSON file per video, in the format of 2018 or 2017, or a folder of them.

2018: COCO keypoint JSON with further keys: `bbox_head` of people, `ignore_regions_x` and `_y` of images, and for
predictions `scores`, one per joint. The names in `categories` give the order of the joints; they include ears, which
are never annotated. 2017: `annolist`, frames with `annorect`, points with an `id`, every number in a list of its own.
Frames have no ids in that format: they are numbered from 1, and predictions are matched by image name (`--truth`).

Coordinates are copied unchanged. The video of a frame becomes its `group`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evaluator import load_dataset
from evaluator.convert import coco, json_form
from evaluator.convert.errors import ConversionError
from evaluator.convert.json_form import looks_like_json, number, read_json

FOLDERS = True  # a folder of files is one set of annotations or predictions
HEAD_BIAS = 0.6  # head size = 0.6 x diagonal of the head box, as in MPII
OTHER_NAMES = {"head_bottom": "neck"}
JOINTS = 15
NOTHING = [0, 0, 0]


def truth(path: Path, *, dataset: str, split: str | None, companion: Path | None) -> dict[str, Any]:
    """The videos' annotations as one document, with `head_size`; the one JSON form is checked and passed through."""
    files = _files(path)
    if len(files) == 1 and _is_own(files[0][1], dataset):
        return coco.truth(files[0][0], dataset=dataset, split=split, companion=companion)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for file, video in files:
        rows = _old_truth(file, video, len(images)) if "annolist" in video else _new_truth(file, video)
        for image, people in rows:
            images.append(image)
            for person, (keypoints, more) in enumerate(people):
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": image["id"],
                        "person_id": person,
                        "category_id": 1,
                        "keypoints": keypoints,
                        "num_keypoints": sum(flag > 0 for flag in keypoints[2::3]),
                        "iscrowd": 0,
                        **more,
                    }
                )
    return json_form.document(dataset, split or "val", images, annotations)


def predictions(
    path: Path, *, dataset: str, limbs: Path | None, split: str | None, truth: dict[str, Any] | None
) -> list[dict[str, Any]]:
    """The videos' poses as one list. An entry's score is its own, otherwise the mean of its joints' confidences."""
    if limbs is not None:
        raise ConversionError("PoseTrack has no official stick file")
    if path.is_file() and (not looks_like_json(path) or not isinstance(read_json(path), dict)):
        return coco.predictions(path, dataset=dataset, limbs=limbs, split=split, truth=truth)
    entries = []
    for file, document in _files(path):
        rows = _old_poses(file, document, truth) if "annolist" in document else _new_poses(file, document)
        for image_id, points, score in rows:
            sure = [confidence for _, _, confidence in points.values()]
            if not sure:
                continue
            keypoints: list[float | int | None] = []
            for joint in range(JOINTS):
                keypoints += [number(value) for value in points[joint]] if joint in points else [None] * 3
            mean = sum(sure) / len(sure)
            entries.append(
                {"image_id": image_id, "keypoints": keypoints, "score": number(mean if score is None else score)}
            )
    return entries


def _files(path: Path) -> list[tuple[Path, dict[str, Any]]]:
    paths = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not paths:
        raise ConversionError(f"{path}: no .json file in this folder")
    found = []
    for each in paths:
        document = read_json(each)
        if not isinstance(document, dict) or not ("annolist" in document or "annotations" in document):
            raise ConversionError(f"{each.name}: expected an object with images and annotations, or with annolist")
        found.append((each, document))
    return found


def _is_own(document: dict[str, Any], dataset: str) -> bool:
    """Whether the joints are those of the one form."""
    categories = document.get("categories")
    try:
        return "annolist" not in document and categories[0]["keypoints"] == list(load_dataset(dataset).joints)  # type: ignore[index]
    except (TypeError, KeyError, IndexError):
        return False


Points = dict[int, tuple[float, float, float]]  # joint -> x, y, and a flag or a confidence
People = list[tuple[list[float | int], dict[str, Any]]]


def _flagged(points: Points) -> list[float | int]:
    """Keypoints with flags: 2 visible, 1 annotated but not visible."""
    keypoints: list[float | int] = []
    for joint in range(JOINTS):
        x, y, visible = points.get(joint, (0, 0, -1))
        keypoints += NOTHING if joint not in points else [number(x), number(y), 2 if visible > 0 else 1]
    return keypoints


def _head(file: Path, what: str, points: Points, sides: tuple[float, float] | None) -> dict[str, Any]:
    if sides is None:
        if points:
            raise ConversionError(f"{file.name}: {what} has joints but no head box, which scoring needs")
        return {}
    size = HEAD_BIAS * math.hypot(*sides)
    if points and not (math.isfinite(size) and size > 0):
        raise ConversionError(f"{file.name}: {what} has an empty head box")
    return {"head_size": size}


@contextmanager
def _form(file: Path, year: int) -> Iterator[None]:
    """Turns a missing or unexpected value into an error that names the format."""
    try:
        yield
    except ConversionError:
        raise
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise ConversionError(f"{file.name}: not in PoseTrack's format of {year} ({error!r})") from None


# The format of 2018


def _new_truth(file: Path, document: dict[str, Any]) -> Iterator[tuple[dict[str, Any], People]]:
    places = _places(file, document)
    people: dict[Any, People] = {}
    with _form(file, 2018):
        for row in document["annotations"]:
            points = _new_points(row["keypoints"], places, row["keypoints"][2::3])
            box = row.get("bbox_head")
            head = _head(file, f"annotation {row.get('id')}", points, (box[2], box[3]) if box else None)
            more = {key: row[key] for key in ("bbox", "track_id") if row.get(key) is not None}
            people.setdefault(row["image_id"], []).append((_flagged(points), head | more))
        for image in document["images"]:
            fields = {key: image[key] for key in ("id", "file_name", "width", "height") if key in image}
            regions = {key: image[key] for key in ("ignore_regions_x", "ignore_regions_y") if image.get(key)}
            group = {"group": image.get("vid_id") or file.stem}
            yield fields | regions | group, people.pop(image["id"], [])
    if people:
        raise ConversionError(f"{file.name}: annotations of image {next(iter(people))}, which is not listed")


def _new_poses(file: Path, document: dict[str, Any]) -> Iterator[tuple[int, Points, float | None]]:
    places = _places(file, document)
    with _form(file, 2018):
        for row in document["annotations"]:
            sure = row.get("scores") or row["keypoints"][2::3]
            if len(sure) != len(places):
                raise ConversionError(f"{file.name}: {len(sure)} scores for {len(places)} joints")
            yield row["image_id"], _new_points(row["keypoints"], places, sure), row.get("score")


def _places(file: Path, document: dict[str, Any]) -> list[int | None]:
    """The joint at each position of `keypoints`; None for one that PoseTrack never annotates."""
    joints = load_dataset("posetrack").joints
    try:
        names = [OTHER_NAMES.get(name, name) for name in document["categories"][0]["keypoints"]]
    except (KeyError, TypeError, IndexError):
        raise ConversionError(f"{file.name}: categories[0].keypoints does not name the joints") from None
    lacking = [joint for joint in joints if joint not in names]
    if lacking:
        raise ConversionError(f"{file.name}: its categories do not list the joint {lacking[0]}")
    return [joints.index(name) if name in joints else None for name in names]


def _new_points(keypoints: list[float], places: list[int | None], third: list[float]) -> Points:
    """A joint at (0, 0) with the flag 0 is missing."""
    if len(keypoints) != 3 * len(places):
        raise ValueError(f"{len(keypoints)} numbers for {len(places)} joints")
    points = {}
    for place, joint in enumerate(places):
        x, y, flag = keypoints[3 * place : 3 * place + 3]
        if joint is not None and (x, y, flag) != (0, 0, 0):
            points[joint] = (float(x), float(y), float(third[place]))
    return points


# The format of 2017


def _old_truth(file: Path, document: dict[str, Any], before: int) -> Iterator[tuple[dict[str, Any], People]]:
    with _form(file, 2017):
        for index, frame in enumerate(document["annolist"], start=before + 1):
            name = _one(frame["image"])["name"]
            image: dict[str, Any] = {"id": index, "file_name": name, "group": file.stem}
            polygons = [each["point"] for each in frame.get("ignore_regions", [])]
            regions = [[(_one(point["x"]), _one(point["y"])) for point in polygon] for polygon in polygons]
            if regions:
                image["ignore_regions_x"] = [[x for x, _ in polygon] for polygon in regions]
                image["ignore_regions_y"] = [[y for _, y in polygon] for polygon in regions]
            people: People = []
            for rectangle in frame["annorect"]:
                points = _old_points(rectangle, "is_visible", 1.0)
                corners = [_one(rectangle[key]) for key in ("x1", "y1", "x2", "y2")] if "x1" in rectangle else None
                sides = (corners[2] - corners[0], corners[3] - corners[1]) if corners else None
                people.append((_flagged(points), _head(file, f"a person in {name}", points, sides)))
            yield image, people


def _old_poses(
    file: Path, document: dict[str, Any], truth: dict[str, Any] | None
) -> Iterator[tuple[int, Points, float | None]]:
    if truth is None:
        raise ConversionError(
            f"{file.name}: frames of the 2017 format have names but no ids; "
            "give the converted annotations, which number them: --truth FILE"
        )
    numbers = {image.get("file_name"): image["id"] for image in truth["images"]}
    with _form(file, 2017):
        for frame in document["annolist"]:
            name = _one(frame["image"])["name"]
            if name not in numbers:
                raise ConversionError(f"{file.name}: the annotations have no image called {name}")
            for rectangle in frame["annorect"]:
                score = _one(rectangle["score"]) if rectangle.get("score") else None
                yield numbers[name], _old_points(rectangle, "score", -9999.0), score


def _old_points(rectangle: dict[str, Any], third: str, otherwise: float) -> Points:
    """`otherwise`: the third value that the official evaluation assumes for a point without one."""
    points: Points = {}
    for each in rectangle.get("annopoints") or []:
        for point in each.get("point", []):
            joint = int(_one(point["id"]))
            if 0 <= joint < JOINTS:
                said = _one(point[third]) if point.get(third) else otherwise
                points.setdefault(joint, (float(_one(point["x"])), float(_one(point["y"])), float(said)))
    return points


def _one(value: Any) -> Any:
    """The one value in a list."""
    (only,) = value
    return only
