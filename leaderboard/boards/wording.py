"""The summaries above a board and a submission: what the numbers show, and what they do not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.utils.html import format_html
from django.utils.safestring import SafeString

from evaluator.dataset import NUMBER, part_label
from leaderboard.boards.rows import clearly_better, extent, leads
from leaderboard.drawing.numbers import apart, interval_in_words, number, with_unit

FEWEST_PEOPLE = 200


def board_summary(ranked: Sequence[Any], *, people: int, higher_is_better: bool) -> SafeString | None:
    """The summary of the measured rows, best first. None where nothing is measured.

    It follows the rule of the ranks and the bold numbers: either a leader is clear of every other row, or the order is
    not settled. Of rows that `clearly_better` does not separate, none is called equal to or better than another.
    """
    rows = [row for row in ranked if row.value is not None]
    if not rows:
        return None
    first, unit = rows[0], rows[0].unit
    if len(rows) == 1:
        return format_html(
            "<strong>Only {} has been measured</strong>, at {}. There is nothing to compare it with yet.",
            first.name,
            _with_interval(first),
        )
    second = rows[1]
    lead = abs(first.value - second.value)
    sharing = [row for row in rows if row.value == first.value]
    reaching = [row for row in rows[1:] if not clearly_better(first, row, higher_is_better=higher_is_better)]
    if len(sharing) > 1:
        said = format_html(
            "<strong>{} share the {} value, {}.</strong>",
            _listed([row.name for row in sharing]),
            "highest" if higher_is_better else "lowest",
            number(first.value, unit),
        )
        more = len([row for row in reaching if row.value != first.value])
        behind = f"{more} other row{'' if more == 1 else 's'}"
        return format_html("{} {} cannot be told apart from them.", said, behind) if more else said
    led_by = apart(lead, unit)
    if not reaching:
        ahead = format_html("<strong>{} leads by {}</strong>", first.name, led_by)
        if not leads(first, rows[1:], higher_is_better=higher_is_better):
            return format_html("{} over {}. {}", ahead, second.name, _no_interval(people))
        rest = _rest(rows[1:], people, higher_is_better=higher_is_better)
        return format_html("{}, and its interval overlaps no other.{}", ahead, rest)
    best = format_html("<strong>{} has the best number</strong>, {} before {}. ", first.name, led_by, second.name)
    counted = f"{people:,} people are too few to settle"
    if len(reaching) > 1:
        how = f"The intervals of {len(reaching)} others overlap its own, so {counted} who leads."
        return format_html("{}{}", best, how)
    other = reaching[0]
    if not _has_interval(first) or not _has_interval(other):
        holder, held = (other, first) if _has_interval(other) else (first, other)
        return format_html("{}The interval of {} includes the number of {}, so {} the order of the two.", best,
                           holder.name, held.name, counted)  # fmt: skip
    if other is second:
        return format_html("{}Their intervals overlap, so {} the order of the two.", best, counted)
    return format_html(
        "{}The interval of {} overlaps its own, so {} the order of these two.", best, other.name, counted
    )


def _has_interval(row: Any) -> bool:
    return row.low is not None and row.high is not None


def _rest(rows: Sequence[Any], people: int, *, higher_is_better: bool) -> SafeString | str:
    """About the group behind a clear leader: the rows that follow, none of them clearly better than another."""
    group: list[Any] = []
    hardest: Any = None  # the row of the group that is hardest to separate: a row that ties with it ties with all
    for row in rows:
        if not _has_interval(row) or (group and clearly_better(hardest, row, higher_is_better=higher_is_better)):
            break
        group.append(row)
        worse_end = extent(row)[0 if higher_is_better else 1]
        if hardest is None or (worse_end > extent(hardest)[0] if higher_is_better else worse_end < extent(hardest)[1]):
            hardest = row
    if len(group) < 3:
        return ""
    span = abs(group[0].value - group[-1].value)
    return format_html(
        " The next {} lie within {}, with overlapping intervals: {} people are too few to put them in order.",
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
    return f"{said} (95% interval {words})" if words else said


def reported_note(ranked: Sequence[Any], reported: Sequence[Any], *, higher_is_better: bool) -> SafeString | str:
    """A note where a reported number is better than every measured one; otherwise empty."""
    measured = [row.value for row in ranked if row.value is not None]
    printed = [row for row in reported if row.value is not None]
    if not measured or not printed:
        return ""
    best = printed[0]
    # as printed: papers report one decimal, and a smaller difference does not count
    decimals = 3 if best.unit in ("", NUMBER) else 1
    best_here = round(max(measured) if higher_is_better else min(measured), decimals)
    printed_best = round(best.value, decimals)
    ahead = printed_best > best_here if higher_is_better else printed_best < best_here
    if not ahead:
        return ""
    value = number(best.value, best.unit)
    return format_html(" {} reports {}, which was not verified here and is not ranked.", best.name, value)


def stale_note(count: int, *, ranked: int) -> str:
    """About the rows that are listed without a rank because their annotations are no longer in force."""
    if not count:
        return ""
    if not ranked:
        rows = "The only measured row was" if count == 1 else f"All {count:,} measured rows were"
        return f" {rows} scored on earlier annotations."
    rows = "One row was" if count == 1 else f"{count:,} rows were"
    return f" {rows} scored on earlier annotations and {'is' if count == 1 else 'are'} not ranked."


def submission_summary(
    *, worst_parts: Sequence[tuple[str, float]], best_parts: Sequence[tuple[str, float]], unit: str = ""
) -> SafeString | None:
    """The strongest and the weakest part of a submission; None where it has no parts."""
    if not worst_parts or not best_parts or worst_parts[0][0] == best_parts[0][0]:
        return None
    worst, best = worst_parts[0], best_parts[0]
    return format_html(
        "<strong>{} is its weakest part, at {}</strong>; {} is its strongest, at {}.",
        part_label(worst[0]),
        number(worst[1], unit),
        part_label(best[0]).lower(),
        number(best[1], unit),
    )


def _count(number: int) -> str:
    return {2: "two", 3: "three", 4: "four", 5: "five", 6: "six", 7: "seven", 8: "eight", 9: "nine"}.get(
        number, str(number)
    )


def _listed(names: Sequence[str]) -> str:
    if len(names) > 3:
        return f"{', '.join(names[:2])} and {len(names) - 2} more"
    return f"{', '.join(names[:-1])} and {names[-1]}"
