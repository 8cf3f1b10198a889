"""WholeBody AP: against xtcocotools' numbers, against OKS AP of the parts alone, and by hand."""

from __future__ import annotations

import dataclasses
import json
import random
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
from evaluator.errors import DatasetDefinitionError
from evaluator.metrics.oks import STATISTICS
from evaluator.metrics.wholebody import check
from evaluator.native.engine import using
from tests.evaluator.pose_cases import multi_person, scores_of

WHOLE = load_dataset("coco_wholebody")

# The ten numbers of each part by xtcocotools 1.14.3 (built from its source with numpy 2.4.6, its COCOeval of the
# iouTypes keypoints, keypoints_foot, _face, _lefthand, _righthand and _wholebody with the official sigmas) on
# `multi_person("coco_wholebody", seed, images=8)`, whose keypoints were put under the official keys:
# benchmarks/wholebody_parity.py, `reference`.
PINNED: dict[int, dict[str, list[float]]] = {
    1: {
        "body": [
            0.14478510351035098,
            0.18564356435643561,
            0.13608235823582357,
            0.0,
            0.18415841584158416,
            0.27222222222222225,
            0.3333333333333333,
            0.2777777777777778,
            0.0,
            0.2666666666666667,
        ],
        "feet": [
            0.21504650465046504,
            0.2689268926892689,
            0.1985698569856986,
            0.2574257425742574,
            0.2531353135313531,
            0.3944444444444445,
            0.4444444444444444,
            0.3888888888888889,
            0.25,
            0.34444444444444444,
        ],
        "face": [
            0.047877556442066135,
            0.0993076751284151,
            0.0351388079984469,
            0.0,
            0.07518466132327517,
            0.13333333333333333,
            0.2222222222222222,
            0.16666666666666666,
            0.0,
            0.16666666666666666,
        ],
        "left_hand": [
            0.12505893446487504,
            0.17029702970297025,
            0.13597359735973594,
            0.2574257425742574,
            0.13878359264497875,
            0.2722222222222222,
            0.3333333333333333,
            0.2777777777777778,
            0.25,
            0.2111111111111111,
        ],
        "right_hand": [
            0.0755026656511805,
            0.11852627570449352,
            0.06854531607006854,
            0.0,
            0.10930693069306927,
            0.1388888888888889,
            0.2222222222222222,
            0.1111111111111111,
            0.0,
            0.11111111111111112,
        ],
        "all": [
            0.0905655227176853,
            0.16831683168316833,
            0.0993076751284151,
            0.20594059405940587,
            0.1117083136885117,
            0.22777777777777777,
            0.3888888888888889,
            0.2222222222222222,
            0.2,
            0.18888888888888888,
        ],
    },
    3: {
        "body": [
            0.33483026874115984,
            0.3693069306930693,
            0.3094059405940594,
            0.24752475247524752,
            0.45,
            0.611111111111111,
            0.6666666666666666,
            0.5555555555555556,
            0.5,
            1.0,
        ],
        "feet": [
            0.568988684582744,
            0.5796793965110797,
            0.5796793965110797,
            0.6626591230551626,
            0.95,
            0.7666666666666667,
            0.7777777777777778,
            0.7777777777777778,
            1.0,
            1.0,
        ],
        "face": [
            0.1141301272984441,
            0.3508958038661008,
            0.016973125884016973,
            0.13742574257425744,
            0.2666666666666666,
            0.24444444444444446,
            0.5555555555555556,
            0.1111111111111111,
            0.25,
            0.8,
        ],
        "left_hand": [
            0.2108140814081408,
            0.3722457960081722,
            0.264026402640264,
            0.15561056105610563,
            0.5,
            0.3888888888888889,
            0.5555555555555556,
            0.4444444444444444,
            0.425,
            1.0,
        ],
        "right_hand": [
            0.2293375766148043,
            0.4228547854785478,
            0.2199434229137199,
            0.2905940594059406,
            0.3666666666666666,
            0.34444444444444444,
            0.5555555555555556,
            0.3333333333333333,
            0.35,
            1.0,
        ],
        "all": [
            0.20963754650949198,
            0.45033994082638074,
            0.12851029348459142,
            0.23649222065063646,
            0.29999999999999993,
            0.4888888888888888,
            0.7777777777777778,
            0.5555555555555556,
            0.475,
            0.9,
        ],
    },
}


@pytest.mark.parametrize("seed", PINNED)
def test_the_ten_numbers_of_each_part_are_those_of_xtcocotools(seed: int) -> None:
    truth, entries = multi_person("coco_wholebody", seed, images=8)
    found = scores_of(evaluate(WHOLE, entries, truth))
    for part, expected in PINNED[seed].items():
        assert [found[name, part] for name in STATISTICS] == pytest.approx(expected, abs=1e-12), part


def test_the_hands_are_the_mean_of_left_and_right() -> None:
    truth, entries = multi_person("coco_wholebody", 1, images=8)
    found = scores_of(evaluate(WHOLE, entries, truth))
    for index, name in enumerate(STATISTICS):
        mean = (PINNED[1]["left_hand"][index] + PINNED[1]["right_hand"][index]) / 2
        assert found[name, "hands"] == pytest.approx(mean, abs=1e-12)


def test_the_hands_are_the_one_hand_that_somebody_has() -> None:
    truth, entries = multi_person("coco_wholebody", 1, images=8)
    for row in truth["annotations"]:
        for joint in map(WHOLE.joint, WHOLE.parts["right_hand"]):
            row["keypoints"][3 * joint + 2] = 0
    found = scores_of(evaluate(WHOLE, entries, truth))
    assert ("ap", "right_hand") not in found
    assert found["ap", "hands"] == found["ap", "left_hand"] == pytest.approx(PINNED[1]["left_hand"][0], abs=1e-12)


def test_the_body_alone_is_cocos_metric() -> None:
    """With confidence in every part, and the same areas: the same people, joints and sigmas."""
    coco = load_dataset("coco")
    truth, entries = multi_person("coco_wholebody", 5, images=20)
    for row in entries:
        row["keypoints"][2::3] = [0.5] * 133
    whole = scores_of(evaluate(WHOLE, entries, truth))
    for row in (*truth["annotations"], *entries):
        row["keypoints"] = row["keypoints"][: 3 * 17]
    for row in truth["annotations"]:
        row["num_keypoints"] = sum(flag > 0 for flag in row["keypoints"][2::3])
    body = scores_of(evaluate(coco, entries, truth))
    assert {name: value for (name, part), value in whole.items() if part == "body"} == {
        n: v for (n, _), v in body.items()
    }


def person(number: int, x: float) -> dict[str, Any]:
    """Somebody of 200 x 400 px whose joints are all labelled."""
    points = WHOLE.pose * [200, 400] + [x, 0]
    return {
        "id": number, "image_id": 1, "iscrowd": 0, "area": 40_000, "bbox": [x, 0, 200, 400],
        "keypoints": [v for px, py in points.tolist() for v in (px, py, 2)],
    }  # fmt: skip


def entry(x: float, score: float, **confidence: float) -> dict[str, Any]:
    """The same person predicted exactly, with a confidence of 0.5 in every part that is not named."""
    keypoints = list(person(1, x)["keypoints"])
    keypoints[2::3] = [0.5] * 133
    for part, value in confidence.items():
        for joint in map(WHOLE.joint, WHOLE.parts[part]):
            keypoints[3 * joint + 2] = value
    return {"image_id": 1, "score": score, "keypoints": keypoints}


def test_a_part_without_confidence_was_not_detected() -> None:
    # Two people, and the most confident of three poses lies between them: every part has precision 1/2, 2/3 and so an
    # envelope of 2/3 up to recall 1. Without confidence in its feet they are no false positives: 1.
    truth = {"images": [{"id": 1}], "annotations": [person(1, 0), person(2, 1000)]}
    found = [entry(0, 0.8), entry(1000, 0.7)]
    every = scores_of(evaluate(WHOLE, [entry(500, 0.9), *found], truth))
    assert {round(value, 12) for (name, _), value in every.items() if name == "ap"} == {round(2 / 3, 12)}
    without = scores_of(evaluate(WHOLE, [entry(500, 0.9, feet=0), *found], truth))
    assert without["ap", "feet"] == pytest.approx(1, abs=1e-12)
    assert without["ap", "body"] == without["ap", "all"] == pytest.approx(2 / 3, abs=1e-12)
    # A negative confidence is none either, and one joint above zero is enough.
    assert scores_of(evaluate(WHOLE, [entry(500, 0.9, feet=-1), *found], truth))["ap", "feet"] == pytest.approx(1)
    mixed = entry(500, 0.9, feet=0)
    mixed["keypoints"][3 * 17 + 2] = 0.01
    assert scores_of(evaluate(WHOLE, [mixed, *found], truth))["ap", "feet"] == pytest.approx(2 / 3, abs=1e-12)


def test_a_part_that_nobody_labelled_absorbs() -> None:
    # The second person's face is not labelled: it counts for no face, and the face that is found there is no false
    # positive. All joints of a face count then: 68, measured from the box doubled on every side.
    truth = {"images": [{"id": 1}], "annotations": [person(1, 0), person(2, 1000)]}
    for joint in map(WHOLE.joint, WHOLE.parts["face"]):
        truth["annotations"][1]["keypoints"][3 * joint : 3 * joint + 3] = [0, 0, 0]
    found = scores_of(evaluate(WHOLE, [entry(1000, 0.9), entry(0, 0.8)], truth))
    assert found["ap", "face"] == pytest.approx(1, abs=1e-12)
    assert found["ar", "face"] == 1.0
    # Far from everybody it is one, and before the hit: 1/2.
    assert scores_of(evaluate(WHOLE, [entry(9000, 0.9), entry(0, 0.8)], truth))["ap", "face"] == pytest.approx(0.5)


def test_the_size_of_a_detection_is_that_of_its_body() -> None:
    # The body of 60 x 60 px is medium whatever its face does; unmatched it is a false positive of the medium range
    # only, in every part: ap_medium is 1/2 (false, then a hit), ap_large 1.
    truth = {"images": [{"id": 1}], "annotations": [person(1, 0), person(2, 1000)]}
    truth["annotations"][0]["area"] = 50.0**2
    small = entry(5000, 0.9)
    body = np.array(small["keypoints"]).reshape(133, 3)
    body[:17, :2] = (body[:17, :2] - body[:17, :2].min(axis=0)) / np.ptp(body[:17, :2], axis=0) * 60 + 5000
    small["keypoints"] = body.ravel().tolist()
    found = scores_of(evaluate(WHOLE, [small, entry(0, 0.8), entry(1000, 0.7)], truth))
    for part in ("body", "feet", "face", "left_hand", "right_hand", "all"):
        assert found["ap_medium", part] == pytest.approx(0.5, abs=1e-12), part
        assert found["ap_large", part] == pytest.approx(1, abs=1e-12), part


def test_equal_scores_and_hands_are_settled_by_the_size_of_the_body_and_not_by_the_file() -> None:
    truth = {"images": [{"id": 1}], "annotations": [person(1, 0)]}
    one, other = entry(0, 0.5), entry(0, 0.5)
    for joint in range(17):
        other["keypoints"][3 * joint : 3 * joint + 2] = [0, 0]  # the same hands on a body of no size
    reports = {tuple(scores_of(evaluate(WHOLE, rows, truth)).items()) for rows in ([one, other], [other, one])}
    assert len(reports) == 1


def test_num_keypoints_is_not_believed() -> None:
    # In the official files it counts the joints of the body; people whose body is not labelled have faces all the same.
    truth, entries = multi_person("coco_wholebody", 1, images=8)
    for row in truth["annotations"]:
        row["num_keypoints"] = 0
    found = scores_of(evaluate(WHOLE, entries, truth))
    assert found["ap", "face"] == pytest.approx(PINNED[1]["face"][0], abs=1e-12)


def test_what_the_metric_needs() -> None:
    truth, entries = multi_person("coco_wholebody", 1, images=8)
    with pytest.raises(ValueError, match="averaged: no part 'wings'"):
        check(WHOLE, averaged={"wings": ["feelers"]})
    with pytest.raises(ValueError, match="averaged: no part 'feelers'"):
        check(WHOLE, averaged={"hands": ["left_hand", "feelers"]})
    with pytest.raises(ValueError, match="averaged: expected 'feet' to be the mean of parts that are scored"):
        check(WHOLE, averaged={"hands": ["left_hand", "right_hand"], "feet": ["hands"]})
    without = {part: joints for part, joints in WHOLE.parts.items() if part != "body"}
    with pytest.raises(DatasetDefinitionError, match=r"coco_wholebody\.toml: parts: no 'body'"):
        check(dataclasses.replace(WHOLE, parts=without))
    for row in truth["annotations"]:
        row.pop("area")
    with pytest.raises(GroundTruthError, match="has no area, which OKS needs"):
        evaluate(WHOLE, entries, truth)


def test_intervals_of_every_part_and_the_diagnosis_of_all_joints() -> None:
    truth, entries = multi_person("coco_wholebody", 2, images=460, most_people=2, most_detections=3)
    report = evaluate(WHOLE, entries, truth, intervals=True)
    bounded = {score.part for score in report.scores if score.metric == "ap" and score.low is not None}
    assert bounded == {"body", "feet", "face", "left_hand", "right_hand", "hands", "all"}
    assert all(score.low <= score.value <= score.high for score in report.scores if score.low is not None)
    diagnosis = diagnose(WHOLE, read_predictions(entries, WHOLE), read_truth(truth, WHOLE))
    assert {part.name for part in diagnosis.parts} == set(WHOLE.parts)
    assert len(diagnosis.joints) == 133


@pytest.mark.parametrize("official", [False, True])
def test_files_and_both_engines_give_the_same_bits(engine: str, tmp_path: Path, official: bool) -> None:
    truth, entries = multi_person("coco_wholebody", 7, images=60, most_people=5, most_detections=25)
    for number, row in enumerate(entries):
        row["score"] = round(row["score"], 1)  # ties
        if number % 5 == 0:  # the same hands on other bodies
            row["keypoints"] = [v + 3 for v in entries[number - 1]["keypoints"][:51]] + entries[number - 1][
                "keypoints"
            ][51:]
            row["image_id"] = entries[number - 1]["image_id"]
    with using("numpy"):
        expected = [score.value.hex() for score in evaluate(WHOLE, entries, truth).scores]
    if official:
        for row in truth["annotations"]:
            keypoints = row["keypoints"]
            for field, count in WHOLE.keypoint_fields.items():
                row[field], keypoints = keypoints[: 3 * count], keypoints[3 * count :]
    paths = tmp_path / "truth.json", tmp_path / "predictions.json"
    for shuffle in range(4):
        random.Random(shuffle).shuffle(entries)
        for path, content in zip(paths, (truth, entries), strict=True):
            path.write_text(json.dumps(content))
        found = evaluate(WHOLE, paths[1], paths[0])
        assert [score.value.hex() for score in found.scores] == expected
