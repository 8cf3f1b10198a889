"""Baselines: the reference models, and their runs on the images of a benchmark. Organisers ask for runs."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from ninja import Field, File, Form, Query, Router
from ninja.files import UploadedFile
from ninja.responses import Status
from pydantic import BaseModel, ConfigDict

from leaderboard.api import fields
from leaderboard.api.access import anyone, caller, reads, submits
from leaderboard.api.application import REVALIDATED
from leaderboard.api.cursors import Page, page_of
from leaderboard.api.problems import Problem, not_found
from leaderboard.boards import runnable
from leaderboard.boards.visibility import Anyone, benchmarks_for, organised_by
from leaderboard.models import BaselineRun, Benchmark, Checkpoint, User
from leaderboard.operations import baseline_runs

router = Router(tags=["baselines"])


class BaselineOut(BaseModel):
    name: str


class BaselinesOut(BaseModel):
    items: list[BaselineOut]


class NewRun(fields.Strict):
    baseline: fields.line(60, 1)  # type: ignore[valid-type]
    benchmark: fields.line(60, 1)  # type: ignore[valid-type]
    variant: fields.line(60) = Field("", description="The model's default variant if left out")  # type: ignore[valid-type]
    checkpoint: Annotated[int | None, fields.WhenGiven] = Field(
        None, description="Id of a registered checkpoint; if left out, the weights that ship or were downloaded"
    )


class NewRuns(fields.Strict):
    benchmark: fields.line(60, 1)  # type: ignore[valid-type]


class RunnableQuery(BaseModel):
    __qualname__ = "ChoicesQuery"  # the name of its schema, which clients know
    model_config = ConfigDict(title="ChoicesQuery")

    benchmark: fields.line(60, 1)  # type: ignore[valid-type]


class RunnableOut(BaseModel):
    """Available weights. `why_not` says why they cannot run on the benchmark, and is empty if they can."""

    __qualname__ = "ChoiceOut"
    model_config = ConfigDict(title="ChoiceOut")

    baseline: str
    variant: str
    checkpoint: int | None
    title: str
    why_not: str


class RunnablesOut(BaseModel):
    __qualname__ = "ChoicesOut"
    model_config = ConfigDict(title="ChoicesOut")

    items: list[RunnableOut]


class RunOut(BaseModel):
    """A run, as the organiser sees it. Its result is an ordinary submission."""

    id: int
    baseline: str
    variant: str
    checkpoint: int | None
    boxes: str = Field(description="Name of the box file that was uploaded with the run")
    benchmark: str
    state: str
    images_done: int
    images_total: int
    queued_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    error_code: str
    error_message: str
    submission_id: int | None
    record: dict[str, Any]


class RunsOut(BaseModel):
    items: list[RunOut]
    next: str | None


class AllRunsOut(BaseModel):
    """The queued runs, and the models left out, with the reason."""

    items: list[RunOut]
    left_out: list[RunnableOut]


def _shown(run: BaselineRun) -> RunOut:
    return RunOut(
        id=run.pk,
        baseline=run.baseline,
        variant=run.variant,
        checkpoint=run.checkpoint_id,
        boxes=run.boxes_name,
        benchmark=run.benchmark.slug,
        state=run.state,
        images_done=run.images_done,
        images_total=run.images_total,
        queued_at=run.queued_at,
        started_at=run.started_at,
        finished_at=run.finished_at,
        error_code=run.error_code,
        error_message=run.error_message,
        submission_id=run.submission_id,
        record=baseline_runs.public_record(run.record),
    )


def _offered(weights: runnable.Runnable) -> RunnableOut:
    return RunnableOut(
        baseline=weights.baseline,
        variant=weights.variant,
        checkpoint=weights.checkpoint.pk if weights.checkpoint else None,
        title=weights.title,
        why_not=weights.why_not,
    )


def _organised(user: User, slug: str) -> Benchmark:
    """A benchmark on which the caller may run baselines."""
    benchmark = benchmarks_for(user).filter(slug=slug).first()
    if benchmark is None:
        raise not_found("Benchmark not found, or you do not have access.")
    if not benchmark.is_organiser(user):
        raise Problem(403, "not_organiser", "Only an organiser of the benchmark can run baselines on it.")
    return benchmark


def _started(response: HttpResponse, wanted: NewRun, user: User, boxes: UploadedFile | None) -> Status[RunOut]:
    benchmark, checkpoint = _organised(user, wanted.benchmark), None
    if wanted.checkpoint is not None:
        checkpoint = Checkpoint.objects.filter(pk=wanted.checkpoint).first()
        if checkpoint is None:
            raise Problem(422, "no_such_checkpoint", f"No checkpoint {wanted.checkpoint}: see /baselines/choices.")
    chunks, name = (boxes.chunks(), fields.clean_file_name(boxes.name)) if boxes else (None, "")
    with baseline_runs.stored_boxes(benchmark=benchmark, chunks=chunks, name=name) as box_file:
        run = baseline_runs.request_run(
            baseline=wanted.baseline, variant=wanted.variant, checkpoint=checkpoint, benchmark=benchmark, by=user,
            boxes=box_file,
        )  # fmt: skip
    run.refresh_from_db()
    response["Location"] = reverse("api:get_run", args=[run.pk])
    return Status(202, _shown(run))


def runs_for(user: Anyone) -> QuerySet[BaselineRun]:
    """Those on the benchmarks this person organises."""
    return BaselineRun.objects.filter(benchmark__in=organised_by(user)).select_related("benchmark")


@router.get("", response=BaselinesOut, auth=anyone)
def list_baselines(request: HttpRequest, response: HttpResponse) -> BaselinesOut:
    """The reference models that this site can run."""
    response["Cache-Control"] = REVALIDATED
    return BaselinesOut(items=[BaselineOut(name=name) for name in runnable.available()])


@router.get("/choices", response=RunnablesOut, auth=reads, operation_id="list_choices", summary="List Choices")
def list_runnable(request: HttpRequest, query: Query[RunnableQuery]) -> RunnablesOut:
    """The available weights, and which of them can run on a benchmark that the caller organises."""
    found = _organised(caller(request), query.benchmark)
    return RunnablesOut(items=[_offered(each) for each in runnable.runnable(found)])


@router.get("/runs", response=RunsOut, auth=reads)
def list_runs(request: HttpRequest, page: Query[Page]) -> RunsOut:
    """Runs on the benchmarks the caller organises, newest first."""
    found, following = page_of(runs_for(caller(request)), page)
    return RunsOut(items=[_shown(run) for run in found], next=following)


@router.post("/runs", response={202: RunOut}, auth=submits)
def start_run(request: HttpRequest, response: HttpResponse, wanted: NewRun) -> Status[RunOut]:
    """Queue a run. While it is queued or running, the same request returns the same run."""
    return _started(response, wanted, caller(request), None)


@router.post("/runs/with-boxes", response={202: RunOut}, auth=submits)
def start_run_with_boxes(
    request: HttpRequest, response: HttpResponse, wanted: Form[NewRun], file: File[UploadedFile]
) -> Status[RunOut]:
    """Queue a run that crops people by the boxes of a file: detections in COCO format.

    The file is checked at once and stored with the run. Benchmarks that list their people do not accept one.
    """
    return _started(response, wanted, caller(request), file)


@router.post("/runs/all", response={202: AllRunsOut}, auth=submits)
def start_all_runs(request: HttpRequest, wanted: NewRuns) -> Status[AllRunsOut]:
    """Queue a run of every model that can run on the benchmark, and list the others with the reason."""
    user = caller(request)
    runs, left_out = baseline_runs.request_all(benchmark=_organised(user, wanted.benchmark), by=user)
    shown = BaselineRun.objects.filter(pk__in=[run.pk for run in runs]).select_related("benchmark").order_by("pk")
    return Status(202, AllRunsOut(items=[_shown(run) for run in shown], left_out=[_offered(each) for each in left_out]))


@router.get("/runs/{int:run_id}", response=RunOut, auth=reads)
def get_run(request: HttpRequest, run_id: int) -> RunOut:
    """One run and its progress."""
    run = runs_for(caller(request)).filter(pk=run_id).first()
    if run is None:
        raise not_found()
    return _shown(run)


@router.post("/runs/{int:run_id}/cancel", response=RunOut, auth=submits)
def cancel_run(request: HttpRequest, run_id: int) -> RunOut:
    """Cancel a run that has not ended."""
    run = runs_for(caller(request)).filter(pk=run_id).first()
    if run is None:
        raise not_found()
    baseline_runs.cancel(run=run, by=caller(request))
    run.refresh_from_db()
    return _shown(run)
