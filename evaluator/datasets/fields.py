"""Every field of a dataset definition: what it holds, whether it may be left out, and how it is checked.

`FIELDS` is the only list of them: the loader reads a definition by it, and docs/datasets.md is generated from it.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Any

import numpy as np

import evaluator.datasets.checks as checks
from evaluator.dataset import ENTRIES, FRACTION, MEAN_OF_ACTIONS, NUMBER, Column, MetricSpec
from evaluator.datasets.checks import Field, Found, Kind, Place, read_fields
from evaluator.errors import shown
from evaluator.metrics import Metric, load_metric, offers


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
        return checks.is_number(value)
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
    for index, score in enumerate(checks.items(at, value, "a list of scores")):
        scores.append(read_fields(at.item(index), checks.filled_table(at.item(index), score, "a score"), SCORE_FIELDS))
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
    for index, entry in enumerate(checks.items(at, value, "a list of tables")):
        place = at.item(index)
        read = read_fields(place, checks.filled_table(place, entry, "a table"), METRIC_FIELDS)
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
    return checks.known_name(at, value, "score", [spec.name for spec in found["metrics"]])


def _part(at: Place, value: Any, spec: MetricSpec) -> str:
    if value not in spec.parts:
        raise at.wrong(f"{spec.name} has no part {value!r}{checks.nearest(value, spec.parts)}")
    return str(value)


def _primary_part(at: Place, value: Any, found: Found) -> str:
    return _part(at, value, _spec(found, found["primary"]))


def _columns(at: Place, value: Any, found: Found) -> tuple[Column, ...]:
    columns = []
    for index, column in enumerate(checks.items(at, value, "a list of columns")):
        place = at.item(index)
        name, part, label = checks.items(place, column, "[score, part, label]", length=3)
        spec = _spec(found, _score_name(place, name, found))
        columns.append(Column(name, _part(place, part, spec), checks.text(place, label, found)))
    return tuple(columns)


TEXT, FLAG = Kind("text", checks.text), Kind("true or false", checks.flag)

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
    Field("url", Kind("a web address", checks.address), "The dataset's home page.", "", "no link"),
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
    Field("splits", Kind("a table: split = description", checks.splits), "The official splits and what is in them."),
    Field("joints", Kind("a list of different names", checks.names), "The joints, in the order of the official files."),
    Field(
        "flip_pairs", Kind("a list of pairs of joints", checks.flip_pairs),
        "Left and right of each joint that has two sides: what changes places when an image is mirrored.",
    ),
    Field("skeleton", Kind("a list of pairs of joints", checks.joint_pairs), "The lines of a drawing."),
    Field(
        "pose", Kind("a table: joint = [x, y]", checks.pose),
        "A typical pose for drawings and sample files: each joint between 0 and 1, y down, a front view with the "
        "person's right on the viewer's left.",
    ),
    Field(
        "unscored", Kind("a list of joints", checks.joints), "Joints that are annotated but never count.",
        frozenset(), "every joint counts",
    ),
    Field(
        "sigmas", Kind("a list of numbers above 0, one per joint", checks.sigmas),
        "The spread of each joint's annotations relative to the person's scale, for metrics that use OKS.",
        lambda found: np.zeros(0), "none; `oks` and `wholebody` require them",
    ),
    Field(
        "limbs", Kind("a table: limb = [end, end]", checks.limbs),
        "The limbs that `pcp` scores, in the order of official files. An end is a joint, or a list of two joints for "
        "the point halfway between them.",
        lambda found: {}, "none",
    ),
    Field(
        "parts", Kind("a table: part = list of joints", checks.parts),
        "The parts of the body that get scores of their own. `all` always exists and is not listed.",
        lambda found: {}, "none",
    ),
    Field(
        "limb_parts", Kind("a table: part = list of limbs", checks.limb_parts),
        "The same for metrics that score limbs.",
        lambda found: {}, "none",
    ),
    Field(
        "actions", Kind("a list of different names", checks.actions),
        "What people do, if every annotation names one of these. Each gets a score, and `mean_of_actions` the mean.",
        (), "none",
    ),
    Field(
        "entry", Kind("`keypoints`, `keypoints_3d` or `uv`", checks.entry),
        "What a prediction holds: joints in pixels, joints in millimetres, or surface points (DensePose).",
        ENTRIES[0], "`keypoints`",
    ),
    Field(
        "missing_joints", FLAG, "Whether a prediction may leave out a joint.",
        lambda found: found["single_person"], "the value of `single_person`",
    ),
    Field(
        "keypoint_fields", Kind("a table: key = number of joints", checks.keypoint_fields),
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
