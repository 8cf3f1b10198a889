"""People from plain arrays, and the checks of arrays that were built by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluator.errors import GroundTruthError, PredictionError, Problem
from evaluator.poses import Annotations, Predictions, counted

KINDS: dict[str, tuple[str, Any, str]] = {  # what is asked for: kinds of numpy, the type it becomes, in words
    "f": ("fiu", np.float64, "numbers"),
    "i": ("iu", np.int64, "whole numbers"),
    "b": ("b", np.bool_, "booleans"),
}


def annotations_from_arrays(
    keypoints: ArrayLike,
    *,
    image_ids: ArrayLike | None = None,
    person_ids: ArrayLike | None = None,
    visibility: ArrayLike | None = None,
    areas: ArrayLike | None = None,
    boxes: ArrayLike | None = None,
    crowd: ArrayLike | None = None,
    head_sizes: ArrayLike | None = None,
    torso_boxes: ArrayLike | None = None,
    ids: ArrayLike | None = None,
    images: ArrayLike | None = None,
    groups: Mapping[int, Any] | None = None,
) -> Annotations:
    """P annotated people from arrays.

    keypoints [P, K, 2] in pixels, NaN where a joint is not annotated, or [P, K, 3] with the flags 0, 1, 2 of
    `visibility`, which is [P, K] otherwise (2 for every joint that has a place, when not given). image_ids [P]: the
    image of each person; image i, from 1, for row i when not given. person_ids [P]: 0.. in each image. areas [P] in
    square pixels and boxes [P, 4], x, y, width, height: what OKS needs. head_sizes [P]: 0.6 x the head box
    diagonal, for PCKh. torso_boxes [P, 2], width and height: FLIC's. ids [P]: 1.. when not given. images: the ids
    of all images, where some contain no people. groups: image id to the group that the bootstrap draws as one.

    Raises GroundTruthError for shapes that do not fit, ids that repeat and numbers that are not finite.

    >>> annotations_from_arrays([[[10, 20], [float("nan"), float("nan")]]]).visibility.tolist()
    [[2, 0]]
    """
    as_array = partial(_array, wrong=_wrong_truth)
    points = as_array(keypoints, "keypoints", "f", (None, None, None))
    people, joints, numbers = points.shape
    if numbers not in (2, 3):
        raise _wrong_truth(f"keypoints have the shape {list(points.shape)}", "[P, K, 2] or [P, K, 3]")
    if numbers == 3 and visibility is not None:
        raise _wrong_truth("the visibility is given twice", "it in the keypoints or by itself")
    if numbers == 3:
        visibility = np.nan_to_num(points[..., 2])
    elif visibility is None:
        visibility = 2 * np.isfinite(points).all(axis=2)
    flags = as_array(visibility, "visibility", "f", (people, joints))
    if not np.isin(flags, (0, 1, 2)).all():
        raise GroundTruthError("a visibility flag is not 0, 1 or 2")
    number = np.arange(people)
    own = as_array(number + 1 if ids is None else ids, "ids", "i", (people,))
    of_person = as_array(number + 1 if image_ids is None else image_ids, "image_ids", "i", (people,))
    every = np.unique(of_person if images is None else as_array(images, "images", "i", (None,)))
    unknown = ~np.isin(of_person, every)
    if unknown.any():
        raise GroundTruthError(f"row {number[unknown][0]} is on image {of_person[unknown][0]}, which is not listed")
    image = np.searchsorted(every, of_person).astype(np.int64)
    persons = counted(image) if person_ids is None else as_array(person_ids, "person_ids", "i", (people,))
    order = np.argsort(own, kind="stable").astype(np.int64)
    none = np.full((people, 4), np.nan)
    given: dict[str, Any] = {
        "areas": as_array(none[:, 0] if areas is None else areas, "areas", "f", (people,)),
        "boxes": as_array(none if boxes is None else boxes, "boxes", "f", (people, 4)),
        "crowd": as_array(np.zeros(people, bool) if crowd is None else crowd, "crowd", "b", (people,)),
        "head_sizes": as_array(none[:, 0] if head_sizes is None else head_sizes, "head_sizes", "f", (people,)),
        "torso_boxes": as_array(none[:, :2] if torso_boxes is None else torso_boxes, "torso_boxes", "f", (people, 2)),
    }
    records = tuple(
        {"id": each} | ({"group": groups[each]} if groups and each in groups else {}) for each in every.tolist()
    )
    found = Annotations(
        image_ids=every,
        image=image[order],
        ids=own[order],
        person_ids=persons[order],
        keypoints=np.where(flags[order][..., None] > 0, points[order, :, :2], np.nan),
        visibility=flags[order].astype(np.int8),
        num_keypoints=(flags[order] > 0).sum(axis=1),
        **{name: values[order] for name, values in given.items()},
        sha256=_digest(points, flags, own, of_person, every, persons, *given.values()),
        images=records,
        position=order,
    )
    check_annotations(found)
    return found


def predictions_from_arrays(
    keypoints: ArrayLike,
    *,
    scores: ArrayLike | None = None,
    image_ids: ArrayLike | None = None,
    person_ids: ArrayLike | None = None,
    limbs: ArrayLike | None = None,
) -> Predictions:
    """N predicted people from arrays.

    keypoints [N, K, 2] in pixels, or [N, K, 3] with a confidence each (1 when not given); a joint whose x and y
    are NaN is missing. scores [N] rank detections under OKS; 1 when not given. image_ids [N]: image i, from 1, for row
    i when not given. person_ids [N]: 0 when not given. limbs [N, L, 2, 2]: where PCP is to be scored on limbs of
    their own.

    Raises PredictionError for shapes that do not fit. Numbers and ids are checked where they are evaluated.

    >>> predictions_from_arrays([[[10, 20], [float("nan"), float("nan")]]]).keypoints.tolist()
    [[[10.0, 20.0, 1.0], [nan, nan, nan]]]
    """
    as_array = partial(_array, wrong=_wrong_upload)
    points = as_array(keypoints, "keypoints", "f", (None, None, None))
    rows, joints, numbers = points.shape
    if numbers not in (2, 3):
        raise _wrong_upload(f"keypoints have the shape {list(points.shape)}", "[N, K, 2] or [N, K, 3]")
    triples = np.ones((rows, joints, 3))
    triples[..., :numbers] = points
    triples[np.isnan(points[..., :2]).all(axis=2)] = np.nan
    images = as_array(np.arange(1, rows + 1) if image_ids is None else image_ids, "image_ids", "i", (rows,))
    persons = as_array(np.zeros(rows, np.int64) if person_ids is None else person_ids, "person_ids", "i", (rows,))
    ranked = as_array(np.ones(rows) if scores is None else scores, "scores", "f", (rows,))
    own = None if limbs is None else as_array(limbs, "limbs", "f", (rows, None, 2, 2))
    arrays = [points, images, persons, ranked, *([] if own is None else [own])]
    return Predictions(images, persons, triples, ranked, own, sha256=_digest(*arrays))


def predictions_of_people(keypoints: NDArray[Any], annotations: Annotations) -> Predictions:
    """The predictions of which row i is for the i-th annotated person, by ascending annotation id; no crowd regions."""
    rows = np.flatnonzero(~annotations.crowd)
    if keypoints.ndim and len(keypoints) != len(rows):
        raise _wrong_upload(
            f"keypoints have the shape {list(keypoints.shape)}", f"a row for each of {len(rows)} people"
        )
    return predictions_from_arrays(
        keypoints,
        image_ids=annotations.image_ids[annotations.image[rows]],
        person_ids=annotations.person_ids[rows],
    )


def check_annotations(annotations: Annotations) -> None:
    """GroundTruthError when the arrays do not fit each other, ids repeat, or what is labelled is not finite."""
    people, joints = annotations.keypoints.shape[:2]
    shapes: dict[str, tuple[int, ...]] = {
        "image": (people,), "ids": (people,), "person_ids": (people,), "keypoints": (people, joints, 2),
        "visibility": (people, joints), "num_keypoints": (people,), "areas": (people,), "boxes": (people, 4),
        "crowd": (people,), "head_sizes": (people,), "torso_boxes": (people, 2), "positions": (people,),
    }  # fmt: skip
    for name, shape in shapes.items():
        if getattr(annotations, name).shape != shape:
            found = list(getattr(annotations, name).shape)
            raise GroundTruthError(f"{name} of the annotations has the shape {found}: expected {list(shape)}")
    for name in ("image_ids", "ids"):
        if (np.diff(getattr(annotations, name)) <= 0).any():
            raise GroundTruthError(f"{name} of the annotations do not ascend, or one appears twice")
    if people and not 0 <= annotations.image.min() <= annotations.image.max() < len(annotations.image_ids):
        raise GroundTruthError("image of the annotations points outside image_ids")
    points = annotations.keypoints if annotations.keypoints_3d is None else annotations.keypoints_3d
    if points.shape[:2] != (people, joints):
        raise GroundTruthError(
            f"keypoints_3d of the annotations has the shape {list(points.shape)}: expected [P, K, 3]"
        )
    wrong = (annotations.visibility > 0) & ~np.isfinite(points).all(axis=2)
    if wrong.any():
        first = annotations.ids[wrong.any(axis=1)][0]
        raise GroundTruthError(f"annotation {first}: a labelled joint is not finite")
    for name in ("areas", "boxes", "head_sizes", "torso_boxes"):
        values = getattr(annotations, name).reshape(people, -1)
        bad = np.isinf(values).any(axis=1) | ((values < 0).any(axis=1) & (name != "boxes"))
        if bad.any():
            raise GroundTruthError(f"annotation {annotations.ids[bad][0]}: {name} is infinite or negative")


def _array(
    values: ArrayLike, name: str, kind: str, shape: tuple[int | None, ...], *, wrong: Callable[[str, str], ValueError]
) -> NDArray[Any]:
    """An array of a kind of `KINDS` and a shape, None where any length will do; raises what `wrong` makes."""
    kinds, becomes, words = KINDS[kind]
    expected = f"{words} of the shape {[*('any' if length is None else length for length in shape)]}"
    try:
        found = np.asarray(values)
    except ValueError:
        raise wrong(f"{name} are not an array", expected) from None
    if found.size == 0 and found.ndim == 1:  # an empty list has no type
        found = found.reshape([0 if length is None else length for length in shape]).astype(becomes)
    if found.ndim != len(shape) or any(n is not None and n != m for n, m in zip(shape, found.shape, strict=True)):
        raise wrong(f"{name} have the shape {list(found.shape)}", expected)
    if found.dtype.kind not in kinds or (
        found.dtype.kind == "u" and kind == "i" and (found > np.int64(2**63 - 1)).any()
    ):
        raise wrong(f"{name} are of the type {found.dtype}", expected)
    return found.astype(becomes)


def _wrong_truth(message: str, expected: str) -> GroundTruthError:
    return GroundTruthError(f"{message}: expected {expected}")


def _wrong_upload(message: str, expected: str) -> PredictionError:
    code = "wrong_type" if " are of the type " in message else "wrong_count"
    return PredictionError([Problem(code, None, "", message, expected)])


def _digest(*arrays: NDArray[Any]) -> str:
    """sha256 of arrays: their shapes and their numbers, as little-endian bytes."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(f"{array.dtype.str[1:]} {array.shape};".encode())
        found.update(np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes())
    return found.hexdigest()
