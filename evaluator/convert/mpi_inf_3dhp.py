"""MPI-INF-3DHP (Mehta et al., 3DV 2017), its test set: TS1/annot_data.mat to TS6/annot_data.mat.

Each has univ_annot3 3x17x1xN in millimetres (the poses that the authors' evaluation uses), valid_frame and
activity_annotation, N numbers. Name one: the others (`../TS2/annot_data.mat`) are read too. The valid frames of
all, in order, are images 1, 2, ...
Predictions: what research code passes to the authors' script, TS1 .. TS6 of 3x17x1xT valid frames in one .mat file; or
one array N x 17 x 3 of all. Annotations as arrays like those of Human3.6M are read too.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from evaluator.convert import coco, human36m, in_space
from evaluator.convert.errors import ConversionError
from evaluator.convert.json_form import looks_like_json
from evaluator.convert.layout import numbers

FOLDER = re.compile(r"TS(\d+)\Z")
POSES = "univ_annot3"


def truth(path: Path, *, dataset: str, split: str | None, companion: Path | None) -> dict[str, Any]:
    """The valid frames of the sequences; each is a group, so that intervals resample whole videos."""
    if path.suffix == ".npz" or looks_like_json(path):
        return human36m.truth(path, dataset=dataset, split=split, companion=companion)
    poses, activities, groups, names = [], [], [], []
    for sequence, each in _sequences(path):
        file = in_space.read(each)
        if POSES not in file.arrays and "keypoints_3d" in file.arrays:
            return human36m.truth(path, dataset=dataset, split=split, companion=companion)
        found = in_space.points(file, dataset, POSES)
        columns = [
            numbers(file, name, file.need(name, f"{len(found)} numbers")).ravel()
            for name in ("valid_frame", "activity_annotation")
        ]
        if any(len(column) != len(found) for column in columns):
            sizes = " and ".join(str(len(column)) for column in columns)
            raise ConversionError(
                f"{each}: {len(found)} poses, but {sizes} values of valid_frame and activity_annotation"
            )
        frames = np.flatnonzero(columns[0] == 1)
        poses.append(found[frames])
        activities += in_space.action_names(file, dataset, columns[1][frames].tolist())
        groups += [sequence] * len(frames)
        names += [f"{sequence}/imageSequence/img_{frame + 1:06d}.jpg" for frame in frames.tolist()]
    together = np.concatenate(poses)
    if not len(together):
        raise ConversionError(f"{path.name}: no valid frames")
    return in_space.document(dataset, split or "test", together, activities, groups=groups, file_names=names)


def predictions(
    path: Path, *, dataset: str, limbs: Path | None, split: str | None, truth: dict[str, Any] | None
) -> list[dict[str, Any]]:
    """TS1 .. TS6 one after the other, or one array of all valid frames."""
    in_space.no_sticks(limbs)
    if path.suffix != ".npz" and looks_like_json(path):
        return coco.predictions(path, dataset=dataset, limbs=limbs, split=split, truth=truth)
    file = in_space.read(path)
    sequences = sorted((name for name in file.arrays if FOLDER.match(name)), key=lambda name: int(name[2:]))
    found = [in_space.points(file, dataset, name) for name in sequences] or [in_space.points(file, dataset)]
    return in_space.entries(path, np.concatenate(found), truth)


def _sequences(path: Path) -> list[tuple[str, Path]]:
    """(name, file) of this sequence and its neighbours, in order; of this one alone if its folder is not named so."""
    path = path.resolve()
    if not FOLDER.match(path.parent.name):
        return [(path.stem, path)]
    beside = [
        (int(found[1]), folder)
        for folder in path.parent.parent.iterdir()
        if (found := FOLDER.match(folder.name)) and (folder / path.name).is_file()
    ]
    return [(folder.name, folder / path.name) for _, folder in sorted(beside)]
