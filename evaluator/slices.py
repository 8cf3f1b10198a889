"""People by what makes them hard: size, occlusion, visible joints, crowding; and what a hidden split may show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from evaluator.dataset import Dataset
from evaluator.poses import Annotations, Floats

FEWEST_PEOPLE = 50  # in a slice of a hidden split that is shown

SMALL, LARGE = 32.0**2, 96.0**2  # COCO's bounds, square pixels
OCCLUSION = ("none", "up to a quarter", "up to half", "more than half")
# Li et al., CrowdPose, CVPR 2019: the bounds of easy, medium and hard
CROWDING = (0.1, 0.8)


@dataclass(frozen=True, eq=False)
class Grouping:
    """One way to group the people of a split: which of `names` each belongs to."""

    by: str  # "size", "occlusion", "visible_joints", "crowding"
    names: tuple[str, ...]
    member: NDArray[np.int64]  # [P], an index into `names`


def groupings(annotations: Annotations, dataset: Dataset, areas: Floats | None) -> tuple[Grouping, ...]:
    """The four groupings. areas [P], square pixels: those of OKS; None: thirds by the box of the annotated joints."""
    known = (annotations.visibility > 0) & dataset.scored
    hidden = (annotations.visibility == 1) & dataset.scored
    visible = (annotations.visibility == 2) & dataset.scored
    share = hidden.sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    occlusion = np.where(share == 0, 0, np.searchsorted([0.25, 0.5], share, side="left") + 1)
    joints = int(dataset.scored.sum())
    ends = [joints * quarter // 4 for quarter in (1, 2, 3, 4)]
    names = tuple(f"{low} to {high}" for low, high in zip((0, *(end + 1 for end in ends)), ends, strict=False))
    return (
        _by_size(annotations, areas),
        Grouping("occlusion", OCCLUSION, occlusion.astype(np.int64)),
        Grouping("visible_joints", names, np.searchsorted(ends, visible.sum(axis=1), side="left")),
        Grouping(
            "crowding",
            (f"up to {CROWDING[0]}", f"up to {CROWDING[1]}", f"above {CROWDING[1]}"),
            np.searchsorted(CROWDING, crowding(annotations), side="left"),
        ),
    )


def _by_size(annotations: Annotations, areas: Floats | None) -> Grouping:
    if areas is not None:
        member = (areas >= SMALL).astype(np.int64) + (areas > LARGE)
        return Grouping("size", ("under 32 x 32", "32 x 32 to 96 x 96", "above 96 x 96"), member)
    boxes = joint_boxes(annotations)
    sizes = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    of_people = np.sort(sizes[annotations.people])
    thirds = of_people[[len(of_people) // 3, 2 * len(of_people) // 3]] if len(of_people) else np.zeros(2)
    names = ("smallest third", "middle third", "largest third")
    return Grouping("size", names, np.searchsorted(thirds, sizes, side="right"))


def joint_boxes(annotations: Annotations) -> Floats:
    """[P, 4] left, top, right, bottom of the annotated joints; a person without any has an empty box at the origin."""
    known = np.greater(annotations.visibility, 0)[:, :, np.newaxis]
    low = np.where(known, annotations.keypoints, np.inf).min(axis=1, initial=np.inf)
    high = np.where(known, annotations.keypoints, -np.inf).max(axis=1, initial=-np.inf)
    boxes: Floats = np.concatenate([low, high], axis=1)
    boxes[~np.isfinite(boxes).all(axis=1)] = 0.0
    return boxes


def crowding(annotations: Annotations) -> Floats:
    """[P] joints of other people inside a person's box, as a share of the person's own joints in it.

    The ratio that CrowdPose's crowd index averages over an image (Li et al., CVPR 2019, section 4.1). The box is the
    file's, or that of the annotated joints where the file has none; its edges belong to it. Crowd regions do not count.
    """
    given = np.concatenate([annotations.boxes[:, :2], annotations.boxes[:, :2] + annotations.boxes[:, 2:]], axis=1)
    boxes = np.where(np.isfinite(given), given, joint_boxes(annotations))
    people = np.flatnonzero(annotations.people)
    people = people[np.argsort(annotations.image[people], kind="stable")]
    found = np.zeros(len(boxes))
    bounds = np.flatnonzero(np.diff(annotations.image[people], prepend=-1, append=-1))
    for first, last in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        here = people[first:last]
        if len(here) == 1:
            continue
        points = annotations.keypoints[here]  # [n, K, 2], NaN where not annotated
        low, high = boxes[here][:, None, None, :2], boxes[here][:, None, None, 2:]
        with np.errstate(invalid="ignore"):
            inside = ((points >= low) & (points <= high)).all(axis=3).sum(axis=2)  # [box, person whose joints]
        own = np.diagonal(inside)
        found[here] = (inside.sum(axis=1) - own) / np.maximum(own, 1)
    return found


class Sliced(Protocol):
    """What `shown_on_a_hidden_split` needs of a slice."""

    @property
    def by(self) -> str: ...

    @property
    def people(self) -> int: ...


S = TypeVar("S", bound=Sliced)


def shown_on_a_hidden_split(slices: Sequence[S], fewest: int = FEWEST_PEOPLE) -> tuple[S, ...]:
    """The slices that say nothing about fewer than `fewest` people.

    The slices of a grouping add up to everybody, so what is left out can be derived from what is shown: if the slices
    left out contain fewer than `fewest` people together, the smallest of the others is left out too.
    """
    shown: list[S] = []
    for by in dict.fromkeys(each.by for each in slices):
        of_grouping = [each for each in slices if each.by == by]
        large_enough = [each for each in of_grouping if each.people >= fewest]
        left_out = sum(each.people for each in of_grouping) - sum(each.people for each in large_enough)
        while large_enough and 0 < left_out < fewest:
            smallest = min(large_enough, key=lambda each: each.people)
            large_enough.remove(smallest)
            left_out += smallest.people
        shown += large_enough
    return tuple(shown)
