"""Every field of a dataset definition: what it holds, whether it may be left out, and how it is checked.

`FIELDS` is the only list of them: the loader reads a definition by it, and docs/datasets.md is generated from it.
"""

from __future__ import annotations

import difflib
import inspect
import math
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Any

import numpy as np

from evaluator.dataset import ENTRIES, FRACTION, MEAN_OF_ACTIONS, NUMBER, Column, Limb, MetricSpec
from evaluator.errors import DatasetDefinitionError, shown
from evaluator.metrics import Metric, load_metric, offers

Found = Mapping[str, Any]  # the fields that were read before, by name


@dataclass(frozen=True)
class Place:
    """A field of a file, such as `metrics[0].scores` of lsp.toml."""

    file: str
    field: str = ""

    def key(self, name: str) -> Place:
        return Place(self.file, f"{self.field}.{name}" if self.field else name)

    def item(self, index: int) -> Place:
        return Place(self.file, f"{self.field}[{index}]")

    def wrong(self, message: str) -> DatasetDefinitionError:
        return DatasetDefinitionError(f"{self.file}: {self.field}: {message}")


@dataclass(frozen=True)
class Kind:
    """What a field holds: in words, and the function that checks a value and returns it as `Dataset` has it."""

    words: str
    read: Callable[[Place, Any, Found], Any]


REQUIRED: Any = object()


@dataclass(frozen=True)
class Field:
    """One field: its default is a value, or a function of the fields before it; `default_words` says it on the page."""

    name: str
    kind: Kind
    meaning: str
    default: Any = REQUIRED
    default_words: str = ""


def read_fields(place: Place, table: Mapping[str, Any], fields: Sequence[Field]) -> dict[str, Any]:
    """The values of a TOML table by name. DatasetDefinitionError names the first field that is wrong."""
    names = [field.name for field in fields]
    for name in table:
        if name not in names:
            raise place.key(name).wrong(f"no such field{_nearest(name, names)}")
    found: dict[str, Any] = {}
    for field in fields:
        at = place.key(field.name)
        if field.name in table:
            found[field.name] = field.kind.read(at, table[field.name], found)
        elif field.default is REQUIRED:
            raise at.wrong(f"missing; expected {field.kind.words}")
        else:
            found[field.name] = field.default(found) if callable(field.default) else field.default
    return found


def _nearest(name: object, known: Collection[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1) if isinstance(name, str) else []
    return f"; did you mean {close[0]!r}?" if close else ""


def _list(at: Place, value: Any, words: str, *, length: int | None = None) -> list[Any]:
    if type(value) is not list or not value or (length is not None and len(value) != length):
        raise at.wrong(f"expected {words}, found {shown(value)}")
    return value


def _table(at: Place, value: Any, words: str) -> dict[str, Any]:
    if type(value) is not dict or not value:
        raise at.wrong(f"expected {words}, found {shown(value)}")
    return value


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _name(at: Place, value: Any, what: str, known: Collection[str]) -> str:
    if type(value) is not str or value not in known:
        raise at.wrong(f"no {what} {value!r}{_nearest(value, known)}")
    return value


def _distinct(at: Place, values: Sequence[Any]) -> None:
    for index, value in enumerate(values):
        if value in values[:index]:
            raise at.wrong(f"{value!r} appears twice")


def _text(at: Place, value: Any, found: Found) -> str:
    if type(value) is not str or not value.strip():
        raise at.wrong(f"expected text, found {shown(value)}")
    return value


def _address(at: Place, value: Any, found: Found) -> str:
    if type(value) is not str or not value.startswith(("https://", "http://")):
        raise at.wrong(f"expected a web address, found {shown(value)}")
    return value


def _flag(at: Place, value: Any, found: Found) -> bool:
    if type(value) is not bool:
        raise at.wrong(f"expected true or false, found {shown(value)}")
    return value


def _names(at: Place, value: Any, found: Found) -> tuple[str, ...]:
    for index, name in enumerate(_list(at, value, "a list of names")):
        _text(at.item(index), name, found)
    _distinct(at, value)
    return tuple(value)


def _joints(at: Place, value: Any, found: Found) -> tuple[str, ...]:
    for name in _list(at, value, "a list of joints"):
        _name(at, name, "joint", found["joints"])
    _distinct(at, value)
    return tuple(value)


def _joint_pairs(at: Place, value: Any, found: Found) -> tuple[tuple[str, str], ...]:
    pairs = []
    for index, pair in enumerate(_list(at, value, "a list of pairs of joints")):
        first, second = _joints(at.item(index), _list(at.item(index), pair, "two joints", length=2), found)
        pairs.append((first, second))
    return tuple(pairs)


def _flip_pairs(at: Place, value: Any, found: Found) -> tuple[tuple[str, str], ...]:
    pairs = _joint_pairs(at, value, found)
    _distinct(at, [joint for pair in pairs for joint in pair])
    return pairs


def _groups(at: Place, value: Any, what: str, known: Collection[str]) -> dict[str, tuple[str, ...]]:
    groups = {}
    for part, members in _table(at, value, f"a table of lists of {what}s").items():
        if part == "all":
            raise at.key(part).wrong("`all` is everything that counts and is not listed")
        for name in _list(at.key(part), members, f"a list of {what}s"):
            _name(at.key(part), name, what, known)
        _distinct(at.key(part), members)
        groups[part] = tuple(members)
    return groups


def _parts(at: Place, value: Any, found: Found) -> dict[str, tuple[str, ...]]:
    return _groups(at, value, "joint", found["joints"])


def _limb_parts(at: Place, value: Any, found: Found) -> dict[str, tuple[str, ...]]:
    return _groups(at, value, "limb", found["limbs"])


def _limbs(at: Place, value: Any, found: Found) -> dict[str, Limb]:
    words = "two ends, each a joint or a list of two joints"
    limbs = {}
    for limb, ends in _table(at, value, "a table of limbs").items():
        first, second = (
            _joints(at.key(limb), end if type(end) is list else [end], found)
            for end in _list(at.key(limb), ends, words, length=2)
        )
        if max(len(first), len(second)) > 2:
            raise at.key(limb).wrong(f"expected {words}, found {shown(ends)}")
        limbs[limb] = (first, second)
    return limbs


def _sigmas(at: Place, value: Any, found: Found) -> Any:
    count = len(found["joints"])
    if type(value) is not list or len(value) != count:
        have = f"{len(value)}" if type(value) is list else shown(value)
        raise at.wrong(f"expected {count} numbers, one per joint, found {have}")
    for index, sigma in enumerate(value):
        if not _is_number(sigma) or sigma <= 0:
            raise at.item(index).wrong(f"expected a number above 0, found {shown(sigma)}")
    return np.array(value, dtype=np.float64)


def _pose(at: Place, value: Any, found: Found) -> Any:
    for joint, point in _table(at, value, "a table with a point for each joint").items():
        _name(at, joint, "joint", found["joints"])
        if type(point) is not list or len(point) != 2 or not all(_is_number(v) and 0 <= v <= 1 for v in point):
            raise at.key(joint).wrong(f"expected [x, y] between 0.0 and 1.0, found {shown(point)}")
    for joint in found["joints"]:
        if joint not in value:
            raise at.wrong(f"no point for the joint {joint!r}")
    return np.array([value[joint] for joint in found["joints"]], dtype=np.float64)


def _actions(at: Place, value: Any, found: Found) -> tuple[str, ...]:
    actions = _names(at, value, found)
    for action in actions:
        if action in {*found["parts"], "all", MEAN_OF_ACTIONS}:
            raise at.wrong(f"{action!r} is the name of another part")
    return actions


def _entry(at: Place, value: Any, found: Found) -> str:
    if value not in ENTRIES:
        raise at.wrong(f"expected one of {', '.join(ENTRIES)}, found {shown(value)}")
    return str(value)


def _keypoint_fields(at: Place, value: Any, found: Found) -> dict[str, int]:
    words = "a number of joints for each key, `keypoints` first"
    counts = _table(at, value, words)
    if not all(type(count) is int and count > 0 for count in counts.values()) or next(iter(counts)) != "keypoints":
        raise at.wrong(f"expected {words}, found {shown(value)}")
    if sum(counts.values()) != len(found["joints"]):
        raise at.wrong(f"{sum(counts.values())} joints, not {len(found['joints'])}")
    return counts


def _splits(at: Place, value: Any, found: Found) -> dict[str, str]:
    return {
        split: _text(at.key(split), about, found) for split, about in _table(at, value, "a table of splits").items()
    }


def _metric(at: Place, value: Any, found: Found) -> str:
    try:
        load_metric(value)
    except KeyError as error:
        raise at.wrong(str(error.args[0])) from None
    return str(value)


def _parameters(at: Place, value: Any, found: Found) -> dict[str, Any]:
    if type(value) is not dict:
        raise at.wrong(f"expected a table, found {shown(value)}")
    return value


def _check_keywords(at: Place, name: str, parameters: Mapping[str, Any]) -> None:
    """Whether a metric's `measure` has these keywords, no other is required, and their types are its annotations'."""
    measure = load_metric(name).measure
    try:
        inspect.signature(measure).bind(None, None, None, names=(), **parameters)
    except TypeError as error:
        raise at.wrong(f"{name}: {error}") from None
    try:
        types = typing.get_type_hints(measure)
    except NameError:  # a metric that imports the types of its keywords for the type checker alone
        types = {}
    for key, value in parameters.items():
        if key in types and not _has_type(value, types[key]):
            wanted = inspect.formatannotation(types[key]).replace("collections.abc.", "")
            raise at.key(key).wrong(f"{name} expects {wanted}, found {shown(value)}")


def _has_type(value: Any, wanted: Any) -> bool:
    """Whether a TOML value has a type of Python; a whole number is a float, too."""
    if isinstance(wanted, UnionType):
        return any(_has_type(value, each) for each in typing.get_args(wanted))
    if wanted is float:
        return _is_number(value)
    if wanted in (str, int, bool):
        return type(value) is wanted
    origin, inner = typing.get_origin(wanted), typing.get_args(wanted)
    if origin is Mapping:
        return type(value) is dict and all(_has_type(each, inner[1]) for each in value.values())
    if origin is Sequence:
        return type(value) is list and all(_has_type(each, inner[0]) for each in value)
    return wanted is not type(None)


def _scores(at: Place, value: Any, found: Found) -> list[dict[str, Any]]:
    name = found["metric"]
    metric = load_metric(name)
    scores = []
    for index, score in enumerate(_list(at, value, "a list of scores")):
        scores.append(read_fields(at.item(index), _table(at.item(index), score, "a score"), SCORE_FIELDS))
        if not offers(metric, scores[-1]["name"]):
            raise (
                at.item(index)
                .key("name")
                .wrong(f"{name} has no score {scores[-1]['name']!r}; its scores are {', '.join(metric.SCORES)}")
            )
    if len(scores) > 1 and not hasattr(metric, "SCORES"):
        raise at.wrong(f"expected one score, which is what {name} gives, found {len(scores)}")
    return scores


def _metrics(at: Place, value: Any, found: Found) -> tuple[MetricSpec, ...]:
    specs: list[MetricSpec] = []
    for index, entry in enumerate(_list(at, value, "a list of tables")):
        place = at.item(index)
        read = read_fields(place, _table(place, entry, "a table"), METRIC_FIELDS)
        metric = load_metric(read["metric"])
        if (measures := getattr(metric, "ENTRY", ENTRIES[0])) != found["entry"]:
            raise place.key("metric").wrong(f"{read['metric']} measures {measures}, and entry is {found['entry']}")
        _check_keywords(place.key("parameters"), read["metric"], read["parameters"])
        unit, between = _scale(metric)
        for score in read["scores"]:
            if any(spec.name == score["name"] for spec in specs):
                raise place.key("scores").wrong(f"{score['name']!r} appears twice")
            specs.append(
                MetricSpec(
                    metric=read["metric"],
                    parameters=read["parameters"],
                    higher_is_better=metric.HIGHER_IS_BETTER,
                    parts=(*_parts_of(metric, found), "all"),
                    unit=unit,
                    range=between,
                    **score,
                )
            )
    return tuple(specs)


def _scale(metric: Metric) -> tuple[str, tuple[float | None, float | None]]:
    """The unit and the range of a metric's scores, as `MetricSpec` has them."""
    unit = getattr(metric, "UNIT", "")
    between = tuple(getattr(metric, "RANGE", (None, None) if unit else FRACTION))
    return unit or ("" if between == FRACTION else NUMBER), between


def _parts_of(metric: Metric, found: Found) -> tuple[str, ...]:
    by_action = (*found["actions"], MEAN_OF_ACTIONS) if found["actions"] else ()
    parts: dict[str, tuple[str, ...]] = {
        "joints": tuple(found["parts"]),
        "joints and actions": (*found["parts"], *by_action),
        "limbs": tuple(found["limb_parts"]),
        "none": (),
    }
    return parts[metric.PARTS]


def _spec(found: Found, name: str) -> MetricSpec:
    return next(spec for spec in found["metrics"] if spec.name == name)


def _score_name(at: Place, value: Any, found: Found) -> str:
    return _name(at, value, "score", [spec.name for spec in found["metrics"]])


def _part(at: Place, value: Any, spec: MetricSpec) -> str:
    if value not in spec.parts:
        raise at.wrong(f"{spec.name} has no part {value!r}{_nearest(value, spec.parts)}")
    return str(value)


def _primary_part(at: Place, value: Any, found: Found) -> str:
    return _part(at, value, _spec(found, found["primary"]))


def _columns(at: Place, value: Any, found: Found) -> tuple[Column, ...]:
    columns = []
    for index, column in enumerate(_list(at, value, "a list of columns")):
        place = at.item(index)
        name, part, label = _list(place, column, "[score, part, label]", length=3)
        spec = _spec(found, _score_name(place, name, found))
        columns.append(Column(name, _part(place, part, spec), _text(place, label, found)))
    return tuple(columns)


TEXT, ADDRESS, FLAG = Kind("text", _text), Kind("a web address", _address), Kind("true or false", _flag)

SCORE_FIELDS = (
    Field("name", TEXT, "What boards, files and the API call the score. It never changes once there are results."),
    Field("title", TEXT, "The heading on pages."),
    Field("description", TEXT, "One sentence: what is counted, with its thresholds."),
)
METRIC_FIELDS = (
    Field("metric", Kind("the name of a file in `evaluator/metrics/`", _metric), "The metric that measures."),
    Field(
        "parameters", Kind("a table", _parameters), "Keywords of the metric's `measure`.",
        lambda found: {}, "the metric's own",
    ),
    Field(
        "scores", Kind("a list of tables", _scores),
        "The scores to show, in this order. A metric that computes several at once, such as `oks`, offers fixed names.",
    ),
)  # fmt: skip
FIELDS = (
    Field("title", TEXT, "The dataset's name on pages."),
    Field("citation", TEXT, "The paper to cite: authors, title, venue and year."),
    Field("licence", TEXT, "The terms of the annotations and of the images."),
    Field("url", ADDRESS, "The dataset's home page.", "", "no link"),
    Field("description", TEXT, "Two or three sentences: what the images show, how many joints, which split is scored."),
    Field("protocol", TEXT, "The evaluation protocol in a line, as papers state it. Every report quotes it."),
    Field(
        "single_person", FLAG,
        "Whether each prediction is for one annotated person, named by `person_id`, instead of a detection.",
    ),
    Field(
        "public_elsewhere", FLAG, "Whether the test annotations can be downloaded somewhere. Boards say so.",
    ),
    Field(
        "person_term", TEXT, "What pages call an annotated person.", "person", "`person`",
    ),
    Field("splits", Kind("a table: split = description", _splits), "The official splits and what is in them."),
    Field("joints", Kind("a list of different names", _names), "The joints, in the order of the official files."),
    Field(
        "flip_pairs", Kind("a list of pairs of joints", _flip_pairs),
        "Left and right of each joint that has two sides: what changes places when an image is mirrored.",
    ),
    Field("skeleton", Kind("a list of pairs of joints", _joint_pairs), "The lines that drawings connect joints with."),
    Field(
        "pose", Kind("a table: joint = [x, y]", _pose),
        "A typical pose for drawings and sample files: each joint between 0 and 1, y down, a front view with the "
        "person's right on the viewer's left.",
    ),
    Field(
        "unscored", Kind("a list of joints", _joints), "Joints that are annotated but never count.",
        frozenset(), "every joint counts",
    ),
    Field(
        "sigmas", Kind("a list of numbers above 0, one per joint", _sigmas),
        "The spread of each joint's annotations relative to the person's scale, for metrics that use OKS.",
        lambda found: np.zeros(0), "none; `oks` and `wholebody` require them",
    ),
    Field(
        "limbs", Kind("a table: limb = [end, end]", _limbs),
        "The limbs that `pcp` scores, in the order of official files. An end is a joint, or a list of two joints for "
        "the point halfway between them.",
        lambda found: {}, "none",
    ),
    Field(
        "parts", Kind("a table: part = list of joints", _parts),
        "The parts of the body that get scores of their own. `all` always exists and is not listed.",
        lambda found: {}, "none",
    ),
    Field(
        "limb_parts", Kind("a table: part = list of limbs", _limb_parts),
        "The same for metrics that score limbs.",
        lambda found: {}, "none",
    ),
    Field(
        "actions", Kind("a list of different names", _actions),
        "What people do, if every annotation names one of these. Each gets a score, and `mean_of_actions` the mean.",
        (), "none",
    ),
    Field(
        "entry", Kind("`keypoints`, `keypoints_3d` or `uv`", _entry),
        "What a prediction holds: joints in pixels, joints in millimetres, or surface points (DensePose).",
        ENTRIES[0], "`keypoints`",
    ),
    Field(
        "missing_joints", FLAG, "Whether a prediction may leave out a joint.",
        lambda found: found["single_person"], "the value of `single_person`",
    ),
    Field(
        "keypoint_fields", Kind("a table: key = number of joints", _keypoint_fields),
        "The keys of an official annotation, in joint order, where they spread the joints over several lists. "
        "`keypoints` comes first.",
        lambda found: {"keypoints": len(found["joints"])}, "`keypoints` holds all joints",
    ),
    Field("metrics", Kind("a list of tables", _metrics), "What is measured: one `[[metrics]]` table per measurement."),
    Field("primary", Kind("the name of a score", _score_name), "The score that ranks a board."),
    Field(
        "primary_part", Kind("a part of the primary score", _primary_part), "The part of it that ranks a board.",
        "all", "`all`",
    ),
    Field("columns", Kind("a list of [score, part, label]", _columns), "The columns a board shows first."),
)  # fmt: skip
