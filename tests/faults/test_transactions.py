"""Concurrent transactions: no deadlocks, and what the database aborts is retried."""

from __future__ import annotations

import ast
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connection, connections, transaction
from django.db.backends.signals import connection_created
from django.db.models import F

from evaluator import PredictionError, validate
from leaderboard.files import blobs
from leaderboard.models import (
    Benchmark,
    BoardEvent,
    Evaluation,
    Membership,
    Method,
    Quota,
    State,
    Submission,
    User,
    transactions,
)
from leaderboard.models.jobs import OPEN_STATES
from leaderboard.models.transactions import retried
from leaderboard.operations import quotas, reported_results, submissions, teams
from leaderboard.operations.refusals import Refused
from leaderboard.queue.leases import claim_next
from tests.leaderboard.conftest import report, submit
from tests.lock_order import Watch

pytestmark = pytest.mark.django_db(transaction=True)

# SQLite has no row locks: one transaction writes at a time
on_postgres = pytest.mark.postgres


@pytest.fixture
def quick_deadlocks() -> Iterator[None]:
    """Deadlocks are detected after 20 ms instead of a second."""

    def set_timeout(connection: Any, **_: Any) -> None:
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SET deadlock_timeout = '20ms'")

    connections.close_all()
    connection_created.connect(set_timeout)
    yield
    connection_created.disconnect(set_timeout)
    connections.close_all()


def in_threads(*acts: Callable[[], None]) -> None:
    """Run all at once; the first exception is raised here."""
    raised: list[BaseException] = []

    def run(act: Callable[[], None]) -> None:
        try:
            act()
        except BaseException as error:
            raised.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not any(thread.is_alive() for thread in threads)
    if raised:
        raise raised[0]


def some_error() -> PredictionError:
    with pytest.raises(PredictionError) as wrong:
        validate("lsp", b"x")
    return wrong.value


@pytest.mark.usefixtures("quick_deadlocks")
def test_no_deadlock_between_submitters_and_workers_of_one_team_and_board(
    benchmark: Benchmark, team: Any, alice: User, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Four people submit, cancel, publish, withdraw and rename while three workers record, reject and fail."""
    Benchmark.objects.update(daily_limit=10_000, total_limit=10_000, running_limit=10_000, reject_limit=10_000)
    other = Benchmark.objects.create(
        slug="other", dataset="lsp", split="other", title="Other", truth_sha256="0" * 64,
        daily_limit=10_000, total_limit=10_000, running_limit=10_000, reject_limit=10_000,
    )  # fmt: skip
    boards = [benchmark, other]
    methods = [Method.objects.create(team=team, name=f"Method {number}") for number in range(3)]
    files = [blobs.store([b"[]" + b" " * number], limit=100) for number in range(12)]
    wrong = some_error()
    # a retry would hide a deadlock
    monkeypatch.setattr(transactions, "ATTEMPTS", 1)
    done: Counter[str] = Counter()
    over = threading.Event()

    def person(seed: int) -> None:
        choose = random.Random(seed)
        for turn in range(15):
            method = choose.choice(methods)
            try:
                # the same files are sent again and again, even while an earlier copy is being rejected
                sent = submit(
                    method, choose.choice(files), benchmark=choose.choice(boards), user=alice,
                    publish_when_scored=choose.random() < 0.5,
                )  # fmt: skip
                done["submitted"] += 1
                act = choose.randrange(9)
                if act < 2:
                    submissions.cancel(submission=sent, by=alice)
                elif act < 4:
                    scored = Submission.objects.filter(evaluations__state=State.SCORED).order_by("?").first()
                    if scored:
                        submissions.publish(submission=scored, by=alice)
                elif act < 6:
                    event = BoardEvent.objects.filter(current=True, kind="published").order_by("?").first()
                    if event and event.submission:
                        submissions.withdraw(submission=event.submission, by=alice)
                elif act < 8:
                    renamed = Method.objects.get(pk=method.pk)
                    teams.edit_method(method=renamed, by=alice, name=f"Method {method.pk} of {seed}, {turn}")
                else:
                    reported_results.load()
                done["decided"] += 1
            except Refused:
                done["refused"] += 1

    def people() -> None:
        try:
            in_threads(*(lambda seed=seed: person(seed) for seed in range(4)))
        finally:
            over.set()

    def worker(seed: int) -> None:
        choose = random.Random(100 + seed)
        while True:
            claim = claim_next(Evaluation)
            if claim is None:
                if over.is_set():
                    return
                time.sleep(0.005)
                continue
            act = choose.randrange(4)
            if act == 0:
                submissions.reject(claim, wrong)
            elif act == 1:
                submissions.fail(claim, code="crashed", reference="r")
            else:
                submissions.record(claim, report(choose.random()), seconds=0.1)
            done["worked"] += 1

    in_threads(people, *(lambda seed=seed: worker(seed) for seed in range(3)))
    assert done["submitted"] + done["refused"] >= 60 and done["worked"] > 10, done
    assert not [line for line in caplog.messages if "attempt" in line]
    assert not Evaluation.objects.filter(state__in=OPEN_STATES).exists()
    # everything was counted exactly once
    for board in boards:
        usage = quotas.usage(team, board)
        refunded = [State.REJECTED, State.ERRORED]
        charged = Submission.objects.filter(benchmark=board).exclude(evaluations__state__in=refunded)
        cancelled_early = charged.filter(evaluations__state=State.CANCELLED, evaluations__attempts=0).count()
        assert usage.running == 0
        assert usage.day_used == usage.total_used == charged.count() - cancelled_early
        rejected = Submission.objects.filter(benchmark=board, evaluations__state=State.REJECTED)
        assert usage.rejects == rejected.count()


# --- retries ---------------------------------------------------------------------------------------------------------


def counters(team: Any, benchmark: Benchmark) -> tuple[Quota, Quota]:
    day, total = (
        Quota.objects.create(team=team, benchmark=benchmark, kind=kind, window="2026-01-01")
        for kind in ("day", "total")
    )
    return day, total


def add_one(counter: Quota) -> None:
    Quota.objects.filter(pk=counter.pk, kind=counter.kind).update(used=F("used") + 1)


@on_postgres
@pytest.mark.usefixtures("quick_deadlocks")
def test_a_deadlock_is_retried_and_its_callbacks_run_once(
    team: Any, benchmark: Benchmark, caplog: pytest.LogCaptureFixture, lock_order: Watch
) -> None:
    first, second = counters(team, benchmark)
    both_hold_one = threading.Barrier(2)
    attempts: Counter[str] = Counter()
    committed: list[str] = []

    @retried
    def lock_two(one: Quota, then: Quota, name: str) -> None:
        attempts[name] += 1
        transaction.on_commit(lambda: committed.append(name))
        add_one(one)
        if attempts[name] == 1:
            both_hold_one.wait(30)
        add_one(then)

    in_threads(lambda: lock_two(first, second, "forth"), lambda: lock_two(second, first, "back"))
    assert sorted(attempts.values()) == [1, 2]
    assert sorted(committed) == ["back", "forth"]
    assert set(Quota.objects.values_list("used", flat=True)) == {2}
    assert [line for line in caplog.messages if "40P01, attempt 1" in line]
    # the watch on lock order noticed that this one is wrong
    assert any("quota is locked after quota" in problem for problem in lock_order.problems)
    lock_order.problems.clear()


@on_postgres
def test_a_serialization_failure_is_retried(team: Any, benchmark: Benchmark) -> None:
    counter, _ = counters(team, benchmark)
    attempts = []

    @retried
    def read_then_write() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        used = Quota.objects.get(pk=counter.pk).used
        attempts.append(used)
        if len(attempts) == 1:
            in_threads(lambda: add_one(counter))
        Quota.objects.filter(pk=counter.pk).update(used=used + 10)

    read_then_write()
    assert attempts == [0, 1]
    counter.refresh_from_db()
    assert counter.used == 11


@on_postgres
def test_attempts_are_limited_and_only_the_outermost_transaction_is_retried(
    team: Any, benchmark: Benchmark, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions, "FIRST_WAIT", 0.0)
    calls: Counter[str] = Counter()

    @retried
    def inner() -> None:
        calls["inner"] += 1
        with connection.cursor() as cursor:
            cursor.execute("DO $$ BEGIN RAISE EXCEPTION 'again' USING ERRCODE = '40001'; END $$")

    @retried
    def outer() -> None:
        calls["outer"] += 1
        inner()

    with pytest.raises(OperationalError):
        outer()
    assert calls == {"outer": transactions.ATTEMPTS, "inner": transactions.ATTEMPTS}


@on_postgres
def test_a_failure_after_the_commit_is_not_retried(team: Any, benchmark: Benchmark) -> None:
    counter, _ = counters(team, benchmark)

    def fail() -> None:
        with connection.cursor() as cursor:
            cursor.execute("DO $$ BEGIN RAISE EXCEPTION 'late' USING ERRCODE = '40001'; END $$")

    @retried
    def operation() -> None:
        add_one(counter)
        transaction.on_commit(fail)

    with pytest.raises(OperationalError):
        operation()
    counter.refresh_from_db()
    assert counter.used == 1


def test_other_errors_are_not_retried(team: Any) -> None:
    calls = []

    @retried
    def operation() -> None:
        calls.append(1)
        with connection.cursor() as cursor:
            cursor.execute("SELECT no_such_column FROM leaderboard_team")

    with pytest.raises(Exception, match="no_such_column"):
        operation()
    assert calls == [1]


# --- the order of locks ----------------------------------------------------------------------------------------------


@on_postgres
@pytest.mark.parametrize(
    ("statements", "words"),
    [
        (lambda m, b: (transactions.lock(b), transactions.lock(m)), "method is locked after benchmark"),
        (lambda m, b: (transactions.lock(m), list(b.select_for_update())), "FOR UPDATE stops inserts"),
        (lambda m, b: Benchmark.objects.filter(slug__contains="lsp").update(version=2), "locked in no order"),
        (lambda m, b: (transactions.lock(m), Membership.objects.update(is_owner=True)), "no place in LOCK_ORDER"),
        (lambda m, b: (transactions.lock(m), transactions.lock(b), m.update(authors="A")), None),
    ],
)
def test_a_transaction_that_locks_in_another_order_is_noticed(
    benchmark: Benchmark, method: Method, lock_order: Watch, statements: Callable[..., Any], words: str | None
) -> None:
    with transaction.atomic():
        statements(Method.objects.filter(pk=method.pk), Benchmark.objects.filter(pk=benchmark.pk))
    assert [words in problem for problem in lock_order.problems] == [True] * (words is not None), lock_order.problems
    lock_order.problems.clear()


# why these open a transaction without `retried`
WITHOUT_RETRY = {
    "leaderboard/models/transactions.py": "defines `retried`",
    "leaderboard/operations/submissions.py": "a savepoint, to recover from a violated unique constraint",
    "leaderboard/operations/teams.py": "inserted rows, recovering from a violated unique constraint",
    "leaderboard/operations/checkpoints.py": "one row and its file",
    "leaderboard/operations/annotation_imports.py": "one inserted row",
    "leaderboard/operations/uploads.py": "a new team, rolled back with a refused import",
}


def test_every_transaction_is_retried_or_listed_with_a_reason() -> None:
    root = Path(transactions.__file__).parent.parent
    found = set()
    for file in root.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in {"atomic", "select_for_update"}:
                found.add(file.relative_to(root.parent).as_posix())
    # a claim skips locked rows and locks one
    assert found == set(WITHOUT_RETRY) | {"leaderboard/queue/leases.py"}
