"""The web server around the site: gunicorn's worker, the lanes of its requests, body limits, responses to faults.

May import every room but management, the admin and the tasks; only settings and `urls` name it.
"""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    # for gunicorn's --worker-class; nothing else pays for importing it
    if name == "Worker":
        from leaderboard.web.worker import Worker

        return Worker
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
