"""Through the shipped Caddyfile: slow clients leave readers served, and bodies have the same limits."""

from __future__ import annotations

import os
import shutil
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
    open_socket,
    proxied,
    raw,
    site,
    slow_clients,
    status,
    upload_head,
)

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("processes")]
MIB = 1 << 20


def _missing() -> None:
    message = "no Caddy: run `python tests/services.py install`"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, int]]:
    """A site, and the port of the proxy before it."""
    if shutil.which("caddy") is None:
        _missing()
    folder = tmp_path_factory.mktemp("proxy")
    with site(folder, POSEBOARD_UPLOAD_MIB="4") as found, proxied(found, folder) as port:
        yield found, port


@pytest.mark.parametrize(("what", "count"), [("log-ins", 200), ("uploads", 8), ("heads", 200)])
def test_slow_clients_of_the_proxy_leave_readers_served(behind: tuple[Site, int], what: str, count: int) -> None:
    running, port = behind
    heads = {
        "log-ins": form_head(LOGIN),
        "uploads": upload_head(running),
        "heads": "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ",
    }
    readers = Readers(port)
    with slow_clients(port, count, lambda _: heads[what], b"x"):
        readers.read(60)
    assert not readers.failed
    assert len(readers.seconds) == 60
    assert readers.p95 < 5


def test_the_proxy_limits_bodies_by_address(behind: tuple[Site, int]) -> None:
    running, port = behind
    before = running.files()
    token = {"Authorization": f"Bearer {running.server.tokens['alice']}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60, headers=token) as client:
        # a body with a length goes through to the site
        refused = client.post("/api/v1/tokens", content=b"x" * (2 * MIB))
        assert (refused.status_code, refused.json()["code"]) == (413, "form_too_large")
        assert client.post(LOGIN, content=b"x" * (2 * MIB)).status_code == 413
        form = {"benchmark": "lsp-test-pc", "method": "Proxied"}
        for size, expected in ((4 * MIB, 202), (6 * MIB, 413)):
            content = predictions()
            content = content[:-1] + b" " * (size - len(content)) + content[-1:]
            sent = client.post(SUBMISSIONS, data=form, files={"file": ("p.json", content)})
            assert sent.status_code == expected, sent.text
    # what says none is counted, and what does not end is cut off by the proxy
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    head = f"POST {LOGIN} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert status(raw(port, head.encode() + 32 * chunk + b"0\r\n\r\n", seconds=40)) == 413
    with pytest.raises(OSError), open_socket(port) as client:  # noqa: PT012  whichever piece it is
        client.sendall(head.encode())
        for _ in range(64 * 16):
            client.sendall(chunk)
    assert len(running.files()) == len(before) + 1
