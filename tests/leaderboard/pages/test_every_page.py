"""What holds for all pages: they respond, obey the content policy, link to places that exist, and weigh little."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from leaderboard.models import Benchmark, Method, ReportedResult, Team
from tests.leaderboard.pages.conftest import squeezed
from tests.phrases import PHRASES, SHOWN

ANYONE = [
    "/", "/boards/", "/boards/?q=pose", "/lsp-test-pc/", "/lsp-test-pc/?at=2020-01-01", "/how-it-works/", "/status/",
    "/baselines/", "/baselines/cpm/", "/baselines/hrnet/", "/baselines/blazepose/",
    "/datasets/lsp/", "/datasets/coco/", "/datasets/mannequins/", "/datasets/coco_wholebody/", "/datasets/posetrack/",
    "/metrics/", "/metrics/pck@0.2/", "/metrics/map@0.5/",
    "/metrics/ap/", "/account/login/", "/account/signup/", "/account/password/reset/",
]  # fmt: skip
SIGNED_IN = [
    "/lsp-test-pc/submit/", "/submissions/", "/profile/", "/organise/", "/account/password/change/", "/account/email/",
    "/account/logout/",
]  # fmt: skip
ORGANISER = ["/organise/new/", "/organise/lsp-test-pc/"]


def check(page: str, address: str) -> None:
    assert not re.search(r"<[^>]+\sstyle=", page), f"{address}: a style attribute"
    assert "<style" not in page, f"{address}: an inline style sheet"
    assert not re.search(r"<[^>]+\son[a-z]+=", page), f"{address}: an event handler"
    for attributes, body in re.findall(r"<script([^>]*)>(.*?)</script>", page, re.DOTALL):
        assert not body.strip() or 'type="application/json"' in attributes, f"{address}: an inline script"
    assert page.count("<h1") == 1, f"{address}: headings"
    assert re.search(r"<title>\S.* · PoseBoard</title>", page), f"{address}: title"
    assert 'class="skip" href="#main"' in page, f"{address}: skip link"
    identifiers = re.findall(r'\sid="([^"]+)"', page)
    assert len(identifiers) == len(set(identifiers)), f"{address}: an id twice"
    shown = re.sub(r"\s+", " ", re.sub(r"<script.*?</script>|<svg.*?</svg>|<[^>]*>", " ", page, flags=re.DOTALL))
    for phrase, better in (PHRASES | SHOWN).items():
        found = re.search(phrase, unescape(shown), re.IGNORECASE)
        assert found is None, f"{address}: {found and found[0]!r}, write: {better}"
    most = 110_000 if "wholebody" in address else 60_000  # 133 joints have a line each
    assert len(page.encode()) < most, f"{address}: {len(page.encode())} bytes"


@pytest.fixture
def filled(scored: Any, team: Team, printed: ReportedResult, benchmark: Benchmark) -> None:
    for name, value in (("Alpha", 0.8), ("Beta", 0.7)):
        scored(value, low=value - 0.01, high=value + 0.01, to=Method.objects.create(team=team, name=name, year=2014))


@pytest.mark.parametrize("address", [*ANYONE, *SIGNED_IN, *ORGANISER])
def test_page_obeys_the_content_policy(address: str, filled: None, as_organiser: Client, client: Client) -> None:
    readers = [client] if address in ANYONE and address.startswith("/account") else [as_organiser]
    if address in ANYONE and not address.startswith("/account"):
        readers.append(client)
    for reader in readers:
        response = reader.get(address)
        assert response.status_code == 200, address
        assert "default-src 'none'" in response["Content-Security-Policy"]
        assert response["X-Content-Type-Options"] == "nosniff"
        check(response.content.decode(), address)


@pytest.mark.parametrize("address", ["/", "/lsp-test-pc/", "/boards/", "/datasets/lsp/", "/how-it-works/"])
def test_readers_get_no_cookie(address: str, filled: None, client: Client) -> None:
    assert not client.get(address).cookies


def test_every_link_of_a_page_leads_somewhere(filled: None, client: Client, as_organiser: Client) -> None:
    for reader, addresses in ((client, ANYONE), (as_organiser, [*SIGNED_IN, *ORGANISER])):
        links: set[str] = set()
        for address in addresses:
            page = reader.get(address).content.decode()
            links |= {
                link for link in re.findall(r'href="(/[^"#?]*)', page) if not link.startswith(settings.STATIC_URL)
            }
        for link in sorted(links):
            response = reader.get(link)
            assert response.status_code in (200, 302), f"{link}: {response.status_code}"


def test_what_is_not_there_says_so_in_the_site_s_look(client: Client, db: None) -> None:
    response = client.get("/no-such-board/")
    assert response.status_code == 404
    page = response.content.decode()
    assert "Page not found" in page and "matches the given query" not in page
    check(page, "404")
    unknown = client.get("/metrics/nonsense/").content.decode()
    assert "There is no metric nonsense" in unknown


def test_fault_is_said_without_a_database(client: Client, monkeypatch: pytest.MonkeyPatch, db: None) -> None:
    from leaderboard.views import site

    def broken(*_: object) -> dict[str, object]:
        raise RuntimeError("canary text")

    monkeypatch.setattr(site, "_queue", broken)
    client.raise_request_exception = False
    response = client.get("/status/")
    assert response.status_code == 500
    page = response.content.decode()
    assert "Server error" in page and "canary" not in page


def test_form_without_its_token_says_what_to_do(benchmark: Benchmark, alice: Any) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(alice)
    response = strict.post("/profile/", {"name": "x", "scopes": ["read"]})
    assert response.status_code == 403
    assert "reload the page" in response.content.decode()


def test_definitions_are_on_their_pages(client: Client, db: None) -> None:
    page = client.get("/datasets/lsp/").content.decode()
    for word in ("right_ankle", "head_top", "BMVC 2010", "42 numbers", "Research use", "PCK@0.2"):
        assert word in page, word
    card = client.get("/metrics/pck@0.2/").content.decode()
    assert "Yang and Ramanan" in card and "0.2 x torso" in card
    # PCK is not the same in a mirror; turned it is.
    assert re.search(r"Mirroring [^<]*</td><td class=.l.>no<", card)
    assert re.search(r"Rotating [^<]*</td><td class=.l.>yes<", card)
    # A score's name that two metrics have
    card = client.get("/metrics/ap/").content.decode()
    assert "Lin et al., ECCV 2014" in card and "Whole-body human pose estimation in the wild" in card
    cards = client.get("/metrics/").content.decode()
    assert "Whole-body human pose estimation in the wild" in cards and "DeepCut" in cards


def test_status_counts_the_queue(send: Any, client: Client) -> None:
    send(b"[1]")
    page = client.get("/status/").content.decode()
    assert "<dt>Waiting</dt><dd>1</dd>" in squeezed(page)
    assert "no-store" in client.get("/status/")["Cache-Control"]


def test_newest_results_are_on_the_front_page(filled: None, client: Client) -> None:
    page = client.get("/").content.decode()
    assert "Alpha" in page and "80.0" in page and "79.0–81.0" in page
    assert 'class="plot bodyfig"' in page


def test_front_page_of_an_empty_site_says_what_to_do(db: None, client: Client) -> None:
    page = client.get("/").content.decode()
    assert "No benchmarks yet" in page
    check(page, "/")


def test_finding_a_method_a_team_or_a_board(filled: None, client: Client) -> None:
    assert "Alpha" in client.get("/boards/?q=alph").content.decode()
    assert "Alpha" in client.get("/boards/?q=alice").content.decode()
    assert "No results" in client.get("/boards/?q=zzz").content.decode()


@pytest.mark.parametrize("words", ["convolutional", "wei", "wei 2nd", "resnet", "POSE machines table"])
def test_finding_a_reported_result(words: str, filled: None, printed: ReportedResult, client: Client) -> None:
    """By its name, its authors, its backbone, its paper and its source; the link shows its row."""
    ReportedResult.objects.update(backbone="ResNet-50, 2nd stage")
    page = client.get("/boards/", {"q": words}).content.decode()
    assert "1 reported" in squeezed(page) and "Convolutional Pose Machines" in page
    link = re.search(r'href="(/lsp-test-pc/\?q=[^"]+)"', page)
    assert link and "Convolutional Pose Machines" in client.get(unescape(link[1])).content.decode()


def test_finding_what_is_not_public_finds_nothing(printed: ReportedResult, client: Client) -> None:
    Benchmark.objects.update(is_public=False)
    assert "Convolutional" not in client.get("/boards/?q=convolutional").content.decode()


def test_finding_a_dataset_that_has_no_board(db: None, client: Client) -> None:
    page = client.get("/boards/?q=crowdpose").content.decode()
    assert 'href="/datasets/crowdpose/"' in page and "No results" not in page


def test_shipped_results_of_hrnet_are_found(db: None, client: Client) -> None:
    from leaderboard.operations import reported_results

    Benchmark.objects.create(slug="coco-val2017", dataset="coco", split="val2017", title="COCO")
    reported_results.load()
    page = squeezed(client.get("/boards/?q=hrnet").content.decode())
    count = sum("hrnet" in " ".join((r.method, r.authors, r.backbone, r.paper_title, r.source)).casefold()
                for r in ReportedResult.objects.all())  # fmt: skip
    assert count > 5 and f"{count} reported" in page
