"""The web server as `manage.py serve` starts it, on data of its own, and clients that take their time."""

from __future__ import annotations

import atexit
import dataclasses
import functools
import http.client
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from leaderboard.local import programs
from tests.conftest import ROOT
from tests.leaderboard.api.conftest import SETTLE, Server, _wait_until_up, free_port, fresh_database

LOGIN, SUBMISSIONS = "/account/login/", "/api/v1/submissions"

SIGN_IN = """
import django
django.setup()
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from leaderboard.models import User
user, session = User.objects.get(username="alice"), SessionStore()
session[SESSION_KEY], session[BACKEND_SESSION_KEY] = str(user.pk), "django.contrib.auth.backends.ModelBackend"
session[HASH_SESSION_KEY] = user.get_session_auth_hash()
session.create()
print(session.session_key)
"""


@dataclass
class Site:
    """A running site."""

    server: Server
    port: int
    process: subprocess.Popen[bytes]
    temporary: Path
    session: str = ""

    @property
    def bearer(self) -> str:
        return f"Authorization: Bearer {self.server.tokens['alice']}\r\n"

    def processes(self) -> list[int]:
        """The processes that handle requests, children of the first."""
        listed = subprocess.run(["ps", "-axo", "pid=,ppid="], capture_output=True, text=True, check=True)
        pairs = [tuple(map(int, line.split())) for line in listed.stdout.splitlines()]
        return [number for number, parent in pairs if parent == self.process.pid]

    def files(self) -> list[Path]:
        """What lies in the folders for temporary files and uploads."""
        folders = (self.temporary, self.server.data / "uploads")
        return [file for folder in folders for file in folder.rglob("*") if file.is_file()]


@functools.cache
def collected() -> Path:
    """The pages' files, as they are served, once for all tests of this process."""
    folder = Path(tempfile.mkdtemp(prefix="poseboard-static-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "leaderboard.settings", "POSEBOARD_STATIC": str(folder)}
    environment["POSEBOARD_DATA"] = str(folder / "data")
    command = [sys.executable, "manage.py", "collectstatic", "--no-input", "-v", "0"]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    return folder


@contextmanager
def site(folder: Path, *, options: list[str] | None = None, config: str = "", **environment: str) -> Iterator[Site]:
    """gunicorn with the command of `manage.py serve`; `config` is a configuration file that may shorten times."""
    database, drop = fresh_database()
    port, data, temporary = free_port(), folder / "site", folder / "temporary"
    data.mkdir()
    temporary.mkdir()
    variables = {
        **os.environ, **database, "DJANGO_SETTINGS_MODULE": "leaderboard.settings", "POSEBOARD_DATA": str(data),
        "POSEBOARD_URL": f"http://127.0.0.1:{port}", "PORT": str(port), "BROKER_URL": "redis://127.0.0.1:1/0",
        "POSEBOARD_STATIC": str(collected()), "TMPDIR": str(temporary), "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1", **environment,
    }  # fmt: skip
    server = Server(f"http://127.0.0.1:{port}", data, {}, variables)
    with ExitStack() as stacked:
        stacked.callback(drop)
        server.tokens.update(json.loads(server.python("-c", SETTLE).splitlines()[-1]))
        session = server.python("-c", SIGN_IN).split()[-1]
        if config:
            (folder / "config.py").write_text(config)
        command = [*programs.web(variables).command, *(["--config", str(folder / "config.py")] if config else [])]
        log = stacked.enter_context((data / "gunicorn.log").open("w"))
        process = subprocess.Popen([*command, *(options or [])], cwd=ROOT, env=variables, stdout=log, stderr=log)
        try:
            _wait_until_up(server, process)
            yield Site(server, port, process, temporary, session)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def adapted(port: int, upstream: int) -> str:
    """The shipped Caddyfile for a proxy on one port of this machine before a site on another.

    The file is for Caddy 2.10. Debian's is older: what it names differently (`request_buffers`) is written in its words
    before it runs here, and so are the addresses. Nothing else is changed.
    """
    said = subprocess.run(["caddy", "version"], capture_output=True, text=True, check=True).stdout
    version = tuple(map(int, re.findall(r"\d+", said)[:3]))
    text = (ROOT / "docker" / "Caddyfile").read_text()
    assert text.count("web:8000") == 1
    text = text.replace("web:8000", f"127.0.0.1:{upstream}")
    text = text.replace("{$POSEBOARD_URL}", f"http://127.0.0.1:{port}")
    # nothing but the site listens
    text = re.sub(r"^\{\n", "{\n\tadmin off\n", text, count=1, flags=re.MULTILINE)
    if version < (2, 6, 4):
        text, changed = re.subn(r"request_buffers (\S+)", r"buffer_requests\n\t\tmax_buffer_size \1", text)
        assert changed == 1
    return text


@contextmanager
def proxied(running: Site, folder: Path) -> Iterator[int]:
    """The port of Caddy before the site, by the shipped Caddyfile."""
    port = free_port()
    (folder / "Caddyfile").write_text(adapted(port, running.port))
    limit = running.server.environment.get("POSEBOARD_UPLOAD_MIB", "64")
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "POSEBOARD_UPLOAD_MIB": limit}
    command = ["caddy", "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]
    log = folder / "caddy.log"
    with log.open("w") as out:
        proxy = subprocess.Popen(command, env=environment, cwd=folder, stdout=out, stderr=out)
    try:
        _wait_until_up(dataclasses.replace(running.server, url=f"http://127.0.0.1:{port}"), proxy)
        yield port
    finally:
        proxy.terminate()
        proxy.wait(20)


@dataclass
class Readers:
    """Twenty requests for a board per second, each on a connection of its own."""

    port: int
    path: str = "/lsp-test-pc/"
    seconds: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def read(self, count: int, *, patience: float = 10.0) -> None:
        """`count` requests, and what they took; none waits for another."""
        threads = []
        for number in range(count):
            threads.append(threading.Thread(target=self._once, args=(patience,)))
            threads[-1].start()
            if number < count - 1:
                time.sleep(0.05)
        for thread in threads:
            thread.join(patience + 5)

    def _once(self, patience: float) -> None:
        started = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=patience)
        try:
            connection.request("GET", self.path)
            status = connection.getresponse().status
            if status != 200:
                self.failed.append(str(status))
        except OSError as error:
            self.failed.append(repr(error))
        finally:
            connection.close()
        self.seconds.append(time.monotonic() - started)

    @property
    def p95(self) -> float:
        return statistics.quantiles(self.seconds, n=20)[-1]


def open_socket(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=10)


@contextmanager
def slow_clients(
    port: int, count: int, head: Callable[[int], str], piece: bytes, *, again: bool = False
) -> Iterator[list[socket.socket]]:
    """`count` connections that send `head(number)` at once and then `piece` once per second.

    `again`: one that the server has closed is opened again.
    """
    sockets = [open_socket(port) for _ in range(count)]
    done = threading.Event()

    def closed(each: socket.socket) -> bool:
        try:
            return not each.recv(1 << 16, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def trickle() -> None:
        while not done.wait(1.0):
            for number, each in enumerate(sockets):
                with suppress(OSError):
                    if again and closed(each):
                        each.close()
                        sockets[number] = open_socket(port)
                        sockets[number].sendall(head(number).encode())
                    elif piece:
                        each.send(piece, socket.MSG_DONTWAIT)

    for number, each in enumerate(sockets):
        each.sendall(head(number).encode())
    thread = threading.Thread(target=trickle, daemon=True)
    thread.start()
    try:
        yield sockets
    finally:
        done.set()
        thread.join(10)
        for each in sockets:
            each.close()


def upload_head(site: Site, length: int = 1 << 20) -> str:
    """The beginning of an authenticated upload by API, up to the middle of its file."""
    return (
        f"POST {SUBMISSIONS} HTTP/1.1\r\nHost: 127.0.0.1\r\n{site.bearer}"
        f"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {length}\r\n\r\n"
        '--b\r\nContent-Disposition: form-data; name="file"; filename="p.json"\r\n\r\n[' + " " * 4096
    )


def form_head(path: str, length: int = 100_000) -> str:
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {length}\r\n\r\nlogin="
    )


def raw(port: int, text: bytes | str, *, seconds: float = 15.0) -> bytes:
    """What the server sends in response to these bytes until it closes the connection."""
    with open_socket(port) as client:
        client.settimeout(seconds)
        client.sendall(text if isinstance(text, bytes) else text.encode())
        return read_all(client)


def read_all(client: socket.socket) -> bytes:
    received = b""
    try:
        while piece := client.recv(1 << 16):
            received += piece
    except ConnectionResetError:
        pass
    return received


def status(response: bytes) -> int:
    return int(response.split(None, 2)[1]) if response else 0
