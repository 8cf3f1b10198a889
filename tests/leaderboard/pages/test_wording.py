"""The summary above a board claims what the numbers show, and no more."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from leaderboard.boards.wording import board_summary, reported_note, submission_summary


def row(name: str, value: float, half: float | None = None, unit: str = "") -> Any:
    low, high = (None, None) if half is None else (value - half, value + half)
    return SimpleNamespace(name=name, value=value, low=low, high=high, unit=unit)


def said(*rows: Any, people: int = 1000, higher: bool = True) -> str:
    return str(board_summary(rows, people=people, higher_is_better=higher))


def test_nothing_measured_says_nothing() -> None:
    assert board_summary([], people=10, higher_is_better=True) is None


def test_one_row_has_nothing_to_be_compared_with() -> None:
    assert "Only A has been measured" in said(row("A", 0.7, 0.01))


def test_clear_leader_leads_and_the_rest_is_left_undecided() -> None:
    text = said(row("A", 0.9, 0.01), row("B", 0.736, 0.015), row("C", 0.734, 0.015), row("D", 0.73, 0.015))
    assert "A leads by 16.4 points" in text
    assert "overlaps no other" in text
    assert "The next three lie within 0.6 points" in text


def test_numbers_up_to_nine_are_words() -> None:
    written = ["three", "four", "five", "six", "seven", "eight", "nine", "10", "11"]
    for count, word in enumerate(written, 3):
        text = said(row("A", 0.9, 0.01), *(row(f"M{n}", 0.736 - 0.001 * n, 0.015) for n in range(count)))
        assert f"The next {word} lie within" in text


def test_overlapping_intervals_are_not_called_a_lead() -> None:
    text = said(row("A", 0.736, 0.015), row("B", 0.734, 0.015))
    assert "leads" not in text
    assert "has the best number" in text and "are too few to settle the order" in text


def test_without_intervals_the_lead_may_be_chance() -> None:
    assert "may be chance" in said(row("A", 0.8), row("B", 0.7))
    assert "fewer than 200 people" in said(row("A", 0.8), row("B", 0.7), people=50)


def test_equal_values_share() -> None:
    assert "A and B share the highest value, 70.0" in said(row("A", 0.7), row("B", 0.7), row("C", 0.1))
    assert "lowest" in said(row("A", 0.7), row("B", 0.7), higher=False)


def test_millimetres_are_counted_as_such() -> None:
    text = said(row("A", 45.25, 0.5, "mm"), row("B", 52.75, 0.5, "mm"), higher=False)
    assert "A leads by 7.5 mm" in text
    assert "Only A has been measured</strong>, at 45.2 mm (95% interval 44.7 to 45.7)" in said(
        row("A", 45.21, 0.5, "mm"), higher=False
    )
    assert "A and B share the lowest value, 45.2" in said(
        row("A", 45.2, None, "mm"), row("B", 45.2, None, "mm"), higher=False
    )
    assert "has the best number</strong>, 0.2 mm before B" in said(
        row("A", 45.2, 0.5, "mm"), row("B", 45.4, 0.5, "mm"), higher=False
    )
    measured = [row("A", 45.25, None, "mm")]
    assert "B reports 40.1" in str(reported_note(measured, [row("B", 40.1, None, "mm")], higher_is_better=False))
    # printed with one decimal, neither 45.21 nor a larger error is better
    assert reported_note(measured, [row("B", 45.21, None, "mm")], higher_is_better=False) == ""
    assert reported_note(measured, [row("B", 50.0, None, "mm")], higher_is_better=False) == ""


def test_weakest_part_of_an_error_is_the_largest() -> None:
    parts = [("wrist", 80.0), ("hip", 20.0)]
    text = str(submission_summary(worst_parts=parts, best_parts=parts[::-1], unit="mm"))
    assert "Wrist is its weakest part, at 80.0" in text and "hip is its strongest, at 20.0" in text


def test_names_are_escaped() -> None:
    assert "<script>" not in said(row("<script>", 0.7), row("B", 0.6))


def test_printed_number_is_mentioned_only_when_it_is_better() -> None:
    measured = [row("A", 0.8)]
    assert "B reports 90.0" in str(reported_note(measured, [row("B", 0.9)], higher_is_better=True))
    assert reported_note(measured, [row("B", 0.7)], higher_is_better=True) == ""
    # one decimal is printed: a difference behind it is none
    assert reported_note(measured, [row("B", 0.8002)], higher_is_better=True) == ""
    assert reported_note([], [row("B", 0.9)], higher_is_better=True) == ""


def test_a_submission_with_one_part_has_no_strongest_and_no_weakest() -> None:
    assert submission_summary(worst_parts=[("head", 0.5)], best_parts=[("head", 0.5)]) is None
    assert submission_summary(worst_parts=[], best_parts=[]) is None
    text = str(submission_summary(worst_parts=[("wrist", 0.5)], best_parts=[("head", 0.5)]))
    assert "Wrist is its weakest part" in text and "head is its strongest" in text


def test_up_to_three_names_are_listed_and_more_are_counted() -> None:
    names = ["A", "B", "C", "D", "E"]
    listed = [said(*(row(name, 0.7) for name in names[:count])) for count in (2, 3, 4, 5)]
    for text, words in zip(listed, ("A and B", "A, B and C", "A, B and 2 more", "A, B and 3 more"), strict=True):
        assert f"{words} share the highest value" in text
