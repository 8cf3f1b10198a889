"""The cards in docs/metrics/: one per metric, complete, and in agreement with what the metric's file declares."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from evaluator.metrics import INVARIANCES, load_metric, metric_names

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "metrics"
SECTIONS = [
    "Definition", "Formula", "Source", "Values from papers", "Limits", "How other code differs", "Invariances",
]  # fmt: skip


def sections(text: str) -> dict[str, str]:
    """Heading of the second level -> the text below it."""
    found = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return dict(zip(found[1::2], found[2::2], strict=True))


@pytest.mark.parametrize("metric", metric_names())
def test_every_metric_has_a_complete_card(metric: str) -> None:
    text = (FOLDER / f"{metric}.md").read_text()
    assert re.match(r"# \S", text)
    found = sections(text)
    assert [name for name in found if name in SECTIONS] == SECTIONS
    assert all(len(found[name].strip()) > 40 for name in SECTIONS)


@pytest.mark.parametrize("metric", metric_names())
def test_a_card_lists_the_invariances_that_the_metric_declares(metric: str) -> None:
    text = sections((FOLDER / f"{metric}.md").read_text())["Invariances"]
    held, _, not_held = text.partition("Does not hold:")
    assert set(re.findall(r"`(\w+)`", held)) == load_metric(metric).INVARIANCES
    assert set(re.findall(r"`(\w+)`", not_held)) == set(INVARIANCES) - load_metric(metric).INVARIANCES


def test_every_card_is_a_metrics_or_linked() -> None:
    linked = re.findall(r"\]\((\w+)\.md\)", (FOLDER / "README.md").read_text())
    assert {path.stem for path in FOLDER.glob("*.md")} == {*metric_names(), *linked, "README"}


def test_the_first_page_explains_every_invariance() -> None:
    text = (FOLDER / "README.md").read_text()
    assert dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", text, flags=re.MULTILINE)) == INVARIANCES


@pytest.mark.parametrize("card", sorted(path.name for path in FOLDER.glob("*.md")))
def test_links_lead_somewhere(card: str) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", (FOLDER / card).read_text()):
        assert (FOLDER / target).is_file(), target
