"""PCK, PCKh and PDJ on cases small enough to work out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from evaluator import GroundTruthError, evaluate, load_dataset
from evaluator.tally import by_image
from tests.evaluator.pose_cases import scores_of

LSP = load_dataset("lsp")
MPII = load_dataset("mpii")
FLIC = load_dataset("flic")


def truth_of(dataset: Any, people: list[dict[str, Any]]) -> dict[str, Any]:
    """One image a person; a person is {joint: (x, y)} plus other fields; joints not named are not annotated."""
    rows = []
    for number, fields in enumerate(people, 1):
        row: dict[str, Any] = {"id": number, "image_id": number, "person_id": 0, "keypoints": []}
        for joint in dataset.joints:
            row["keypoints"] += [*fields[joint], 2] if joint in fields else [0, 0, 0]
        row |= {key: value for key, value in fields.items() if key not in dataset.joints}
        rows.append(row)
    return {"images": [{"id": number} for number in range(1, len(people) + 1)], "annotations": rows}


def entry_of(dataset: Any, image: int, joints: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A prediction; joints not named are missing."""
    keypoints: list[Any] = []
    for joint in dataset.joints:
        keypoints += [*joints[joint], 1] if joint in joints else [None] * 3
    return {"image_id": image, "keypoints": keypoints, "score": 1.0, **more}


TORSO_100 = {"left_shoulder": (100.0, 0.0), "right_hip": (0.0, 0.0)}


@pytest.mark.parametrize(("distance", "expected"), [(20.0, 1.0), (20.000001, 0.0), (0.0, 1.0), (19.999, 1.0)])
def test_pck_counts_a_joint_exactly_at_the_threshold(distance: float, expected: float) -> None:
    truth = truth_of(LSP, [TORSO_100 | {"left_knee": (50.0, 200.0)}])
    found = entry_of(LSP, 1, {"left_knee": (50.0, 200.0 + distance)})
    scores = scores_of(evaluate("lsp", [found], truth))
    assert scores["pck@0.2", "knee"] == expected
    assert scores["pdj_torso@0.2", "knee"] == expected
    # The three annotated joints are the whole denominator; the two not predicted are misses.
    assert scores["pck@0.2", "all"] == pytest.approx(expected / 3)


def test_the_torso_is_the_annotations_and_never_the_predictions() -> None:
    truth = truth_of(LSP, [TORSO_100])
    # The predicted torso is 1,000 long; measured with it, both joints would be hits.
    found = entry_of(LSP, 1, {"left_shoulder": (550.0, 0.0), "right_hip": (-450.0, 0.0)})
    assert scores_of(evaluate("lsp", [found], truth))["pck@0.2", "all"] == 0.0


def test_occluded_joints_count() -> None:
    truth = truth_of(LSP, [TORSO_100])
    truth["annotations"][0]["keypoints"][2::3] = [min(v, 1) for v in truth["annotations"][0]["keypoints"][2::3]]
    assert scores_of(evaluate("lsp", [entry_of(LSP, 1, TORSO_100)], truth))["pck@0.2", "all"] == 1.0


def test_a_person_without_a_prediction_is_missed_whole() -> None:
    truth = truth_of(LSP, [TORSO_100, TORSO_100])
    scores = scores_of(evaluate("lsp", [entry_of(LSP, 2, TORSO_100)], truth))
    assert scores["pck@0.2", "all"] == 0.5
    assert scores["pck@0.2", "shoulder"] == 0.5


def test_area_under_the_curve_by_hand() -> None:
    # d = 10 of a torso of 100 is a hit from 0.10 on: ten whole steps and half of the one from 0.09 to 0.10, of twenty.
    truth = truth_of(LSP, [TORSO_100])
    found = entry_of(LSP, 1, {"left_shoulder": (110.0, 0.0)})
    scores = scores_of(evaluate("lsp", [found], truth))
    assert scores["pck_auc", "shoulder"] == pytest.approx(10.5 / 20, abs=1e-12)
    assert scores["pck_auc", "all"] == pytest.approx(10.5 / 20 / 2, abs=1e-12)


def test_pckh_area_under_the_curve_by_hand() -> None:
    # d = 4 of a head of 10 is a hit from 0.40 on: ten steps and a half of fifty.
    truth = truth_of(MPII, [{"left_knee": (0.0, 0.0), "head_size": 10.0}])
    found = entry_of(MPII, 1, {"left_knee": (4.0, 0.0)})
    scores = scores_of(evaluate("mpii", [found], truth))
    assert scores["pckh_auc", "knee"] == pytest.approx(10.5 / 50, abs=1e-12)
    assert scores["pckh@0.5", "knee"] == 1.0
    assert scores["pckh@0.1", "knee"] == 0.0


@pytest.mark.parametrize(("distance", "expected"), [(4.999999, 1.0), (5.0, 0.0), (5.000001, 0.0)])
def test_pdj_of_the_box_is_strict(distance: float, expected: float) -> None:
    # The annotated joints span 60 x 80: a diagonal of 100, a threshold of 5.
    truth = truth_of(LSP, [{"left_shoulder": (60.0, 80.0), "right_hip": (0.0, 0.0), "left_knee": (30.0, 40.0)}])
    found = entry_of(LSP, 1, {"left_knee": (30.0 + distance, 40.0)})
    assert scores_of(evaluate("lsp", [found], truth))["pdj_bbox@0.05", "knee"] == expected


def test_a_torso_that_is_not_annotated_leaves_the_denominator_and_a_zero_one_is_missed() -> None:
    knee = {"left_knee": (0.0, 0.0)}
    unknown, known = truth_of(LSP, [knee, TORSO_100 | knee]), [entry_of(LSP, i, knee) for i in (1, 2)]
    scores = scores_of(evaluate("lsp", known, unknown))
    assert scores["pck@0.2", "knee"] == 1.0
    assert scores["pck@0.2", "all"] == pytest.approx(1 / 3)  # only the second person, whose torso was not predicted
    zero = truth_of(LSP, [{"left_shoulder": (1.0, 1.0), "right_hip": (1.0, 1.0)} | knee])
    assert scores_of(evaluate("lsp", known[:1], {**zero, "images": [{"id": 1}]}))["pck@0.2", "knee"] == 0.0


def test_a_part_is_the_mean_of_its_joints_and_all_is_pooled() -> None:
    head = {"head_size": 10.0}
    # Left knee annotated three times and hit once, right knee annotated once and hit: 1/3 and 1.
    left, right = {"left_knee": (0.0, 0.0)}, {"right_knee": (9.0, 9.0)}
    truth = truth_of(MPII, [head | left | right, head | left, head | left])
    scores = scores_of(evaluate("mpii", [entry_of(MPII, 1, left | right)], truth))
    assert scores["pckh@0.5", "knee"] == pytest.approx((1 / 3 + 1) / 2)
    assert scores["pckh@0.5", "mean_of_joints"] == pytest.approx((1 / 3 + 1) / 2)
    assert scores["pckh@0.5", "all"] == 0.5
    assert ("pckh@0.5", "ankle") not in scores  # nobody annotated one


def test_head_is_the_head_top_and_pelvis_and_thorax_never_count() -> None:
    places = {joint: (float(i), 0.0) for i, joint in enumerate(MPII.joints)}
    truth = truth_of(MPII, [places | {"head_size": 1.0}])
    wrong = {"upper_neck": (500.0, 0.0), "pelvis": (500.0, 0.0), "thorax": (500.0, 0.0)}
    scores = scores_of(evaluate("mpii", [entry_of(MPII, 1, places | wrong)], truth))
    assert scores["pckh@0.5", "head"] == 1.0
    assert scores["pckh@0.5", "head_and_neck"] == 0.5
    assert scores["pckh@0.5", "all"] == pytest.approx(13 / 14)
    assert scores["pckh@0.5", "mean_of_joints"] == pytest.approx(13 / 14)


def test_flic_divides_by_the_stored_torso_box_or_by_the_torso() -> None:
    # The box is 30 x 40: diagonal 50, threshold 10. The torso is 100: threshold 20.
    places = {"left_shoulder": (100.0, 0.0), "right_hip": (0.0, 0.0), "left_wrist": (0.0, 300.0)}
    truth = truth_of(FLIC, [places | {"torso_box": [30.0, 40.0]}])
    scores = scores_of(evaluate("flic", [entry_of(FLIC, 1, {"left_wrist": (0.0, 315.0)})], truth))
    assert scores["pck_torsobox@0.2", "wrist"] == 0.0
    assert scores["pck@0.2", "wrist"] == 1.0


@pytest.mark.parametrize(("name", "field"), [("mpii", "head_size"), ("flic", "torso_box")])
def test_annotations_without_the_normaliser_are_the_operators_fault(name: str, field: str) -> None:
    dataset = load_dataset(name)
    truth = truth_of(dataset, [dict.fromkeys(dataset.joints, (1.0, 2.0))])
    with pytest.raises(GroundTruthError, match=field):
        evaluate(name, [], truth)


def test_nan_in_the_core_is_a_miss() -> None:
    from evaluator import read_predictions, read_truth
    from evaluator.metrics import pck

    truth = truth_of(LSP, [TORSO_100])
    found = read_predictions([entry_of(LSP, 1, TORSO_100)], LSP)
    found.keypoints[0, LSP.joint("right_hip"), 0] = np.nan
    found.keypoints[0, LSP.joint("left_shoulder"), 1] = np.inf
    tally = pck.measure(read_truth(truth, LSP), found, LSP, names=["pck@0.2"], normaliser="torso", threshold=0.2)
    assert {score.value for score in tally.scores()} == {0.0}


def test_values_of_people_are_added_up_by_image() -> None:
    values, image = np.array([[1.0, 0.5], [2.0, 0.25], [4.0, 0.0]]), np.array([0, 2, 2])
    assert by_image(values, image, 4).tolist() == [[1.0, 0.5], [0.0, 0.0], [6.0, 0.25], [0.0, 0.0]]
    assert by_image(np.zeros((3, 0)), image, 4).shape == (4, 0)
    assert by_image(np.zeros((0, 2)), np.zeros(0, dtype=np.int64), 4).tolist() == [[0.0, 0.0]] * 4
