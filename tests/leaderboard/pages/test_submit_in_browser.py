"""The submit page in Chromium: it finds what the server finds, and the file stays chosen when it is not accepted."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.test import Client

from evaluator import PredictionError, load_dataset, read_predictions
from evaluator.reading.image_list import read_images
from evaluator.reading.upload_rules import limits_of, page_rules
from leaderboard.models import (
    Benchmark,
    Submission,
    User,
)
from leaderboard.queue import clock
from tests.evaluator.upload_entries import DOCUMENTS, ENTRIES, IN_SPACE, ON_SURFACE
from tests.evaluator.upload_entries import IMAGES as LISTS
from tests.leaderboard.conftest import IMAGES, predictions
from tests.leaderboard.pages.browser_site import RULES

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("pages_browser")]

# Files of the corpus whose problems only the server finds. JavaScript has one kind of number and does not tell 785.0
# from 785; it never learns of a key that appears twice; the page looks at no key that is not read, and opens no PNG.
BEYOND_THE_PAGE = {
    "nine levels in an extra key", "levels hidden in person_id", "a key twice", "an extra key twice",
    "NaN in an extra key", "an id of 785.0", "person 0.0", "a shape of floats", "a picture of another size",
    "a picture that says 2^31", "an id of 2^63",
}  # fmt: skip
# Numbers that are too large for JavaScript: the page finds the place, and calls them infinite.
TOO_LONG = {
    "a coordinate of 400 digits": ["not_finite", 0, "/keypoints/0", "nose, x is Infinity"],
    "a score of 400 digits": ["not_finite", 0, "/score", "score is Infinity"],
    "a place of 400 digits": ["not_finite", 0, "/keypoints_3d/7", "right knee, y is Infinity"],
    "a box of 400 digits": ["not_finite", 0, "/bbox/0", "bbox, x is Infinity"],
    "an integer of 5,000 digits": ["wrong_type", 0, "/image_id", "image_id is Infinity"],
    "an id of 200 digits": ["invalid_id", 0, "/image_id", "image_id is 1e+200"],
}

# --- the check in the page -------------------------------------------------------------------------------------------


@pytest.fixture
def submit_page(open_page: Any, site: Any, alice: User) -> Any:
    page = open_page(alice)
    page.goto(f"{site.url}/lsp-test-pc/submit/")
    return page


def choose(page: Any, folder: Path, content: bytes, name: str = "mine.json") -> Any:
    file = folder / name
    file.write_bytes(content)
    page.evaluate("document.getElementById('checks').replaceChildren()")
    page.set_input_files("#id_file", file)
    checks = page.locator("#checks")
    checks.locator("h3").wait_for()
    return checks


@pytest.mark.parametrize("packed", [False, True])
def test_good_file_is_found_good_and_not_sent(packed: bool, submit_page: Any, tmp_path: Path) -> None:
    content = predictions()
    before = Submission.objects.count()
    checks = choose(
        submit_page, tmp_path, gzip.compress(content) if packed else content, "a.json.gz" if packed else "a.json"
    )
    assert checks.locator("h3").inner_text() == f"{IMAGES} entries, no problems"
    assert "nothing has been sent" in submit_page.inner_text("#drop-fact")
    assert submit_page.is_enabled("#send")
    assert Submission.objects.count() == before


def spoiled(change: Callable[[list[Any]], None]) -> bytes:
    entries = json.loads(predictions())
    change(entries)
    return json.dumps(entries).encode()


def set_at(entry: int, key: str, value: Any) -> Callable[[list[Any]], None]:
    return lambda entries: entries[entry].__setitem__(key, value)


REJECTED = {
    "wrong_count": spoiled(set_at(3, "keypoints", [1, 2, 3])),
    "wrong_type": spoiled(set_at(3, "score", "0.5")),
    "missing_key": spoiled(lambda entries: entries[3].pop("score")),
    "unknown_image": spoiled(set_at(3, "image_id", 5)),
    "unknown_person": spoiled(set_at(3, "person_id", 4)),
    "repeated_person": spoiled(lambda entries: entries.insert(3, entries[2])),
    "incomplete_joint": spoiled(lambda entries: entries[3]["keypoints"].__setitem__(1, None)),
    "out_of_range": spoiled(lambda entries: entries[3]["keypoints"].__setitem__(1, 2e6)),
    "not_finite": spoiled(lambda entries: entries[3]["keypoints"].__setitem__(1, float("nan"))),
    "not_an_object": spoiled(lambda entries: entries.__setitem__(3, 7)),
}


@pytest.mark.parametrize("code", REJECTED)
def test_check_in_the_page_finds_what_the_server_finds(
    code: str, submit_page: Any, tmp_path: Path, client: Client
) -> None:
    """The same code, entry, pointer and words as the evaluator's, so that nobody has to fix a file twice."""
    from evaluator import validate

    with pytest.raises(PredictionError) as caught:
        validate("lsp", REJECTED[code], images=json.loads(client.get("/lsp-test-pc/images.json").content))
    (problem,) = caught.value.problems
    checks = choose(submit_page, tmp_path, REJECTED[code])
    assert "1 problem, so this file cannot be sent yet" in checks.locator("h3").inner_text()
    assert (problem.code, problem.entry) == (code, 3)
    assert checks.locator(".got").inner_text() == problem.code
    assert checks.locator(".where").first.inner_text().split("\n")[0] == f"entry {problem.entry}"
    assert checks.locator(".ptr").all_inner_texts() == [p for p in [problem.pointer.removeprefix("/3")] if p]
    said = checks.locator(".probs li p").all_inner_texts()
    assert said == [problem.message, f"Expected {problem.expected}."]
    assert submit_page.is_disabled("#send")


def test_check_lists_a_hundred_and_counts_all(submit_page: Any, tmp_path: Path) -> None:
    content = json.dumps([{"image_id": "x"}] * 60).encode()
    checks = choose(submit_page, tmp_path, content)
    assert "180 problems" in checks.locator("h3").inner_text()
    assert checks.locator(".probs li").count() == 100


def test_check_stops_after_a_thousand_problems(submit_page: Any, tmp_path: Path) -> None:
    checks = choose(submit_page, tmp_path, b"[" + b"[]," * 1_000_000 + b"[]]")
    assert "At least 1,000 problems" in checks.locator("h3").inner_text()
    assert checks.locator(".probs li").count() == 100
    assert submit_page.is_disabled("#send")


def test_check_stops_inflating_where_a_file_for_the_benchmark_ends(submit_page: Any, tmp_path: Path) -> None:
    checks = choose(submit_page, tmp_path, gzip.compress(b"[" + b" " * (65 << 20) + b"]"), "a.json.gz")
    assert "The file inflates to more than 64 MiB. Expected at most 64 MiB inflated." in checks.inner_text()
    assert submit_page.is_disabled("#send")


def test_page_knows_how_much_a_file_may_hold(submit_page: Any) -> None:
    expected, cases = [], []
    for name, number in (("coco", 5000), ("lsp", 1000), ("lsp", 60_000), ("densepose", 1508), ("human36m", 90_000)):
        dataset = load_dataset(name)
        people = {"people": [{"person_id": 0}]} if dataset.single_person else {}
        listing = {"images": [{"id": image} | people for image in range(number)]}
        found = limits_of(dataset, read_images(listing))
        expected.append([found.size, found.entries])
        cases.append([page_rules(dataset), number, people])
    said = submit_page.evaluate(
        """async (cases) => {
            const page = await import(document.querySelector("script[src*=preflight]").src);
            return cases.map(([rules, number, people]) => {
                const images = Array.from({ length: number }, (_, id) => ({ id, ...people }));
                const found = page.limits(rules, { images });
                return [found.size, Number.isFinite(found.entries) ? found.entries : null];
            });
        }""",
        cases,
    )
    assert said == expected


def test_no_file_keeps_the_page_from_its_reader(submit_page: Any) -> None:
    """Shapes that took the square of their length, or the stack: what each gets, of five megabytes."""
    said = submit_page.evaluate(
        r"""async (rules) => {
            const page = await import(document.querySelector("script[src*=preflight]").src);
            const files = {
                "a text without end": '["' + '\\"'.repeat(2.5e6),
                "a text and NaN": '["' + 'a\\"'.repeat(1.6e6) + '", NaN]',
                "a list of lists": "[" + "[".repeat(1e6) + "]".repeat(1e6) + "]",
                "a long list": "[[" + "1,".repeat(2.5e6) + "1]]",
                "a long text": '["' + "a".repeat(5e6) + '"]',
                "NaN": "[" + "NaN,".repeat(1.2e6) + "NaN]",
            };
            return Object.fromEntries(Object.entries(files).map(([name, source]) => {
                try {
                    const { problems, total } = page.check(page.parse(source), rules, null);
                    return [name, [problems[0].message, total]];
                } catch (error) {
                    return [name, [error.name]];
                }
            }));
        }""",
        page_rules(load_dataset("coco")),
    )
    assert said == {
        "a text without end": ["SyntaxError"],
        "a text and NaN": ['the entry is "' + r"a\"" * 18 + "a\\...", 2],
        "a list of lists": ["the entry is " + "[" * 57 + "...", 1],
        "a long list": ["the entry is [" + "1, " * 18 + "1,...", 1],
        "a long text": ['the entry is "' + "a" * 56 + "...", 1],
        "NaN": ["the entry is NaN", 1000],
    }


@pytest.mark.parametrize("content", [b"", b"{", b"[1,]", b"\xff\xfe", gzip.compress(b"[]", mtime=0)[:-6], b'{"a": 1}'])
def test_unreadable_file_cannot_be_sent(content: bytes, submit_page: Any, tmp_path: Path) -> None:
    name = "mine.json.gz" if content[:2] == b"\x1f\x8b" else "mine.json"
    choose(submit_page, tmp_path, content, name)
    assert submit_page.is_disabled("#send")


def test_markup_in_a_file_is_shown_as_text(submit_page: Any, tmp_path: Path) -> None:
    content = json.dumps([{"image_id": "<img src=x onerror=alert(1)>", "keypoints": [], "score": 1}]).encode()
    checks = choose(submit_page, tmp_path, content)
    assert checks.locator("img").count() == 0
    assert "<img" in checks.inner_text()


def test_a_fixed_file_can_be_sent(submit_page: Any, tmp_path: Path) -> None:
    choose(submit_page, tmp_path, REJECTED["wrong_count"])
    assert submit_page.is_disabled("#send")
    choose(submit_page, tmp_path, predictions(), "fixed.json")
    submit_page.fill("#id_method", "Fixed")
    assert "Fixed" in submit_page.inner_text("#shell")
    submit_page.click("#send")
    submit_page.wait_for_url("**/submissions/*/")
    assert Submission.objects.filter(method__name="Fixed", file_name="fixed.json").exists()


def test_sample_passes_the_check(submit_page: Any, tmp_path: Path) -> None:
    with submit_page.expect_download() as download:
        submit_page.click("text=Download a sample file")
    checks = choose(submit_page, tmp_path, Path(download.value.path()).read_bytes())
    assert "no problems" in checks.locator("h3").inner_text()


# what an entry may lack, and several problems of one entry in the order in which the server lists them
SEVERAL = {
    "half a joint, and one that is missing": [
        {"image_id": 785, "keypoints": [None, None, None, 1, None, 1, *[1] * (3 * joints - 6)], "score": 1}
        for joints in (15, 17)
    ],
    "everything wrong at once": [
        {"image_id": "7", "keypoints": [1, True, "\u00e9", *[1] * 48], "score": [1, {"a": 2}]}
    ],
    "two numbers too large": [{"image_id": 785, "keypoints": [1, -2e6, *[1] * 48, 1e20], "score": 1e7}],
    "one too large and another key wrong": [{"image_id": 5, "keypoints": [1, -2e6, *[1] * 49], "score": 1}],
}


@pytest.mark.parametrize("name", ["coco", "posetrack", "lsp", "coco_wholebody", "human36m", "densepose"])
def test_page_and_server_say_the_same_of_a_file(submit_page: Any, name: str) -> None:
    """Code, entry, pointer, message, what is expected and the number of problems, for every damaged file."""
    dataset, listing = load_dataset(name), LISTS[name]
    corpus = DOCUMENTS | ENTRIES | IN_SPACE | ON_SURFACE
    unseen = {"invalid_image", "invalid_part", "too_deep", "not_utf8"}  # the last before there is a text to check
    files = {each: case[1] for each, case in corpus.items() if case[0] == name and case[2] not in unseen}
    files |= {each: json.dumps(entries).encode() for each, entries in SEVERAL.items()}
    expected = {}
    for each, content in files.items():
        images = read_images(listing)
        with pytest.raises(PredictionError) as caught:
            read_predictions(content, dataset, images, limits=limits_of(dataset, images))
        expected[each] = [
            [
                [p.code, p.entry, p.pointer.removeprefix(f"/{p.entry}"), p.message, p.expected]
                for p in caught.value.problems
            ],
            caught.value.total,
        ]
    found = submit_page.evaluate(
        """async ([sources, rules, images]) => {
            const page = await import(document.querySelector("script[src*=preflight]").src);
            return sources.map((source) => {
                let entries;
                try {
                    entries = page.parse(source);
                } catch {
                    return null; // the browser's own words say where it is not JSON
                }
                const { problems, total } = page.check(entries, rules, images);
                return [problems.map((p) => [p.code, p.entry, p.pointer, p.message, p.expected]), total];
            });
        }""",
        [[content.decode("utf-8", "replace") for content in files.values()], page_rules(dataset), listing],
    )
    compared = 0
    for each, said in zip(files, found, strict=True):
        if each in TOO_LONG:
            assert said[0][0][:4] == TOO_LONG[each]
        elif said is None:
            assert expected[each][0][0][1] is None, each
        elif each not in BEYOND_THE_PAGE:
            assert said == expected[each], each
            compared += 1
    assert compared > {"coco": 40, "posetrack": 8, "human36m": 15, "densepose": 20}.get(name, 4)


def test_file_can_be_sent_without_scripts(open_page: Any, site: Any, alice: User, tmp_path: Path) -> None:
    page = open_page(alice, java_script_enabled=False)
    page.goto(f"{site.url}/lsp-test-pc/submit/")
    file = tmp_path / "plain.json"
    file.write_bytes(predictions(miss=2))
    page.set_input_files("#id_file", file)
    page.fill("#id_method", "Without scripts")
    page.click("#send")
    assert "Without scripts" in page.inner_text("h1")
    page.goto(f"{site.url}/lsp-test-pc/?kinds=1&show=reported")
    assert "Convolutional Pose Machines" in page.inner_text(".board")


# --- a submission that is not accepted keeps the file ----------------------------------------------------------------


def chosen(page: Any) -> list[str]:
    return page.evaluate("[...document.getElementById('id_file').files].map((file) => file.name)")


@pytest.fixture
def filled_page(submit_page: Any, tmp_path: Path) -> Any:
    """A good file chosen and the method named."""
    choose(submit_page, tmp_path, predictions(miss=3), "large.json")
    submit_page.fill("#id_method", "Worth keeping")
    submit_page.fill("#id_extra_data", "MPII")
    submit_page.check("input[value=publish]")
    return submit_page


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"closes_at": "2020-11-01T12:00:00Z"}, "closed at 2020-11-01 12:00 UTC"),
        ({"daily_limit": 1, "total_limit": 1}, "1 submission per team"),
        ({"truth_sha256": ""}, "has no annotations yet"),
    ],
    ids=["closed", "quota", "no annotations"],
)
def test_submission_that_is_not_accepted_keeps_the_file_and_is_accepted_later(
    limits: dict[str, Any], words: str, filled_page: Any
) -> None:
    before = Benchmark.objects.values(*limits).get(slug="lsp-test-pc")
    Benchmark.objects.update(**limits)
    filled_page.click("#send")
    filled_page.wait_for_selector("#form-error:visible")
    assert words in filled_page.inner_text("#form-error")
    assert chosen(filled_page) == ["large.json"]
    assert filled_page.input_value("#id_method") == "Worth keeping"
    assert filled_page.input_value("#id_extra_data") == "MPII" and filled_page.is_checked("input[value=publish]")
    assert not Submission.objects.filter(method__name="Worth keeping").exists()
    Benchmark.objects.update(**before)
    filled_page.click("#send")
    filled_page.wait_for_url("**/submissions/*/")
    assert Submission.objects.filter(method__name="Worth keeping", publish_when_scored=True).count() == 1


def test_wrong_field_is_marked_in_place(filled_page: Any) -> None:
    filled_page.fill("#id_paper_url", "http://example.org")
    filled_page.click("#send")
    filled_page.wait_for_selector("#id_paper_url[aria-invalid=true]")
    assert "Enter a URL that begins with https://" in filled_page.inner_text("#submit-form")
    assert chosen(filled_page) == ["large.json"]
    assert Axe().run(filled_page, options={"runOnly": RULES}).response["violations"] == []
    filled_page.fill("#id_paper_url", "https://example.org")
    filled_page.click("#send")
    filled_page.wait_for_url("**/submissions/*/")


def test_signing_in_again_elsewhere_lets_it_be_sent(filled_page: Any, site: Any, alice: User) -> None:
    context = filled_page.context
    context.clear_cookies()
    filled_page.click("#send")
    filled_page.wait_for_selector("#form-error:visible")
    assert "signed out" in filled_page.inner_text("#form-error") and chosen(filled_page) == ["large.json"]
    client = Client()
    client.force_login(alice)
    context.add_cookies([{"name": "session", "value": client.cookies["session"].value, "url": site.url}])
    filled_page.click("#send")
    filled_page.wait_for_url("**/submissions/*/")


def test_server_that_is_away_loses_nothing(filled_page: Any) -> None:
    address = filled_page.url
    filled_page.route(address, lambda route: route.abort())
    filled_page.click("#send")
    filled_page.wait_for_selector("#form-error:visible")
    assert "did not reach the server" in filled_page.inner_text("#form-error") and chosen(filled_page) == ["large.json"]
    filled_page.unroute(address)
    filled_page.click("#send")
    filled_page.wait_for_url("**/submissions/*/")


def test_benchmark_opens_and_closes_while_its_page_is_open(open_page: Any, site: Any, alice: User) -> None:
    """By the time since the page was made: the reader's clock, here years behind, decides nothing."""
    now = clock.now()
    Benchmark.objects.update(opens_at=now + timedelta(seconds=8), closes_at=now + timedelta(seconds=16))
    page = open_page(alice)
    page.clock.set_system_time("2020-01-01T00:00:00Z")
    page.goto(f"{site.url}/lsp-test-pc/submit/")
    assert page.inner_text("#send") == "Not open yet" and page.is_disabled("#send")
    page.wait_for_selector("#send:has-text('Submit, uses 1'):enabled", timeout=60_000)
    assert not page.is_visible("#not-open") and not page.is_visible("#closed")
    page.wait_for_selector("#send:has-text('Closed'):disabled", timeout=60_000)
    assert "No more submissions are accepted" in page.inner_text("#closed")


def test_form_that_is_not_accepted_keeps_its_fields_without_scripts(
    open_page: Any, site: Any, alice: User, tmp_path: Path
) -> None:
    page = open_page(alice, java_script_enabled=False)
    page.goto(f"{site.url}/lsp-test-pc/submit/")
    file = tmp_path / "plain.json"
    file.write_bytes(predictions(miss=2))
    page.set_input_files("#id_file", file)
    page.fill("#id_method", "Without scripts")
    Benchmark.objects.update(closes_at="2020-11-01T12:00:00Z")
    page.click("#send")
    assert "closed at 2020-11-01" in page.inner_text("#form-error")
    assert "choose plain.json again" in page.inner_text("#form-error")
    assert page.input_value("#id_method") == "Without scripts" and page.is_disabled("#send")
