"""What can be wrong, by who must act: submitter, operator of the annotations, or author of a dataset."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

MOST_PROBLEMS = 100
MOST_COUNTED = 1000
"""Problems after which an upload is not read on: how many more there are is not worth the time."""

CODES: dict[str, str] = {
    "empty_file": "The file holds nothing.",
    "too_large": "The file, or what it inflates to, is larger than 1 GiB or than predictions for the benchmark can be.",
    "compression_ratio": "The archive inflates to more than 100 times its size: a bomb, or the wrong file.",
    "gzip_damaged": "The gzip data is truncated or fails its checksum.",
    "gzip_members": "Something follows the one gzip member.",
    "zip_damaged": "The zip's structure contradicts itself, or its data fails its checksum.",
    "zip_members": "The zip does not hold exactly one file.",
    "zip_member_name": "The zip's member is not a plain file name that ends in .json or .json.gz.",
    "zip_member_kind": "The zip's member is a link, a folder or a device.",
    "zip_encrypted": "The zip is encrypted.",
    "zip_method": "The zip uses a compression method or an extension other than stored and deflate.",
    "nested_archive": "An archive inside an archive.",
    "not_utf8": "The text is not UTF-8.",
    "byte_order_mark": "The text starts with a byte order mark.",
    "not_json": "The text is not JSON as RFC 8259 defines it.",
    "trailing_data": "Something follows the JSON document.",
    "too_deep": "The JSON is nested deeper than eight levels.",
    "number_too_long": "A number has thousands of digits.",
    "duplicate_key": "A key appears twice in one object.",
    "not_a_list": "The file does not contain a list of entries.",
    "too_many_entries": "The file has more than 100 entries per image of the benchmark.",
    "not_an_object": "An entry is not an object.",
    "missing_key": "An entry lacks a required key.",
    "wrong_type": "A value has the wrong type, such as a number written as a string.",
    "wrong_count": "A list has the wrong number of values.",
    "not_finite": "A number is NaN or infinite.",
    "out_of_range": "A number's magnitude is above 1e6.",
    "invalid_id": "An id is not a whole number of at most 64 bits.",
    "unknown_image": "The benchmark has no image of this id.",
    "unknown_person": "The image has no person of this id.",
    "missing_person_id": "The image has several people and the entry does not say which it means.",
    "repeated_person": "Two entries are for the same person of the same image.",
    "missing_person": "A person of the benchmark has no entry, where everybody must have one.",
    "missing_joint": "A missing joint where the benchmark allows none.",
    "invalid_box": "A box whose width or height is not above zero.",
    "invalid_image": "A surface map is not a whole RGB PNG of eight bits in base64.",
    "image_size": "A surface map has another size than its box or shape, or is too large.",
    "invalid_part": "A pixel of a surface map has a part above 24.",
    "incomplete_joint": "Some but not all numbers of a joint or a limb are null.",
}


@dataclass(frozen=True)
class Problem:
    """One thing wrong with an upload. `entry` counts from 0; `pointer` is a JSON pointer (RFC 6901)."""

    code: str
    entry: int | None
    pointer: str
    message: str
    expected: str

    def __str__(self) -> str:
        where = "" if self.entry is None else f"entry {self.entry}, {self.pointer}: "
        return f"{where}{self.message} (expected {self.expected})"


_NUMBERS = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")


def grouped(problems: Sequence[Problem]) -> list[tuple[Problem, int]]:
    """(the first, how many) of problems that repeat: alike but for the entry and the numbers in what was found."""
    counts: dict[tuple[str, str, str, str], tuple[Problem, int]] = {}
    for each in problems:
        # what is wrong with the file as a whole is said as often as it is
        message = each.message if each.entry is None else _NUMBERS.sub("#", each.message)
        place = re.sub(r"^/\d+", "", each.pointer)  # within its entry
        alike = each.code, place, each.expected, message
        first, count = counts.get(alike, (each, 0))
        counts[alike] = first, count + 1
    return list(counts.values())


def _line(first: Problem, count: int, least: str) -> str:
    """A problem, or many that are alike, in one line."""
    if count == 1 or first.entry is None:
        return str(first)
    return f"in {least}{count} entries, first in {first}"


class PredictionError(ValueError):
    """The submitter's fault. Holds the first hundred problems; depends on the upload and on public definitions only.

    `total` counts them all, up to `MOST_COUNTED`: from there on it says how many there are at least.
    """

    def __init__(self, problems: Sequence[Problem], total: int | None = None) -> None:
        if not problems:
            raise ValueError("a PredictionError has at least one problem")
        self.problems: list[Problem] = list(problems)[:MOST_PROBLEMS]
        self.total: int = len(problems) if total is None else total
        super().__init__(self.problems, self.total)

    @property
    def code(self) -> str:
        """The code of the first problem, a key of `CODES`."""
        return self.problems[0].code

    def __str__(self) -> str:
        if self.total == 1:
            return str(self.problems[0])
        shown = len(self.problems)
        least = "at least " if self.total >= MOST_COUNTED else ""
        head = f"{least}{self.total} problems" + (f", the first {shown}" if shown < self.total else "")
        least = "at least " if shown < self.total else ""
        return "\n".join([f"{head}:", *(f"- {_line(*each, least)}" for each in grouped(self.problems))])

    def to_dict(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "message": str(self),
            "total": self.total,
            "problems": [asdict(problem) for problem in self.problems],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> PredictionError:
        """The same error, word for word, from `to_dict()`."""
        return cls([Problem(**problem) for problem in data["problems"]], data["total"])


class GroundTruthError(ValueError):
    """The annotation file is wrong: its operator must act. Never shown to a submitter."""


class DatasetDefinitionError(ValueError):
    """A dataset's TOML is wrong: one line that names the file and the field."""


def shown(value: object, limit: int = 60) -> str:
    """A value of an upload as short, printable ASCII, fit for a message."""
    try:
        text = json.dumps(_start_of(value, [limit + 1]), default=str)
    except (TypeError, ValueError, RecursionError):
        text = f"a {type(value).__name__}"
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _start_of(value: object, left: list[int]) -> object:
    """What is printed first of a value: a list of a million numbers is not written out for a line of sixty characters.

    left: [how many characters are wanted]; each value takes one at least.
    """
    left[0] -= 1
    if isinstance(value, str):
        start = value[: max(left[0], 0) + 1]
        left[0] -= len(start)
        return start
    if isinstance(value, list):
        items = []
        for item in value:
            if left[0] <= 0:
                break
            items.append(_start_of(item, left))
        return items
    if isinstance(value, dict):
        fields = {}
        for key, item in value.items():
            if left[0] <= 0:
                break
            name = _start_of(key, left)
            fields[name] = _start_of(item, left)
        return fields
    return value
