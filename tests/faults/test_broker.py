"""A real broker that is down, frozen or emptied: requests do not wait for it, and no queued job is lost."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from redis import Redis

from leaderboard.local import broker, programs
from leaderboard.local.programs import Program
from leaderboard.views import health
from tests.leaderboard.api.conftest import API, ROOT, SETTLE, Server, _wait_until_up, free_port, fresh_database
from tests.leaderboard.conftest import predictions

# A request that waited took 2 s while the broker was down and 10 s while it was frozen. Each test sends several, at
# once or in a row, and compares the total, so that a busy machine does not matter.
NO_BROKER = "redis://127.0.0.1:1/0"

QUEUE = """
import sys
import django
django.setup()
from leaderboard.files import blobs
from leaderboard.models import Benchmark, User
from leaderboard.operations.teams import method_named, own_team
from tests.leaderboard.conftest import predictions, submit
alice, board = User.objects.get(username="alice"), Benchmark.objects.get()
method = method_named(team=own_team(alice), name="Queued")
for number in range(int(sys.argv[1]), int(sys.argv[2])):
    blob = blobs.store([predictions(miss=number % 14) + b" " * number], limit=1 << 20)
    submit(method, blob, benchmark=board, user=alice)
"""


def wait_until(true: Callable[[], Any], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "that took too long"
        time.sleep(0.02)


@dataclass(frozen=True)
class Site(Server):
    """A site's data, its database and a real broker; web and workers are started by the tests."""

    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def queue(self) -> Redis:
        return Redis(unix_socket_path=str(broker.socket_path(self.data)), socket_timeout=10)

    def waiting_calls(self, queue: str = "score") -> int:
        """How many wake-up calls wait in the broker."""
        return int(self.queue.llen(queue))  # type: ignore[arg-type]

    def start(self, command: list[str], log: str) -> subprocess.Popen[bytes]:
        with (self.data / log).open("ab") as out:
            process = subprocess.Popen(
                command, cwd=ROOT, env=self.environment, stdout=out, stderr=out, start_new_session=True
            )
        self.started.append(process)
        return process

    def start_broker(self) -> subprocess.Popen[bytes]:
        process = self.start(broker.command(self.data), "broker.log")
        wait_until(lambda: broker.responds(self.data))
        self.queue.flushall()
        return process

    def start_worker(self, name: str) -> subprocess.Popen[bytes]:
        program: Program = programs.worker(name, "score")
        before = len(self.ask("SELECT name FROM leaderboard_worker"))
        process = self.start(program.command, f"{name}.log")
        wait_until(lambda: len(self.ask("SELECT name FROM leaderboard_worker")) > before)
        return process

    def start_web(self, *, threads: int) -> None:
        self.python("manage.py", "collectstatic", "--noinput", "-v", "0")
        options = f"--worker-class leaderboard.web.Worker --workers 1 --threads {threads} --preload".split()
        options += ["--timeout", "60", "--no-control-socket"]
        address = self.url.removeprefix("http://")
        process = self.start(
            [sys.executable, "-m", "gunicorn", "leaderboard.wsgi", "--bind", address, *options], "gunicorn.log"
        )
        _wait_until_up(self, process)

    def queue_without_broker(self, first: int, last: int) -> None:
        """Submissions whose wake-up calls are all lost."""
        environment = self.environment | {"BROKER_URL": NO_BROKER}
        done = subprocess.run(
            [sys.executable, "-c", QUEUE, str(first), str(last)],
            cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    def sweep(self) -> None:
        """One message to the workers, as the scheduler sends it."""
        self.python("-c", "from leaderboard.celery import app; app.send_task('leaderboard.tasks.sweep', queue='score')")

    @contextmanager
    def database(self) -> Iterator[Any]:
        if url := self.environment.get("DATABASE_URL"):
            import psycopg

            with psycopg.connect(url) as connection:
                yield connection
        else:
            with closing(sqlite3.connect(self.data / "db.sqlite3", timeout=20)) as connection, connection:
                yield connection

    def ask(self, question: str) -> list[tuple[Any, ...]]:
        with self.database() as connection:
            return connection.execute(question).fetchall()

    def states(self) -> Counter[str]:
        return Counter(dict(self.ask("SELECT state, count(*) FROM leaderboard_evaluation GROUP BY state")))

    def log(self, name: str) -> str:
        return (self.data / name).read_text(errors="replace")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    database, drop = fresh_database()
    data = tmp_path_factory.mktemp("site")
    port = free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "BROKER_URL"}},
        **database,
        "DJANGO_SETTINGS_MODULE": "leaderboard.settings",
        "POSEBOARD_DATA": str(data),
        "POSEBOARD_URL": f"http://127.0.0.1:{port}",
        "BROKER_URL": broker.url(data),
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "PYTHONWARNINGS": "ignore",
        "OMP_NUM_THREADS": "1",
    }
    site = Site(f"http://127.0.0.1:{port}", data, {}, environment)
    more = "Benchmark.objects.update(daily_limit=10_000, total_limit=10_000, running_limit=10_000)\n"
    try:
        site.tokens.update(json.loads(site.python("-c", SETTLE + more).splitlines()[-1]))
        yield site
    finally:
        drop()


@pytest.fixture
def site(made: Site) -> Iterator[Site]:
    """Nothing runs yet, and nothing was submitted."""
    with made.database() as connection:
        for table in ("score", "evaluation", "submission", "quota", "worker"):
            connection.execute(f"DELETE FROM leaderboard_{table}")
    for log in made.data.glob("*.log"):
        log.unlink()
    yield made
    while made.started:
        process = made.started.pop()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(20)


# --- wake-up calls ---------------------------------------------------------------------------------------------------


def test_requests_do_not_wait_for_a_broker_that_is_frozen_or_down(site: Site) -> None:
    """Submissions, readers and health checks all proceed, and the workers are woken once the broker is back."""
    running = site.start_broker()
    site.start_web(threads=4)
    numbers = iter(range(10_000))
    headers = {"Authorization": f"Bearer {site.tokens['alice']}"}
    with httpx.Client(base_url=site.url, timeout=60, trust_env=False, headers=headers) as client:

        def post() -> None:
            content = predictions() + b" " * next(numbers)
            form = {"benchmark": "lsp-test-pc", "method": "Method"}
            response = client.post(f"{API}/submissions", data=form, files={"file": ("p.json", content)})
            assert response.status_code == 202, response.text

        def seconds_of(posts: int, checks: int) -> float:
            """The time for `posts` submissions in a row, with `checks` health checks and readers beside them."""

            def check() -> None:
                assert client.get("/healthz").status_code == 200
                assert client.get("/status/").status_code == 200

            started = time.monotonic()
            with ThreadPoolExecutor(checks) as pool:
                beside = [pool.submit(check) for _ in range(checks)]
                for _ in range(posts):
                    post()
                for each in beside:
                    each.result()
            return time.monotonic() - started

        def broker_is(word: str) -> Callable[[], bool]:
            return lambda: client.get("/healthz").json()["status"] == word

        wait_until(broker_is("ok"))
        post()
        wait_until(lambda: site.waiting_calls() == 1)

        os.kill(running.pid, signal.SIGSTOP)
        assert seconds_of(posts=5, checks=8) < 10  # 50 s and more if each waited
        wait_until(broker_is("degraded"))
        wait_until(lambda: "submissions are accepted and wait" in site.log("gunicorn.log"))
        os.kill(running.pid, signal.SIGCONT)
        wait_until(lambda: site.waiting_calls() >= 6)
        wait_until(broker_is("ok"))

        running.kill()
        running.wait(20)
        assert seconds_of(posts=5, checks=8) < 8  # 10 s and more if each waited
        wait_until(broker_is("degraded"))
        wait_until(lambda: site.log("gunicorn.log").count("submissions are accepted and wait") == 2)
        site.start_broker()
        wait_until(lambda: site.waiting_calls() > 0)
        wait_until(broker_is("ok"))
    log = site.log("gunicorn.log")
    assert (log.count("submissions are accepted and wait"), log.count("the workers are woken")) == (2, 2), (
        log
    )  # once per outage, however many were sent
    assert "Traceback" not in log
    assert site.states() == {"queued": 11}


FORKED = """
import django, os, signal, threading
django.setup()
from leaderboard.queue import wake
wake.wake("score")
assert wake.flush(30)
held, over = threading.Event(), threading.Event()

def hold():
    with wake._caller.changed:
        held.set()
        over.wait()

holder = threading.Thread(target=hold, daemon=True)
holder.start()
held.wait()
child = os.fork()
if child == 0:
    signal.alarm(60)
    wake.wake("score")
    os._exit(not wake.flush(30))
assert os.waitpid(child, 0)[1] == 0
over.set()
holder.join()
wake.wake("score")
"""


def test_a_process_that_ends_at_once_still_wakes_workers(site: Site) -> None:
    """Management commands, and processes forked while another thread makes a call."""
    running = site.start_broker()
    call = "import django; django.setup(); from leaderboard.queue.wake import wake; wake('baseline', 3)"
    site.python("-c", call)
    assert site.waiting_calls("baseline") == 3
    site.python("-c", FORKED)
    assert site.waiting_calls() == 3
    os.kill(running.pid, signal.SIGSTOP)
    try:
        started = time.monotonic()
        site.python("-c", call)  # it does not wait forever, either
        assert time.monotonic() - started < 30
    finally:
        os.kill(running.pid, signal.SIGCONT)


def test_a_health_check_waits_for_no_broker(site: Site, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread pings the frozen broker, for five seconds here; health checks get its last result at once."""
    running = site.start_broker()
    settings.BROKER_URL = broker.url(site.data)
    monkeypatch.setattr(health, "_watch", health._Watch())
    monkeypatch.setattr(health, "REMEMBER_SECONDS", 0.01)
    assert health.broker_responds()
    monkeypatch.setattr(health, "BROKER_SECONDS", 5.0)
    os.kill(running.pid, signal.SIGSTOP)
    try:
        started = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: (time.sleep(0.02), health.broker_responds()), range(80)))
        assert time.monotonic() - started < 5
        wait_until(lambda: not health.broker_responds())
    finally:
        os.kill(running.pid, signal.SIGCONT)
    wait_until(health.broker_responds)


# --- working through the queue ---------------------------------------------------------------------------------------


def test_one_sweep_is_enough_for_forty_waiting_submissions(site: Site) -> None:
    """With no scheduler and every wake-up call lost, both workers wake; the busy one leaves the idle one its call."""
    site.start_broker()
    for name in ("first", "second"):
        site.start_worker(name)
    wait_until(lambda: not site.waiting_calls())
    site.queue_without_broker(0, 40)
    assert site.states() == {"queued": 40}
    site.sweep()
    wait_until(lambda: site.states() == {"scored": 40})
    assert len(site.ask("SELECT DISTINCT worker FROM leaderboard_evaluation")) == 2
    wait_until(lambda: not site.waiting_calls())


def test_a_stopped_worker_claims_nothing_more(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM: the current job is finished and the others wait. SIGQUIT: the current job's lease has to expire."""
    # otherwise it would go on for this long
    monkeypatch.setitem(site.environment, "POSEBOARD_SWEEP_SECONDS", "60")
    site.start_broker()
    first = site.start_worker("first")
    wait_until(lambda: not site.waiting_calls())
    site.queue_without_broker(0, 150)
    site.sweep()
    wait_until(lambda: site.states()["scored"] >= 3)
    assert site.waiting_calls() == 3  # of four: calls that it does not need are left to others
    first.send_signal(signal.SIGTERM)
    first.wait(60)
    left = site.states()
    assert left["queued"] > 0 and set(left) == {"queued", "scored"}
    # a call is waiting for the rest; the next worker continues with it, as does one that looks when it starts
    second = site.start_worker("second")
    wait_until(lambda: site.states()["scored"] > left["scored"] + 3)
    second.send_signal(signal.SIGQUIT)
    second.wait(60)
    after = site.states()
    assert after["queued"] > 0 and after["running"] <= 1 and set(after) <= {"queued", "scored", "running"}
