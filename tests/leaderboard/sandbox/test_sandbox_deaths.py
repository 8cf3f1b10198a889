"""What becomes of a submission whose scoring process or zygote is killed: by real signals, in the real sandbox."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from leaderboard import tasks, worker_process
from leaderboard.models import AnnotationImport, Benchmark, Evaluation, State, Team, User, Worker
from leaderboard.operations import annotation_imports, quotas, releases
from leaderboard.queue import workers
from leaderboard.sandbox import scorer as scoring
from leaderboard.sandbox.defences import Limits
from leaderboard.sandbox.scorer import Scorer
from tests.leaderboard.conftest import annotations_json

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="LINUX ONLY: it looks through /proc"),
]
HOSTILE = Path(__file__).resolve().parent


@pytest.fixture
def use_scorer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Scorer]]:
    """Give the worker a sandbox that calls this function."""
    made: list[Scorer] = []

    def use(target: str = "evaluator:evaluate") -> Scorer:
        limits = Limits(memory_bytes=1 << 28, cpu_seconds=60, wall_seconds=60)
        made.append(Scorer(limits, evaluate_target=target, search_path=[HOSTILE]))
        monkeypatch.setattr(worker_process, "_scorer", made[-1])
        return made[-1]

    monkeypatch.setattr(scoring, "FIRST_PAUSE", 0.005)
    yield use
    for each in made:
        each.close()


@contextmanager
def killing(victims: Callable[[], list[int]], number: int = signal.SIGKILL) -> Iterator[list[int]]:
    """Send every process that `victims` names the signal, once. Yields their numbers."""
    killed: list[int] = []
    done = threading.Event()

    def hunt() -> None:
        while not done.wait(0.001):
            for process in set(victims()) - set(killed):
                with suppress(ProcessLookupError):
                    os.kill(process, number)
                killed.append(process)

    hunter = threading.Thread(target=hunt)
    hunter.start()
    try:
        yield killed
    finally:
        done.set()
        hunter.join()


def zygotes(scorer: Scorer) -> Callable[[], list[int]]:
    return lambda: [scorer._process.pid] if scorer._process else []


def sandboxed_children(scorer: Scorer) -> Callable[[], list[int]]:
    """The scoring processes that have got to their sandbox."""

    def find() -> list[int]:
        with suppress(OSError, AttributeError):
            zygote = scorer._process.pid  # type: ignore[union-attr]
            children = Path(f"/proc/{zygote}/task/{zygote}/children").read_text().split()
            return [int(child) for child in children if "Seccomp:\t2" in Path(f"/proc/{child}/status").read_text()]
        return []

    return find


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_three_kills_from_outside_are_our_fault_and_refunded(
    send, team: Team, benchmark: Benchmark, use_scorer, number: int
) -> None:
    submission = send()
    scorer = use_scorer("hostile:sleep_lightly")
    scorer.ready()
    with killing(sandboxed_children(scorer), number) as killed:
        for attempt in (1, 2, 3):
            assert "failed" in tasks.score()
            evaluation = Evaluation.objects.get(submission=submission)
            assert evaluation.state == (State.QUEUED if attempt < 3 else State.ERRORED)
            assert evaluation.attempts == attempt
    assert len(killed) == 3
    assert evaluation.error_code == "platform"
    usage = quotas.usage(team, benchmark)
    assert (usage.total_used, usage.rejects) == (0, 0)


def test_a_death_of_its_own_twice_is_the_files_fault(send, team: Team, benchmark: Benchmark, use_scorer) -> None:
    send()
    use_scorer("hostile:segfault")
    for _ in range(2):
        tasks.score()
    evaluation = Evaluation.objects.get()
    assert (evaluation.state, evaluation.error_code) == (State.REJECTED, "resource")
    assert quotas.usage(team, benchmark).rejects == 1


def test_a_zygote_killed_while_a_worker_warms_up_leaves_a_worker_that_scores(
    send, use_scorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    submission = send()
    listed: list[Any] = []
    monkeypatch.setattr(workers, "stay_listed", lambda **what: listed.append(what))
    monkeypatch.setattr(worker_process, "_queues", ["score"])
    scorer = use_scorer()
    with killing(zygotes(scorer)) as killed:
        worker_process.warm_up()
        assert len(killed) == scoring.STARTS
        (worker,) = listed  # it is listed all the same, and says what it knows
        assert worker["isolation"]() == {"started": False}
        # a job is not claimed for a sandbox that is not there, so nothing is charged to it
        tasks.score()
        evaluation = Evaluation.objects.get(submission=submission)
        assert (evaluation.state, evaluation.attempts) == (State.QUEUED, 0)
    assert tasks.score() == f"{submission} scored"
    assert Evaluation.objects.get(submission=submission).attempts == 1
    assert "rlimits" in worker["isolation"]()["held"]


def test_a_zygote_killed_between_and_during_jobs_costs_no_attempt(send, use_scorer) -> None:
    submissions = [send(miss=miss) for miss in (1, 2)]
    scorer = use_scorer()
    scorer.ready()
    for submission in submissions:
        scorer._process.kill()
        assert tasks.score() == f"{submission} scored"
    assert set(Evaluation.objects.values_list("state", "attempts")) == {(State.SCORED, 1)}


def test_status_page_says_that_a_sandbox_does_not_start(client) -> None:
    workers.report(name="host:1", queue="score", isolation={"started": False})
    page = client.get("/status/").content.decode()
    assert "its scoring sandbox does not start" in page
    assert "fully sandboxed" not in page
    assert workers.lacks(Worker(name="host:1", queue="score", isolation={"started": False})) == []


@pytest.mark.parametrize(
    "target",
    [
        "reject_with_annotations",
        "say_annotations_in_a_crash",
        "say_annotations_in_a_report",
        "say_annotations_in_a_name",
    ],
)
def test_a_hostile_evaluation_gets_no_annotation_into_rows_or_logs(
    send, benchmark: Benchmark, use_scorer, caplog: pytest.LogCaptureFixture, target: str
) -> None:
    """The canary is a number of every annotation, which no file of ours or of the submitter's has."""
    truth = annotations_json()
    for annotation in truth["annotations"]:
        annotation["keypoints"][0] = 4711.0625
    releases.put_into_force(benchmark, json.dumps(truth).encode())
    submission = send()
    use_scorer(f"hostile:{target}")
    with caplog.at_level(logging.DEBUG):
        for _ in range(3):
            tasks.score()
    evaluation = Evaluation.objects.get(submission=submission)
    assert evaluation.state == State.ERRORED
    said = caplog.text + str([*Evaluation.objects.values(), *evaluation.scores.values()])
    assert "failed (" in said
    assert "4711" not in said and "47110625" not in said


def test_an_annotation_file_that_breaks_the_check_is_not_quoted_in_the_log(
    benchmark: Benchmark, alice: User, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = annotations_json()
    truth["annotations"][0]["area"] = 4711.0625
    content = json.dumps(truth).encode()
    upload = SimpleNamespace(name="t.json", chunks=lambda: [content])
    annotation_imports.request(benchmark=benchmark, uploaded_file=upload, by=alice)
    # a fault of ours that nobody foresaw: the known ones have codes of their own
    monkeypatch.setattr(releases, "load_dataset", lambda *_: float(content.decode()))
    tasks.check_annotations()
    assert AnnotationImport.objects.get().state != State.DONE
    assert "ValueError" in caplog.text
    assert "4711" not in caplog.text
