"""Baselines: the reference models, and their runs on the images of a benchmark. Organisers ask for runs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from ninja import Query, Router
from ninja.responses import Status
from pydantic import BaseModel

from leaderboard import baselines
from leaderboard.api import fields
from leaderboard.api.access import anyone, caller, reads, submits
from leaderboard.api.application import REVALIDATED
from leaderboard.api.cursors import Page, page_of
from leaderboard.api.problems import Problem, not_found
from leaderboard.models import BaselineRun
from leaderboard.visibility import Anyone, benchmarks_for, organised_by

router = Router(tags=["baselines"])

# of a run's record; whatever else a run notes stays with the operator
PUBLIC_RECORD = (
    "device", "batch", "lost_with_batch", "precision", "images_per_second", "parameters", "gmacs", "input_size",
    "checkpoint_sha256", "images", "people", "boxes", "seconds", "taken_over",
)  # fmt: skip


class BaselineOut(BaseModel):
    name: str


class BaselinesOut(BaseModel):
    items: list[BaselineOut]


class NewRun(fields.Strict):
    baseline: fields.line(60, 1)  # type: ignore[valid-type]
    benchmark: fields.line(60, 1)  # type: ignore[valid-type]
    variant: fields.line(60) = ""  # type: ignore[valid-type]


class RunOut(BaseModel):
    """A run, to its organiser. It ends in a submission like everyone's."""

    id: int
    baseline: str
    variant: str
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


def public_record(record: dict[str, Any]) -> dict[str, Any]:
    return {key: record[key] for key in PUBLIC_RECORD if key in record}


def _shown(run: BaselineRun) -> RunOut:
    return RunOut(
        id=run.pk,
        baseline=run.baseline,
        variant=run.variant,
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
        record=public_record(run.record),
    )


def runs_for(user: Anyone) -> QuerySet[BaselineRun]:
    """Those on the benchmarks this person organises."""
    return BaselineRun.objects.filter(benchmark__in=organised_by(user)).select_related("benchmark")


@router.get("", response=BaselinesOut, auth=anyone)
def list_baselines(request: HttpRequest, response: HttpResponse) -> BaselinesOut:
    """The reference models this site can run."""
    response["Cache-Control"] = REVALIDATED
    return BaselinesOut(items=[BaselineOut(name=name) for name in baselines.available()])


@router.get("/runs", response=RunsOut, auth=reads)
def list_runs(request: HttpRequest, page: Query[Page]) -> RunsOut:
    """Runs on the benchmarks the caller organises, newest first."""
    found, following = page_of(runs_for(caller(request)), page)
    return RunsOut(items=[_shown(run) for run in found], next=following)


@router.post("/runs", response={202: RunOut}, auth=submits)
def start_run(request: HttpRequest, response: HttpResponse, wanted: NewRun) -> Status[RunOut]:
    """Queue a run. Asking again while it waits or runs answers with the same run."""
    user = caller(request)
    benchmark = benchmarks_for(user).filter(slug=wanted.benchmark).first()
    if benchmark is None:
        raise not_found("There is no such benchmark that you may see.")
    if not benchmark.is_organiser(user):
        raise Problem(403, "not_organiser", "Only an organiser of the benchmark can run baselines on it.")
    run = baselines.request_run(baseline=wanted.baseline, variant=wanted.variant, benchmark=benchmark, by=user)
    run.refresh_from_db()
    response["Location"] = reverse("api:get_run", args=[run.pk])
    return Status(202, _shown(run))


@router.get("/runs/{int:run_id}", response=RunOut, auth=reads)
def get_run(request: HttpRequest, run_id: int) -> RunOut:
    """One run, with how far it is."""
    run = runs_for(caller(request)).filter(pk=run_id).first()
    if run is None:
        raise not_found()
    return _shown(run)


@router.post("/runs/{int:run_id}/cancel", response=RunOut, auth=submits)
def cancel_run(request: HttpRequest, run_id: int) -> RunOut:
    """Stop a run that has not ended."""
    run = runs_for(caller(request)).filter(pk=run_id).first()
    if run is None:
        raise not_found()
    baselines.cancel(run=run, by=caller(request))
    run.refresh_from_db()
    return _shown(run)
