"""What the pages and the API say of rows that were scored on earlier annotations."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.test import Client

from leaderboard.models import BaselineRun, Benchmark, Method, ReportedResult, State, Submission, Team
from leaderboard.operations import releases
from tests.leaderboard.conftest import annotations_json
from tests.leaderboard.pages.conftest import squeezed

pytestmark = pytest.mark.django_db
WHY = "Scored on earlier annotations"


def replace_annotations(benchmark: Benchmark, images: int) -> None:
    releases.put_into_force(benchmark, json.dumps(annotations_json(images=images)).encode())


@pytest.fixture
def mixed(scored: Any, team: Team, benchmark: Benchmark) -> dict[str, Submission]:
    """The two best numbers are of earlier annotations, one of them a baseline's."""
    found = {
        "Earlier": scored(0.93, low=0.92, high=0.94, to=Method.objects.create(team=team, name="Earlier")),
        "Model": scored(0.91, low=0.9, high=0.92, to=Method.objects.create(team=team, name="Model"), source="baseline"),
    }
    replace_annotations(benchmark, 3)
    for name, value in (("First", 0.62), ("Second", 0.51)):
        method = Method.objects.create(team=team, name=name)
        found[name] = scored(value, low=value - 0.01, high=value + 0.01, to=method)
    return found


def page(address: str, client: Client | None = None) -> str:
    return squeezed((client or Client()).get(address).content.decode())


def test_the_board_lists_them_last_without_rank_and_scale(mixed: Any) -> None:
    text = page("/lsp-test-pc/")
    summary = re.search(r'<p class="conclusion">(.*?)</p>', text)
    assert summary is not None and "<strong>First leads" in summary[1]
    assert summary[1].endswith("2 rows were scored on earlier annotations and are not ranked.")
    rows = re.findall(r'<tr role="row"( class="[^"]*")?>(.*?)</tr>', text)[1:]
    names = [name[1] for _, row in rows if (name := re.search(r'class="name"[^>]*>([^<]*)', row))]
    assert names == ["First", "Second", "Earlier", "Model"]
    line = next(row for kind, row in rows if "groupline" in kind)
    assert f"{WHY}: 2 rows." in line and text.count(f"{WHY}: 2 rows.") == 1
    for kind, row in rows:
        if 'class="stale"' not in kind:
            continue
        assert "not ranked: scored on earlier annotations" in row and "<b>" not in row
        # neither on the scale of the others nor with bars that invite to compare
        assert "<svg" not in row.split('class="c-gr"')[1].split("</td>")[0] and 'class="partv"' in row
        assert all("<svg" not in cell for cell in re.findall(r'class="partv">(.*?)</td>', row))
    charts = text.split('<h2 class="vh">Charts</h2>')[1]
    assert "First" in charts and "Earlier" not in charts and "Model" not in charts


@pytest.mark.parametrize("view", ["?sort=pck@0.2/elbow", "?sort=method&order=up", "?order=up", "?q=e&all=1"])
def test_no_sorting_puts_them_among_the_others(mixed: Any, view: str) -> None:
    text = page(f"/lsp-test-pc/{view}")
    assert text.count(f"{WHY}: ") == 1 and text.index(f"{WHY}: ") > text.index(">Second<")


def test_a_board_of_nothing_else_says_that_no_row_is_ranked(mixed: Any, benchmark: Benchmark) -> None:
    replace_annotations(benchmark, 5)
    text = page("/lsp-test-pc/")
    assert "<strong>No row is ranked.</strong>All 4 measured rows were scored on earlier annotations." in text
    assert "Nothing has been measured" not in text and "Nobody has submitted" not in text
    for address in ("/", "/boards/", "/datasets/lsp/"):
        card = page(address)
        assert "All rows were scored on earlier annotations." in card
        assert "Nobody has submitted" not in card and "Be the first" not in card
    front = page("/")
    assert "All published results were scored on earlier annotations." in front and "Nothing has been" not in front


def test_reported_numbers_beside_stale_ones_are_the_only_ones_on_the_scale(
    mixed: Any, printed: ReportedResult, benchmark: Benchmark
) -> None:
    replace_annotations(benchmark, 5)
    text = page("/lsp-test-pc/")
    assert "Reported in papers: 1 result" in text and text.index("Reported in papers") < text.index(f"{WHY}: 4 rows")
    assert "reports 90.5" not in text


def test_the_front_page_leads_with_what_is_ranked(mixed: Any) -> None:
    text = page("/")
    assert "First" in text and "Second" in text and "Earlier" not in text and "Model" not in text
    assert "62.0" in text and "93.0" not in text


def test_a_submissions_page_says_why_it_has_no_rank(mixed: dict[str, Submission], as_alice: Client) -> None:
    text = page(f"/submissions/{mixed['Earlier'].pk}/", as_alice)
    assert f"{WHY} (" in text and "The organiser has since replaced them" in text
    assert "<dt>Rank" not in text and "93.0" in text
    current = page(f"/submissions/{mixed['Second'].pk}/", as_alice)
    assert WHY not in current and re.search(r"<dt>Rank</dt><dd><div class=\"big\">2<small>of 2</small>", current)


def test_an_unpublished_submission_is_compared_with_ranked_rows_only(
    mixed: Any, scored: Any, as_alice: Client, team: Team
) -> None:
    sent = scored(0.7, published=False, to=Method.objects.create(team=team, name="Unpublished"))
    text = page(f"/submissions/{sent.pk}/", as_alice)
    assert re.search(r"<dt>Rank, if published</dt><dd><div class=\"big\">1<small>of 3</small>", text)


def test_the_methods_and_the_baselines_pages_say_so(mixed: dict[str, Submission], benchmark: Benchmark) -> None:
    BaselineRun.objects.create(
        baseline="hrnet", variant="narrow", benchmark=benchmark, submission=mixed["Model"], state=State.DONE,
        record={"title": "Model", "images_per_second": 3},
    )  # fmt: skip
    assert "scored on earlier annotations" in page(f"/methods/{mixed['Earlier'].method_id}/")
    assert "scored on earlier annotations" not in page(f"/methods/{mixed['First'].method_id}/")
    assert "scored on earlier annotations" in page("/baselines/")
    results = page("/baselines/hrnet/").split("Runs")[0]
    assert "91.0" not in results


def test_the_api_marks_them(mixed: Any, benchmark: Benchmark) -> None:
    listed = Client().get("/api/v1/boards/lsp-test-pc").json()
    benchmark.refresh_from_db()
    assert listed["truth_sha256"] == benchmark.truth_sha256
    assert [(each["name"], each["rank"], each["stale"]) for each in listed["entries"]] == [
        ("First", 1, False), ("Second", 2, False), ("Earlier", None, True), ("Model", None, True),
    ]  # fmt: skip


def test_the_page_of_a_cached_board_changes_with_the_annotations(mixed: Any, benchmark: Benchmark) -> None:
    client = Client()
    first = client.get("/lsp-test-pc/")
    replace_annotations(benchmark, 6)
    again = client.get("/lsp-test-pc/", headers={"If-None-Match": first["ETag"]})
    assert again.status_code == 200 and "No row is ranked" in again.content.decode()


def test_the_organisers_page_says_which_file_is_in_force(
    benchmark: Benchmark, as_organiser: Client, organiser: Any, settings: Any
) -> None:
    from types import SimpleNamespace

    from leaderboard import tasks
    from leaderboard.operations import annotation_imports

    content = json.dumps(annotations_json(images=4)).encode()
    upload = SimpleNamespace(name="mine.json", chunks=lambda: [content])
    annotation_imports.request(benchmark=benchmark, uploaded_file=upload, by=organiser)
    tasks.check_annotations()
    assert ">In force<" in page("/organise/lsp-test-pc/", as_organiser)
    replace_annotations(benchmark, 5)  # from the shell
    text = page("/organise/lsp-test-pc/", as_organiser)
    assert ">In force<" not in text and ">Replaced<" in text
