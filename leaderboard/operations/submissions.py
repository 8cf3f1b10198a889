"""Every change of a submission's state is made here.

To accept a submission is one transaction, to record its result another. A worker's write counts only while its claim's
fence is the row's.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F

import evaluator
from evaluator import PredictionError, load_dataset
from evaluator.dataset import FRACTION, MetricSpec
from leaderboard.boards import visibility
from leaderboard.files.blobs import Blob
from leaderboard.models import (
    Benchmark,
    BoardEvent,
    Evaluation,
    Method,
    Phase,
    Score,
    State,
    Submission,
    Team,
    User,
)
from leaderboard.models.transactions import lock, retried
from leaderboard.operations import quotas, storage
from leaderboard.operations.refusals import Refused
from leaderboard.queue import clock
from leaderboard.queue.leases import Claim, exhausted
from leaderboard.queue.wake import wake
from leaderboard.sandbox.report_check import BY_FILE, ScoringFailed

log = logging.getLogger(__name__)


# --- accepting -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class SubmissionRequest:
    """Who submits a file, for which team, to which benchmark, and what is to become of it.

    `told_publishes_all`: the benchmark's policy as the submitter read it; nobody agrees to one that came later.
    """

    user: User | None
    team: Team
    benchmark: Benchmark
    source: str
    file_name: str = ""
    idempotency_key: str = ""
    publish_when_scored: bool = False
    told_publishes_all: bool | None = None

    @property
    def is_exempt(self) -> bool:
        """Dates, quotas and storage limits do not apply to baseline runs and the operator's imports."""
        return self.source in {Submission.Source.BASELINE, Submission.Source.IMPORT}


def check(*, request: SubmissionRequest, method: Method | None, sha256: str, size: int) -> Submission | None:
    """Whether `submit` would accept the file now: called before anything of it is stored. Charges nothing.

    `method` is None if the team has no method of that name yet. Returns the earlier submission that `submit` would give
    back, None for a new one. Raises the `Refused` of `submit`, which may still refuse: another request may be faster.
    """
    benchmark = Benchmark.objects.get(pk=request.benchmark.pk)
    if earlier := _earlier(request, method, sha256):
        return earlier
    _check_open(benchmark, ignore_dates=request.is_exempt)
    if not request.is_exempt:
        storage.check_limits(user=request.user, sha256=sha256, size=size)
        quotas.check(team=request.team, benchmark=benchmark)
    storage.check_disk(size)
    return None


@retried
def submit(*, request: SubmissionRequest, method: Method, blob: Blob) -> tuple[Submission, bool]:
    """Accept a stored file: charge the quota, make the submission and its evaluation, wake a worker.

    Whether it will be published is settled here, by the submitter's choice and the benchmark's policy of this moment.

    Returns the submission and whether it is new: the same file for the same method on the same benchmark, or the same
    idempotency key, gets the earlier submission back and costs nothing. Raises `Refused`.
    """
    try:
        with transaction.atomic():
            # the benchmark as it is now, not as the request read it: it may have closed, or got new annotations
            benchmark = Benchmark.objects.get(pk=request.benchmark.pk)
            if earlier := _earlier(request, method, blob.sha256):
                return earlier, False
            _check_open(benchmark, ignore_dates=request.is_exempt)
            # before the counters: the new row refers to its method, so it would wait where the method is being renamed
            lock(Method.objects.filter(pk=method.pk))
            if not request.is_exempt:
                storage.check_limits(user=request.user, sha256=blob.sha256, size=blob.size, locked=True)
            published_by_policy = benchmark.publishes_all and not request.is_exempt
            if published_by_policy and request.told_publishes_all is False and not request.publish_when_scored:
                raise Refused(
                    "policy_changed",
                    f"{benchmark} publishes every scored submission, so your private file was not submitted. Submit it "
                    "again if you agree to publication.",
                )
            day = None if request.is_exempt else quotas.charge(team=request.team, benchmark=benchmark)
            submission = Submission.objects.create(
                benchmark=benchmark,
                method=method,
                team=request.team,
                user=request.user,
                sha256=blob.sha256,
                size=blob.size,
                file_name=request.file_name[-255:],
                source=request.source,
                idempotency_key=request.idempotency_key or None,
                publish_when_scored=request.publish_when_scored or published_by_policy,
                quota_day=day,
            )
            Evaluation.objects.create(
                submission=submission,
                team=request.team,
                evaluator_version=evaluator.__version__,
                truth_sha256=benchmark.truth_sha256,
                image_list_sha256=benchmark.image_list_sha256,
            )
            transaction.on_commit(lambda: wake("score"))
            return submission, True
    except IntegrityError:
        # the same file came twice at the same moment: the other request won, and this one charged nothing
        if earlier := _earlier(request, method, blob.sha256):
            return earlier, False
        raise


def _earlier(request: SubmissionRequest, method: Method | None, sha256: str) -> Submission | None:
    wanted = (request.benchmark.pk, method.pk if method else 0, sha256)
    if request.idempotency_key:
        by_key = Submission.objects.filter(user=request.user, idempotency_key=request.idempotency_key).first()
        if by_key:
            if (by_key.benchmark_id, by_key.method_id, by_key.sha256) != wanted:
                raise Refused(
                    "idempotency_conflict",
                    "This Idempotency-Key was used for another submission. Send a new key with a new submission.",
                )
            return by_key
    same = Submission.objects.filter(benchmark=request.benchmark, method=method, sha256=sha256, live=True)
    return same.first() if method else None


def _check_open(benchmark: Benchmark, *, ignore_dates: bool) -> None:
    phase = benchmark.phase(clock.now())
    if not benchmark.truth_sha256:
        raise Refused(
            "no_annotations",
            f"{benchmark} has no annotations yet. Submissions open once its organiser has imported them.",
        )
    if ignore_dates:
        return
    if phase == Phase.NOT_OPEN:
        raise Refused("not_open", f"{benchmark} opens at {benchmark.opens_at:%Y-%m-%d %H:%M} UTC. Submit it then.")
    if phase == Phase.CLOSED:
        raise Refused("closed", f"{benchmark} closed at {benchmark.closes_at:%Y-%m-%d %H:%M} UTC.")


# --- what a worker may write -----------------------------------------------------------------------------------------


@retried
def record(claim: Claim[Evaluation], report: dict[str, Any], *, seconds: float) -> bool:
    """Write the evaluation's scores in one transaction if the claim still holds. False: fenced out, nothing written.

    Raises ScoringFailed, `score_range`, for a value that the metric's definition does not allow.
    """
    specs = {spec.name: spec for spec in load_dataset(claim.job.submission.benchmark.dataset).metrics}
    for score in report["scores"]:
        _check_range(score, specs.get(score["metric"]))
    counts = {key: report[key] for key in ("protocol", "images", "people", "entries") if key in report}
    if not claim.move(State.SCORED, report=counts, seconds=seconds, error_code="", error_message=""):
        return False
    units = {name: spec.unit for name, spec in specs.items()}
    Score.objects.bulk_create(
        Score(
            evaluation=claim.job,
            metric=score["metric"],
            part=score["part"],
            value=score["value"],
            low=score.get("low"),
            high=score.get("high"),
            bounded=not units.get(score["metric"], ""),
            unit=units.get(score["metric"], ""),
        )
        for score in report["scores"]
    )
    submission = claim.job.submission
    # what was agreed at submission, never the benchmark's policy of today
    wanted = submission.publish_when_scored
    if wanted:
        _lock_row_of(submission)
    _end(submission, refund=False)
    if wanted and not _ruled_out(submission):
        _place(BoardEvent.Kind.PUBLISHED, submission, evaluation=claim.job, by=submission.user)
    return True


def _check_range(score: dict[str, Any], spec: MetricSpec | None) -> None:
    """Check a score against the range that its metric declares; a metric without a definition gives fractions."""
    low, high = spec.range if spec else FRACTION
    value = score["value"]
    if (low is not None and value < low) or (high is not None and value > high):
        between = f"{'any' if low is None else low} to {'any' if high is None else high}"
        raise ScoringFailed("score_range", f"{score['metric']}, {score['part']}, is {value!r}; declared: {between}")


def _ruled_out(submission: Submission) -> bool:
    """Whether a later decision forbids the row: the method was disqualified, or this submission was withdrawn."""
    present = _current(submission)
    if present is None:
        return False
    withdrawn = present.kind == BoardEvent.Kind.WITHDRAWN and present.submission_id == submission.pk
    return withdrawn or present.kind == BoardEvent.Kind.DISQUALIFIED


def reject(claim: Claim[Evaluation], error: PredictionError) -> bool:
    """Reject the file: the submitter reads why, word for word, and gets the quota back; rejected files are counted."""
    return _reject(claim, error.code, str(error), error.to_dict()["problems"])


@retried
def _reject(claim: Claim[Evaluation], code: str, message: str, problems: list[dict[str, Any]]) -> bool:
    if not claim.move(State.REJECTED, error_code=code, error_message=message, error_problems=problems):
        return False
    _end(claim.job.submission, refund=True, rejected=True)
    return True


# failures that a file can cause: after the same one twice the file is rejected
_RESOURCE_FAILURES = {
    "memory": "needs more memory than the limit allows",
    "time": "takes longer to score than the limit allows",
}


@retried
def fail(claim: Claim[Evaluation], *, code: str, reference: str) -> bool:
    """A failure on our side: try again, and after the third time end in an error with a refund.

    A failure that a file can cause (`report_check.BY_FILE`) rejects the file when it happens twice.
    """
    evaluation = claim.job
    if code in BY_FILE and evaluation.last_failure == code:
        why = _RESOURCE_FAILURES.get(code, "crashes the scoring process")
        return _reject(claim, "resource", f"This file {why}; it was tried twice. Send fewer detections per image.", [])
    if evaluation.attempts >= settings.MAX_ATTEMPTS:
        return _error(claim, reference)
    if not claim.move(State.QUEUED, last_failure=code):
        return False
    transaction.on_commit(lambda: wake("score"))
    return True


@retried
def _error(claim: Claim[Evaluation], reference: str) -> bool:
    message = f"Scoring failed on our side. Your quota was refunded. Quote this reference to the operator: {reference}."
    if not claim.move(State.ERRORED, error_code="platform", error_message=message):
        return False
    _end(claim.job.submission, refund=True)
    return True


def error_exhausted() -> int:
    """End evaluations whose third worker was lost too, with a refund. Returns how many."""
    ended = 0
    for evaluation in exhausted(Evaluation).select_related("submission"):
        ended += _error(Claim(evaluation, evaluation.fence), f"E-{evaluation.pk}")
    return ended


def _end(submission: Submission, *, refund: bool, rejected: bool = False) -> None:
    # the counters before the submission, as `submit` has them: it waits for this row where it brings the same file
    quotas.release(
        team=submission.team,
        benchmark=submission.benchmark,
        day=submission.quota_day,
        refund=refund,
        rejected=rejected,
    )
    if refund:
        Submission.objects.filter(pk=submission.pk).update(live=False)


# --- what people decide ----------------------------------------------------------------------------------------------


@retried
def cancel(*, submission: Submission, by: User) -> None:
    """Stop a submission that has not ended. Before its scoring started, the quota is given back."""
    evaluation = lock(Evaluation.objects.filter(submission=submission, current=True))[0]
    rows = Evaluation.objects.filter(pk=evaluation.pk, fence=evaluation.fence)
    ending = {"finished_at": clock.now(), "lease_expires_at": None, "error_message": f"Cancelled by {by}."}
    if rows.filter(state=State.QUEUED).update(state=State.CANCELLED, **ending):
        _end(submission, refund=evaluation.attempts == 0)
    elif rows.filter(state=State.RUNNING).update(state=State.CANCELLED, **ending):
        _end(submission, refund=False)
    else:
        raise Refused("ended", f"{submission} has already ended, so there is nothing to cancel.")
    Submission.objects.filter(pk=submission.pk).update(live=False)


@retried
def publish(*, submission: Submission, by: User | None) -> BoardEvent:
    """Put a scored submission on its board, in the place of the method's earlier one.

    Its team decides. The organiser may only publish what the team agreed to when it submitted, or has no team to ask.
    """
    own = by is not None and visibility.may_publish(by, submission)
    if not own and not (by is not None and visibility.may_publish_for_team(by, submission)):
        raise Refused("not_agreed", f"{submission} was submitted as private: only its team can publish it.", status=403)
    # one at a time for a benchmark, so that two clicks make one event
    _lock_row_of(submission)
    evaluation = Evaluation.objects.get(submission=submission, current=True)
    if evaluation.state != State.SCORED:
        raise Refused("not_scored", f"{submission} is {evaluation.state}: only a scored submission can be published.")
    present = _current(submission)
    if present and present.kind == BoardEvent.Kind.DISQUALIFIED:
        raise Refused("disqualified", "The organiser disqualified this method. Ask them before you publish it again.")
    if present and present.kind == BoardEvent.Kind.WITHDRAWN and not own:
        raise Refused("withdrawn", "The team withdrew this method, and only the team can publish it again.", status=403)
    if present and present.kind in BoardEvent.ON_BOARD and present.evaluation_id == evaluation.pk:
        return present
    return _place(BoardEvent.Kind.PUBLISHED, submission, evaluation=evaluation, by=by)


@retried
def withdraw(*, submission: Submission, by: User) -> BoardEvent:
    """Its team takes a submission from the board. Its count and its event stay."""
    if not visibility.may_publish(by, submission):
        raise Refused("not_yours", f"Only the team of {submission} can withdraw it.", status=403)
    return _remove(BoardEvent.Kind.WITHDRAWN, submission, by=by)


@retried
def disqualify(*, submission: Submission, by: User, note: str) -> BoardEvent:
    """The organiser takes a submission from the board, and says why in public."""
    return _remove(BoardEvent.Kind.DISQUALIFIED, submission, by=by, note=note)


def _remove(kind: str, submission: Submission, *, by: User, note: str = "") -> BoardEvent:
    _lock_row_of(submission)
    present = _current(submission)
    if not present or present.kind not in BoardEvent.ON_BOARD or present.submission_id != submission.pk:
        raise Refused("not_public", f"{submission} is not on the board, so it cannot be removed from it.")
    return _place(kind, submission, evaluation=present.evaluation, by=by, note=note)


def _lock_row_of(submission: Submission) -> None:
    """Nobody else changes the method's row on the board, nor what the board shows of the method, until this is over."""
    lock(Method.objects.filter(pk=submission.method_id))
    lock(Benchmark.objects.filter(pk=submission.benchmark_id))


def _current(submission: Submission) -> BoardEvent | None:
    return BoardEvent.objects.filter(
        benchmark=submission.benchmark_id, method=submission.method_id, current=True
    ).first()


def _place(
    kind: str, submission: Submission, *, evaluation: Evaluation | None, by: User | None, note: str = ""
) -> BoardEvent:
    """Append the event that now decides about the method's row, and give the board a new version."""
    BoardEvent.objects.filter(benchmark=submission.benchmark_id, method=submission.method_id, current=True).update(
        current=False
    )
    event = BoardEvent.objects.create(
        kind=kind,
        benchmark=submission.benchmark,
        method=submission.method,
        submission=submission,
        evaluation=evaluation,
        by=by,
        note=note,
        current=True,
    )
    Benchmark.objects.filter(pk=submission.benchmark_id).update(version=F("version") + 1)
    return event
