"""The shipped Caddyfile in a real Caddy: what it tells the web process of the visitor, and what it logs."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from tests.servers.slow_site import adapted


@dataclass
class Proxy:
    url: str
    log: Path
    upstream: ThreadingHTTPServer


class Echo(BaseHTTPRequestHandler):
    """Answers with the X-Forwarded-For that it got."""

    def do_GET(self) -> None:
        body = ",".join(self.headers.get_all("X-Forwarded-For") or []).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    command = shutil.which("caddy")
    assert command, "no Caddy: run `make test`, which installs it, or `python tests/services.py install`"
    upstream = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    file = tmp_path / "Caddyfile"
    file.write_text(adapted(port, upstream.server_port))
    log = tmp_path / "log"
    home = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    with log.open("w") as out:
        process = subprocess.Popen(
            [command, "run", "--adapter", "caddyfile", "--config", str(file)], env=home, stdout=out, stderr=out
        )
    try:
        deadline = time.monotonic() + 60
        while not listens(url):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield Proxy(url, log, upstream)
    finally:
        process.terminate()
        process.wait(20)
        upstream.server_close()


def listens(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def test_what_a_visitor_writes_into_the_header_goes_no_further(proxy: Proxy) -> None:
    response = httpx.get(proxy.url, headers={"X-Forwarded-For": "198.51.100.7, 10.0.0.1"}, trust_env=False)
    assert response.text == "127.0.0.1"


def test_a_request_that_fails_is_logged_without_what_opens_an_account(proxy: Proxy) -> None:
    proxy.upstream.shutdown()
    proxy.upstream.server_close()
    headers = {"Authorization": "Bearer plb_S3cret", "Cookie": "session=S3cret"}
    for path in ("/account/password/reset/key/1-d0-S3cret/", "/account/confirm-email/MQ:S3cret:x/", "/boards/?q=cpm"):
        response = httpx.get(
            proxy.url + path, headers={**headers, "Referer": f"https://a.example{path}"}, trust_env=False
        )
        assert response.status_code == 502
    proxy_log = wait_for_lines(proxy.log, '"uri":', 3)
    assert "/account/password/reset/key/1-***" in proxy_log and "/account/confirm-email/***" in proxy_log
    assert "/boards/?q=cpm" in proxy_log and "S3cret" not in proxy_log


def wait_for_lines(file: Path, part: str, count: int) -> str:
    deadline = time.monotonic() + 20
    while file.read_text().count(part) < count and time.monotonic() < deadline:
        time.sleep(0.05)
    return file.read_text()
