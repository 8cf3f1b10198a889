"""The definitions: datasets and metrics, straight from the evaluator."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

import evaluator
from leaderboard.drawing import skeleton
from leaderboard.views.answers import public_for_anonymous
from leaderboard.views.metric_cards import card_of
from leaderboard.views.samples import excerpt
from leaderboard.views.standings import standing
from leaderboard.visibility import benchmarks_for


@require_safe
@public_for_anonymous
def dataset(request: HttpRequest, name: str) -> HttpResponse:
    """Its definition: joints, limbs, parts, metrics, format, citation, licence, and the boards on it."""
    if name not in evaluator.dataset_names():
        raise Http404(f"There is no dataset {name}: the ones there are stand on the boards' page.")
    found = evaluator.load_dataset(name)
    joints = []
    for index, joint in enumerate(found.joints):
        sigma = float(found.sigmas[index]) if len(found.sigmas) else None
        parts = [part for part, members in found.parts.items() if joint in members and part != "all"]
        joints.append((index, joint, skeleton.side(joint), parts, sigma, joint in found.unscored))
    boards = [(benchmark, standing(benchmark)) for benchmark in benchmarks_for(request.user).filter(dataset=name)]
    context = {
        "section": "boards",
        "dataset": found,
        "figure": skeleton.named(found),
        "joints": joints,
        "has_sigmas": bool(len(found.sigmas)),
        "numbers": 3 * len(found.joints),
        "example": excerpt(found),
        "boards": boards,
    }
    return render(request, "dataset.html", context)


def _uses() -> dict[str, list[tuple[Any, Any]]]:
    """Every score's name -> the datasets that have it, with their specification."""
    uses: dict[str, list[tuple[Any, Any]]] = {}
    for name in evaluator.dataset_names():
        found = evaluator.load_dataset(name)
        for spec in found.metrics:
            uses.setdefault(spec.name, []).append((found, spec))
    return uses


@require_safe
@public_for_anonymous
def metrics(request: HttpRequest) -> HttpResponse:
    groups: dict[str, list[tuple[Any, list[tuple[Any, Any]]]]] = {}
    for uses in _uses().values():
        spec = uses[0][1]
        groups.setdefault(spec.metric, []).append((spec, uses))
    cards = [(card_of(metric), members) for metric, members in sorted(groups.items())]
    return render(request, "metrics.html", {"cards": cards})


@require_safe
@public_for_anonymous
def metric(request: HttpRequest, name: str) -> HttpResponse:
    uses = _uses().get(name)
    if not uses:
        raise Http404(f"There is no metric {name}: all of them stand on the page of metric cards.")
    return render(
        request, "metric.html", {"name": name, "spec": uses[0][1], "uses": uses, "card": card_of(uses[0][1].metric)}
    )
