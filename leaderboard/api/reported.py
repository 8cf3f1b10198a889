"""Reported results: numbers printed in papers, with their source. They were not verified here and have no rank."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from ninja import Router
from pydantic import BaseModel

from leaderboard.api.access import anyone
from leaderboard.api.application import REVALIDATED
from leaderboard.api.benchmarks import visible
from leaderboard.boards.rows import description
from leaderboard.boards.visibility import benchmarks_for
from leaderboard.models import ReportedResult

router = Router(tags=["reported results"])


class ReportedScore(BaseModel):
    metric: str
    part: str
    value: float


class ReportedOut(BaseModel):
    benchmark: str
    key: str
    method: str
    authors: str
    year: int | None
    paper_title: str
    paper_url: str
    source: str
    backbone: str
    input_size: str
    parameters: int | None
    gflops: float | None
    extra_data: str
    scores: list[ReportedScore]


class ReportedResultsOut(BaseModel):
    items: list[ReportedOut]


def _shown(result: ReportedResult) -> ReportedOut:
    return ReportedOut(
        benchmark=result.benchmark.slug,
        key=result.key,
        method=result.method,
        source=result.source,
        **description(result),
        scores=[ReportedScore(metric=metric, part=part, value=value) for metric, part, value in result.numbers],
    )


@router.get("", response=ReportedResultsOut, auth=anyone)
def list_reported(request: HttpRequest, response: HttpResponse, benchmark: str | None = None) -> ReportedResultsOut:
    """Results reported in papers, for the benchmarks that the caller can see or for one of them."""
    results = ReportedResult.objects.select_related("benchmark").order_by("benchmark__slug", "key")
    if benchmark is not None:
        results = results.filter(benchmark=visible(request.user, benchmark))
    else:
        results = results.filter(benchmark__in=benchmarks_for(request.user))
    response["Cache-Control"] = REVALIDATED
    return ReportedResultsOut(items=[_shown(result) for result in results])
