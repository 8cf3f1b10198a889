"""A baseline's worker is killed in the middle of its run: the next worker goes on from there."""

from __future__ import annotations

import os
import re
import signal
import time

import httpx
import pytest

from tests.end_to_end.conftest import LocalSite, wait_for

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("processes")]


def row_of(site: LocalSite, run: str) -> str:
    """The run's row on the baselines' page."""
    page = httpx.get(f"{site.url}/baselines/", timeout=60).raise_for_status().text
    found = re.search(rf'<tr id="run-{run}">.*?</tr>', page, re.DOTALL)
    return found[0] if found else ""


def test_a_killed_baseline_worker_s_run_goes_on(site: LocalSite) -> None:
    said = site.manage("run_baseline", "stacked_hourglass", "mannequins-test")
    run = re.search(r"run (\d+)", said)[1]  # type: ignore[index]
    folder = site.data / "runs" / run

    def progress() -> tuple[str, int]:
        """The newest file of the run, and how many images it has."""
        files = sorted(folder.glob("*.jsonl"), key=lambda file: int(file.stem)) if folder.is_dir() else []
        lines = files[-1].read_bytes().splitlines(keepends=True) if files else []
        whole = sum(b'"left_out"' in line for line in lines if line.endswith(b"\n"))
        return (files[-1].stem if files else "", whole)

    deadline = time.monotonic() + 240
    while progress()[1] < 20:
        assert time.monotonic() < deadline, "the run did not begin"
        time.sleep(0.01)
    victims = site.processes("celery", "worker", "baseline")
    for process in victims:
        os.kill(process, signal.SIGKILL)
    fence, images = progress()
    assert victims and 20 <= images < 300
    wait_for(lambda: "Done" in row_of(site, run), seconds=240, what="the run to be taken over and to end")
    submission = re.search(r'href="(/submissions/\d+/)"', row_of(site, run))[1]  # type: ignore[index]
    page = httpx.get(site.url + submission, timeout=60).raise_for_status().text
    taken_over = re.search(r"(\d+) images resumed from a lost worker", page)
    # whatever was written when the worker died was not predicted again
    assert taken_over and int(taken_over[1]) == images, (fence, images)
