"""The web server around the site: gunicorn's worker, the lanes of its requests, sizes of bodies, answers to faults."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    # gunicorn is asked for `leaderboard.web.Worker`; nobody else pays for importing it
    if name == "Worker":
        from leaderboard.web.worker import Worker

        return Worker
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
