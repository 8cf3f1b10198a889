"""The process of a Celery worker: its scoring sandbox, the queues it serves, and when it stops taking jobs.

`tasks` imports it, so that Celery connects these signals in every worker.
"""

from __future__ import annotations

import atexit
import logging
import mmap
from typing import Any

from celery.signals import celeryd_after_setup, worker_process_init, worker_process_shutdown, worker_shutting_down
from django.conf import settings

from leaderboard.queue import workers
from leaderboard.queue.wake import flush
from leaderboard.sandbox.defences import Limits
from leaderboard.sandbox.scorer import Scorer

log = logging.getLogger(__name__)

SANDBOX_SECONDS = 40.0
"""For the start of the sandbox: Celery expects a new process within `worker_proc_alive_timeout`."""

_scorer: Scorer | None = None


def scorer() -> Scorer:
    """This worker process's own sandbox, started at its first use."""
    global _scorer
    if _scorer is None:
        _scorer = Scorer(
            Limits(
                memory_bytes=settings.SCORING_MEMORY,
                cpu_seconds=settings.SCORING_SECONDS,
                wall_seconds=settings.SCORING_SECONDS,
            )
        )
        atexit.register(_scorer.close)
    return _scorer


_queues: list[str] = []


def serves(queue: str) -> bool:
    return queue in _queues


@celeryd_after_setup.connect
def note_queues(instance: Any, **_: Any) -> None:
    """Note which queues this worker serves; the processes that it forks inherit the list."""
    _queues[:] = list(instance.app.amqp.queues.consume_from)


@worker_process_init.connect
def warm_up(**_: Any) -> None:
    """Start the zygote, so that the first submission does not wait for it, and list this process as a worker.

    The zygote is started in this thread: the kernel ends it with the thread that started it.
    """
    if serves("score"):
        sandbox_runs()
        log.info("the scoring sandbox has: %s", scorer().known_isolation())
    workers.stay_listed(
        queue=", ".join(_queues), isolation=lambda: scorer().known_isolation() if serves("score") else None
    )


def sandbox_runs() -> bool:
    """Start the sandbox before a submission is claimed, so that a sandbox that does not start costs no attempt."""
    if scorer().ready(seconds=SANDBOX_SECONDS):
        return True
    log.error("the scoring sandbox does not start: submissions wait, and the next sweep tries again")
    return False


# One byte that the processes of a worker share, made before they are forked: signals reach only the first of them, and
# the others must know that no further job is to be claimed.
_stopping = mmap.mmap(-1, 1)


def is_stopping() -> bool:
    return bool(_stopping[0])


@worker_shutting_down.connect
def stop_claiming(**_: Any) -> None:
    _stopping[0] = 1


@worker_process_shutdown.connect
def deliver_calls(**_: Any) -> None:
    flush(1.0)
