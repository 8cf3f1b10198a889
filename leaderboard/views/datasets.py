"""The definitions: datasets and metrics, straight from the evaluator."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

import evaluator
from leaderboard.boards.summaries import summary
from leaderboard.boards.visibility import benchmarks_for
from leaderboard.drawing import skeleton
from leaderboard.queue import clock
from leaderboard.views.metric_cards import card_of
from leaderboard.views.responses import public_for_anonymous
from leaderboard.views.samples import excerpt


@require_safe
@public_for_anonymous
def dataset(request: HttpRequest, name: str) -> HttpResponse:
    """Its definition: joints, limbs, parts, metrics, format, citation, licence, and the boards on it."""
    if name not in evaluator.dataset_names():
        raise Http404(f"There is no dataset {name}. The boards page lists them.")
    found = evaluator.load_dataset(name)
    joints = []
    for index, joint in enumerate(found.joints):
        sigma = float(found.sigmas[index]) if len(found.sigmas) else None
        parts = [part for part, members in found.parts.items() if joint in members and part != "all"]
        joints.append((index, joint, skeleton.side(joint), parts, sigma, joint in found.unscored))
    boards = [(benchmark, summary(benchmark)) for benchmark in benchmarks_for(request.user).filter(dataset=name)]
    context = {
        "section": "boards",
        "dataset": found,
        "figure": skeleton.named(found),
        "joints": joints,
        "has_sigmas": bool(len(found.sigmas)),
        "numbers": 3 * len(found.joints),
        "example": excerpt(found),
        "boards": boards,
        "now": clock.now(),
    }
    return render(request, "dataset.html", context)


def _uses() -> dict[str, dict[str, list[tuple[Any, Any]]]]:
    """Metric -> its scores' names -> the datasets that have them, with their specification."""
    uses: dict[str, dict[str, list[tuple[Any, Any]]]] = {}
    for name in evaluator.dataset_names():
        found = evaluator.load_dataset(name)
        for spec in found.metrics:
            uses.setdefault(spec.metric, {}).setdefault(spec.name, []).append((found, spec))
    return uses


@require_safe
@public_for_anonymous
def metrics(request: HttpRequest) -> HttpResponse:
    cards = [
        (card_of(metric), [(uses[0][1], uses) for uses in scores.values()])
        for metric, scores in sorted(_uses().items())
    ]
    return render(request, "metrics.html", {"cards": cards})


@require_safe
@public_for_anonymous
def metric(request: HttpRequest, name: str) -> HttpResponse:
    found = {metric: scores[name] for metric, scores in _uses().items() if name in scores}
    if not found:
        raise Http404(f"There is no metric {name}. The metrics page lists them.")
    uses = sorted((use for of_metric in found.values() for use in of_metric), key=lambda use: use[0].name)
    cards = [card_of(metric) for metric in found]
    return render(request, "metric.html", {"name": name, "spec": uses[0][1], "uses": uses, "cards": cards})
