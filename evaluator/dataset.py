"""A dataset and its scores as plain data. `evaluator.datasets` reads and checks them; nothing here reads a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.errors import DatasetDefinitionError

if TYPE_CHECKING:
    from evaluator.poses import Booleans, Floats

MOST_NAMES = 40

Limb = tuple[tuple[str, ...], tuple[str, ...]]

# What an entry of an upload holds: joints in pixels, joints in millimetres, or a surface point for each pixel.
ENTRIES = ("keypoints", "keypoints_3d", "uv")
MEAN_OF_ACTIONS = "mean_of_actions"

NUMBER = "number"
"""The unit of a score that is a plain number."""
Range = tuple[float | None, float | None]
FRACTION: Range = (0.0, 1.0)


def unit_name(unit: str) -> str:
    """What pages show after a number: nothing after a plain number or a fraction (which is shown in percent)."""
    return "" if unit == NUMBER else unit


@dataclass(frozen=True)
class MetricSpec:
    """A score of a dataset's boards, and the metric that it comes from."""

    name: str  # "pck@0.2", as in Score.metric
    metric: str  # "pck", the file in evaluator/metrics
    parameters: Mapping[str, Any]
    title: str
    description: str
    higher_is_better: bool
    parts: tuple[str, ...]
    unit: str = ""  # "" for a fraction, NUMBER for a plain number, otherwise "mm" and the like
    range: Range = FRACTION  # the lowest and the highest possible value

    @property
    def is_fraction(self) -> bool:
        """Whether its values lie between 0 and 1 and are shown in percent."""
        return not self.unit


@dataclass(frozen=True)
class Column:
    """A column that the dataset's boards show first."""

    metric: str
    part: str
    label: str

    def __iter__(self) -> Any:
        return iter((self.metric, self.part, self.label))


@dataclass(frozen=True, eq=False)
class Dataset:
    """A dataset's joints, limbs, parts and metrics: the fields of its TOML, which docs/datasets.md describes."""

    name: str
    title: str
    citation: str
    licence: str
    url: str
    description: str
    protocol: str
    joints: tuple[str, ...]
    unscored: frozenset[str]
    flip_pairs: tuple[tuple[str, str], ...]
    sigmas: Floats  # [K], empty where no metric needs them
    limbs: Mapping[str, Limb]  # two ends, each a joint or the point halfway between two
    skeleton: tuple[tuple[str, str], ...]
    parts: Mapping[str, tuple[str, ...]]
    limb_parts: Mapping[str, tuple[str, ...]]
    actions: tuple[str, ...]  # what people do; if there are any, each annotation names one
    entry: str  # one of ENTRIES
    metrics: tuple[MetricSpec, ...]
    primary: str
    primary_part: str
    columns: tuple[Column, ...]
    single_person: bool
    missing_joints: bool  # whether a prediction may leave joints out
    keypoint_fields: Mapping[str, int]  # official keys of an annotation's keypoints -> joints in each, in joint order
    person_term: str
    public_elsewhere: bool
    splits: Mapping[str, str]
    pose: Floats  # [K, 2] between 0 and 1, y down; front view: the person's right on the viewer's left

    def joint(self, name: str) -> int:
        """The index of a joint."""
        try:
            return self.joints.index(name)
        except ValueError:
            raise DatasetDefinitionError(f"{self.name}.toml: joints: a metric needs {name!r}") from None

    @property
    def named_joints(self) -> tuple[str, ...]:
        """The joints that a drawing has room to name: all, or those of the first part if there are very many."""
        return self.joints if len(self.joints) <= MOST_NAMES else next(iter(self.parts.values()))

    @cached_property
    def scored(self) -> Booleans:
        """[K] bool: the joints that count."""
        return np.array([joint not in self.unscored for joint in self.joints])

    @property
    def measurements(self) -> list[tuple[str, Mapping[str, Any], tuple[str, ...]]]:
        """(metric, parameters, names of its scores) of each measurement, in the order of the file."""
        found: list[tuple[str, Mapping[str, Any], list[str]]] = []
        for spec in self.metrics:
            if found and found[-1][1] is spec.parameters:
                found[-1][2].append(spec.name)
            else:
                found.append((spec.metric, spec.parameters, [spec.name]))
        return [(metric, parameters, tuple(names)) for metric, parameters, names in found]

    def metric(self, name: str) -> MetricSpec:
        """The score of this name; KeyError when there is none."""
        for spec in self.metrics:
            if spec.name == name:
                return spec
        raise KeyError(name)


def in_words(name: str) -> str:
    """The name of a joint, limb or part in words: `upper_leg` is "upper leg"."""
    return name.replace("_", " ")


def part_label(part: str) -> str:
    """A part as pages show it: `upper_leg` is "Upper leg"."""
    return in_words(part).capitalize()
