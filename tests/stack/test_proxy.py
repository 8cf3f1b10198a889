"""Through the shipped Caddyfile: slow clients leave readers served, and bodies have the same limits.

The file is for Caddy 2.10. Debian's is older: what it names differently (`request_buffers`) is written in its words
before it runs here, and so are the addresses. Nothing else is changed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.conftest import ROOT
from tests.leaderboard.conftest import predictions
from tests.stack.slow_site import (
    LOGIN,
    SUBMISSIONS,
    Readers,
    Site,
    form_head,
    free_port,
    open_socket,
    raw,
    site,
    slow_clients,
    status,
    upload_head,
)

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("stack")]
MIB = 1 << 20


def _missing() -> None:
    message = "no Caddy: run `python tests/services.py install`"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def adapted(port: int, upstream: int, version: tuple[int, ...]) -> str:
    """The shipped file for a proxy on one port of this machine before a site on another."""
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


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, int]]:
    """A site, and the port of the proxy before it."""
    caddy = shutil.which("caddy")
    if caddy is None:
        _missing()
    said = subprocess.run([str(caddy), "version"], capture_output=True, text=True, check=True).stdout
    version = tuple(map(int, re.findall(r"\d+", said)[:3]))
    folder = tmp_path_factory.mktemp("proxy")
    port = free_port()
    with site(folder, POSEBOARD_UPLOAD_MIB="4") as found:
        (folder / "Caddyfile").write_text(adapted(port, found.port, version))
        environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "POSEBOARD_UPLOAD_MIB": "4"}
        command = [str(caddy), "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]
        with (folder / "caddy.log").open("w") as log:
            proxy = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 30
            while True:
                assert proxy.poll() is None and time.monotonic() < deadline, (folder / "caddy.log").read_text()
                try:
                    if httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False).status_code == 200:
                        break
                except httpx.TransportError:
                    time.sleep(0.1)
            yield found, port
        finally:
            proxy.terminate()
            proxy.wait(20)


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
        # what says its length is answered by the site
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
