"""A baseline worker that the kernel kills when memory runs out: its successors use smaller and smaller batches."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

# One process sets up its own site and forks a worker per attempt, as Celery does. `fits` people fit into a worker's
# memory; with more it gets the same signal that the kernel sends.
SITE = """
import json, os, signal, sys
from datetime import timedelta
from pathlib import Path
import django

django.setup()
import numpy as np
from django.core.management import call_command
from django.db import connections
from django.db.models.functions import Now
from PIL import Image

import baselines.run.predict, baselines.preview
from baselines.protocol import Poses
from leaderboard import tasks
from leaderboard.models import BaselineRun, Benchmark, State
from leaderboard.operations import baseline_runs, releases
from leaderboard.queue import leases
from tests.leaderboard.conftest import IMAGES, annotations_json

fits = int(sys.argv[1])

class Large:
    name, variant, device, precision, checkpoint_sha256 = "large", "narrow", "cpu", "float32", "0" * 64
    input_size, padding, batch, parameters, gmacs, joint_threshold = (24, 32), 1.25, 8, 1000, 0.5, 0.2

    def forward(self, crops):
        if len(crops) > fits:
            os.kill(os.getpid(), signal.SIGKILL)
        return len(crops)

    def decode(self, people):
        return Poses(np.full((people, 14, 2), 8.0), np.full((people, 14), 0.5), np.full(people, 0.5))

for user in ("run.predict", "preview"):
    sys.modules[f"baselines.{user}"].load = lambda *_, **__: Large()
call_command("migrate", verbosity=0)
board = Benchmark.objects.create(slug="lsp-test-pc", dataset="lsp", split="test-pc", title="LSP")
releases.put_into_force(board, json.dumps(annotations_json()).encode())
images = Path("images")
images.mkdir()
for number in range(1001, 1001 + IMAGES):
    Image.new("RGB", (120, 180)).save(images / f"im{number}.jpg")
releases.put_images(board, images)
run = baseline_runs.request_run(baseline="stacked_hourglass", benchmark=board, by=None)
ends = []
while leases.claimable(BaselineRun).exists():
    connections.close_all()
    worker = os.fork()
    if worker == 0:
        tasks.run_baseline()
        os._exit(0)
    ends.append(os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]))
    BaselineRun.objects.filter(state=State.RUNNING).update(lease_expires_at=Now() - timedelta(1))
tasks.sweep()
run.refresh_from_db()
outcome = {"state": run.state, "code": run.error_code, "attempts": run.attempts, "record": run.record}
print(json.dumps({"ends": ends, **outcome}))
"""


@pytest.mark.parametrize(
    ("fits", "ends", "state", "code"),
    [
        (3, [-9, -9, 0], "done", ""),  # 8 and 4 are killed, 2 fits
        # not even one fits: attempts with 8, 4 and 2 are not counted, as a smaller batch may fit; three with 1 are
        (0, [-9] * 6, "errored", "worker_lost"),
    ],
)
def test_a_worker_killed_for_memory_is_followed_by_smaller_batches(
    tmp_path: Path, fits: int, ends: list[int], state: str, code: str
) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "BROKER_URL"}} | {
        "DJANGO_SETTINGS_MODULE": "leaderboard.settings",
        "POSEBOARD_DATA": str(tmp_path / "data"),
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", SITE, str(fits)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["ends"], found["state"], found["code"]) == (ends, state, code)
    if state == "done":
        assert (found["record"]["batch"], found["record"]["lost_with_batch"]) == (2, 4)
        assert found["attempts"] == 1
