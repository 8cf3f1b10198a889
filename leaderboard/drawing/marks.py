"""The three marks: a filled circle was submitted, a diamond was run here, a dashed ring was printed in a paper."""

from __future__ import annotations

from django.utils.safestring import SafeString

from leaderboard.drawing.svg import el

WORDS = {"submission": "submission", "baseline": "baseline, run on this site", "reported": "reported, not verified"}
SHORT = {"submission": "sub", "baseline": "base", "reported": "rep"}


def glyph(kind: str, *, label: str | None = None) -> SafeString:
    """The mark alone, 12 px. Without a label it is decoration beside its word."""
    shape = _shape(kind, 6, 6)
    if label:
        return el("svg", el("title", label), shape, viewBox="0 0 12 12", role="img")
    return el("svg", shape, viewBox="0 0 12 12", aria_hidden="true")


def mark(kind: str) -> SafeString:
    """The mark with its word: never colour alone."""
    return el("span", glyph(kind), WORDS[kind], class_=f"mark k-{SHORT[kind]}")


def at_percent(kind: str, x: float, y: float) -> SafeString:
    """The mark on a scale that stretches: x in percent of its width."""
    if kind == "baseline":
        return el("svg", _shape(kind, 0, 0), x=f"{x:.2f}%", y=y, overflow="visible")
    return el("circle", class_=f"m-{SHORT[kind]}", cx=f"{x:.2f}%", cy=y, r=4.3 if kind == "reported" else 4.6)


def at(kind: str, x: float, y: float, *, size: float = 4.4) -> SafeString:
    """The mark in a chart, in its own units."""
    if kind == "baseline":
        half = size * 1.3
        return el(
            "path",
            class_="m-base",
            d=f"M{x:.1f} {y - half:.1f}l{half:.1f} {half:.1f}-{half:.1f} {half:.1f}-{half:.1f}-{half:.1f}Z",
        )
    return el("circle", class_=f"m-{SHORT[kind]}", cx=round(x, 1), cy=round(y, 1), r=size)


def _shape(kind: str, x: float, y: float) -> SafeString:
    if kind == "baseline":
        return el("path", class_="m-base", d=f"M{x} {y - 5.6:.1f}l5.6 5.6-5.6 5.6-5.6-5.6Z")
    return el("circle", class_=f"m-{SHORT[kind]}", cx=x, cy=y, r=4.6 if kind == "reported" else 4.5)
