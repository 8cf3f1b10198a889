"""The dataset definitions, one TOML each, and the loader that checks them with one-line errors.

The folder is the registry and the file name the slug. May import `evaluator.dataset` and `evaluator.metrics`.
"""

from __future__ import annotations

import inspect
import math
import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.dataset import ENTRIES, FRACTION, MEAN_OF_ACTIONS, NUMBER, Column, Dataset, Limb, MetricSpec
from evaluator.errors import DatasetDefinitionError
from evaluator.metrics import load_metric

if TYPE_CHECKING:
    from evaluator.poses import Floats

FOLDER = Path(__file__).parent


def dataset_names() -> list[str]:
    """The datasets there are, in alphabetical order."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


@cache
def load_dataset(name: str) -> Dataset:
    """The dataset of this name, such as "lsp"; DatasetDefinitionError when there is none or its file is wrong.

    >>> load_dataset("lsp").metric("pck@0.2").parts[-3:]
    ('knee', 'ankle', 'all')
    """
    if name not in dataset_names():
        raise DatasetDefinitionError(f"no dataset {name!r}: one of {', '.join(dataset_names())}")
    return read_dataset(FOLDER / f"{name}.toml")


def read_dataset(path: Path) -> Dataset:
    """Reads and checks one definition file."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DatasetDefinitionError(f"{path.name}: not TOML: {error}") from None
    return _Reader(path.name, data).dataset(path.stem)


KNOWN = frozenset(Dataset.__dataclass_fields__) - {"name"}


class _Reader:
    """Takes a definition apart field by field; every complaint is one line with file and field."""

    def __init__(self, file: str, data: dict[str, Any]) -> None:
        self.file = file
        self.data = data

    def wrong(self, field: str, message: str) -> DatasetDefinitionError:
        return DatasetDefinitionError(f"{self.file}: {field}: {message}")

    def get(self, field: str, kind: type, default: Any = None) -> Any:
        value = self.data.get(field, default)
        if value is None:
            raise self.wrong(field, "missing")
        if type(value) is not kind:
            raise self.wrong(field, f"expected {kind.__name__}, found {type(value).__name__}")
        return value

    def dataset(self, name: str) -> Dataset:
        for field in self.data:
            if field not in KNOWN:
                raise self.wrong(field, "no such field")
        joints = tuple(self.get("joints", list))
        self.names("joints", joints, None)
        if not joints or len(set(joints)) != len(joints):
            raise self.wrong("joints", "expected a list of different names")
        limbs = {limb: self.limb(f"limbs.{limb}", ends, joints) for limb, ends in self.get("limbs", dict, {}).items()}
        parts = self.groups("parts", joints)
        limb_parts = self.groups("limb_parts", tuple(limbs))
        actions = self.actions(parts)
        entry = self.entry()
        metrics = self.metrics(parts, limb_parts, actions, entry)
        dataset = Dataset(
            name=name,
            **{
                field: self.get(field, str)
                for field in ("title", "citation", "licence", "url", "description", "protocol", "primary")
            },
            joints=joints,
            unscored=frozenset(self.names("unscored", self.get("unscored", list, []), joints)),
            flip_pairs=self.joint_pairs("flip_pairs", joints),
            sigmas=self.sigmas(joints, metrics),
            limbs=limbs,
            skeleton=self.joint_pairs("skeleton", joints),
            parts=parts,
            limb_parts=limb_parts,
            actions=actions,
            entry=entry,
            metrics=metrics,
            primary_part=self.get("primary_part", str, "all"),
            columns=self.columns(metrics),
            single_person=self.get("single_person", bool),
            missing_joints=self.get("missing_joints", bool, self.get("single_person", bool)),
            keypoint_fields=self.keypoint_fields(joints),
            person_term=self.get("person_term", str, "person"),
            public_elsewhere=self.get("public_elsewhere", bool),
            splits=self.get("splits", dict),
            pose=self.pose(joints),
        )
        self.primary(dataset)
        return dataset

    def names(self, field: str, values: Iterable[Any], known: tuple[str, ...] | None) -> tuple[str, ...]:
        for value in values:
            if type(value) is not str:
                raise self.wrong(field, f"expected names, found {value!r}")
            if known is not None and value not in known:
                raise self.wrong(field, f"unknown name {value!r}")
        return tuple(values)

    def joint_pairs(self, field: str, joints: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
        pairs = []
        for index, pair in enumerate(self.get(field, list)):
            if type(pair) is not list or len(pair) != 2:
                raise self.wrong(f"{field}[{index}]", "expected two joints")
            first, second = self.names(f"{field}[{index}]", pair, joints)
            pairs.append((first, second))
        return tuple(pairs)

    def groups(self, field: str, known: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
        groups = {}
        for part, members in self.get(field, dict, {}).items():
            if part == "all":
                raise self.wrong(f"{field}.all", "`all` is everything that counts and is not listed")
            if type(members) is not list or not members:
                raise self.wrong(f"{field}.{part}", "expected a list of names")
            groups[part] = self.names(f"{field}.{part}", members, known)
        return groups

    def limb(self, field: str, ends: Any, joints: tuple[str, ...]) -> Limb:
        if type(ends) is not list or len(ends) != 2:
            raise self.wrong(field, "expected two ends")
        first, second = (
            self.names(field, end if type(end) is list and 1 <= len(end) <= 2 else [end], joints) for end in ends
        )
        return first, second

    def actions(self, parts: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
        actions = self.names("actions", self.get("actions", list, []), None)
        known = {*parts, "all", MEAN_OF_ACTIONS}
        for action in actions:
            if action in known:
                raise self.wrong("actions", f"{action!r} is the name of another part")
            known.add(action)
        return actions

    def entry(self) -> str:
        entry: str = self.get("entry", str, ENTRIES[0])
        if entry not in ENTRIES:
            raise self.wrong("entry", f"expected one of {', '.join(ENTRIES)}, found {entry!r}")
        return entry

    def keypoint_fields(self, joints: tuple[str, ...]) -> dict[str, int]:
        fields = self.get("keypoint_fields", dict, {"keypoints": len(joints)})
        if not all(type(count) is int and count > 0 for count in fields.values()) or next(iter(fields)) != "keypoints":
            raise self.wrong("keypoint_fields", "expected a number of joints for each key, `keypoints` first")
        if sum(fields.values()) != len(joints):
            raise self.wrong("keypoint_fields", f"{sum(fields.values())} joints, not {len(joints)}")
        return dict(fields)

    def sigmas(self, joints: tuple[str, ...], metrics: tuple[MetricSpec, ...]) -> Floats:
        sigmas = self.get("sigmas", list, [])
        if not sigmas and all(spec.metric not in ("oks", "wholebody") for spec in metrics):
            return np.zeros(0)
        if len(sigmas) != len(joints):
            raise self.wrong("sigmas", f"expected {len(joints)} numbers, one a joint, found {len(sigmas)}")
        if not all(type(value) is float and math.isfinite(value) and value > 0 for value in sigmas):
            raise self.wrong("sigmas", "expected positive numbers")
        return np.array(sigmas)

    def pose(self, joints: tuple[str, ...]) -> Floats:
        pose = self.get("pose", dict)
        if set(pose) != set(joints):
            raise self.wrong("pose", f"expected a point for each joint, wrong: {sorted(set(pose) ^ set(joints))}")
        for joint, point in pose.items():
            if type(point) is not list or len(point) != 2 or not all(type(v) is float and 0 <= v <= 1 for v in point):
                raise self.wrong(f"pose.{joint}", "expected [x, y] between 0.0 and 1.0")
        return np.array([pose[joint] for joint in joints])

    def metrics(
        self,
        parts: Mapping[str, tuple[str, ...]],
        limb_parts: Mapping[str, tuple[str, ...]],
        actions: tuple[str, ...],
        entry_kind: str,
    ) -> tuple[MetricSpec, ...]:
        specs: list[MetricSpec] = []
        by_action = (*actions, MEAN_OF_ACTIONS) if actions else ()
        for index, entry in enumerate(self.get("metrics", list)):
            field = f"metrics[{index}]"
            if type(entry) is not dict or not {"metric", "scores"} <= set(entry) <= {"metric", "scores", "parameters"}:
                raise self.wrong(field, "expected metric, scores and perhaps parameters")
            try:
                metric = load_metric(entry["metric"])
            except KeyError as error:
                raise self.wrong(f"{field}.metric", str(error.args[0])) from None
            parameters = entry.get("parameters", {})
            try:
                inspect.signature(metric.measure).bind(None, None, None, names=(), **parameters)
            except TypeError as error:
                raise self.wrong(f"{field}.parameters", f"{entry['metric']} says: {error}") from None
            measures = getattr(metric, "ENTRY", ENTRIES[0])
            if measures != entry_kind:
                raise self.wrong(f"{field}.metric", f"{entry['metric']} measures {measures}, and entry is {entry_kind}")
            unit = getattr(metric, "UNIT", "")
            between = tuple(getattr(metric, "RANGE", (None, None) if unit else FRACTION))
            unit = unit or ("" if between == FRACTION else NUMBER)
            of_metric = {
                "joints": tuple(parts),
                "joints and actions": (*parts, *by_action),
                "limbs": tuple(limb_parts),
                "none": (),
            }[metric.PARTS]
            for score in entry["scores"]:
                if type(score) is not dict or set(score) != {"name", "title", "description"}:
                    raise self.wrong(f"{field}.scores", "expected name, title and description")
                if any(spec.name == score["name"] for spec in specs):
                    raise self.wrong(f"{field}.scores", f"{score['name']!r} stands there twice")
                specs.append(
                    MetricSpec(
                        metric=entry["metric"],
                        parameters=parameters,
                        higher_is_better=metric.HIGHER_IS_BETTER,
                        parts=(*of_metric, "all"),
                        unit=unit,
                        range=between,
                        **score,
                    )
                )
        return tuple(specs)

    def columns(self, metrics: tuple[MetricSpec, ...]) -> tuple[Column, ...]:
        columns = []
        for index, column in enumerate(self.get("columns", list)):
            if type(column) is not list or len(column) != 3 or not all(type(value) is str for value in column):
                raise self.wrong(f"columns[{index}]", "expected [metric, part, label]")
            self.score(f"columns[{index}]", column[0], column[1], metrics)
            columns.append(Column(*column))
        return tuple(columns)

    def score(self, field: str, name: str, part: str, metrics: tuple[MetricSpec, ...]) -> None:
        spec = next((spec for spec in metrics if spec.name == name), None)
        if spec is None:
            raise self.wrong(field, f"no metric {name!r}")
        if part not in spec.parts:
            raise self.wrong(field, f"{name} has no part {part!r}")

    def primary(self, dataset: Dataset) -> None:
        self.score("primary", dataset.primary, dataset.primary_part, dataset.metrics)
