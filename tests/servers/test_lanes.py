"""Uploads, forms and readers have threads of their own, and connections are bounded."""

from __future__ import annotations

import socket
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from tests.leaderboard.conftest import predictions
from tests.servers.slow_site import (
    LOGIN,
    SUBMISSIONS,
    Readers,
    Site,
    form_head,
    open_socket,
    site,
    slow_clients,
    upload_head,
)

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("processes")]

# what takes up to 45 s takes a second here
SOON = """
from leaderboard.web import worker
worker.UNSENT_SECONDS = 1.0
worker.UPLOAD_SHARE = 1.0

def post_worker_init(worker):
    worker.asgi.uploads.wait = 1.0
"""
CONNECTIONS = 30


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One process with room for thirty connections."""
    options = ["--workers", "1", "--worker-connections", str(CONNECTIONS)]
    with site(tmp_path_factory.mktemp("lanes"), options=options, config=SOON) as found:
        yield found


@contextmanager
def nobody_writes(running: Site) -> Iterator[None]:
    """Another program holds the database, so that a submission cannot be written."""
    url = running.server.environment.get("DATABASE_URL")
    if url:
        import psycopg

        with psycopg.connect(url) as connection:
            connection.execute("LOCK TABLE leaderboard_submission IN EXCLUSIVE MODE")
            yield
    else:
        connection = sqlite3.connect(running.server.data / "db.sqlite3", isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            connection.execute("ROLLBACK")
            connection.close()


def wait_until(true: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_uploads_that_wait_hold_up_uploads_only_and_are_told(small: Site) -> None:
    """Three wait for the database; the next get 503 in time, readers their page at once, and the three go through."""
    token = {"Authorization": f"Bearer {small.server.tokens['alice']}"}

    def send(number: int) -> httpx.Response:
        with httpx.Client(base_url=small.server.url, trust_env=False, timeout=60, headers=token) as client:
            form = {"benchmark": "lsp-test-pc", "method": "Waiting"}
            return client.post(SUBMISSIONS, data=form, files={"file": ("p.json", predictions(miss=number))})

    # the time of a token's last use is written now, and not while the database is held
    with httpx.Client(base_url=small.server.url, trust_env=False, timeout=60, headers=token) as client:
        assert client.get("/api/v1/me").status_code == 200
    with ThreadPoolExecutor(6) as pool:
        with nobody_writes(small):
            first = [pool.submit(send, number) for number in range(3)]
            time.sleep(1.0)
            more = [pool.submit(send, number) for number in range(3, 6)]
            readers = Readers(small.port)
            readers.read(20)
            refused = [each.result(timeout=15) for each in more]
            assert not any(each.done() for each in first)
        waited = [each.result(timeout=30) for each in first]
    assert not readers.failed
    assert readers.p95 < 5
    assert [(each.status_code, each.json()["code"]) for each in refused] == [(503, "unavailable")] * 3
    assert all(int(each.headers["Retry-After"]) > 0 for each in refused)
    assert [each.status_code for each in waited] == [202] * 3, [each.text for each in waited]


@pytest.mark.parametrize("what", ["idle", "forms"])
def test_the_longest_idle_connection_makes_room_for_a_new_one(small: Site, what: str) -> None:
    head = "" if what == "idle" else form_head(LOGIN)
    with slow_clients(small.port, 3 * CONNECTIONS, lambda _: head, b"") as sockets:
        readers = Readers(small.port)
        readers.read(30)
        assert not readers.failed
        # the first ones are closed
        sockets[0].settimeout(10)
        with suppress(ConnectionResetError):
            assert sockets[0].recv(10) == b""
        assert open_sockets(small) <= CONNECTIONS + 10


def open_sockets(running: Site) -> int:
    """How many sockets the process has open, where the system shows it."""
    (process,) = running.processes()
    folder, found = Path(f"/proc/{process}/fd"), 0
    for link in folder.iterdir() if folder.is_dir() else ():
        with suppress(FileNotFoundError):
            found += "socket" in str(link.readlink())
    return found


def test_busy_connections_are_not_closed_for_new_ones(small: Site) -> None:
    """Where every connection is that of an upload, a new one is told to come back."""
    head = (
        f"POST {SUBMISSIONS} HTTP/1.1\r\nHost: 127.0.0.1\r\n{small.bearer}Content-Length: 100000\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\n\r\n--b"
    )
    with slow_clients(small.port, CONNECTIONS, lambda _: head, b"xxxx") as sockets:
        responses: list[bytes] = []

        def told() -> bool:
            with open_socket(small.port) as late:
                late.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
                try:
                    responses.append(late.recv(4096))
                except ConnectionResetError:
                    responses.append(b"")
            if b" 200 " in responses[-1].split(b"\r\n")[0]:
                # one whose head had not been read yet made room: another takes its place
                sockets.append(open_socket(small.port))
                sockets[-1].sendall(head.encode())
            return b" 503 " in responses[-1].split(b"\r\n")[0]

        wait_until(told)
        assert b"Retry-After" in responses[-1]
        sockets[-1].setblocking(False)
        with pytest.raises(BlockingIOError):
            sockets[-1].recv(1)
    readers = Readers(small.port)
    wait_until(lambda: httpx.get(small.server.url + "/healthz", trust_env=False).status_code == 200)
    readers.read(5)
    assert not readers.failed


def test_uploads_leave_connections_to_others(tmp_path: Path) -> None:
    """However many send files, a quarter of the connections is for new ones."""
    options = ["--workers", "1", "--worker-connections", str(CONNECTIONS)]
    with site(tmp_path, options=options) as running, ExitStack() as opened:
        for _ in range(2 * CONNECTIONS):
            opened.enter_context(open_socket(running.port)).sendall(upload_head(running).encode())
            readers = Readers(running.port)
            readers.read(1)
            assert not readers.failed


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel for the state of the connection")
def test_a_client_that_takes_nothing_is_cut_off(small: Site) -> None:
    """It asks for a large file and does not read: neither a thread nor the connection waits for it."""
    token = f"Authorization: Bearer {small.server.tokens['charlie']}\r\n"
    with httpx.Client(base_url=small.server.url, trust_env=False, timeout=60) as client:
        content = predictions()
        content = content[:-1] + b" " * (24 << 20) + content[-1:]
        form = {"benchmark": "lsp-test-pc", "method": "Large"}
        headers = {"Authorization": f"Bearer {small.server.tokens['charlie']}"}
        sent = client.post(SUBMISSIONS, data=form, files={"file": ("p.json", content)}, headers=headers)
        assert sent.status_code == 202, sent.text
    path = f"{SUBMISSIONS}/{sent.json()['id']}/file"
    deaf = []
    for _ in range(10):
        client_socket = socket.socket()
        client_socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client_socket.connect(("127.0.0.1", small.port))
        client_socket.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{token}\r\n".encode())
        deaf.append(client_socket)
    readers = Readers(small.port)
    threading.Thread(target=readers.read, args=(20,)).start()
    established = 1
    for each in deaf:
        wait_until(lambda each=each: each.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != established, 30)
        each.close()
    wait_until(lambda: len(readers.seconds) == 20)
    assert not readers.failed
