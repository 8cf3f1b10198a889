"""Human3.6M (Ionescu et al., TPAMI 2014): poses in space as arrays.

Its own files (CDF) need the authors' licence and tools, and are exchanged as arrays. Annotations: a .npz, .mat or
.h5 file with `keypoints_3d` N x 17 x 3 in millimetres, and for each pose its `action` (a name, or the number of
human36m.toml) and optionally `group` (its video), `image_id`, `person_id`, `file_name`. Predictions: N x 17 x 3 in
the same order, .npy or any of these. Joints in the order of human36m.toml, which is the usual one of 17.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evaluator.convert import coco, in_space
from evaluator.convert.json_form import looks_like_json


def truth(path: Path, *, dataset: str, split: str | None, companion: Path | None) -> dict[str, Any]:
    """The poses of a file of arrays; a joint that is NaN is not annotated."""
    if _is_json(path):
        return coco.truth(path, dataset=dataset, split=split, companion=companion)
    file = in_space.read(path)
    poses = in_space.points(file, dataset)
    names = in_space.labels(file, "file_name", len(poses))
    return in_space.document(
        dataset,
        split or "test",
        poses,
        in_space.action_names(file, dataset, in_space.labels(file, "action", len(poses))),
        image_ids=in_space.whole(file, "image_id", len(poses)),
        person_ids=in_space.whole(file, "person_id", len(poses)),
        groups=in_space.labels(file, "group", len(poses)),
        file_names=None if names is None else list(map(str, names)),
    )


def predictions(
    path: Path, *, dataset: str, limbs: Path | None, split: str | None, truth: dict[str, Any] | None
) -> list[dict[str, Any]]:
    """The poses of a file of arrays, in the order of the images or of the annotations of `truth`."""
    in_space.no_sticks(limbs)
    if _is_json(path):
        return coco.predictions(path, dataset=dataset, limbs=limbs, split=split, truth=truth)
    return in_space.entries(path, in_space.points(in_space.read(path), dataset), truth)


def _is_json(path: Path) -> bool:
    return path.suffix != ".npz" and looks_like_json(path)  # both may be zip files
