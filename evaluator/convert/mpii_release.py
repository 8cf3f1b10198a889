"""MPII's official RELEASE structure (mpii_human_pose_v1_u12_1.mat) and what goes with it -> flat arrays.

The structure, as its README has it: `annolist(i).image.name`; `annolist(i).annorect(r)` with the head box x1 y1 x2 y2,
`scale`, `objpos` and `annopoints.point(p)` with x, y, id (0..15) and is_visible; `img_train(i)`; `single_person{i}`:
the r of the people who are clearly separated from others. Fields that do not apply are missing or empty: the rectangles
of test images have no head box and no points, and the points of the head (8, 9) no is_visible.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

JOINTS = 16


def people(release: Any, *, single_only: bool) -> dict[str, NDArray[np.generic]]:
    """The annotated people who have a head box, all or the single ones of the training images, in the order of the
    structure, counted from 1 as it counts.

    `release` is what scipy reads with struct_as_record=False, squeeze_me=True. Returns `points` [N, 16, 2], `flags`
    [N, 16] (0, 1 occluded, 2 visible), `head_boxes` [N, 4] (x1, y1, x2, y2), `center` [N, 2], `scale` [N], `names`
    [N], `images` [N] (index in annolist, from 1), `rectangles` [N] (index in annorect, from 1); both ascend.
    """
    fields = ("points", "flags", "head_boxes", "center", "scale", "names", "images", "rectangles")
    rows: dict[str, list[Any]] = {name: [] for name in fields}
    annolist, train = _list(release.annolist), _list(release.img_train)
    singles = _list(release.single_person)
    if len(train) != len(annolist) or len(singles) != len(annolist):
        raise ValueError(f"RELEASE has {len(annolist)} annolist, {len(train)} img_train, {len(singles)} single_person")
    for index, (entry, is_train, single) in enumerate(zip(annolist, train, singles, strict=True), start=1):
        alone = {int(each) for each in _list(single)} if int(is_train) else set()
        for number, rectangle in enumerate(_list(getattr(entry, "annorect", None)), start=1):
            if single_only and number not in alone:
                continue
            points = _list(getattr(getattr(rectangle, "annopoints", None), "point", None))
            box = [_float(rectangle, corner) for corner in ("x1", "y1", "x2", "y2")]
            if not points or np.isnan(box).any():
                continue
            coordinates, flags = _joints(points)
            place = getattr(rectangle, "objpos", None)
            for name, value in (
                ("points", coordinates),
                ("flags", flags),
                ("head_boxes", box),
                ("center", [_float(place, "x"), _float(place, "y")]),
                ("scale", _float(rectangle, "scale")),
                ("names", str(entry.image.name)),
                ("images", index),
                ("rectangles", number),
            ):
                rows[name].append(value)
    if not rows["names"]:
        raise ValueError(f"RELEASE has no annotated {'single person in a training image' if single_only else 'person'}")
    return {name: np.array(values) for name, values in rows.items()}


def groups(release: Any, cells: Any) -> dict[str, NDArray[np.generic]]:
    """The official groups of people who are close together, as rows (image, group in it, rectangle), counted from 1.

    `cells` is the variable `groups` as scipy reads it without squeezing: a cell for each image, which holds a cell of
    lists of rectangles. Groups in which anybody is marked as single are left out, as in the toolkit. Returns
    `image`, `group`, `rectangle` [N], and of the images `train`, bool, and `name`.
    """
    train, singles = _list(release.img_train), _list(release.single_person)
    per_image = list(np.asarray(cells, dtype=object).flat)
    if len(per_image) != len(train):
        raise ValueError(f"groups are for {len(per_image)} images, but RELEASE has {len(train)}")
    rows: list[tuple[int, int, int]] = []
    for index, (cell, single) in enumerate(zip(per_image, singles, strict=True), start=1):
        alone = {int(each) for each in _list(single)}
        number = 0
        for members in cell.flat if isinstance(cell, np.ndarray) and cell.dtype == object else [cell]:
            rectangles = [int(each) for each in np.asarray(members).flat]
            if rectangles and alone.isdisjoint(rectangles):
                number += 1
                rows += [(index, number, rectangle) for rectangle in rectangles]
    found = np.array(rows, dtype=np.int64).reshape(-1, 3)
    return {
        "image": found[:, 0],
        "group": found[:, 1],
        "rectangle": found[:, 2],
        "train": np.array([bool(int(each)) for each in train]),
        "name": np.array([str(entry.image.name) for entry in _list(release.annolist)]),
    }


def poses(pred: Any) -> dict[str, NDArray[np.generic]]:
    """Predictions in the toolkit's structure, one element per group: `groups` [N] (from 1), `points` [N, 16, 3] with
    the score of each joint, NaN where there is none.
    """
    numbers, points = [], []
    for number, element in enumerate(_list(pred), start=1):
        for rectangle in _list(getattr(element, "annorect", None)):
            found = np.full((JOINTS, 3), np.nan)
            for point in _list(getattr(getattr(rectangle, "annopoints", None), "point", None)):
                joint = int(point.id)
                if not 0 <= joint < JOINTS:
                    raise ValueError(f"a point has the id {joint}; ids are 0..15")
                score = _float(point, "score")
                if np.isnan(score):
                    raise ValueError(f"a point of group {number} has no score, by which joints are ranked")
                found[joint] = _float(point, "x"), _float(point, "y"), score
            if not np.isnan(found).all():
                numbers.append(number)
                points.append(found)
    return {
        "groups": np.array(numbers, dtype=np.int64),
        "points": np.array(points, dtype=np.float64).reshape(-1, JOINTS, 3),
    }


def _joints(points: list[Any]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    coordinates, flags = np.full((JOINTS, 2), np.nan), np.zeros(JOINTS, dtype=np.int64)
    for point in points:
        joint = int(point.id)
        if not 0 <= joint < JOINTS:
            raise ValueError(f"a point of RELEASE has the id {joint}; ids are 0..15")
        coordinates[joint] = _float(point, "x"), _float(point, "y")
        flags[joint] = 2 if _visible(getattr(point, "is_visible", None)) else 1
    return coordinates, flags


def _visible(value: Any) -> bool:
    """A number, a text '0' or '1', or nothing for joints that are always visible."""
    if isinstance(value, np.ndarray):
        value = value.item() if value.size == 1 else None
    return value is None or value == "" or int(value) != 0


def _float(structure: Any, field: str) -> float:
    value = np.asarray(getattr(structure, field, np.nan), dtype=np.float64)
    return float(value.flat[0]) if value.size else float("nan")


def _list(value: Any) -> list[Any]:
    """A squeezed structure array: nothing, one thing, or an array of things."""
    if value is None:
        return []
    return list(value.flat) if isinstance(value, np.ndarray) else [value]
