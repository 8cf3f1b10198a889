"""The short form of a board that cards and lists show, cached until the board's version changes."""

from __future__ import annotations

from dataclasses import dataclass

from django.core.cache import cache

from evaluator import DatasetDefinitionError
from leaderboard.boards import rankings
from leaderboard.boards.rows import Row
from leaderboard.models import Benchmark


@dataclass(frozen=True)
class Summary:
    """A benchmark's board in a few numbers: its best row, how many rows of each kind, the rank of each submission."""

    metric_title: str
    best: Row | None
    rows: int
    measured: int
    stale: int
    joints: int
    by_submission: dict[int, Row]
    part_values: tuple[tuple[str, float, float | None, float | None, str], ...]


def summary(benchmark: Benchmark) -> Summary | None:
    """None where the dataset's definition cannot be read: the page then says so instead of failing."""
    key = f"summary:{benchmark.pk}:{benchmark.version}"
    found: Summary | None = cache.get(key)
    if found is None:
        try:
            board = rankings.board(benchmark)
        except (DatasetDefinitionError, LookupError, OSError):
            return None
        found = _short(board)
        cache.set(key, found, 3600)
    return found


def _short(board: rankings.Board) -> Summary:
    measured = [row for row in board.ranked if row.value is not None]
    printed = [row for row in board.reported if row.value is not None]
    best = measured[0] if measured else printed[0] if printed else None
    parts: tuple[tuple[str, float, float | None, float | None, str], ...] = ()
    if best is not None:
        parts = tuple(
            (part, cell.value, cell.low, cell.high, cell.unit)
            for (metric, part), cell in best.cells.items()
            if metric == board.metric.name and part != "all"
        )
    return Summary(
        metric_title=board.metric.title,
        best=best,
        rows=len(board.entries),
        measured=len(measured),
        stale=len(board.stale),
        joints=len(board.dataset.joints),
        by_submission={row.submission_id: row for row in [*board.ranked, *board.stale] if row.submission_id},
        part_values=parts,
    )


def row_of(benchmark: Benchmark, submission_id: int) -> Row | None:
    found = summary(benchmark)
    return found.by_submission.get(submission_id) if found else None
