"""Every page in Chromium: no accessibility violation, no sideways scroll, no policy error; and the parts that move."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from leaderboard.models import (
    BaselineRun,
    Benchmark,
    Evaluation,
    State,
    Submission,
    User,
)
from leaderboard.operations import submissions
from tests.leaderboard.conftest import claim
from tests.leaderboard.pages.browser_site import RULES
from tests.leaderboard.pages.conftest import report

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("pages_browser")]


def addresses(of: str) -> list[str]:
    states = {each.state: each.submission_id for each in Evaluation.objects.order_by("-pk")}
    private = Submission.objects.get(method__name="Unpublished").pk
    alpha = Submission.objects.get(method__name="Alpha")
    return {
        "anyone": [
            "/", "/boards/", "/boards/?q=alpha", "/boards/?q=pose", "/lsp-test-pc/",
            "/lsp-test-pc/?metric=pck_auc&sort=method",
            "/lsp-test-pc/?at=2020-01-01", "/lsp-test-pc/?q=nothing", f"/submissions/{alpha.pk}/",
            f"/methods/{alpha.method_id}/", f"/teams/{alpha.team_id}/", "/how-it-works/", "/status/", "/baselines/",
            "/baselines/cpm/", "/baselines/hrnet/", "/datasets/lsp/", "/datasets/coco/", "/metrics/",
            "/metrics/pck@0.2/", "/account/login/", "/account/signup/", "/account/password/reset/",
        ],
        "alice": [
            "/lsp-test-pc/", "/lsp-test-pc/submit/", "/submissions/", f"/submissions/{private}/",
            f"/submissions/{states[State.QUEUED]}/", f"/submissions/{states[State.REJECTED]}/", "/profile/",
            f"/methods/{alpha.method_id}/edit", "/account/password/change/", "/account/email/", "/account/logout/",
        ],
        "organiser": ["/organise/", "/organise/new/", "/organise/lsp-test-pc/", f"/submissions/{alpha.pk}/"],
    }[of]  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("who", ["anyone", "alice", "organiser"])
def test_no_page_has_an_accessibility_violation(
    who: str, scheme: str, open_page: Any, site: Any, request: pytest.FixtureRequest
) -> None:
    page = open_page(None if who == "anyone" else request.getfixturevalue(who), color_scheme=scheme)
    axe = Axe()
    found = []
    for address in addresses(who):
        page.goto(site.url + address)
        results = axe.run(page, options={"runOnly": RULES})
        for violation in results.response["violations"]:
            nodes = [node["html"][:160] for node in violation["nodes"][:3]]
            found.append(f"{address}: {violation['id']}: {violation['help']}: {nodes}")
    assert found == [], "\n".join(found)


@pytest.mark.parametrize("width", [320, 390, 1024])
@pytest.mark.parametrize("who", ["anyone", "alice", "organiser"])
def test_no_page_scrolls_sideways(
    who: str, width: int, open_page: Any, site: Any, request: pytest.FixtureRequest
) -> None:
    page = open_page(
        None if who == "anyone" else request.getfixturevalue(who), viewport={"width": width, "height": 800}
    )
    wide = []
    for address in addresses(who):
        page.goto(site.url + address)
        over = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        if over > 0:
            wide.append(f"{address}: {over} px")
    assert wide == []


@pytest.mark.parametrize("address", ["/", "/lsp-test-pc/", "/lsp-test-pc/submit/", "queued"])
def test_page_transfers_less_than_150_kb(address: str, open_page: Any, site: Any, alice: User) -> None:
    page = open_page(alice)
    if address == "queued":
        address = f"/submissions/{Evaluation.objects.get(state=State.QUEUED).submission_id}/"
    responses: list[Any] = []
    page.on("response", lambda response: responses.append(response))
    page.goto(site.url + address, wait_until="load")
    sizes = {response.url: len(response.body()) for response in responses if response.status == 200}
    assert any(url.endswith("site.css") for url in sizes)
    assert sum(sizes.values()) < 150_000, sizes


def test_why_models_cannot_run_fits_a_phone(open_page: Any, site: Any, organiser: User) -> None:
    page = open_page(organiser, viewport={"width": 320, "height": 800})
    page.goto(f"{site.url}/organise/lsp-test-pc/")
    page.get_by_text("cannot run on this benchmark").click()
    page.get_by_text("It was not trained for neck, head_top").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    assert Axe().run(page, options={"runOnly": RULES}).response["violations"] == []


def test_a_speed_is_on_the_board_and_leaves_a_phone_alone(open_page: Any, site: Any) -> None:
    speed = "td:has(> .by.on)"
    page = open_page()
    page.goto(f"{site.url}/lsp-test-pc/")
    assert " ".join(page.locator(speed).inner_text().split()) == "9.5 cpu, batch 16"
    phone = open_page(viewport={"width": 390, "height": 800})
    phone.goto(f"{site.url}/lsp-test-pc/")
    assert not phone.locator(speed).is_visible()


@pytest.mark.parametrize("script", [True, False])
def test_an_organiser_runs_a_model_with_a_file_of_boxes(
    script: bool, open_page: Any, site: Any, organiser: User, tmp_path: Path
) -> None:
    Benchmark.objects.update(dataset="mannequins")
    file = tmp_path / "people.json"
    file.write_text('[{"image_id": 1001, "category_id": 1, "bbox": [1, 2, 30, 40], "score": 0.9}]')
    page = open_page(organiser, java_script_enabled=script)
    page.goto(f"{site.url}/organise/lsp-test-pc/")
    page.get_by_label("Model").select_option(label="HRNet, narrow")
    page.get_by_label("Box file").set_input_files(file)
    page.get_by_role("button", name="Queue run").click()
    page.get_by_text("HRNet, narrow is queued").wait_for()
    assert page.get_by_text("boxes of people.json").count() == 1
    page.get_by_role("button", name="Queue all").click()
    page.get_by_text("runs are queued").wait_for()
    run = BaselineRun.objects.get(boxes_name="people.json")
    assert (run.baseline, run.variant, run.requested_by) == ("hrnet", "narrow", organiser)
    # all nine narrow networks: with a file and without are two runs of HRNet
    assert BaselineRun.objects.filter(variant="narrow", state=State.QUEUED, boxes_name="").count() == 9


# --- what moves ------------------------------------------------------------------------------------------------------


def test_deadline_is_in_utc_and_in_the_readers_time(open_page: Any, site: Any, organiser: User) -> None:
    Benchmark.objects.update(closes_at="2199-11-01T12:00:00Z")
    page = open_page(timezone_id="Asia/Tokyo", locale="en-GB")
    page.goto(f"{site.url}/lsp-test-pc/")
    assert page.inner_text(".chip.phase") == "Open until 1 November 2199, 12:00 UTC (1 Nov 2199, 21:00 your time)."
    # once, on the page that loads htmx as well
    page = open_page(organiser, timezone_id="Asia/Tokyo", locale="en-GB")
    page.goto(f"{site.url}/organise/lsp-test-pc/")
    page.wait_for_function("typeof htmx === 'object'")
    page.evaluate("localTimes(document)")
    assert page.inner_text(".head .sub").count("your time") == 1


def test_page_follows_a_submission_to_its_score_without_reloading(open_page: Any, site: Any, alice: User) -> None:
    page = open_page(alice)
    waiting = Evaluation.objects.get(state=State.QUEUED).submission_id
    page.goto(f"{site.url}/submissions/{waiting}/")
    page.evaluate("window.notReloaded = true")
    assert "1st in line" in page.inner_text(".steps")
    claimed = claim()
    page.wait_for_selector(".steps .now:has-text('Scoring')", timeout=6000)
    submissions.record(claimed, report(0.7, low=0.65, high=0.75), seconds=0.4)
    page.wait_for_selector("text=95% interval 65.0 to 75.0", timeout=6000)
    assert page.evaluate("window.notReloaded")
    assert page.inner_text("#said") == "Scored. The results are below."
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(2500)
    assert asked == []
    page.click("text=Publish to the board")
    page.wait_for_selector("text=Published on the board")


def test_choosing_a_filter_changes_the_address(open_page: Any, site: Any) -> None:
    page = open_page()
    page.goto(f"{site.url}/lsp-test-pc/")
    page.click(".toggle:has-text('Reported')")
    page.wait_for_url("**kinds=1**")
    assert "Convolutional Pose Machines" not in page.inner_text(".board")
    page.select_option("select[name=metric]", "pck_auc")
    page.wait_for_url("**metric=pck_auc**")
    assert "kinds=1" in page.url


def test_keyboard_reaches_the_content_and_the_search(open_page: Any, site: Any) -> None:
    page = open_page()
    page.goto(f"{site.url}/lsp-test-pc/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "find"


def test_times_are_in_the_readers_zone_with_utc_in_the_title(open_page: Any, site: Any, alice: User) -> None:
    page = open_page(alice, timezone_id="Asia/Tokyo", locale="en-GB")
    private = Submission.objects.get(method__name="Unpublished")
    page.goto(f"{site.url}/submissions/{private.pk}/")
    moment = page.locator("time").first
    assert moment.get_attribute("title").endswith("UTC")
    shown = page.evaluate(
        "([at]) => new Intl.DateTimeFormat('en-GB', {dateStyle: 'medium', timeStyle: 'short', timeZone: 'Asia/Tokyo'})"
        ".format(new Date(at))",
        [moment.get_attribute("datetime")],
    )
    assert moment.inner_text() == shown
