"""The charts under a board, server-rendered, 420 wide, each with the table behind it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from django.utils.safestring import SafeString

from leaderboard.drawing import marks
from leaderboard.drawing.graticule import Scale, scale
from leaderboard.drawing.labels import Labels, names
from leaderboard.drawing.numbers import factor, interval, number, short
from leaderboard.drawing.svg import el

LEFT, RIGHT, TOP, BOTTOM = 34.0, 408.0, 14.0, 260.0
FRAME = (LEFT, 0.0, 422.0, BOTTOM)
MOST_WHISKERS = 200  # with more of them the marks drown; the table has every interval


@dataclass(frozen=True)
class Chart:
    """A figure: what it is, one line on what to see, the drawing (None: nothing to draw, and why), its table."""

    title: str
    note: str
    svg: SafeString | None
    head: tuple[str, ...] = ()
    rows: Sequence[tuple[str, ...]] = ()


def best_over_time(rows: Sequence[Any], *, metric_title: str, higher_is_better: bool) -> Chart:
    """A step line through ranked results in order of time; reported ones are off the line once any is measured."""
    title = "Best score over time"
    rows = [row for row in rows if row.value is not None]
    years = {row.year for row in rows if row.year}
    by_year = len(years) > 1 or (bool(years) and not any(row.published_at for row in rows))
    timed = sorted(
        ((moment, row) for row in rows if (moment := _moment(row, by_year=by_year)) is not None),
        key=lambda pair: pair[0],
    )
    if not timed:
        return Chart(title, "No row has a year. Add the year of your method's paper to show it here.", None)
    measured = any(row.kind != "reported" for _, row in timed)
    unit = timed[0][1].unit
    on = scale([value for _, row in timed for value in (row.value, row.low, row.high)], unit=unit)
    first, last = timed[0][0], timed[-1][0]
    span = (last - first) or 1.0

    def x_of(moment: float) -> float:
        if last == first:
            return (LEFT + RIGHT) / 2
        return LEFT + 30 + (RIGHT - LEFT - 96) * (moment - first) / span

    parts = _levels(on, LEFT)
    parts += _time_axis(first, last, by_year=by_year, x_of=x_of)
    steps = _steps(
        [
            (x_of(moment), _y(on, row.value), row.value)
            for moment, row in timed
            if row.kind != "reported" or not measured
        ],
        higher_is_better,
    )
    labels = Labels(FRAME)
    if steps:
        parts.append(el("path", class_="curve", stroke="var(--ink)", d=_path(steps)))
        for (x1, y1), (x2, y2) in pairwise(steps):
            labels.avoid(x1, y1, x2, y2)
    places, whiskers = MarkPlaces(), len(timed) <= MOST_WHISKERS
    for (moment, row), name in zip(timed, names([row for _, row in timed]), strict=True):
        x, y = x_of(moment), _y(on, row.value)
        if places.first(row.kind, x, y):
            parts += _marked(on, row, x, y, labels, whisker=whiskers)
            labels.want(x, y, name)
    parts += labels.placed(budget=7)
    note = "Year of publication." if by_year else "When each result was published on this site."
    if whiskers and any(row.low is not None for _, row in timed):
        note += " Whiskers are 95% intervals."
    if not measured:
        note += " All results are reported."
    table = [
        (_when(moment, by_year), row.name, marks.WORDS[row.kind], number(row.value, unit)) for moment, row in timed
    ]
    return Chart(
        title, note, _plot(parts, f"Best {metric_title} over time"), ("When", "Method", "Kind", metric_title), table
    )


def every_part(rows: Sequence[Any], columns: Sequence[Any]) -> Chart:
    """One line per column of the board, one mark per row."""
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
        return Chart(title, "No row has scores per part yet. Every scored submission has them.", None)
    unit = lines[0][1][0][1].unit
    lines = [line for line in lines if line[1][0][1].unit == unit][:10]  # one scale for all
    on = scale([cell.value for _, cells in lines for _, cell in cells], unit=unit)
    left, bottom = 78.0, 260.0

    def x_of(value: float) -> float:
        return left + (RIGHT - left) * on.position(value) / 100

    parts = []
    for major in on.majors:
        x = round(left + (RIGHT - left) * on.at(major) / 100, 1)
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
        places = MarkPlaces()
        parts += [
            marks.at(row.kind, x_of(cell.value), y, size=3.7)
            for row, cell in sorted(cells, key=lambda pair: pair[0].kind != "reported")
            if places.first(row.kind, x_of(cell.value), y)
        ]
    several = [spread for spread in spreads if spread[2] > 1]
    note = "One mark per method."
    if len(several) > 1:
        wide, narrow = max(several), min(several)
        if factor(unit) * (wide[0] - narrow[0]) > 0.5:
            note = f"{wide[1]} separates the methods most, {narrow[1]} least."
    head = ("Method", *(column.label for column, _ in lines))
    table = []
    for row in rows:
        values_of = [row.cells.get((column.metric, column.part)) for column, _ in lines]
        if any(values_of):
            table.append((row.name, *(number(cell.value if cell else None, unit) for cell in values_of)))
    return Chart(title, note, _plot(parts, "Score per part, one mark per method"), head, table)


def against_cost(rows: Sequence[Any], *, metric_title: str) -> Chart:
    """Score against GFLOPs, or against parameters where more rows state those."""
    rows = [row for row in rows if row.value is not None]
    by_gflops = [(row.gflops, row) for row in rows if row.gflops]
    by_parameters = [(row.parameters / 1e6, row) for row in rows if row.parameters]
    costed, name = (by_parameters, "parameters, M") if len(by_parameters) > len(by_gflops) else (by_gflops, "GFLOPs")
    title = f"Score against {'parameters' if name.startswith('p') else 'computation'}"
    if not costed:
        return Chart(title, "No row states its parameters or GFLOPs. Add them to your method to show it here.", None)
    unit = costed[0][1].unit
    on = scale([value for _, row in costed for value in (row.value, row.low, row.high)], unit=unit)
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
    labels = Labels(FRAME)
    places, whiskers = MarkPlaces(), len(costed) <= MOST_WHISKERS
    for (cost, row), short_name in zip(costed, names([row for _, row in costed]), strict=True):
        x, y = x_of(cost), _y(on, row.value)
        if places.first(row.kind, x, y):
            parts += _marked(on, row, x, y, labels, whisker=whiskers)
            labels.want(x, y, short_name)
    parts += labels.placed(budget=8)
    note = f"{name[0].upper()}{name[1:]}, as stated by each method{', logarithmic' if logarithmic else ''}."
    table = [
        (
            row.name,
            marks.WORDS[row.kind],
            f"{cost:.3g}",
            number(row.value, unit),
            interval(row.low, row.high, unit) or "–",
        )
        for cost, row in sorted(costed, key=lambda pair: pair[0])
    ]
    return Chart(
        title,
        note,
        _plot(parts, f"{metric_title} against {name}"),
        ("Method", "Kind", name, metric_title, "95% interval"),
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
        y = round(BOTTOM - (BOTTOM - TOP) * on.at(major) / 100, 1)
        parts.append(el("line", class_="g0", x1=left - 2, x2=RIGHT, y1=y, y2=y))
        parts.append(el("text", short(major), class_="ax", x=left - 9, y=y + 4, text_anchor="end"))
    parts.append(el("line", class_="base0", x1=left - 2, x2=RIGHT, y1=BOTTOM, y2=BOTTOM))
    return parts


def _upright(kind: str, x: float, y1: float, y2: float) -> list[SafeString]:
    name = marks.SHORT[kind]
    x, y1, y2 = round(x, 1), round(y1, 1), round(y2, 1)
    caps = [el("line", class_=f"cap w-{name}", x1=x - 4, x2=x + 4, y1=y, y2=y) for y in (y1, y2)]
    return [el("line", class_=f"whisk w-{name}", x1=x, x2=x, y1=y1, y2=y2), *caps]


class MarkPlaces:
    """Where marks are: a second one of the same kind on the same pixel would not show."""

    def __init__(self) -> None:
        self._places: set[tuple[str, int, int]] = set()

    def first(self, kind: str, x: float, y: float) -> bool:
        """Whether this is the first of its kind there."""
        place = kind, round(x), round(y)
        known = place in self._places
        self._places.add(place)
        return not known


def _marked(on: Scale, row: Any, x: float, y: float, labels: Labels, *, whisker: bool) -> list[SafeString]:
    """A row's mark with its whisker, which names must keep clear of."""
    parts = []
    if whisker and row.low is not None and row.high is not None:
        labels.avoid(x, _y(on, row.low), x, _y(on, row.high))
        parts += _upright(row.kind, x, _y(on, row.low), _y(on, row.high))
    return [*parts, marks.at(row.kind, x, y)]


def _steps(points: list[tuple[float, float, float]], higher_is_better: bool) -> list[tuple[float, float]]:
    """The corners of the running best: level until something better comes."""
    corners: list[tuple[float, float]] = []
    best: float | None = None
    for x, y, value in points:
        if best is None:
            corners.append((x, y))
        elif value != best and (value > best) == higher_is_better:
            corners += [(x, corners[-1][1]), (x, y)]
        else:
            continue
        best = value
    return [*corners, (RIGHT, corners[-1][1])] if corners else []


def _path(corners: list[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in corners)


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
        ticks, labels = [], set()
        for moment in moments:
            text = datetime.fromtimestamp(moment, UTC).strftime(form if first != last else "%-d %b %Y")
            if text not in labels:
                labels.add(text)
                ticks.append((moment, text))
    parts = []
    for moment, text in ticks:
        x = round(x_of(moment), 1)
        parts.append(el("line", class_="base0", x1=x, x2=x, y1=BOTTOM, y2=BOTTOM + 5))
        parts.append(el("text", text, class_="ax", x=x, y=278, text_anchor="middle"))
    return parts


def _ticks(most: float) -> list[float]:
    rough = most / 4
    step = next(s * 10**p for p in range(-6, 12) for s in (1, 2, 5) if s * 10**p >= rough * 0.999)
    return [index * step for index in range(math.ceil(most / step - 1e-9) + 1)]


def _log_ticks(least: float, most: float) -> list[float]:
    return [10.0**power for power in range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)]


__all__ = ["Chart", "against_cost", "best_over_time", "every_part"]
