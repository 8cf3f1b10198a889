"""Submitting a file, watching it being scored, deciding who sees it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.files.uploadedfile import UploadedFile
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from evaluator.reading.upload_rules import page_rules
from leaderboard.access.page_limits import refusal as limit_reached
from leaderboard.boards import visibility
from leaderboard.files import blobs
from leaderboard.models import Benchmark, BoardEvent, Evaluation, Method, Phase, State, Submission
from leaderboard.operations import quotas, submissions, teams, uploads
from leaderboard.operations.refusals import Refused
from leaderboard.operations.submissions import SubmissionRequest
from leaderboard.queue import clock
from leaderboard.views import results
from leaderboard.views.forms import SubmitForm
from leaderboard.views.responses import person, private_page, say_refusal, with_retry
from leaderboard.views.samples import sample as sample_of

PER_PAGE = 50


@private_page
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def submit(request: HttpRequest, slug: str | None = None) -> HttpResponseBase:
    """The form, and what it sends. Without a benchmark, the first open one is chosen; the others are a click away.

    The page's script sends the form with `Accept: application/json` and gets JSON back, so that an error appears in
    place and the browser keeps the selected file.
    """
    now = clock.now()
    mine = list(visibility.benchmarks_for(request.user).exclude(truth_sha256=""))
    chosen = slug or request.GET.get("benchmark")
    if chosen:
        benchmark = get_object_or_404(visibility.benchmarks_for(request.user), slug=chosen)
    else:
        found = next((each for each in mine if each.phase(now) == Phase.OPEN), None)
        if found is None:
            return render(request, "submit_nothing.html", {"benchmarks": mine, "now": now})
        benchmark = found
    if not slug:
        return redirect("submit_to", benchmark.slug)
    own = teams.teams_of(person(request))
    team = (
        own.filter(pk=_whole(request.GET.get("team"))).first()
        or own.filter(person=person(request)).first()
        or own.first()
    )
    form = SubmitForm(
        request.POST or None,
        request.FILES or None,
        teams=own,
        initial={"team": team, "method": request.GET.get("method", "")},
    )
    refusal: Refused | None = limit_reached(request)
    in_place = request.headers.get("Accept") == "application/json"
    if form.is_bound:
        form.is_valid()
        team = form.cleaned_data.get("team") or team
    if refusal is not None:
        form.add_error(None, str(refusal))
    elif request.method == "POST" and form.is_valid():
        try:
            made, new = _accept(request, benchmark, form)
        except Refused as refused:
            refusal = refused
            form.add_error(None, str(refused))
        except blobs.TooLarge as error:
            form.add_error("file", str(error))
        else:
            if not new:
                messages.info(request, "You already submitted this file; your quota is unchanged.")
            return JsonResponse({"url": made.get_absolute_url()}) if in_place else redirect(made)
    status = refusal.status if refusal else 400 if form.errors else 200
    if in_place and form.is_bound:
        response: HttpResponse = JsonResponse(
            {"errors": {name: [str(each) for each in errors] for name, errors in form.errors.items()}}, status=status
        )
    else:
        context = _submit_page(request, benchmark, form, team, mine, now)
        response = render(request, "submit.html", context, status=status)
    return with_retry(response, refusal) if refusal else response


# the form itself reports that too many files were sent, and keeps its fields
submit.says_limits = True  # type: ignore[attr-defined]


def _accept(request: HttpRequest, benchmark: Benchmark, form: SubmitForm) -> tuple[Submission, bool]:
    data = form.cleaned_data
    return uploads.accept(
        request=SubmissionRequest(
            user=person(request),
            team=data["team"],
            benchmark=benchmark,
            source=Submission.Source.WEB,
            file_name=data["file"].name or "",
            publish_when_scored=data["visibility"] == "publish",
            told_publishes_all=data["publishes_all"] == "1",
        ),
        method=data["method"],
        described=form.stated(),
        chunks=data["file"].chunks,
        limit=settings.UPLOAD_LIMIT,
    )


def _submit_page(
    request: HttpRequest, benchmark: Benchmark, form: SubmitForm, team: Any, others: list[Benchmark], now: datetime
) -> dict[str, Any]:
    dataset = benchmark.definition
    if dataset is None:
        raise Http404(f"The definition of {benchmark}'s dataset is missing, so nothing can be submitted.")
    usage = quotas.usage(team, benchmark)
    earlier = Method.objects.filter(team__memberships__user=person(request), is_baseline=False).order_by("-pk")[:100]
    described = {
        method.name: {name: getattr(method, name) for name in ("paper_url", "code_url", "approach", "extra_data")}
        for method in earlier
    }
    return {
        "benchmark": benchmark,
        # the page's own first, where nothing can be submitted to it and it is not among them
        "benchmarks": others if benchmark in others else [benchmark, *others],
        "now": now,
        "phase": benchmark.phase(now),
        "opens_in": _seconds_until(benchmark.opens_at, now),
        "closes_in": _seconds_until(benchmark.closes_at, now),
        "file_lost": _name_of(request),
        "form": form,
        "team": team,
        "usage": usage,
        "pips": [index < usage.day_used for index in range(usage.day_limit)] if usage.day_limit <= 20 else [],
        "dataset": dataset,
        "earlier": earlier,
        "described": described,
        "rules": {
            **page_rules(dataset),
            "images": reverse("image_list", args=[benchmark.slug]) if benchmark.image_list_sha256 else "",
            "term": dataset.person_term,
            "limit": settings.UPLOAD_LIMIT,
            "title": benchmark.title,
        },
        "upload_mib": settings.UPLOAD_LIMIT >> 20,
        "site": settings.SITE_URL,
    }


def _name_of(request: HttpRequest) -> str:
    """The name of the file that was sent; empty where none was."""
    file = request.FILES.get("file")
    return str(file.name) if isinstance(file, UploadedFile) else ""


def _seconds_until(moment: datetime | None, now: datetime) -> float | None:
    """For the page's timer: a reader's clock may be wrong, so the page counts down from when it was made."""
    return (moment - now).total_seconds() if moment and moment > now else None


def _whole(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else 0


@require_safe
def sample(request: HttpRequest, slug: str) -> HttpResponseBase:
    """A valid file for download, made from the public image list."""
    benchmark = get_object_or_404(visibility.benchmarks_for(request.user), slug=slug)
    dataset = benchmark.definition
    if dataset is None:
        raise Http404(f"The definition of {benchmark}'s dataset is missing, so there is no sample.")
    if not benchmark.image_list_sha256:
        raise Http404(f"{benchmark} has no sample file yet. Its organiser must import annotations first.")
    images = json.loads(blobs.path(benchmark.image_list_sha256).read_bytes())
    response = StreamingHttpResponse(sample_of(dataset, images), content_type="application/json")
    response["Content-Disposition"] = f'attachment; filename="{benchmark.slug}-sample.json"'
    return response


@private_page
@login_required
@require_safe
def mine(request: HttpRequest) -> HttpResponse:
    """The submissions of the reader's teams, newest first."""
    rows = (
        visibility.own_submissions(request.user)
        .select_related("benchmark", "method", "team")
        .prefetch_related("evaluations", "events")
        .order_by("-pk")
    )
    before = _whole(request.GET.get("before"))
    if before:
        rows = rows.filter(pk__lt=before)
    found = list(rows[: PER_PAGE + 1])
    lines = [_MineLine(each) for each in found[:PER_PAGE]]
    values = results.primary_scores([line.evaluation for line in lines])
    for line in lines:
        line.score = values.get(line.evaluation.pk)
    context = {"lines": lines, "next": found[PER_PAGE - 1].pk if len(found) > PER_PAGE else None, "section": "mine"}
    return render(request, "my_submissions.html", context)


class _MineLine:
    """A submission with what its line shows."""

    def __init__(self, submission: Submission) -> None:
        self.submission = submission
        self.evaluation: Evaluation = submission.evaluation
        self.public = any(event.current and event.kind in BoardEvent.ON_BOARD for event in submission.events.all())
        self.score: Any = None


@dataclass(frozen=True)
class Viewer:
    """What the reader may do with a submission."""

    owner: bool
    details: bool
    organiser: bool


def _found(request: HttpRequest, pk: int) -> tuple[Submission, Viewer]:
    rows = visibility.submissions_for(request.user).select_related(
        "benchmark", "method", "team", "user", "baseline_run"
    )
    found = get_object_or_404(rows.prefetch_related("evaluations"), pk=pk)
    owner = visibility.may_publish(request.user, found)
    organiser = bool(request.user.is_authenticated) and found.benchmark.is_organiser(request.user)
    return found, Viewer(owner=owner, details=owner or organiser, organiser=organiser)


@private_page
@require_safe
def submission(request: HttpRequest, pk: int) -> HttpResponse:
    found, viewer = _found(request, pk)
    return render(request, "submission.html", results.page(found, viewer))


@private_page
@require_safe
def status(request: HttpRequest, pk: int) -> HttpResponse:
    """The live part of the page. `n` counts the polls, which decides how long the next one waits."""
    found, viewer = _found(request, pk)
    polls = min(_whole(request.GET.get("n")), 1000)
    return render(request, "_submission_live.html", {**results.page(found, viewer, polls=polls + 1), "swapped": True})


@private_page
@require_safe
def report(request: HttpRequest, pk: int) -> HttpResponse:
    """The scores as the command line prints them."""
    found, viewer = _found(request, pk)
    evaluation = found.evaluation
    if evaluation.state != State.SCORED:
        raise Http404("Only a scored submission has a report.")
    scores = {
        "dataset": found.benchmark.dataset,
        **evaluation.report,
        "evaluator_version": evaluation.evaluator_version,
        "truth_sha256": evaluation.truth_sha256,
        "predictions_sha256": found.sha256 if viewer.details else None,
        "scores": list(evaluation.scores.order_by("pk").values("metric", "part", "value", "low", "high")),
    }
    response = JsonResponse(scores, json_dumps_params={"indent": 1})
    response["Content-Disposition"] = f'attachment; filename="S-{found.pk}.json"'
    return response


@private_page
@login_required
@require_POST
def act(request: HttpRequest, pk: int, action: str) -> HttpResponse:
    """Publish, withdraw, cancel: the owner's. Disqualify: the organiser's."""
    found, viewer = _found(request, pk)
    owners = {"publish": submissions.publish, "withdraw": submissions.withdraw, "cancel": submissions.cancel}
    said = {
        "publish": "Published on the board.",
        "withdraw": "Withdrawn from the board. It still counts towards your limits.",
        "cancel": "Submission cancelled.",
        "disqualify": "Disqualified. The board shows the reason.",
    }
    try:
        if action in owners and viewer.owner:
            owners[action](submission=found, by=person(request))
        elif action == "disqualify" and viewer.organiser:
            note = request.POST.get("note", "").strip()[:300]
            if not note:
                raise Refused("note", "Enter a reason. It will be public.", status=422)
            submissions.disqualify(submission=found, by=person(request), note=note)
        else:
            raise Http404
    except Refused as refused:
        say_refusal(request, refused)
    else:
        messages.success(request, said[action])
    return redirect(found)
