"""A new web process has imported everything before it takes its first request."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent

FIRST_REQUEST = """
import io, sys, threading
from leaderboard.wsgi import application
from django.db import connection
print(connection.connection, threading.active_count())
from django.core.management import call_command
call_command("migrate", verbosity=0)
before = {name for name in sys.modules if name.startswith(("leaderboard.", "ninja", "allauth"))}
statuses = []
asked = {"REQUEST_METHOD": "GET", "PATH_INFO": "/healthz", "SERVER_NAME": "127.0.0.1", "SERVER_PORT": "8000",
         "HTTP_HOST": "127.0.0.1", "wsgi.input": io.BytesIO(), "wsgi.url_scheme": "http", "wsgi.errors": sys.stderr}
list(application(asked, lambda status, headers: statuses.append(status)))
after = {name for name in sys.modules if name.startswith(("leaderboard.", "ninja", "allauth"))}
print(statuses, sorted(after - before))
"""


def test_the_first_request_imports_nothing_of_ours(tmp_path: Path) -> None:
    """Otherwise the first request waits for half a second of work; on a machine with a load of 30 that was 18 s.

    The processes of the web server are forks of one that has imported it: neither a connection nor a thread is there.
    """
    environment = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "BROKER_URL"}} | {
        "DJANGO_SETTINGS_MODULE": "leaderboard.settings",
        "POSEBOARD_DATA": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-c", FIRST_REQUEST],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["None 1", "['200 OK'] []"]
