"""Workers report in; the status page lists them and names the protections that a sandbox lacks."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings
from django.db.models.functions import Now
from django.test import Client

from leaderboard.models import Worker
from leaderboard.queue import workers

pytestmark = pytest.mark.django_db

SANDBOXED = {"held": ["rlimits", "landlock"], "missing": {}, "memory_limit": True, "sockets": False}


def reported_ago(name: str, seconds: float) -> None:
    Worker.objects.filter(name=name).update(seen_at=Now() - timedelta(seconds=seconds))


def test_a_worker_is_listed_once_until_it_misses_three_heartbeats() -> None:
    workers.report(name="a:1", queue="score", isolation=SANDBOXED)
    reported_ago("a:1", 2.5 * settings.HEARTBEAT_SECONDS)
    assert [worker.name for worker in workers.alive()] == ["a:1"]
    reported_ago("a:1", 3.5 * settings.HEARTBEAT_SECONDS)
    assert not workers.alive()
    workers.report(name="a:1", queue="score", isolation=SANDBOXED)
    assert [worker.name for worker in workers.alive()] == ["a:1"]
    assert Worker.objects.count() == 1


def test_dead_workers_are_forgotten_after_a_day() -> None:
    for name, hours in (("old:1", 25), ("new:1", 23)):
        workers.report(name=name, queue="score", isolation=None)
        reported_ago(name, 3600 * hours)
    assert workers.forget_dead() == 1
    assert [worker.name for worker in Worker.objects.all()] == ["new:1"]


def test_protections_that_a_sandbox_lacks_are_named() -> None:
    without = {"held": [], "missing": {"network_namespace": "EPERM at x"}, "memory_limit": False, "sockets": True}
    assert workers.lacks(Worker(name="a:1", queue="score", isolation=SANDBOXED)) == []
    assert workers.lacks(Worker(name="a:2", queue="baseline")) == []
    named = workers.lacks(Worker(name="a:3", queue="score", isolation=without))
    assert named[0] == "network namespace"
    assert len(named) == 3


@pytest.mark.parametrize(("engine", "warned"), [("native", False), ("numpy", True)])
def test_status_page_warns_where_the_evaluators_c_is_missing(engine: str, warned: bool) -> None:
    workers.report(name="a:1", queue="score", isolation={**SANDBOXED, "engine": engine})
    assert ("C code was not built" in Client().get("/status/").content.decode()) is warned


def test_status_page_lists_workers_but_not_their_hosts() -> None:
    page = Client().get("/status/").content.decode()
    assert "none running" in page
    workers.report(name="secret-host:4711", queue="score", isolation=SANDBOXED)
    workers.report(
        name="secret-host:4712",
        queue="score",
        isolation={**SANDBOXED, "missing": {"landlock": "kernel 5.4 of secret-host"}},
    )
    page = Client().get("/status/").content.decode()
    assert "fully sandboxed" in page
    assert "lacks landlock" in page
    assert "secret-host" not in page and "none running" not in page
