"""Parallel requests and workers in real transactions, on whichever database the tests use."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections

from leaderboard.files import blobs
from leaderboard.models import Benchmark, Evaluation, Method, Quota, Score, State, Submission, Team, User
from leaderboard.operations import quotas, submissions
from leaderboard.operations.refusals import Refused
from leaderboard.operations.teams import own_team
from leaderboard.queue.leases import claim_next
from tests.leaderboard.conftest import predictions, report, submit

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(count: int, act: Callable[[int], Any]) -> list[Any]:
    """Run `act(0..count-1)` in as many threads that start together; returns what each returned or raised."""
    results: list[Any] = [None] * count
    together = threading.Barrier(count)

    def run(number: int) -> None:
        together.wait()
        try:
            results[number] = act(number)
        except (Refused, AssertionError) as error:
            results[number] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def send(benchmark: Benchmark, method: Method, user: User, content: bytes) -> Submission:
    return submit(method, blobs.store([content], limit=1 << 20), benchmark=benchmark, user=user)


def test_limit_holds_under_parallel_submissions(benchmark: Benchmark, method: Method, alice: User) -> None:
    Benchmark.objects.update(daily_limit=5, running_limit=100)
    results = at_once(20, lambda number: send(benchmark, method, alice, b"[]" + b" " * number))
    kinds = Counter(type(result).__name__ for result in results)
    assert kinds == {"Submission": 5, "Refused": 15}
    assert {result.status for result in results if isinstance(result, Refused)} == {429}
    assert quotas.usage(method.team, benchmark).day_used == 5 == Submission.objects.count()
    assert Quota.objects.filter(kind=Quota.Kind.TOTAL).get().used == 5


def test_same_file_sent_in_parallel_is_one_submission(benchmark: Benchmark, method: Method, alice: User) -> None:
    results = at_once(10, lambda number: send(benchmark, method, alice, b"[]"))
    assert len({result.pk for result in results}) == 1
    assert quotas.usage(method.team, benchmark).day_used == 1


def test_own_team_is_created_once(db: None) -> None:
    user = User.objects.create_user("dora", "dora@example.org", "a-long-password")
    assert len({team.pk for team in at_once(8, lambda number: own_team(User.objects.get(pk=user.pk)))}) == 1
    assert Team.objects.filter(person=user).count() == 1


def test_each_evaluation_is_claimed_by_one_worker(benchmark: Benchmark, method: Method, alice: User) -> None:
    Benchmark.objects.update(daily_limit=50)
    for number in range(12):
        send(benchmark, method, alice, predictions(miss=number))
    claims = at_once(24, lambda number: claim_next(Evaluation))
    claimed = [claim.job.pk for claim in claims if claim]
    # a claim may lose its row to another worker and return nothing, but no row is ever claimed twice
    assert len(claimed) == len(set(claimed))
    while claim := claim_next(Evaluation):
        claimed.append(claim.job.pk)
    assert sorted(claimed) == sorted(Evaluation.objects.values_list("pk", flat=True))


def test_scores_are_written_once_by_racing_workers(benchmark: Benchmark, method: Method, alice: User) -> None:
    send(benchmark, method, alice, predictions())
    claim = claim_next(Evaluation)
    assert claim is not None
    outcomes = at_once(8, lambda number: submissions.record(claim, report(), seconds=1))
    assert outcomes.count(True) == 1
    assert Score.objects.count() == 1
    assert quotas.usage(method.team, benchmark).running == 0
    assert Evaluation.objects.get().state == State.SCORED


def test_storage_limit_holds_under_parallel_submissions(
    benchmark: Benchmark, method: Method, alice: User, settings: Any
) -> None:
    """Each file is 1,000 bytes; three fit."""
    Benchmark.objects.update(daily_limit=100, running_limit=100)
    settings.PERSON_STORAGE = 3500
    results = at_once(12, lambda number: send(benchmark, method, alice, (b"[%d]" % number).ljust(1000)))
    assert Counter(getattr(result, "code", "") for result in results) == {"": 3, "storage_person": 9}
    assert Submission.objects.count() == 3
