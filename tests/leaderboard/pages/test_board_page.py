"""A board's page: its state in the address, who may keep a copy, what it costs, and what it never lets through."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from django.utils.html import escape

from leaderboard.models import BaselineRun, Benchmark, BoardEvent, Method, ReportedResult, Team
from leaderboard.views.board_query import BoardQuery, parse
from tests.leaderboard.pages.conftest import squeezed


def text(client: Client, address: str, status: int = 200) -> str:
    response = client.get(address)
    assert response.status_code == status, response.status_code
    return response.content.decode()


def names(page: str) -> list[str]:
    """The methods of the table, top to bottom."""
    return re.findall(r'<(?:a|span) class="name"[^>]*>([^<]+)<', page)


@pytest.fixture
def rows(scored: Any, team: Team, printed: ReportedResult) -> dict[str, Method]:
    """Three submissions at 80, 70, 60 and one reported as 90.5."""
    made = {}
    for name, value, more in (
        ("Alpha", 0.8, {"approach": "top-down", "extra_data": "MPII", "parameters": 5_000_000, "year": 2014}),
        ("Beta", 0.7, {"approach": "bottom-up", "extra_data": "none", "parameters": 9_000_000, "year": 2015}),
        ("Gamma", 0.6, {"year": 2016}),
    ):
        made[name] = Method.objects.create(team=team, name=name, **more)
        scored(value, low=value - 0.01, high=value + 0.01, to=made[name])
    return made


def test_rows_are_ordered_and_reported_has_no_rank(rows: Any, benchmark: Benchmark, client: Client) -> None:
    page = text(client, "/lsp-test-pc/")
    assert names(page) == ["Convolutional Pose Machines", "Alpha", "Beta", "Gamma"]
    assert re.findall(r"<strong>(\d)</strong>", page) == ["1", "2", "3"]
    assert page.count('class="vh">not ranked<') == 1
    assert "Alpha leads by 10.0 points" in page
    assert "Convolutional Pose Machines reports 90.5" in page


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?hide=reported", ["Alpha", "Beta", "Gamma"]),
        ("?kinds=1&show=reported", ["Convolutional Pose Machines"]),
        ("?hide=submission&hide=baseline&hide=reported", []),
        ("?q=alp", ["Alpha"]),
        ("?q=wei", ["Convolutional Pose Machines"]),
        ("?approach=bottom-up", ["Beta"]),
        ("?extra=some", ["Alpha"]),
        ("?extra=none", ["Beta"]),
        ("?order=up&hide=reported", ["Gamma", "Beta", "Alpha"]),
        ("?sort=method", ["Alpha", "Beta", "Convolutional Pose Machines", "Gamma"]),
        ("?sort=parameters&hide=reported", ["Alpha", "Beta", "Gamma"]),
        ("?sort=parameters&order=up&hide=reported", ["Beta", "Alpha", "Gamma"]),
        ("?sort=pck@0.2/all&order=up", ["Gamma", "Beta", "Alpha", "Convolutional Pose Machines"]),
        ("?sort=nonsense&order=sideways&part=", ["Convolutional Pose Machines", "Alpha", "Beta", "Gamma"]),
    ],
)
def test_filters_and_sorting_are_in_the_address(
    query: str, expected: list[str], rows: Any, benchmark: Benchmark, client: Client
) -> None:
    assert names(text(client, f"/lsp-test-pc/{query}")) == expected


def test_sorted_column_says_so(rows: Any, benchmark: Benchmark, client: Client) -> None:
    page = text(client, "/lsp-test-pc/?sort=pck@0.2/wrist")
    assert 'aria-sort="descending"><a href="?sort=pck%400.2%2Fwrist&amp;order=up"' in squeezed(page)
    assert page.count("aria-sort") == 1


def test_metric_and_part_change_the_main_number(rows: Any, benchmark: Benchmark, client: Client) -> None:
    page = text(client, "/lsp-test-pc/?metric=pck_auc")
    assert 'aria-label="40.0, no interval"' in page
    assert "60.0, 95% interval 58.0 to 62.0" in text(client, "/lsp-test-pc/?part=wrist")
    assert "choose one of" in text(client, "/lsp-test-pc/?metric=nonsense", 404)
    assert "has no part" in text(client, "/lsp-test-pc/?part=nonsense", 404)


def test_equal_values_are_a_shape(scored: Any, team: Team, benchmark: Benchmark, client: Client) -> None:
    for name in ("One", "Two"):
        scored(0.7, to=Method.objects.create(team=team, name=name))
    page = text(client, "/lsp-test-pc/")
    assert page.count('class="tied"') == 2
    assert page.count("</span>1–2</span>") == 2
    assert "One and Two share the highest value" in page


@pytest.fixture
def run_here(scored: Any, team: Team, benchmark: Benchmark) -> list[BaselineRun]:
    """Two baselines: 12.25 images/s on a processor, 340 on a GPU."""
    made = []
    for name, value, cost, record in (
        (
            "Small",
            0.5,
            0.046,
            {"images_per_second": 12.25, "device": "cpu", "device_name": "Xeon, 2 threads", "batch": 16},
        ),
        ("Large", 0.6, 15.69, {"images_per_second": 340.0, "device": "cuda", "device_name": "A100", "batch": 64}),
    ):
        method = Method.objects.create(team=team, name=name, is_baseline=True, gflops=cost, parameters=410_285)
        sent = scored(value, to=method, source="baseline")
        made.append(
            BaselineRun.objects.create(
                baseline="hrnet", benchmark=benchmark, submission=sent, state="done",
                record={**record, "precision": "float32", "left_out": ["im1004.jpg: broken"]},
            )
        )  # fmt: skip
    return made


def test_a_baseline_s_speed_is_shown_with_its_device(
    rows: Any, run_here: list[BaselineRun], benchmark: Benchmark, client: Client
) -> None:
    page = squeezed(text(client, "/lsp-test-pc/"))
    assert '12.2<span class="by on" title="Xeon, 2 threads">cpu, batch 16</span>' in page
    assert '340.0<span class="by on" title="A100">cuda, batch 64</span>' in page
    assert "comparable on the same device only" in page
    assert page.count('class="by on"') == 2  # submissions and printed numbers have none
    assert ">0.046<" in page and ">15.7<" in page  # GFLOPs, two digits where one decimal would be none
    assert names(page)[3:] == ["Gamma", "Large", "Small"] or names(page)[3:] == ["Large", "Gamma", "Small"]
    fast_first = text(client, "/lsp-test-pc/?sort=speed&hide=submission&hide=reported")
    assert names(fast_first) == ["Large", "Small"] and 'aria-sort="descending"' in fast_first
    assert names(text(client, "/lsp-test-pc/?sort=speed&order=up"))[:2] == ["Small", "Large"]


def test_a_board_without_runs_has_no_column_of_speeds(rows: Any, benchmark: Benchmark, client: Client) -> None:
    page = text(client, "/lsp-test-pc/")
    assert "Images/s" not in page and "sort=speed" not in page


def test_exports_carry_the_speed_with_its_device(
    rows: Any, run_here: list[BaselineRun], benchmark: Benchmark, client: Client
) -> None:
    table = {row["method"]: row for row in csv.DictReader(io.StringIO(text(client, "/lsp-test-pc/board.csv")))}
    small = table["Small"]
    said = [small[key] for key in ("images_per_second", "device", "device_name", "batch", "precision")]
    assert said == ["12.25", "cpu", "Xeon, 2 threads", "16", "float32"]
    assert (table["Alpha"]["images_per_second"], table["Alpha"]["device"]) == ("", "")
    entries = {entry["method"]: entry for entry in json.loads(text(client, "/lsp-test-pc/board.json"))["entries"]}
    assert entries["Large"]["run"] == {
        "images_per_second": 340.0, "device": "cuda", "device_name": "A100", "batch": 64, "precision": "float32",
    }  # fmt: skip
    assert entries["Alpha"]["run"] is None
    shown = {entry["name"]: entry for entry in client.get("/api/v1/boards/lsp-test-pc").json()["entries"]}
    assert shown["Large"]["run"] == entries["Large"]["run"] and shown["Alpha"]["run"] is None


def test_board_as_it_was(rows: dict[str, Method], benchmark: Benchmark, client: Client) -> None:
    BoardEvent.objects.filter(method=rows["Alpha"]).update(at=timezone.now() - timedelta(days=30))
    then = (timezone.now() - timedelta(days=10)).date().isoformat()
    page = text(client, f"/lsp-test-pc/?at={then}")
    assert names(page) == ["Convolutional Pose Machines", "Alpha"]
    assert "The board on" in page
    assert "The board on <time" not in text(client, "/lsp-test-pc/?at=2026-99-99")


def test_badges_say_what_is_public(benchmark: Benchmark, client: Client) -> None:
    Benchmark.objects.update(public_elsewhere=True, boxes_given=True)
    page = text(client, "/lsp-test-pc/")
    assert "annotations public elsewhere" in page and "boxes given" in page


def test_empty_boards_say_what_to_do_next(benchmark: Benchmark, client: Client, scored: Any) -> None:
    assert "No submissions yet" in text(client, "/lsp-test-pc/")
    assert "/lsp-test-pc/submit/" in text(client, "/lsp-test-pc/")
    Benchmark.objects.create(slug="empty", dataset="flic", split="test", title="Empty")
    assert "Submissions open once the organiser has imported" in text(client, "/empty/")
    scored(0.5)
    assert "No row matches these filters" in text(client, "/lsp-test-pc/?q=nothing+like+it")


def test_printed_numbers_alone_are_not_a_lead(printed: ReportedResult, client: Client) -> None:
    page = text(client, "/lsp-test-pc/")
    assert "No measured results yet" in page
    assert "leads" not in page


def test_running_baseline_is_a_row_without_a_number(benchmark: Benchmark, client: Client) -> None:
    BaselineRun.objects.create(
        baseline="stacked_hourglass", benchmark=benchmark, images_done=3, images_total=8,
        state="running", lease_expires_at=timezone.now() + timedelta(minutes=1),
    )  # fmt: skip
    page = text(client, "/lsp-test-pc/")
    assert "Stacked Hourglass" in page and "3 of 8 images" in page


# --- caching ---------------------------------------------------------------------------------------------------------


def test_anonymous_copy_is_public_until_the_version_changes(scored: Any, benchmark: Benchmark, client: Client) -> None:
    scored(0.7)
    first = client.get("/lsp-test-pc/")
    assert "public" in first["Cache-Control"] and "no-store" not in first["Cache-Control"]
    assert "Cookie" in first["Vary"]
    assert not first.cookies
    assert client.get("/lsp-test-pc/", headers={"If-None-Match": first["ETag"]}).status_code == 304
    assert client.get("/lsp-test-pc/?q=x", headers={"If-None-Match": first["ETag"]}).status_code == 200
    Benchmark.objects.update(version=benchmark.version + 10)
    again = client.get("/lsp-test-pc/", headers={"If-None-Match": first["ETag"]})
    assert again.status_code == 200 and again["ETag"] != first["ETag"]


def test_second_reader_gets_the_cached_page(
    scored: Any, benchmark: Benchmark, client: Client, django_assert_max_num_queries: Any
) -> None:
    scored(0.7)
    first = client.get("/lsp-test-pc/").content
    with django_assert_max_num_queries(2):
        assert client.get("/lsp-test-pc/").content == first


def test_signed_in_page_is_cached_by_nobody(scored: Any, as_alice: Client) -> None:
    scored(0.7)
    for address in ("/lsp-test-pc/", "/", "/boards/", "/datasets/lsp/", "/submissions/", "/profile/"):
        response = as_alice.get(address)
        assert response.status_code == 200, address
        assert "no-store" in response["Cache-Control"] and "private" in response["Cache-Control"], address


def test_progress_of_a_run_is_a_new_page(benchmark: Benchmark, client: Client) -> None:
    first = client.get("/lsp-test-pc/")
    BaselineRun.objects.create(baseline="blazepose", benchmark=benchmark, images_total=8)
    assert client.get("/lsp-test-pc/")["ETag"] != first["ETag"]


# --- cost ------------------------------------------------------------------------------------------------------------


def many(scored: Any, team: Team, count: int) -> None:
    for number in range(count):
        scored(0.3 + number / 1000, low=0.2, high=0.9, to=Method.objects.create(team=team, name=f"M{number}"))


def test_queries_do_not_grow_with_the_rows(
    scored: Any, team: Team, benchmark: Benchmark, as_charlie: Client, django_assert_max_num_queries: Any
) -> None:
    Benchmark.objects.update(daily_limit=50)
    many(scored, team, 3)
    with django_assert_max_num_queries(14) as few:
        as_charlie.get("/lsp-test-pc/")
    many_methods = [Method.objects.create(team=team, name=f"N{number}") for number in range(12)]
    for method in many_methods:
        scored(0.5, to=method)
    with django_assert_max_num_queries(14) as more:
        as_charlie.get("/lsp-test-pc/")
    assert len(more) == len(few)


def test_hundred_rows_stay_light_and_more_are_a_link_away(benchmark: Benchmark, client: Client) -> None:
    ReportedResult.objects.bulk_create(
        ReportedResult(
            benchmark=benchmark, key=str(number), method=f"A method with a long name, number {number}",
            authors="Somebody et al.", year=2000 + number % 20, source="a table", paper_url="https://example.org/paper",
            scores=[
                {"metric": "pck@0.2", "part": part, "value": 0.5 + number / 1000}
                for part in ("all", "head", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
            ],
        )
        for number in range(130)
    )  # fmt: skip
    response = client.get("/lsp-test-pc/", headers={"Accept-Encoding": "gzip"})
    assert response["Content-Encoding"] == "gzip"
    assert len(response.content) < 60_000
    page = gzip.decompress(response.content).decode()
    assert len(names(page)) == 100
    assert "Show 30 more" in page
    assert len(names(text(client, "/lsp-test-pc/?all=1"))) == 130


# --- safety ----------------------------------------------------------------------------------------------------------

PAYLOAD = '"><script>alert(1)</script><img src=x onerror=alert(1)>'


def test_names_are_text_wherever_they_appear(
    scored: Any, method: Method, team: Team, benchmark: Benchmark, client: Client, as_alice: Client
) -> None:
    Method.objects.filter(pk=method.pk).update(
        name=PAYLOAD[:80], authors=PAYLOAD, extra_data=PAYLOAD, backbone=PAYLOAD, description=PAYLOAD, year=2014,
        paper_title=PAYLOAD, parameters=5_000_000,
    )  # fmt: skip
    Team.objects.filter(pk=team.pk).update(name=PAYLOAD)
    Benchmark.objects.update(title=PAYLOAD, summary=PAYLOAD)
    sent = scored(0.7, low=0.6, high=0.8)
    addresses = [
        "/", "/boards/", f"/boards/?q={PAYLOAD}", "/lsp-test-pc/", f"/lsp-test-pc/?q={PAYLOAD}",
        f"/methods/{method.pk}/", f"/teams/{team.pk}/", f"/submissions/{sent.pk}/", "/submissions/",
        "/lsp-test-pc/submit/",
        f"/methods/{method.pk}/edit", "/baselines/",
    ]  # fmt: skip
    for address in addresses:
        for reader in (client, as_alice):
            page = reader.get(address).content.decode()
            assert "<script>alert" not in page, address
            assert "<img" not in page, address
    assert escape(PAYLOAD[:80]) in client.get("/lsp-test-pc/").content.decode()


def test_only_https_becomes_a_link(scored: Any, method: Method, benchmark: Benchmark, client: Client) -> None:
    Method.objects.filter(pk=method.pk).update(paper_url="javascript:alert(1)", code_url="http://plain.example")
    ReportedResult.objects.create(
        benchmark=benchmark, key="x", method="X", paper_url="data:text/html,x", source="s",
        scores=[{"metric": "pck@0.2", "part": "all", "value": 0.5}],
    )  # fmt: skip
    sent = scored(0.7)
    for address in ("/lsp-test-pc/", f"/methods/{method.pk}/", f"/submissions/{sent.pk}/"):
        page = client.get(address).content.decode()
        assert not re.search(r'href="(javascript|data|http):', page), address


def test_private_board_is_not_there_for_strangers(
    benchmark: Benchmark, client: Client, as_charlie: Client, as_organiser: Client
) -> None:
    Benchmark.objects.update(is_public=False)
    for address in ("/lsp-test-pc/", "/lsp-test-pc/board.csv", "/lsp-test-pc/images.json", "/lsp-test-pc/sample.json"):
        assert client.get(address).status_code == 404
        assert as_charlie.get(address).status_code == 404
        assert as_organiser.get(address).status_code == 200
    assert "lsp-test-pc" not in client.get("/").content.decode()


def test_query_reads_and_writes_the_same_address() -> None:
    query = BoardQuery(metric="pck_auc", search="a b", hidden=frozenset({"reported"}), at="2026-05-01", reverse=True)
    pairs: dict[str, Any] = {}
    for key, value in query.parameters():
        pairs.setdefault(key, []).append(value)
    assert parse({key: values[0] for key, values in pairs.items()}) == query
    assert query.link(search="").count("q=") == 0
    assert parse({"at": "not a date", "q": "\x00x"}) == BoardQuery(search="x")
