"""One submission from upload to row: what is charged, what is stored, and what a late worker may no longer write."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from evaluator import PredictionError, validate
from leaderboard.boards.rankings import board
from leaderboard.files import blobs
from leaderboard.models import Benchmark, BoardEvent, Evaluation, Method, Score, State, Submission, Team, User
from leaderboard.operations import quotas, submissions
from leaderboard.operations.refusals import Refused
from leaderboard.operations.submissions import SubmissionRequest
from leaderboard.queue.leases import claim_next
from tests.leaderboard.conftest import claim, predictions, report

pytestmark = pytest.mark.django_db


def expire(evaluation: Evaluation) -> None:
    Evaluation.objects.filter(pk=evaluation.pk).update(lease_expires_at=timezone.now() - timedelta(seconds=1))


def test_accepted_submission_waits_and_is_charged(send, team: Team, benchmark: Benchmark) -> None:
    submission = send()
    assert submission.evaluation.state == State.QUEUED
    assert submission.evaluation.truth_sha256 == benchmark.truth_sha256
    assert blobs.path(submission.sha256).read_bytes() == predictions()
    usage = quotas.usage(team, benchmark)
    assert (usage.day_used, usage.total_used, usage.running) == (1, 1, 1)


def test_same_file_again_costs_nothing(send, team: Team, benchmark: Benchmark) -> None:
    assert send().pk == send().pk
    assert quotas.usage(team, benchmark).day_used == 1


def test_same_idempotency_key_gives_the_earlier_submission(send) -> None:
    first = send(idempotency_key="job-17")
    assert send(idempotency_key="job-17").pk == first.pk
    with pytest.raises(Refused, match="Idempotency-Key") as refused:
        send(miss=3, idempotency_key="job-17")
    assert refused.value.status == 409


def test_recording_scores_ends_the_evaluation(send, team: Team, benchmark: Benchmark) -> None:
    submission = send()
    assert submissions.record(claim(), report(0.75), seconds=0.1)
    evaluation = Evaluation.objects.get(submission=submission)
    assert evaluation.state == State.SCORED
    assert evaluation.scores.get().value == 0.75
    usage = quotas.usage(team, benchmark)
    assert (usage.day_used, usage.running) == (1, 0)


def test_fenced_out_worker_writes_nothing(send) -> None:
    send()
    late = claim()
    expire(late.job)
    second = claim()
    assert second.fence == late.fence + 1
    assert not late.renew()
    assert not submissions.record(late, report(0.1), seconds=1)
    assert not Score.objects.exists()
    assert submissions.record(second, report(0.9), seconds=1)
    assert Score.objects.get().value == 0.9
    assert not submissions.record(second, report(0.9), seconds=1)
    assert Score.objects.count() == 1


def test_the_same_file_at_the_same_moment_is_accepted_once(
    send, monkeypatch: pytest.MonkeyPatch, team: Team, benchmark: Benchmark, method: Method, alice: User
) -> None:
    first, look = send(), submissions._earlier
    blob = blobs.store([predictions()], limit=1 << 20)
    # the other request's row is not there yet when this one looks, and is there when it is inserted
    looks = iter([lambda *_: None, look])
    monkeypatch.setattr(submissions, "_earlier", lambda *given: next(looks)(*given))
    request = SubmissionRequest(user=alice, team=team, benchmark=benchmark, source="api")
    assert submissions.submit(request=request, method=method, blob=blob) == (first, False)
    assert quotas.usage(team, benchmark).day_used == 1


@pytest.mark.parametrize("attempts", [1, 3])
def test_fenced_out_worker_neither_rejects_nor_fails(send, team: Team, benchmark: Benchmark, attempts: int) -> None:
    """It is told so by each operation, whatever it would have done: another attempt, an error, a rejection."""
    send()
    late = claim()
    expire(late.job)
    second = claim()
    late.job.attempts = attempts
    with pytest.raises(PredictionError) as wrong:
        validate("lsp", b"[1]")
    assert not submissions.reject(late, wrong.value)
    assert not submissions.fail(late, code="crashed", reference="a")
    late.job.last_failure = "memory"
    assert not submissions.fail(late, code="memory", reference="a")
    running = Evaluation.objects.get()
    assert (running.state, running.fence, running.error_code) == (State.RUNNING, second.fence, "")
    usage = quotas.usage(team, benchmark)
    assert (usage.day_used, usage.running, usage.rejects) == (1, 1, 0)


def test_scores_and_state_are_written_together_or_not_at_all(send) -> None:
    send()
    claimed = claim()
    twice = report()
    twice["scores"] *= 2
    with pytest.raises(IntegrityError):
        submissions.record(claimed, twice, seconds=1)
    assert Evaluation.objects.get().state == State.RUNNING
    assert not Score.objects.exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.1, 1.1])
def test_database_rejects_values_that_are_not_fractions(send, value: float) -> None:
    evaluation = send().evaluation
    with pytest.raises(IntegrityError), transaction.atomic():
        Score.objects.create(evaluation=evaluation, metric="pck@0.2", part="all", value=value)


def test_rejected_file_is_refunded_and_counts_towards_the_reject_limit(send, team: Team, benchmark: Benchmark) -> None:
    submission = send(content=b'[{"image_id": 4}]')
    with pytest.raises(PredictionError) as wrong:
        validate("lsp", b'[{"image_id": 4}]')
    assert submissions.reject(claim(), wrong.value)
    submission.refresh_from_db()
    evaluation = submission.evaluation
    assert evaluation.state == State.REJECTED
    assert evaluation.error_message == str(wrong.value)
    assert not submission.live
    usage = quotas.usage(team, benchmark)
    assert (usage.day_used, usage.total_used, usage.running, usage.rejects) == (0, 0, 0, 1)
    again = send(content=b'[{"image_id": 4}]')
    assert again.pk != submission.pk


def test_reject_limit_ends_guessing(send, team: Team, benchmark: Benchmark) -> None:
    Benchmark.objects.update(reject_limit=1)
    send(content=b"x")
    submissions.reject(claim(), _some_error())
    with pytest.raises(Refused) as refused:
        send()
    assert (refused.value.status, refused.value.code) == (429, "too_many_rejects")
    assert 0 < refused.value.retry_after <= 86_400


def _some_error() -> PredictionError:
    with pytest.raises(PredictionError) as wrong:
        validate("lsp", b"x")
    return wrong.value


def test_worker_lost_three_times_is_our_error_and_refunded(send, team: Team, benchmark: Benchmark) -> None:
    submission = send()
    for attempt in (1, 2, 3):
        claimed = claim()
        assert claimed.job.attempts == attempt
        expire(claimed.job)
    assert claim_next(Evaluation) is None
    assert submissions.error_exhausted() == 1
    submission.refresh_from_db()
    assert submission.evaluation.state == State.ERRORED
    assert quotas.usage(team, benchmark).day_used == 0


def test_running_out_of_memory_twice_rejects_the_file(send, team: Team, benchmark: Benchmark) -> None:
    submission = send()
    submissions.fail(claim(), code="memory", reference="r1")
    assert Evaluation.objects.get().state == State.QUEUED
    submissions.fail(claim(), code="memory", reference="r2")
    evaluation = Evaluation.objects.get(submission=submission)
    assert (evaluation.state, evaluation.error_code) == (State.REJECTED, "resource")
    assert "memory" in evaluation.error_message
    assert quotas.usage(team, benchmark).rejects == 1


def test_platform_fault_is_tried_three_times_then_refunded(send, team: Team, benchmark: Benchmark) -> None:
    submission = send()
    for number in range(3):
        submissions.fail(claim(), code="crashed", reference=f"ref-{number}")
    evaluation = Evaluation.objects.get(submission=submission)
    assert (evaluation.state, evaluation.attempts) == (State.ERRORED, 3)
    assert "ref-2" in evaluation.error_message
    assert quotas.usage(team, benchmark).total_used == 0


def test_claims_prefer_the_team_with_the_fewest_running(send, method: Method) -> None:
    other = Team.objects.create(name="Other")
    theirs = Method.objects.create(team=other, name="Theirs")
    mine = [send(miss=miss) for miss in range(3)]
    late = send(miss=5, to=theirs)
    order = [claim().job.submission_id for _ in range(4)]
    assert order == [mine[0].pk, late.pk, mine[1].pk, mine[2].pk]


def test_cancel_before_the_start_refunds_and_after_it_does_not(
    send, alice: User, team: Team, benchmark: Benchmark
) -> None:
    waiting = send()
    submissions.cancel(submission=waiting, by=alice)
    assert quotas.usage(team, benchmark).day_used == 0
    running = send(miss=1)
    claimed = claim()
    submissions.cancel(submission=running, by=alice)
    usage = quotas.usage(team, benchmark)
    assert (usage.day_used, usage.running) == (1, 0)
    assert not submissions.record(claimed, report(), seconds=1)
    with pytest.raises(Refused, match="already ended"):
        submissions.cancel(submission=running, by=alice)


def test_closed_board_rejects_submissions_by_the_databases_clock(send, benchmark: Benchmark) -> None:
    Benchmark.objects.update(closes_at=timezone.now() - timedelta(seconds=5))
    with pytest.raises(Refused, match="closed at"):
        send()
    Benchmark.objects.update(closes_at=None, opens_at=timezone.now() + timedelta(hours=1))
    with pytest.raises(Refused, match="opens at"):
        send()


def test_board_without_annotations_accepts_nothing(send, benchmark: Benchmark) -> None:
    Benchmark.objects.update(truth_sha256="")
    with pytest.raises(Refused, match="no annotations"):
        send()


def test_publish_replaces_the_methods_earlier_row(send, alice: User, benchmark: Benchmark) -> None:
    first, second = send(miss=3), send(miss=1)
    with pytest.raises(Refused, match="only a scored submission"):
        submissions.publish(submission=first, by=alice)
    submissions.record(claim(), report(0.4), seconds=1)
    submissions.record(claim(), report(0.6), seconds=1)
    submissions.publish(submission=first, by=alice)
    before = BoardEvent.objects.get(current=True).at
    submissions.publish(submission=second, by=alice)
    submissions.publish(submission=second, by=alice)
    assert BoardEvent.objects.count() == 2
    assert [row.value for row in board(benchmark).ranked] == [0.6]
    assert [row.value for row in board(benchmark, at=before).ranked] == [0.4]
    submissions.withdraw(submission=second, by=alice)
    assert board(benchmark).ranked == []
    assert len(board(benchmark, at=timezone.now() + timedelta(minutes=1)).ranked) == 0
    with pytest.raises(Refused, match="is not on the board"):
        submissions.withdraw(submission=second, by=alice)


def test_its_team_cannot_publish_a_disqualified_method(send, alice: User, charlie: User) -> None:
    submission = send()
    submissions.record(claim(), report(), seconds=1)
    submissions.publish(submission=submission, by=alice)
    submissions.disqualify(submission=submission, by=charlie, note="trained on the test images")
    with pytest.raises(Refused, match="disqualified"):
        submissions.publish(submission=submission, by=alice)
    again = send(miss=1, publish_when_scored=True)
    submissions.record(claim(), report(0.9), seconds=1)
    assert BoardEvent.objects.get(current=True).kind == BoardEvent.Kind.DISQUALIFIED
    assert Evaluation.objects.get(submission=again).state == State.SCORED


def test_publish_when_scored(send, benchmark: Benchmark) -> None:
    send(publish_when_scored=True)
    version = Benchmark.objects.get().version
    submissions.record(claim(), report(0.7), seconds=1)
    assert [row.value for row in board(benchmark).ranked] == [0.7]
    assert Benchmark.objects.get().version > version


def test_orphan_blobs_are_collected_and_referenced_ones_stay(send) -> None:
    referenced = send().sha256
    orphan = blobs.store([b"nobody's"], limit=100).sha256
    known = set(Submission.objects.values_list("sha256", flat=True)) | set(
        Benchmark.objects.values_list("image_list_sha256", flat=True)
    )
    assert blobs.collect_orphans(known, older_than_seconds=60) == 0
    assert blobs.collect_orphans(known, older_than_seconds=-1) == 1
    assert blobs.path(referenced).exists()
    assert not blobs.path(orphan).exists()


def test_blob_over_the_limit_leaves_nothing(tmp_path, settings) -> None:
    with pytest.raises(blobs.TooLarge):
        blobs.store([b"x" * 50, b"y" * 51], limit=100)
    assert not [file for file in settings.UPLOADS_DIR.rglob("*") if file.is_file()]


def test_a_name_never_becomes_a_path() -> None:
    for name in ("../../etc/passwd", "A" * 64, "", "0" * 63 + "/"):
        with pytest.raises(ValueError):
            blobs.path(name)


@pytest.mark.parametrize(
    ("microseconds", "opens", "closes"), [(-1, "not_open", "open"), (0, "open", "closed"), (1, "open", "closed")]
)
def test_a_benchmark_opens_and_closes_at_its_very_moment(
    benchmark: Benchmark, microseconds: int, opens: str, closes: str
) -> None:
    moment = datetime(2026, 5, 1, 12, tzinfo=UTC)
    now = moment + timedelta(microseconds=microseconds)
    benchmark.opens_at = moment
    assert benchmark.phase(now) == opens
    benchmark.opens_at, benchmark.closes_at = None, moment
    assert benchmark.phase(now) == closes
