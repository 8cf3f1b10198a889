"""What `manage.py serve` runs, and how: the programs of one machine and the environment they share."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from collections.abc import MutableMapping
from pathlib import Path

from leaderboard.local import broker, system_users
from leaderboard.local.supervisor import Program

ROOT = Path(__file__).resolve().parent.parent.parent


def data_folder(environment: MutableMapping[str, str]) -> Path:
    return Path(environment.get("POSEBOARD_DATA") or "data").resolve()


def port(environment: MutableMapping[str, str]) -> int:
    value = environment.get("PORT") or "8000"
    if not value.isdigit() or not 0 < int(value) < 65536:
        raise SystemExit(f"PORT={value!r}: must be a number from 1 to 65535")
    return int(value)


def find_broker(environment: MutableMapping[str, str]) -> None:
    """Let another command, such as `manage.py run_baseline`, wake the workers that run on this data."""
    data = data_folder(environment)
    if not environment.get("BROKER_URL") and broker.socket_path(data).exists():
        environment["BROKER_URL"] = broker.url(data)


def choose_environment(environment: MutableMapping[str, str]) -> None:
    """Fill in what was not given: the data folder, the address, an embedded broker, the demo."""
    data = data_folder(environment)
    environment["POSEBOARD_DATA"] = str(data)
    environment["POSEBOARD_URL"] = environment.get("POSEBOARD_URL") or f"http://127.0.0.1:{port(environment)}"
    environment["BROKER_URL"] = environment.get("BROKER_URL") or broker.url(data)
    environment["POSEBOARD_DEMO"] = environment.get("POSEBOARD_DEMO") or environment.get("DEMO") or "1"
    environment["PYTHONUNBUFFERED"] = "1"
    if users := system_users.chosen(environment):
        environment["POSEBOARD_WEB_USER"] = users.web.pw_name
        environment["POSEBOARD_WORKER_USER"] = users.worker.pw_name
    elif os.geteuid() == 0:  # in a container or a test machine one is root, and Celery says so in eight lines
        environment.setdefault("PYTHONWARNINGS", "ignore:You're running the worker with superuser privileges")


def runs_embedded_broker(environment: MutableMapping[str, str]) -> bool:
    return environment.get("BROKER_URL") == broker.url(data_folder(environment))


def runs_baselines(environment: MutableMapping[str, str]) -> bool:
    """Unless BASELINES=0, or the models' libraries are not installed."""
    wanted = environment.get("BASELINES") or "1"
    if wanted not in {"0", "1"}:
        raise SystemExit(f"BASELINES={wanted!r}: must be 1 or 0")
    return wanted == "1" and importlib.util.find_spec("torch") is not None


def web(environment: MutableMapping[str, str]) -> Program:
    memory = Path("/dev/shm")  # noqa: S108  gunicorn's heartbeat file: a slow disk would look like a hung worker
    options = [
        *("--worker-class", "leaderboard.web.Worker", "--workers", "2", "--threads", "4"),
        *("--worker-connections", "512"),
        *("--bind", f"127.0.0.1:{port(environment)}"),
        *("--timeout", "60", "--graceful-timeout", "5", "--no-control-socket", "--log-level", "warning"),
        # import the site once for all workers and before listening, so that no request waits for it
        "--preload",
        *(("--worker-tmp-dir", str(memory)) if os.access(memory, os.W_OK) else ()),
    ]
    return Program("web", [sys.executable, "-m", "gunicorn", "leaderboard.wsgi", *options])


def worker(name: str, queue: str) -> Program:
    """One process that works on one queue, so that a long baseline run does not hold up scoring."""
    options = ["-Q", queue, "-P", "prefork", "-c", "1", "-n", f"{name}@%h", "--loglevel", "warning"]
    # the workers have nothing to say to each other
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    # SIGTERM would wait for the task at hand; SIGQUIT leaves it to its lease
    return Program(name, [*_celery(), "worker", *options, *quiet], stop=signal.SIGQUIT)


def scheduler(environment: MutableMapping[str, str]) -> Program:
    schedule = data_folder(environment) / "schedule"
    return Program("scheduler", [*_celery(), "beat", "-s", str(schedule), "--pidfile=", "--loglevel", "warning"])


def _celery() -> list[str]:
    return [sys.executable, "-m", "celery", "-A", "leaderboard.celery", "--quiet"]
