"""WholeBody AP: OKS average precision and recall of body, feet, face and hands, each on its own, and of all joints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from evaluator.dataset import Dataset
from evaluator.errors import DatasetDefinitionError
from evaluator.metrics import oks
from evaluator.metrics.oks import MatchTally, areas_of, extents_of, matches
from evaluator.poses import Annotations, Floats, Integers, Predictions
from evaluator.tally import Evidence, Score, defined_scores

TITLE = "Average precision and recall by object keypoint similarity, for each part of the whole body"
SOURCE = (
    "COCO-WholeBody (Jin et al., Whole-body human pose estimation in the wild, ECCV 2020), as xtcocotools 1.14.3 "
    "computes it on input without ties"
)
HIGHER_IS_BETTER = True
PARTS = "joints"
SCORES = oks.SCORES
# As for OKS. Besides, the official sigmas of left and right differ, those of the toes by a third, and a part whose
# confidences are all zero counts as not detected, so confidences do more than rank.
INVARIANCES = frozenset({"translation", "perfect", "nobody"})

BODY = "body"  # the part whose extent is the size of a detection, whichever part is scored


@dataclass(frozen=True, eq=False)
class WholeBodyTally:
    """The matches of each part; `averaged` parts are the mean of others, of those that have a score."""

    names: tuple[str, ...]
    tallies: Mapping[str, MatchTally]  # part -> its ten numbers
    averaged: Mapping[str, tuple[str, ...]]
    parts: tuple[str, ...]

    @property
    def columns(self) -> tuple[tuple[str, str], ...]:
        return tuple((name, part) for name in self.names for part in self.parts)

    @property
    def images(self) -> int:
        return self.tallies["all"].images

    def scores(self, weights: Floats | None = None) -> list[Score]:
        return defined_scores(self, weights)

    def values(self, weights: Floats) -> Floats:
        found = {part: tally.values(weights) for part, tally in self.tallies.items()}  # [B, names] each
        for part, members in self.averaged.items():
            each = np.stack([found[member] for member in members])
            known = ~np.isnan(each)
            total = np.where(known, each, 0.0).sum(axis=0)
            found[part] = np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan)
        return np.stack([found[part] for part in self.parts], axis=2).reshape(len(weights), -1)

    def evidence(self) -> list[Evidence]:
        """An averaged part rests on what the weakest of its members rests on."""
        found = {part: tally.evidence() for part, tally in self.tallies.items()}
        for part, members in self.averaged.items():
            found[part] = [
                Evidence(*(min(getattr(one, field) for one in each) for field in ("images", "hits", "misses")))
                for each in zip(*(found[member] for member in members), strict=True)
            ]
        return [found[part][index] for index in range(len(self.names)) for part in self.parts]


def check(dataset: Dataset, *, averaged: Mapping[str, Sequence[str]] | None = None) -> None:
    oks.check(dataset)
    if BODY not in dataset.parts:
        raise DatasetDefinitionError(f"{dataset.name}.toml: parts: no {BODY!r}, whose extent WholeBody AP measures")
    for part, members in (averaged or {}).items():
        for each in (part, *members):
            if each not in dataset.parts:
                raise ValueError(f"averaged: no part {each!r}")
        if not members or set(members) & set(averaged or {}):
            raise ValueError(f"averaged: expected {part!r} to be the mean of parts that are scored themselves")


def measure(
    annotations: Annotations,
    predictions: Predictions,
    dataset: Dataset,
    *,
    names: Sequence[str],
    averaged: Mapping[str, Sequence[str]] | None = None,
) -> WholeBodyTally:
    """The ten numbers of COCO for each part of the dataset and for `all` joints.

    A part is scored as if people consisted of it: OKS over its labelled joints with the person's area, people in whom
    none of its joints is labelled tried last and absorbing, the twenty best detections of an image. A detection is left
    out of a part in which no confidence is above zero; its own area is that of the extent of its `body` in every part.
    `averaged`: part -> the parts whose scores it is the mean of (the hands: left and right).
    """
    means = {part: tuple(members) for part, members in (averaged or {}).items()}
    view = _View(annotations, predictions, dataset)
    every = np.arange(len(dataset.joints))
    joints = {part: np.array([dataset.joint(name) for name in members]) for part, members in dataset.parts.items()}
    tallies = {part: view.tally(names, of_part) for part, of_part in joints.items() if part not in means}
    tallies["all"] = view.tally(names, every)
    return WholeBodyTally(tuple(names), tallies, means, (*dataset.parts, "all"))


@dataclass(frozen=True, eq=False)
class _View:
    annotations: Annotations
    predictions: Predictions
    dataset: Dataset

    @cached_property
    def extents(self) -> Floats:
        """[N] square pixels."""
        body = [self.dataset.joint(name) for name in self.dataset.parts[BODY]]
        return extents_of(self.predictions.keypoints[:, body, :2])

    @cached_property
    def areas(self) -> Floats:
        return areas_of(self.annotations, None)

    def tally(self, names: Sequence[str], joints: Integers) -> MatchTally:
        visibility = self.annotations.visibility[:, joints]
        people = replace(
            self.annotations,
            keypoints=self.annotations.keypoints[:, joints],
            visibility=visibility,
            num_keypoints=(visibility > 0).sum(axis=1),
        )
        keypoints = self.predictions.keypoints[:, joints]
        shown = np.flatnonzero((keypoints[:, :, 2] > 0).any(axis=1))
        # Detections that are equal in score and in this part are ordered by extent, so not by their order in the file.
        shown = shown[np.argsort(self.extents[shown], kind="stable")]
        found = replace(
            self.predictions,
            image_ids=self.predictions.image_ids[shown],
            person_ids=self.predictions.person_ids[shown],
            keypoints=keypoints[shown],
            scores=self.predictions.scores[shown],
        )
        extents = self.extents[shown]
        return MatchTally(tuple(names), matches(people, found, self.dataset.sigmas[joints], self.areas, extents))
