"""The drawings of a report, as SVG text that takes its colours from the page: skeleton, bars, whiskers, curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from evaluator.dataset import Dataset
from evaluator.diagnosis.joints import CLASSES, Curve, ErrorShares

Point = tuple[float, float]

WIDTH, HEIGHT, TOP = 440.0, 340.0, 34.0  # of the body in its drawing
LABEL_GAP = 28.0
# how thick the silhouette is along a limb, as a share of the figure's height
FLESH = (("shoulder", "elbow", 0.075), ("elbow", "wrist", 0.06), ("hip", "knee", 0.1), ("knee", "ankle", 0.075))


def percent(value: float) -> str:
    """One decimal, without the sign."""
    return f"{100 * value:.1f}"


def side(joint: str) -> str:
    """`r`, `l` or `c` (on the axis), the person's own."""
    return {"right": "r", "left": "l"}.get(joint.split("_")[0], "c")


def body(dataset: Dataset, joints: Sequence[ErrorShares]) -> str:
    """The dataset's typical pose, front view; each joint a ring of its error shares, named outside."""
    points = _placed(dataset)
    shown = {each.name: each for each in joints}
    labels: dict[int, list[tuple[Point, float, str, str]]] = {-1: [], 1: []}
    rings = []
    for name, (x, y) in points.items():
        if name not in shown:
            rings.append(f'<circle class="j{side(name)}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>')
            continue
        gap = min((math.dist((x, y), other) for each, other in points.items() if each != name), default=40.0)
        radius = max(3.4, min(11.0, 0.42 * gap))
        rings.append(ring((x, y), radius, shown[name].shares))
        if name not in dataset.named_joints:
            continue
        where = -1 if side(name) == "r" or (side(name) == "c" and len(labels[-1]) <= len(labels[1])) else 1
        words = name.split("_", 1)[1] if side(name) != "c" else name
        each = shown[name]
        second = f"{100 * each.inversion:.0f} inv, {100 * each.miss:.0f} miss"
        labels[where].append(((x, y), radius, words.replace("_", " ").capitalize(), second))
    leads, texts = [], []
    bottom = max(y for _, y in points.values())
    for where, items in labels.items():
        edge, anchor = (92.0, "end") if where < 0 else (WIDTH - 92.0, "start")
        for (point, radius, first, second), place in _spread(items, where):
            x, bend = point[0] + where * (radius + 2), edge - where * 22
            bottom = max(bottom, place)
            leads.append(
                f'<path class="lead" d="M{x:.1f} {point[1]:.1f}L{bend:.1f} {place:.1f}H{edge - where * 5:.1f}"/>'
            )
            texts.append(
                f'<text class="lab" x="{edge:.0f}" y="{place + 1:.1f}" text-anchor="{anchor}">{escape(first)}</text>'
                f'<text class="ax" x="{edge:.0f}" y="{place + 13:.1f}" text-anchor="{anchor}">{second}</text>'
            )
    label = f"Share of {', '.join(CLASSES)} at every joint of {dataset.title}"
    sides = f'<text class="sideR" x="0" y="12">Right</text><text class="sideL" x="{WIDTH:.0f}" y="12">Left</text>'
    return (
        f'<svg class="body" viewBox="0 0 {WIDTH:.0f} {bottom + 26:.0f}" role="img" aria-label="{escape(label)}">'
        f"{sides}{''.join(leads)}{_silhouette(points)}{_bones(dataset, points)}{''.join(rings)}{''.join(texts)}</svg>"
    )


def _placed(dataset: Dataset) -> dict[str, Point]:
    xs, ys = dataset.pose[:, 0], dataset.pose[:, 1]
    factor = min(HEIGHT / max(float(ys.max() - ys.min()), 1e-6), 215.0 / max(float(xs.max() - xs.min()), 1e-6))
    middle = float(xs.max() + xs.min()) / 2
    return {
        name: (WIDTH / 2 + (float(x) - middle) * factor, TOP + 8 + (float(y) - float(ys.min())) * factor)
        for name, (x, y) in zip(dataset.joints, dataset.pose, strict=True)
    }


def _spread(
    items: list[tuple[Point, float, str, str]], where: int
) -> list[tuple[tuple[Point, float, str, str], float]]:
    """Labels at the height of their joints, pushed apart until none touches; of equals the outer joint first."""
    found: list[tuple[tuple[Point, float, str, str], float]] = []
    for item in sorted(items, key=lambda item: (round(item[0][1] / 12), -where * item[0][0])):
        wanted = item[0][1]
        found.append((item, max(wanted, found[-1][1] + LABEL_GAP) if found else wanted))
    return found


def _bones(dataset: Dataset, points: dict[str, Point]) -> str:
    drawn = []
    for a, b in dataset.skeleton:
        sides = {side(a), side(b)} - {"c"}
        colour = sides.pop() if len(sides) == 1 else "c"
        (x1, y1), (x2, y2) = points[a], points[b]
        drawn.append(f'<path class="bone b{colour}" d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}"/>')
    return "".join(drawn)


def _silhouette(points: dict[str, Point]) -> str:
    corners = [points.get(name) for name in ("right_shoulder", "left_shoulder", "left_hip", "right_hip")]
    parts = []
    if all(corners):
        outline = "L".join(f"{x:.1f} {y:.1f}" for x, y in filter(None, corners))
        parts.append(f'<path class="flesh" stroke-width="28" d="M{outline}Z"/>')
    for upper, lower, width in FLESH:
        for which in ("right", "left"):
            a, b = points.get(f"{which}_{upper}"), points.get(f"{which}_{lower}")
            if a and b:
                line = f"M{a[0]:.1f} {a[1]:.1f}L{b[0]:.1f} {b[1]:.1f}"
                parts.append(f'<path stroke-width="{HEIGHT * width:.0f}" d="{line}"/>')
    return f'<g class="ghost">{"".join(parts)}</g>'


def ring(centre: Point, radius: float, shares: Sequence[float]) -> str:
    """Shares clockwise from twelve o'clock, in the order of the classes."""
    x, y = centre
    width = max(2.6, radius * 0.52)
    drawn = [f'<circle class="hole" cx="{x:.1f}" cy="{y:.1f}" r="{radius + width / 2 + 1.2:.1f}"/>']
    start = 0.0
    for index, share in enumerate(shares):
        if share > 0.9995:
            drawn.append(f'<circle class="s{index} arc" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" {_stroke(width)}/>')
        elif share > 0.0005:
            (x1, y1), (x2, y2) = (_on_circle(centre, radius, turn) for turn in (start, start + share))
            arc = f"M{x1:.2f} {y1:.2f}A{radius:.1f} {radius:.1f} 0 {int(share > 0.5)} 1 {x2:.2f} {y2:.2f}"
            drawn.append(f'<path class="s{index} arc" d="{arc}" {_stroke(width)}/>')
        start += share
    return "".join(drawn)


def _stroke(width: float) -> str:
    return f'stroke-width="{width:.1f}"'


def _on_circle(centre: Point, radius: float, turn: float) -> Point:
    angle = 2 * math.pi * turn
    return centre[0] + radius * math.sin(angle), centre[1] - radius * math.cos(angle)


def stacked_bar(shares: Sequence[float], classes: Sequence[str]) -> str:
    """A bar of the whole width, in percent coordinates; `classes` are CSS classes of its pieces."""
    start, pieces = 0.0, []
    for share, name in zip(shares, classes, strict=True):
        if share > 0:
            pieces.append(f'<rect class="{name}" x="{100 * start:.3f}%" width="{100 * share:.3f}%" height="10" y="1"/>')
        start += share
    return f'<svg class="bar" height="12" aria-hidden="true">{"".join(pieces)}</svg>'


def scale(lowest: float, highest: float) -> tuple[float, float]:
    """The tenths around the scores, a tenth apart at least."""
    start = min(math.floor(lowest * 10), 9)
    return start / 10, max(math.ceil(highest * 10), start + 1) / 10


def whisker(value: float, low: float | None, high: float | None, domain: tuple[float, float]) -> str:
    """A score as a mark on a scale, its interval as a line through it."""

    def at(number: float) -> str:
        return f"{100 * (number - domain[0]) / (domain[1] - domain[0]):.2f}%"

    ticks = "".join(f'<line class="tick" x1="{t}%" x2="{t}%" y1="0" y2="22"/>' for t in (0, 25, 50, 75, 100))
    line = ""
    if low is not None and high is not None:
        line = f'<line class="whisk" x1="{at(low)}" x2="{at(high)}" y1="11" y2="11"/>' + "".join(
            f'<line class="whisk" x1="{at(end)}" x2="{at(end)}" y1="7" y2="15"/>' for end in (low, high)
        )
    mark = f'<circle class="mark" cx="{at(value)}" cy="11" r="4.5"/>'
    return f'<svg class="graticule" height="22" aria-hidden="true">{ticks}{line}{mark}</svg>'


def plot(
    curves: Sequence[Curve],
    texts: Sequence[str],
    *,
    bold: str,
    marked: float | None,
    listed: bool,
    x_title: str,
    label: str,
) -> str:
    """Curves in one plot: x from 0 to the end of the curves, y from 0 to 100.

    `texts` are written at the right, at the ends of the lines; `listed`: from the top, in their order.
    """
    width, height, left, right, top, foot = 460.0, 320.0, 34.0, 122.0, 8.0, 38.0
    inner, tall = width - left - right, height - top - foot
    end = max(curve.x[-1] for curve in curves)

    def place(x: float, y: float) -> Point:
        return left + inner * x / end, top + tall * (1 - y)

    drawn = []
    for percentage in range(0, 101, 20):
        _, y = place(0, percentage / 100)
        drawn.append(f'<line class="tick" x1="{left}" x2="{left + inner}" y1="{y:.1f}" y2="{y:.1f}"/>')
        drawn.append(f'<text class="ax" x="{left - 7}" y="{y + 4:.1f}" text-anchor="end">{percentage}</text>')
    for quarter in range(5):
        x, _ = place(end * quarter / 4, 0)
        value = f"{end * quarter / 4:g}"
        drawn.append(f'<text class="ax" x="{x:.1f}" y="{top + tall + 17}" text-anchor="middle">{value}</text>')
    drawn.append(
        f'<text class="ax" x="{left + inner / 2:.1f}" y="{height - 4}" text-anchor="middle">{escape(x_title)}</text>'
    )
    if marked is not None:
        x, _ = place(marked, 0)
        drawn.append(f'<line class="dotted" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{top + tall}"/>')
    ends = [place(0, curve.y[-1])[1] for curve in curves]
    if listed:
        ends = [top + 4 + 17.0 * index for index in range(len(curves))]
    lowest = -math.inf
    for y, text, curve in sorted(zip(ends, texts, curves, strict=True), key=lambda each: each[0]):
        lowest = max(y, lowest + 15)
        strong = " strong" if curve.name == bold else ""
        drawn.append(f'<text class="ax{strong}" x="{left + inner + 8}" y="{lowest + 4:.1f}">{escape(text)}</text>')
    for curve in sorted(curves, key=lambda curve: curve.name == bold):
        path = "L".join("{:.1f} {:.1f}".format(*place(x, y)) for x, y in zip(curve.x, curve.y, strict=True))
        drawn.append(f'<path class="{"line strong" if curve.name == bold else "line"}" d="M{path}"/>')
    bottom = max(height, lowest + 8)
    return (
        f'<svg class="plot" viewBox="0 0 {width:.0f} {bottom:.0f}" role="img" aria-label="{escape(label)}">'
        f"{''.join(drawn)}</svg>"
    )
