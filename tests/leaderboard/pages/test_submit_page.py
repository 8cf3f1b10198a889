"""Sending a file from the page, and the sample that is offered there."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from evaluator import dataset_names, load_dataset, validate
from leaderboard.models import Benchmark, Method, State, Submission, Team, User
from leaderboard.operations.teams import own_team
from leaderboard.views.samples import sample
from tests.leaderboard.conftest import predictions


def form(team: Team, content: bytes | None = None, **fields: Any) -> dict[str, Any]:
    file = SimpleUploadedFile("mine.json", predictions() if content is None else content, "application/json")
    return {"file": file, "team": team.pk, "method": "Mine", "visibility": "private", **fields}


def test_sending_a_file_leads_to_its_page(benchmark: Benchmark, team: Team, as_alice: Client, alice: User) -> None:
    response = as_alice.post("/lsp-test-pc/submit/", form(team, paper_url="https://example.org/p", extra_data="MPII"))
    sent = Submission.objects.get()
    assert response.status_code == 302 and response["Location"] == f"/submissions/{sent.pk}/"
    assert (sent.user, sent.team, sent.source, sent.file_name) == (alice, team, "web", "mine.json")
    assert not sent.publish_when_scored
    assert (sent.method.name, sent.method.paper_url, sent.method.extra_data) == (
        "Mine",
        "https://example.org/p",
        "MPII",
    )
    assert sent.evaluation.state == State.QUEUED


def test_the_decision_to_publish_is_stored(benchmark: Benchmark, team: Team, as_alice: Client) -> None:
    as_alice.post("/lsp-test-pc/submit/", form(team, visibility="publish"))
    assert Submission.objects.get().publish_when_scored


def test_earlier_method_keeps_what_was_said_of_it(
    benchmark: Benchmark, method: Method, team: Team, as_alice: Client
) -> None:
    Method.objects.filter(pk=method.pk).update(paper_url="https://example.org/old", approach="top-down")
    as_alice.post("/lsp-test-pc/submit/", form(team, method=f"  {method.name} ", approach="bottom-up"))
    method.refresh_from_db()
    assert Submission.objects.get().method == method
    assert (method.paper_url, method.approach) == ("https://example.org/old", "bottom-up")


def test_same_file_again_costs_nothing(benchmark: Benchmark, team: Team, as_alice: Client) -> None:
    as_alice.post("/lsp-test-pc/submit/", form(team))
    page = as_alice.post("/lsp-test-pc/submit/", form(team), follow=True).content.decode()
    assert "You already submitted this file" in page
    assert Submission.objects.count() == 1


def test_used_up_quota_is_explained_with_429(benchmark: Benchmark, team: Team, as_alice: Client) -> None:
    Benchmark.objects.update(daily_limit=1)
    as_alice.post("/lsp-test-pc/submit/", form(team))
    response = as_alice.post("/lsp-test-pc/submit/", form(team, content=predictions(miss=1)))
    assert response.status_code == 429
    assert int(response["Retry-After"]) > 0
    assert "Submit again after midnight UTC" in response.content.decode()
    assert "No submissions left today" in response.content.decode()


def test_closed_benchmark_is_explained_with_409(benchmark: Benchmark, team: Team, as_alice: Client) -> None:
    Benchmark.objects.update(closes_at="2020-01-01T00:00:00Z")
    response = as_alice.post("/lsp-test-pc/submit/", form(team))
    assert response.status_code == 409 and "closed at" in response.content.decode()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("paper_url", "javascript:alert(1)"), ("paper_url", "http://example.org"), ("method", ""),
        ("method", "a\u202eb"), ("visibility", "everyone"), ("approach", "nonsense"), ("team", "999999"),
    ],
)  # fmt: skip
def test_wrong_fields_are_named_and_nothing_is_stored(
    field: str, value: str, benchmark: Benchmark, team: Team, as_alice: Client
) -> None:
    response = as_alice.post("/lsp-test-pc/submit/", {**form(team), field: value})
    assert response.status_code == 400
    assert Submission.objects.count() == 0


def test_another_persons_team_cannot_be_chosen(benchmark: Benchmark, team: Team, as_charlie: Client) -> None:
    assert as_charlie.post("/lsp-test-pc/submit/", form(team)).status_code == 400
    assert Submission.objects.count() == 0


def test_too_large_a_file_is_rejected(benchmark: Benchmark, team: Team, as_alice: Client, settings: Any) -> None:
    settings.UPLOAD_LIMIT = 100
    response = as_alice.post("/lsp-test-pc/submit/", form(team))
    assert response.status_code == 400 and "larger than" in response.content.decode()


def test_page_shows_the_quota_and_the_shell(benchmark: Benchmark, team: Team, as_alice: Client) -> None:
    page = as_alice.get("/lsp-test-pc/submit/").content.decode()
    assert "0 of 5 used" in page and "uses 1 of 5 left" in page
    assert "poseboard submit lsp-test-pc" in page and "benchmark=lsp-test-pc" in page
    assert 'type="file" name="file"' in page


def test_without_a_benchmark_the_first_open_one_is_chosen(db: None, as_charlie: Client) -> None:
    assert "No benchmark is open for submissions yet" in as_charlie.get("/submit/").content.decode()


def test_a_selected_benchmark_is_an_address(benchmark: Benchmark, as_charlie: Client) -> None:
    assert as_charlie.get("/submit/")["Location"] == "/lsp-test-pc/submit/"
    assert as_charlie.get("/submit/?benchmark=nope").status_code == 404


def test_strangers_are_asked_to_sign_in(benchmark: Benchmark, client: Client) -> None:
    assert client.get("/lsp-test-pc/submit/")["Location"].startswith("/account/login/")


def test_sample_is_valid(benchmark: Benchmark, client: Client) -> None:
    response = client.get("/lsp-test-pc/sample.json")
    content = b"".join(response)  # type: ignore[call-overload]
    images = json.loads(client.get("/lsp-test-pc/images.json").content)
    checked = validate("lsp", content, images=images)
    assert (checked.entries, checked.images_covered, checked.images_total) == (8, 8, 8)


@pytest.mark.parametrize("name", dataset_names())
def test_sample_of_every_dataset_is_valid(name: str) -> None:
    """With boxes, without them, and with several people an image."""
    dataset = load_dataset(name)
    images: dict[str, Any] = {
        "dataset": name,
        "split": "test",
        "images": [
            {
                "id": 7,
                "file_name": "7.jpg",
                "width": 200,
                "height": 100,
                "people": [{"person_id": 0, "box": [5, 6, 50, 80]}],
            },
            {"id": 9, "file_name": "9.jpg", "people": [{"person_id": 3}, {"person_id": 4}]},
            {"id": 11, "file_name": "11.jpg"},
        ],
    }
    content = "".join(sample(dataset, images)).encode()
    checked = validate(name, content, images=images)
    assert checked.images_covered == 3


def test_own_team_is_made_at_first_use(benchmark: Benchmark, charlie: User, as_charlie: Client) -> None:
    as_charlie.get("/lsp-test-pc/submit/")
    assert own_team(charlie).members.get() == charlie
