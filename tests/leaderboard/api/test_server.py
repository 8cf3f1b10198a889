"""The site as it is run: gunicorn, several processes, a database of its own. Nothing is mocked.

The quota race, the guide's commands, uploads that are too large, and a broker that is away.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from tests.leaderboard.api.conftest import API, ROOT, Server
from tests.leaderboard.conftest import IMAGES, POSE, predictions

GUIDE = ROOT / "docs" / "api.md"


def client(server: Server, name: str = "alice") -> httpx.Client:
    headers = {"Authorization": f"Bearer {server.tokens[name]}"}
    return httpx.Client(base_url=server.url + API, headers=headers, timeout=60, trust_env=False)


def another_file(number: int) -> bytes:
    """A valid file that no other number gives."""
    entry = {"image_id": 1001, "person_id": 0, "keypoints": [float(number), 1.0, 1.0] * 14, "score": 1.0}
    return json.dumps([entry]).encode()


def test_a_hundred_posts_at_once_and_a_limit_of_five(server: Server) -> None:
    started = threading.Barrier(100)

    def post(number: int) -> httpx.Response:
        with client(server) as session:
            started.wait(60)
            form = {"benchmark": "lsp-test-pc", "method": "Racer"}
            return session.post("/submissions", data=form, files={"file": ("p.json", another_file(number))})

    with ThreadPoolExecutor(100) as pool:
        responses = list(pool.map(post, range(100)))
    assert Counter(response.status_code for response in responses) == {202: 5, 429: 95}
    refused = [response for response in responses if response.status_code == 429]
    assert {response.json()["code"] for response in refused} == {"quota_day"}
    assert all(0 < int(response.headers["Retry-After"]) <= 86_400 for response in refused)
    accepted = {response.json()["id"] for response in responses if response.status_code == 202}
    with client(server) as session:
        assert {each["id"] for each in session.get("/submissions").json()["items"]} == accepted
        assert len(accepted) == 5
        quota = session.get("/benchmarks/lsp-test-pc/quota").json()
        assert (quota["day_used"], quota["total_used"], quota["running"]) == (5, 5, 5)
        assert len(session.get("/methods").json()["items"]) == 1
    # somebody else has a limit of their own
    with client(server, "charlie") as session:
        form = {"benchmark": "lsp-test-pc", "method": "Racer"}
        assert session.post("/submissions", data=form, files={"file": ("p.json", another_file(1))}).status_code == 202


def test_the_same_file_twenty_times_at_once_is_one_submission(server: Server) -> None:
    started = threading.Barrier(20)

    def post(_: int) -> httpx.Response:
        with client(server) as session:
            started.wait(60)
            form = {"benchmark": "lsp-test-pc", "method": "Again"}
            return session.post("/submissions", data=form, files={"file": ("p.json", predictions())})

    with ThreadPoolExecutor(20) as pool:
        responses = list(pool.map(post, range(20)))
    assert {response.status_code for response in responses} == {202}
    assert len({response.json()["id"] for response in responses}) == 1
    with client(server) as session:
        assert session.get("/benchmarks/lsp-test-pc/quota").json()["day_used"] == 1


def test_too_large_and_a_broker_that_is_away(server: Server) -> None:
    """Larger than the limit of 1 MiB: 413 however large it is; nothing stays on disk, and no token in the log."""
    form = {"benchmark": "lsp-test-pc", "method": "Heavy"}
    before = {file for file in server.data.rglob("*") if "uploads" in file.parts}
    with client(server) as session:
        for size in ((1 << 20) + 1, 4 << 20):
            response = session.post("/submissions", data=form, files={"file": ("p.json", b" " * size)})
            assert (response.status_code, response.json()["code"]) == (413, "file_too_large")

        def unknown_length() -> Iterator[bytes]:
            yield b"--x\r\n"

        response = session.post("/submissions", content=unknown_length())
        assert response.status_code == 411
        files = {file for file in server.data.rglob("*") if "uploads" in file.parts and file.is_file()}
        assert files <= before
        # the broker is away all the while: a submission is accepted all the same, and soon
        started = time.monotonic()
        accepted = session.post("/submissions", data=form, files={"file": ("p.json", predictions())})
        assert accepted.status_code == 202
        assert time.monotonic() - started < 5
        health = httpx.get(f"{server.url}/healthz", trust_env=False)
        assert (health.status_code, health.json()["status"]) == (200, "degraded")
    # a line of the log is written after its response
    deadline = time.monotonic() + 10
    while "/healthz" not in (log := (server.data / "gunicorn.log").read_text()).rsplit("/submissions", 1)[-1]:
        assert time.monotonic() < deadline, log
        time.sleep(0.05)
    for text in server.tokens.values():
        assert text.split("_")[2] not in log


WORK = """
import time
import django
django.setup()
from leaderboard.tasks import score
while True:
    if score() == "nothing to do":
        time.sleep(0.1)
"""


@contextmanager
def worker(server: Server) -> Iterator[None]:
    """A process that scores what waits, in the sandbox, as a Celery worker does when it is rung."""
    process = subprocess.Popen([sys.executable, "-c", WORK], cwd=ROOT, env=server.environment)
    try:
        yield
        assert process.poll() is None, "the worker died"
    finally:
        process.terminate()
        process.wait(20)


def test_the_guides_commands(server: Server) -> None:
    """Every `sh` block of docs/api.md, in order, in one shell."""
    blocks = re.findall(r"^```sh\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 8
    folder = server.data / "guide"
    folder.mkdir()
    (folder / "predictions.json.gz").write_bytes(gzip.compress(predictions(miss=3)))
    environment = {
        **os.environ, "POSEBOARD_URL": server.url, "POSEBOARD_TOKEN": server.tokens["alice"],
        "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1",
    }  # fmt: skip
    with worker(server):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", "\n".join(blocks)],
            cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    submission = json.loads((folder / "submission.json").read_text())
    assert submission["state"] == "scored", submission
    scores = {(score["metric"], score["part"]): score["value"] for score in submission["scores"]}
    # the first three of 14 joints (right ankle, knee, hip) are 1,000 px away
    assert scores["pck@0.2", "all"] == pytest.approx(11 / 14, abs=1e-12)
    assert scores["pck@0.2", "ankle"] == 0.5
    assert scores["pck@0.2", "wrist"] == 1.0
    board = json.loads((folder / "board.json").read_text())
    assert [(entry["name"], entry["rank"]) for entry in board["entries"]] == [("My method", 1)]
    assert "304\n" in done.stdout
    assert gzip.decompress((folder / "sent.json.gz").read_bytes()) == predictions(miss=3)
    images = json.loads((folder / "images.json").read_text())
    assert len(images["images"]) == IMAGES
    assert len(POSE) == 14
