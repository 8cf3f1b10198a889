"""The rate limits over real HTTP: two web servers count together in a real Valkey, behind proxies and without."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis

from leaderboard.access import rate_limits
from leaderboard.local import broker, programs

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "a-long-password"
SETTLE = f"""
import django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
call_command("collectstatic", interactive=False, verbosity=0)
from leaderboard.models import User
for name in ("alice", "bob"):
    User.objects.create_user(name, f"{{name}}@example.org", "{PASSWORD}")
"""


def wait_for(true: Callable[[], object], what: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A Valkey on a Unix socket, by the address that Celery wants, and its process."""
    process = subprocess.Popen(broker.command(tmp_path))
    try:
        wait_for(lambda: broker.responds(tmp_path), "the broker is not responding")
        yield broker.url(tmp_path), process
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait(10)


@dataclass(frozen=True)
class Visitor:
    """Who sends requests: to one of the servers, and with what in X-Forwarded-For."""

    url: str
    forwarded: str | None = None

    def browser(self) -> httpx.Client:
        headers = {"X-Forwarded-For": self.forwarded} if self.forwarded else {}
        return httpx.Client(base_url=self.url, headers=headers, trust_env=False, timeout=120)

    def sign_in(self, name: str, password: str, *, to: str = "/account/login/") -> httpx.Response:
        with self.browser() as browser:
            page = browser.get(to).text
            csrf = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
            assert csrf, page
            field = "username" if "admin" in to else "login"
            form = {field: name, "password": password, "csrfmiddlewaretoken": csrf[1]}
            return browser.post(to, data=form, headers={"Referer": f"{self.url}{to}"})


@pytest.fixture
def servers(tmp_path: Path, valkey: Any) -> Iterator[Callable[..., list[str]]]:
    """`servers(2, POSEBOARD_TRUSTED_PROXIES=...)`: web servers, as on two machines, on one database and broker."""
    running: list[subprocess.Popen[bytes]] = []
    data = tmp_path / "site"
    data.mkdir(mode=0o700)

    def start(count: int, **more: str) -> list[str]:
        urls = []
        for _ in range(count):
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
            environment = {
                **{name: value for name, value in os.environ.items() if name != "DATABASE_URL"},
                "DJANGO_SETTINGS_MODULE": "leaderboard.settings",
                "POSEBOARD_DATA": str(data),
                "POSEBOARD_URL": f"http://127.0.0.1:{port}",
                "PORT": str(port),
                "BROKER_URL": valkey[0],
                # a busy machine must not look like a broker that is away
                "POSEBOARD_LIMIT_WAIT_MS": "10000",
                "PYTHONPATH": str(ROOT),
                **more,
            }
            if not running:
                subprocess.run([sys.executable, "-c", SETTLE], cwd=ROOT, env=environment, check=True)
            program = programs.web(environment)
            running.append(subprocess.Popen(program.command, cwd=ROOT, env=environment))
            urls.append(environment["POSEBOARD_URL"])
        for url in urls:
            wait_for(lambda url=url: up(url), f"{url} is not responding")
        return urls

    yield start
    for process in running:
        process.terminate()
    for process in running:
        process.wait(30)


def up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", trust_env=False, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def test_two_servers_behind_a_proxy_count_together_and_each_visitor_apart(servers) -> None:
    """24 failures of one visitor, wherever they arrive, are four guesses, and lock nobody else out."""
    one, two = servers(2, POSEBOARD_TRUSTED_PROXIES="127.0.0.1", POSEBOARD_LIMIT_LOGIN="4 per 10 minutes")
    guesser = [Visitor(url, "203.0.113.9") for url in (one, two)]

    def guess(number: int) -> httpx.Response:
        log_in = ("/account/login/", "/admin/login/")[number // 2 % 2]
        return guesser[number % 2].sign_in("alice", f"wrong-{number}", to=log_in)

    with ThreadPoolExecutor(6) as together:
        responses = sorted(together.map(guess, range(24)), key=lambda response: response.status_code)
    assert [each.status_code for each in responses] == [200] * 4 + [429] * 20
    assert 0 < int(responses[-1].headers["Retry-After"]) <= 600
    assert guesser[0].sign_in("alice", PASSWORD).status_code == 429
    assert guesser[1].sign_in("bob", PASSWORD).status_code == 302
    for stranger in ("198.51.100.7", "198.51.100.8", "2001:db8::1"):
        assert Visitor(one, stranger).sign_in("alice", PASSWORD).status_code == 302
    # what the visitor sent is to the left of what the proxy appended
    assert Visitor(two, "198.51.100.99, 203.0.113.9").sign_in("alice", PASSWORD).status_code == 429


def test_without_a_trusted_proxy_the_header_moves_nobody(servers) -> None:
    (url,) = servers(1, POSEBOARD_LIMIT_API_NETWORK="6 per hour")
    with httpx.Client(trust_env=False) as client:
        responses = [
            client.get(f"{url}/api/v1/benchmarks", headers={"X-Forwarded-For": f"198.51.100.{n}"}) for n in range(8)
        ]
    assert [each.status_code for each in responses] == [200] * 6 + [429] * 2
    assert [each.headers["RateLimit-Remaining"] for each in responses] == ["5", "4", "3", "2", "1", "0", "0", "0"]
    assert responses[-1].json()["code"] == "rate_limited"
    assert "private" in responses[-1].headers["Cache-Control"] or "no-store" in responses[-1].headers["Cache-Control"]


@pytest.mark.parametrize("name", ["SIGSTOP", "SIGKILL"])
def test_a_broker_that_is_away_holds_up_no_request(name: str, valkey, settings, monkeypatch) -> None:
    """One request may wait for it, the others count in their own process; nothing is unlimited."""
    url, process = valkey
    settings.BROKER_URL, settings.RATE_LIMITED = url, True
    rate_limits.own.cache_clear()
    # once it is away it stays so for this test, however slow the machine is
    monkeypatch.setattr(rate_limits, "LOOK_AGAIN_SECONDS", 3600)
    monkeypatch.setattr(rate_limits, "_away", type(rate_limits._away)())
    settings.RATE_LIMIT_WAIT = 5.0
    used = rate_limits.take("api", "somebody")
    assert used is not None and used.remaining == 1199
    assert rate_limits.own().get("x") == 0 and not rate_limits._away.is_set()
    settings.RATE_LIMIT_WAIT = 0.05
    process.send_signal(getattr(signal, name))
    started = time.monotonic()
    refused = 0
    for _ in range(1500):
        try:
            rate_limits.take("api", "somebody")
        except rate_limits.RateLimited:
            refused += 1
    # each of them waiting for 50 ms would take 75 s
    assert time.monotonic() - started < 20
    assert refused == 300, "counted by this process for itself"


def test_it_is_asked_again_when_it_is_back(valkey, settings, monkeypatch) -> None:
    url, process = valkey
    settings.BROKER_URL, settings.RATE_LIMITED, settings.RATE_LIMIT_WAIT = url, True, 0.5
    rate_limits.own.cache_clear()
    monkeypatch.setattr(rate_limits, "LOOK_AGAIN_SECONDS", 0.1)
    monkeypatch.setattr(rate_limits, "_away", type(rate_limits._away)())
    process.send_signal(signal.SIGSTOP)
    first = rate_limits.take("api", "somebody")
    assert first is not None and first.remaining == 1199 and rate_limits._away.is_set()
    process.send_signal(signal.SIGCONT)
    wait_for(lambda: not rate_limits._away.is_set(), "nobody noticed that the broker is back")
    settings.RATE_LIMIT_WAIT = 10.0
    for _ in range(5):
        used = rate_limits.take("api", "somebody else")
    with Redis.from_url(url.replace("redis+socket", "unix")) as shared:
        counted = {int(shared.get(key) or 0) for key in shared.scan_iter("poseboard:limits:api:*")}
    assert used is not None and used.remaining == 1195 and 5 in counted
