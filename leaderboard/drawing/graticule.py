"""One continuous scale for all rows: marks and whiskers on it are positions, so it need not start at zero."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from django.utils.safestring import SafeString

from evaluator.dataset import NUMBER
from leaderboard.drawing import marks
from leaderboard.drawing.numbers import factor, interval_in_words, number, short, with_unit
from leaderboard.drawing.svg import el, join

FINE_STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05)  # of plain numbers, whose size nobody knows
STEPS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 25.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 1e4, 1e5, 1e6)


@dataclass(frozen=True)
class Scale:
    """From `low` to `high` as printed (percent, or millimetres), a labelled line every `step`."""

    low: float
    high: float
    step: float
    unit: str = ""  # of the values: "" for fractions

    def position(self, value: float) -> float:
        """Where a value lies, in percent of the width, clipped to the scale."""
        return self.at(factor(self.unit) * value)

    def at(self, printed: float) -> float:
        """Where a printed number lies."""
        return min(100.0, max(0.0, 100 * (printed - self.low) / (self.high - self.low)))

    @property
    def majors(self) -> list[float]:
        count = round((self.high - self.low) / self.step)
        return [self.low + index * self.step for index in range(count + 1)]

    @property
    def minors(self) -> list[float]:
        return [major + self.step / 2 for major in self.majors[:-1]]

    @property
    def words(self) -> str:
        return f"{short(self.low)} to {short(self.high)}"


def scale(given: Iterable[float | None], *, unit: str = "", most_lines: int = 6) -> Scale:
    """The tightest scale in round steps that holds all the values; of fractions within 0 and 100 when they are."""
    values = [factor(unit) * value for value in given if value is not None and math.isfinite(value)]
    if not values:
        return Scale(0.0, 100.0, 20.0, unit)
    low, high = min(values), max(values)
    fine = unit == NUMBER
    for step in (*FINE_STEPS, *STEPS) if fine else STEPS:
        start, end = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
        if end - start < 2 * step - 1e-9:
            # one value, or several within a step: give it air on both sides
            start, end = start - step, end + step
        if not unit and high <= 100 and end > 100:
            start, end = start - (end - 100), 100.0
        if low >= 0 and start < 0:
            start, end = 0.0, max(end, step)
        if (end - start) / step <= most_lines + 1e-9 and (fine or end - start >= 1.0):
            return Scale(start, end, step, unit)
    return Scale(0.0, max(100.0, high), max(20.0, high / 5), unit)


def symbol(on: Scale, *, id_: str = "scale") -> SafeString:
    """The lines of the scale, written once per page and used by every row."""
    lines = [_vertical("g0", on.at(minor)) for minor in on.minors]
    lines += [_vertical("g1", on.at(major)) for major in on.majors]
    return el("svg", el("symbol", *lines, id=id_), class_="defs", aria_hidden="true", width=0, height=0)


def header(on: Scale, *, height: int = 44) -> SafeString:
    """The labelled ticks over the rows."""
    parts = []
    for major in on.majors:
        x = on.at(major)
        parts.append(_vertical("g1", x, height - 8, height))
        parts.append(el("text", short(major), class_="tickt", x=f"{x:.2f}%", y=height - 13, text_anchor="middle"))
    parts += [_vertical("g0", on.at(minor), height - 4, height) for minor in on.minors]
    return el("svg", *parts, height=height, aria_hidden="true")


def row(
    on: Scale,
    kind: str,
    value: float,
    low: float | None,
    high: float | None,
    *,
    height: int = 52,
    id_: str = "scale",
    bleed: int = 0,
) -> SafeString:
    """A row's mark and whisker. The label says the same in words; phones print the ends of the scale.

    The lines run on by `bleed` above and below, for a cell that may be taller because its row's name is long.
    """
    middle = height / 2
    lines = el("use", href=f"#{id_}", y=-bleed, width="100%", height=height + 2 * bleed)
    parts = [lines, *whisker(on, kind, low, high, middle)]
    parts.append(marks.at_percent(kind, on.position(value), middle))
    parts.append(_ends(on, height))
    return el("svg", *parts, height=height, role="img", aria_label=in_words(kind, value, low, high, on.unit))


def in_words(kind: str, value: float, low: float | None, high: float | None, unit: str = "") -> str:
    """`73.6, 95% interval 72.1 to 75.0`; `45.3 mm, no interval`."""
    said = with_unit(number(value, unit), unit)
    if low is None or high is None:
        return f"{said}, {'reported, ' if kind == 'reported' else ''}no interval"
    return f"{said}, 95% interval {interval_in_words(low, high, unit)}"


def whisker(on: Scale, kind: str, low: float | None, high: float | None, y: float) -> list[SafeString]:
    """The interval as a line with caps; nothing where there is no interval."""
    if low is None or high is None:
        return []
    name = marks.SHORT[kind]
    left, right = on.position(low), on.position(high)
    return [
        el("line", class_=f"whisk w-{name}", x1=f"{left:.2f}%", x2=f"{right:.2f}%", y1=y, y2=y),
        _vertical(f"cap w-{name}", left, y - 4.5, y + 4.5),
        _vertical(f"cap w-{name}", right, y - 4.5, y + 4.5),
    ]


def mini(
    kind: str,
    value: float,
    low: float | None,
    high: float | None,
    *,
    best: tuple[str, float] | None = None,
    unit: str = "",
    height: int = 34,
) -> SafeString:
    """The scale of one score card, with the board's best (kind, value) where it is somebody else's."""
    # room beside the whisker, so that its length says something
    room = 1.5 * (high - low) if low is not None and high is not None else 0.1 * abs(value) if unit else 0.05
    around = [max(0.0, value - room), value + room if unit else min(1.0, value + room)]
    within = unit or 0 <= value <= 1
    on = scale([value, low, high, best[1] if best else None, *(around if within else [])], unit=unit, most_lines=8)
    middle = height / 2
    parts = [_vertical("g1" if index % 2 else "g0", on.at(major), 0, height) for index, major in enumerate(on.majors)]
    parts += whisker(on, kind, low, high, middle)
    if best:
        x = on.position(best[1])
        anchor = "end" if x > 70 else "start" if x < 30 else "middle"
        parts.append(
            el("text", f"board best {number(best[1], unit)}", class_="tickt", x=f"{x:.2f}%", y=-3, text_anchor=anchor)
        )
        parts.append(marks.at_percent(best[0], x, middle))
    parts.append(marks.at_percent(kind, on.position(value), middle))
    parts.append(_ends(on, height))
    label = f"{in_words(kind, value, low, high, unit)}, on a scale from {on.words}"
    return el("svg", *parts, class_="mini", height=height, role="img", aria_label=label)


def bar(value: float, *, unit: str = "") -> SafeString:
    """A thin bar of a fraction under a number, decoration beside it; nothing under a length."""
    if unit:
        return join([])
    filled = el("rect", width=f"{min(100.0, max(0.0, 100 * value)):.1f}%", height=3)
    return el("svg", filled, height=3, aria_hidden="true")


def ranks(best: int, worst: int, total: int) -> SafeString:
    """The strip of possible ranks on a score card: possible ones tinted, the best filled."""
    shown = range(1, min(total, 12) + 1)
    width = 100 / len(shown)
    parts = []
    for place in shown:
        kind = "r-own" if place == best else "r-may" if best <= place <= worst else "r-no"
        x = (place - 1) * width
        parts.append(el("rect", class_=kind, x=f"{x + 0.6:.2f}%", y=9, width=f"{width - 1.2:.2f}%", height=16, rx=2))
        parts.append(
            el(
                "text",
                place,
                class_="tickt inv" if place == best else "tickt",
                x=f"{x + width / 2:.2f}%",
                y=21,
                text_anchor="middle",
            )
        )
    label = f"rank {best} of {total}" if best == worst else f"rank {best}, could be {best} to {worst}, of {total}"
    return el("svg", *parts, class_="mini", height=34, role="img", aria_label=label)


def _ends(on: Scale, height: float) -> SafeString:
    return el(
        "g",
        el("text", short(on.low), class_="tickt", x=2, y=height - 3),
        el("text", short(on.high), class_="tickt", x="100%", y=height - 3, text_anchor="end", dx=-2),
        class_="ends",
    )


def _vertical(class_: str, x: float, y1: float | str = 0, y2: float | str = "100%") -> SafeString:
    return el("line", class_=class_, x1=f"{x:.2f}%", x2=f"{x:.2f}%", y1=y1, y2=y2)


__all__ = ["Scale", "bar", "header", "in_words", "join", "mini", "ranks", "row", "scale", "symbol", "whisker"]
