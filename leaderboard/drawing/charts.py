"""The charts under a board, server-rendered, 420 wide, each with the table behind it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.utils.safestring import SafeString

from leaderboard.drawing import marks
from leaderboard.drawing.graticule import Scale, scale
from leaderboard.drawing.numbers import interval, percent, short
from leaderboard.drawing.svg import el

LEFT, RIGHT, TOP, BOTTOM = 34.0, 408.0, 14.0, 260.0


@dataclass(frozen=True)
class Chart:
    """A figure: what it is, one line on what to see, the drawing (None: nothing to draw, and why), its table."""

    title: str
    note: str
    svg: SafeString | None
    head: tuple[str, ...] = ()
    rows: list[tuple[str, ...]] = field(default_factory=list)


def best_over_time(rows: Sequence[Any], *, metric_title: str, higher_is_better: bool) -> Chart:
    """A step line through ranked results in order of time; reported rings stay off it while anything is measured."""
    title = "Best score over time"
    rows = [row for row in rows if row.value is not None]
    by_year = len({row.year for row in rows if row.year}) > 1
    timed = sorted(
        ((moment, row) for row in rows if (moment := _moment(row, by_year=by_year)) is not None),
        key=lambda pair: pair[0],
    )
    if not timed:
        return Chart(title, "No row says when it was made. The year of a method's paper puts it here.", None)
    measured = any(row.kind != "reported" for _, row in timed)
    on = scale([value for _, row in timed for value in (row.value, row.low, row.high)])
    first, last = timed[0][0], timed[-1][0]
    span = (last - first) or 1.0

    def x_of(moment: float) -> float:
        if last == first:
            return (LEFT + RIGHT) / 2
        return LEFT + 30 + (RIGHT - LEFT - 96) * (moment - first) / span

    parts = _levels(on, LEFT)
    parts += _time_axis(first, last, by_year=by_year, x_of=x_of)
    line = _steps(
        [(x_of(moment), _y(on, row.value), row) for moment, row in timed if row.kind != "reported" or not measured],
        higher_is_better,
    )
    if line:
        parts.append(el("path", class_="curve", stroke="var(--ink)", d=line))
    labels = _Labels()
    for moment, row in timed:
        x, y = x_of(moment), _y(on, row.value)
        if row.low is not None and row.high is not None:
            parts += _upright(row.kind, x, _y(on, row.low), _y(on, row.high))
        parts.append(marks.at(row.kind, x, y))
        labels.want(x, y, _brief(row.name))
    parts += labels.placed(budget=9)
    note = "Year of publication." if by_year else "When each result was published here."
    if any(row.low is not None for _, row in timed):
        note += " Whiskers are 95 % intervals."
    if not measured:
        note += " All reported: the line passes through printed numbers."
    table = [(_when(moment, by_year), row.name, marks.WORDS[row.kind], percent(row.value)) for moment, row in timed]
    return Chart(
        title, note, _plot(parts, f"Best {metric_title} over time"), ("When", "Method", "Kind", metric_title), table
    )


def every_part(rows: Sequence[Any], columns: Sequence[Any]) -> Chart:
    """One line a column of the board, one mark a row."""
    title = (
        "Every part, every method" if len({column.metric for column in columns}) == 1 else "Every number, every method"
    )
    lines = []
    for column in columns:
        cells = [
            (row, row.cells[column.metric, column.part]) for row in rows if (column.metric, column.part) in row.cells
        ]
        if cells:
            lines.append((column, cells))
    if not lines:
        return Chart(title, "No row has numbers by part yet. A scored submission has all of them.", None)
    lines = lines[:10]
    on = scale([cell.value for _, cells in lines for _, cell in cells])
    left, bottom = 78.0, 260.0

    def x_of(value: float) -> float:
        return left + (RIGHT - left) * on.position(value) / 100

    parts = []
    for major in on.majors:
        x = round(x_of(major / 100), 1)
        parts.append(el("line", class_="g0", x1=x, x2=x, y1=10, y2=bottom))
        parts.append(el("text", short(major), class_="ax", x=x, y=278, text_anchor="middle"))
    spreads = []
    for index, (column, cells) in enumerate(lines):
        y = 10 + (bottom - 10) * (index + 0.5) / len(lines)
        values = [cell.value for _, cell in cells]
        spreads.append((max(values) - min(values), column.label, len(values)))
        parts.append(el("text", column.label, x=left - 12, y=round(y + 4, 1), text_anchor="end"))
        parts.append(
            el(
                "line",
                class_="g1",
                x1=round(x_of(min(values)), 1),
                x2=round(x_of(max(values)), 1),
                y1=round(y, 1),
                y2=round(y, 1),
            )
        )
        parts += [
            marks.at(row.kind, x_of(cell.value), y, size=3.7)
            for row, cell in sorted(cells, key=lambda pair: pair[0].kind != "reported")
        ]
    several = [spread for spread in spreads if spread[2] > 1]
    note = "One mark a method."
    if len(several) > 1:
        wide, narrow = max(several), min(several)
        if wide[0] - narrow[0] > 0.005:
            note = f"{wide[1]} separates the methods most, {narrow[1]} least."
    head = ("Method", *(column.label for column, _ in lines))
    table = []
    for row in rows:
        values_of = [row.cells.get((column.metric, column.part)) for column, _ in lines]
        if any(values_of):
            table.append((row.name, *(percent(cell.value if cell else None) for cell in values_of)))
    return Chart(title, note, _plot(parts, "Each part's score, every method one mark"), head, table)


def against_cost(rows: Sequence[Any], *, metric_title: str) -> Chart:
    """Score against GFLOPs, or against parameters where more rows state those."""
    rows = [row for row in rows if row.value is not None]
    by_gflops = [(row.gflops, row) for row in rows if row.gflops]
    by_parameters = [(row.parameters / 1e6, row) for row in rows if row.parameters]
    costed, name = (by_parameters, "parameters, M") if len(by_parameters) > len(by_gflops) else (by_gflops, "GFLOPs")
    title = f"Score against {'parameters' if name.startswith('p') else 'computation'}"
    if not costed:
        return Chart(
            title, "No row states its parameters or GFLOPs. Edit your method to say them, and it stands here.", None
        )
    on = scale([value for _, row in costed for value in (row.value, row.low, row.high)])
    most, least = max(cost for cost, _ in costed), min(cost for cost, _ in costed)
    logarithmic = least > 0 and most / least > 30
    ticks = _log_ticks(least, most) if logarithmic else _ticks(most)
    low, high = (math.log10(ticks[0]), math.log10(ticks[-1])) if logarithmic else (0.0, ticks[-1])

    def x_of(cost: float) -> float:
        at = math.log10(cost) if logarithmic else cost
        return LEFT + 8 + (RIGHT - LEFT - 30) * (at - low) / ((high - low) or 1.0)

    parts = _levels(on, LEFT)
    for tick in ticks:
        x = round(x_of(tick), 1)
        parts.append(el("line", class_="base0", x1=x, x2=x, y1=BOTTOM, y2=BOTTOM + 5))
        parts.append(el("text", short(tick), class_="ax", x=x, y=278, text_anchor="middle"))
    labels = _Labels()
    for cost, row in costed:
        x, y = x_of(cost), _y(on, row.value)
        if row.low is not None and row.high is not None:
            parts += _upright(row.kind, x, _y(on, row.low), _y(on, row.high))
        parts.append(marks.at(row.kind, x, y))
        labels.want(x, y, _brief(row.name))
    parts += labels.placed(budget=9)
    note = f"{name[0].upper()}{name[1:]}, as stated by each method{', logarithmic' if logarithmic else ''}. Up and left is better."
    table = [
        (row.name, marks.WORDS[row.kind], f"{cost:.3g}", percent(row.value), interval(row.low, row.high) or "–")
        for cost, row in sorted(costed, key=lambda pair: pair[0])
    ]
    return Chart(
        title,
        note,
        _plot(parts, f"{metric_title} against {name}"),
        ("Method", "Kind", name, metric_title, "95 % interval"),
        table,
    )


# --- pieces ----------------------------------------------------------------------------------------------------------


def _plot(parts: list[SafeString], label: str) -> SafeString:
    return el("svg", *parts, class_="plot", viewBox="0 0 420 290", role="img", aria_label=label)


def _y(on: Scale, value: float) -> float:
    return BOTTOM - (BOTTOM - TOP) * on.position(value) / 100


def _levels(on: Scale, left: float) -> list[SafeString]:
    parts = []
    for major in on.majors:
        y = round(_y(on, major / 100), 1)
        parts.append(el("line", class_="g0", x1=left - 2, x2=RIGHT, y1=y, y2=y))
        parts.append(el("text", short(major), class_="ax", x=left - 9, y=y + 4, text_anchor="end"))
    parts.append(el("line", class_="base0", x1=left - 2, x2=RIGHT, y1=BOTTOM, y2=BOTTOM))
    return parts


def _upright(kind: str, x: float, y1: float, y2: float) -> list[SafeString]:
    name = marks.SHORT[kind]
    x, y1, y2 = round(x, 1), round(y1, 1), round(y2, 1)
    caps = [el("line", class_=f"cap w-{name}", x1=x - 4, x2=x + 4, y1=y, y2=y) for y in (y1, y2)]
    return [el("line", class_=f"whisk w-{name}", x1=x, x2=x, y1=y1, y2=y2), *caps]


def _steps(points: list[tuple[float, float, Any]], higher_is_better: bool) -> str:
    """The running best as a path: level until something better comes."""
    path, best = "", None
    for x, y, row in points:
        if best is None:
            path = f"M{x:.1f} {y:.1f}"
        elif (row.value > best) == higher_is_better and row.value != best:
            path += f"H{x:.1f}V{y:.1f}"
        else:
            continue
        best = row.value
    return f"{path}H{RIGHT}" if path else ""


def _moment(row: Any, *, by_year: bool) -> float | None:
    """Years, or seconds since 1970."""
    if by_year:
        return float(row.year) if row.year else (float(row.published_at.year) if row.published_at else None)
    return row.published_at.timestamp() if row.published_at else None


def _when(moment: float, by_year: bool) -> str:
    return f"{moment:.0f}" if by_year else f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M} UTC"


def _time_axis(first: float, last: float, *, by_year: bool, x_of: Any) -> list[SafeString]:
    if by_year:
        years = range(int(first), int(last) + 1)
        step = max(1, math.ceil(len(years) / 6))
        ticks = [(float(year), str(year)) for year in years[::step]]
    else:
        start, end = datetime.fromtimestamp(first, UTC), datetime.fromtimestamp(last, UTC)
        form = "%H:%M" if start.date() == end.date() else "%-d %b" if start.year == end.year else "%b %Y"
        count = 1 if first == last else 4
        moments = [first + (last - first) * index / max(1, count - 1) for index in range(count)]
        ticks, seen = [], set()
        for moment in moments:
            text = datetime.fromtimestamp(moment, UTC).strftime(form if first != last else "%-d %b %Y")
            if text not in seen:
                seen.add(text)
                ticks.append((moment, text))
    parts = []
    for moment, text in ticks:
        x = round(x_of(moment), 1)
        parts.append(el("line", class_="base0", x1=x, x2=x, y1=BOTTOM, y2=BOTTOM + 5))
        parts.append(el("text", text, class_="ax", x=x, y=278, text_anchor="middle"))
    return parts


class _Labels:
    """Names beside marks; one that would touch another is left out, and stands in the table."""

    def __init__(self) -> None:
        self.wanted: list[tuple[float, float, str]] = []

    def want(self, x: float, y: float, text: str) -> None:
        self.wanted.append((x, y, text))

    def placed(self, *, budget: int) -> list[SafeString]:
        taken: list[tuple[float, float, float, float]] = [(x - 6, y - 6, x + 6, y + 6) for x, y, _ in self.wanted]
        parts: list[SafeString] = []
        # the best first: they are what one looks for
        for x, y, text in sorted(self.wanted, key=lambda item: item[1]):
            if len(parts) >= budget:
                break
            width = 6.4 * len(text)
            for dx, dy, anchor in (
                (10, 4, "start"),
                (-10, 4, "end"),
                (0, -11, "middle"),
                (0, 20, "middle"),
                (8, -9, "start"),
                (8, 17, "start"),
                (-8, -9, "end"),
                (-8, 17, "end"),
            ):
                left = x + dx - (width if anchor == "end" else width / 2 if anchor == "middle" else 0)
                box = (left, y + dy - 10, left + width, y + dy + 3)
                if box[0] < LEFT or box[2] > 420 or box[1] < 0 or box[3] > BOTTOM:
                    continue
                if any(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in taken):
                    continue
                taken.append(box)
                parts.append(
                    el("text", text, class_="lab halo", x=round(x + dx, 1), y=round(y + dy, 1), text_anchor=anchor)
                )
                break
        return parts


def _brief(name: str) -> str:
    return name if len(name) <= 22 else f"{name[:20].rstrip()}…"


def _ticks(most: float) -> list[float]:
    rough = most / 4
    step = next(s * 10**p for p in range(-6, 12) for s in (1, 2, 5) if s * 10**p >= rough * 0.999)
    return [index * step for index in range(math.ceil(most / step - 1e-9) + 1)]


def _log_ticks(least: float, most: float) -> list[float]:
    return [10.0**power for power in range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)]


__all__ = ["Chart", "against_cost", "best_over_time", "every_part"]
