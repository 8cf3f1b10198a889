"""A method with its results everywhere, and a team with its methods."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Count, Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from leaderboard.boards import visibility
from leaderboard.boards.summaries import summary
from leaderboard.models import BoardEvent, Method, Team
from leaderboard.operations import teams
from leaderboard.operations.refusals import Refused
from leaderboard.views.forms import MethodForm
from leaderboard.views.responses import person, private_page


def _visible(request: HttpRequest) -> Any:
    """Methods on a board that the reader may see, and the reader's own."""
    visible = Q(
        events__current=True,
        events__kind__in=BoardEvent.ON_BOARD,
        events__benchmark__in=visibility.benchmarks_for(request.user),
    )
    if request.user.is_authenticated:
        visible |= Q(team__memberships__user=person(request)) | Q(
            submissions__benchmark__in=visibility.organised_by(request.user)
        )
    return Method.objects.filter(visible).select_related("team").distinct()


def _owns(request: HttpRequest, team: Team) -> bool:
    return bool(request.user.is_authenticated) and team.memberships.filter(user=person(request)).exists()


@private_page
@require_safe
def method(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(_visible(request), pk=pk)
    owner = _owns(request, found.team)
    events = (
        BoardEvent.objects.filter(
            method=found,
            current=True,
            kind__in=BoardEvent.ON_BOARD,
            benchmark__in=visibility.benchmarks_for(request.user),
        )
        .select_related("benchmark", "submission")
        .order_by("benchmark__position", "benchmark__slug")
    )
    lines = []
    for event in events:
        short = summary(event.benchmark)
        row = short.by_submission.get(event.submission_id or 0) if short else None
        if short and row:
            lines.append((event, row, short))
    unpublished = (
        found.submissions.select_related("benchmark").prefetch_related("evaluations").order_by("-pk")[:20]
        if owner
        else []
    )
    return render(request, "method.html", {"method": found, "owner": owner, "lines": lines, "submissions": unpublished})


@private_page
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(_visible(request), pk=pk)
    if not _owns(request, found.team) or found.is_baseline:
        raise Http404
    form = MethodForm(request.POST or None, method=found)
    if request.method == "POST" and form.is_valid():
        fields = form.fields_for_operation()
        try:
            teams.edit_method(method=found, by=person(request), name=form.cleaned_data["name"], **fields)
        except Refused as refused:
            form.add_error(None, str(refused))
        else:
            messages.success(request, "Saved. Every board that lists the method shows the change.")
            return redirect("method", found.pk)
    status = 400 if form.errors else 200
    return render(request, "method_edit.html", {"method": found, "form": form}, status=status)


@private_page
@require_safe
def team(request: HttpRequest, pk: int) -> HttpResponse:
    """A team with its methods. A team without a row on a board is visible to its members only."""
    found = get_object_or_404(Team, pk=pk)
    methods = _visible(request).filter(team=found).order_by("name")
    member = _owns(request, found)
    if not member and not methods.exists():
        raise Http404
    counts = (
        found.submissions.filter(benchmark__in=visibility.benchmarks_for(request.user))
        .values("benchmark__slug", "benchmark__title")
        .annotate(n=Count("pk"))
        .order_by("benchmark__title")
    )
    people = list(found.memberships.select_related("user").order_by("pk")) if member else []
    return render(
        request, "team.html", {"team": found, "methods": methods, "member": member, "people": people, "counts": counts}
    )
