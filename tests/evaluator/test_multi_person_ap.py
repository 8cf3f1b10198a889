"""Multi-person mAP worked out by hand: matching, recall, ties, ignored regions, and diagnosis."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluator import (
    GroundTruthError,
    diagnose,
    evaluate,
    load_dataset,
    read_predictions,
    read_truth,
)
from evaluator.metrics import multi_person_ap
from evaluator.metrics.multi_person_ap import average_precision, measure
from evaluator.reading.large_files import read_large_annotations
from tests.evaluator.pose_cases import multi_person, scores_of

POSETRACK = load_dataset("posetrack")
NOTHING = [None, None, None]


def person(number: int, image: int = 1, head: float = 12, **joints: float) -> dict[str, Any]:
    """Somebody whose joints all lie at y = 0, by their x; a head size of 12 reaches 6 px."""
    keypoints = [v for j in POSETRACK.joints for v in ((joints[j], 0, 2) if j in joints else (0, 0, 0))]
    return {"id": number, "image_id": image, "iscrowd": 0, "head_size": head, "keypoints": keypoints}


def pose(score: float, image: int = 1, **joints: float) -> dict[str, Any]:
    """A pose whose joints all have its own score as confidence."""
    keypoints = [v for j in POSETRACK.joints for v in ((joints[j], 0, score) if j in joints else NOTHING)]
    return {"image_id": image, "score": score, "keypoints": keypoints}


def scores(
    people: list[dict[str, Any]], poses: list[dict[str, Any]], images: int = 1, **of_first: Any
) -> dict[str, float]:
    truth = {"images": [{"id": number + 1} for number in range(images)], "annotations": people}
    truth["images"][0] |= of_first
    return {part: value for (_, part), value in scores_of(evaluate("posetrack", poses, truth)).items()}


def test_two_people_and_three_poses() -> None:
    # Nose and neck of two people. The pose of 0.9 hits both joints of the first; that of 0.8 one of the second's two;
    # that of 0.7 the same one: the second person is matched to 0.8, and the third pose is two false positives.
    #   nose: hits 0.9, 0.8, then a false positive: precision 1 up to recall 1.          AP 1
    #   neck: hit 0.9, then two false positives: precision 1 up to recall 1/2, then 0.   AP 1/2
    found = scores(
        [person(1, nose=0, neck=20), person(2, nose=100, neck=120)],
        [pose(0.9, nose=6, neck=20), pose(0.8, nose=100, neck=126.25), pose(0.7, nose=101, neck=140)],
    )
    assert found["nose"] == 1
    assert found["neck"] == 0.5
    assert found["head"] == found["all"] == 0.75  # the mean of the joints that somebody has
    assert set(found) == {"nose", "neck", "head", "all"}


def test_a_pose_that_hits_nothing_has_no_person() -> None:
    truth = {"images": [{"id": 1}], "annotations": [person(1, nose=0, neck=20)]}
    poses = [pose(0.9, nose=50, neck=70), pose(0.8, nose=0, neck=90)]
    annotations, predictions = read_truth(truth, POSETRACK), read_predictions(poses, POSETRACK)
    assigned = multi_person_ap.assign(annotations, predictions, POSETRACK, 0.5)
    assert assigned.person.tolist() == [-1, 0]


def test_the_envelope_takes_the_best_precision_at_a_higher_recall() -> None:
    # Three noses in three images, and the most confident of four is wrong: false, hit, hit, hit.
    # Precision at the hits: 1/2, 2/3, 3/4; the best from there on is 3/4 at each: 3 x 1/3 x 3/4.
    people = [person(number, number, nose=0) for number in (1, 2, 3)]
    poses = [pose(0.9, 1, nose=50), *(pose(0.9 - number / 10, number, nose=0) for number in (1, 2, 3))]
    assert scores(people, poses, images=3)["nose"] == pytest.approx(3 / 4, abs=1e-15)
    # hit, false, hit: 1 at the first, 2/3 at the second; the third is not found.
    poses = [pose(0.9, 1, nose=0), pose(0.8, 1, nose=50), pose(0.7, 2, nose=0)]
    assert scores(people, poses, images=3)["nose"] == pytest.approx(1 / 3 * (1 + 2 / 3), abs=1e-15)


def test_average_precision_counts_weights() -> None:
    # hit of weight 2, false of 1, hit of 1; of 4: recall 1/2 at precision 1, 3/4 at 3/4.
    weights, hit = np.array([2.0, 1.0, 1.0]), np.array([True, False, True])
    assert average_precision(weights, hit, 4.0) == pytest.approx(1 / 2 + 1 / 4 * 3 / 4, abs=1e-15)
    # What has no weight is not there, also before everything else.
    assert average_precision(np.array([0.0, 1.0]), np.array([False, True]), 1.0) == 1.0
    assert average_precision(np.zeros(0), np.zeros(0, dtype=bool), 3.0) == 0.0


def test_the_larger_share_decides_and_not_the_larger_number() -> None:
    # The pose hits two of the first's three joints, and the one joint of the second: 2/3 against 1. It goes to the
    # second, so its neck is a false positive though it lies on the first's.
    found = scores([person(1, nose=0, neck=20, head_top=40), person(2, nose=3)], [pose(0.9, nose=1, neck=20)])
    assert found["nose"] == 0.5  # one of two
    assert found["neck"] == 0 and found["head_top"] == 0


def test_a_pose_without_a_match_is_not_assigned_to_another_person() -> None:
    # Both poses fit the first best (2 of 2), and the more confident is matched. The other would fit the second with one
    # of two joints, but it is not tried again.
    first, second = person(1, nose=0, neck=20), person(2, nose=4, neck=90)
    found = scores([first, second], [pose(0.9, nose=0, neck=20), pose(0.8, nose=2, neck=20)])
    assert found["nose"] == 0.5


def test_the_edge_is_a_hit_and_no_head_never() -> None:
    assert scores([person(1, nose=0)], [pose(1, nose=6)])["nose"] == 1
    assert scores([person(1, nose=0)], [pose(1, nose=6.0001)])["nose"] == 0
    assert scores([person(1, nose=0, head=0)], [pose(1, nose=0)])["nose"] == 0


def test_a_joint_that_is_not_predicted_is_no_false_positive() -> None:
    people = [person(1, 1, nose=0), person(2, 2, nose=0, neck=20)]
    without = scores(people, [pose(0.9, 1, nose=0), pose(0.8, 2, nose=0, neck=20)], images=2)
    assert without["neck"] == 1
    # The first has no neck annotated: a predicted one is wrong, and more confident than the right one.
    assert scores(people, [pose(0.9, 1, nose=0, neck=20), pose(0.8, 2, nose=0, neck=20)], images=2)["neck"] == 0.5


def test_images_without_annotations_do_not_count_and_those_without_joints_do() -> None:
    people, poses = [person(1, 1, nose=0)], [pose(0.5, 1, nose=0), pose(0.9, 2, nose=0)]
    assert scores(people, poses, images=2)["nose"] == 1
    assert scores([*people, person(2, 2, head=12)], poses, images=2)["nose"] == 0.5


def test_nobody_has_the_annotations_of_a_crowd() -> None:
    found = scores([person(1, nose=0), person(2, nose=50) | {"iscrowd": 1}], [pose(0.9, nose=50), pose(0.8, nose=0)])
    assert found["nose"] == 0.5


def test_ignored_regions_drop_poses_and_people_alike() -> None:
    square = {"ignore_regions_x": [[40, 60, 60, 40]], "ignore_regions_y": [[-5, -5, 5, 5]]}
    people = [person(1, nose=0), person(2, nose=50)]
    poses = [pose(0.9, nose=45), pose(0.8, nose=0)]
    assert scores(people, poses)["nose"] == 1  # a hit and a hit
    assert scores(people, poses, **square)["nose"] == 1  # the one that is left
    assert scores(people, [pose(0.9, nose=59), pose(0.8, nose=0)])["nose"] == 0.5 * 0.5  # a false positive first
    assert scores(people, [pose(0.9, nose=59), pose(0.8, nose=0)], **square)["nose"] == 1
    assert scores(people, [pose(0.9, nose=60), pose(0.8, nose=0)], **square)["nose"] == 0.5  # on the edge: evaluated
    # A joint in a region does not count for the share either: the other person's pose is wholly right.
    people = [person(1, nose=0, neck=50), person(2, nose=3, neck=20)]
    found = scores(people, [pose(0.9, nose=0)], **square)
    assert found["nose"] == 0.5 and found["neck"] == 0


def test_unscored_joints_take_no_part() -> None:
    mpii = load_dataset("mpii_multi")

    def triples(**joints: float) -> list[Any]:
        return [v for j in mpii.joints for v in ((joints[j], 0, 1) if j in joints else (0, 0, 0))]

    truth = {
        "images": [{"id": 1}],
        "annotations": [
            {"id": 1, "image_id": 1, "head_size": 12, "keypoints": triples(upper_neck=0, pelvis=100, thorax=20)},
            {"id": 2, "image_id": 1, "head_size": 12, "keypoints": triples(upper_neck=300, head_top=310)},
        ],
    }
    keypoints = triples(upper_neck=0, pelvis=300, thorax=300)
    keypoints = [None if not any(keypoints[i - i % 3 : i - i % 3 + 3]) else v for i, v in enumerate(keypoints)]
    found = scores_of(evaluate("mpii_multi", [{"image_id": 1, "score": 1, "keypoints": keypoints}], truth))
    # The pose hits the only joint of the first that is scored. Of two necks one is found; nobody's head top is.
    assert found["map@0.5", "upper_neck"] == 0.5
    assert found["map@0.5", "all"] == 0.25
    assert not any(part in ("pelvis", "thorax") for _, part in found)


def test_ties_are_settled_by_content() -> None:
    # Equal shares: the annotation of the smaller id, and the pose of the higher score, then of the smaller keypoints.
    people = [person(1, nose=0), person(2, nose=5)]
    shuffled = [
        scores(rows, poses)["nose"]
        for rows in (people, people[::-1])
        for poses in ([pose(0.9, nose=2), pose(0.9, nose=3)], [pose(0.9, nose=3), pose(0.9, nose=2)])
    ]
    assert shuffled == [0.5] * 4  # both go to the first, and one of them is a false positive of the same confidence
    # The pose that is matched comes before the other one, so the hit comes first: precision 1 at recall 1/2.


def test_a_joint_without_confidence_comes_last_and_a_place_that_is_none_is_wrong() -> None:
    truth = {"images": [{"id": 1}], "annotations": [person(1, nose=0), person(2, nose=100)]}
    annotations = read_truth(truth, POSETRACK)
    clean = read_predictions([pose(0.9, nose=50), pose(0.8, nose=0)], POSETRACK)
    place = POSETRACK.joint("nose")

    def nose(axis: int, value: float) -> float:
        keypoints = clean.keypoints.copy()
        keypoints[0, place, axis] = value
        tally = measure(
            annotations, dataclasses.replace(clean, keypoints=keypoints), POSETRACK, names=["map"], threshold=0.5
        )
        return {score.part: score.value for score in tally.scores()}["nose"]

    assert nose(2, 0.9) == 0.25  # a false positive, then the hit: 1/2 x 1/2
    assert nose(2, np.nan) == 0.5  # the false positive comes last
    assert nose(0, np.inf) == nose(0, -np.inf) == nose(0, 1e308) == 0.25  # a false positive as before
    assert nose(0, np.nan) == 0.5  # NaN is a joint that is not there


def test_somebody_without_a_head_size_is_the_operators_fault() -> None:
    with pytest.raises(GroundTruthError, match="annotation 2 has no head_size, which multi-person mAP divides by"):
        scores([person(1, nose=0), person(2, nose=0) | {"head_size": None}], [])
    assert scores([person(1, nose=0), person(2) | {"head_size": None}], [])["nose"] == 0  # of no joints: not needed


def test_intervals_need_two_hundred_images() -> None:
    truth, entries = multi_person("posetrack", 5, images=400)
    report = evaluate("posetrack", entries, truth, intervals=True)
    total = next(score for score in report.scores if score.part == "all")
    assert total.low is not None and total.high is not None and total.low < total.value < total.high
    few = evaluate("posetrack", *reversed(multi_person("posetrack", 5, images=200)), intervals=True)
    assert all(score.low is None for score in few.scores)


def test_diagnosis_is_of_those_who_were_given_a_pose() -> None:
    # Head size 12: good within 3 px, jitter within 6. The nose is 2 px off, the neck 5; the right wrist lies on the
    # left one's place; the left knee on the other person's; the left hip nowhere, and the left wrist is not predicted.
    # The pose hits two of six joints of the first, one of four of the second, who is left without one.
    joints = {"nose": 0, "neck": 50, "right_wrist": 100, "left_wrist": 150, "left_knee": 200, "left_hip": 250}
    truth = {
        "images": [{"id": 1}],
        "annotations": [person(1, **joints), person(2, left_knee=400, nose=450, neck=500, head_top=550)],
    }
    found = pose(0.9, nose=2, neck=55, right_wrist=150, left_knee=401, left_hip=290)
    diagnosis = diagnose(POSETRACK, read_predictions([found], POSETRACK), read_truth(truth, POSETRACK))
    assert (diagnosis.metric, diagnosis.people, diagnosis.swaps_possible) == ("map@0.5", 1, True)
    classes = {each.name: each.shares.index(1.0) for each in diagnosis.joints}
    assert classes == {"nose": 0, "neck": 1, "right_wrist": 2, "left_knee": 3, "left_hip": 4, "left_wrist": 4}
    assert diagnosis.total.counted == 6
    assert diagnosis.total.good == diagnosis.total.jitter == pytest.approx(1 / 6)
    # Both have four to seven visible joints. Of their ten joints two are found, and only the first has a pose.
    (visible,) = (each for each in diagnosis.slices if each.by == "visible_joints")
    assert (visible.name, visible.people, visible.metric) == ("4 to 7", 2, "recall@0.5")
    assert visible.score == 0.2 and visible.errors.counted == 6
    # mAP at half its threshold, at it, and at twice it: in the middle of the curve it is the score.
    curve = next(curve for curve in diagnosis.curves if curve.name == "all")
    assert curve.x[25] == 0.5 and curve.y[25] == scores_of(evaluate(POSETRACK, [found], truth))["map@0.5", "all"]


def test_a_large_file_keeps_its_regions_and_missing_joints(tmp_path: Path) -> None:
    truth, entries = multi_person("posetrack", 9, images=150)
    assert any("ignore_regions_x" in image for image in truth["images"])
    paths = tmp_path / "truth.json", tmp_path / "predictions.json"
    for path, content in zip(paths, (truth, entries), strict=True):
        path.write_text(json.dumps(content))
    assert evaluate("posetrack", paths[1], paths[0]).scores == evaluate("posetrack", entries, truth).scores
    # Without head sizes the annotations are read in C, which must not lose the regions.
    for row in truth["annotations"]:
        del row["head_size"]
    paths[0].write_text(json.dumps(truth))
    assert read_large_annotations(paths[0], POSETRACK) is not None
    found, expected = read_truth(paths[0], POSETRACK), read_truth(truth, POSETRACK)
    assert found.ignore_regions.keys() == expected.ignore_regions.keys() != set()
    for image, polygons in expected.ignore_regions.items():
        assert [p.tolist() for p in found.ignore_regions[image]] == [p.tolist() for p in polygons]


def test_any_number_of_poses_in_an_image_is_matched_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, entries = multi_person("posetrack", 4, images=10)
    expected = evaluate("posetrack", entries, truth).scores
    for most in (1, 7, 50):
        monkeypatch.setattr(multi_person_ap, "PAIRS_AT_ONCE", most)
        assert evaluate("posetrack", entries, truth).scores == expected
