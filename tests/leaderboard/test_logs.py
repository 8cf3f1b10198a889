"""Logs hold no key to an account: as the site writes them, in a process of its own, with and without DEBUG."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from leaderboard.logs import without_secrets

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "plb_0a1b2c3d4e_" + "S3cret" * 5 + "xy_0f0f0f0f"
# what a visitor, or a fault, gets into the log: refused forms, wrong methods, unknown addresses, tracebacks
TRIES = f"""
import logging
import django
django.setup()
from django.core.management import call_command
from django.test import Client
call_command("collectstatic", interactive=False, verbosity=0)
browser = Client(enforce_csrf_checks=True, raise_request_exception=False, SERVER_NAME="127.0.0.1")
for link in ("/account/confirm-email/MQ:1x-S3cret:abc/", "/account/password/reset/key/1-d0-S3cret/"):
    browser.post(link)
    browser.put(link)
    browser.get(link + "more")
browser.get("/api/v1/{TOKEN}")
browser.get("/{TOKEN}/x", headers={{"Authorization": "Bearer {TOKEN}"}})
log = logging.getLogger("django.server")
log.info('"GET %s HTTP/1.1" 302', "/account/password/reset/key/1-d0-S3cret/")
try:
    raise RuntimeError({{"Authorization": "Bearer {TOKEN}", "Cookie": "session=S3cret; csrf=S3cret"}})
except RuntimeError:
    logging.getLogger("leaderboard").exception("failed at redis://:S3cret@broker/0")
"""


@pytest.mark.parametrize("debug", ["0", "1"])
def test_no_link_token_or_cookie_reaches_the_log(debug: str, tmp_path: Path) -> None:
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "leaderboard.settings", "POSEBOARD_DATA": str(tmp_path),
                   "POSEBOARD_DEBUG": debug, "POSEBOARD_RATE_LIMITS": "0"}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", TRIES], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    written = done.stdout + done.stderr
    assert done.returncode == 0, written
    # they were written, and only what is secret is missing
    for line in ("Forbidden (", "/account/confirm-email/…", "/account/password/reset/key/1-…", "plb_0a1b2c3d4e_…",
                 "RuntimeError", "redis://:…@broker/0"):  # fmt: skip
        assert line in written, written
    assert "S3cret" not in written, written


@pytest.mark.parametrize(
    ("written", "left"),
    [
        (f"token {TOKEN}.", "token plb_0a1b2c3d4e_…."),
        ("Authorization: Basic dXNlcjpwYXNz, Accept", "Authorization: Basic …, Accept"),
        ("{'authorization': 'abc123'}", "{'authorization': '…'}"),
        ("/account/password/reset/key/1-set-password/", "/account/password/reset/key/1-set-password/"),
        ("__Host-session=abc; theme=dark", "__Host-session=…; theme=dark"),
        ("postgres://poseboard:pass@database/poseboard", "postgres://poseboard:…@database/poseboard"),
        ("http://127.0.0.1:8000/boards/?q=a@b", "http://127.0.0.1:8000/boards/?q=a@b"),
        ("the bearer of this letter", "the bearer of this letter"),
    ],
)
def test_only_what_is_secret_is_blotted_out(written: str, left: str) -> None:
    assert without_secrets(written) == left
