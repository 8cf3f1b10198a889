"""Which workers are running. Each reports itself in the database, the one thing that web and workers must share.

The list is for the status page. Nothing depends on it: work is claimed by lease, not by who is listed.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models import QuerySet
from django.db.models.functions import Now

from leaderboard.models import Worker

log = logging.getLogger(__name__)

FORGET_AFTER = timedelta(days=1)


def stay_listed(*, queue: str, isolation: Callable[[], dict[str, Any] | None]) -> None:
    """List this process now and as long as it lives, from a thread that ends with it. `isolation` is asked again."""
    name = f"{socket.gethostname()[:80]}:{os.getpid()}"
    stopped = threading.Event()

    def keep() -> None:
        while True:
            try:
                report(name=name, queue=queue, isolation=isolation())
            except DatabaseError:
                log.warning("worker %s could not report that it is running; it continues", name)
            finally:
                connection.close()
            stopped.wait(settings.HEARTBEAT_SECONDS)

    threading.Thread(target=keep, daemon=True, name="stay-listed").start()


def report(*, name: str, queue: str, isolation: dict[str, Any] | None) -> None:
    """Record that the worker is running, by the database's clock."""
    Worker.objects.update_or_create(name=name, defaults={"queue": queue, "isolation": isolation, "seen_at": Now()})


def alive() -> QuerySet[Worker]:
    """The workers that reported within the last three heartbeats."""
    return Worker.objects.filter(seen_at__gt=Now() - timedelta(seconds=3 * settings.HEARTBEAT_SECONDS)).order_by(
        "queue", "name"
    )


def serving(queue: str) -> int:
    """How many of them serve the queue."""
    return sum(queue in served.split(", ") for served in alive().values_list("queue", flat=True))


def forget_dead() -> int:
    """Delete the rows of processes that ended long ago. Returns how many."""
    return Worker.objects.filter(seen_at__lt=Now() - FORGET_AFTER).delete()[0]


def lacks(worker: Worker) -> list[str]:
    """The defences that the worker's sandbox lacks on its machine; the reasons are in the worker's log."""
    isolation = worker.isolation or {}
    missing = [name.replace("_", " ") for name in isolation.get("missing", {})]
    if not isolation.get("memory_limit", True):
        missing.append("a memory limit set by the kernel (its resident size is watched instead)")
    if isolation.get("sockets", False):
        missing.append("network isolation")
    return missing
