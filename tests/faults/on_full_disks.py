"""A site on small disks of its own, each filled up in turn. Prints the responses as JSON.

Run it in its own mount namespace (`unshare --mount`), so that its mounts end with it. Arguments: folder and port.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

FOLDER = Path(sys.argv[1]).resolve()
PORT = int(sys.argv[2])
ROOT = Path(__file__).resolve().parents[2]
# uploads, spooled request bodies, and everything else: SQLite's database
DISKS = {"uploads": FOLDER / "uploads", "spool": FOLDER / "spool", "database": FOLDER / "data"}
for disk in DISKS.values():
    disk.mkdir(parents=True)
    # private to this namespace
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m,nr_inodes=1000", "tmpfs", str(disk)], check=True)

os.environ.pop("DATABASE_URL", None)
os.environ |= {
    "DJANGO_SETTINGS_MODULE": "tests.settings",
    "POSEBOARD_TEST_FOLDER": str(DISKS["database"]),
    "POSEBOARD_UPLOADS": str(DISKS["uploads"]),
    "POSEBOARD_ANNOTATIONS": str(FOLDER / "annotations"),
    "POSEBOARD_STATIC": str(FOLDER / "static"),
    "POSEBOARD_URL": f"http://127.0.0.1:{PORT}",
    "POSEBOARD_FREE_DISK_MIB": "0",
    "POSEBOARD_DEBUG": "0",
    "TMPDIR": str(DISKS["spool"]),
}

import django

django.setup()

import httpx
from django.conf import settings
from django.core.management import call_command
from django.test import Client

from leaderboard.models import Benchmark, Method, Quota, Submission, User
from leaderboard.operations import releases, tokens
from leaderboard.operations.teams import own_team
from tests.leaderboard.conftest import annotations_json, predictions

call_command("migrate", verbosity=0)
board = Benchmark.objects.create(slug="lsp-test-pc", dataset="lsp", split="test-pc", title="LSP", daily_limit=50)
releases.put_into_force(board, json.dumps(annotations_json()).encode())
user = User.objects.create_user("alice", "alice@example.org", "a-long-password")
team = own_team(user)
_, token = tokens.create(user=user, name="test", scopes=["read", "submit"])
signed_in = Client()
signed_in.force_login(user)
session = signed_in.cookies[settings.SESSION_COOKIE_NAME].value

# fits on none of these disks beside the ballast, and twice on an empty one
CONTENT = predictions() + b" " * (3 << 20)


def submit_with_token(client: httpx.Client) -> httpx.Response:
    return client.post(
        "/api/v1/submissions",
        data={"benchmark": board.slug, "method": "By token"},
        files={"file": ("p.json", CONTENT)},
        headers={"Authorization": f"Bearer {token}"},
    )


def submit_on_page(client: httpx.Client) -> httpx.Response:
    client.cookies.set(settings.SESSION_COOKIE_NAME, session)
    form = {"team": str(team.pk), "method": "On page", "visibility": "private", "csrfmiddlewaretoken": csrf}
    return client.post("/lsp-test-pc/submit/", data=form, files={"file": ("p.json", CONTENT)})


def log_in(client: httpx.Client) -> httpx.Response:
    client.cookies.delete(settings.SESSION_COOKIE_NAME)
    form = {"login": "alice", "password": "a-long-password", "csrfmiddlewaretoken": csrf}
    return client.post("/account/login/", data=form)


def summary(response: httpx.Response) -> dict[str, Any]:
    code = response.json().get("code", "") if "problem+json" in response.headers.get("Content-Type", "") else ""
    readable = "<h1>" in response.text or "alert" in response.text
    return {
        "status": response.status_code,
        "retry_after": response.headers.get("Retry-After", ""),
        "code": code,
        "page": readable and "Traceback" not in response.text,
    }


def left() -> dict[str, Any]:
    """What a refused request must not change."""
    lists = set(Benchmark.objects.values_list("image_list_sha256", flat=True))
    found = [file for file in DISKS["uploads"].rglob("*") if file.is_file() and file.name not in lists]
    spooled = [file for file in DISKS["spool"].iterdir() if ".upload" in file.name]
    return {
        "files": sorted(file.name for file in found),
        "spooled": len(spooled),
        "submissions": Submission.objects.count(),
        "methods": Method.objects.count(),
        "charged": sum(Quota.objects.values_list("used", flat=True)),
    }


def fill(disk: Path, *, by_inodes: bool) -> Path:
    """Use up all space, or all inodes: then the free space gives no warning."""
    ballast = disk / "ballast"
    if by_inodes:
        ballast.mkdir()
        with suppress(OSError):
            for number in range(2000):
                (ballast / str(number)).touch()
        return ballast
    with ballast.open("wb", buffering=0) as out, suppress(OSError):
        while True:
            out.write(b"\0" * 4096)
    return ballast


server = subprocess.Popen(
    [sys.executable, "-m", "gunicorn", "leaderboard.wsgi", "--bind", f"127.0.0.1:{PORT}", "--threads", "4",
     "--worker-class", "leaderboard.web.Worker", "--no-control-socket", "--worker-tmp-dir", str(FOLDER)],
    cwd=ROOT, stdout=sys.stderr, stderr=sys.stderr,
)  # fmt: skip
try:
    with httpx.Client(base_url=f"http://127.0.0.1:{PORT}", trust_env=False, timeout=60) as client:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with suppress(httpx.TransportError):
                if client.get("/healthz").status_code == 200:
                    break
            assert server.poll() is None
            time.sleep(0.1)
        client.get("/account/login/")
        csrf = client.cookies[settings.CSRF_COOKIE_NAME]
        responses: dict[str, Any] = {}
        for name, disk in {**DISKS, "inodes": DISKS["uploads"]}.items():
            ballast = fill(disk, by_inodes=name == "inodes")
            asked = {"page": submit_on_page, "token": submit_with_token}
            if name == "database":
                asked["login"] = log_in
            responses[name] = {what: summary(ask(client)) for what, ask in asked.items()}
            shutil.rmtree(ballast) if ballast.is_dir() else ballast.unlink()
            responses[name]["left"] = left()
        responses["afterwards"] = {"token": summary(submit_with_token(client)), "page": summary(submit_on_page(client))}
        responses["afterwards"]["left"] = left()
    print(json.dumps(responses))
finally:
    server.terminate()
    server.wait(20)
