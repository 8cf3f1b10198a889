"""Submissions: send a prediction file, follow its scoring, publish it, withdraw it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from django.db.models import Exists, OuterRef, Prefetch, QuerySet
from django.http import FileResponse, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from ninja import Field, File, Form, Query, Router
from ninja.files import UploadedFile
from ninja.responses import Status
from pydantic import BaseModel

from leaderboard.api import fields
from leaderboard.api.access import caller, reads, reads_if_signed_in, submits
from leaderboard.api.benchmarks import visible
from leaderboard.api.boards import ScoreOut
from leaderboard.api.cursors import Page, page_of
from leaderboard.api.methods import Description
from leaderboard.api.problems import Problem, not_found
from leaderboard.api.teams import TeamName, team_of
from leaderboard.boards.visibility import may_see_details, own_submissions, submissions_for
from leaderboard.files import blobs
from leaderboard.models import BoardEvent, Evaluation, State, Submission
from leaderboard.operations import submissions, uploads
from leaderboard.operations.submissions import SubmissionRequest

router = Router(tags=["submissions"])


class NewSubmission(Description):
    """The form fields other than `file`."""

    benchmark: fields.line(60, 1) = Field(..., description="The benchmark's slug")  # type: ignore[valid-type]
    method: fields.line(80, 1) = Field(  # type: ignore[valid-type]
        ..., description="Name of the method; created if the team has none with this name"
    )
    publish: bool = Field(False, description="Publish it on the board as soon as it is scored")
    team: int | None = Field(None, description="The id of one of your teams; your own by default")


class MethodName(BaseModel):
    id: int
    name: str
    url: str


class ErrorOut(BaseModel):
    """Why the file was not scored. `problems` lists the first hundred, each with the position of its entry."""

    code: str
    message: str
    problems: list[dict[str, Any]]


class SubmissionOut(BaseModel):
    """A submission on a board, as everyone sees it."""

    id: int
    benchmark: str
    method: MethodName
    team: TeamName
    state: str
    public: bool
    source: str
    scores: list[ScoreOut]
    units: dict[str, str] = Field(description="Unit of each metric whose scores are not fractions: `mm`, or `number`")
    evaluator_version: str
    truth_sha256: str
    created_at: datetime
    url: str


class OwnSubmissionOut(SubmissionOut):
    """A submission, as its team and the organiser see it."""

    file_name: str
    size: int
    sha256: str
    publish_when_scored: bool
    attempts: int
    started_at: datetime | None
    finished_at: datetime | None
    seconds: float | None
    images: int | None
    people: int | None
    entries: int | None
    error: ErrorOut | None


class SubmissionsOut(BaseModel):
    items: list[OwnSubmissionOut]
    next: str | None


class SubmissionsQuery(Page):
    benchmark: str | None = Field(None, max_length=60)
    state: State | None = None


def _with_scores(rows: QuerySet[Submission]) -> QuerySet[Submission]:
    listed = BoardEvent.objects.filter(submission=OuterRef("pk"), current=True, kind__in=BoardEvent.ON_BOARD)
    current = Evaluation.objects.filter(current=True).prefetch_related("scores")
    return (
        rows.select_related("benchmark", "method", "team")
        .annotate(public=Exists(listed))
        .prefetch_related(Prefetch("evaluations", current))
    )


def _public(request: HttpRequest, submission: Submission) -> dict[str, Any]:
    evaluation, method = submission.evaluation, submission.method
    return {
        "id": submission.pk,
        "benchmark": submission.benchmark.slug,
        "method": MethodName(id=method.pk, name=method.name, url=request.build_absolute_uri(method.get_absolute_url())),
        "team": TeamName(id=submission.team.pk, name=submission.team.name),
        "state": evaluation.state,
        "public": submission.public,  # type: ignore[attr-defined]
        "source": submission.source,
        "scores": [
            ScoreOut(metric=score.metric, part=score.part, value=score.value, low=score.low, high=score.high)
            for score in sorted(evaluation.scores.all(), key=lambda score: score.pk)
        ],
        "units": {score.metric: score.unit for score in evaluation.scores.all() if score.unit},
        "evaluator_version": evaluation.evaluator_version,
        "truth_sha256": evaluation.truth_sha256,
        "created_at": submission.created_at,
        "url": request.build_absolute_uri(submission.get_absolute_url()),
    }


def _own(request: HttpRequest, submission: Submission) -> OwnSubmissionOut:
    evaluation = submission.evaluation
    failed = evaluation.state in {State.REJECTED, State.ERRORED, State.CANCELLED}
    return OwnSubmissionOut(
        **_public(request, submission),
        file_name=submission.file_name,
        size=submission.size,
        sha256=submission.sha256,
        publish_when_scored=submission.publish_when_scored,
        attempts=evaluation.attempts,
        started_at=evaluation.started_at,
        finished_at=evaluation.finished_at,
        seconds=evaluation.seconds,
        images=evaluation.report.get("images"),
        people=evaluation.report.get("people"),
        entries=evaluation.report.get("entries"),
        error=ErrorOut(
            code=evaluation.error_code or evaluation.state,
            message=evaluation.error_message,
            problems=evaluation.error_problems,
        )
        if failed
        else None,
    )


def _found(rows: QuerySet[Submission], submission_id: int) -> Submission:
    submission = _with_scores(rows).filter(pk=submission_id).first()
    if submission is None:
        raise not_found("Submission not found, or you do not have access.")
    return submission


def _key(request: HttpRequest) -> str:
    key = request.headers.get("Idempotency-Key", "").strip()
    if len(key) > 80 or not (key.isascii() and key.isprintable()):
        raise Problem(400, "idempotency_key", "An Idempotency-Key has at most 80 printable ASCII characters.")
    return key


@router.post("", response={202: OwnSubmissionOut}, auth=submits, openapi_extra={
    "parameters": [
        {
            "in": "header",
            "name": "Idempotency-Key",
            "schema": {"type": "string", "maxLength": 80},
            "description": "A repeated request with the same key returns the first one's submission",
        }
    ]
})  # fmt: skip
def create_submission(
    request: HttpRequest, response: HttpResponse, form: Form[NewSubmission], file: File[UploadedFile]
) -> Status[OwnSubmissionOut]:
    """Send a prediction file: `.json`, `.json.gz`, or a zip with one such file.

    If the same file was already submitted for the method and benchmark, the earlier submission is returned and no
    quota is used.
    """
    user, key = caller(request), _key(request)
    benchmark = visible(user, form.benchmark)
    team = team_of(user, form.team)
    if (file.size or 0) > settings.UPLOAD_LIMIT:
        raise blobs.TooLarge
    accepted, _ = uploads.accept(
        request=SubmissionRequest(
            user=user,
            team=team,
            benchmark=benchmark,
            source=Submission.Source.API,
            file_name=fields.clean_file_name(file.name),
            idempotency_key=key,
            publish_when_scored=form.publish,
            # a client that sends publish=false means it
            told_publishes_all=None if form.publish or "publish" not in form.model_fields_set else False,
        ),
        method=form.method,
        described=form.model_dump(exclude_unset=True, include=set(Description.model_fields)),
        chunks=file.chunks,
        limit=settings.UPLOAD_LIMIT,
    )
    response["Location"] = reverse("api:get_submission", args=[accepted.pk])
    return Status(202, _own(request, _found(own_submissions(user), accepted.pk)))


@router.get("", response=SubmissionsOut, auth=reads)
def list_submissions(request: HttpRequest, query: Query[SubmissionsQuery]) -> SubmissionsOut:
    """The submissions of the caller's teams, newest first."""
    rows = _with_scores(own_submissions(caller(request)))
    if query.benchmark is not None:
        rows = rows.filter(benchmark=visible(request.user, query.benchmark))
    if query.state is not None:
        rows = rows.filter(evaluations__current=True, evaluations__state=query.state)
    found, following = page_of(rows, query)
    return SubmissionsOut(items=[_own(request, submission) for submission in found], next=following)


@router.get("/{int:submission_id}", response=OwnSubmissionOut | SubmissionOut, auth=reads_if_signed_in)
def get_submission(request: HttpRequest, submission_id: int) -> SubmissionOut:
    """One submission. Its team and the organiser see all of it; others see what the board shows while it is listed."""
    submission = _found(submissions_for(request.user), submission_id)
    if may_see_details(request.user, submission):
        return _own(request, submission)
    return SubmissionOut(**_public(request, submission))


@router.get("/{int:submission_id}/file", auth=reads, response={200: bytes})
def get_file(request: HttpRequest, submission_id: int) -> HttpResponseBase:
    """The uploaded file, for the team that submitted it."""
    submission = _found(own_submissions(caller(request)), submission_id)
    return FileResponse(
        blobs.path(submission.sha256).open("rb"),
        as_attachment=True,
        filename=submission.file_name or f"{submission}.json",
        content_type="application/octet-stream",
    )


@router.post("/{int:submission_id}/publish", response=OwnSubmissionOut, auth=submits)
def publish_submission(request: HttpRequest, submission_id: int) -> OwnSubmissionOut:
    """Publish a scored submission. It replaces the method's earlier row."""
    return _changed(request, submission_id, submissions.publish)


@router.post("/{int:submission_id}/withdraw", response=OwnSubmissionOut, auth=submits)
def withdraw_submission(request: HttpRequest, submission_id: int) -> OwnSubmissionOut:
    """Withdraw a submission from the board. It still counts towards the limits."""
    return _changed(request, submission_id, submissions.withdraw)


@router.post("/{int:submission_id}/cancel", response=OwnSubmissionOut, auth=submits)
def cancel_submission(request: HttpRequest, submission_id: int) -> OwnSubmissionOut:
    """Cancel a submission that has not ended. The quota is refunded if scoring has not started."""
    return _changed(request, submission_id, submissions.cancel)


def _changed(request: HttpRequest, submission_id: int, operation: Any) -> OwnSubmissionOut:
    user = caller(request)
    operation(submission=_found(own_submissions(user), submission_id), by=user)
    return _own(request, _found(own_submissions(user), submission_id))
