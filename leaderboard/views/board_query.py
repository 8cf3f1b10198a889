"""The state of a board's page: all of it is in the address, so every view of a board can be linked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time
from typing import Any
from urllib.parse import urlencode

from django.utils.dateparse import parse_date, parse_datetime

from evaluator.dataset import Column, part_label
from leaderboard.boards.rankings import Board
from leaderboard.boards.rows import Row

KINDS = ("submission", "baseline", "reported")
FIRST_ROWS = 100
# columns that are no score: address name -> attribute of a row
FACTS = {
    "method": "name", "parameters": "parameters", "gflops": "gflops", "speed": "images_per_second", "year": "year",
    "extra": "extra_data",
}  # fmt: skip
_SMALL_FIRST = {"method", "parameters", "gflops", "extra"}


@dataclass(frozen=True)
class BoardQuery:
    """`hidden` are the kinds that are switched off; `sort` is `metric/part`, a fact's name, or empty for the rank."""

    metric: str = ""
    part: str = ""
    sort: str = ""
    reverse: bool = False
    search: str = ""
    approach: str = ""
    extra: str = ""
    hidden: frozenset[str] = frozenset()
    at: str = ""
    all: bool = False

    @property
    def moment(self) -> datetime | None:
        """The end of the day of `at`, or its very moment; None for now, and for what is no date."""
        try:
            if moment := parse_datetime(self.at) if "T" in self.at else None:
                return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            day = parse_date(self.at) if self.at else None
        except ValueError:
            return None
        return datetime.combine(day, time.max, tzinfo=UTC) if day else None

    @property
    def filtered(self) -> bool:
        return bool(self.search or self.approach or self.extra or self.hidden)

    def parameters(self) -> list[tuple[str, str]]:
        """What differs from the plain board, in a fixed order: two addresses of the same view are equal."""
        pairs = [
            ("metric", self.metric),
            ("part", self.part),
            ("sort", self.sort),
            ("order", "up" if self.reverse else ""),
            ("q", self.search),
            ("approach", self.approach),
            ("extra", self.extra),
            *(("hide", kind) for kind in KINDS if kind in self.hidden),
            ("at", self.at),
            ("all", "1" if self.all else ""),
        ]
        return [(key, value) for key, value in pairs if value]

    def link(self, **changes: Any) -> str:
        """The query string of this view with something changed; `?` alone for the plain board."""
        return "?" + urlencode(replace(self, **changes).parameters())

    def without(self, *names: str) -> list[tuple[str, str]]:
        """The pairs that a form about `names` must carry along as hidden fields."""
        return [pair for pair in self.parameters() if pair[0] not in names]


def parse(data: Mapping[str, Any]) -> BoardQuery:
    """From a request's GET; whatever is not understood is left out rather than an error."""
    getlist = getattr(data, "getlist", lambda key: [data[key]] if key in data else [])

    def text(key: str, limit: int = 80) -> str:
        return str(data.get(key, ""))[:limit].replace("\x00", "").strip()

    hidden = {kind for kind in getlist("hide") if kind in KINDS}
    # a form can only say what is ticked, so it says `show` for those, and `kinds` to be told from a bare address
    if "kinds" in data:
        hidden = set(KINDS) - set(getlist("show"))
    query = BoardQuery(
        metric=text("metric"),
        part=text("part"),
        sort=text("sort"),
        reverse=text("order") == "up",
        search=text("q"),
        approach=text("approach"),
        extra=text("extra"),
        hidden=frozenset(hidden),
        at=text("at", 40),
        all=text("all") == "1",
    )
    return query if query.moment else replace(query, at="")


def chosen(board: Board, query: BoardQuery) -> list[Row]:
    """The entries that the filters leave, in the order that the sort column asks for; stale ones after the others."""
    return sorted(_chosen(board, query), key=lambda row: row.stale)


def _chosen(board: Board, query: BoardQuery) -> list[Row]:
    rows = [row for row in board.entries if row.kind not in query.hidden and _matches(row, query)]
    if not query.sort and not query.reverse:
        return rows
    if not query.sort:
        return _ordered(rows, lambda row: row.value, best_first_is_large=not board.metric.higher_is_better)
    if query.sort in FACTS:
        attribute = FACTS[query.sort]
        large_first = query.sort not in _SMALL_FIRST
        return _ordered(
            rows,
            lambda row: (
                getattr(row, attribute).casefold()
                if isinstance(getattr(row, attribute), str)
                else getattr(row, attribute)
            ),
            best_first_is_large=large_first != query.reverse,
        )
    metric, _, part = query.sort.partition("/")
    higher = next((spec.higher_is_better for spec in board.dataset.metrics if spec.name == metric), True)
    return _ordered(
        rows,
        lambda row: cell.value if (cell := row.cells.get((metric, part))) else None,
        best_first_is_large=higher != query.reverse,
    )


def _ordered(rows: list[Row], value_of: Any, *, best_first_is_large: bool) -> list[Row]:
    known = [row for row in rows if value_of(row) not in (None, "")]
    missing = [row for row in rows if value_of(row) in (None, "")]
    return sorted(known, key=value_of, reverse=best_first_is_large) + missing


def _matches(row: Row, query: BoardQuery) -> bool:
    if query.search:
        haystack = " ".join((row.name, row.team, row.authors, row.backbone, row.paper_title, row.source)).casefold()
        if not all(word in haystack for word in query.search.casefold().split()):
            return False
    if query.approach and row.approach != query.approach:
        return False
    if query.extra == "none":
        return row.extra_data.casefold() == "none"
    if query.extra == "some":
        return bool(row.extra_data) and row.extra_data.casefold() != "none"
    return True


def columns_of(board: Board) -> list[Column]:
    """The columns beside the main one: the dataset's usual ones, moved to the parts of the metric that was picked."""
    spec = board.metric
    labels = {column.part: column.label for column in board.columns}
    usual = {column.metric for column in board.columns}
    if len(usual) == 1 and len(spec.parts) > 1:
        columns = [
            Column(spec.name, column.part, column.label) for column in board.columns if column.part in spec.parts
        ]
        if len(columns) < 3:
            columns = [Column(spec.name, part, labels.get(part, part_label(part))) for part in spec.parts]
    else:
        columns = board.columns
    return [column for column in columns if (column.metric, column.part) != (spec.name, board.part)]
