"""Boards: the ranked view of a benchmark by one metric and part, now or at a date."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import get_conditional_response
from ninja import Field, Query, Router
from pydantic import AfterValidator, BaseModel

from leaderboard.api.access import anyone
from leaderboard.api.application import REVALIDATED
from leaderboard.api.benchmarks import visible
from leaderboard.boards import rankings
from leaderboard.boards.rows import Row, description
from leaderboard.operations.baseline_runs import public_record

router = Router(tags=["boards"])


@dataclass(frozen=True, slots=True)
class ScoreOut:
    """A score and its 95% interval, if it has one. A fraction, not percent, unless the metric has a unit."""

    metric: str
    part: str
    value: float
    low: float | None
    high: float | None


class EntryOut(BaseModel):
    """A row. Only `submission` and `baseline` rows were measured here and have ranks; `reported` rows are from papers.

    `rank` is 1 plus the number of rows whose 95% intervals are entirely better than this row's. `worst_rank` is the
    number of measured rows minus those whose intervals are entirely worse. `tied` is true if the two differ. A score
    without an interval is treated as a point. `stale` rows were scored on earlier annotations than the board's: they
    come last and have no rank.
    """

    kind: str
    rank: int | None
    worst_rank: int | None
    tied: bool
    stale: bool
    name: str
    team: str
    value: float | None
    low: float | None
    high: float | None
    scores: list[ScoreOut]
    authors: str
    year: int | None
    approach: str
    backbone: str
    input_size: str
    parameters: int | None
    gflops: float | None
    extra_data: str
    paper_title: str
    paper_url: str
    code_url: str
    published_at: datetime | None
    method_id: int | None
    submission_id: int | None
    url: str | None
    source: str
    run: dict[str, Any] | None = Field(
        description="For a baseline run on this site: `images_per_second`, the `device` it was measured on, and more"
    )


class BoardOut(BaseModel):
    """`version` increases with every visible change; the ETag contains it."""

    benchmark: str
    metric: str
    part: str
    unit: str
    higher_is_better: bool
    version: int
    at: datetime | None
    truth_sha256: str = Field(description="Digest of the annotations that the ranked rows were scored on")
    entries: list[EntryOut]


def _in_utc(moment: datetime) -> datetime:
    return timezone.make_aware(moment) if timezone.is_naive(moment) else moment


class BoardQuery(BaseModel):
    metric: str | None = Field(None, max_length=40, description="The benchmark's primary metric by default")
    part: str | None = Field(None, max_length=40, description="`all` by default, unless the dataset names another")
    at: Annotated[datetime, AfterValidator(_in_utc)] | None = Field(
        None, description="The board as of this date (UTC unless it has an offset)"
    )


def _entry(row: Row, address: str) -> EntryOut:
    return EntryOut.model_construct(
        kind=row.kind,
        rank=row.rank,
        worst_rank=row.worst_rank,
        tied=row.tied,
        stale=row.stale,
        name=row.name,
        team=row.team,
        value=row.value,
        low=row.low,
        high=row.high,
        scores=[
            ScoreOut(metric=metric, part=part, value=cell.value, low=cell.low, high=cell.high)
            for (metric, part), cell in row.cells.items()
        ],
        **description(row),
        published_at=row.published_at,
        method_id=row.method_id,
        submission_id=row.submission_id,
        url=None if row.submission_id is None else address.replace("/0/", f"/{row.submission_id}/"),
        source=row.source,
        run=public_record(row.record) if row.kind == "baseline" else None,
    )


@router.get("/{benchmark:slug}", auth=anyone, url_name="board", response={200: BoardOut, 304: None})
def get_board(request: HttpRequest, slug: str, query: Query[BoardQuery]) -> HttpResponseBase:
    """The entries, best first. Reported results are sorted among them by value, without a rank."""
    benchmark = visible(request.user, slug)
    etag = _etag(request, benchmark.pk, benchmark.version, query)
    unchanged: HttpResponseBase | None = get_conditional_response(request, etag=etag)
    if unchanged is not None:
        unchanged["ETag"], unchanged["Cache-Control"] = etag, REVALIDATED
        return unchanged
    board = rankings.board(benchmark, metric=query.metric, part=query.part, at=query.at)
    address = request.build_absolute_uri(reverse("submission", args=[0]))
    shown = BoardOut.model_construct(
        benchmark=benchmark.slug,
        metric=board.metric.name,
        part=board.part,
        unit=board.metric.unit or "fraction",
        higher_is_better=board.metric.higher_is_better,
        version=board.version,
        at=board.at,
        truth_sha256=board.in_force.truth_sha256,
        entries=[_entry(row, address) for row in board.entries],
    )
    # a thousand rows of fifty numbers: written without the validation that input from outside needs
    response = HttpResponse(shown.model_dump_json(), content_type="application/json")
    response["ETag"], response["Cache-Control"] = etag, REVALIDATED
    return response


def _etag(request: HttpRequest, benchmark: int, version: int, query: BoardQuery) -> str:
    asked = (request.get_host(), benchmark, query.metric, query.part, query.at and query.at.isoformat())
    return f'"{version}-{hashlib.sha256(repr(asked).encode()).hexdigest()[:12]}"'
