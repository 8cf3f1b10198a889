"""The reference models, and their runs on the hidden images."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from leaderboard import baselines as operations
from leaderboard.models import BaselineRun
from leaderboard.views.answers import kept_private
from leaderboard.views.standings import row_of
from leaderboard.visibility import benchmarks_for


@kept_private
@require_safe
def baselines(request: HttpRequest) -> HttpResponse:
    runs = list(
        BaselineRun.objects.filter(benchmark__in=benchmarks_for(request.user)).select_related(
            "benchmark", "submission"
        )[:100]
    )
    names = operations.available()
    lines = [(run, row_of(run.benchmark, run.submission_id) if run.submission_id else None) for run in runs]
    models = []
    for name in names:
        done = [(run, row) for run, row in lines if run.baseline == name]
        latest: dict[str, Any] = next((run.record for run, _ in done if run.record), {})
        models.append(
            {
                "name": name,
                "title": latest.get("title") or name.replace("_", " ").capitalize(),
                "record": latest,
                "runs": len(done),
            }
        )
    context = {"section": "baselines", "models": models, "lines": lines, "open": any(run.is_open for run in runs)}
    return render(request, "baselines.html", context)
