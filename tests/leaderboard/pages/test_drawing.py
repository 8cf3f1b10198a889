"""Numbers, scales, marks, figures: pure functions, values worked out by hand."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator import dataset_names, load_dataset
from leaderboard.drawing import charts, graticule, labels, marks, numbers, skeleton, svg
from leaderboard.drawing.skeleton import PartResult


def test_numbers_are_written_as_tables_want_them() -> None:
    assert numbers.number(0.7364) == "73.6"
    assert numbers.number(1.0) == "100.0"
    assert numbers.number(None) == numbers.number(float("nan")) == "–"
    assert numbers.number(-0.012) == "−1.2"
    assert (numbers.number(45.26, "mm"), numbers.interval(44.1, 46.04, "mm")) == ("45.3", "44.1–46.0")
    assert (numbers.points(1.04, "mm"), numbers.points(0.02, "mm")) == ("1.0", "0.02")
    assert numbers.interval(0.721, 0.7504) == "72.1–75.0"
    assert numbers.interval(0.7, None) == ""
    assert numbers.interval_in_words(0.721, 0.75) == "72.1 to 75.0"
    assert numbers.points(0.169) == "16.9"
    assert numbers.points(0.0004) == "0.04"
    assert [numbers.ordinal(n) for n in (1, 2, 3, 4, 11, 12, 13, 21, 102, 113)] == [
        "1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "102nd", "113th",
    ]  # fmt: skip


def test_elements_escape_children_and_attributes() -> None:
    drawn = svg.el("text", "<script>", title='"><script>', class_="a", text_anchor="end", viewBox="0 0 1 1", x=1.5)
    assert drawn == (
        '<text title="&quot;&gt;&lt;script&gt;" class="a" text-anchor="end" viewBox="0 0 1 1" x="1.5">'
        "&lt;script&gt;</text>"
    )
    assert svg.el("g", svg.el("path", d="M0 0")) == '<g><path d="M0 0"/></g>'


def test_scale_is_in_round_steps_and_holds_its_values() -> None:
    # 57.1 to 90.5 with its whiskers: tens from 50 to 100
    on = graticule.scale([0.552, 0.571, 0.905, 0.916])
    assert (on.low, on.high, on.step) == (50.0, 100.0, 10.0)
    assert on.position(0.75) == pytest.approx(50.0)
    assert on.majors == [50, 60, 70, 80, 90, 100]
    assert graticule.scale([]) == graticule.Scale(0.0, 100.0, 20.0)


def test_scale_of_millimetres_is_not_held_within_a_hundred() -> None:
    # 38.4 to 61.2: fives from 35 to 65
    on = graticule.scale([38.4, 45.0, 61.2], unit="mm")
    assert (on.low, on.high, on.step, on.unit) == (35.0, 65.0, 5.0, "mm")
    assert on.position(50.0) == pytest.approx(50.0)
    wide = graticule.scale([45.0, 3000.0], unit="mm")
    assert (wide.low, wide.high, wide.step) == (0.0, 3000.0, 500.0)
    assert graticule.in_words("submission", 45.26, 44.1, 46.0, "mm") == "45.3 mm, 95% interval 44.1 to 46.0"
    assert graticule.bar(45.2, unit="mm") == "" and "rect" in graticule.bar(0.5)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=30))
def test_every_scale_of_millimetres_holds_its_values(values: list[float]) -> None:
    on = graticule.scale(values, unit="mm")
    assert 0 <= on.low <= min(values) + 1e-6
    assert max(values) - 1e-6 <= on.high


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_every_scale_holds_its_values_within_percent(values: list[float]) -> None:
    on = graticule.scale(values)
    assert 0 <= on.low <= 100 * min(values) + 1e-6
    assert 100 * max(values) - 1e-6 <= on.high <= 100
    assert 2 <= len(on.majors) <= 8


def test_row_says_in_words_what_it_draws() -> None:
    on = graticule.scale([0.5, 1.0])
    drawn = graticule.row(on, "submission", 0.736, 0.721, 0.75)
    assert 'aria-label="73.6, 95% interval 72.1 to 75.0"' in drawn
    assert drawn.count('class="cap w-sub"') == 2
    alone = graticule.row(on, "reported", 0.905, None, None)
    assert 'aria-label="90.5, reported, no interval"' in alone
    assert "cap" not in alone


def test_marks_differ_by_shape_and_word() -> None:
    drawn = {kind: marks.mark(kind) for kind in marks.WORDS}
    assert "<circle" in drawn["submission"] and "<path" in drawn["baseline"] and "m-rep" in drawn["reported"]
    assert all(word in drawn[kind] for kind, word in marks.WORDS.items())


@pytest.mark.parametrize("name", dataset_names())
def test_every_dataset_draws_all_its_joints(name: str) -> None:
    dataset = load_dataset(name)
    drawn = skeleton.figure(dataset, label="joints")
    assert len(re.findall(r'class="j[lrc] jt"', drawn)) == len(dataset.joints)
    assert drawn.count('class="bone') == len(dataset.skeleton)
    named = skeleton.named(dataset)
    for index in range(len(dataset.joints) if len(dataset.joints) < 40 else 17):
        assert f">{index} " in named
    assert named.count('class="j') >= len(dataset.joints)


def test_figure_without_a_pose_draws_nothing() -> None:
    assert skeleton.figure(SimpleNamespace(joints=("nose",), pose=np.empty((0, 2)), name="x"), label="") == ""


def test_persons_right_is_on_the_viewers_left() -> None:
    dataset = load_dataset("lsp")
    points = skeleton.placed(dataset, height=100)
    assert points["right_shoulder"][0] < 0 < points["left_shoulder"][0]
    assert points["head_top"][1] < points["right_ankle"][1]
    assert [skeleton.side(joint) for joint in ("right_hip", "left_hip", "neck")] == ["r", "l", "c"]


def test_larger_error_has_the_larger_ring() -> None:
    dataset = load_dataset("lsp")
    drawn = skeleton.with_results(dataset, [PartResult("wrist", 0.6), PartResult("knee", 0.9)], label="x")
    radii = [float(each) for each in re.findall(r'class="ring" cx="[\d.]+" cy="[\d.]+" r="([\d.]+)"', drawn)]
    assert sorted(set(radii)) == [8.5, 19.0]  # 5 + 14 * 0.1 / 0.4, 5 + 14
    assert "Wrist 60.0" in drawn and "Knee 90.0" in drawn


def test_joints_that_are_parts_as_well_are_named_once() -> None:
    dataset = load_dataset("posetrack")
    results = [PartResult(part, 0.5) for part in dataset.metric("map@0.5").parts]
    drawn = skeleton.with_results(dataset, results, label="x")
    assert drawn.count('class="ring"') == 15
    assert "Head 50.0" in drawn and "Ankle 50.0" in drawn
    assert "Head top" not in drawn and "Left ankle" not in drawn
    # a part of two joints that is called like one of them stays
    crowd = skeleton.with_results(load_dataset("crowdpose"), [PartResult("head", 0.5)], label="x")
    assert "Head 50.0" in crowd


def test_larger_millimetres_have_the_larger_ring() -> None:
    results = [PartResult("wrist", 80.0, 78.0, 82.0, "mm"), PartResult("knee", 20.0, None, None, "mm")]
    drawn = skeleton.with_results(load_dataset("human36m"), results, label="x")
    radii = [float(each) for each in re.findall(r'class="ring" cx="[\d.]+" cy="[\d.]+" r="([\d.]+)"', drawn)]
    assert sorted(set(radii)) == [8.5, 19.0]  # 5 + 14 * 20 / 80, 5 + 14
    assert "Wrist 80.0" in drawn and "78.0–82.0" in drawn


def test_best_over_time_goes_down_where_lower_is_better() -> None:
    assert charts._steps([(0, 9, 50.0), (1, 8, 60.0), (2, 3, 40.0)], False)[:3] == [(0, 9), (2, 9), (2, 3)]
    assert charts._steps([(0, 9, 0.5), (1, 8, 0.6), (2, 3, 0.4)], True)[:3] == [(0, 9), (1, 9), (1, 8)]


def test_names_beside_marks_never_touch() -> None:
    placing = labels.Labels((0, 0, 420, 260))
    for number in range(12):
        placing.want(60 + 3 * number, 100 + 2 * number, f"Method {number}")
    placed = placing.placed(budget=12)
    assert 0 < len(placed) < 12
    boxes = placing.occupied[12:]
    for index, a in enumerate(boxes):
        for b in boxes[index + 1 :]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def _row(value: float, gflops: float, *, half_width: float = 0.02, name: str = "A") -> SimpleNamespace:
    return SimpleNamespace(
        kind="submission", value=value, low=value - half_width, high=value + half_width, gflops=gflops,
        parameters=None, authors="", name=name, unit="",
    )  # fmt: skip


def test_marks_on_the_same_pixel_are_drawn_once_and_all_are_in_the_table() -> None:
    rows = [_row(0.5, 4.0), _row(0.5, 4.0, name="B"), _row(0.6, 8.0, name="C")]
    chart = charts.against_cost(rows, metric_title="PCK")
    assert chart.svg is not None
    assert chart.svg.count("<circle") == 2 and chart.svg.count('class="whisk') == 2
    assert [row[0] for row in chart.rows] == ["A", "B", "C"]


def test_many_marks_have_no_whiskers() -> None:
    rows = [_row(0.1 + 0.8 * n / 300, 1 + n / 10) for n in range(300)]
    chart = charts.against_cost(rows, metric_title="PCK")
    assert chart.svg is not None
    assert "whisk" not in chart.svg and chart.svg.count("<circle") > 200
    assert chart.rows[0][-1] == "8.0–12.0"  # 0.1 and 0.02 on either side
