"""Kills from outside, at every moment: the zygote's and the scoring process's. None of them is the file's fault."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from leaderboard.sandbox import scorer as scoring
from leaderboard.sandbox.report_check import BY_FILE
from leaderboard.sandbox.scorer import STARTS, Limits, Scorer, ScoringFailed
from leaderboard.sandbox.system_calls import FATAL_SIGNALS
from tests.leaderboard.sandbox.conftest import HERE, LINUX, children_of, told

pytestmark = LINUX
LONG = Limits(memory_bytes=256 << 20, cpu_seconds=60, wall_seconds=60)
SHORT = Limits(memory_bytes=256 << 20, cpu_seconds=60, wall_seconds=0.5)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "FIRST_PAUSE", 0.005)


@contextmanager
def killing_zygotes(runner: Scorer, most: int) -> Iterator[list[int]]:
    """Kill the scorer's zygotes as they are started, the first `most` of them. Yields their numbers."""
    killed: list[int] = []
    done = threading.Event()

    def hunt() -> None:
        while not done.wait(0.0005) and len(killed) < most:
            process = runner._process
            if process is not None and process.pid not in killed:
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
                killed.append(process.pid)

    hunter = threading.Thread(target=hunt)
    hunter.start()
    try:
        yield killed
    finally:
        done.set()
        hunter.join()


def test_a_zygote_killed_while_it_starts_is_started_again(scorer):
    runner = scorer("honest")
    with killing_zygotes(runner, 2) as killed:
        assert runner.ready()
    assert len(killed) == 2
    assert runner.known_isolation()["held"]


def test_a_job_whose_zygote_is_killed_while_it_starts_is_scored(job, scorer):
    runner = scorer("honest")
    with killing_zygotes(runner, STARTS - 1) as killed:
        assert told(runner.run(**job))["predictions"] == "[]"
    assert len(killed) == STARTS - 1


def test_a_zygote_that_never_comes_up_is_not_started_for_ever_and_the_next_job_is_scored(job, scorer):
    runner = scorer("honest")
    with killing_zygotes(runner, 1000) as killed:
        assert not runner.ready()
        assert runner.known_isolation() == {"started": False}
        with pytest.raises(ScoringFailed, match="does not start") as caught:
            runner.run(**job)
    assert caught.value.code == "crashed"
    assert len(killed) == 2 * STARTS
    assert told(runner.run(**job))["predictions"] == "[]"
    assert runner.known_isolation()["held"]


def test_the_lease_is_renewed_while_a_zygote_hangs_at_its_start(job, scorer, monkeypatch):
    monkeypatch.setattr(scoring, "LEASE_CHECK_SECONDS", 0.02)
    monkeypatch.setattr(scoring, "END_SECONDS", 0.2)
    runner = scorer("honest")
    real, beats = scoring.subprocess.Popen, []

    def stopped(*arguments: object, **options: object) -> object:
        process = real(*arguments, **options)
        os.kill(process.pid, signal.SIGSTOP)
        return process

    monkeypatch.setattr(scoring.subprocess, "Popen", stopped)
    with pytest.raises(ScoringFailed) as caught:
        runner.run(**job, heartbeat=lambda: beats.append(1) or len(beats) < 4, every=0.05)
    assert caught.value.code == "lease_lost"
    assert len(beats) == 4


def when(true: Callable[[], bool], act: Callable[[], None]) -> Callable[[], bool]:
    """A heartbeat that acts once, the first time that something is true."""
    acted = []

    def heartbeat() -> bool:
        if not acted and true():
            acted.append(True)
            act()
        return True

    return heartbeat


def test_a_zygote_killed_once_while_its_child_runs_costs_nothing(job, scorer, tmp_path):
    """The child of the first zygote sleeps; that of the second finds a sign that the first was killed, and replies."""
    runner = scorer("sleep_until_there_is_a_sign", LONG)
    runner.ready()
    first = runner._process.pid

    def kill() -> None:
        (tmp_path / "sign").touch()
        os.kill(first, signal.SIGKILL)

    beat = when(lambda: bool(children_of(first)), kill)
    assert told(runner.run(**job, heartbeat=beat, every=0.02)) == {"sign": True}
    assert runner._process.pid != first


def test_a_zygote_killed_while_it_reads_annotations_costs_nothing(job, tmp_path):
    """What the first zygote imports for the job takes for ever."""
    mark = tmp_path / "reading"
    (tmp_path / "slow_to_read.py").write_text(
        "import time\nfrom pathlib import Path\nfrom hostile import honest\n"
        f"mark = Path({str(mark)!r})\nif not mark.exists():\n    mark.touch()\n    time.sleep(600)\n"
    )
    with Scorer(LONG, evaluate_target="slow_to_read:honest", search_path=[tmp_path, HERE]) as runner:
        runner.ready()
        first = runner._process.pid
        beat = when(mark.exists, lambda: os.kill(first, signal.SIGKILL))
        assert told(runner.run(**job, heartbeat=beat, every=0.02))["predictions"] == "[]"


def test_the_zygote_of_the_check_may_be_killed_too(job):
    with Scorer(LONG, evaluate_target="hostile:reject", search_path=[HERE]) as runner:
        job["predictions"].write_text("[")
        for _ in range(2):
            with pytest.raises(ValueError, match="not valid JSON"):
                runner.run(**job)
            runner._checker._process.kill()
        runner.close()
        assert runner._checker is None


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_from_outside_is_not_the_files_fault(job, scorer, number):
    runner = scorer("sleep_lightly", LONG)
    runner.ready()
    zygote = runner._process.pid
    beat = when(lambda: asleep(children_of(zygote)), lambda: os.kill(children_of(zygote)[0], number))
    with pytest.raises(ScoringFailed) as caught:
        runner.run(**job, heartbeat=beat, every=0.02)
    assert caught.value.code not in BY_FILE
    assert caught.value.code == f"killed_{number.name}"


def asleep(processes: list[int]) -> bool:
    """Whether a child has got to its sandbox, and so has given up the handlers it was forked with."""
    return bool(processes) and "Seccomp:\t2" in Path(f"/proc/{processes[0]}/status").read_text()


def test_only_signals_that_a_process_draws_on_itself_are_the_files_fault():
    assert {f"killed_{number.name}" for number in FATAL_SIGNALS} | {"memory", "time"} == BY_FILE
    assert "killed_SIGKILL" not in BY_FILE and "killed_SIGTERM" not in BY_FILE
    assert {"killed_SIGSEGV", "killed_SIGBUS", "killed_SIGABRT"} < BY_FILE


@pytest.mark.parametrize("target", ["sleep", "spin"])
def test_time_that_passed_while_the_process_was_stopped_is_not_the_files_fault(job, scorer, target):
    runner = scorer(target, SHORT)
    runner.ready()
    zygote = runner._process.pid
    beat = when(lambda: bool(children_of(zygote)), lambda: os.kill(children_of(zygote)[0], signal.SIGSTOP))
    with pytest.raises(ScoringFailed) as caught:
        runner.run(**job, heartbeat=beat, every=0.02)
    assert caught.value.code == "crashed"
    assert children_of(zygote) == []


def test_time_in_which_the_zygote_did_not_respond_is_not_the_files_fault(job, scorer, monkeypatch):
    monkeypatch.setattr(scoring, "END_SECONDS", 0.2)
    runner = scorer("sleep", SHORT)
    runner.ready()
    zygote = runner._process.pid
    beat = when(lambda: bool(children_of(zygote)), lambda: os.kill(zygote, signal.SIGSTOP))
    with pytest.raises(ScoringFailed) as caught:
        runner.run(**job, heartbeat=beat, every=0.02)
    assert caught.value.code == "crashed"


@pytest.mark.parametrize(("seconds", "patience", "code"), [(600, 0.2, "crashed"), (1.5, 60, "ground_truth")])
def test_time_that_reading_annotations_took_is_not_the_files_fault(job, tmp_path, monkeypatch, seconds, patience, code):
    monkeypatch.setattr(scoring, "END_SECONDS", patience)
    (tmp_path / "long_to_read.py").write_text(f"import time\nfrom hostile import sleep\ntime.sleep({seconds})\n")
    runner = Scorer(SHORT, evaluate_target="long_to_read:sleep", search_path=[tmp_path, HERE])
    with runner, pytest.raises(ScoringFailed) as caught:
        runner.run(**job)
    assert caught.value.code == code
    assert code not in BY_FILE


def test_a_kill_for_memory_is_told_from_others(monkeypatch):
    """The kernel's killer cannot be had without emptying the machine: its counter is read, and here is made to rise."""
    runner = Scorer(LONG)
    counts = iter([3, 4])
    monkeypatch.setattr(scoring, "oom_kills", lambda: next(counts))
    ended = {"ended": signal.SIGKILL, "cpu_seconds": 0.0}
    for expected in ("outside", "memory ran out"):
        with pytest.raises(ScoringFailed, match=expected) as caught:
            runner._conclude(b"", ended, "", 3)
        assert caught.value.code == "killed_SIGKILL"
