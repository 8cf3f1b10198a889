"""Annotation files: COCO keypoint annotation JSON in, arrays, digest and public image list out."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluator.dataset import Dataset
from evaluator.errors import GroundTruthError
from evaluator.poses import Annotations, Floats, Integers, counted, nowhere
from evaluator.reading.arrays import annotations_from_arrays, check_annotations
from evaluator.reading.image_list import PublicImages
from evaluator.reading.keypoints_3d import actions_of, annotated_in_space
from evaluator.reading.large_files import AnnotationColumns, ImageRecords, read_large_annotations
from evaluator.surface.surface_points import surface_points
from evaluator.surface.surfaces import BUILT_IN, Surface
from evaluator.uncertainty import groups_of

GZIP_MAGIC = b"\x1f\x8b"
REGIONS = ("ignore_regions_x", "ignore_regions_y")  # of an image, PoseTrack: a list of polygons each, x and y apart


def digest(source: str | Path | bytes | Mapping[str, Any] | list[Any]) -> str:
    """sha256 of a file's bytes; of an object, that of its compact JSON with sorted keys."""
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    if isinstance(source, str | Path):
        with Path(source).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    return hashlib.sha256(
        json.dumps(source, sort_keys=True, separators=(",", ":"), default=_plain).encode()
    ).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not JSON")


Truth = str | Path | bytes | Mapping[str, Any] | Sequence[Mapping[str, Any]] | NDArray[Any] | Annotations


def read_truth(source: Truth, dataset: Dataset) -> Annotations:
    """The annotations of a path (JSON, perhaps gzipped), of a file's bytes, or of the parsed document.

    A list contains the annotations alone: the images are those that they name, and ids count from 1 where they have
    none. A plain array is read as by `annotations_from_arrays`.

    GroundTruthError names the annotation or image that is wrong; it is for the operator, never for a submitter.
    """
    if isinstance(source, np.ndarray):
        source = annotations_from_arrays(source)
    if isinstance(source, Annotations):
        check_annotations(source)
        if source.keypoints.shape[1] != len(dataset.joints):
            raise GroundTruthError(
                f"the annotations have {source.keypoints.shape[1]} joints, not {len(dataset.joints)}"
            )
        _check_people(source, dataset)
        return source
    if isinstance(source, Sequence) and not isinstance(source, str | bytes):
        source = _document(source)
    if isinstance(source, Mapping):
        return annotations_of(source, digest(source), dataset)
    columns = read_large_annotations(source, dataset)
    if columns is not None:
        return _from_columns(columns, dataset)
    return annotations_of(*read_document(source), dataset)


def read_document(source: str | Path | bytes) -> tuple[dict[str, Any], str]:
    """An annotation file as JSON, perhaps gzipped, and its sha256. GroundTruthError when it is not an object."""
    content = source if isinstance(source, bytes) else Path(source).read_bytes()
    try:
        data = json.loads(gzip.decompress(content) if content[:2] == GZIP_MAGIC else content)
    except (ValueError, OSError, EOFError, RecursionError) as error:
        raise GroundTruthError(f"the annotation file is not JSON: {error}") from None
    if not isinstance(data, dict):
        raise GroundTruthError("the annotation file is not an object with images and annotations")
    return data, digest(content)


def _document(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The document of a list of annotations."""
    if not all(isinstance(row, Mapping) for row in rows):
        raise GroundTruthError("the annotations are a list, but not of objects")
    images = {_id(row, "image_id", "annotation") for row in rows}
    numbered = [{"id": number, **row} for number, row in enumerate(rows, 1)]
    return {"images": [{"id": image} for image in sorted(images)], "annotations": numbered}


def annotations_of(data: Mapping[str, Any], sha256: str, dataset: Dataset) -> Annotations:
    """The annotations of a parsed document."""
    for key in ("images", "annotations"):
        if not isinstance(data.get(key), list):
            raise GroundTruthError(f"the annotation file has no list {key!r}")
    _check_joints(data, dataset)
    images = _by_id(data["images"])
    unordered = data["annotations"]
    order = np.argsort([_id(row, "id", "annotation") for row in unordered], kind="stable").astype(np.int64)
    rows = [unordered[index] for index in order.tolist()]
    row_images = np.array([_id(row, "image_id", "annotation") for row in rows], dtype=np.int64)
    ids = np.array([row["id"] for row in rows], dtype=np.int64)
    image_ids = np.array([image["id"] for image in images], dtype=np.int64)
    image = _image_places(image_ids, ids, row_images)
    points, surface = None, None
    if dataset.entry == "keypoints_3d":
        points, visibility = annotated_in_space(rows, dataset)
        keypoints = nowhere(len(rows), len(dataset.joints), 2)
    elif dataset.entry == "uv":
        surface, on_surface = surface_points(rows)
        visibility = np.zeros((len(rows), len(dataset.joints)), dtype=np.int8)
        keypoints = nowhere(len(rows), len(dataset.joints), 2)
    else:
        keypoints, visibility = _keypoints(rows, dataset)
    labelled = (visibility > 0).sum(axis=1)
    given = np.array([row.get("num_keypoints", n) for row, n in zip(rows, labelled.tolist(), strict=True)], np.int64)
    given = labelled if len(dataset.keypoint_fields) > 1 else given  # the field counts the first key's joints only
    if surface is not None:
        labelled = given = on_surface
    info: Any = data.get("info")
    info = info if isinstance(info, dict) else {}
    annotations = Annotations(
        image_ids=image_ids,
        image=image,
        ids=ids,
        person_ids=_person_ids(rows, image),
        keypoints=keypoints,
        visibility=visibility,
        num_keypoints=given,
        areas=_numbers(rows, "area", ()),
        boxes=_numbers(rows, "bbox", (4,)),
        crowd=np.array([bool(row.get("iscrowd", 0)) for row in rows], dtype=bool),
        head_sizes=_numbers(rows, "head_size", ()),
        torso_boxes=_numbers(rows, "torso_box", (2,)),
        limbs=_limbs(rows, dataset),
        keypoints_3d=points,
        actions=actions_of(rows, dataset),
        surface_points=surface,
        surface=_built_in(info) if dataset.entry == "uv" else None,
        sha256=sha256,
        dataset=str(info.get("dataset", "")),
        split=str(info.get("split", "")),
        images=_records(images),
        warnings=_contradictions(ids, given, labelled),
        position=order,
        ignore_regions=_ignore_regions(images),
    )
    _check_people(annotations, dataset)
    groups_of(annotations)
    return annotations


def _built_in(info: Mapping[str, Any]) -> Surface | None:
    """The built-in surface that the annotations name in their `info`; None where the operator gives one."""
    name = info.get("surface")
    if name is None:
        return None
    if not isinstance(name, str) or name not in BUILT_IN:
        raise GroundTruthError(f"info.surface is {name!r}: expected one of {', '.join(BUILT_IN)}, or none")
    return BUILT_IN[name]()


def _from_columns(found: AnnotationColumns, dataset: Dataset) -> Annotations:
    """The annotations of a file that was read in C."""
    others = {key: json.loads(text) for key, text in found.others.items()}
    _check_joints(others, dataset)
    info = others.get("info")
    info = info if isinstance(info, dict) else {}
    order = np.argsort(found.ids, kind="stable")
    ids, row_images = found.ids[order], found.row_images[order]
    image_ids = np.sort(found.image_ids)
    image = _image_places(image_ids, ids, row_images)
    visibility = found.visibility[order]
    labelled = (visibility > 0).sum(axis=1)
    believed = found.given[order] & (len(dataset.keypoint_fields) == 1)
    num_keypoints = np.where(believed, found.num_keypoints[order], labelled)
    none = np.full((len(ids), 2), np.nan)
    annotations = Annotations(
        image_ids=image_ids,
        image=image,
        ids=ids,
        person_ids=counted(image) if found.person_ids is None else found.person_ids[order],
        keypoints=found.keypoints[order],
        visibility=visibility,
        num_keypoints=num_keypoints,
        areas=found.areas[order],
        boxes=found.boxes[order],
        crowd=found.crowd[order],
        head_sizes=none[:, 0].copy(),
        torso_boxes=none,
        limbs=None,
        sha256=found.digest,
        dataset=str(info.get("dataset", "")),
        split=str(info.get("split", "")),
        images=ImageRecords(found.images, image_records),
        warnings=_contradictions(ids, num_keypoints, labelled),
        position=order,
        ignore_regions=_ignore_regions(_by_id(json.loads(found.images))) if REGIONS[0].encode() in found.images else {},
    )
    _check_people(annotations, dataset)
    if b'"group"' in found.images:  # otherwise their text is not even parsed
        groups_of(annotations)
    return annotations


def _image_places(image_ids: Integers, ids: Integers, row_images: Integers) -> Integers:
    """The index into `image_ids` of each annotation's image. Both kinds of ids ascend and must not repeat."""
    if (np.diff(image_ids) == 0).any():
        raise GroundTruthError(f"image {image_ids[:-1][np.diff(image_ids) == 0][0]} is listed twice")
    if (np.diff(ids) == 0).any():
        raise GroundTruthError(f"annotation {ids[:-1][np.diff(ids) == 0][0]} is listed twice")
    image = np.searchsorted(image_ids, row_images)
    unknown = np.append(image_ids, -1)[image] != row_images
    unknown |= image == len(image_ids)
    if unknown.any():
        raise GroundTruthError(
            f"annotation {ids[unknown][0]} is on image {row_images[unknown][0]}, which is not listed"
        )
    return image.astype(np.int64)


def image_records(text: bytes) -> tuple[dict[str, Any], ...]:
    """The records of images in annotations, by ascending id, from the JSON list of images."""
    return _records(_by_id(json.loads(text)))


def _by_id(images: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(images, key=lambda image: _id(image, "id", "image"))


def _records(images: list[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    return tuple({k: i[k] for k in ("id", "file_name", "width", "height", "group") if k in i} for i in images)


def _contradictions(ids: Integers, given: Integers, labelled: Integers) -> tuple[str, ...]:
    return tuple(
        f"annotation {ids[row]}: num_keypoints is {given[row]}, but {labelled[row]} joints are labelled"
        for row in np.flatnonzero(given != labelled).tolist()
    )


def _id(row: Any, key: str, what: str) -> int:
    value = row.get(key) if isinstance(row, Mapping) else None
    if type(value) is not int or not -(1 << 63) <= value < 1 << 63:
        raise GroundTruthError(f"an {what} whose {key} is {value!r}: expected a whole number")
    return value


def _check_joints(data: Mapping[str, Any], dataset: Dataset) -> None:
    categories = data.get("categories") or []
    if not isinstance(categories, list):
        raise GroundTruthError("the annotation file's categories are not a list")
    for category in categories:
        named = category.get("keypoints") if isinstance(category, dict) else None
        if not named:
            continue
        if not isinstance(named, list) or not all(isinstance(joint, str) for joint in named):
            raise GroundTruthError("the keypoints of a category are not a list of names")
        if len(named) not in (len(dataset.joints), dataset.keypoint_fields["keypoints"]):
            raise GroundTruthError(f"the file has {len(named)} joints, {dataset.name} has {len(dataset.joints)}")
        expected = dataset.joints[: len(named)]
        if set(named) == set(expected) and tuple(named) != expected:
            raise GroundTruthError(f"the file's joints are not in the order of {dataset.name}")


def _keypoints(rows: list[dict[str, Any]], dataset: Dataset) -> tuple[Floats, np.ndarray[Any, np.dtype[np.int8]]]:
    joints = len(dataset.joints)
    values = np.full((len(rows), joints, 3), np.nan)
    for index, row in enumerate(rows):
        start = 0
        for field, count in _fields(row, dataset).items():
            numbers = row.get(field)
            try:
                if not isinstance(numbers, list) or len(numbers) != 3 * count:
                    raise ValueError
                values[index, start : start + count] = np.array(numbers, dtype=np.float64).reshape(count, 3)
            except (TypeError, ValueError):
                raise GroundTruthError(f"annotation {row['id']}: {field} are not {3 * count} numbers") from None
            start += count
    flags = values[:, :, 2]
    if len(dataset.keypoint_fields) > 1:  # COCO-WholeBody has fractions too: above zero is labelled
        flags = np.where((flags > 0) & (flags < 2) & (flags != 1), 2.0, flags)
    if not np.isin(flags, (0, 1, 2)).all():
        raise GroundTruthError("a visibility flag is not 0, 1 or 2")
    points = np.where(flags[..., None] > 0, values[:, :, :2], np.nan)
    wrong = ~np.isfinite(points) & (flags[..., None] > 0)
    if wrong.any():
        raise GroundTruthError(f"annotation {rows[np.argwhere(wrong)[0][0]]['id']}: a labelled joint is not finite")
    return points, flags.astype(np.int8)


def _fields(row: Mapping[str, Any], dataset: Dataset) -> Mapping[str, int]:
    """The keys of an annotation's keypoints: the dataset's official ones, or `keypoints` for all joints at once."""
    official = dataset.keypoint_fields
    return official if any(key in row for key in list(official)[1:]) else {"keypoints": len(dataset.joints)}


def _ignore_regions(images: list[dict[str, Any]]) -> dict[int, tuple[Floats, ...]]:
    """The polygons [V, 2] of each image that has some, by its index; images by ascending id."""
    found = {}
    for index, image in enumerate(images):
        xs, ys = (image.get(key) or [] for key in REGIONS)
        try:
            polygons = tuple(
                np.array([x, y], dtype=np.float64).T.reshape(len(x), 2) for x, y in zip(xs, ys, strict=True)
            )
        except (TypeError, ValueError):
            raise GroundTruthError(f"image {image['id']}: its ignore regions are not lists of x and of y") from None
        if any(len(polygon) < 3 or not np.isfinite(polygon).all() for polygon in polygons):
            raise GroundTruthError(f"image {image['id']}: an ignore region is not three or more finite points")
        if polygons:
            found[index] = polygons
    return found


def _numbers(rows: list[dict[str, Any]], key: str, shape: tuple[int, ...]) -> Floats:
    values = np.full((len(rows), *shape), np.nan)
    for index, row in enumerate(rows):
        if row.get(key) is None:
            continue
        try:
            values[index] = np.array(row[key], dtype=np.float64).reshape(shape)
        except (TypeError, ValueError):
            raise GroundTruthError(f"annotation {row['id']}: {key} is not {int(np.prod(shape))} numbers") from None
        if not np.isfinite(values[index]).all():
            raise GroundTruthError(f"annotation {row['id']}: {key} is not finite")
        if key != "bbox" and (values[index] < 0).any():
            raise GroundTruthError(f"annotation {row['id']}: {key} is negative")
    return values


def _limbs(rows: list[dict[str, Any]], dataset: Dataset) -> Floats | None:
    if not dataset.limbs or not any("limbs" in row for row in rows):
        return None
    if not all("limbs" in row for row in rows):
        raise GroundTruthError("some annotations have limbs and some have not")
    return _numbers(rows, "limbs", (len(dataset.limbs), 2, 2))


def _person_ids(rows: list[dict[str, Any]], image: Integers) -> Integers:
    if any("person_id" in row for row in rows):
        return np.array([_id(row, "person_id", "annotation") for row in rows], dtype=np.int64)
    return counted(image)


def _check_people(annotations: Annotations, dataset: Dataset) -> None:
    if not annotations.people.any():
        raise GroundTruthError("the annotations contain no annotated people")
    if dataset.single_person:
        keys = Counter(zip(annotations.image.tolist(), annotations.person_ids.tolist(), strict=True))
        (image, person), times = keys.most_common(1)[0]
        if times > 1:
            raise GroundTruthError(f"image {annotations.image_ids[image]} has person {person} twice")


def listed(annotations: Annotations, dataset: Dataset) -> PublicImages:
    """The image list that uploads are checked against when the benchmark has published none."""
    if not dataset.single_person:
        # predictions do not name people there
        return PublicImages(dataset.name, annotations.split, dict.fromkeys(annotations.image_ids.tolist(), ()))
    people: dict[int, list[int]] = {image: [] for image in annotations.image_ids.tolist()}
    for row in np.flatnonzero(~annotations.crowd).tolist():
        people[int(annotations.image_ids[annotations.image[row]])].append(int(annotations.person_ids[row]))
    return PublicImages(dataset.name, annotations.split, {image: tuple(p) for image, p in people.items()})
