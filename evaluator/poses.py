"""Annotated and predicted people as arrays. Missing is NaN; rows are sorted, so file order never matters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evaluator.digests import DigestField

if TYPE_CHECKING:
    from evaluator.surface.maps import UvMaps
    from evaluator.surface.surface_points import SurfacePoints
    from evaluator.surface.surfaces import Surface

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Annotations:
    """The annotated people of a split: I images, P people in ascending annotation id, K joints, L limbs.

    `keypoints` and `limbs` are in pixels of the dataset's own coordinates, NaN where not annotated. A dataset whose
    entries are not keypoints has another field for them; then all of `keypoints` is NaN.
    """

    image_ids: Integers  # [I], ascending
    image: Integers  # [P], index into image_ids
    ids: Integers  # [P], ascending
    person_ids: Integers  # [P], 0.. in each image
    keypoints: Floats  # [P, K, 2]
    visibility: NDArray[np.int8]  # [P, K]: 0 not annotated, 1 occluded, 2 visible
    num_keypoints: Integers  # [P], the file's own field; how many joints or points are annotated without one
    areas: Floats  # [P], square pixels, NaN where the file gives none
    boxes: Floats  # [P, 4]: x, y, width, height; NaN where the file gives none
    crowd: Booleans  # [P]
    head_sizes: Floats  # [P], pixels: 0.6 x the head box diagonal (MPII), NaN elsewhere
    torso_boxes: Floats  # [P, 2], width and height (FLIC), NaN elsewhere
    limbs: Floats | None = None  # [P, L, 2, 2] true limbs where the file has its own
    keypoints_3d: Floats | None = None  # [P, K, 3] millimetres, NaN where not annotated
    actions: Integers | None = None  # [P], index into the dataset's actions
    surface_points: SurfacePoints | None = None  # DensePose
    surface: Surface | None = None  # what the surface points lie on
    sha256: DigestField = DigestField("")  # noqa: RUF009 - a descriptor
    dataset: str = ""
    split: str = ""
    images: Sequence[Mapping[str, Any]] = ()  # id, file_name, width, height, group; ascending id
    warnings: tuple[str, ...] = field(default=(), repr=False)
    position: Integers | None = None  # [P], place in the file; the order of the rows when not given
    ignore_regions: Mapping[int, tuple[Floats, ...]] = field(default_factory=dict)  # index of image -> polygons [V, 2]

    @property
    def people(self) -> Booleans:
        """[P] bool: who counts as an annotated person (no crowd region, at least one labelled joint)."""
        return np.asarray(~self.crowd & (self.num_keypoints > 0))

    @property
    def positions(self) -> Integers:
        """[P] the place of each person in the file: it decides ties between those who do not count."""
        return np.arange(len(self.ids)) if self.position is None else self.position


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predicted people: N entries in file order, K joints, L limbs. NaN is a missing joint (single-person datasets)."""

    image_ids: Integers  # [N]
    person_ids: Integers  # [N], 0 where the dataset does not name people
    keypoints: Floats  # [N, K, 3]: x, y in pixels, confidence
    scores: Floats  # [N]
    limbs: Floats | None = None  # [N, L, 2, 2] when a file brings its own
    keypoints_3d: Floats | None = None  # [N, K, 3] millimetres, where the dataset asks for them
    uv: UvMaps | None = None  # DensePose
    sha256: DigestField = DigestField("")  # noqa: RUF009 - a descriptor


@dataclass(frozen=True, eq=False)
class Aligned:
    """What was predicted for each annotated person, NaN where nothing was."""

    keypoints: Floats  # [P, K, 2]
    limbs: Floats | None  # [P, L, 2, 2]


def nowhere(people: int, joints: int, numbers: int) -> Floats:
    """[people, joints, numbers] of NaN, which takes no memory: the pixels of joints where a dataset has none."""
    return np.broadcast_to(np.nan, (people, joints, numbers))


def rows_for(annotations: Annotations, predictions: Predictions) -> Integers:
    """[P] the row of the prediction for each annotated person, by image id and person id; -1 where there is none."""
    return _rows_of(
        (predictions.image_ids, predictions.person_ids),
        (annotations.image_ids[annotations.image], annotations.person_ids),
    )


def aligned(annotations: Annotations, predictions: Predictions) -> Aligned:
    """Gives each annotated person the prediction for it, by image id and person id."""
    rows = rows_for(annotations, predictions)
    found = rows >= 0
    keypoints = np.full((len(rows), *annotations.keypoints.shape[1:]), np.nan)
    keypoints[found] = predictions.keypoints[rows[found], :, :2]
    limbs = None
    if predictions.limbs is not None:
        limbs = np.full((len(rows), *predictions.limbs.shape[1:]), np.nan)
        limbs[found] = predictions.limbs[rows[found]]
    return Aligned(keypoints, limbs)


def counted(image: Integers) -> Integers:
    """[P] 0, 1, ... within each image, in the order of the rows."""
    order = np.argsort(image, kind="stable")
    grouped = image[order]
    found = np.empty(len(image), dtype=np.int64)
    found[order] = np.arange(len(image)) - np.searchsorted(grouped, grouped)
    return found


def _rows_of(known: tuple[Integers, Integers], wanted: tuple[Integers, Integers]) -> Integers:
    """The last place in `known` of each pair of image and person that is wanted, -1 for those that are not there."""
    if not len(known[0]):
        return np.full(len(wanted[0]), -1, dtype=np.int64)
    _, image = np.unique(np.concatenate([known[0], wanted[0]]), return_inverse=True)
    people, person = np.unique(np.concatenate([known[1], wanted[1]]), return_inverse=True)
    key = image * len(people) + person  # below the square of the number of rows
    keys, asked = key[: len(known[0])], key[len(known[0]) :]
    order = np.argsort(keys, kind="stable")
    place = np.searchsorted(keys[order], asked, side="right") - 1
    return np.where(keys[order][place] == asked, order[place], -1)
