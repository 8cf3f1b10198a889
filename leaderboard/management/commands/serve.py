"""`manage.py serve`: the whole of PoseBoard on one machine, in the foreground."""

from __future__ import annotations

import fcntl
import http.client
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any, TextIO

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command, get_commands
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections

from leaderboard.files import folders
from leaderboard.local import broker, programs, system_users
from leaderboard.local.supervisor import Program, Supervisor

READY_SECONDS = 120


class Command(BaseCommand):
    help = "Run the broker, the web server, the workers and the scheduler under one supervisor, with demo content."
    requires_migrations_checks = False

    def add_arguments(self, parser: CommandParser) -> None:
        parser.epilog = "Reads PORT, POSEBOARD_DATA, BASELINES, DEMO and the variables of docs/deploy.md."

    def handle(self, *_: Any, **__: Any) -> None:
        if "PYTHONUNBUFFERED" not in os.environ or "BROKER_URL" not in os.environ:
            raise CommandError("Start it as manage.py serve: the environment is chosen before the settings are read.")
        with_baselines = programs.runs_baselines(os.environ)
        data = Path(settings.DATA)
        users = system_users.chosen(os.environ)
        # the settings closed it to everybody else; without two users, no group has any business in it either
        if users is None and (narrowed := folders.make_private(data, group=False)):
            self.stderr.write(narrowed)
        with (data / "serve.lock").open("w") as lock:
            hold(lock, data)
            check_port_is_free(programs.port(os.environ))
            self.serve(data, users, with_baselines=with_baselines)

    def serve(self, data: Path, users: system_users.Accounts | None, *, with_baselines: bool) -> None:
        started = time.monotonic()
        environment = {**os.environ}
        if users:
            self.separate(data, users, environment)
        supervisor = Supervisor(environment, programs.ROOT)

        def web(program: Program) -> Program:
            return users.run(program, users.web) if users else program

        def worker(program: Program) -> Program:
            return users.run(program, users.worker) if users else program

        if users:
            supervisor.say(f"The web server runs as {users.web.pw_name}, workers as {users.worker.pw_name}.")
        elif os.geteuid() == 0:
            supervisor.say(
                "The web server and the workers share one user, root: docs/deploy.md shows how to separate them."
            )
        try:
            if programs.runs_embedded_broker(os.environ):
                try:
                    supervisor.add(worker(Program("broker", broker.command(data, shared=bool(users)), foundation=True)))
                except broker.NoBrokerError as error:
                    raise CommandError(str(error)) from None
            supervisor.say(f"Preparing the database and pages in {data}")
            call_command("migrate", interactive=False, verbosity=0)
            collect_static_files()
            connections.close_all()
            if programs.runs_embedded_broker(os.environ):
                self.require(supervisor, lambda: broker.responds(data), "the broker is not responding")
            supervisor.add(web(programs.web(os.environ)))
            supervisor.add(worker(programs.worker("scoring", "score")))
            if with_baselines:
                supervisor.add(worker(programs.worker("baselines", "baseline")))
            else:
                supervisor.say("No baseline worker: BASELINES=0, or torch is not installed.")
            supervisor.add(worker(programs.scheduler(os.environ)))
            if settings.DEMO and "seed_demo" in get_commands():
                command = [sys.executable, str(programs.ROOT / "manage.py"), "seed_demo"]
                if supervisor.run_once(worker(Program("demo", command))) != 0 and not supervisor.stopping:
                    raise CommandError("The demo content was not created: see the lines above, or start with DEMO=0.")
            port = programs.port(os.environ)
            self.require(supervisor, lambda: healthy(port), "the web server is not responding")
            if supervisor.stopping:
                return
            self.greet(supervisor, data, time.monotonic() - started)
            supervisor.run_until(lambda: False, every=5)
        finally:
            supervisor.say("Stopping")
            supervisor.stop()

    def separate(self, data: Path, users: system_users.Accounts, environment: dict[str, str]) -> None:
        """Prepare the folders for two users. The programs get the key by their environment: its file is one user's."""
        os.umask(0o022)  # what is made as root below, such as the pages' files, is for both users to read
        environment["POSEBOARD_SECRET_KEY"] = settings.SECRET_KEY
        chosen = {
            "uploads": settings.UPLOADS_DIR,
            "annotations": settings.ANNOTATIONS_DIR,
            "drop": settings.DROP_DIR,
            "checkpoints": settings.CHECKPOINTS_DIR,
            "runs": settings.RUNS_DIR,
        }
        database = settings.DATABASES["default"]
        if str(database["ENGINE"]).endswith("sqlite3"):
            system_users.make_database(Path(str(database["NAME"])), users)
        if programs.runs_embedded_broker(os.environ):
            broker.command(data, shared=True)  # for its folders
            if (address := broker.socket_path(data).parent) != broker.folder(data):
                os.chown(address, users.worker.pw_uid, users.group)
                address.chmod(0o750)
        system_users.arrange(data, users, folders={name: Path(folder) for name, folder in chosen.items()})
        if why_not := system_users.can_run(users, programs.ROOT, data):
            raise CommandError(f"{why_not}. Install PoseBoard and put POSEBOARD_DATA where both users have access.")

    def require(self, supervisor: Supervisor, true: Any, otherwise: str) -> None:
        if not supervisor.run_until(true, seconds=READY_SECONDS, every=0.05) and not supervisor.stopping:
            raise CommandError(f"{otherwise} after {READY_SECONDS} s: see the lines above")

    def greet(self, supervisor: Supervisor, data: Path, seconds: float) -> None:
        logins = data / "demo-logins.txt"
        if settings.DEMO and logins.exists():
            for line in logins.read_text().splitlines():
                supervisor.say(line)
        supervisor.say(f"Started in {seconds:.1f} s. Stop with Ctrl-C.")
        supervisor.say(f"Ready: {settings.SITE_URL}")


def hold(lock: TextIO, data: Path) -> None:
    """One supervisor a data folder: two schedulers and two brokers on the same files would damage them."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise CommandError(f"{data} is already being served. Another copy needs its own POSEBOARD_DATA.") from None


def check_port_is_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise CommandError(f"Port {port}: {error.strerror}. Choose another: PORT={port + 1} make serve") from None


def healthy(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def collect_static_files() -> None:
    """Collect and compress the pages' files, when any of them changed since the last time."""
    target = Path(settings.STATIC_ROOT)
    stamp = target / ".collected"
    sources = []
    for finder in get_finders():
        for name, storage in finder.list([]):
            status = Path(storage.path(name)).stat()
            sources.append(f"{name} {status.st_mtime_ns} {status.st_size}")
    fingerprint = "\n".join(sorted(sources))
    if not stamp.exists() or stamp.read_text() != fingerprint:
        call_command("collectstatic", interactive=False, verbosity=0, clear=True)
        target.mkdir(parents=True, exist_ok=True)
        stamp.write_text(fingerprint)
