"""An architecture as blocks and arrows, from its declarative description.

The shape of a block shows the kind of the step, its height the size of its maps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from django.utils.safestring import SafeString

from leaderboard.drawing.svg import el, join

COLUMN, ROW = 104.0, 128.0  # pitch of the grid
WIDTH = 58.0  # of a block
HEIGHTS = (72.0, 66.0, 58.0, 46.0, 36.0, 28.0)  # of maps at 1/1, 1/2, 1/4 ... 1/32 of the image's size
MIDDLE = 46.0  # of a row's blocks, below the row's top
LABEL = 98.0  # the label's line, below the row's top

# what a shape means, in the order of the legend
SHAPES = {
    "image": "input",
    "layers": "layers that keep the size",
    "down": "layers that shrink",
    "up": "layers that enlarge",
    "hourglass": "an hourglass: down and up again",
    "maps": "maps, one per joint",
    "attention": "attention, selection or grouping",
    "sum": "a sum",
    "pose": "output",
    "people": "output, several people",
}


class Block(Protocol):
    """A step of the network at a (column, row) of the grid; `scale` is how often its maps have been halved."""

    id: str
    shape: str
    at: tuple[float, float]
    label: str
    note: str
    scale: int


def figure(
    blocks: Sequence[Block], links: Sequence[tuple[str, str]], skips: Sequence[tuple[str, str]], *, label: str
) -> SafeString:
    """The drawing. `links` are the way of the data; `skips` pass over what lies between, and are dashed."""
    by_id = {block.id: block for block in blocks}
    columns = max(block.at[0] for block in blocks)
    rows = max(block.at[1] for block in blocks)
    lifted = 26.0 if skips else 0.0
    parts = [_arrowhead()]
    parts += [_link(by_id[a], by_id[b]) for a, b in links]
    parts += [_skip(by_id[a], by_id[b]) for a, b in skips]
    parts += [_drawn(block) for block in blocks]
    width, height = columns * COLUMN + 108, rows * ROW + 122 + lifted
    return el(
        "svg", *parts, class_="plot archfig", viewBox=f"-54 {-lifted:.0f} {width:.0f} {height:.0f}", role="img",
        aria_label=label,
    )  # fmt: skip


def legend(blocks: Sequence[Block]) -> list[tuple[SafeString, str]]:
    """The shapes that occur, each with its meaning."""
    present = {block.shape for block in blocks}
    return [
        (el("svg", _outline(shape, 8, 8, 14, 14), viewBox="0 0 16 16", class_="archkey", aria_hidden="true"), words)
        for shape, words in SHAPES.items()
        if shape in present and shape != "sum"
    ]


def _middle(block: Block) -> tuple[float, float]:
    return block.at[0] * COLUMN, block.at[1] * ROW + MIDDLE


def _height(block: Block) -> float:
    return 26.0 if block.shape == "sum" else HEIGHTS[min(block.scale, len(HEIGHTS) - 1)]


def _half_width(block: Block) -> float:
    return 13.0 if block.shape == "sum" else WIDTH / 2


def _drawn(block: Block) -> SafeString:
    x, y = _middle(block)
    top = block.at[1] * ROW
    parts = [_outline(block.shape, x, y, 2 * _half_width(block), _height(block))]
    parts.append(el("text", block.label, class_="lab halo", x=x, y=top + LABEL, text_anchor="middle"))
    if block.note:
        parts.append(el("text", block.note, class_="ax halo", x=x, y=top + LABEL + 15, text_anchor="middle"))
    return join(parts)


def _outline(shape: str, x: float, y: float, width: float, height: float) -> SafeString:
    """A shape around (x, y)."""
    left, right, top, bottom = x - width / 2, x + width / 2, y - height / 2, y + height / 2
    shrunk = height * 0.22
    ways = {
        "down": f"M{left} {top}L{right} {top + shrunk}V{bottom - shrunk}L{left} {bottom}Z",
        "up": f"M{left} {top + shrunk}L{right} {top}V{bottom}L{left} {bottom - shrunk}Z",
        "hourglass": (
            f"M{left} {top}L{x} {top + 1.4 * shrunk}L{right} {top}"
            f"V{bottom}L{x} {bottom - 1.4 * shrunk}L{left} {bottom}Z"
        ),
    }
    if shape in ways:
        return el("path", class_=f"a-{shape}", d=ways[shape])
    if shape == "maps":
        step = width * 0.14
        sheets = [
            el("rect", class_="a-maps", x=left + (2 - n) * step, y=top + n * step / 2, width=width - 2 * step,
               height=max(4.0, height - step), rx=2)
            for n in range(3)
        ]  # fmt: skip
        return join(sheets)
    if shape == "sum":
        arm = width * 0.28
        plus = el("path", class_="a-plus", d=f"M{x - arm} {y}H{x + arm}M{x} {y - arm}V{y + arm}")
        return join([el("circle", class_="a-sum", cx=x, cy=y, r=width / 2), plus])
    if shape == "pose":
        return join([_frame(left, top, width, height), _body(x, y, min(width, height) * 0.8)])
    if shape == "people":
        bodies = [_body(x + shift * width * 0.23, y, min(width, height) * 0.66) for shift in (-1, 1)]
        return join([_frame(left, top, width, height), *bodies])
    return el("rect", class_=f"a-{shape}", x=left, y=top, width=width, height=height, rx=3)


def _frame(left: float, top: float, width: float, height: float) -> SafeString:
    return el("rect", class_="a-image", x=left, y=top, width=width, height=height, rx=3)


def _body(x: float, y: float, size: float) -> SafeString:
    """A stepping figure, the person's right in the right's colour."""

    def at(u: float, v: float) -> str:
        return f"{x + u * size:.1f} {y + v * size:.1f}"

    spine = el("path", class_="bone bc", d=f"M{at(0, -0.2)}L{at(0, 0.1)}")
    right = el("path", class_="bone br", d=f"M{at(0, -0.18)}L{at(-0.2, 0)}M{at(0, 0.1)}L{at(-0.16, 0.45)}")
    left = el("path", class_="bone bl", d=f"M{at(0, -0.18)}L{at(0.22, -0.08)}M{at(0, 0.1)}L{at(0.18, 0.45)}")
    head = el("circle", class_="a-head", cx=x, cy=round(y - 0.33 * size, 1), r=round(0.11 * size, 1))
    return join([spine, right, left, head])


def _arrowhead() -> SafeString:
    tip = el("path", class_="a-tip", d="M0 0L7 3.5L0 7Z")
    marker = el(
        "marker", tip, id="arrow", viewBox="0 0 7 7", refX="6.5", refY="3.5", markerWidth="7", markerHeight="7",
        orient="auto", markerUnits="userSpaceOnUse",
    )  # fmt: skip
    return el("defs", marker)


def _link(a: Block, b: Block) -> SafeString:
    """From the right side of one to the left side of the other; to another row in a curve."""
    (x1, y1), (x2, y2) = _middle(a), _middle(b)
    start, end = x1 + _half_width(a) + 2, x2 - _half_width(b) - 3
    if a.at[1] == b.at[1]:
        way = f"M{start:.1f} {y1:.1f}H{end:.1f}"
    else:
        bend = (end - start) / 2
        way = f"M{start:.1f} {y1:.1f}C{start + bend:.1f} {y1:.1f} {end - bend:.1f} {y2:.1f} {end:.1f} {y2:.1f}"
    return el("path", class_="a-link", d=way, marker_end="url(#arrow)")


def _skip(a: Block, b: Block) -> SafeString:
    """Over what lies between: up, along and down again; to another row along the gap above it."""
    (x1, y1), (x2, y2) = _middle(a), _middle(b)
    top = min(a.at[1], b.at[1]) * ROW
    over = top - 8 - 8 * (abs(b.at[0] - a.at[0]) > 2)
    start, end = y1 - _height(a) / 2 - 2, y2 - _height(b) / 2 - 3
    way = f"M{x1:.1f} {start:.1f}V{over:.1f}H{x2:.1f}V{end:.1f}"
    return el("path", class_="a-link a-skip", d=way, marker_end="url(#arrow)")


def table(blocks: Sequence[Any]) -> list[tuple[str, str, str]]:
    """What the drawing says, in words: label, kind of step, note."""
    return [(block.label, SHAPES[block.shape], block.note) for block in blocks]
