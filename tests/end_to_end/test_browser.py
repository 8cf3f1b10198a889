"""A newcomer in Chromium against the whole site: sign in, upload, see it scored, publish it, see the row."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.end_to_end.conftest import LocalSite
from tests.end_to_end.test_submit import sample

pytestmark = [pytest.mark.processes, pytest.mark.browser, pytest.mark.xdist_group("processes")]


@pytest.fixture
def page(site: LocalSite, chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context(base_url=site.url, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()
    # a refused script or style would show here
    assert not complaints


def sign_in(page: Page, name: str) -> None:
    page.goto("/account/login/")
    page.locator("input[name=login]").fill(name)
    page.locator("input[name=password]").fill("poseboard-demo")
    page.get_by_role("main").get_by_role("button", name=re.compile("sign in", re.IGNORECASE)).click()
    page.wait_for_url(lambda url: "login" not in url)


def test_upload_score_publish_row(site: LocalSite, page: Page, tmp_path: Path) -> None:
    page.goto("/")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    sign_in(page, "demo")
    page.goto("/mannequins-test/submit/")
    file = tmp_path / "upright.json"
    file.write_text(json.dumps(sample(site, shift=1 + time.time() % 1)))
    page.set_input_files("#id_file", str(file))
    # checked in the page, before a byte is sent
    expect(page.locator("#checks")).to_contain_text(re.compile("no problems", re.IGNORECASE))
    page.locator("#id_method").fill("Upright, by browser")
    started = time.monotonic()
    page.locator("#send").click()
    page.wait_for_url(re.compile(r"/submissions/\d+/"))
    expect(page.locator("main")).to_contain_text("Scored", timeout=20_000)
    publish = page.get_by_role("button", name=re.compile("publish to the board", re.IGNORECASE))
    expect(publish).to_be_visible(timeout=20_000)
    # far above what it takes: this is no measurement, it only ends a test that hangs
    assert time.monotonic() - started < 20
    publish.click()
    page.goto("/mannequins-test/")
    row = page.locator("table.board tr", has_text="Upright, by browser")
    expect(row).to_be_visible()
    expect(row).to_contain_text(re.compile(r"\d+\.\d"))


def test_a_wrong_file_is_explained_in_the_page_before_it_is_sent(site: LocalSite, page: Page, tmp_path: Path) -> None:
    sign_in(page, "ada")
    page.goto("/mannequins-test/submit/")
    entries = sample(site)
    entries[4]["keypoints"] = [1, 2, 3]
    file = tmp_path / "short.json"
    file.write_text(json.dumps(entries))
    page.set_input_files("#id_file", str(file))
    expect(page.locator("#checks")).to_contain_text("4")
    expect(page.locator("#checks")).to_contain_text("51")


def test_organiser_queues_a_baseline_with_a_button(site: LocalSite, page: Page) -> None:
    sign_in(page, "organiser")
    page.goto("/organise/mannequins-val/")
    page.get_by_role("button", name="Queue run").click()
    expect(page.locator("main")).to_contain_text(re.compile("stacked.hourglass", re.IGNORECASE))
    expect(page.locator("main")).to_contain_text(
        re.compile(r"images a second|images/s|scored|done", re.IGNORECASE), timeout=120_000
    )
