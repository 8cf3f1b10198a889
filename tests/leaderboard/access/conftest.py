"""The limits switched on, other limits, a clock; browsers that sign in, and what a refusal must say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client
from limits import parse_many

from leaderboard.access import rate_limits
from leaderboard.models import User

HOME, CAFE, ELSEWHERE = "203.0.113.9", "198.51.100.7", "192.0.2.44"
PASSWORD = "a-long-password"
LOGIN, ADMIN, SIGNUP, RESET = "/account/login/", "/admin/login/", "/account/signup/", "/account/password/reset/"


@pytest.fixture(autouse=True)
def limits_on(settings: Any) -> None:
    settings.RATE_LIMITED = True
    rate_limits.own.cache_clear()


@pytest.fixture
def limit(settings: Any) -> Callable[..., None]:
    """`limit(api="3 per minute")`: other limits than the site's."""

    def change(**rates: str) -> None:
        settings.RATE_LIMITS = {**settings.RATE_LIMITS, **{name: parse_many(rate) for name, rate in rates.items()}}

    return change


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """`clock(60)` lets a minute pass for the counters."""
    import time

    moved = [0.0]
    real = time.time
    monkeypatch.setattr("limits.storage.memory.time.time", lambda: real() + moved[0])

    def pass_by(seconds: float) -> None:
        moved[0] += seconds

    return pass_by


@pytest.fixture
def staff(db: None) -> User:
    return User.objects.create_superuser("olga", "olga@example.org", PASSWORD)


def sign_in(name: str, password: str, at: str, *, to: str = LOGIN) -> HttpResponse:
    """The response to a log-in from a browser of its own: 302 for a right password, 200 for a wrong one, 429."""
    field = "username" if to == ADMIN else "login"
    response: HttpResponse = Client(REMOTE_ADDR=at).post(to, {field: name, "password": password})
    return response


def fail(name: str, at: str, times: int, *, to: str = LOGIN) -> list[int]:
    return [sign_in(name, f"wrong-{number}", at, to=to).status_code for number in range(times)]


def assert_refused(response: Any, *, limit: int, within: int) -> None:
    """A 429 that says for how long, in headers and on the page."""
    assert response.status_code == 429
    wait = int(response["Retry-After"])
    assert 0 < wait <= within
    assert (response["RateLimit-Limit"], response["RateLimit-Remaining"]) == (str(limit), "0")
    assert response["RateLimit-Reset"] == str(wait)
    assert "no-store" in response["Cache-Control"]
    assert f"Try again in {rate_limits.waiting(wait)}." in response.content.decode()
