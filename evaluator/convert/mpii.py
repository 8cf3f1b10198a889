"""MPII Human Pose (Andriluka et al., CVPR 2014), single-person. Official files count pixels from 1, our form from 0.

Accepted, recognised by their content:

- .h5 with `part` [N, 16, 2], `visible` [N, 16], `normalize` [N] (0.6 x head box diagonal) and, if there, `center`,
  `scale`, `imgname`: the files that came with Stacked Hourglass (Newell et al., ECCV 2016). (0, 0): not annotated.
- `gt_valid.mat` (`pos_gt_src` 16x2xN, `jnt_missing` 16xN, `headboxes_src` 2x2xN), with `valid.json` for names and
  boxes, in the layout that came with HRNet (Sun et al., CVPR 2019); name either; the other is looked for next to it.
- `mpii_human_pose_v1_u12_1.mat`, the official RELEASE structure.

In the first two row i is image i, person 0, also where two people share a photograph. RELEASE knows images: annolist(i)
is image i, and those of its people who are marked as single are its persons 0, 1, ..., in the order of the structure.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluator.convert import coco
from evaluator.convert.errors import ConversionError
from evaluator.convert.json_form import (
    People,
    annotation_document,
    joints_box,
    looks_like_json,
    prediction_entries,
    read_json,
    rows_of,
)
from evaluator.convert.layout import numbers, oriented, reject_infinite, reject_unfinite
from evaluator.convert.reading import OfficialFile, read_arrays, read_mpii_release

JOINTS = 16
HEAD_BIAS = 0.6  # head size = 0.6 x diagonal of the head box: SC_BIAS of the official toolkit
PERSON_HEIGHT = 200  # `scale` is the height of the person in units of 200 px


def truth(path: Path, *, dataset: str, split: str | None, companion: Path | None) -> dict[str, Any]:
    """Any of the official annotation files (see above) -> annotations with `head_size`, counted from 0."""
    if looks_like_json(path):
        document = read_json(path)
        if isinstance(document, dict):
            return coco.truth(path, dataset=dataset, split=split, companion=companion)
        boxes = companion or path.with_name("gt_" + path.name.removesuffix(".gz").removesuffix(".json") + ".mat")
        if not boxes.is_file():
            raise ConversionError(
                f"{path.name} has no head boxes: they are in {boxes.name}, which is not in the same folder; "
                "name it with --with FILE"
            )
        return _head_box_file(read_arrays(boxes), _valid_json(path, document), dataset, split)
    if path.name.startswith("mpii_human_pose_v1"):  # reading it twice would take half a minute longer
        return _release(path, dataset, split)
    file = read_arrays(path)
    if "RELEASE" in file.structures:
        return _release(path, dataset, split)
    if file.get("part") is not None:
        return _parts(file, dataset, split)
    if file.get("pos_gt_src") is not None:
        names = companion or path.with_name(path.name.removeprefix("gt_").removesuffix(".mat") + ".json")
        people = _valid_json(names, read_json(names)) if names.is_file() and names != path else None
        return _head_box_file(file, people, dataset, split)
    raise ConversionError(
        f"{path.name}: no MPII annotations: expected part, visible and normalize (.h5), pos_gt_src, jnt_missing and "
        "headboxes_src (.mat), or RELEASE (.mat); the file holds "
        + (", ".join(sorted([*file.arrays, *file.structures])) or "nothing readable")
    )


def predictions(
    path: Path, *, dataset: str, limbs: Path | None, split: str | None, truth: dict[str, Any] | None
) -> list[dict[str, Any]]:
    """preds Nx16x2 (.h5 or .mat), or 16x2xN as in the official toolkit; counted from 1 like every official file."""
    if limbs is not None:
        raise ConversionError("MPII has no official stick file")
    if looks_like_json(path):
        return coco.predictions(path, dataset=dataset, limbs=limbs, split=split, truth=truth)
    file = read_arrays(path)
    preds = file.need("preds", "Nx16x2")
    points = _by_person(oriented(file, "preds", preds, [(None, JOINTS, 2), (JOINTS, 2, None)]))
    reject_infinite(file, "preds", points)
    count = len(points)
    rows = rows_of(truth, count, path.name) if truth else [(row, 0) for row in range(1, count + 1)]
    return prediction_entries(points - 1, rows)


def _by_person(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """[N, 16, 2] or [16, 2, N] -> [N, 16, 2]."""
    return points if points.shape[1:] == (JOINTS, 2) else np.ascontiguousarray(points.transpose(2, 0, 1))


def _parts(file: OfficialFile, dataset: str, split: str | None) -> dict[str, Any]:
    part = oriented(file, "part", file.need("part", "Nx16x2"), [(None, JOINTS, 2)])
    count = len(part)
    visible = oriented(file, "visible", file.need("visible", "Nx16"), [(count, JOINTS)])
    head = oriented(file, "normalize", file.need("normalize", "N"), [(count,), (count, 1)]).reshape(count)
    annotated = (part != 0).any(axis=2) | (visible > 0)
    points = np.where(annotated[:, :, None], part, np.nan) - 1
    flags = np.where(annotated, np.where(visible > 0, 2, 1), 0)
    return _document(file, dataset, split or "val", points, flags, head, _people_of(file, count))


def _people_of(file: OfficialFile, count: int) -> dict[str, Any]:
    """Names and person boxes of the .h5 files, where they have them."""
    found: dict[str, Any] = {}
    names = file.get("imgname")
    if names is not None and names.dtype.kind == "U" and names.size == count:
        found["names"] = [str(name) for name in names.reshape(count)]
    center, scale = file.get("center"), file.get("scale")
    if center is not None and scale is not None:
        found["center"] = oriented(file, "center", center, [(count, 2)])
        found["scale"] = oriented(file, "scale", scale, [(count,), (count, 1)]).reshape(count)
    return found


def _head_box_file(
    file: OfficialFile, people: dict[str, Any] | None, dataset: str, split: str | None
) -> dict[str, Any]:
    positions = file.need("pos_gt_src", "16x2xN")
    points = _by_person(oriented(file, "pos_gt_src", positions, [(JOINTS, 2, None), (None, JOINTS, 2)]))
    count = len(points)
    missing = oriented(file, "jnt_missing", file.need("jnt_missing", "16xN"), [(JOINTS, count)]).T > 0
    boxes = oriented(file, "headboxes_src", file.need("headboxes_src", "2x2xN"), [(2, 2, count)])
    head = HEAD_BIAS * np.linalg.norm(boxes[1] - boxes[0], axis=0)
    people = people or {}
    if people and len(people["names"]) != count:
        raise ConversionError(
            f"{file.path.name} has {count} people, but the .json next to it has {len(people['names'])}"
        )
    visible = people.get("visible", np.ones((count, JOINTS)))
    flags = np.where(missing, 0, np.where(visible > 0, 2, 1))
    points = np.where(missing[:, :, None], np.nan, points) - 1
    return _document(file, dataset, split or "val", points, flags, head, people)


def _valid_json(path: Path, document: Any) -> dict[str, Any]:
    """Names, visibility flags, centres and scales of a list of {image, joints_vis, center, scale}."""
    try:
        found: dict[str, Any] = {
            "names": [str(person["image"]) for person in document],
            "visible": np.array([person["joints_vis"] for person in document], dtype=np.float64),
            "center": np.array([person["center"] for person in document], dtype=np.float64),
            "scale": np.array([person["scale"] for person in document], dtype=np.float64),
        }
    except (KeyError, TypeError, ValueError) as error:
        raise ConversionError(
            f"{path.name}: expected a list of people with image, joints_vis, center and scale ({error!r})"
        ) from None
    count = len(document)
    if not count or found["visible"].shape != (count, JOINTS) or found["center"].shape != (count, 2):
        raise ConversionError(f"{path.name}: expected 16 joints_vis and a center of two numbers for every person")
    return found


def _release(path: Path, dataset: str, split: str | None) -> dict[str, Any]:
    if split not in (None, "train"):
        raise ConversionError(f"{path.name} holds the annotations of the split 'train' only, not of {split!r}")
    file = read_mpii_release(path)
    images = file.arrays["images"].astype(np.int64)
    return document_of(file, dataset, "train", np.arange(len(images)), images.tolist())


def document_of(
    file: OfficialFile, dataset: str, split: str, rows: NDArray[np.int64], image_ids: list[int]
) -> dict[str, Any]:
    """The document of those rows of a RELEASE structure's people, on the images of `image_ids`, persons 0.. in each."""
    arrays = {name: values[rows] for name, values in file.arrays.items() if ":" not in name}
    persons = np.arange(len(rows)) - np.searchsorted(image_ids, image_ids)  # ids ascend
    points = numbers(file, "point", arrays["points"])
    flags = arrays["flags"].astype(np.int64)
    corners = numbers(file, "head box", arrays["head_boxes"])
    head = HEAD_BIAS * np.linalg.norm(corners[:, 2:] - corners[:, :2], axis=1)
    found = {
        "names": [str(name) for name in arrays["names"]],
        "center": arrays["center"],
        "scale": arrays["scale"],
        "image_ids": image_ids,
        "person_ids": persons.tolist(),
        "ridx": [int(each) for each in arrays["rectangles"]],
    }
    return _document(file, dataset, split, np.where(flags[:, :, None] > 0, points, np.nan) - 1, flags, head, found)


def _document(
    file: OfficialFile,
    dataset: str,
    split: str,
    points: NDArray[np.float64],
    flags: NDArray[np.int64],
    head: NDArray[np.float64],
    people: dict[str, Any],
) -> dict[str, Any]:
    count = len(points)
    reject_unfinite(file, "annotated joint", points[flags > 0])
    reject_infinite(file, "annotated joint", points)
    reject_unfinite(file, "head size", head)
    if (head <= 0).any():
        raise ConversionError(f"{file.path.name}: person {int(np.argmax(head <= 0)) + 1} has an empty head box")
    extra: dict[str, Any] = {"head_size": [float(size) for size in head]}
    if "ridx" in people:
        extra["ridx"] = people["ridx"]
    return annotation_document(
        dataset,
        split,
        People(
            points=points,
            flags=flags.astype(np.int64),
            boxes=_person_boxes(points, flags, people),
            image_ids=people.get("image_ids", range(1, count + 1)),
            person_ids=people.get("person_ids", [0] * count),
            file_names=people.get("names"),
            extra=extra,
        ),
    )


def _person_boxes(points: NDArray[np.float64], flags: NDArray[np.int64], people: dict[str, Any]) -> NDArray[np.float64]:
    """The square of side 200 x scale around the given centre, which MPII gives for all; otherwise the joints' box."""
    if "center" not in people:
        return joints_box(points, flags)
    side = PERSON_HEIGHT * np.asarray(people["scale"], dtype=np.float64)[:, None]
    boxes = np.concatenate([people["center"] - 1 - side / 2, side, side], axis=1)
    return np.where(np.isfinite(boxes).all(axis=1, keepdims=True) & (side > 0), boxes, joints_box(points, flags))
