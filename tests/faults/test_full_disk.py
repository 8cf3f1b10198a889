"""Real disks, completely full: a readable 507 and nothing left behind; with space again, everything works as before."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.leaderboard.api.conftest import free_port

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("on_full_disks.py")


def own_mounts() -> list[str]:
    """The prefix that gives a command its own mounts. If none works, the test fails in CI and is skipped elsewhere."""
    for command in (["unshare", "--mount"], ["unshare", "--map-root-user", "--mount"]):
        if shutil.which("unshare") and not subprocess.run([*command, "true"], capture_output=True).returncode:
            return command
    message = "SMALL DISKS MISSING: nothing can be mounted here (`unshare --mount` fails), so no disk was filled"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def test_a_full_disk_is_reported_and_leaves_nothing_behind(tmp_path: Path) -> None:
    done = subprocess.run(
        [*own_mounts(), sys.executable, str(SCRIPT), str(tmp_path), str(free_port())],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    responses = json.loads(done.stdout.splitlines()[-1])
    nothing = {"files": [], "spooled": 0, "submissions": 0, "methods": 0, "charged": 0}
    for disk in ("uploads", "inodes", "spool", "database"):
        found = responses[disk]
        assert found.pop("left") == nothing, disk
        for what, response in found.items():
            assert response["status"] in {503, 507}, (disk, what, response, done.stderr)
            assert int(response["retry_after"]) > 0, (disk, what)
            assert response["code"] in {"storage_full", "unavailable"} if what == "token" else response["page"], (
                disk,
                what,
            )
            assert response["status"] == 507 or disk == "database", (disk, what)
    after = responses["afterwards"]
    assert (after["token"]["status"], after["page"]["status"]) == (202, 302)
    assert (after["left"]["submissions"], after["left"]["methods"], len(after["left"]["files"])) == (2, 2, 1)
    assert not any(str(tmp_path) in line for line in Path("/proc/mounts").read_text().splitlines())
