"""The scoring process against hostile evaluations: every fault gets its name, and nothing is left behind."""

from __future__ import annotations

import itertools
import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from leaderboard.sandbox.defences import DEFENCES
from leaderboard.sandbox.scorer import Limits, Scorer, ScoringFailed
from leaderboard.sandbox.watching import Lease, Watch
from tests.leaderboard.sandbox import hostile
from tests.leaderboard.sandbox.conftest import HERE, LIMITS, LINUX, alive, children_of, need, told
from tests.waiting import wait_until

TIGHT = Limits(memory_bytes=256 << 20, cpu_seconds=1, wall_seconds=2)


def test_an_honest_evaluation_gets_the_files_and_its_report_comes_back(job, scorer):
    assert told(scorer("honest").run(**job)) == {"predictions": "[]", "truth": "{}"}


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("eat_memory", "memory"),
        ("eat_numpy_memory", "memory"),
        ("segfault", "killed_SIGSEGV"),
        ("abort", "killed_SIGABRT"),
        ("leave", "crashed"),
        ("raise_error", "crashed"),
        ("flood", "protocol"),
        ("write_nonsense", "protocol"),
    ],
)
def test_a_fault_has_a_name_and_the_next_job_is_scored(job, scorer, target, code):
    runner = scorer(target)
    for _ in range(2):
        with pytest.raises(ScoringFailed) as caught:
            runner.run(**job)
        assert caught.value.code == code
    runner.target = "hostile:honest"
    assert told(runner.run(**job))["predictions"] == "[]"


@pytest.mark.parametrize("target", ["spin", "sleep"])
def test_an_endless_loop_ends_within_its_limit_and_two_seconds(job, scorer, target):
    runner = scorer(target, TIGHT)
    runner.isolation()
    started = time.monotonic()
    with pytest.raises(ScoringFailed) as caught:
        runner.run(**job)
    assert caught.value.code == "time"
    assert time.monotonic() - started < TIGHT.wall_seconds + 2


def test_the_detail_of_a_crash_is_for_the_log(job, scorer):
    with pytest.raises(ScoringFailed, match=r"RuntimeError .* sandbox/hostile\.py:\d+$") as caught:
        scorer("raise_error").run(**job)
    assert "a fault of the evaluator" not in str(caught.value)


def test_the_scoring_process_sees_nothing_of_the_worker(job, scorer, monkeypatch, tmp_path):
    monkeypatch.setenv("DATABASE_URL", "postgres://poseboard:secret@localhost/poseboard")
    monkeypatch.setenv("POSEBOARD_SECRET_KEY", "secret")
    with (tmp_path / "open").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        found = told(scorer("look_around").run(**job))
    assert found["environment"] == [
        *("HOME", "LANG", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "PATH", "TMPDIR")
    ]
    assert found == found | {"opened": 1, "heavy": [], "group": True, "folder": "/"}  # the one is the result pipe


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        (tmp_path / "port").write_text(str(server.getsockname()[1]))
        yield server


@LINUX
def test_a_foreign_program_can_do_nothing(job, scorer, listener, tmp_path):
    runner = scorer("attack")
    need(runner, "seccomp", "landlock")
    (tmp_path / "victim").write_text("secret")
    outcomes = told(runner.run(**job))
    assert set(outcomes.values()) == {"PermissionError"}
    assert len(outcomes) == 13
    assert (tmp_path / "victim").read_text() == "secret"
    assert not (tmp_path / "written").exists()


@LINUX
@pytest.mark.parametrize(
    ("defences", "connected"),
    [((), "done"), (("network_namespace",), "OSError"), (("no_new_privs", "seccomp"), "PermissionError")],
)
def test_each_defence_alone_keeps_the_network_away_and_without_them_it_is_there(
    job, scorer, listener, defences, connected
):
    runner = scorer("connect_only", defences=("rlimits", *defences))
    need(runner, *defences)
    assert told(runner.run(**job))["connect"] == connected


@LINUX
def test_without_the_memory_limit_the_resident_size_is_watched(job, scorer):
    without = [name for name in DEFENCES if name != "rlimits"]
    runner = scorer("eat_memory", Limits(memory_bytes=256 << 20, cpu_seconds=60, wall_seconds=60), defences=without)
    runner.isolation()
    runner._isolation["memory_limit"] = False
    with pytest.raises(ScoringFailed) as caught:
        runner.run(**job)
    assert caught.value.code == "memory"


@LINUX
def test_a_process_that_left_the_group_is_found_and_ended(job, scorer):
    runner = scorer("leave_a_process", defences=["rlimits", "no_new_privs"])
    left = told(runner.run(**job))["left"]
    assert not alive(int(left))


def test_threads_are_allowed(job, scorer):
    assert told(scorer("use_threads").run(**job)) == {"found": [1]}


def test_a_lost_lease_ends_the_job(job, scorer):
    beats: list[float] = []

    def heartbeat() -> bool:
        beats.append(time.monotonic())
        return len(beats) < 3

    runner = scorer("sleep", Limits(memory_bytes=256 << 20, cpu_seconds=60, wall_seconds=60))
    with pytest.raises(ScoringFailed) as caught:
        runner.run(**job, heartbeat=heartbeat, every=0.1)
    assert caught.value.code == "lease_lost"
    assert len(beats) == 3
    assert all(0.09 < later - earlier < 1 for earlier, later in itertools.pairwise(beats))


def test_an_error_in_the_heartbeat_leaves_the_scorer_usable(job, scorer):
    runner = scorer("sleep", Limits(memory_bytes=256 << 20, cpu_seconds=60, wall_seconds=60))

    def heartbeat() -> bool:
        raise ConnectionError("the database is down")

    with pytest.raises(ConnectionError):
        runner.run(**job, heartbeat=heartbeat, every=0.05)
    runner.target = "hostile:honest"
    assert told(runner.run(**job))["predictions"] == "[]"


def test_a_dead_zygote_is_replaced(job, scorer):
    runner = scorer("honest")
    runner.run(**job)
    first = runner._process
    first.kill()
    assert told(runner.run(**job))["predictions"] == "[]"
    assert runner._process.pid != first.pid


@LINUX
def test_a_zygote_that_dies_in_the_middle_of_a_job_takes_it_along_and_the_job_is_tried_once_more(job, scorer):
    runner = scorer("sleep", Limits(memory_bytes=256 << 20, cpu_seconds=60, wall_seconds=60))
    runner.isolation()
    killed: list[int] = []
    children: list[int] = []

    def kill_it() -> bool:
        zygote = runner._process.pid
        if zygote not in killed and children_of(zygote):
            children.extend(children_of(zygote))
            killed.append(zygote)
            os.kill(zygote, signal.SIGKILL)
        return True

    with pytest.raises(ScoringFailed, match="the zygote died twice"):
        runner.run(**job, heartbeat=kill_it, every=0.05)
    assert len(killed) == 2
    assert wait_until(lambda: not any(alive(child) for child in children))


@LINUX
def test_a_hundred_jobs_leave_no_descriptors_and_no_processes(job, scorer):
    runner = scorer("honest")
    runner.run(**job)
    zygote = runner._process.pid

    def open_files() -> tuple[int, int]:
        return tuple(len(list(Path(f"/proc/{process}/fd").iterdir())) for process in ("self", zygote))

    before = open_files()
    for _ in range(100):
        runner.run(**job)
    assert runner._process.pid == zygote
    assert open_files() == before
    assert children_of(zygote) == []
    runner.close()
    assert not alive(zygote)


@LINUX
@pytest.mark.parametrize("target", ["sleep", "spin"])
def test_nothing_outlives_a_killed_worker(job, target):
    program = f"""
import sys
from dataclasses import asdict
from pathlib import Path
sys.path[:0] = [{str(HERE.parent.parent.parent)!r}]
from leaderboard.sandbox.scorer import Limits, Scorer
scorer = Scorer(Limits(memory_bytes=1 << 28, cpu_seconds=60, wall_seconds=60), evaluate_target="hostile:{target}",
                search_path=[Path({str(HERE)!r})])
scorer.isolation()
print(scorer._process.pid, flush=True)
scorer.run(dataset="lsp", predictions=Path({str(job["predictions"])!r}), truth=Path({str(job["truth"])!r}))
"""
    worker = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    zygote = int(worker.stdout.readline())
    assert wait_until(lambda: bool(children_of(zygote)))
    (child,) = children_of(zygote)
    worker.kill()
    worker.wait()
    worker.stdout.close()
    assert wait_until(lambda: not alive(zygote) and not alive(child), 2)


def test_a_scorer_copied_by_fork_starts_a_zygote_of_its_own(job, scorer):
    runner = scorer("honest")
    runner.run(**job)
    zygote = runner._process.pid
    child = os.fork()
    if child == 0:
        code = 1
        try:
            runner.run(**job)
            code = 0 if runner._process.pid != zygote else 2
            runner.close()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    runner.run(**job)
    assert runner._process.pid == zygote


@LINUX
def test_the_isolation_names_what_holds(scorer):
    isolation = scorer("honest").isolation()
    assert sorted([*isolation["held"], *isolation["missing"]]) == sorted(DEFENCES)
    assert "rlimits" in isolation["held"]
    assert isolation["memory_limit"] is True


def test_what_the_child_writes_is_checked_too(job, scorer):
    wrong = hostile.report()["scores"][0] | {"value": math.nan}
    job["predictions"].write_text(json.dumps({"report": hostile.report(scores=[wrong])}))
    with pytest.raises(ScoringFailed) as caught:
        scorer("reply_with_the_file").run(**job)
    assert caught.value.code == "protocol"


def test_two_messages_of_the_zygote_at_once_are_both_read():
    """A job may be over before the scorer looks: `started` and `ended` then come in one piece."""
    runner = Scorer(LIMITS)
    runner._control, zygote = socket.socketpair()
    reading, writing = os.pipe()
    os.write(writing, b"reply")
    os.close(writing)
    zygote.sendall(b'{"started": 1}\n{"ended": 0, "cpu_seconds": 0.0}\n')
    with runner._control, zygote:
        started = time.monotonic()
        got = runner._wait(reading, Lease(lambda: True, 20), Watch(LIMITS, memory_limited=True, end_seconds=5))
    os.close(reading)
    assert got == b"reply"
    assert time.monotonic() - started < 1
