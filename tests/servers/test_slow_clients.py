"""Clients that take their time cost nobody else: the web server as `manage.py serve` starts it, over real sockets."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import pytest

from tests.leaderboard.conftest import predictions
from tests.servers.slow_site import (
    LOGIN,
    SUBMISSIONS,
    Readers,
    Site,
    form_head,
    read_all,
    site,
    slow_clients,
    status,
    upload_head,
)

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("processes")]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("slow")) as found:
        yield found


@pytest.mark.parametrize(
    ("what", "count"),
    [("idle", 200), ("heads", 200), ("log-ins", 200), ("strangers", 200), ("uploads", 8), ("uploads", 60)],
)
def test_slow_clients_leave_readers_served(running: Site, what: str, count: int) -> None:
    """Sixty requests for a board at twenty per second, while the others hold their connections open."""
    heads = {
        "idle": "",
        "heads": "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ",
        "log-ins": form_head(LOGIN),
        "strangers": form_head(SUBMISSIONS),
        "uploads": upload_head(running),
    }
    readers = Readers(running.port)
    with slow_clients(running.port, count, lambda _: heads[what], b"" if what == "idle" else b"x"):
        readers.read(60)
        # who signs in or sends a file is not held up either
        with httpx.Client(base_url=running.server.url, trust_env=False, timeout=20) as client:
            client.headers["Authorization"] = f"Bearer {running.server.tokens['charlie']}"
            form = {"benchmark": "lsp-test-pc", "method": "Beside"}
            sent = client.post(SUBMISSIONS, data=form, files={"file": ("p.json", predictions())})
            assert sent.status_code == 202, sent.text
            page = client.get(LOGIN)
            fields = {"csrfmiddlewaretoken": client.cookies["csrf"], "login": "alice", "password": "a-long-password"}
            assert client.post(LOGIN, data=fields, headers={"Referer": str(page.url)}).status_code == 302
    assert not readers.failed
    assert len(readers.seconds) == 60
    # on an idle machine a hundredth of it
    assert readers.p95 < 5


def test_a_client_that_is_too_slow_gets_408_or_is_closed(running: Site) -> None:
    """Ten seconds for a head or for the first kilobyte of a body; a connection without a request ends as soon."""
    clients = {
        "idle": "",
        "head": "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ",
        "form": form_head(LOGIN),
        "api": form_head(SUBMISSIONS),
        "keep-alive": "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET / HTT",
    }
    names, started = list(clients), time.monotonic()
    with slow_clients(running.port, len(names), lambda number: clients[names[number]], b"") as sockets:
        responses = {}
        for name, each in zip(names, sockets, strict=True):
            each.settimeout(40)
            responses[name] = read_all(each)
    assert 5 < time.monotonic() - started < 40
    assert {name: status(response) for name, response in responses.items()} == {
        "idle": 408, "head": 408, "form": 408, "api": 408, "keep-alive": 200,
    }  # fmt: skip
    assert b"request_timeout" in responses["api"]
    assert b"application/problem+json" in responses["api"]
    assert b"The request arrived too slowly" in responses["form"]
    assert b"content-security-policy" in responses["form"].lower()
