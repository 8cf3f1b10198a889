"""The organiser's pages: make a benchmark, set its limits and dates, import annotations, run baselines, publish."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.db.models import Count, Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from evaluator import DatasetDefinitionError
from leaderboard.api.fields import clean_file_name
from leaderboard.boards.runnable import Runnable, runnable
from leaderboard.boards.visibility import Anyone, agreed, organised_by, own_submissions
from leaderboard.models import BaselineRun, Benchmark, BoardEvent, Evaluation, State, Submission, User
from leaderboard.operations import annotation_imports, baseline_runs, benchmarks, submissions
from leaderboard.operations.refusals import Refused
from leaderboard.queue import clock
from leaderboard.views.forms import BaselineForm, BenchmarkForm, ImportForm, NewBenchmarkForm
from leaderboard.views.responses import person, private_page, say_refusal

RUNS_SHOWN = 30


def may_create(user: Anyone) -> bool:
    """Operators, people with their permission, and those who already organise a benchmark."""
    return bool(user.is_staff or user.has_perm("leaderboard.add_benchmark") or organised_by(user).exists())


@private_page
@login_required
@require_safe
def organise(request: HttpRequest) -> HttpResponse:
    rows = organised_by(request.user).annotate(
        sent=Count("submissions", distinct=True), teams_sent=Count("submissions__team", distinct=True)
    )
    return render(
        request, "organise.html", {"benchmarks": rows, "may_create": may_create(request.user), "now": clock.now()}
    )


@private_page
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    if not may_create(request.user):
        raise Http404
    form = NewBenchmarkForm(request.POST or None, initial={"dataset": request.GET.get("dataset", "")})
    if request.method == "POST" and form.is_valid():
        try:
            made = benchmarks.create(organisers=[person(request)], **form.cleaned_data)
        except (IntegrityError, ValidationError):
            form.full_clean()  # somebody made the same one at the same moment: now the form says so
        else:
            messages.success(request, "Benchmark created. Import its annotations to open it for submissions.")
            return redirect("organise_benchmark", made.slug)
    return render(request, "organise_new.html", {"form": form}, status=400 if form.errors else 200)


def _own(request: HttpRequest, slug: str) -> Benchmark:
    return get_object_or_404(organised_by(request.user), slug=slug)


@private_page
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def benchmark(request: HttpRequest, slug: str) -> HttpResponse:
    """Everything about one benchmark; its POST is the form of title, limits and dates."""
    found = _own(request, slug)
    form = BenchmarkForm(request.POST or None, instance=_own(request, slug))
    if request.method == "POST" and form.is_valid():
        changes = {name: form.cleaned_data[name] for name in form.changed_data}
        benchmarks.update(benchmark=found, changes=changes)
        messages.success(request, "Saved.")
        return redirect("organise_benchmark", slug)
    context = {
        **_live(found, person(request)),
        "form": form,
        "import_form": ImportForm(),
        **_baselines_offered(found, request.GET.get("choice", "")),
        "now": clock.now(),
    }
    return render(request, "organise_benchmark.html", context, status=400 if form.errors else 200)


def _baselines_offered(found: Benchmark, chosen: str) -> dict[str, Any]:
    """What can be run, and what cannot and why."""
    weights = runnable(found) if found.has_images and found.definition else []
    return {
        "baseline_form": _baseline_form(found, weights, initial={"choice": chosen}),
        "can_run": sum(not each.why_not for each in weights),
        "cannot_run": [each for each in weights if each.why_not],
    }


def _baseline_form(found: Benchmark, weights: list[Runnable], *data: Any, **options: Any) -> BaselineForm:
    dataset = found.definition
    accepts_boxes = dataset is not None and not dataset.single_person
    return BaselineForm(*data, weights=weights, accepts_boxes=accepts_boxes, **options)


@private_page
@login_required
@require_safe
def live(request: HttpRequest, slug: str) -> HttpResponse:
    """The parts of the page that update automatically: imports and runs."""
    polls = request.GET.get("n", "0")
    count = int(polls) if polls.isascii() and polls.isdigit() and len(polls) < 5 else 0
    return render(request, "_organise_live.html", _live(_own(request, slug), person(request), polls=count + 1))


def _live(found: Benchmark, organiser: User, *, polls: int = 0) -> dict[str, Any]:
    jobs = list(found.imports.select_related("uploaded_by")[:5])
    runs = list(found.baseline_runs.select_related("submission", "requested_by", "checkpoint")[:RUNS_SHOWN])
    publishable, private = _unpublished(found, organiser)
    latest = next((job for job in jobs if job.state == State.DONE and job.summary), None)
    return {
        "benchmark": found,
        "imports": jobs,
        "latest": latest,
        # an import from the shell came later, where the digests differ
        "latest_in_force": latest is not None and latest.truth_sha256 in ("", found.truth_sha256),
        "runs": runs,
        "open": any(job.is_open for job in jobs) or any(run.is_open for run in runs),
        "publishable": publishable,
        "private": private,
        "counts": Evaluation.objects.filter(submission__benchmark=found, current=True).aggregate(
            waiting=Count("pk", filter=Q(state=State.QUEUED)),
            running=Count("pk", filter=Q(state=State.RUNNING)),
            scored=Count("pk", filter=Q(state=State.SCORED)),
            rejected=Count("pk", filter=Q(state=State.REJECTED)),
            errored=Count("pk", filter=Q(state=State.ERRORED)),
        ),
        "polls": polls,
        "poll_seconds": min(10, 2 + max(0, polls - 10)),
    }


def _unpublished(found: Benchmark, organiser: User) -> tuple[list[Submission], int]:
    """The newest scored submission that this organiser may publish, of each method whose row nobody has decided about.

    Also the number of methods with private submissions only, which only their teams can publish.
    """
    decided = BoardEvent.objects.filter(benchmark=found, current=True).values("method")
    rows = (
        Submission.objects.filter(benchmark=found, evaluations__current=True, evaluations__state=State.SCORED)
        .exclude(method__in=decided)
        .order_by("method", "-pk")
    )
    own = Q(pk__in=own_submissions(organiser).values("pk"))
    newest: dict[int, Submission] = {}
    for row in rows.filter(own | agreed()).select_related("benchmark", "method", "team"):
        newest.setdefault(row.method_id, row)
    return list(newest.values()), rows.exclude(method__in=newest).order_by().values("method").distinct().count()


@private_page
@login_required
@require_POST
def act(request: HttpRequest, slug: str, action: str) -> HttpResponse:
    """Import annotations, queue a baseline, cancel a run, publish all."""
    found = _own(request, slug)
    actions = {"import": _import, "run": _run, "cancel-run": _cancel_run, "publish": _publish}
    if action not in actions:
        raise Http404
    try:
        messages.success(request, actions[action](request, found))
    except Refused as refused:
        say_refusal(request, refused)
        if choice := request.POST.get("choice", ""):  # the form as it was sent, but for its file
            return redirect(f"{reverse('organise_benchmark', args=[slug])}?{urlencode({'choice': choice[:200]})}")
    except DatasetDefinitionError as gone:
        messages.error(request, f"The definition of its dataset cannot be read, so nothing was changed: {gone}.")
    return redirect("organise_benchmark", slug)


def _import(request: HttpRequest, found: Benchmark) -> str:
    form = ImportForm(request.POST, request.FILES)
    if not form.is_valid():
        raise Refused("file", "Choose an annotation file first.", status=422)
    annotation_imports.request(benchmark=found, uploaded_file=form.cleaned_data["file"], by=person(request))
    return "File uploaded. A worker will check it."


def _run(request: HttpRequest, found: Benchmark) -> str:
    """Queue the model that was chosen, or every one that can run."""
    everything = "all" in request.POST
    form = _baseline_form(found, runnable(found), request.POST, request.FILES)
    if not form.is_valid() and not (everything and set(form.errors) == {"choice"}):
        empty = "The box file is empty." if "boxes" in form.errors else ""
        raise Refused("baseline", empty or "Choose a model that can run on this benchmark.", status=422)
    by, file = person(request), form.cleaned_data.get("boxes")
    chunks, name = (file.chunks(), clean_file_name(file.name)) if file else (None, "")
    with baseline_runs.stored_boxes(benchmark=found, chunks=chunks, name=name) as boxes:
        if everything:
            runs, left_out = baseline_runs.request_all(benchmark=found, by=by, boxes=boxes)
            unfit = f" {len(left_out)} cannot run on this benchmark." if left_out else ""
            return f"{len(runs)} runs are queued.{unfit} Their results will appear as submissions."
        model = form.cleaned_data["choice"]
        baseline_runs.request_run(
            baseline=model.baseline, variant=model.variant, checkpoint=model.checkpoint, benchmark=found, by=by,
            boxes=boxes,
        )  # fmt: skip
    return f"{model.title} is queued. Its result will appear as a submission."


def _cancel_run(request: HttpRequest, found: Benchmark) -> str:
    number = request.POST.get("run", "")
    run = get_object_or_404(
        BaselineRun,
        benchmark=found,
        pk=int(number) if number.isascii() and number.isdigit() and len(number) < 10 else 0,
    )
    baseline_runs.cancel(run=run, by=person(request))
    return "The run was cancelled."


def _publish(request: HttpRequest, found: Benchmark) -> str:
    publishable, private = _unpublished(found, person(request))
    for each in publishable:
        submissions.publish(submission=each, by=person(request))
    if publishable:
        return f"{len(publishable)} method{'' if len(publishable) == 1 else 's'} published."
    if private:
        raise Refused("nothing", "The other submissions are private: only their teams can publish them.")
    raise Refused("nothing", "Nothing to publish: every scored method is on the board or was removed from it.")
