"""A board of millimetres, lower is better: from the evaluator's own reports to pages, exports and the API."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from evaluator import evaluate
from leaderboard.boards.rankings import board
from leaderboard.files import blobs
from leaderboard.models import Benchmark, Method, Score, Submission, Team, User
from leaderboard.operations import releases, reported_results, submissions
from leaderboard.sandbox.report_check import ScoringFailed
from tests.evaluator.pose_cases import in_space
from tests.leaderboard.conftest import submit
from tests.leaderboard.pages.conftest import claim, squeezed

TRUTH, _ = in_space("human36m", 1, images=6, most_people=1)


@pytest.fixture
def space(db: None) -> Benchmark:
    made = Benchmark.objects.create(slug="human36m-test", dataset="human36m", split="test", title="Human3.6M")
    summary = releases.put_into_force(made, json.dumps(TRUTH).encode())
    assert (summary["images"], summary["people"]) == (6, 6)
    assert summary["joints"][0] == {"joint": "pelvis", "annotated": 6, "occluded": 0}
    return made


@pytest.fixture
def entered(space: Benchmark, team: Team, alice: User) -> Callable[..., Submission]:
    """A method whose poses are off by about `noise` millimetres, scored by the evaluator and published."""

    def enter(name: str, noise: float) -> Submission:
        method = Method.objects.create(team=team, name=name, year=2020, gflops=noise / 10)
        _, entries = in_space("human36m", 1, images=6, most_people=1, noise=noise)
        content = json.dumps(entries).encode()
        blob = blobs.store([content], limit=1 << 20)
        sent = submit(method, blob, benchmark=space, user=alice, source="web", publish_when_scored=True)
        result = evaluate("human36m", content, TRUTH, intervals=True).to_dict()
        assert submissions.record(claim(), result, seconds=0.1)
        return sent

    return enter


def test_the_smaller_error_is_first_everywhere(
    space: Benchmark, entered: Any, client: Client, as_alice: Client
) -> None:
    worse, better = entered("Coarse", 80.0), entered("Fine", 20.0)
    found = board(space)
    assert (found.metric.name, found.part) == ("mpjpe", "mean_of_actions")
    assert [(row.name, row.rank, row.unit) for row in found.ranked] == [("Fine", 1, "mm"), ("Coarse", 2, "mm")]
    fine, coarse = (row.value for row in found.ranked)
    assert 10 < fine < 50 < coarse < 250  # noise of 20 and 80 mm on each axis of joint and root
    assert set(Score.objects.values_list("bounded", flat=True)) == {False}

    page = squeezed(client.get("/human36m-test/").content.decode())
    assert page.index("Fine") < page.index("Coarse")
    assert f"Fine leads by {coarse - fine:.1f} mm" in page
    assert "MPJPE in mm" in page and f">{fine:.1f}<" in page
    assert f"{100 * fine:.1f}" not in page  # no millimetre is printed as a percentage
    assert "Best score over time" in page
    turned = client.get("/human36m-test/?order=up").content.decode().partition('class="board')[2]
    assert turned.index("Coarse") < turned.index("Fine")
    by_walking = client.get("/human36m-test/?metric=pa_mpjpe").content.decode()
    assert "PA-MPJPE" in by_walking

    for sent, value in ((better, fine), (worse, coarse)):
        text = squeezed(as_alice.get(f"/submissions/{sent.pk}/").content.decode())
        assert f"{value:.1f}<small>mm</small>" in text
        assert "MPJPE by part" in text and "Score, mm" in text
    assert "rank 2 of 2" in as_alice.get(f"/submissions/{worse.pk}/").content.decode()
    assert f"{fine:.1f} mm" in squeezed(as_alice.get("/submissions/").content.decode())
    assert f"{fine:.1f} mm" in squeezed(client.get("/").content.decode())
    assert f"{coarse:.1f} mm" in squeezed(client.get(f"/methods/{worse.method_id}/").content.decode())
    metric = squeezed(client.get("/metrics/mpjpe/").content.decode())
    assert "Lower is better" in metric and "<dd>mm</dd>" in metric
    assert "keypoints_3d" in client.get("/datasets/human36m/").content.decode()


def test_exports_and_the_api_say_the_unit(space: Benchmark, entered: Any, client: Client) -> None:
    entered("Coarse", 80.0), entered("Fine", 20.0)
    fine, coarse = (row.value for row in board(space).ranked)
    markdown = client.get("/human36m-test/board.md").content.decode()
    assert "MPJPE, mm" in markdown
    assert f"| 1 | Fine | {fine:.1f} |" in markdown and f"| 2 | Coarse | {coarse:.1f} |" in markdown
    assert f"1 & Fine & {fine:.1f}" in client.get("/human36m-test/board.tex").content.decode()
    rows = client.get("/human36m-test/board.csv").content.decode().splitlines()
    assert "mpjpe/mean_of_actions" in rows[0] and repr(fine) in rows[1]
    exported = client.get("/human36m-test/board.json").json()
    assert (exported["unit"], exported["higher_is_better"]) == ("mm", False)
    assert [entry["method"] for entry in exported["entries"]] == ["Fine", "Coarse"]
    response = client.get("/api/v1/boards/human36m-test").json()
    assert (response["unit"], response["higher_is_better"], response["part"]) == ("mm", False, "mean_of_actions")
    assert [entry["value"] for entry in response["entries"]] == [fine, coarse]
    details = client.get("/api/v1/benchmarks/human36m-test").json()
    assert {metric["name"]: metric["unit"] for metric in details["metrics"]} == {"mpjpe": "mm", "pa_mpjpe": "mm"}
    number = response["entries"][0]["submission_id"]
    assert client.get(f"/api/v1/submissions/{number}").json()["units"] == {"mpjpe": "mm", "pa_mpjpe": "mm"}


def test_a_fraction_of_more_than_one_is_not_stored(benchmark: Benchmark, send: Any) -> None:
    """What is no fraction is told from the dataset, never from what the scoring process says."""
    send()
    wrong = {"scores": [{"metric": "pck@0.2", "part": "all", "value": 45.2, "bounded": False}]}
    with pytest.raises(ScoringFailed, match="score_range"):
        submissions.record(claim(), wrong, seconds=0.1)


def test_reported_millimetres_are_shown_as_printed(
    space: Benchmark, entered: Any, client: Client, tmp_path: Any
) -> None:
    entered("Fine", 20.0)
    (fine,) = (row.value for row in board(space).ranked)
    file = tmp_path / "reported.yaml"
    record = {
        "benchmark": "human36m-test", "method": "Paper", "authors": "A. Author", "year": 2017, "paper": "P",
        "source": "table 1", "scores": {"mpjpe/mean_of_actions": 62.9},
    }  # fmt: skip
    file.write_text(json.dumps({"paper": record}))
    assert reported_results.load(file) == 1
    assert [(row.name, row.rank, row.value) for row in board(space).entries] == [
        ("Fine", 1, fine),
        ("Paper", None, 62.9),
    ]
    assert "62.9" in client.get("/human36m-test/").content.decode()


def test_a_baseline_of_keypoints_is_not_run_on_poses_in_space(space: Benchmark, alice: User) -> None:
    from leaderboard.operations import baseline_runs
    from leaderboard.operations.refusals import Refused

    Benchmark.objects.filter(pk=space.pk).update(has_images=True)
    space.refresh_from_db()
    with pytest.raises(Refused) as caught:
        baseline_runs.request_run(baseline="blazepose", benchmark=space, by=alice)
    assert caught.value.code == "not_keypoints"
