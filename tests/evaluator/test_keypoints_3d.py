"""MPJPE, PA-MPJPE, 3DPCK and AUC worked by hand, and what truths and uploads in space must be."""

from __future__ import annotations

import dataclasses
import gzip
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from evaluator import GroundTruthError, PredictionError, evaluate, load_dataset, measure, read_predictions, read_truth
from evaluator.space import predictions_in_space
from tests.evaluator.pose_cases import in_space, scores_of

H36M, DHP = load_dataset("human36m"), load_dataset("mpi_inf_3dhp")
POSE = np.random.default_rng(0).normal(0, 300, (17, 3)).round()


def truth_of(actions: Sequence[str], points: Any = POSE) -> dict[str, Any]:
    """One person per image, 1.., all in the same pose."""
    return {
        "images": [{"id": number} for number, _ in enumerate(actions, 1)],
        "annotations": [
            {"id": number, "image_id": number, "keypoints_3d": np.asarray(points).ravel().tolist(), "action": action}
            for number, action in enumerate(actions, 1)
        ],
    }


def entries_of(*poses: Any) -> list[dict[str, Any]]:
    return [{"image_id": n, "keypoints_3d": np.asarray(pose).ravel().tolist()} for n, pose in enumerate(poses, 1)]


def off(joint: int, offset: Sequence[float], pose: Any = POSE) -> Any:
    moved = np.array(pose)
    moved[joint] += offset
    return moved


def all_but_root(dataset: Any, offset: Sequence[float]) -> Any:
    moved = POSE + offset
    moved[dataset.joint("pelvis")] = POSE[dataset.joint("pelvis")]
    return moved


def test_one_joint_off_is_a_seventeenth_of_its_distance() -> None:
    # The right knee is off by (3, 4, 12), 13 mm: 13 / 17 over 17 joints. The place of the whole pose does not matter.
    pose = off(2, (3, 4, 12)) + np.array([5000, -70, 300])
    scores = scores_of(evaluate("human36m", entries_of(pose), truth_of(["walking"])))
    assert scores["mpjpe", "all"] == pytest.approx(13 / 17, abs=1e-12)
    assert scores["mpjpe", "knee"] == pytest.approx(13 / 2, abs=1e-12)  # of two knees one is exact
    assert scores["mpjpe", "ankle"] == 0
    assert scores["mpjpe", "walking"] == pytest.approx(13 / 17, abs=1e-12)
    assert ("mpjpe", "sitting") not in scores


def test_the_root_off_puts_every_other_joint_off() -> None:
    # Relative to a pelvis that is 13 mm off, the 16 other joints are.
    scores = scores_of(evaluate("human36m", entries_of(off(0, (3, 4, 12))), truth_of(["walking"])))
    assert scores["mpjpe", "all"] == pytest.approx(16 * 13 / 17, abs=1e-12)


def test_alignment_forgives_size_and_direction_and_nothing_else() -> None:
    turned = 2 * POSE @ np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]).T + [1, 2, 3]
    scores = scores_of(evaluate("human36m", entries_of(turned), truth_of(["walking"])))
    assert scores["pa_mpjpe", "all"] == pytest.approx(0, abs=1e-9)
    assert scores["mpjpe", "all"] > 100
    mirrored = scores_of(evaluate("human36m", entries_of(POSE * [1, 1, -1]), truth_of(["walking"])))
    assert mirrored["pa_mpjpe", "all"] > 50


def test_the_mean_of_actions_is_not_the_mean_of_frames() -> None:
    # Sixteen of seventeen joints are off by 17 mm in one frame of walking, by 34 mm in three of sitting: 16 and 32 mm.
    # The mean of the two actions is 24, that of the four frames (16 + 3 * 32) / 4 = 28.
    near, far = all_but_root(H36M, (17, 0, 0)), all_but_root(H36M, (0, 0, 34))
    truth = truth_of(["walking", "sitting", "sitting", "sitting"])
    scores = scores_of(evaluate("human36m", entries_of(near, far, far, far), truth))
    assert scores["mpjpe", "walking"] == pytest.approx(16, abs=1e-12)
    assert scores["mpjpe", "sitting"] == pytest.approx(32, abs=1e-12)
    assert scores["mpjpe", "mean_of_actions"] == pytest.approx(24, abs=1e-12)
    assert scores["mpjpe", "all"] == pytest.approx(28, abs=1e-12)


def test_a_joint_at_exactly_150_mm_is_not_correct() -> None:
    # 14 joints count. One is off by 150 mm, one by 149.5; pelvis, spine and head are off and do not count.
    pose = off(DHP.joint("right_wrist"), (0, 90, 120))
    pose = off(DHP.joint("left_wrist"), (149.5, 0, 0), pose)
    pose = off(DHP.joint("head"), (900, 0, 0), off(DHP.joint("spine"), (0, 900, 0), pose))
    scores = scores_of(evaluate("mpi_inf_3dhp", entries_of(pose), truth_of(["sports"])))
    assert scores["pck3d@150mm", "all"] == pytest.approx(13 / 14, abs=1e-12)
    assert scores["pck3d@150mm", "wrist"] == 0.5
    assert scores["pck3d@150mm", "sports"] == pytest.approx(13 / 14, abs=1e-12)
    # MPJPE counts all 17 joints: (150 + 149.5 + 900 + 900) / 17.
    assert scores["mpjpe", "all"] == pytest.approx(2099.5 / 17, abs=1e-12)


@pytest.mark.parametrize(
    ("distance", "passed"),
    # of the thresholds 0, 5, .. 150 those above the distance: 12.5 has 15, 20, .. 150; 15 only 20, .. 150
    [(0, 30), (12.5, 28), (15, 27), (149.5, 1), (150, 0), (4000, 0)],
)
def test_the_area_is_the_mean_of_31_shares(distance: float, passed: int) -> None:
    pose = all_but_root(DHP, (0, distance, 0))
    scores = scores_of(evaluate("mpi_inf_3dhp", entries_of(pose), truth_of(["sports"])))
    assert scores["pck3d_auc", "all"] == pytest.approx(passed / 31, abs=1e-12)
    assert scores["pck3d_auc", "knee"] == pytest.approx(passed / 31, abs=1e-12)


@pytest.mark.parametrize("last", [150, 145, 5])
def test_the_area_is_the_mean_of_the_rates_up_to_its_last_threshold(last: int) -> None:
    from evaluator.metrics.pck3d import measure as rate

    truth, entries = in_space("mpi_inf_3dhp", 5)
    annotations, predictions = read_truth(truth, DHP), read_predictions(entries, DHP)

    def pooled(threshold: int, step: int | None = None) -> float:
        tally = rate(annotations, predictions, DHP, names=["x"], root="pelvis", threshold=threshold, step=step)
        return tally.scores()[-1].value

    thresholds = range(0, last + 5, 5)
    assert pooled(last, 5) == pytest.approx(np.mean([pooled(each) for each in thresholds]), abs=1e-12)
    (area,) = (
        s.value for s in evaluate("mpi_inf_3dhp", entries, truth).scores if s.metric == "pck3d_auc" and s.part == "all"
    )
    assert area == pooled(150, 5)


def test_unscored_joints_count_only_where_every_joint_is_asked_for() -> None:
    from evaluator.metrics.mpjpe import measure as mean_error

    head = DHP.joint("head")
    assert not DHP.scored[head]
    pose = off(head, (3, 4, 12))
    annotations, predictions = read_truth(truth_of(["sports"]), DHP), read_predictions(entries_of(pose), DHP)
    options = {"names": ["mpjpe"], "root": "pelvis"}
    assert mean_error(annotations, predictions, DHP, **options).scores()[-1].value == 0
    every = mean_error(annotations, predictions, DHP, **options, every_joint=True).scores()[-1].value
    assert every == pytest.approx(13 / len(DHP.joints), abs=1e-12)


def test_joints_that_nobody_annotated_leave_the_mean_and_the_alignment() -> None:
    # Sixteen annotated joints, one of them off by 13 mm; the wrist that is not annotated lies anywhere.
    truth = truth_of(["walking"])
    truth["annotations"][0]["keypoints_3d"][-3:] = [None] * 3
    pose = off(16, (4000, 0, 0), off(2, (3, 4, 12)))
    scores = scores_of(evaluate("human36m", entries_of(pose), truth))
    assert scores["mpjpe", "all"] == pytest.approx(13 / 16, abs=1e-12)
    assert scores["mpjpe", "wrist"] == 0  # the other wrist
    assert scores["pa_mpjpe", "all"] < 13


def test_intervals_of_means_and_of_rates() -> None:
    truth, entries = in_space("mpi_inf_3dhp", 1, images=250, most_people=1)
    report = evaluate("mpi_inf_3dhp", entries, truth, intervals=True)
    whole = {score.metric: score for score in report.scores if score.part == "all"}
    assert set(whole) == {"pck3d@150mm", "pck3d_auc", "mpjpe", "pa_mpjpe"}
    for score in whole.values():
        assert score.low is not None and score.high is not None and score.low < score.value < score.high
    # The usual interval of the mean over images agrees: 1.96 standard errors to both sides, to a tenth of their length.
    annotations, predictions = read_truth(truth, DHP), read_predictions(entries, DHP)
    tally = measure(DHP, predictions, annotations)[2]
    rows = tally.sums[:, :17].sum(axis=1), tally.counts[:, :17].sum(axis=1)  # type: ignore[attr-defined]
    residual = rows[0] - whole["mpjpe"].value * rows[1]
    error = np.sqrt((residual**2).sum()) / rows[1].sum()
    assert whole["mpjpe"].high - whole["mpjpe"].low == pytest.approx(2 * 1.96 * error, rel=0.1)  # type: ignore[operator]


def test_a_file_of_bytes_gives_what_the_list_gives() -> None:
    truth, entries = in_space("human36m", 2)
    expected = evaluate("human36m", entries, truth).scores
    content = json.dumps(entries).encode()
    assert evaluate("human36m", content, json.dumps(truth).encode()).scores == expected
    assert evaluate("human36m", gzip.compress(content), truth).scores == expected


def test_arrays_of_people_give_what_the_list_gives() -> None:
    truth, entries = in_space("human36m", 3)
    found = predictions_in_space(
        [row["image_id"] for row in entries],
        np.array([row["keypoints_3d"] for row in entries]).reshape(-1, 17, 3),
        [row["person_id"] for row in entries],
    )
    assert evaluate("human36m", found, truth).scores == evaluate("human36m", entries, truth).scores
    assert found.keypoints_3d is not None
    assert evaluate("human36m", found.keypoints_3d, truth).scores == evaluate("human36m", entries, truth).scores
    with pytest.raises(PredictionError, match="keypoints_3d have the shape"):
        evaluate("human36m", found.keypoints_3d[:-1], truth)
    with pytest.raises(ValueError, match=r"\[N, K, 3\]"):
        predictions_in_space([1], np.zeros((1, 51)))


@pytest.mark.parametrize(
    ("change", "code", "pointer"),
    [
        (lambda p: p[:, :16], "wrong_count", ""),
        (lambda p: np.where(np.arange(17)[:, None] == 4, np.nan, p), "missing_joint", "/0/keypoints_3d/12"),
        (lambda p: np.where(np.arange(17)[:, None] == 4, np.inf, p), "not_finite", "/0/keypoints_3d/12"),
        (lambda p: p * 1e6, "out_of_range", "/0/keypoints_3d/0"),
    ],
)
def test_arrays_follow_the_rules_of_a_file(change: Any, code: str, pointer: str) -> None:
    good = predictions_in_space([1], POSE[None])
    with pytest.raises(PredictionError) as caught:
        evaluate("human36m", dataclasses.replace(good, keypoints_3d=change(good.keypoints_3d)), truth_of(["walking"]))
    assert (caught.value.code, caught.value.problems[0].pointer) == (code, pointer)
    none = dataclasses.replace(good, keypoints_3d=None)
    with pytest.raises(PredictionError, match="there are none"):
        evaluate("human36m", none, truth_of(["walking"]))


def test_everybody_must_be_there_and_all_who_are_not_are_named() -> None:
    truth = truth_of(["walking"] * 150)
    with pytest.raises(PredictionError) as caught:
        evaluate("human36m", entries_of(POSE), truth)
    assert (caught.value.code, caught.value.total, len(caught.value.problems)) == ("missing_person", 149, 100)
    assert caught.value.problems[0].message == "person 0 of image 2 has no entry"
    with pytest.raises(PredictionError) as caught:
        evaluate("human36m", predictions_in_space([1], POSE[None]), truth)
    assert (caught.value.code, caught.value.total) == ("missing_person", 149)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dataset", [H36M, DHP])
def test_the_core_gives_no_number_for_what_is_no_place(dataset: Any, value: float) -> None:
    annotations = read_truth(truth_of([dataset.actions[0]]), dataset)
    pose = POSE.copy()
    pose[3, 1] = value
    with pytest.raises(PredictionError) as caught:
        measure(dataset, predictions_in_space([1], pose[None]), annotations)
    assert caught.value.code == "not_finite"
    with pytest.raises(PredictionError) as caught:
        measure(dataset, predictions_in_space([2], POSE[None]), annotations)
    assert caught.value.code == "missing_person"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keypoints_3d": [0.0] * 50}, "not 51 numbers"),
        ({"keypoints_3d": "far"}, "not 51 numbers"),
        ({"keypoints_3d": [None, 1.0, 2.0, *[0.0] * 48]}, "three finite numbers nor three nulls"),
        ({"keypoints_3d": [float("inf"), *[0.0] * 50]}, "three finite numbers nor three nulls"),
        ({"keypoints_3d": [None] * 3 + [0.0] * 48}, "has no pelvis"),
        ({"action": "flying"}, "action is 'flying': expected one of directions"),
        ({"action": None}, "action is None"),
    ],
)
def test_annotations_that_cannot_be_scored_against_are_the_operators_fault(change: Any, message: str) -> None:
    truth = truth_of(["walking"])
    truth["annotations"][0] |= change
    with pytest.raises(GroundTruthError, match=message):
        evaluate("human36m", entries_of(POSE), truth)


def test_neither_metric_works_on_keypoints_of_an_image() -> None:
    from evaluator.metrics.mpjpe import measure as mpjpe

    lsp = load_dataset("lsp")
    pose = [5, 5, 2] * 14
    truth = {"images": [{"id": 1}], "annotations": [{"id": 1, "image_id": 1, "keypoints": pose}]}
    annotations = read_truth(truth, lsp)
    predictions = read_predictions([{"image_id": 1, "score": 1, "keypoints": pose}], lsp)
    with pytest.raises(GroundTruthError, match="no keypoints_3d"):
        mpjpe(annotations, predictions, lsp, names=["mpjpe"], root="neck")
    true = read_truth(truth_of(["walking"]), H36M)
    with pytest.raises(PredictionError, match="no keypoints_3d"):
        mpjpe(true, predictions, H36M, names=["mpjpe"], root="pelvis")
