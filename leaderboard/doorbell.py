"""Ringing the workers. A ring carries nothing that matters and may be lost: the sweep rings again."""

from __future__ import annotations

import logging

from kombu.exceptions import OperationalError

log = logging.getLogger(__name__)

TASKS = {"score": "leaderboard.tasks.score", "baseline": "leaderboard.tasks.run_baseline"}


def ring(queue: str) -> bool:
    """Tell one worker of the queue to look. False when the broker is away; nothing is lost by that."""
    from leaderboard.celery import app

    try:
        app.send_task(TASKS[queue], queue=queue, retry=False, ignore_result=True)
    except (OperationalError, OSError) as error:
        log.warning("the broker is away (%s): the sweep will ring the %s workers", type(error).__name__, queue)
        return False
    return True
