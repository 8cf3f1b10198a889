"""Ranks, ties and the order of boards, on rows made by hand."""

from __future__ import annotations

import random

import pytest

from evaluator import load_dataset
from leaderboard.boards import rankings
from leaderboard.boards.rankings import UnknownMetric, board
from leaderboard.boards.rows import Cell, Row, merge, order, rank
from leaderboard.models import Benchmark, ReportedResult

KEY = ("pck@0.2", "all")


def row(name: str, value: float | None, kind: str = "submission", **interval: float) -> Row:
    cells = {} if value is None else {KEY: Cell(value, interval.get("low"), interval.get("high"))}
    return Row(kind=kind, name=name, team="T", cells=cells)


def test_equal_values_share_the_best_rank_and_the_next_one_counts_them() -> None:
    rows = rank([row("c", 0.5), row("a", 0.7), row("b", 0.7), row("d", 0.9)], key=KEY, higher_is_better=True)
    assert [(each.name, each.rank, each.worst_rank, each.tied) for each in rows] == [
        ("d", 1, 1, False),
        ("a", 2, 3, True),
        ("b", 2, 3, True),
        ("c", 4, 4, False),
    ]


def test_lower_is_better_turns_the_board_around() -> None:
    rows = rank([row("a", 0.7), row("b", 0.2)], key=KEY, higher_is_better=False)
    assert [(each.name, each.rank) for each in rows] == [("b", 1), ("a", 2)]


def test_row_without_the_number_is_last_and_has_no_rank() -> None:
    rows = rank([row("none", None), row("zero", 0.0)], key=KEY, higher_is_better=True)
    assert [(each.name, each.rank) for each in rows] == [("zero", 1), ("none", None)]


def test_order_of_the_rows_given_does_not_matter() -> None:
    rows = [row(f"m{number}", round(random.Random(number).random(), 1)) for number in range(30)]
    expected = rank(rows, key=KEY, higher_is_better=True)
    for seed in range(20):
        random.Random(seed).shuffle(rows)
        assert rank(rows, key=KEY, higher_is_better=True) == expected


def test_bold_only_where_intervals_do_not_meet() -> None:
    clear = rank(
        [row("a", 0.9, low=0.88, high=0.92), row("b", 0.8, low=0.78, high=0.82)], key=KEY, higher_is_better=True
    )
    assert [bool(each.top) for each in clear] == [True, False]
    close = rank(
        [row("a", 0.9, low=0.80, high=0.92), row("b", 0.8, low=0.78, high=0.82)], key=KEY, higher_is_better=True
    )
    assert not any(each.top for each in close)
    unknown = rank([row("a", 0.9), row("b", 0.1)], key=KEY, higher_is_better=True)
    assert not any(each.top for each in unknown)


def test_bold_is_the_smallest_where_lower_is_better() -> None:
    def errors(*values: tuple[str, float, float]) -> list[Row]:
        cells = [(name, Cell(value, value - half, value + half, "mm", False)) for name, value, half in values]
        return [Row(kind="submission", name=name, team="T", cells={KEY: cell}) for name, cell in cells]

    clear = rank(errors(("a", 60, 1), ("b", 45, 1), ("c", 48, 1)), key=KEY, higher_is_better=False)
    assert [(each.name, each.rank, bool(each.top), each.unit) for each in clear] == [
        ("b", 1, True, "mm"), ("c", 2, False, "mm"), ("a", 3, False, "mm"),
    ]  # fmt: skip
    close = rank(errors(("a", 60, 1), ("b", 45, 2), ("c", 48, 2)), key=KEY, higher_is_better=False)
    assert not any(each.top for each in close)


def test_reported_rows_are_listed_by_value_without_a_rank() -> None:
    ranked = rank([row("a", 0.9), row("b", 0.5)], key=KEY, higher_is_better=True)
    papers = order([row("paper", 0.9, "reported"), row("old", 0.6, "reported")], key=KEY, higher_is_better=True)
    merged = merge(ranked, papers, higher_is_better=True)
    assert [(each.name, each.rank) for each in merged] == [("a", 1), ("paper", None), ("old", None), ("b", 2)]


@pytest.mark.parametrize("higher", [True, False])
def test_what_has_no_value_comes_after_what_has_one(higher: bool) -> None:
    measured = rank([row("a", 0.5), row("none", None)], key=KEY, higher_is_better=higher)
    papers = order([row("paper", 0.5, "reported"), row("silent", None, "reported")], key=KEY, higher_is_better=higher)
    names = [each.name for each in merge(measured, papers, higher_is_better=higher)]
    assert names == ["a", "paper", "none", "silent"]


def test_a_score_of_a_metric_that_is_gone_is_a_fraction_and_higher_is_better() -> None:
    assert rankings._cell({}, "old@0.2", 0.5) == Cell(0.5, None, None, "", higher_is_better=True)
    specs = {spec.name: spec for spec in load_dataset("human36m").metrics}
    assert rankings._cell(specs, "mpjpe", 50.0, 48.0, 52.0) == Cell(50.0, 48.0, 52.0, "mm", higher_is_better=False)


@pytest.mark.django_db
def test_unknown_metric_and_part_name_the_known_ones() -> None:
    benchmark = Benchmark.objects.create(slug="lsp-x", dataset="lsp", split="x", title="LSP")
    with pytest.raises(UnknownMetric, match=r"choose one of pck@0\.2"):
        board(benchmark, metric="accuracy")
    with pytest.raises(UnknownMetric, match="has no part nose"):
        board(benchmark, part="nose")


@pytest.mark.django_db
def test_reported_results_come_from_the_data_file_with_their_source() -> None:
    from leaderboard.operations import reported_results

    benchmark = Benchmark.objects.create(slug="lsp-test-pc", dataset="lsp", split="test-pc", title="LSP")
    assert reported_results.load() == reported_results.load() == ReportedResult.objects.count()
    rows = {each.name: each for each in board(benchmark).reported}
    machines = rows["Convolutional Pose Machines"]
    assert machines.value == pytest.approx(0.905)
    assert machines.cells["pck@0.2", "wrist"].value == pytest.approx(0.839)
    assert machines.rank is None
    assert machines.source
