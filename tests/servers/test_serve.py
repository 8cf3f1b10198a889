"""`manage.py serve` for real: it comes up, restarts what is killed, and leaves nothing when it stops."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from leaderboard.local import broker
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("processes")]

# a part of each program's command line that no other has
PROGRAMS = {
    "broker": "valkey-server",
    "web": "gunicorn leaderboard.wsgi",
    "scoring": "worker -Q score",
    "baselines": "worker -Q baseline",
    "scheduler": "beat -s",
}

# the limits hold on an idle machine; beside other tests everything takes longer
BUSY = 4
# Importing Django and Celery is what takes longest: the workers respond 13 s after a kill on two cores at a load of 7,
# 26 s at a load of 20, and later still where the broker is back just after they have begun a longer pause.
LONGEST = 180


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class LocalSite:
    """A supervisor and what it runs."""

    def __init__(self, data: Path, *, python: str = sys.executable, code: Path = ROOT, **environment: str) -> None:
        self.data, self.port, self.log = data, free_port(), data.with_suffix(".log")
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("POSEBOARD_", "DJANGO_"))}
        for name in ("BROKER_URL", "DATABASE_URL"):
            clean.pop(name, None)
        self.environment = clean | {"POSEBOARD_DATA": str(data), "PORT": str(self.port), "DEMO": "0"} | environment
        started = time.monotonic()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [python, "manage.py", "serve"], cwd=code, env=self.environment, stdout=log, stderr=log
            )
        assert wait_until(lambda: "Ready: " in self.text() or self.process.poll() is not None, 90), self.text()
        assert self.process.poll() is None, self.text()
        self.seconds = time.monotonic() - started

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def programs(self) -> dict[str, int]:
        """The process id of each program's own process, a child of the supervisor."""
        listed = subprocess.run(["ps", "-axww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True)
        found = {}
        for line in listed.stdout.splitlines():
            number, parent, arguments = line.split(None, 2)
            for name, part in PROGRAMS.items():
                if int(parent) == self.process.pid and part in " ".join(arguments.split()):
                    found[name] = int(number)
        return found

    def descendants(self) -> set[int]:
        listed = subprocess.run(["ps", "-axww", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=True)
        parents = {
            int(number): int(parent)
            for number, parent, state in map(str.split, listed.stdout.splitlines())
            if not state.startswith("Z")
        }
        found, size = {self.process.pid}, 0
        while len(found) != size:
            size = len(found)
            found |= {number for number, parent in parents.items() if parent in found}
        return found - {self.process.pid}

    def health(self) -> dict[str, object]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/healthz")
            return json.loads(connection.getresponse().read())
        except OSError as error:
            return {"status": str(error)}
        finally:
            connection.close()

    def responding_workers(self) -> set[str]:
        """The workers that respond over the broker: as soon as both have, or those that have within ten seconds."""
        code = (
            "from leaderboard.celery import app\n"
            "replies = app.control.broadcast('ping', reply=True, timeout=10, limit=2)\n"
            "print(*(name.split('@')[0] for reply in replies for name in reply))"
        )
        asked = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env=self.environment | {"BROKER_URL": broker.url(self.data)},
            capture_output=True,
            text=True,
            check=False,
        )
        return set(asked.stdout.split())

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


def alive(process: int) -> bool:
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True, check=False
    ).stdout
    return bool(state.strip()) and not state.strip().startswith("Z")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSite]:
    site = LocalSite(tmp_path_factory.mktemp("serve") / "data")
    yield site
    if site.process.poll() is None:
        site.stop()


def test_everything_is_up_when_it_says_ready(site):
    assert f"Ready: http://127.0.0.1:{site.port}" in site.text()
    assert site.health() == {"status": "ok", "database": True, "broker": True}
    assert set(site.programs()) == set(PROGRAMS)
    assert wait_until(lambda: site.responding_workers() == {"scoring", "baselines"}, LONGEST)


def test_the_scoring_sandbox_is_warm_in_the_worker(site):
    assert wait_until(lambda: "leaderboard.sandbox import zygote" in _arguments(site.descendants()), 20)


def _arguments(processes: set[int]) -> str:
    numbers = ",".join(map(str, processes))
    return subprocess.run(
        ["ps", "-ww", "-o", "args=", "-p", numbers], capture_output=True, text=True, check=False
    ).stdout


@pytest.mark.parametrize("victims", [["scoring", "scheduler", "web"], ["broker", "baselines"]], ids="+".join)
def test_what_is_killed_comes_back(site, victims):
    # a program that is being started is not listed before its exec
    assert wait_until(lambda: set(site.programs()) == set(PROGRAMS), LONGEST), site.text()
    before = site.programs()
    for name in victims:
        os.kill(before[name], signal.SIGKILL)

    def replaced() -> bool:
        now = site.programs()
        return set(now) == set(PROGRAMS) and all(now[name] != before[name] for name in victims)

    assert wait_until(replaced, LONGEST), site.text()
    responses: list[object] = []

    def is_well() -> bool:
        responses.append(site.health())
        return responses[-1] == {"status": "ok", "database": True, "broker": True}

    assert wait_until(is_well, LONGEST), f"{len(responses)}: {responses[:3]} to {responses[-3:]}\n{site.text()}"
    assert wait_until(lambda: site.responding_workers() == {"scoring", "baselines"}, LONGEST), site.text()
    after = site.programs()
    assert {name: after.get(name) for name in before if name not in victims} == {
        name: number for name, number in before.items() if name not in victims
    }, site.text()


def test_a_second_one_on_the_same_data_or_port_is_refused(site, tmp_path):
    same_data = subprocess.run(
        [sys.executable, "manage.py", "serve"],
        cwd=ROOT,
        env=site.environment | {"PORT": str(free_port())},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert same_data.returncode == 1
    assert "is already being served" in same_data.stderr
    same_port = subprocess.run(
        [sys.executable, "manage.py", "serve"],
        cwd=ROOT,
        env=site.environment | {"POSEBOARD_DATA": str(tmp_path / "other")},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert same_port.returncode == 1
    assert f"Port {site.port}: Address already in use" in same_port.stderr


def test_it_stops_cleanly_and_starts_again_quickly(site):
    everything = site.descendants()
    assert len(everything) > len(PROGRAMS)
    assert site.stop() == 0
    assert wait_until(lambda: not any(map(alive, everything)), 5)
    assert not broker.responds(site.data)
    again = LocalSite(site.data, BASELINES="0")
    try:
        assert again.seconds < 10 * BUSY
        assert set(again.programs()) == set(PROGRAMS) - {"baselines"}
        everything = again.descendants()
        if sys.platform.startswith("linux"):
            again.process.kill()
            again.process.wait()
            assert wait_until(lambda: not any(map(alive, everything)), 15), _arguments(everything)
    finally:
        if again.process.poll() is None:
            again.stop()


@pytest.mark.parametrize(("name", "value"), [("PORT", "eighty"), ("PORT", "70000"), ("BASELINES", "no")])
def test_a_wrong_value_is_refused_in_one_line(tmp_path, name, value):
    refused = subprocess.run(
        [sys.executable, "manage.py", "serve"],
        cwd=ROOT,
        env=os.environ | {"POSEBOARD_DATA": str(tmp_path), "DEMO": "0", name: value},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert refused.returncode != 0
    assert f"{name}='{value}': must be" in refused.stderr
    assert "Traceback" not in refused.stderr
