"""A board: the fold over its events at a date, ordered by one metric and part, with reported numbers beside it.

Best first by the metric's own direction. One rule, `clearly_better`, decides about ranks, bold and the summary
sentence; rows that it does not separate share ranks. A row without the number is last and has no rank. A row that was
scored on other annotations than those in force (then) is stale: it is listed after the others, unranked.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from django.db.models import Max

from evaluator import load_dataset
from evaluator.dataset import Column, Dataset, MetricSpec
from leaderboard.models import (
    Benchmark,
    BoardEvent,
    Evaluation,
    Method,
    Release,
    ReportedResult,
    Score,
    State,
    Submission,
)


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


@dataclass(frozen=True)
class InForce:
    """The annotations that a board ranks by. An empty digest: none are known."""

    truth_sha256: str
    images: int
    people: int


@dataclass(frozen=True)
class Board:
    benchmark: Benchmark
    dataset: Dataset
    metric: MetricSpec
    part: str
    columns: list[Column]
    ranked: list[Row]
    stale: list[Row]
    reported: list[Row]
    entries: list[Row]
    in_force: InForce
    version: int
    at: datetime | None


class UnknownMetric(LookupError):
    """The dataset has no such metric, or the metric no such part."""


def board(
    benchmark: Benchmark, *, metric: str | None = None, part: str | None = None, at: datetime | None = None
) -> Board:
    """The board of a benchmark by one metric and part, now or as it stood at a date. Raises `UnknownMetric`."""
    dataset = load_dataset(benchmark.dataset)
    specs = {spec.name: spec for spec in dataset.metrics}
    spec = specs.get(metric or dataset.primary)
    if spec is None:
        raise UnknownMetric(f"{benchmark.dataset} has no metric {metric}: choose one of {', '.join(specs)}")
    part = part or (dataset.primary_part if dataset.primary_part in spec.parts else "all")
    if part not in spec.parts:
        raise UnknownMetric(f"{spec.name} has no part {part}: choose one of {', '.join(spec.parts)}")
    key = (spec.name, part)
    truth = in_force(benchmark, at)
    measured = rank(
        _measured_rows(benchmark, specs, at, truth.truth_sha256), key=key, higher_is_better=spec.higher_is_better
    )
    ranked = [row for row in measured if not row.stale]
    stale = [row for row in measured if row.stale]
    reported = order(_reported_rows(benchmark, specs), key=key, higher_is_better=spec.higher_is_better)
    return Board(
        benchmark=benchmark,
        dataset=dataset,
        metric=spec,
        part=part,
        columns=_columns(dataset, [*measured, *reported]),
        ranked=ranked,
        stale=stale,
        reported=reported,
        entries=[*merge(ranked, reported, higher_is_better=spec.higher_is_better), *stale],
        in_force=truth,
        version=benchmark.version,
        at=at,
    )


# --- pure: rows in, rows out -----------------------------------------------------------------------------------------


def order(rows: Iterable[Row], *, key: tuple[str, str], higher_is_better: bool) -> list[Row]:
    """Rows with the value of `key` filled in, best first; those without it last, stale ones after them; equal ones by
    name."""
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

    Intervals that meet, in one point even, are a tie: without a paired test of two methods nothing separates them. A
    number without an interval is a point. It loses to an interval that lies wholly above it (the 0 of an empty file),
    and ties with one that holds it.
    """
    (low, high), (other_low, other_high) = extent(one), extent(other)
    return low > other_high if higher_is_better else high < other_low


def leads(one: Any, others: Iterable[Any], *, higher_is_better: bool) -> bool:
    """Whether `one` is printed bold: it has an interval, and is clearly better than every other; there must be one.

    Without an interval nothing says how far its number may move.
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
    lows, highs = (sorted(ends) for ends in zip(*extents, strict=True)) if extents else ([], [])
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


def _columns(dataset: Dataset, rows: list[Row]) -> list[Column]:
    """The dataset's usual columns, without those that no row fills."""
    filled = {key for row in rows for key in row.cells}
    columns = [column for column in dataset.columns if (column.metric, column.part) in filled]
    return columns or list(dataset.columns)


# --- rows from the tables --------------------------------------------------------------------------------------------


def events_on_board(benchmark: Benchmark, at: datetime | None) -> list[BoardEvent]:
    """The placing event of each method on the board, now or at a date."""
    events = BoardEvent.objects.filter(benchmark=benchmark).select_related(
        "submission", "submission__baseline_run", "method", "method__team"
    )
    if at is None:
        return list(events.filter(current=True, kind__in=BoardEvent.ON_BOARD))
    last = (
        BoardEvent.objects.filter(benchmark=benchmark, kind__in=BoardEvent.PLACING, at__lte=at)
        .order_by()
        .values("method")
        .annotate(last=Max("pk"))
        .values("last")
    )
    return list(events.filter(pk__in=last, kind__in=BoardEvent.ON_BOARD))


def _cell(specs: Mapping[str, MetricSpec], metric: str, *numbers: float | None) -> Cell:
    """A cell with the unit and the direction of its metric; an unknown metric's is a fraction."""
    value, low, high = (*numbers, None, None)[:3]
    assert value is not None
    spec = specs.get(metric)
    return Cell(value, low, high, spec.unit if spec else "", spec.higher_is_better if spec else True)


def in_force(benchmark: Benchmark, at: datetime | None) -> InForce:
    """The annotations in force on a benchmark, now or at a date.

    The last release by that date. Before the first one on record the evaluations tell: each was made for the
    annotations in force at its time, so the last one that had begun by that date names them, otherwise the first.
    """
    if at is None:
        return InForce(benchmark.truth_sha256, benchmark.image_count, benchmark.person_count)
    release = Release.objects.filter(benchmark=benchmark, at__lte=at).order_by("-at", "-pk").first()
    if release is not None:
        return InForce(release.truth_sha256, release.image_count, release.person_count)
    evaluations = Evaluation.objects.filter(submission__benchmark=benchmark, state=State.SCORED)
    known = (
        evaluations.filter(queued_at__lte=at, started_at__lte=at).order_by("-queued_at", "-pk").first()
        or evaluations.order_by("queued_at", "pk").first()
    )
    if known is None:
        return InForce("", 0, 0)
    return InForce(known.truth_sha256, known.report.get("images", 0), known.report.get("people", 0))


def _measured_rows(
    benchmark: Benchmark, specs: Mapping[str, MetricSpec], at: datetime | None, truth_sha256: str
) -> list[Row]:
    events = events_on_board(benchmark, at)
    cells: dict[int, dict[tuple[str, str], Cell]] = {}
    scores = Score.objects.filter(evaluation__in=[event.evaluation_id for event in events])
    for evaluation, metric, part, value, low, high in scores.values_list(
        "evaluation", "metric", "part", "value", "low", "high"
    ):
        cells.setdefault(evaluation, {})[metric, part] = _cell(specs, metric, value, low, high)
    scored_on = Evaluation.objects.filter(pk__in=[event.evaluation_id for event in events])
    truths = dict(scored_on.values_list("pk", "truth_sha256"))
    rows = []
    for event in events:
        submission, method = event.submission, event.method
        if submission is None or method is None or event.evaluation_id is None:
            continue
        row = _measured_row(event, submission, method, cells.get(event.evaluation_id, {}))
        rows.append(replace(row, stale=bool(truth_sha256) and truths[event.evaluation_id] != truth_sha256))
    return rows


def _measured_row(event: BoardEvent, submission: Submission, method: Method, cells: dict[tuple[str, str], Cell]) -> Row:
    run = getattr(submission, "baseline_run", None)
    return Row(
        kind="baseline" if submission.source == Submission.Source.BASELINE else "submission",
        name=method.name,
        team=method.team.name,
        cells=cells,
        authors=method.authors,
        year=method.year,
        team_id=method.team_id,
        method_id=method.pk,
        submission_id=submission.pk,
        approach=method.approach,
        backbone=method.backbone,
        input_size=method.input_size,
        parameters=method.parameters,
        gflops=method.gflops,
        extra_data=method.extra_data,
        paper_url=method.paper_url,
        paper_title=method.paper_title,
        code_url=method.code_url,
        published_at=event.at,
        record=run.record if run else {},
    )


def _reported_rows(benchmark: Benchmark, specs: Mapping[str, MetricSpec]) -> list[Row]:
    return [
        Row(
            kind="reported",
            name=result.method,
            team="",
            cells={(metric, part): _cell(specs, metric, value) for metric, part, value in result.numbers},
            authors=result.authors,
            year=result.year,
            backbone=result.backbone,
            input_size=result.input_size,
            parameters=result.parameters,
            gflops=result.gflops,
            extra_data=result.extra_data,
            paper_url=result.paper_url,
            paper_title=result.paper_title,
            source=result.source,
        )
        for result in ReportedResult.objects.filter(benchmark=benchmark)
    ]
