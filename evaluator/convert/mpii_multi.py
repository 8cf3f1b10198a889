"""MPII Human Pose, multi-person (Pishchulin et al., DeepCut, CVPR 2016). Official files count pixels from 1.

Accepted: `mpii_human_pose_v1_u12_1.mat`, the RELEASE structure, with `groups_v12.mat` of the evaluation toolkit (in the
same folder, or named by `--with`); and predictions as `pred_keypoints_mpii_multi.mat`, the toolkit's structure `pred`.

An image of the one JSON form is a group: the groups of the split, counted from 1 in the order of the images and of the
groups in each, which is the order of `pred`. The groups of one photograph have its file name and are one `group` for
resampling.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from evaluator.convert import coco
from evaluator.convert.errors import ConversionError
from evaluator.convert.json_form import looks_like_json, number
from evaluator.convert.layout import numbers, reject_infinite
from evaluator.convert.mpii import document_of
from evaluator.convert.reading import read_mpii_groups, read_mpii_poses

SPLITS = ("train", "test")


def truth(path: Path, *, dataset: str, split: str | None, companion: Path | None) -> dict[str, Any]:
    """The annotated people of the split's groups; `train` when not given, since only the authors have those of test."""
    if looks_like_json(path):
        return coco.truth(path, dataset=dataset, split=split, companion=companion)
    if split not in (None, *SPLITS):
        raise ConversionError(f"{path.name} has the splits train and test, not {split!r}")
    beside = companion or path.with_name("groups_v12.mat")
    if not beside.is_file():
        raise ConversionError(
            f"the groups of people are in {beside.name}, which is not in the folder of {path.name}; "
            "name it with --with FILE"
        )
    file = read_mpii_groups(path, beside)
    arrays = file.arrays
    train = split != "test"
    member = arrays["group:train"][arrays["group:image"] - 1] == train
    of_group = np.stack([arrays[f"group:{key}"][member] for key in ("image", "group", "rectangle")], axis=1)
    every, image_ids = np.unique(of_group[:, :2], axis=0, return_inverse=True)
    rows = {
        key: row for row, key in enumerate(zip(arrays["images"].tolist(), arrays["rectangles"].tolist(), strict=True))
    }
    chosen: list[int] = []
    places: list[int] = []
    for (image, _, rectangle), image_id in zip(of_group.tolist(), image_ids.reshape(-1).tolist(), strict=True):
        if (image, rectangle) in rows:
            chosen.append(rows[image, rectangle])
            places.append(image_id + 1)
    if not chosen:
        raise ConversionError(f"{path.name}: the groups of {'train' if train else 'test'} contain no annotated people")
    document = document_of(file, dataset, split or "train", np.array(chosen), places)
    names = arrays["group:name"]
    document["images"] = [
        {"id": number, "file_name": str(names[image - 1]), "group": str(names[image - 1])}
        for number, image in enumerate(every[:, 0].tolist(), start=1)
    ]
    return document


def predictions(
    path: Path, *, dataset: str, limbs: Path | None, split: str | None, truth: dict[str, Any] | None
) -> list[dict[str, Any]]:
    """Element i of `pred` is image i. An entry's score is the mean of its joints' scores."""
    if limbs is not None:
        raise ConversionError("MPII has no official stick file")
    if looks_like_json(path):
        return coco.predictions(path, dataset=dataset, limbs=limbs, split=split, truth=truth)
    file = read_mpii_poses(path)
    poses = numbers(file, "pred", file.arrays["points"])
    reject_infinite(file, "pred", poses)
    poses[:, :, :2] -= 1
    entries = []
    for group, pose in zip(file.arrays["groups"].tolist(), poses, strict=True):
        missing = np.isnan(pose).any(axis=1)
        keypoints: list[float | int | None] = []
        for joint, lacking in zip(pose.tolist(), missing.tolist(), strict=True):
            keypoints += [None] * 3 if lacking else [number(value) for value in joint]
        if not missing.all():
            score = float(pose[~missing, 2].mean())
            entries.append({"image_id": int(group), "keypoints": keypoints, "score": number(score)})
    return entries
