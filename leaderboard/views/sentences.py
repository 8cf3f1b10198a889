"""The sentence above a board or a submission: what the numbers allow one to say, and what they do not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.utils.html import format_html
from django.utils.safestring import SafeString

from evaluator.definitions import NUMBER
from leaderboard.drawing.numbers import apart, interval_in_words, number, with_unit

FEWEST_PEOPLE = 200


def board_verdict(ranked: Sequence[Any], *, people: int, higher_is_better: bool = True) -> SafeString | None:
    """About the measured rows, best first. None where nothing is measured.

    Two intervals that do not overlap are called apart; two that do are called undecided, never equal and never better:
    only a paired test could tell, and the board does not claim one.
    """
    rows = [row for row in ranked if row.value is not None]
    if not rows:
        return None
    first, unit = rows[0], rows[0].unit
    if len(rows) == 1:
        return format_html(
            "<strong>Only {} has been measured</strong>, at {}. There is nothing yet to compare it with.",
            first.name,
            _with_interval(first),
        )
    second = rows[1]
    lead = abs(first.value - second.value)
    sharing = [row for row in rows if row.value == first.value]
    if len(sharing) > 1:
        return format_html(
            "<strong>{} share the {} value, {}.</strong>",
            _listed([row.name for row in sharing]),
            "highest" if higher_is_better else "lowest",
            number(first.value, unit),
        )
    led_by = apart(lead, unit)
    ahead = format_html("<strong>{} leads by {}</strong>", first.name, led_by)
    if first.low is None or first.high is None:
        return format_html("{} over {}. {}", ahead, second.name, _no_interval(people))
    overlapping = [row for row in rows[1:] if _reaches(row, first)]
    if not overlapping:
        rest = _rest(rows[1:], people)
        return format_html("{}, and its interval lies clear of every other.{}", ahead, rest)
    if len(overlapping) == 1:
        return format_html(
            "<strong>{} has the best number</strong>, {} before {}. "
            "Their intervals overlap, so {} people alone do not settle the order of the two.",
            first.name, led_by, second.name, f"{people:,}",
        )  # fmt: skip
    return format_html(
        "<strong>{} has the best number</strong>, {} before {}. "
        "The intervals of {} others overlap its own, so {} people alone do not settle who leads.",
        first.name, led_by, second.name, len(overlapping), f"{people:,}",
    )  # fmt: skip


def _reaches(row: Any, other: Any) -> bool:
    """Whether the two intervals overlap; a number without an interval is taken as a point."""
    ends = [
        (each.value, each.value) if each.low is None or each.high is None else (each.low, each.high)
        for each in (row, other)
    ]
    return bool(ends[0][0] <= ends[1][1] and ends[1][0] <= ends[0][1])


def _rest(rows: Sequence[Any], people: int) -> SafeString | str:
    """About the group behind a clear leader, where their intervals run into one another."""
    group = [rows[0]]
    for row in rows[1:]:
        if not _reaches(row, group[0]):
            break
        group.append(row)
    if len(group) < 3:
        return ""
    span = abs(group[0].value - group[-1].value)
    return format_html(
        " The next {} lie within {}, with intervals that overlap: {} people alone do not put them in order.",
        _count(len(group)),
        apart(span, group[0].unit),
        f"{people:,}",
    )


def _no_interval(people: int) -> str:
    if people and people < FEWEST_PEOPLE:
        return f"There are no intervals, with fewer than {FEWEST_PEOPLE} people, so the lead may be chance."
    return "These numbers have no intervals, so the lead may be chance."


def _with_interval(row: Any) -> str:
    words = interval_in_words(row.low, row.high, row.unit)
    said = with_unit(number(row.value, row.unit), row.unit)
    return f"{said} (95 % interval {words})" if words else said


def reported_note(ranked: Sequence[Any], reported: Sequence[Any], *, higher_is_better: bool) -> SafeString | str:
    """Said only where a printed number is better than every measured one."""
    measured = [row.value for row in ranked if row.value is not None]
    printed = [row for row in reported if row.value is not None]
    if not measured or not printed:
        return ""
    best = printed[0]
    # as printed: a difference that the one decimal of a paper does not show is none
    decimals = 3 if best.unit in ("", NUMBER) else 1
    best_here = round(max(measured) if higher_is_better else min(measured), decimals)
    printed_best = round(best.value, decimals)
    ahead = printed_best > best_here if higher_is_better else printed_best < best_here
    if not ahead:
        return ""
    value = number(best.value, best.unit)
    return format_html(" {} printed {}, which was not verified here and is not ranked.", best.name, value)


def stale_note(count: int, *, ranked: int) -> str:
    """About the rows that are listed without a rank because their annotations are no longer in force."""
    if not count:
        return ""
    if not ranked:
        rows = "The only measured row was" if count == 1 else f"All {count:,} measured rows were"
        return f" {rows} scored on earlier annotations."
    rows = "One row was" if count == 1 else f"{count:,} rows were"
    return f" {rows} scored on earlier annotations and {'is' if count == 1 else 'are'} not ranked."


def submission_verdict(
    *, worst_parts: Sequence[tuple[str, float]], best_parts: Sequence[tuple[str, float]], unit: str = ""
) -> SafeString | None:
    """Where a submission is weak and where strong, by part; none where it has no parts."""
    if not worst_parts or not best_parts or worst_parts[0][0] == best_parts[0][0]:
        return None
    worst, best = worst_parts[0], best_parts[0]
    return format_html(
        "<strong>{} is its weakest part, at {}</strong>; {} is its strongest, at {}.",
        _words(worst[0]),
        number(worst[1], unit),
        _words(best[0]).lower(),
        number(best[1], unit),
    )


def _words(part: str) -> str:
    return part.replace("_", " ").capitalize()


def _count(number: int) -> str:
    return {2: "two", 3: "three", 4: "four", 5: "five", 6: "six", 7: "seven", 8: "eight", 9: "nine"}.get(
        number, str(number)
    )


def _listed(names: Sequence[str]) -> str:
    if len(names) > 3:
        return f"{', '.join(names[:2])} and {len(names) - 2} more"
    return f"{', '.join(names[:-1])} and {names[-1]}"
