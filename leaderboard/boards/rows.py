"""The rows of a board and their order: pure, from rows to rows with ranks.

Best first by the metric's own direction. One rule, `clearly_better`, decides about ranks, bold and the summary above a
board; rows that it does not separate share ranks. A row without the number comes last and has no rank; a stale row, one
that was scored on other annotations than those in force, comes after all others.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

DESCRIPTION = (
    "authors", "year", "approach", "backbone", "input_size", "parameters", "gflops", "extra_data", "paper_title",
    "paper_url", "code_url",
)  # fmt: skip
"""The fields of a row that describe its method."""


def description(source: Any) -> dict[str, Any]:
    """The fields of a method, a reported result or a row that describe it; a result has no approach and no code."""
    return {name: getattr(source, name) for name in DESCRIPTION if hasattr(source, name)}


@dataclass(frozen=True)
class Cell:
    """One number with its 95% interval, where there is one."""

    value: float
    low: float | None = None
    high: float | None = None
    unit: str = ""  # "" for a fraction
    higher_is_better: bool = True


@dataclass(frozen=True)
class Row:
    """A method on a board. `rank` is 1 + the rows clearly better, `worst_rank` the rows minus those clearly worse."""

    kind: str
    name: str
    team: str
    cells: dict[tuple[str, str], Cell]
    value: float | None = None
    low: float | None = None
    high: float | None = None
    unit: str = ""
    rank: int | None = None
    worst_rank: int | None = None
    tied: bool = False
    top: frozenset[tuple[str, str]] = frozenset()
    authors: str = ""
    year: int | None = None
    team_id: int | None = None
    method_id: int | None = None
    submission_id: int | None = None
    approach: str = ""
    backbone: str = ""
    input_size: str = ""
    parameters: int | None = None
    gflops: float | None = None
    extra_data: str = ""
    paper_url: str = ""
    paper_title: str = ""
    code_url: str = ""
    published_at: datetime | None = None
    source: str = ""
    # scored on other annotations than those in force: its numbers cannot be compared with the others
    stale: bool = False
    # of the run, where a baseline was run here
    record: dict[str, Any] = field(default_factory=dict)

    @property
    def images_per_second(self) -> float | None:
        """The speed of a baseline's run; one on another device, or with another batch, is no comparison."""
        speed: float | None = self.record.get("images_per_second")
        return speed


def order(rows: Iterable[Row], *, key: tuple[str, str], higher_is_better: bool) -> list[Row]:
    """Rows with their value of `key`: best first, equal ones by name, then those without it, then stale ones."""
    sign = -1.0 if higher_is_better else 1.0
    filled = []
    for row in rows:
        cell = row.cells.get(key)
        filled.append(replace(row, value=cell.value, low=cell.low, high=cell.high, unit=cell.unit) if cell else row)
    return sorted(
        filled,
        key=lambda row: (row.stale, row.value is None, sign * (row.value or 0.0), row.name, row.method_id or 0),
    )


def extent(number: Any) -> tuple[float, float]:
    """The interval of anything with `value`, `low` and `high`; a point where it has none."""
    low, high = number.low, number.high
    if low is None or high is None:
        return number.value, number.value
    return min(low, number.value), max(high, number.value)


def clearly_better(one: Any, other: Any, *, higher_is_better: bool) -> bool:
    """Whether the interval of `one` lies wholly on the better side of that of `other`.

    Intervals that meet, even in one point, are a tie: without a paired test of the two methods nothing separates them.
    A number without an interval is a point. It loses to an interval that lies wholly above it (the 0 of an empty file),
    and ties with one that contains it.
    """
    (low, high), (other_low, other_high) = extent(one), extent(other)
    return low > other_high if higher_is_better else high < other_low


def leads(one: Any, others: Iterable[Any], *, higher_is_better: bool) -> bool:
    """Whether `one` is printed bold: it has an interval, and is clearly better than every other; there must be one.

    Without an interval nobody knows how far its number may be off.
    """
    rest = list(others)
    known = one.low is not None and one.high is not None
    return known and bool(rest) and all(clearly_better(one, each, higher_is_better=higher_is_better) for each in rest)


def rank_range(one: Any, others: Iterable[Any], *, higher_is_better: bool) -> tuple[int, int]:
    """The best and the worst rank of `one` among the others."""
    rest = list(others)
    better = sum(clearly_better(each, one, higher_is_better=higher_is_better) for each in rest)
    worse = sum(clearly_better(one, each, higher_is_better=higher_is_better) for each in rest)
    return better + 1, len(rest) + 1 - worse


def rank(rows: Iterable[Row], *, key: tuple[str, str], higher_is_better: bool) -> list[Row]:
    """Ordered rows with their ranks, as `rank_range` has them, and what is bold in each."""
    ordered = order(rows, key=key, higher_is_better=higher_is_better)
    current = [row for row in ordered if not row.stale]
    extents = [extent(row) for row in current if row.value is not None]
    # the same counts as `rank_range`, for a thousand rows at once
    lows, highs = sorted(low for low, _ in extents), sorted(high for _, high in extents)
    tops = _tops(current)
    result = []
    for row in ordered:
        if row.value is None or row.stale:
            result.append(row)
            continue
        low, high = extent(row)
        above, below = len(lows) - bisect_right(lows, high), bisect_left(highs, low)
        better, worse = (above, below) if higher_is_better else (below, above)
        best, worst = better + 1, len(lows) - worse
        result.append(replace(row, rank=best, worst_rank=worst, tied=best != worst, top=tops.get(id(row), frozenset())))
    return result


def _tops(rows: list[Row]) -> dict[int, frozenset[tuple[str, str]]]:
    """For each row the numbers in which it leads."""
    tops: dict[int, set[tuple[str, str]]] = {}
    for key in {key for row in rows for key in row.cells}:
        holders = [row for row in rows if key in row.cells]
        higher = holders[0].cells[key].higher_is_better
        first = (max if higher else min)(holders, key=lambda row: row.cells[key].value)
        others = (row.cells[key] for row in holders if row is not first)
        if leads(first.cells[key], others, higher_is_better=higher):
            tops.setdefault(id(first), set()).add(key)
    return {row: frozenset(keys) for row, keys in tops.items()}


def merge(ranked: list[Row], reported: list[Row], *, higher_is_better: bool) -> list[Row]:
    """Reported rows among the measured ones, by value; a measured row goes before a reported one of the same value."""
    sign = -1.0 if higher_is_better else 1.0
    both = [*ranked, *reported]
    return sorted(both, key=lambda row: (row.value is None, sign * (row.value or 0.0), row.kind == "reported"))
