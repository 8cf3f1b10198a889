"""Three ways in: curl, the `poseboard` command, and (pages/) the browser; on the demonstration's board."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.end_to_end.conftest import LocalSite, wait_for

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("processes")]


def sample(site: LocalSite, *, shift: float = 0.0) -> list[dict[str, object]]:
    """Everyone standing upright in the given box, made from the public image list alone."""
    listing = site.api.get("/benchmarks/mannequins-test/images").raise_for_status().json()
    upright = [
        (0.5, 0.08), (0.54, 0.06), (0.46, 0.06), (0.59, 0.08), (0.41, 0.08), (0.68, 0.22), (0.32, 0.22), (0.78, 0.38),
        (0.22, 0.38), (0.8, 0.52), (0.2, 0.52), (0.62, 0.52), (0.38, 0.52), (0.63, 0.74), (0.37, 0.74), (0.64, 0.95),
        (0.36, 0.95),
    ]  # fmt: skip
    entries = []
    for image in listing["images"]:
        for person in image["people"]:
            x, y, width, height = person["box"]
            keypoints = [number for u, v in upright for number in (x + shift + u * width, y + v * height, 1.0)]
            entries.append({"image_id": image["id"], "category_id": 1, "keypoints": keypoints, "score": 0.9})
    return entries


@pytest.fixture
def predictions(site: LocalSite, tmp_path: Path) -> Path:
    file = tmp_path / "predictions.json"
    # a different file each time, so that the response is never an earlier submission
    file.write_text(json.dumps(sample(site, shift=time.time() % 1)))
    return file


def test_demo_board_shows_scored_methods_and_the_baseline(site: LocalSite) -> None:
    def kinds() -> list[str]:
        entries = site.api.get("/boards/mannequins-test").json()["entries"]
        return [entry["kind"] for entry in entries]

    wait_for(lambda: kinds().count("submission") >= 3, seconds=60, what="the demo's methods to be scored")
    wait_for(lambda: "baseline" in kinds(), seconds=180, what="the baseline to be run and scored")
    entries = site.api.get("/boards/mannequins-test").json()["entries"]
    by_name = {entry["name"]: entry for entry in entries}
    baseline = next(entry for entry in entries if entry["kind"] == "baseline")
    mean_pose = next(entry for name, entry in by_name.items() if "mean" in name.lower())
    assert baseline["value"] > mean_pose["value"]
    assert baseline["rank"] == 1


def test_status_page_lists_the_workers_and_their_sandbox(site: LocalSite) -> None:
    page = httpx.get(f"{site.url}/status/").raise_for_status().text
    assert re.search(r"Worker \d, score\b", page) and re.search(r"Worker \d, baseline\b", page)
    assert "fully sandboxed" in page or "goes without" in page


def test_hidden_split_is_drawn_anew_and_unreadable_to_others(site: LocalSite) -> None:
    folder = site.data / "annotations" / "mannequins-test"
    assert (folder / "seed").stat().st_mode & 0o777 == 0o600
    truth = next(folder.glob("*.json"))
    assert truth.stat().st_mode & 0o777 == 0o600
    assert len(json.loads(truth.read_text())["images"]) >= 300


def test_curl_gets_202_and_a_score(site: LocalSite, predictions: Path) -> None:
    done = subprocess.run(
        [
            "curl", "-sS", "-i", f"{site.url}/api/v1/submissions", "-H", f"Authorization: Bearer {site.token}",
            "-F", "benchmark=mannequins-test", "-F", "method=Upright by curl", "-F", f"file=@{predictions}",
        ],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    head, body = done.stdout.replace("HTTP/1.1 100 Continue\n\n", "").split("\n\n", 1)
    assert " 202 " in head.splitlines()[0]
    assert "location: " in head.lower()
    submission = json.loads(body)
    ended = site.settled(submission["id"], seconds=20)
    assert ended["state"] == "scored", ended
    evaluation = ended["scores"]
    assert {"ap", "ap50", "ap75", "ar"} <= {score["metric"] for score in evaluation}
    assert all(0 <= score["value"] <= 1 for score in evaluation)


def test_poseboard_command_submits_waits_and_agrees_with_the_offline_score(site: LocalSite, predictions: Path) -> None:
    assert site.command("validate", "mannequins", str(predictions)).returncode == 0
    done = site.command(
        "submit", "mannequins-test", str(predictions), "--method", "Upright by command", "--wait", "--json"
    )
    online = {(each["metric"], each["part"]): each["value"] for each in json.loads(done.stdout)["scores"]}
    truth = next((site.data / "annotations" / "mannequins-test").glob("*.json"))
    offline = json.loads(
        site.command("evaluate", "mannequins", str(predictions), "--truth", str(truth), "--json").stdout
    )["scores"]
    assert online == {(each["metric"], each["part"]): each["value"] for each in offline}
    board = json.loads(site.command("board", "mannequins-test", "--json").stdout)
    assert board["entries"]


def test_a_wrong_file_is_rejected_with_its_entry_and_costs_nothing(site: LocalSite, tmp_path: Path) -> None:
    entries = sample(site)
    entries[7]["keypoints"] = [1.0, 2.0, 3.0]
    rejected = tmp_path / "rejected.json"
    rejected.write_text(json.dumps(entries))
    assert site.command("validate", "mannequins", str(rejected), check=False).returncode == 2
    with rejected.open("rb") as file:
        response = site.api.post(
            "/submissions", data={"benchmark": "mannequins-test", "method": "Short"}, files={"file": file}
        )
    ended = site.settled(response.raise_for_status().json()["id"])
    assert ended["state"] == "rejected"
    error = ended["error"]
    assert isinstance(error, dict)
    assert error["problems"][0]["entry"] == 7


def test_worker_killed_in_the_middle_of_scoring_loses_nothing(site: LocalSite) -> None:
    """Twice a submission runs, held by a frozen sandbox, when its worker dies by -9. All are scored in the end."""
    sent = []
    for number in range(2):
        for process in site.sandboxes():
            os.kill(process, signal.SIGSTOP)
        for method in ("Held", "Waiting"):
            content = json.dumps(sample(site, shift=20.0 + number))
            response = site.api.post(
                "/submissions",
                data={"benchmark": "mannequins-test", "method": f"{method} {number}"},
                files={"file": ("p.json", content)},
            )
            sent.append(response.raise_for_status().json()["id"])
        held = sent[-2]
        wait_for(
            lambda held=held: site.api.get(f"/submissions/{held}").json()["state"] == "running",
            seconds=30,
            what="a worker to take the submission",
        )
        for process in site.processes("celery", "worker", "score"):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        # the supervisor starts a new worker, and its sandbox is not frozen
        ended = [site.settled(each, seconds=120) for each in sent]
        assert [each["state"] for each in ended] == ["scored"] * len(sent), ended
        assert all(len(each["scores"]) >= 10 for each in ended)  # type: ignore[arg-type]
