"""Poses in space from arrays: what Human3.6M and MPI-INF-3DHP share.

NumPy files (.npy, .npz without pickled objects) and MATLAB or HDF5 files with an array of N x K x 3 millimetres, or in
MATLAB's order 3 x K x N. Row i, counted from 1, is image i, person 0, in annotations and predictions alike.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluator import load_dataset
from evaluator.convert import json_form
from evaluator.convert.errors import ConversionError
from evaluator.convert.json_form import number, rows_of
from evaluator.convert.layout import numbers, oriented
from evaluator.convert.reading import OfficialFile, read_arrays
from evaluator.reading.upload_rules import LARGEST

POINTS = ("keypoints_3d", "pred", "preds", "predictions")
SMALLEST_POSE = 100.0  # millimetres: every person is larger than this, and in metres the number is smaller

Floats = NDArray[np.float64]


def read(path: Path) -> OfficialFile:
    """The arrays of a NumPy, MATLAB or HDF5 file; the one array of a .npy file is called `keypoints_3d`."""
    with path.open("rb") as file:
        head = file.read(6)
    if not head.startswith((b"PK\x03\x04", b"\x93NUMPY")):
        return read_arrays(path)
    try:
        loaded: Any = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return OfficialFile(path, {POINTS[0]: loaded})
        with loaded:
            arrays = {name: loaded[name] for name in loaded.files}
        return OfficialFile(path, {name: each for name, each in arrays.items() if isinstance(each, np.ndarray)})
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, MemoryError) as error:
        raise ConversionError(
            f"{path.name}: not a whole NumPy file of plain arrays ({error}); pickled objects are not read"
        ) from None


def points(file: OfficialFile, dataset: str, name: str | None = None) -> Floats:
    """The array of poses as [N, K, 3]: the array of this name, of a usual name, or the only one in the file."""
    joints = len(load_dataset(dataset).joints)
    known = [each for each in POINTS if each in file.arrays]
    name = name or (known[0] if known else next(iter(file.arrays)) if len(file.arrays) == 1 else POINTS[0])
    array = file.need(name, f"Nx{joints}x3 in millimetres")
    if array.ndim == 4 and array.shape[2] == 1:  # 3 x K x 1 x N, MATLAB's order
        array = array[:, :, 0].transpose()
    elif array.ndim == 4 and array.shape[1] == 1:  # N x 1 x K x 3
        array = array[:, 0]
    found = oriented(file, name, array, [(None, joints, 3)])
    where = f"{file.path.name}: {name}"
    wrong = np.argwhere(np.abs(np.nan_to_num(found, nan=0.0, posinf=np.inf, neginf=-np.inf)) > LARGEST)
    if len(wrong):
        row, joint, axis = (int(index) for index in wrong[0])
        raise ConversionError(
            f"{where}: row {row + 1}, joint {joint + 1}: {'xyz'[axis]} is {found[row, joint, axis]}; "
            f"expected finite millimetres of magnitude up to {LARGEST:.0f}"
        )
    _check_size(found, where)
    return found


def _check_size(found: Floats, where: str) -> None:
    """ConversionError for poses that can only be in metres."""
    known = ~np.isnan(found)
    low = np.where(known, found, np.inf).min(axis=1)
    high = np.where(known, found, -np.inf).max(axis=1)
    size = np.median((high - low).max(axis=1))
    if 0 < size < SMALLEST_POSE:
        raise ConversionError(
            f"{where}: the largest extent of a pose is {size:.3g}; expected millimetres (multiply metres by 1000)"
        )


def labels(file: OfficialFile, name: str, count: int) -> list[Any] | None:
    """One value per row from an optional array of a file; ConversionError when there are more or fewer."""
    if name not in file.arrays:
        return None
    values: list[Any] = file.arrays[name].ravel().tolist()
    if len(values) != count:
        raise ConversionError(f"{file.path.name}: {name} has {len(values)} values for {count} poses")
    return values


def whole(file: OfficialFile, name: str, count: int) -> list[int] | None:
    """`labels` that are whole numbers."""
    if name not in file.arrays:
        return None
    values = numbers(file, name, file.arrays[name])
    if not (values == np.floor(values)).all():
        raise ConversionError(f"{file.path.name}: {name} holds numbers that are not whole")
    return labels(OfficialFile(file.path, {name: values.astype(np.int64)}), name, count)


def action_names(file: OfficialFile, dataset: str, given: Sequence[Any] | None) -> list[str]:
    """The dataset's action of each row, from its name (`Walking 1` is walking) or its number, counted from 1."""
    actions = load_dataset(dataset).actions
    if given is None:
        raise ConversionError(f"{file.path.name}: no action for each pose; expected one of {', '.join(actions)}")
    usual = {action.replace("_", ""): action for action in actions} | OTHER_NAMES
    found = []
    for row, value in enumerate(given, 1):
        key = "".join(letter for letter in str(value).lower() if letter.isalpha())
        if isinstance(value, int | float) and value in range(1, len(actions) + 1):
            found.append(actions[int(value) - 1])
        elif key in usual and usual[key] in actions:
            found.append(usual[key])
        else:
            raise ConversionError(f"{file.path.name}: row {row}: no action {value!r}; there are {', '.join(actions)}")
    return found


# What Human3.6M's own folders are called instead.
OTHER_NAMES = {"takingphoto": "photo", "walkingdog": "walk_dog", "walktogether": "walk_together"}


def document(
    dataset: str,
    split: str,
    poses: Floats,
    actions: Sequence[str],
    *,
    image_ids: Sequence[int] | None = None,
    person_ids: Sequence[int] | None = None,
    groups: Sequence[Any] | None = None,
    file_names: Sequence[str] | None = None,
) -> dict[str, Any]:
    """The annotation JSON of poses [N, K, 3], NaN where not annotated. `groups`: the video of each, drawn as one."""
    images: dict[int, dict[str, Any]] = {}
    annotations = []
    for row, pose in enumerate(poses.tolist()):
        image_id = row + 1 if image_ids is None else image_ids[row]
        image: dict[str, Any] = {"id": image_id}
        if file_names is not None:
            image["file_name"] = file_names[row]
        if groups is not None:
            image["group"] = groups[row]
        images.setdefault(image_id, image)
        annotations.append(
            {
                "id": row + 1,
                "image_id": image_id,
                "person_id": 0 if person_ids is None else person_ids[row],
                "category_id": 1,
                "keypoints_3d": [v for point in pose for v in ([None] * 3 if _missing(point) else map(number, point))],
                "action": actions[row],
                "iscrowd": 0,
            }
        )
    return json_form.document(dataset, split, list(images.values()), annotations)


def _missing(point: Sequence[float]) -> bool:
    return any(value != value for value in point)


def entries(path: Path, poses: Floats, truth: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The prediction JSON of poses [N, K, 3]; ConversionError for a missing joint."""
    lost = np.argwhere(np.isnan(poses).any(axis=2))
    if len(lost):
        row, joint = lost[0] + 1
        raise ConversionError(f"{path.name}: row {row}, joint {joint} is missing: every joint needs a position")
    rows = rows_of(truth, len(poses), path.name) if truth else [(image, 0) for image in range(1, len(poses) + 1)]
    return [
        {"image_id": image, "person_id": person, "keypoints_3d": [number(v) for point in pose for v in point]}
        for (image, person), pose in zip(rows, poses.tolist(), strict=True)
    ]


def no_sticks(limbs: Path | None) -> None:
    if limbs is not None:
        raise ConversionError("3D poses have no stick file")
