"""What can be wrong, by who has to fix it: submitter, operator of the annotations, or author of a dataset."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

MOST_PROBLEMS = 100
MOST_COUNTED = 1000
"""The number of problems at which reading stops: counting the rest is not worth the time."""


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
    """(the first, their number) of each group of problems that differ only in the entry and in the numbers found."""
    counts: dict[tuple[str, str, str, str], tuple[Problem, int]] = {}
    for each in problems:
        # problems of the file as a whole are grouped only where they are equal
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

    `total` counts them all, up to `MOST_COUNTED`: from there on there are at least so many.
    """

    def __init__(self, problems: Sequence[Problem], total: int | None = None) -> None:
        if not problems:
            raise ValueError("a PredictionError has at least one problem")
        self.problems: list[Problem] = list(problems)[:MOST_PROBLEMS]
        self.total: int = len(problems) if total is None else total
        super().__init__(self.problems, self.total)

    @property
    def code(self) -> str:
        """The code of the first problem, a key of `evaluator.CODES`."""
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
    """The annotation file is wrong, and the operator has to fix it. Never shown to a submitter."""


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
    """The start of a value: a list of a million numbers is not written out for a line of sixty characters.

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
