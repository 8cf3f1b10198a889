"""The front page: what the site is, its boards, the newest results, how to submit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.safestring import SafeString
from django.views.decorators.http import require_safe

from leaderboard.boards.summaries import Summary, summary
from leaderboard.boards.visibility import benchmarks_for
from leaderboard.drawing import graticule, skeleton
from leaderboard.drawing.skeleton import PartResult
from leaderboard.models import Benchmark, BoardEvent, Phase
from leaderboard.queue import clock
from leaderboard.views.responses import public_for_anonymous

NEWEST = 6


@dataclass(frozen=True)
class News:
    event: BoardEvent
    row: Any
    metric: str
    scale: SafeString


@require_safe
@public_for_anonymous
def front(request: HttpRequest) -> HttpResponse:
    benchmarks = list(benchmarks_for(request.user))
    cards = [(benchmark, summary(benchmark)) for benchmark in benchmarks]
    news, news_scale = _newest(benchmarks)
    now = clock.now()
    open_ones = [benchmark for benchmark in benchmarks if benchmark.phase(now) == Phase.OPEN]
    context = {
        "section": "boards",
        "cards": cards,
        "news": news,
        "news_scale": news_scale,
        "all_stale": not news and any(short and short.stale for _, short in cards),
        "hero": _hero(cards),
        "example": next(iter(open_ones or benchmarks), None),
        "any_open": bool(open_ones),
        "now": now,
    }
    return render(request, "front.html", context)


def _newest(benchmarks: list[Benchmark]) -> tuple[list[News], SafeString]:
    """The newest rows on one scale, and the scale's lines."""
    events = list(
        BoardEvent.objects.filter(
            benchmark__in=benchmarks,
            current=True,
            kind__in=BoardEvent.ON_BOARD,
            evaluation__truth_sha256=F("benchmark__truth_sha256"),
        )
        .select_related("benchmark", "method", "submission")
        .order_by("-at", "-id")[:NEWEST]
    )
    found = []
    for event in events:
        short = summary(event.benchmark)
        row = short.by_submission.get(event.submission_id or 0) if short else None
        if short and row and row.value is not None and not row.stale:
            found.append((event, row, short.metric_title))
    # one scale for all, in percent: what is measured in millimetres has no place on it
    on = graticule.scale([value for _, row, _ in found if not row.unit for value in (row.value, row.low, row.high)])

    def drawn(row: Any) -> SafeString:
        if row.unit:
            return graticule.join([])
        return graticule.row(on, row.kind, row.value or 0.0, row.low, row.high, height=58, id_="news")

    news = [News(event, row, metric, drawn(row)) for event, row, metric in found]
    return news, graticule.symbol(on, id_="news")


def _hero(cards: list[tuple[Benchmark, Summary | None]]) -> dict[str, Any] | None:
    """The best measured method's parts on the body; otherwise the joints of the first dataset, without numbers."""
    for benchmark, short in cards:
        if not short or not short.measured or not short.best or not short.part_values:
            continue
        dataset = benchmark.definition
        if dataset is None:
            continue
        label = f"{short.metric_title} of {short.best.name} by part on {benchmark.title}"
        results = [PartResult(*values) for values in short.part_values]
        higher = dataset.metric(dataset.primary).higher_is_better
        drawing = skeleton.with_results(dataset, results, label=label, higher_is_better=higher)
        if drawing:
            return {"drawing": drawing, "benchmark": benchmark, "short": short}
    for benchmark, _ in cards:
        dataset = benchmark.definition
        if dataset is not None and skeleton.has_pose(dataset):
            return {"drawing": skeleton.named(dataset), "benchmark": benchmark, "short": None, "dataset": dataset}
    return None
