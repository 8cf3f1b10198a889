"""How the site works, and how it is doing."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, Max, Min, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe

from leaderboard.models import AnnotationImport, BaselineRun, Evaluation, State
from leaderboard.queue import workers
from leaderboard.views.health import broker_responds
from leaderboard.views.responses import public_for_anonymous


@require_safe
@public_for_anonymous
def how(request: HttpRequest) -> HttpResponse:
    return render(request, "how.html", {"section": "how"})


def _queue(model: type[Any], ended: str) -> dict[str, Any]:
    return model.objects.aggregate(
        waiting=Count("pk", filter=Q(state=State.QUEUED)),
        running=Count("pk", filter=Q(state=State.RUNNING)),
        oldest=Min("queued_at", filter=Q(state=State.QUEUED)),
        last=Max("finished_at", filter=Q(state=ended)),
    )


@require_safe
@cache_control(no_store=True)
def status(request: HttpRequest) -> HttpResponse:
    """Counts only; no submission is identified."""
    context = {
        "queues": [
            ("Scoring", _queue(Evaluation, State.SCORED)),
            ("Baseline runs", _queue(BaselineRun, State.DONE)),
            ("Annotation files", _queue(AnnotationImport, State.DONE)),
        ],
        "broker": broker_responds(),
        "workers": [(worker, workers.lacks(worker)) for worker in workers.alive()],
    }
    return render(request, "status.html", context)
