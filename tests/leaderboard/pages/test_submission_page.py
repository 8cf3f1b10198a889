"""A submission's page in each state, its live part, and who may decide what."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from evaluator import PredictionError, Problem
from leaderboard.models import Benchmark, BoardEvent, Evaluation, State, Submission, User
from leaderboard.operations import submissions
from tests.leaderboard.conftest import claim
from tests.leaderboard.pages.conftest import report, squeezed


def page(client: Client, sent: Submission) -> str:
    response = client.get(f"/submissions/{sent.pk}/")
    assert response.status_code == 200
    return response.content.decode()


def test_queued_one_says_its_place_and_asks_again(send: Any, as_alice: Client) -> None:
    send(b"[1]")
    second = send(b"[2]")
    shown = page(as_alice, second)
    assert "2nd in line, 0 being scored" in shown
    assert f'hx-get="/submissions/{second.pk}/status?n=0" hx-trigger="load delay:2s"' in shown
    assert '<noscript><meta http-equiv="refresh" content="3"></noscript>' in shown


@pytest.mark.parametrize(("polls", "delay"), [(0, 2), (4, 2), (6, 4), (50, 10), (10**8, 10)])
def test_polling_backs_off(polls: int, delay: int, send: Any, as_alice: Client) -> None:
    sent = send(b"[1]")
    shown = as_alice.get(f"/submissions/{sent.pk}/status?n={polls}").content.decode()
    assert f"load delay:{delay}s" in shown
    assert "<html" not in shown


def test_polling_stops_at_the_end_and_says_so(scored: Any, as_alice: Client) -> None:
    sent = scored(0.7, low=0.65, high=0.75, published=False)
    shown = as_alice.get(f"/submissions/{sent.pk}/status?n=3").content.decode()
    assert "hx-trigger" not in shown
    assert 'hx-swap-oob="innerHTML:#said">Scored. The results are below.' in shown


def test_scored_one_shows_numbers_intervals_parts_and_body(scored: Any, as_alice: Client) -> None:
    shown = page(as_alice, scored(0.7, low=0.65, high=0.75, published=False))
    assert '<div class="big">70.0<small>%</small></div><div class="ci">95% interval 65.0 to 75.0</div>' in squeezed(
        shown
    )
    assert "Wrist is its weakest part, at 60.0" in shown
    assert len(re.findall('class="ring"', shown)) == 14
    assert "Rank, if published" in shown
    assert "htmx" not in shown


def test_rejected_one_lists_its_problems_for_its_team_only(send: Any, as_alice: Client, as_charlie: Client) -> None:
    sent = send(b"[1]")
    problem = Problem("wrong_count", 7, "/7/keypoints", "keypoints has <2> values", "42 numbers")
    submissions.reject(claim(), PredictionError([problem]))
    shown = page(as_alice, sent)
    assert "One problem, so this file was not scored" in squeezed(shown)
    assert "entry 7" in shown and "/7/keypoints" in shown
    assert "keypoints has &lt;2&gt; values" in shown and "Expected 42 numbers." in shown
    assert as_charlie.get(f"/submissions/{sent.pk}/").status_code == 404


def test_failure_of_ours_says_who_must_act(send: Any, as_alice: Client) -> None:
    sent = send(b"[1]")
    Evaluation.objects.update(attempts=2)
    submissions.fail(claim(), code="crashed", reference="abc")
    shown = page(as_alice, sent)
    assert "see the message" in shown and "Scoring failed on our side" in shown and "abc" in shown


def test_owner_publishes_and_withdraws(scored: Any, as_alice: Client, benchmark: Benchmark, client: Client) -> None:
    sent = scored(0.7, published=False)
    assert "Publish to the board" in page(as_alice, sent)
    assert client.get(f"/submissions/{sent.pk}/").status_code == 404
    as_alice.post(f"/submissions/{sent.pk}/publish")
    assert "Pictorial structures" in client.get("/lsp-test-pc/").content.decode()
    assert client.get(f"/submissions/{sent.pk}/").status_code == 200
    as_alice.post(f"/submissions/{sent.pk}/withdraw")
    assert "Pictorial structures" not in client.get("/lsp-test-pc/").content.decode()


def test_owner_cancels_what_waits(send: Any, as_alice: Client) -> None:
    sent = send(b"[1]")
    as_alice.post(f"/submissions/{sent.pk}/cancel")
    assert Submission.objects.get(pk=sent.pk).evaluation.state == State.CANCELLED
    shown = as_alice.post(f"/submissions/{sent.pk}/cancel", follow=True).content.decode()
    assert "has already ended" in shown


@pytest.mark.parametrize("action", ["publish", "withdraw", "cancel", "disqualify", "nonsense"])
def test_strangers_decide_nothing(action: str, scored: Any, as_charlie: Client) -> None:
    sent = scored(0.7)
    before = list(BoardEvent.objects.values())
    assert as_charlie.post(f"/submissions/{sent.pk}/{action}", {"note": "x"}).status_code == 404
    assert list(BoardEvent.objects.values()) == before


def test_deciding_needs_a_post(scored: Any, as_alice: Client) -> None:
    assert as_alice.get(f"/submissions/{scored(0.7).pk}/withdraw").status_code == 405


def test_public_page_keeps_file_name_and_digest_to_its_team(scored: Any, client: Client, as_alice: Client) -> None:
    sent = scored(0.7, file_name="secret-name.json")
    assert "secret-name" not in page(client, sent) and sent.sha256 not in page(client, sent)
    assert "secret-name" in page(as_alice, sent) and sent.sha256 in page(as_alice, sent)
    assert client.get(f"/submissions/{sent.pk}/report.json").json()["predictions_sha256"] is None


def test_organiser_disqualifies_with_a_reason(
    scored: Any, as_organiser: Client, as_alice: Client, organiser: User
) -> None:
    sent = scored(0.7)
    assert (
        "Enter a reason"
        in as_organiser.post(f"/submissions/{sent.pk}/disqualify", {"note": " "}, follow=True).content.decode()
    )
    as_organiser.post(f"/submissions/{sent.pk}/disqualify", {"note": "trained on the test images"})
    shown = page(as_alice, sent)
    assert "disqualified by the organiser" in shown and "trained on the test images" in shown
    assert "Publish to the board" not in shown


def test_report_is_what_the_command_prints(scored: Any, as_alice: Client) -> None:
    sent = scored(0.7, low=0.6, high=0.8)
    downloaded = as_alice.get(f"/submissions/{sent.pk}/report.json").json()
    assert downloaded["predictions_sha256"] == sent.sha256
    assert downloaded["scores"][0] == {"metric": "pck@0.2", "part": "all", "value": 0.7, "low": 0.6, "high": 0.8}
    assert len(downloaded["scores"]) == len(report()["scores"])


def test_my_submissions_are_those_of_my_teams(
    scored: Any, send: Any, as_alice: Client, as_charlie: Client, bob: User
) -> None:
    scored(0.7, low=0.6, high=0.8)
    mine = as_alice.get("/submissions/").content.decode()
    assert "Pictorial structures" in mine and "70.0" in mine and "on the board" in mine
    assert "No submissions yet" in as_charlie.get("/submissions/").content.decode()
    with_bob = Client()
    with_bob.force_login(bob)
    assert "Pictorial structures" in with_bob.get("/submissions/").content.decode()


def test_my_submissions_come_in_pages(send: Any, as_alice: Client, django_assert_max_num_queries: Any) -> None:
    Benchmark.objects.update(daily_limit=99, running_limit=99)
    for number in range(53):
        send(b"[%d]" % number)
    with django_assert_max_num_queries(15):
        first = as_alice.get("/submissions/").content.decode()
    assert first.count('class="state') == 50
    older = re.search(r'href="(\?before=\d+)"', first)
    assert older
    assert as_alice.get(f"/submissions/{older[1]}").content.decode().count('class="state') == 3
