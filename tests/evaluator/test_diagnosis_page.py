"""The page of an evaluation: one sound file, nothing from elsewhere, the numbers of the report in it."""

from __future__ import annotations

import math
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from evaluator import (
    DatasetDefinitionError,
    dataset_names,
    diagnose,
    evaluate,
    load_dataset,
    read_predictions,
    read_truth,
)
from evaluator.diagnosis.figures import percent, ring, scale
from evaluator.diagnosis.joints import diagnosable
from evaluator.diagnosis.page import report_page
from tests.evaluator.pose_cases import case


class Outline(HTMLParser):
    """Checks that every element is closed, and keeps elements and text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, Any]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attributes: Any) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: Any) -> None:
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def page_of(dataset: str, truth: Any, entries: Any) -> tuple[str, Outline, Any, Any]:
    definition = load_dataset(dataset)
    annotations = read_truth(truth, definition)
    predictions = read_predictions(entries, definition)
    report = evaluate(definition, predictions, annotations, intervals=True)
    diagnosis = diagnose(definition, predictions, annotations) if diagnosable(definition) else None
    page = report_page(definition, report, diagnosis)
    outline = Outline()
    outline.feed(page)
    assert outline.open == []
    return page, outline, report, diagnosis


@pytest.mark.parametrize("dataset", [name for name in dataset_names() if not diagnosable(load_dataset(name))])
def test_a_page_without_a_diagnosis_has_the_scores_in_their_units(dataset: str) -> None:
    page, outline, report, diagnosis = page_of(dataset, *case(dataset, 6, images=210))
    assert diagnosis is None and "Where it fails" not in page and "good" not in " ".join(outline.text)
    text = " ".join(" ".join(outline.text).split())
    for score in report.scores:
        unit = load_dataset(dataset).metric(score.metric).unit
        shown = f"{score.value:.1f}" if unit else percent(score.value)
        assert shown in text
        if score.low is not None:
            low, high = (f"{end:.1f}" if unit else percent(end) for end in (score.low, score.high))
            assert f"{low} to {high}" in text
        if unit:
            assert f"{100 * score.value:.1f}" not in text
    assert ("mm, with 95% intervals" in text) == (dataset != "densepose")
    assert "nan" not in page and all(tag not in page for tag in ("<script", "<link", "<img"))
    with pytest.raises(DatasetDefinitionError, match="a diagnosis needs OKS or a PCK"):
        diagnose(load_dataset(dataset), None, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("dataset", [name for name in dataset_names() if diagnosable(load_dataset(name))])
def test_every_dataset_has_a_sound_page_of_its_own(dataset: str) -> None:
    page, outline, report, diagnosis = page_of(dataset, *case(dataset, 6, images=220))
    definition = load_dataset(dataset)
    tags = {tag for tag, _ in outline.elements}
    assert tags.isdisjoint({"script", "link", "img", "iframe", "object", "form"})
    attributes = {name for _, each in outline.elements for name in each}
    assert attributes.isdisjoint({"style", "href", "src"}) and not any(name.startswith("on") for name in attributes)
    assert "url(" not in page and "@import" not in page and "prefers-color-scheme:dark" in page
    text = " ".join(" ".join(outline.text).split())
    for score in report.scores:
        assert percent(score.value) in text
        if score.low is not None:
            assert f"{percent(score.low)} to {percent(score.high)}" in text
    for each in diagnosis.slices:
        assert f"{each.people:,}" in text and percent(each.score) in text
    assert text.count("People") == len({each.by for each in diagnosis.slices})
    assert report.truth_sha256 in text and definition.protocol in text
    # a ring on the skeleton for every joint that has shares, a bone for every edge
    assert sum(each.get("class") == "hole" for _, each in outline.elements) == len(diagnosis.joints)
    assert sum("bone" in str(each.get("class")) for _, each in outline.elements) == len(definition.skeleton)
    numbers = [float(n) for _, each in outline.elements for n in re.findall(r"-?[\d.]+", str(each.get("d", "")))]
    assert numbers and all(math.isfinite(number) for number in numbers) and "nan" not in page
    assert len(page) < 140_000 + 600 * len(definition.joints)
    assert ("it cannot occur here" in text) is not diagnosis.swaps_possible
    drawings = [each for tag, each in outline.elements if tag == "svg"]
    assert all("aria-hidden" in each or (each["role"] == "img" and each["aria-label"]) for each in drawings)


def test_a_file_without_predictions_still_has_a_page() -> None:
    for dataset in ("coco", "lsp"):
        truth, _ = case(dataset, 6)
        _, outline, report, diagnosis = page_of(dataset, truth, [])
        assert "0.0" in " ".join(outline.text)
        assert {score.value for score in report.scores} == {0.0}
        assert diagnosis.total.counted == 0 or diagnosis.total.miss == 1


def test_rings_are_shares_clockwise_from_the_top() -> None:
    # a quarter good, three quarters missed: from twelve to three o'clock, and on to twelve the long way
    first, second = re.findall(r'class="(s\d) arc" d="(.*?)"', ring((0, 0), 10, (0.25, 0, 0, 0, 0.75)))
    assert first == ("s0", "M0.00 -10.00A10.0 10.0 0 0 1 10.00 -0.00")
    assert second == ("s4", "M10.00 -0.00A10.0 10.0 0 1 1 -0.00 -10.00")
    assert ring((0, 0), 10, (1, 0, 0, 0, 0)).count("arc") == 1


def test_the_scale_of_scores_has_a_width() -> None:
    assert scale(0.42, 0.71) == (0.4, 0.8)
    # all at one tenth, none at all, and all right
    assert scale(0.5, 0.5) == (0.5, 0.6)
    assert scale(0.0, 0.0) == (0.0, 0.1)
    assert scale(1.0, 1.0) == (0.9, 1.0)


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_shows_it_whole_and_asks_for_nothing(chromium: Any, tmp_path: Any, scheme: str, width: int) -> None:
    context = chromium.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
    tab = context.new_page()
    asked: list[str] = []
    said: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("console", lambda message: said.append(message.text))
    for dataset in ("coco", "lsp"):
        file = tmp_path / f"{dataset}.html"
        file.write_text(page_of(dataset, *case(dataset, 6, images=40))[0], encoding="utf-8")
        tab.goto(file.as_uri())
        assert tab.evaluate("document.documentElement.scrollWidth") == width
        paper = tab.evaluate("getComputedStyle(document.body).backgroundColor")
        assert paper == ("rgb(246, 247, 245)" if scheme == "light" else "rgb(12, 17, 16)")
        # every text of a drawing lies inside it, and none of a table is cut off
        outside = tab.evaluate(
            """() => [...document.querySelectorAll('svg[role=img] text')].filter(text => {
                const inner = text.getBoundingClientRect(), outer = text.ownerSVGElement.getBoundingClientRect();
                return inner.width && (inner.left < outer.left - 1 || inner.right > outer.right + 1);
            }).map(text => text.textContent)"""
        )
        assert outside == []
    assert said == [] and all(url.startswith("file:") for url in asked)
    context.close()
