"""A closed benchmark looks closed, on every page that speaks of it; one that is not open yet says when it opens."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from leaderboard.models import Benchmark, Phase, Submission, Team
from leaderboard.queue import clock
from tests.leaderboard.conftest import predictions
from tests.leaderboard.pages.conftest import squeezed

CLOSED = datetime.fromisoformat("2020-11-01T12:00:00Z")
OPENS = datetime.fromisoformat("2199-12-03T08:30:00Z")


def text(client: Client, address: str) -> str:
    return squeezed(client.get(address).content.decode())


def test_phase_follows_the_dates(benchmark: Benchmark) -> None:
    now, hour = clock.now(), timedelta(hours=1)
    assert benchmark.phase(now) == Phase.OPEN
    benchmark.opens_at, benchmark.closes_at = now, now + hour
    assert [benchmark.phase(now + step) for step in (-hour, timedelta(), hour / 2, hour)] == [
        "not_open", "open", "open", "closed",
    ]  # fmt: skip
    benchmark.truth_sha256 = ""
    assert [benchmark.phase(now + step) for step in (timedelta(), hour)] == ["no_annotations", "closed"]


@pytest.mark.parametrize("address", ["/lsp-test-pc/", "/lsp-test-pc/submit/", "/organise/lsp-test-pc/", "/submit/"])
def test_closed_is_said_with_its_moment(address: str, benchmark: Benchmark, as_organiser: Client) -> None:
    Benchmark.objects.update(closes_at=CLOSED)
    page = text(as_organiser, address)
    assert "Closed on" in page and "1 November 2020, 12:00 UTC" in page
    assert "Open until" not in page


@pytest.mark.parametrize("address", ["/", "/boards/", "/datasets/lsp/", "/organise/"])
def test_cards_and_lists_say_closed_and_invite_nobody(address: str, benchmark: Benchmark, as_organiser: Client) -> None:
    open_page = text(as_organiser, address)
    assert "Closed" not in open_page
    Benchmark.objects.update(closes_at=CLOSED)
    page = text(as_organiser, address)
    assert "Closed" in page and "1 Nov 2020" in page
    assert "Be the first" not in page and "No submissions yet" not in page
    Benchmark.objects.update(closes_at=None, opens_at=OPENS)
    assert "Opens" in (page := text(as_organiser, address)) and "3 Dec 2199" in page


def test_nothing_invites_to_a_closed_board(benchmark: Benchmark, client: Client, as_alice: Client, scored: Any) -> None:
    sent = scored()
    assert 'href="/lsp-test-pc/submit/' in text(as_alice, f"/submissions/{sent.pk}/")
    assert 'href="/lsp-test-pc/submit/"' in text(client, "/lsp-test-pc/")
    Benchmark.objects.update(closes_at=CLOSED)
    for reader in (client, as_alice):
        assert 'href="/lsp-test-pc/submit/"' not in text(reader, "/lsp-test-pc/")
    assert "Submit predictions" not in text(client, "/")
    assert 'href="/lsp-test-pc/submit/' not in text(as_alice, f"/submissions/{sent.pk}/")
    assert "No benchmark is open for submissions" in text(as_alice, "/submit/")


def test_cached_copy_of_a_board_ends_with_its_date(benchmark: Benchmark, client: Client, monkeypatch: Any) -> None:
    """Anonymous readers share a page by its tag; closing changes nothing in the database, and must change the tag."""
    now = timezone.now()
    Benchmark.objects.update(closes_at=now + timedelta(hours=1))
    before = client.get("/lsp-test-pc/")
    monkeypatch.setattr(clock, "now", lambda: now + timedelta(hours=2))
    after = client.get("/lsp-test-pc/", headers={"If-None-Match": before["ETag"]})
    assert after.status_code == 200 and "Closed on" in after.content.decode()


@pytest.mark.parametrize(("dates", "label"), [({"closes_at": CLOSED}, "Closed"), ({"opens_at": OPENS}, "Not open yet")])
def test_the_button_is_off(dates: dict[str, Any], label: str, benchmark: Benchmark, as_alice: Client) -> None:
    Benchmark.objects.update(**dates)
    page = text(as_alice, "/lsp-test-pc/submit/")
    button = page[page.index('id="send"') :].split("</button>")[0]
    assert " disabled" in button and button.endswith(f">{label}")


def test_first_open_benchmark_is_chosen_and_the_picker_says_which_are_closed(
    benchmark: Benchmark, as_alice: Client
) -> None:
    Benchmark.objects.update(closes_at=CLOSED)
    Benchmark.objects.create(
        slug="lsp-open", dataset="lsp", split="open", title="Open one", truth_sha256="1" * 64, position=200
    )
    assert as_alice.get("/submit/")["Location"] == "/lsp-open/submit/"
    assert "LSP (closed)" in text(as_alice, "/lsp-open/submit/")


def test_picker_shows_the_benchmark_of_its_page(benchmark: Benchmark, as_alice: Client) -> None:
    Benchmark.objects.create(slug="coco-val2017", dataset="coco", split="val2017", title="COCO", position=20)
    page = text(as_alice, "/coco-val2017/submit/")
    picked = page[page.index('<select name="benchmark"') :].split("</select>")[0]
    chosen = [option for option in picked.split("<option")[1:] if " selected" in option]
    assert len(chosen) == 1 and 'value="coco-val2017"' in chosen[0] and "COCO (no annotations yet)" in chosen[0]


REJECTIONS = {
    "closed": ({"closes_at": CLOSED}, {}, 409),
    "not open": ({"opens_at": OPENS}, {}, 409),
    "quota": ({"daily_limit": 0}, {}, 429),
    "invalid field": ({}, {"paper_url": "http://example.org"}, 400),
    "policy": ({"publishes_all": True}, {"visibility": "private"}, 409),
}


@pytest.mark.parametrize("why", REJECTIONS)
def test_rejected_form_keeps_its_fields(why: str, benchmark: Benchmark, team: Team, as_alice: Client) -> None:
    limits, changes, status = REJECTIONS[why]
    crew = Team.objects.create(name="The crew")
    crew.memberships.create(user=team.person)
    Benchmark.objects.update(**limits)
    fields = {
        "team": str(crew.pk), "method": "Mine, again", "visibility": "publish", "paper_url": "https://example.org/p",
        "code_url": "https://example.org/c", "approach": "top-down", "extra_data": "MPII", **changes,
    }  # fmt: skip

    def post(**headers: str) -> Any:
        file = SimpleUploadedFile("mine.json", predictions())
        return as_alice.post("/lsp-test-pc/submit/", {**fields, "file": file}, headers=headers)

    response = post()
    page = squeezed(response.content.decode())
    assert response.status_code == status
    for name in ("method", "paper_url", "code_url", "extra_data"):
        assert f'name="{name}" value="{fields[name]}"' in page.replace(' type="text"', ""), name
    assert f'<option value="{crew.pk}" selected>' in page and '<option value="top-down" selected>' in page
    if why != "policy":
        assert page[page.index('value="publish"') :].split(">")[0].endswith("checked")
    assert "choose mine.json again" in page
    assert "Today, The crew" in page
    # the page's script is told in JSON, and the browser keeps the file
    told = post(Accept="application/json")
    assert (told.status_code, told["Content-Type"]) == (status, "application/json")
    assert all(isinstance(each, str) and each for messages in told.json()["errors"].values() for each in messages)
    assert Submission.objects.count() == 0


def test_script_is_told_where_the_submission_is(benchmark: Benchmark, team: Team, as_alice: Client) -> None:
    fields = {"team": team.pk, "method": "Mine", "visibility": "private"}
    file = SimpleUploadedFile("mine.json", predictions())
    response = as_alice.post("/lsp-test-pc/submit/", {**fields, "file": file}, headers={"Accept": "application/json"})
    assert response.json() == {"url": f"/submissions/{Submission.objects.get().pk}/"}


@pytest.mark.parametrize(
    ("dates", "state"), [({}, "open"), ({"closes_at": CLOSED}, "closed"), ({"opens_at": OPENS}, "not_open")]
)
def test_api_says_the_state(dates: dict[str, Any], state: str, benchmark: Benchmark, client: Client) -> None:
    Benchmark.objects.update(**dates)
    assert client.get("/api/v1/benchmarks/lsp-test-pc").json()["state"] == state
    assert client.get("/api/v1/benchmarks").json()["items"][0]["state"] == state
