"""A board: the fold over its events at a date, ordered by one metric and part (`rows`), with reported results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from django.db.models import Max

from evaluator import load_dataset
from evaluator.dataset import Column, Dataset, MetricSpec
from leaderboard.boards.rows import Cell, Row, description, merge, order, rank
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
    """The board of a benchmark by one metric and part, now or as it was at a date. Raises `UnknownMetric`."""
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
        team_id=method.team_id,
        method_id=method.pk,
        submission_id=submission.pk,
        published_at=event.at,
        record=run.record if run else {},
        **description(method),
    )


def _reported_rows(benchmark: Benchmark, specs: Mapping[str, MetricSpec]) -> list[Row]:
    return [
        Row(
            kind="reported",
            name=result.method,
            team="",
            cells={(metric, part): _cell(specs, metric, value) for metric, part, value in result.numbers},
            source=result.source,
            **description(result),
        )
        for result in ReportedResult.objects.filter(benchmark=benchmark)
    ]
