"""Sending a file, following it, publishing it, withdrawing it."""

from __future__ import annotations

import gzip
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from evaluator import PredictionError
from leaderboard.models import Benchmark, Evaluation, Method, Submission, Team, User
from leaderboard.operations import quotas, submissions
from leaderboard.queue.leases import claim_next
from tests.leaderboard.api.conftest import API, Sender, score_next, with_token
from tests.leaderboard.conftest import predictions

pytestmark = pytest.mark.django_db


def stored_files() -> list[str]:
    """The names of the stored files; the benchmark's image list is one too, and does not count."""
    lists = set(Benchmark.objects.values_list("image_list_sha256", flat=True))
    return sorted({file.name for file in Path(settings.UPLOADS_DIR).rglob("*") if file.is_file()} - lists)


def test_accepted(as_alice: Client, post: Sender, benchmark: Benchmark) -> None:
    response = post(as_alice, name="poses.json")
    made = response.json()
    assert response.status_code == 202
    assert response["Location"] == f"{API}/submissions/{made['id']}"
    assert made["state"] == "queued"
    assert made["scores"] == []
    assert made["benchmark"] == benchmark.slug
    assert made["method"]["name"] == "Pictorial structures"
    assert made["team"]["name"] == "alice"
    assert made["source"] == "api"
    assert made["public"] is False
    assert made["file_name"] == "poses.json"
    assert made["size"] == len(predictions())
    assert made["error"] is None
    assert made["url"] == f"http://testserver/submissions/{made['id']}/"
    assert as_alice.get(response["Location"]).json() == made


def test_scored(as_alice: Client, post: Sender) -> None:
    made = post(as_alice).json()
    score_next(0.5)
    now = as_alice.get(f"{API}/submissions/{made['id']}").json()
    assert now["state"] == "scored"
    assert now["scores"] == [{"metric": "pck@0.2", "part": "all", "value": 0.5, "low": 0.4, "high": 0.6}]
    assert (now["images"], now["people"], now["entries"]) == (8, 8, 8)
    assert now["finished_at"] is not None


def test_rejected_word_for_word(as_alice: Client, post: Sender, benchmark: Benchmark) -> None:
    made = post(as_alice, content=b"[{]").json()
    claim = claim_next(Evaluation)
    assert claim is not None
    from evaluator import validate

    with pytest.raises(PredictionError) as caught:
        validate("lsp", b"[{]")
    assert submissions.reject(claim, caught.value)
    now = as_alice.get(f"{API}/submissions/{made['id']}").json()
    assert now["state"] == "rejected"
    assert now["error"]["code"] == caught.value.code
    assert now["error"]["message"] == str(caught.value)
    told = [(each["code"], each["entry"], each["message"]) for each in now["error"]["problems"]]
    assert told == [(problem.code, problem.entry, problem.message) for problem in caught.value.problems]
    assert as_alice.get(f"{API}/benchmarks/{benchmark.slug}/quota").json()["day_used"] == 0


def test_the_same_file_gives_the_earlier_submission(
    as_alice: Client, post: Sender, team: Team, benchmark: Benchmark
) -> None:
    first, again = post(as_alice), post(as_alice, name="another-name.json")
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json()["id"] == first.json()["id"]
    assert again["Location"] == first["Location"]
    assert quotas.usage(team, benchmark).day_used == 1


def test_idempotency_key(as_alice: Client, as_charlie: Client, post: Sender, team: Team, benchmark: Benchmark) -> None:
    key = {"Idempotency-Key": "run-17"}
    first = post(as_alice, headers=key).json()["id"]
    assert post(as_alice, headers=key).json()["id"] == first
    other = post(as_alice, miss=2, headers=key)
    assert other.status_code == 409
    assert other.json()["code"] == "idempotency_conflict"
    # somebody else's key is another one
    assert post(as_charlie, miss=2, headers=key).json()["id"] != first
    assert quotas.usage(team, benchmark).day_used == 1


@pytest.mark.parametrize("key", ["k" * 81, "ключ".encode().decode("latin-1"), "a\x7fb"])
def test_idempotency_key_out_of_form(as_alice: Client, post: Sender, key: str) -> None:
    response = post(as_alice, headers={"Idempotency-Key": key})
    assert response.status_code == 400
    assert response.json()["code"] == "idempotency_key"


def test_quota(as_alice: Client, post: Sender, benchmark: Benchmark) -> None:
    Benchmark.objects.update(daily_limit=2)
    assert [post(as_alice, miss=miss).status_code for miss in (0, 1)] == [202, 202]
    refused = post(as_alice, miss=2, method="A new one")
    assert refused.status_code == 429
    assert refused.json()["code"] == "quota_day"
    assert 0 < int(refused["Retry-After"]) <= 86_400
    # nothing is left of it
    assert Submission.objects.count() == 2
    assert not Method.objects.filter(name="A new one").exists()
    # a file that was accepted before still gives its submission
    assert post(as_alice, miss=1).status_code == 202


def test_running_limit_says_when_to_come_back(as_alice: Client, post: Sender) -> None:
    Benchmark.objects.update(running_limit=1)
    assert post(as_alice).status_code == 202
    refused = post(as_alice, miss=1)
    assert (refused.status_code, refused.json()["code"], refused["Retry-After"]) == (429, "quota_running", "5")
    score_next()
    assert post(as_alice, miss=1).status_code == 202


def test_quota_of_the_team_is_shared(as_alice: Client, as_bob: Client, post: Sender, team: Team) -> None:
    Benchmark.objects.update(daily_limit=1)
    assert post(as_alice).status_code == 202
    assert post(as_bob, miss=1, team=team.pk).status_code == 429
    assert post(as_bob, miss=1).status_code == 202


def test_closed(as_alice: Client, post: Sender) -> None:
    Benchmark.objects.update(closes_at=timezone.now() - timedelta(minutes=1))
    refused = post(as_alice)
    assert (refused.status_code, refused.json()["code"]) == (409, "closed")
    assert refused.json()["title"] == "Conflict"
    Benchmark.objects.update(closes_at=None, opens_at=timezone.now() + timedelta(minutes=1))
    assert post(as_alice).json()["code"] == "not_open"
    Benchmark.objects.update(opens_at=None, truth_sha256="")
    assert post(as_alice).json()["code"] == "no_annotations"


def test_too_large(as_alice: Client, post: Sender, settings: Any, team: Team, benchmark: Benchmark) -> None:
    settings.UPLOAD_LIMIT = 1 << 20
    exactly = b" " * (1 << 20)
    refused = post(as_alice, content=exactly + b" ")
    assert refused.status_code == 413
    assert refused.json()["code"] == "file_too_large"
    # so large that its length alone tells
    assert post(as_alice, content=exactly * 3).status_code == 413
    assert not stored_files()
    assert not Submission.objects.exists()
    assert not Method.objects.exists()
    assert quotas.usage(team, benchmark).day_used == 0
    assert post(as_alice, content=exactly).status_code == 202


def test_a_body_of_unknown_length(as_alice: Client) -> None:
    response = as_alice.post(f"{API}/submissions", {}, headers={"Transfer-Encoding": "chunked"})
    assert (response.status_code, response.json()["code"]) == (411, "length_required")


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"method": ""}, "method"),
        ({"method": "   "}, "method"),
        ({"method": "x" * 81}, "method"),
        ({"method": "a\0b"}, "method"),
        ({"method": "a\u202eb"}, "method"),
        ({"method": None}, "method"),
        ({"benchmark": None}, "benchmark"),
        ({"file": None}, "file"),
        ({"file": "not a file"}, "file"),
        ({"publish": "maybe"}, "publish"),
        ({"team": "x"}, "team"),
        ({"year": "1066"}, "year"),
        ({"parameters": "-1"}, "parameters"),
        ({"parameters": "9" * 40}, "parameters"),
        ({"gflops": "nan"}, "gflops"),
        ({"gflops": "inf"}, "gflops"),
        ({"approach": "sideways"}, "approach"),
        ({"description": "x" * 4001}, "description"),
        ({"description": "a\x1bb"}, "description"),
    ],
)
def test_fields_that_cannot_be_used(as_alice: Client, post: Sender, fields: dict[str, Any], wrong: str) -> None:
    response = post(as_alice, **fields)
    assert response.status_code == 422, response.content
    problem = response.json()
    assert problem["code"] == "invalid"
    assert [each["field"] for each in problem["errors"]] == [wrong]
    assert not Submission.objects.exists()
    assert not Method.objects.exists()


@pytest.mark.parametrize("benchmark_name", ["nothing", "a\0b", "../admin", "LSP-TEST-PC'--"])
def test_no_such_benchmark(as_alice: Client, post: Sender, benchmark_name: str) -> None:
    response = post(as_alice, benchmark=benchmark_name)
    assert response.status_code in {404, 422}
    assert not stored_files()


@pytest.mark.parametrize("url", ["http://example.org", "javascript:alert(1)", "data:text/html,x", "https://"])
def test_only_https_links(as_alice: Client, post: Sender, url: str) -> None:
    response = post(as_alice, paper_url=url)
    assert (response.status_code, response.json()["code"]) == (422, "method_invalid")
    assert not Method.objects.exists()


def test_method_fields(as_alice: Client, post: Sender) -> None:
    made = post(
        as_alice, authors="A. Author", year="2024", parameters="28500000", gflops="7.1", approach="top-down",
        paper_url="https://example.org/paper", description="Two lines\r\nof text", extra_data="",
    ).json()  # fmt: skip
    method = Method.objects.get(pk=made["method"]["id"])
    assert (method.authors, method.year, method.parameters, method.gflops) == ("A. Author", 2024, 28_500_000, 7.1)
    assert (method.approach, method.description) == ("top-down", "Two lines\nof text")
    # what is left out stays; what is given changes
    post(as_alice, miss=1, year="", authors="B. Author")
    method.refresh_from_db()
    assert (method.authors, method.year, method.parameters) == ("B. Author", None, 28_500_000)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\poses.json", "poses.json"),
        ("p\u202enosj.exe", "pnosj.exe"),
        ("x" * 400 + ".json", None),
        ("<script>alert(1)</script>.json", "script>.json"),
        ('a"b\r\nSet-Cookie: x=1.json', None),
        ("позы.json", "позы.json"),
    ],
)
def test_hostile_file_names(as_alice: Client, post: Sender, name: str, shown: str | None) -> None:
    response = post(as_alice, name=name)
    assert response.status_code == 202, response.content
    made = response.json()
    shown_name = made["file_name"]
    assert len(shown_name) <= 255
    assert "/" not in shown_name
    assert shown_name.isprintable()
    if shown is not None:
        assert shown_name == shown
    # stored under its digest and nothing else
    assert stored_files() == [made["sha256"]]
    sent = as_alice.get(f"{API}/submissions/{made['id']}/file")
    assert "\n" not in sent["Content-Disposition"]
    assert "Set-Cookie" not in sent.headers


def test_the_file_comes_back_as_it_was(as_alice: Client, as_bob: Client, as_charlie: Client, post: Sender) -> None:
    content = gzip.compress(predictions(miss=4))
    made = post(as_alice, content=content, name="p.json.gz").json()
    for client in (as_alice, as_bob):
        response = client.get(f"{API}/submissions/{made['id']}/file")
        assert b"".join(response.streaming_content) == content
        assert response["Content-Disposition"] == 'attachment; filename="p.json.gz"'
        assert response["Content-Type"] == "application/octet-stream"
        assert response["X-Content-Type-Options"] == "nosniff"
    assert as_charlie.get(f"{API}/submissions/{made['id']}/file").status_code == 404


def test_publish_and_withdraw(
    as_alice: Client, anonymous: Client, submission: Submission, benchmark: Benchmark
) -> None:
    path, board = f"{API}/submissions/{submission.pk}", f"{API}/boards/{benchmark.slug}"
    assert anonymous.get(board).json()["entries"] == []
    assert as_alice.post(f"{path}/publish").json()["public"] is True
    (entry,) = anonymous.get(board).json()["entries"]
    assert (entry["rank"], entry["name"], entry["value"], entry["submission_id"]) == (
        1, "Pictorial structures", 0.5, submission.pk,
    )  # fmt: skip
    # a second click changes nothing
    assert as_alice.post(f"{path}/publish").status_code == 200
    assert as_alice.post(f"{path}/withdraw").json()["public"] is False
    assert anonymous.get(board).json()["entries"] == []
    assert as_alice.post(f"{path}/withdraw").json()["code"] == "not_public"


def test_publish_before_it_is_scored(as_alice: Client, post: Sender) -> None:
    made = post(as_alice).json()
    refused = as_alice.post(f"{API}/submissions/{made['id']}/publish")
    assert (refused.status_code, refused.json()["code"]) == (409, "not_scored")


def test_publish_as_soon_as_it_is_scored(as_alice: Client, post: Sender) -> None:
    made = post(as_alice, publish="true").json()
    assert made["publish_when_scored"] is True
    assert made["public"] is False
    score_next()
    assert as_alice.get(f"{API}/submissions/{made['id']}").json()["public"] is True


def test_cancel(as_alice: Client, post: Sender, team: Team, benchmark: Benchmark) -> None:
    made = post(as_alice).json()
    cancelled = as_alice.post(f"{API}/submissions/{made['id']}/cancel")
    assert cancelled.status_code == 200
    assert cancelled.json()["state"] == "cancelled"
    assert cancelled.json()["error"]["code"] == "cancelled"
    assert quotas.usage(team, benchmark).day_used == 0
    assert as_alice.post(f"{API}/submissions/{made['id']}/cancel").json()["code"] == "ended"
    # and the file may be sent again
    assert post(as_alice).json()["id"] != made["id"]


def test_two_tokens_of_a_person_see_the_same(alice: User, post: Sender) -> None:
    made = post(with_token(alice)).json()["id"]
    assert with_token(alice, ("read",)).get(f"{API}/submissions/{made}").status_code == 200
