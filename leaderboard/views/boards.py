"""Boards: the list of them, one of them, and one as a file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import and_, or_
from typing import Any

from django.core.cache import cache
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotModified
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.utils.http import parse_etags, quote_etag
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_safe

import evaluator
from evaluator import DatasetDefinitionError
from evaluator.dataset import Column, Dataset, part_label
from leaderboard.boards import rankings, wording
from leaderboard.boards.rankings import Board
from leaderboard.boards.rows import Row
from leaderboard.boards.summaries import summary
from leaderboard.boards.visibility import benchmarks_for
from leaderboard.drawing import charts, graticule
from leaderboard.files import blobs
from leaderboard.models import BaselineRun, Benchmark, BoardEvent, Method, ReportedResult
from leaderboard.models.jobs import OPEN_STATES
from leaderboard.queue import clock
from leaderboard.templatetags.poseboard import abbreviated
from leaderboard.views import exports
from leaderboard.views.board_query import FIRST_ROWS, BoardQuery, chosen, columns_of, parse
from leaderboard.views.responses import public_for_anonymous

MOST_FOUND = 50
"""Rows of each kind that a search lists."""


@require_safe
@public_for_anonymous
def boards(request: HttpRequest) -> HttpResponse:
    """All benchmarks; with `q`, also the datasets, and the measured and the reported results on the boards."""
    words = request.GET.get("q", "")[:80].replace("\x00", "").split()
    benchmarks = benchmarks_for(request.user)
    cards = [(benchmark, summary(benchmark)) for benchmark in benchmarks]
    context: dict[str, Any] = {"section": "boards", "q": " ".join(words), "now": clock.now()}
    if words:
        methods = Method.objects.select_related("team").filter(
            events__current=True, events__kind__in=BoardEvent.ON_BOARD, events__benchmark__in=benchmarks
        )
        methods = methods.filter(_each(words, "name", "team__name", "authors", "backbone", "paper_title")).distinct()
        printed = ReportedResult.objects.select_related("benchmark").filter(
            _each(words, "method", "authors", "backbone", "paper_title", "source"), benchmark__in=benchmarks
        )
        context |= {
            "found": list(methods.order_by("name")[:MOST_FOUND]),
            "found_count": methods.count(),
            "printed": list(printed.order_by("benchmark__position", "benchmark__slug", "method", "pk")[:MOST_FOUND]),
            "printed_count": printed.count(),
            "datasets": [dataset for dataset in _datasets() if _said(words, dataset.name, dataset.title)],
        }
        cards = [
            (benchmark, short)
            for benchmark, short in cards
            if _said(words, benchmark.title, benchmark.dataset, benchmark.slug, benchmark.split, benchmark.summary)
        ]
    return render(request, "boards.html", {**context, "cards": cards})


def _each(words: list[str], *fields: str) -> Q:
    """Rows that have every word in one of the fields."""
    return reduce(and_, (reduce(or_, (Q(**{f"{field}__icontains": word}) for field in fields)) for word in words))


def _said(words: list[str], *texts: str) -> bool:
    haystack = " ".join(texts).casefold()
    return all(word.casefold() in haystack for word in words)


def _datasets() -> list[Dataset]:
    """Those whose definitions can be read; a broken one takes nothing else down."""
    found = []
    for name in evaluator.dataset_names():
        try:
            found.append(evaluator.load_dataset(name))
        except evaluator.DatasetDefinitionError:
            continue
    return found


@dataclass(frozen=True)
class Line:
    """A row of the table with what is drawn in it."""

    row: Row
    scale: Any
    cells: list[tuple[Column, Any, bool]]
    top: bool


def board_tag(benchmark: Benchmark, query: BoardQuery, runs: list[BaselineRun], phase: str = "") -> str:
    """What the page shows, as a digest: the board's version and its view, how far baselines are, whether it is open."""
    progress = ";".join(f"{run.pk}.{run.state}.{run.images_done}" for run in runs)
    said = f"{benchmark.pk}|{benchmark.version}|{evaluator.__version__}|{query.parameters()}|{progress}|{phase}"
    return hashlib.sha256(said.encode()).hexdigest()[:32]


@gzip_page
@require_safe
@public_for_anonymous
def board(request: HttpRequest, slug: str) -> HttpResponseBase:
    """One board. Anonymous readers share a copy of it until its version changes."""
    benchmark = get_object_or_404(benchmarks_for(request.user), slug=slug)
    query = parse(request.GET)
    running = BaselineRun.objects.filter(benchmark=benchmark, state__in=OPEN_STATES)
    runs = list(running.select_related("checkpoint").order_by("pk"))
    # most benchmarks have no dates, and then every moment is the same: the cached page needs no query for it
    now = clock.now() if benchmark.opens_at or benchmark.closes_at else timezone.now()
    if request.user.is_authenticated:
        return render(request, "board.html", board_page(benchmark, query, runs, now))
    tag = board_tag(benchmark, query, runs, benchmark.phase(now))
    if quote_etag(tag) in [each.removeprefix("W/") for each in parse_etags(request.headers.get("If-None-Match", ""))]:
        response: HttpResponse = HttpResponseNotModified()
    else:
        page = cache.get(f"board:{tag}")
        if page is None:
            page = render(request, "board.html", board_page(benchmark, query, runs, now)).content
            cache.set(f"board:{tag}", page, 600)
        response = HttpResponse(page)
    response["ETag"] = quote_etag(tag)
    return response


def _board(benchmark: Benchmark, query: BoardQuery) -> Board:
    try:
        return rankings.board(benchmark, metric=query.metric or None, part=query.part or None, at=query.moment)
    except rankings.UnknownMetric as unknown:
        raise Http404(str(unknown)) from None
    except DatasetDefinitionError:
        raise Http404(f"The definition of {benchmark}'s dataset is missing, so its board cannot be shown.") from None


def board_page(benchmark: Benchmark, query: BoardQuery, runs: list[BaselineRun], now: datetime) -> dict[str, Any]:
    """Everything the template shows."""
    found = _board(benchmark, query)
    columns = columns_of(found)
    rows = chosen(found, query)
    shown = rows if query.all else rows[:FIRST_ROWS]
    stale = sum(row.stale for row in rows)
    numbers = [value for row in rows if not row.stale for value in (row.value, row.low, row.high)]
    on = graticule.scale(numbers, unit=found.metric.unit)
    lines = [_line(row, columns, (found.metric.name, found.part), on) for row in shown]
    siblings = [
        (other, summary(other))
        for other in Benchmark.objects.filter(dataset=benchmark.dataset, is_public=True).exclude(pk=benchmark.pk)
    ]
    entries = found.entries
    counts = {kind: sum(row.kind == kind for row in entries) for kind in ("submission", "baseline", "reported")}
    # numbers on other annotations share no scale with these
    plain_rows = [row for row in entries if row.kind not in query.hidden and not row.stale]
    titles = {
        "measured": any(row.value is not None for row in found.ranked),
        "parameters": any(row.parameters for row in rows),
        "gflops": any(row.gflops for row in rows),
        "speed": any(row.images_per_second for row in rows),
        "extra": any(row.extra_data for row in rows),
    }
    return {
        "section": "boards",
        "benchmark": benchmark,
        "now": now,
        "phase": benchmark.phase(now),
        "board": found,
        "query": query,
        "columns": columns,
        "lines": lines,
        "more": len(rows) - len(shown),
        "all_link": query.link(all=True),
        "now_link": query.link(at=""),
        "carried": query.without("at"),
        "scale": on,
        "scale_symbol": graticule.symbol(on),
        "scale_header": graticule.header(on),
        "counts": counts,
        "stale": stale,
        "has": titles,
        "siblings": siblings,
        "runs": [] if query.moment else runs,
        "summary": wording.board_summary(
            found.ranked, people=found.in_force.people, higher_is_better=found.metric.higher_is_better
        ),
        "reported_note": wording.reported_note(
            found.ranked, found.reported, higher_is_better=found.metric.higher_is_better
        ),
        "stale_note": wording.stale_note(len(found.stale), ranked=len(found.ranked)),
        "charts": [
            charts.best_over_time(
                plain_rows, metric_title=found.metric.title, higher_is_better=found.metric.higher_is_better
            ),
            charts.every_part(plain_rows, columns),
            charts.against_cost(plain_rows, metric_title=found.metric.title),
        ],
        "approaches": [
            (value, name)
            for value, name in Method.Approach.choices
            if value and (any(row.approach == value for row in entries) or query.approach == value)
        ],
        "headers": headers(found, columns, query, titles),
        "phone_columns": f"k{min(max(len(columns), 5), 7)}" if columns else "k5",
        "exports": [
            ("csv", "CSV"),
            ("json", "JSON"),
            ("md", "Markdown"),
            ("tex", "LaTeX"),
            ("bib", "BibTeX of the papers"),
        ],
        "width": 7 + len(columns) + sum(titles[each] for each in ("parameters", "gflops", "speed", "extra")),
    }


def _line(row: Row, columns: list[Column], main: tuple[str, str], on: graticule.Scale) -> Line:
    comparable = row.value is not None and not row.stale
    drawn = graticule.row(on, row.kind, row.value or 0.0, row.low, row.high, bleed=30) if comparable else ""
    keys = [(column, (column.metric, column.part)) for column in columns]
    return Line(row, drawn, [(column, row.cells.get(key), key in row.top) for column, key in keys], main in row.top)


@dataclass(frozen=True)
class Header:
    """A column's head: a link that sorts by it, or turns the order round where it sorts already."""

    label: str
    link: str
    sorted: str
    title: str = ""


def headers(found: Board, columns: list[Column], query: BoardQuery, has: dict[str, bool]) -> dict[str, Any]:
    directions = {spec.name: spec.higher_is_better for spec in found.dataset.metrics}

    def head(key: str, label: str, large_first: bool, title: str = "") -> Header:
        active = query.sort == key
        link = query.link(sort=key, reverse=active and not query.reverse)
        direction = "" if not active else "descending" if large_first != query.reverse else "ascending"
        return Header(label, link, direction, title)

    part = "" if found.part == "all" else f" {part_label(found.part)}"
    return {
        "main": head("", f"{found.metric.title}{part}", found.metric.higher_is_better),
        "method": head("method", "Method", False),
        "columns": [
            head(
                f"{column.metric}/{column.part}",
                abbreviated(column.label),
                directions.get(column.metric, True),
                part_label(column.part) if column.part != "all" else "",
            )
            for column in columns
        ],
        "parameters": head("parameters", "Params, M", False),
        "gflops": head("gflops", "GFLOPs", False),
        "speed": head("speed", "Images/s", True, "Images per second, for baselines run on this site"),
        "extra": head("extra", "Extra data", False),
    }


@require_safe
@public_for_anonymous
def board_export(request: HttpRequest, slug: str, form: str) -> HttpResponse:
    """The board in the same view as a file."""
    if form not in exports.TYPES:
        raise Http404("Boards are available as csv, json, md, tex and bib.")
    benchmark = get_object_or_404(benchmarks_for(request.user), slug=slug)
    query = parse(request.GET)
    found = _board(benchmark, query)
    text = exports.write(form, found, chosen(found, query), columns_of(found))
    response = HttpResponse(text, content_type=exports.TYPES[form])
    response["Content-Disposition"] = f'attachment; filename="{benchmark.slug}.{form}"'
    response["ETag"] = quote_etag(board_tag(benchmark, query, []))
    return response


@require_safe
@public_for_anonymous
def image_list(request: HttpRequest, slug: str) -> HttpResponse:
    """The public image list: what a submission is checked against, in the page and in a shell."""
    benchmark = get_object_or_404(benchmarks_for(request.user), slug=slug)
    if not benchmark.image_list_sha256:
        raise Http404(f"{benchmark} has no image list yet. Its organiser must import annotations first.")
    response = HttpResponse(blobs.path(benchmark.image_list_sha256).read_bytes(), content_type="application/json")
    response["ETag"] = quote_etag(benchmark.image_list_sha256[:32])
    return response
