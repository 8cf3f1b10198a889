"""The reference models: what they are, what they see, and their runs on the hidden images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from leaderboard.boards import runnable
from leaderboard.boards.summaries import row_of
from leaderboard.boards.visibility import benchmarks_for
from leaderboard.drawing import architecture
from leaderboard.drawing.numbers import number
from leaderboard.files import blobs
from leaderboard.models import BaselineRun, Benchmark, ReportedResult
from leaderboard.views.responses import private_page


def _runs(request: HttpRequest, **only: Any) -> list[BaselineRun]:
    runs = BaselineRun.objects.filter(benchmark__in=benchmarks_for(request.user), **only)
    return list(runs.select_related("benchmark", "submission", "checkpoint")[:100])


def _lines(runs: list[BaselineRun]) -> list[tuple[BaselineRun, Any]]:
    """Each run with its row on the board, once it has one."""
    return [(run, row_of(run.benchmark, run.submission_id) if run.submission_id else None) for run in runs]


@private_page
@require_safe
def baselines(request: HttpRequest) -> HttpResponse:
    runs = _runs(request)
    can_run = runnable.available()
    models = [
        {
            "about": each,
            "runs": sum(run.baseline == name for run in runs),
            "has_weights": name in can_run,
            "largest": max(runnable.variants_of(name), key=lambda variant: variant.parameters or 0, default=None),
        }
        for name, each in runnable.cards().items()
    ]
    context = {
        "section": "baselines",
        "models": models,
        "lines": _lines(runs),
        "open": any(run.is_open for run in runs),
        "here": request.path,
    }
    return render(request, "baselines.html", context)


@dataclass(frozen=True)
class Result:
    """A number of this architecture: run here, or printed in a paper."""

    kind: str  # "baseline" or "reported"
    name: str
    value: float | None
    low: float | None
    high: float | None
    unit: str = ""  # empty: a fraction, shown in percent
    run: BaselineRun | None = None
    source: str = ""
    measure: str = ""  # of a printed number that is not the board's main one


@private_page
@require_safe
def baseline(request: HttpRequest, name: str) -> HttpResponse:
    """One architecture: its drawing, what it costs, its weights, its numbers here and in papers, what it sees."""
    about = runnable.cards().get(name)
    if about is None:
        raise Http404(f"There is no baseline {name}. The baselines page lists them.")
    drawing = about.drawing
    runs = _runs(request, baseline=name)
    lines = _lines(runs)
    context = {
        "section": "baselines",
        "about": about,
        "variants": runnable.variants_of(name),
        "figure": drawing.blocks
        and architecture.figure(drawing.blocks, drawing.links, drawing.skips, label=about.summary),
        "legend": architecture.legend(drawing.blocks),
        "steps": architecture.table(drawing.blocks),
        "weights": [
            {**each, "claimed": number(each["claim"]["value"], "") if each["claim"] else ""}
            for each in runnable.weights_of(name)
        ],
        "results": _results(request, about, lines),
        "lines": lines,
        "open": any(run.is_open for run in runs),
        "here": request.path,
        "pictured": next((run for run in runs if run.record.get("seen")), None),
    }
    return render(request, "baseline.html", context)


def _results(
    request: HttpRequest, about: Any, lines: list[tuple[BaselineRun, Any]]
) -> list[tuple[Benchmark, str, list[Result]]]:
    """(benchmark, its main metric, numbers) of every board that has some: those run here first, then the printed ones,
    each in order of their value."""
    found: dict[Benchmark, list[Result]] = {}
    for run, row in lines:
        if row is not None and row.value is not None and not row.stale:
            found.setdefault(run.benchmark, []).append(
                Result("baseline", row.name, row.value, row.low, row.high, row.unit, run)
            )
    named = Q()
    for beginning in about.reported_as:
        named |= Q(method__startswith=beginning)
    if about.reported_as:
        printed = ReportedResult.objects.filter(named, benchmark__in=benchmarks_for(request.user))
        for each in printed.select_related("benchmark").order_by("benchmark__position", "pk"):
            value, unit, measure = _printed(each)
            found.setdefault(each.benchmark, []).append(
                Result("reported", each.method, value, None, None, unit, source=each.source, measure=measure)
            )
    ordered = sorted(found.items(), key=lambda pair: (pair[0].position, pair[0].slug))
    return [(benchmark, _metric_title(benchmark), sorted(own, key=_place)) for benchmark, own in ordered]


def _place(result: Result) -> tuple[bool, float]:
    return result.kind == "reported", -(result.value or 0.0)


def _printed(result: ReportedResult) -> tuple[float | None, str, str]:
    """The printed value and unit of the board's main metric; otherwise of the first one, with its name."""
    dataset = result.benchmark.definition
    if dataset is None:
        return None, "", ""
    units = {spec.name: spec.unit for spec in dataset.metrics}
    for metric, part, value in result.numbers:
        if (metric, part) == (dataset.primary, dataset.primary_part):
            return value, units.get(metric, ""), ""
    if not result.numbers:
        return None, "", ""
    metric, part, value = result.numbers[0]
    return value, units.get(metric, ""), f"{metric.upper()} {part.replace('_', ' ')}"


def _metric_title(benchmark: Benchmark) -> str:
    dataset = benchmark.definition
    if dataset is None:
        return ""
    return next((spec.title for spec in dataset.metrics if spec.name == dataset.primary), dataset.primary)


@require_safe
def picture(request: HttpRequest, name: str, pk: int, which: str) -> HttpResponse:
    """A picture of what a run's network sees: the crop, or the strip of a joint by its number."""
    run = get_object_or_404(BaselineRun, benchmark__in=benchmarks_for(request.user), baseline=name, pk=pk)
    pictures = run.record.get("seen")
    if not pictures:
        raise Http404("This run has no pictures.")
    digests = {"crop": pictures["crop"]} | {str(n): joint["strip"] for n, joint in enumerate(pictures["joints"])}
    if which not in digests:
        raise Http404("There is no such picture.")
    try:
        content = blobs.path(digests[which]).read_bytes()
    except FileNotFoundError:
        raise Http404("The picture was deleted.") from None
    response = HttpResponse(content, content_type="image/webp")
    response["Cache-Control"] = "private, max-age=86400, immutable"
    return response
