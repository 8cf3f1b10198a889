"""Boards, benchmarks and reported results as everyone reads them: contents, ETags, caching."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from leaderboard.models import Benchmark, BoardEvent, Method, ReportedResult, Submission, User
from leaderboard.operations import releases, submissions
from tests.leaderboard.api.conftest import API, Sender, score_next

BOARD = f"{API}/boards/lsp-test-pc"


@pytest.fixture
def three(as_alice: Client, post: Sender) -> list[int]:
    """Three published methods: B and C share the best value, A is behind."""
    ids = []
    for miss, (name, value) in enumerate([("A", 0.6), ("B", 0.7), ("C", 0.7)]):
        ids.append(post(as_alice, miss=miss, method=name, publish="true").json()["id"])
        score_next(value)
    return ids


@pytest.fixture
def reported(benchmark: Benchmark) -> ReportedResult:
    return ReportedResult.objects.create(
        benchmark=benchmark, key="paper", method="From a paper", authors="P. Author", year=2013, source="Table 2",
        scores=[{"metric": "pck@0.2", "part": "all", "value": 0.65}],
    )  # fmt: skip


def test_board(anonymous: Client, three: list[int], reported: ReportedResult) -> None:
    board = anonymous.get(BOARD).json()
    assert (board["benchmark"], board["metric"], board["part"]) == ("lsp-test-pc", "pck@0.2", "all")
    assert board["version"] == Benchmark.objects.get().version
    shown = [(e["name"], e["rank"], e["worst_rank"], e["tied"], e["kind"], e["value"]) for e in board["entries"]]
    assert shown == [
        # 0.7 and 0.6, each within 0.1: the intervals meet, so no order is claimed
        ("B", 1, 3, True, "submission", 0.7),
        ("C", 1, 3, True, "submission", 0.7),
        ("From a paper", None, None, False, "reported", 0.65),
        ("A", 1, 3, True, "submission", 0.6),
    ]
    best = board["entries"][0]
    assert (best["low"], best["high"]) == (pytest.approx(0.6), pytest.approx(0.8))
    assert best["submission_id"] == three[1]
    assert best["url"].endswith(f"/submissions/{three[1]}/")
    assert best["run"] is None
    paper = board["entries"][2]
    assert (paper["source"], paper["submission_id"], paper["url"]) == ("Table 2", None, None)


def test_other_metric_and_part(anonymous: Client, three: list[int]) -> None:
    board = anonymous.get(f"{BOARD}?metric=pck@0.2&part=wrist").json()
    assert (board["metric"], board["part"]) == ("pck@0.2", "wrist")
    # nobody has that number: nobody has a rank
    assert [entry["rank"] for entry in board["entries"]] == [None, None, None]
    assert anonymous.get(f"{BOARD}?metric=pcp_strict@0.5&part=forearm").json()["metric"] == "pcp_strict@0.5"


@pytest.mark.parametrize("query", ["metric=ap", "part=tail", "metric=%00", "metric=pck@0.2&part=forearm"])
def test_a_metric_that_is_not_there(anonymous: Client, benchmark: Benchmark, query: str) -> None:
    response = anonymous.get(f"{BOARD}?{query}")
    assert (response.status_code, response.json()["code"]) == (404, "metric_unknown")


def test_board_at_a_date(anonymous: Client, three: list[int], alice: User) -> None:
    then = timezone.now() - timedelta(days=30)
    BoardEvent.objects.filter(submission=three[0]).update(at=then)

    def names(at: str) -> list[str]:
        return [entry["name"] for entry in anonymous.get(BOARD, {"at": at}).json()["entries"]]

    assert names((then + timedelta(hours=1)).isoformat()) == ["A"]
    assert names((then + timedelta(days=1)).date().isoformat()) == ["A"]
    assert names((then - timedelta(hours=1)).isoformat()) == []
    assert names((timezone.now() + timedelta(hours=1)).isoformat()) == ["B", "C", "A"]
    submissions.withdraw(submission=Submission.objects.get(pk=three[0]), by=alice)
    assert names((then + timedelta(hours=1)).isoformat()) == ["A"]
    assert anonymous.get(f"{BOARD}?at=yesterday").status_code == 422


def test_etag_follows_the_version(anonymous: Client, three: list[int], alice: User) -> None:
    first = anonymous.get(BOARD)
    assert first["Cache-Control"] == "public, no-cache"
    unchanged = anonymous.get(BOARD, headers={"If-None-Match": first["ETag"]})
    assert unchanged.status_code == 304
    assert unchanged.content == b""
    assert unchanged["ETag"] == first["ETag"]
    assert unchanged["Cache-Control"] == "public, no-cache"
    # another query has another ETag
    assert anonymous.get(f"{BOARD}?part=wrist", headers={"If-None-Match": first["ETag"]}).status_code == 200
    submissions.withdraw(submission=Submission.objects.get(pk=three[0]), by=alice)
    changed = anonymous.get(BOARD, headers={"If-None-Match": first["ETag"]})
    assert changed.status_code == 200
    assert len(changed.json()["entries"]) == 2


def test_an_unchanged_board_costs_one_query(
    anonymous: Client, three: list[int], django_assert_num_queries: Any
) -> None:
    etag = anonymous.get(BOARD)["ETag"]
    with django_assert_num_queries(1):
        assert anonymous.get(BOARD, headers={"If-None-Match": etag}).status_code == 304


def test_a_board_costs_the_same_queries_for_more_rows(
    anonymous: Client, three: list[int], django_assert_max_num_queries: Any
) -> None:
    with django_assert_max_num_queries(5):
        anonymous.get(BOARD)


def test_nothing_private_is_cached(anonymous: Client, as_alice: Client, alice: User, three: list[int]) -> None:
    browser = Client()
    browser.force_login(alice)
    for path in (BOARD, f"{API}/benchmarks", f"{API}/benchmarks/lsp-test-pc/images"):
        assert anonymous.get(path)["Cache-Control"] == "public, no-cache"
        for client in (as_alice, browser):
            assert client.get(path)["Cache-Control"] == "private, no-store"
    assert anonymous.get(f"{API}/submissions/{three[0]}")["Cache-Control"] == "no-store"


def test_benchmarks(anonymous: Client, benchmark: Benchmark) -> None:
    (item,) = anonymous.get(f"{API}/benchmarks").json()["items"]
    assert {key: item[key] for key in ("slug", "dataset", "split", "hidden", "title", "primary")} == {
        "slug": "lsp-test-pc", "dataset": "lsp", "split": "test-pc", "hidden": True, "title": "LSP",
        "primary": "pck@0.2",
    }  # fmt: skip
    assert item["limits"] == {"day": 20, "total": 200, "running": 20, "rejects": 20}
    assert (item["images"], item["people"], item["accepts_submissions"]) == (8, 8, True)
    assert item["images_url"] == f"http://testserver{API}/benchmarks/lsp-test-pc/images"
    assert item["board_url"] == f"http://testserver{BOARD}"
    assert (item["opens_at"], item["closes_at"]) == (None, None)
    details = anonymous.get(f"{API}/benchmarks/lsp-test-pc").json()
    assert details | {key: item[key] for key in item} == details
    assert len(details["joints"]) == 14
    metrics = {metric["name"]: metric["parts"] for metric in details["metrics"]}
    assert "wrist" in metrics["pck@0.2"]
    assert "forearm" in metrics["pcp_strict@0.5"]


def test_images(anonymous: Client, benchmark: Benchmark) -> None:
    response = anonymous.get(f"{API}/benchmarks/lsp-test-pc/images")
    listing = json.loads(b"".join(response.streaming_content))
    assert response["Content-Type"] == "application/json"
    assert [image["id"] for image in listing["images"]] == list(range(1001, 1009))
    # the annotations themselves are nowhere in it
    assert "keypoints" not in json.dumps(listing)
    assert anonymous.get(
        f"{API}/benchmarks/lsp-test-pc/images", headers={"If-None-Match": response["ETag"]}
    ).status_code == 304  # fmt: skip


def test_no_images_yet(anonymous: Client, benchmark: Benchmark) -> None:
    Benchmark.objects.update(image_list_sha256="")
    assert anonymous.get(f"{API}/benchmarks/lsp-test-pc/images").status_code == 404


def test_quota(as_alice: Client, post: Sender) -> None:
    post(as_alice)
    quota = as_alice.get(f"{API}/benchmarks/lsp-test-pc/quota").json()
    assert (quota["team"], quota["day_used"], quota["day_limit"], quota["running"]) == ("alice", 1, 20, 1)
    assert quota["resets_at"].endswith("T00:00:00Z")


def test_reported(anonymous: Client, reported: ReportedResult) -> None:
    (item,) = anonymous.get(f"{API}/reported").json()["items"]
    assert (item["method"], item["source"], item["benchmark"]) == ("From a paper", "Table 2", "lsp-test-pc")
    assert item["scores"] == [{"metric": "pck@0.2", "part": "all", "value": 0.65}]
    assert anonymous.get(f"{API}/reported?benchmark=nothing").status_code == 404


def test_annotations_are_in_no_response(
    anonymous: Client, as_alice: Client, as_olu: Client, three: list[int], settings: Any
) -> None:
    """A coordinate that only the annotations hold is in nothing that the API says."""
    canary = "71.4242424"
    from tests.leaderboard.conftest import annotations_json

    truth = annotations_json()
    truth["annotations"][0]["keypoints"][0] = float(canary)
    releases.put_into_force(Benchmark.objects.get(), json.dumps(truth).encode())
    paths = ["/benchmarks", "/benchmarks/lsp-test-pc", "/benchmarks/lsp-test-pc/images", "/boards/lsp-test-pc",
             f"/submissions/{three[0]}", "/submissions", "/methods", "/baselines/runs", "/openapi.json"]  # fmt: skip
    for client in (anonymous, as_alice, as_olu):
        for path in paths:
            response = client.get(API + path)
            body = b"".join(response.streaming_content) if response.streaming else response.content
            assert canary not in body.decode()
            assert str(settings.ANNOTATIONS_DIR) not in body.decode()


def test_names_are_data(anonymous: Client, as_alice: Client, post: Sender) -> None:
    name = "<img src=x onerror=alert(1)>"
    post(as_alice, method=name, publish="true")
    score_next()
    response = anonymous.get(BOARD)
    assert response["Content-Type"].startswith("application/json")
    assert response.json()["entries"][0]["name"] == name
    assert Method.objects.get().name == name
