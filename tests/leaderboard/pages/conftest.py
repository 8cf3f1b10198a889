"""The people and the small LSP board of the operations' tests, and signed-in clients for the pages."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from leaderboard.models import Benchmark, ReportedResult, Submission, User
from leaderboard.operations import submissions
from tests.leaderboard.conftest import (  # noqa: F401  fixtures that these tests ask for by name
    _own_folders,
    alice,
    benchmark,
    bob,
    charlie,
    claim,
    method,
    send,
    team,
)
from tests.leaderboard.pages.browser_site import open_page, site  # noqa: F401

PARTS = {"head": 0.9, "shoulder": 0.8, "elbow": 0.7, "wrist": 0.6, "hip": 0.75, "knee": 0.72, "ankle": 0.65}


def squeezed(html: str) -> str:
    """Markup without the white space that the layout of a template brings: one space for many, none beside a tag."""
    return re.sub(r" ?(<[^>]*>) ?", r"\1", re.sub(r"\s+", " ", html))


@pytest.fixture(autouse=True)
def _empty_cache() -> None:
    cache.clear()


def report(value: float = 0.7, *, low: float | None = None, high: float | None = None) -> dict[str, Any]:
    """What the sandbox hands over: PCK@0.2 of the whole and of its parts, and its area under the curve."""
    scores = [{"metric": "pck@0.2", "part": "all", "value": value, "low": low, "high": high}]
    scores += [
        {"metric": "pck@0.2", "part": part, "value": share, "low": share - 0.02, "high": share + 0.02}
        for part, share in PARTS.items()
    ]
    scores.append({"metric": "pck_auc", "part": "all", "value": value / 2, "low": None, "high": None})
    return {"scores": scores, "images": 8, "people": 8, "entries": 8, "protocol": "PCK@0.2"}


@pytest.fixture
def scored(send: Any) -> Callable[..., Submission]:
    """Send, score with the given value, and publish as Alice unless told otherwise."""
    number = iter(range(1, 10_000))

    def make(
        value: float = 0.7,
        *,
        low: float | None = None,
        high: float | None = None,
        published: bool = True,
        **fields: Any,
    ) -> Submission:
        sent: Submission = send(b"[%d]" % next(number), **fields)
        assert submissions.record(claim(), report(value, low=low, high=high), seconds=0.5)
        if published:
            submissions.publish(submission=sent, by=sent.user)
        return sent

    return make


@pytest.fixture
def printed(benchmark: Benchmark) -> ReportedResult:
    return ReportedResult.objects.create(
        benchmark=benchmark,
        key="cpm",
        method="Convolutional Pose Machines",
        authors="Wei et al.",
        year=2016,
        paper_title="Convolutional Pose Machines",
        paper_url="https://arxiv.org/abs/1602.00134",
        source="table 2",
        scores=[{"metric": "pck@0.2", "part": "all", "value": 0.905}],
    )


@pytest.fixture
def as_alice(alice: User) -> Client:
    client = Client()
    client.force_login(alice)
    return client


@pytest.fixture
def as_charlie(charlie: User) -> Client:
    client = Client()
    client.force_login(charlie)
    return client


@pytest.fixture
def organiser(benchmark: Benchmark) -> User:
    user = User.objects.create_user("olga", "olga@example.org", "a-long-password")
    benchmark.organisers.add(user)
    return user


@pytest.fixture
def as_organiser(organiser: User) -> Client:
    client = Client()
    client.force_login(organiser)
    return client
