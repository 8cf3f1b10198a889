"""Ranks, bold numbers and the summary above a board follow one rule: over random boards they never disagree."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leaderboard.boards.rows import Cell, Row, clearly_better, leads, rank, rank_range
from leaderboard.boards.wording import board_summary

KEY = ("pck@0.2", "all")
# few values, so that intervals often touch and numbers are often equal
grid = st.integers(0, 12).map(lambda step: step / 12)


@st.composite
def boards(draw: Any) -> tuple[list[Row], bool]:
    """Rows with and without intervals, points, touching ends, and intervals that do not hold their value."""
    higher, rows = draw(st.booleans()), []
    for number in range(draw(st.integers(1, 8))):
        value, ends = draw(grid), sorted([draw(grid), draw(grid)])
        low, high = draw(
            st.sampled_from([(None, None), (value, value), (min(value, ends[0]), max(value, ends[1])), ends])
        )
        cell = Cell(value, low, high, "" if higher else "mm", higher)
        rows.append(Row(kind="submission", name=f"m{number}", team="T", cells={KEY: cell}))
    return rows, higher


def ranked(rows: list[Row], higher: bool) -> list[Row]:
    return rank(rows, key=KEY, higher_is_better=higher)


def said(rows: list[Row], higher: bool) -> str:
    return str(board_summary(rows, people=1000, higher_is_better=higher))


@settings(max_examples=400)
@given(boards())
def test_summary_bold_and_ranks_agree(board: tuple[list[Row], bool]) -> None:
    rows, higher = ranked(*board), board[1]
    text, first = said(rows, higher), rows[0]
    bold = [row for row in rows if KEY in row.top]
    for row in rows:
        others = [other for other in rows if other is not row]
        assert (row.rank, row.worst_rank) == rank_range(row, others, higher_is_better=higher)
        assert row.tied == (row.rank != row.worst_rank)
        assert (KEY in row.top) == leads(row, others, higher_is_better=higher)
    assert first.rank == 1
    assert ("overlaps no other" in text) == bool(bold)
    assert bold in ([], [first])
    if len(rows) == 1:
        assert "Only" in text and not bold
        return
    # an order that the sentence leaves open is one that the ranks leave open, and the other way round
    unsettled = any(words in text for words in ("too few to settle", "share the"))
    assert unsettled == first.tied
    if counted := re.search(r"intervals of (\d+) others", text):
        assert first.worst_rank == 1 + int(counted[1])
    elif "too few to settle" in text:
        assert first.worst_rank == 2
    assert not ("may be chance" in text and (bold or first.tied))


@settings(max_examples=200)
@given(boards())
def test_group_that_is_not_put_in_order_has_no_order(board: tuple[list[Row], bool]) -> None:
    rows, higher = ranked(*board), board[1]
    words = {"three": 3, "four": 4, "five": 5, "six": 6, "seven": 7}
    if counted := re.search(r"The next (\w+) lie within", said(rows, higher)):
        group = rows[1 : 1 + words[counted[1]]]
        assert not any(clearly_better(a, b, higher_is_better=higher) for a in group for b in group)


@settings(max_examples=200)
@given(boards(), st.booleans())
def test_empty_file_changes_nothing_above_it(board: tuple[list[Row], bool], with_interval: bool) -> None:
    """An empty `[]` scores exactly 0: a leader with an interval above 0 keeps the bold and the rank."""
    rows, _ = board
    plain = [
        Row(kind="submission", name=row.name, team="T", cells={KEY: Cell(c.value, c.low, c.high)})
        for row in rows
        if (c := row.cells[KEY]).value > 0 and (c.low is None or c.low > 0)
    ]
    ends = (0.0, 0.0) if with_interval else (None, None)
    nothing = Row(kind="submission", name="nothing", team="T", cells={KEY: Cell(0.0, *ends)})
    before, after = ranked(plain, True), ranked([*plain, nothing], True)
    assert after[-1].name == "nothing" and after[-1].rank == after[-1].worst_rank == len(after)
    for old, new in zip(before, after, strict=False):
        assert (old.name, old.rank, old.worst_rank) == (new.name, new.rank, new.worst_rank)
        assert old.top <= new.top


def test_empty_file_leaves_the_leader_bold() -> None:
    def row(name: str, *numbers: float) -> Row:
        return Row(kind="submission", name=name, team="T", cells={KEY: Cell(*numbers)})

    rows = ranked([row("best", 0.9, 0.88, 0.92), row("second", 0.7, 0.68, 0.72), row("empty", 0.0)], True)
    assert [(each.name, each.rank, bool(each.top)) for each in rows] == [
        ("best", 1, True), ("second", 2, False), ("empty", 3, False),
    ]  # fmt: skip
    assert "overlaps no other" in said(rows, True)


def test_order_that_is_not_settled_is_a_range_of_ranks() -> None:
    cells = [("a", Cell(0.736, 0.721, 0.751)), ("b", Cell(0.734, 0.719, 0.749)), ("c", Cell(0.571, 0.55, 0.59))]
    rows = ranked([Row(kind="submission", name=name, team="T", cells={KEY: cell}) for name, cell in cells], True)
    assert [(each.rank, each.worst_rank, each.tied) for each in rows] == [(1, 2, True), (1, 2, True), (3, 3, False)]
    assert "are too few to settle the order of the two" in said(rows, True)


@pytest.mark.parametrize("higher", [True, False])
@pytest.mark.parametrize(
    ("group", "listed"),
    [
        # the first of three decides about the last: its interval begins higher than the second's
        ([(0.70, 0.80), (0.60, 0.79), (0.50, 0.69)], False),
        ([(0.70, 0.80), (0.60, 0.79), (0.50, 0.71)], True),
        # the second does
        ([(0.60, 0.90), (0.70, 0.78), (0.55, 0.69)], False),
        ([(0.60, 0.90), (0.70, 0.78), (0.55, 0.71)], True),
    ],
)
def test_a_group_ends_at_the_first_row_that_one_of_it_is_clearly_better_than(
    group: list[tuple[float, float]], listed: bool, higher: bool
) -> None:
    spans = [(0.95, 0.97), *group]
    cells = []
    for low, high in spans if higher else [(1 - high, 1 - low) for low, high in spans]:
        cells.append(Cell((low + high) / 2, low, high, "" if higher else "mm", higher))
    rows = [Row(kind="submission", name=f"m{n}", team="T", cells={KEY: cell}) for n, cell in enumerate(cells)]
    assert ("The next three lie within" in said(ranked(rows, higher), higher)) == listed


@pytest.mark.parametrize(("others", "words"), [(0, None), (1, "1 other row cannot"), (2, "2 other rows cannot")])
def test_rows_with_the_same_best_value_are_listed_together(others: int, words: str | None) -> None:
    cells = [Cell(0.9, 0.88, 0.92)] * 2 + [Cell(0.89, 0.87, 0.91)] * others + [Cell(0.5, 0.48, 0.52)]
    rows = [Row(kind="submission", name=f"m{n}", team="T", cells={KEY: cell}) for n, cell in enumerate(cells)]
    text = said(ranked(rows, True), True)
    assert "m0 and m1 share the highest value" in text
    assert ("cannot be told apart from them" in text) == bool(words)
    assert words is None or words in text


@pytest.mark.parametrize(
    ("one", "other", "better"),
    [
        ((0.9, 0.88, 0.92), (0.8, 0.78, 0.82), True),
        ((0.9, 0.82, 0.92), (0.8, 0.78, 0.82), False),  # they touch
        ((0.9, None, None), (0.8, 0.78, 0.82), True),
        ((0.9, None, None), (0.89, 0.87, 0.91), False),  # the other's interval holds it
        ((0.9, 0.88, 0.92), (0.8, None, None), True),
        ((0.9, None, None), (0.9, None, None), False),
        ((1.0, 1.0, 1.0), (0.99, 0.98, 1.0), False),
        ((0.9, 0.5, 0.6), (0.7, 0.65, 0.75), False),  # an interval beside its value reaches as far as the value
    ],
)
def test_clearly_better(one: Any, other: Any, better: bool) -> None:
    assert clearly_better(Cell(*one), Cell(*other), higher_is_better=True) is better
    assert not clearly_better(Cell(*other), Cell(*one), higher_is_better=True)
