"""Checks of the values in a definition, one function per kind of field. An error is one line with file and field."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evaluator.dataset import ENTRIES, MEAN_OF_ACTIONS, Limb
from evaluator.errors import DatasetDefinitionError, shown

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
            raise place.key(name).wrong(f"no such field{nearest(name, names)}")
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


def nearest(name: object, known: Collection[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1) if isinstance(name, str) else []
    return f"; did you mean {close[0]!r}?" if close else ""


def items(at: Place, value: Any, words: str, *, length: int | None = None) -> list[Any]:
    if type(value) is not list or not value or (length is not None and len(value) != length):
        raise at.wrong(f"expected {words}, found {shown(value)}")
    return value


def filled_table(at: Place, value: Any, words: str) -> dict[str, Any]:
    if type(value) is not dict or not value:
        raise at.wrong(f"expected {words}, found {shown(value)}")
    return value


def is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def known_name(at: Place, value: Any, what: str, known: Collection[str]) -> str:
    if type(value) is not str or value not in known:
        raise at.wrong(f"no {what} {value!r}{nearest(value, known)}")
    return value


def distinct(at: Place, values: Sequence[Any]) -> None:
    for index, value in enumerate(values):
        if value in values[:index]:
            raise at.wrong(f"{value!r} appears twice")


def text(at: Place, value: Any, found: Found) -> str:
    if type(value) is not str or not value.strip():
        raise at.wrong(f"expected text, found {shown(value)}")
    return value


def address(at: Place, value: Any, found: Found) -> str:
    if type(value) is not str or not value.startswith(("https://", "http://")):
        raise at.wrong(f"expected a web address, found {shown(value)}")
    return value


def flag(at: Place, value: Any, found: Found) -> bool:
    if type(value) is not bool:
        raise at.wrong(f"expected true or false, found {shown(value)}")
    return value


def names(at: Place, value: Any, found: Found) -> tuple[str, ...]:
    for index, name in enumerate(items(at, value, "a list of names")):
        text(at.item(index), name, found)
    distinct(at, value)
    return tuple(value)


def joints(at: Place, value: Any, found: Found) -> tuple[str, ...]:
    for name in items(at, value, "a list of joints"):
        known_name(at, name, "joint", found["joints"])
    distinct(at, value)
    return tuple(value)


def joint_pairs(at: Place, value: Any, found: Found) -> tuple[tuple[str, str], ...]:
    pairs = []
    for index, pair in enumerate(items(at, value, "a list of pairs of joints")):
        first, second = joints(at.item(index), items(at.item(index), pair, "two joints", length=2), found)
        pairs.append((first, second))
    return tuple(pairs)


def flip_pairs(at: Place, value: Any, found: Found) -> tuple[tuple[str, str], ...]:
    pairs = joint_pairs(at, value, found)
    distinct(at, [joint for pair in pairs for joint in pair])
    return pairs


def groups(at: Place, value: Any, what: str, known: Collection[str]) -> dict[str, tuple[str, ...]]:
    groups = {}
    for part, members in filled_table(at, value, f"a table of lists of {what}s").items():
        if part == "all":
            raise at.key(part).wrong("`all` is everything that counts and is not listed")
        for name in items(at.key(part), members, f"a list of {what}s"):
            known_name(at.key(part), name, what, known)
        distinct(at.key(part), members)
        groups[part] = tuple(members)
    return groups


def parts(at: Place, value: Any, found: Found) -> dict[str, tuple[str, ...]]:
    return groups(at, value, "joint", found["joints"])


def limb_parts(at: Place, value: Any, found: Found) -> dict[str, tuple[str, ...]]:
    return groups(at, value, "limb", found["limbs"])


def limbs(at: Place, value: Any, found: Found) -> dict[str, Limb]:
    words = "two ends, each a joint or a list of two joints"
    limbs = {}
    for limb, ends in filled_table(at, value, "a table of limbs").items():
        first, second = (
            joints(at.key(limb), end if type(end) is list else [end], found)
            for end in items(at.key(limb), ends, words, length=2)
        )
        if max(len(first), len(second)) > 2:
            raise at.key(limb).wrong(f"expected {words}, found {shown(ends)}")
        limbs[limb] = (first, second)
    return limbs


def sigmas(at: Place, value: Any, found: Found) -> Any:
    count = len(found["joints"])
    if type(value) is not list or len(value) != count:
        have = f"{len(value)}" if type(value) is list else shown(value)
        raise at.wrong(f"expected {count} numbers, one per joint, found {have}")
    for index, sigma in enumerate(value):
        if not is_number(sigma) or sigma <= 0:
            raise at.item(index).wrong(f"expected a number above 0, found {shown(sigma)}")
    return np.array(value, dtype=np.float64)


def pose(at: Place, value: Any, found: Found) -> Any:
    for joint, point in filled_table(at, value, "a table with a point for each joint").items():
        known_name(at, joint, "joint", found["joints"])
        if type(point) is not list or len(point) != 2 or not all(is_number(v) and 0 <= v <= 1 for v in point):
            raise at.key(joint).wrong(f"expected [x, y] between 0.0 and 1.0, found {shown(point)}")
    for joint in found["joints"]:
        if joint not in value:
            raise at.wrong(f"no point for the joint {joint!r}")
    return np.array([value[joint] for joint in found["joints"]], dtype=np.float64)


def actions(at: Place, value: Any, found: Found) -> tuple[str, ...]:
    actions = names(at, value, found)
    for action in actions:
        if action in {*found["parts"], "all", MEAN_OF_ACTIONS}:
            raise at.wrong(f"{action!r} is the name of another part")
    return actions


def entry(at: Place, value: Any, found: Found) -> str:
    if value not in ENTRIES:
        raise at.wrong(f"expected one of {', '.join(ENTRIES)}, found {shown(value)}")
    return str(value)


def keypoint_fields(at: Place, value: Any, found: Found) -> dict[str, int]:
    words = "a number of joints for each key, `keypoints` first"
    counts = filled_table(at, value, words)
    if not all(type(count) is int and count > 0 for count in counts.values()) or next(iter(counts)) != "keypoints":
        raise at.wrong(f"expected {words}, found {shown(value)}")
    if sum(counts.values()) != len(found["joints"]):
        raise at.wrong(f"{sum(counts.values())} joints, not {len(found['joints'])}")
    return counts


def splits(at: Place, value: Any, found: Found) -> dict[str, str]:
    return {
        split: text(at.key(split), about, found)
        for split, about in filled_table(at, value, "a table of splits").items()
    }
