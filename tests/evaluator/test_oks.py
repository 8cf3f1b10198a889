"""OKS average precision where pycocotools leaves things open, or wrong: ties, NaN, boxes of the submitter, ids."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np
import pytest

import evaluator
from evaluator import GroundTruthError, PredictionError, evaluate, load_dataset, read_predictions, read_truth
from evaluator.matching import accumulate, accumulated
from evaluator.metrics.oks import STATISTICS, MatchTally, measure, oks
from tests.evaluator.pose_cases import multi_person, scores_of

pytestmark = pytest.mark.usefixtures("engine")

COCO = load_dataset("coco")


def person(x: float, y: float, height: float = 200.0) -> Any:
    return COCO.pose * [height / 2, height] + [x, y]


def annotation(number: int, points: Any, image: int = 1, **changes: Any) -> dict[str, Any]:
    low, size = points.min(axis=0), np.ptp(points, axis=0)
    return {
        "id": number,
        "image_id": image,
        "keypoints": [v for x, y in points.tolist() for v in (x, y, 2)],
        "num_keypoints": 17,
        "bbox": [*low.tolist(), *size.tolist()],
        "area": 0.6 * float(size[0] * size[1]),
        "iscrowd": 0,
        **changes,
    }


def entry(points: Any, score: float, image: int = 1, **more: Any) -> dict[str, Any]:
    return {"image_id": image, "keypoints": [v for x, y in points.tolist() for v in (x, y, 1)], "score": score, **more}


def document(*annotations: dict[str, Any], images: int = 1) -> dict[str, Any]:
    return {"images": [{"id": i + 1} for i in range(images)], "annotations": list(annotations)}


def test_oks_of_one_displaced_joint_by_hand() -> None:
    # The nose is off by d = 2 sigma sqrt(2 area): exp(-1); of four labelled joints three are exact: (3 + e^-1) / 4.
    sigma, area = 0.026, 400.0
    offsets = np.zeros((1, 17, 2))
    offsets[0, 0, 0] = 2 * sigma * np.sqrt(2 * area)
    offsets[0, 16] = 1e6  # not labelled: does not count
    labelled = np.zeros((1, 17), dtype=bool)
    labelled[0, :4] = True
    assert oks(offsets, labelled, np.array([area]), COCO.sigmas)[0] == pytest.approx((3 + np.exp(-1)) / 4, abs=1e-12)


def test_a_similarity_of_exactly_the_threshold_is_a_match() -> None:
    # Of two labelled joints one is exact and one so far away that its exponential is 0: (1 + 0) / 2 is 0.5 to the last
    # bit. A hit at the first of the ten thresholds and at no other.
    points = person(0, 0)
    flags = [2, 2] + [0] * 15
    known = [v for (x, y), flag in zip(points.tolist(), flags, strict=True) for v in (x, y, flag)]
    truth = document(annotation(1, points, keypoints=known, num_keypoints=2))
    moved = points.copy()
    moved[1] += 1e5
    found = scores_of(evaluate("coco", [entry(moved, 0.9)], truth))
    assert (found["ap50", "all"], found["ap75", "all"]) == pytest.approx((1.0, 0.0), abs=1e-12)
    assert found["ap", "all"] == pytest.approx(0.1, abs=1e-12)


def test_equal_similarity_goes_to_the_later_person() -> None:
    """A detection in the middle between two people takes the later one, and leaves the first to the next detection.

    The other way round, the next detection would have only the later person left, whom it does not resemble enough at
    the two upper thresholds.
    """
    first, apart = annotation(1, person(0, 0)), 4.0

    def similarity(distance: float) -> float:
        offsets = np.tile([[[distance, 0.0]]], (1, 17, 1))
        return float(oks(offsets, np.ones((1, 17), dtype=bool), np.array([first["area"]]), COCO.sigmas)[0])

    assert similarity(apart / 2) > 0.95 and 0.85 < similarity(apart) < 0.9
    truth = document(first, annotation(2, person(apart, 0)))
    found = [entry(person(apart / 2, 0), 0.9), entry(person(0, 0), 0.8)]
    assert scores_of(evaluate("coco", found, truth))["ap", "all"] == 1.0


def test_one_hit_between_two_false_alarms_by_hand() -> None:
    # Of two people one is found, by the second of three detections: precision 1/2 up to recall 1/2 (51 of 101 points).
    truth = document(annotation(1, person(0, 0)), annotation(2, person(500, 0)))
    far = person(3000, 3000)
    scores = scores_of(evaluate("coco", [entry(far, 0.9), entry(person(0, 0), 0.8), entry(far, 0.7)], truth))
    assert scores["ap50", "all"] == pytest.approx(51 / 101 / 2, abs=1e-12)
    assert scores["ar50", "all"] == 0.5


def test_no_detections_score_zero() -> None:
    truth = document(annotation(1, person(0, 0)))
    report = evaluate("coco", [], truth)
    assert report.entries == 0
    assert set(scores_of(report).values()) == {0.0}


def test_a_range_without_people_is_left_out() -> None:
    truth = document(annotation(1, person(0, 0)))  # area 0.6 x 64 x 188: medium is empty only above 96^2
    truth["annotations"][0]["area"] = 96.0**2 + 1
    names = [score.metric for score in evaluate("coco", [entry(person(0, 0), 1.0)], truth).scores]
    assert names == ["ap", "ap50", "ap75", "ap_large", "ar", "ar50", "ar75", "ar_large"]


def test_an_annotation_with_id_zero_counts() -> None:
    truth = document(annotation(0, person(0, 0)))
    assert scores_of(evaluate("coco", [entry(person(0, 0), 1.0)], truth))["ap", "all"] == pytest.approx(1, abs=1e-12)


def test_nan_is_rejected_by_the_reader() -> None:
    truth = document(annotation(1, person(0, 0)))
    bad = entry(person(0, 0), 1.0)
    bad["keypoints"][3] = float("nan")
    with pytest.raises(PredictionError) as caught:
        evaluate("coco", [bad], truth)
    assert caught.value.code == "not_finite"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e308])
@pytest.mark.parametrize("labelled", [True, False])
def test_a_coordinate_that_is_not_a_place_wins_nothing_in_the_core(value: float, labelled: bool) -> None:
    # In pycocotools one NaN in each of these false alarms gives AP 1.0: a comparison with NaN is false.
    truth, entries = multi_person("coco", seed=3, images=20)
    if not labelled:
        for row in truth["annotations"]:
            row["keypoints"][:3] = [0, 0, 0]
    annotations = read_truth(truth, COCO)
    clean = read_predictions([e | {"keypoints": [5000.0] * 51} for e in entries], COCO)
    spoiled = clean.keypoints.copy()
    spoiled[:, 0, 0] = value
    tally = measure(annotations, dataclasses.replace(clean, keypoints=spoiled), COCO, names=list(STATISTICS))
    assert [score.value for score in tally.scores()] == [0.0] * 10


def test_a_score_that_is_not_a_number_comes_last_in_the_core() -> None:
    truth = document(annotation(1, person(0, 0)))
    annotations = read_truth(truth, COCO)
    clean = read_predictions([entry(person(0, 0), 0.1), entry(person(900, 900), 0.9)], COCO)
    spoiled = dataclasses.replace(clean, scores=np.array([0.1, np.nan]))
    (score,) = measure(annotations, spoiled, COCO, names=["ap"]).scores()
    assert score.value == pytest.approx(1.0, abs=1e-12)


def test_the_submitters_own_boxes_and_areas_change_nothing() -> None:
    # In pycocotools a submitted box [0, 0, 1, 1] moves false alarms out of the large range and lifts AP(L).
    truth, entries = multi_person("coco", seed=11, images=40)
    plain = evaluate("coco", entries, truth).scores
    assert evaluate("coco", [e | {"bbox": [0, 0, 1, 1], "area": 1.0, "id": 7} for e in entries], truth).scores == plain


def test_ties_are_settled_by_content_and_never_by_file_order() -> None:
    truth, entries = multi_person("coco", seed=4, images=8, most_people=4, most_detections=30)
    for number, row in enumerate(entries):
        row["score"] = 0.5 if number % 3 else 0.25
    twins = [dict(a, id=a["id"] + 20_000) for a in truth["annotations"][::2]]  # equal OKS with two annotations
    truth["annotations"] += twins
    reports = set()
    rng = np.random.default_rng(0)
    for _ in range(100):
        shuffled_truth, shuffled = copy.deepcopy(truth), list(entries)
        rng.shuffle(shuffled)
        rng.shuffle(shuffled_truth["annotations"])
        rng.shuffle(shuffled_truth["images"])
        reports.add(tuple(score.value.hex() for score in evaluate("coco", shuffled, shuffled_truth).scores))
    assert len(reports) == 1


def test_ties_follow_score_then_image_then_keypoints() -> None:
    # Equal scores: the hit on image 1 comes before the false alarm on image 2, so precision is 1 at its recall.
    hit, alarm = person(0, 0), person(4000, 4000)
    truth = document(annotation(1, hit), images=2)
    assert scores_of(evaluate("coco", [entry(alarm, 0.5, 2), entry(hit, 0.5, 1)], truth))["ap", "all"] == pytest.approx(
        1, abs=1e-12
    )
    # Within one image the smaller coordinates come first: here the false alarm, and precision is one half.
    alarm = person(-4000, 0)
    truth = document(annotation(1, hit))
    assert scores_of(evaluate("coco", [entry(hit, 0.5), entry(alarm, 0.5)], truth))["ap", "all"] == pytest.approx(
        0.5, abs=1e-12
    )


def test_equal_similarity_goes_to_the_larger_id() -> None:
    # Both annotations are the same place; the large one is ignored in "medium" only when it is the one left over.
    points = person(0, 0)
    truth = document(annotation(5, points), annotation(9, points, num_keypoints=17))
    annotations = read_truth(truth, COCO)
    tally = measure(annotations, read_predictions([entry(points, 1.0)], COCO), COCO, names=["ar"])
    assert tally.matches.hit[0].all()
    assert scores_of_list(tally)["ar"] == 0.5


def scores_of_list(tally: Any) -> dict[str, float]:
    return {score.metric: score.value for score in tally.scores()}


def test_only_the_twenty_best_of_an_image_count() -> None:
    truth = document(annotation(1, person(0, 0)))
    alarms = [entry(person(3000, 3000 + i), 0.9 - i / 1000) for i in range(20)]
    assert scores_of(evaluate("coco", [*alarms, entry(person(0, 0), 0.1)], truth))["ar", "all"] == 0.0
    assert scores_of(evaluate("coco", [*alarms[:19], entry(person(0, 0), 0.1)], truth))["ar", "all"] == 1.0


def test_a_crowd_absorbs_any_number_and_an_unlabelled_person_one() -> None:
    labelled, crowd = person(0, 0), person(1000, 0)
    empty = {"keypoints": [0] * 51, "num_keypoints": 0}
    found = [entry(labelled, 0.5), *(entry(crowd + i, 0.9 - i / 100) for i in range(3))]
    truth = document(annotation(1, labelled), annotation(2, crowd, iscrowd=1, **empty))
    assert scores_of(evaluate("coco", found, truth))["ap", "all"] == pytest.approx(1, abs=1e-12)
    # One of the three is absorbed, two are false alarms before the hit: precision 1/3.
    truth = document(annotation(1, labelled), annotation(2, crowd, **empty))
    assert scores_of(evaluate("coco", found, truth))["ap", "all"] == pytest.approx(1 / 3, abs=1e-12)


def test_detections_in_images_without_people_are_false_alarms() -> None:
    truth = document(annotation(1, person(0, 0)), images=2)
    found = [entry(person(0, 0), 0.5), entry(person(0, 0), 0.9, image=2)]
    assert scores_of(evaluate("coco", found, truth))["ap", "all"] == pytest.approx(0.5, abs=1e-12)


@pytest.mark.parametrize("field", ["area", "bbox"])
def test_annotations_that_oks_cannot_use_are_the_operators_fault(field: str) -> None:
    truth = document(annotation(1, person(0, 0), keypoints=[0] * 51), annotation(2, person(0, 0)))
    del truth["annotations"][0][field]
    with pytest.raises(GroundTruthError, match=field):
        evaluate("coco", [], truth)


@pytest.mark.parametrize("field", ["area", "bbox"])
def test_the_first_annotation_that_oks_cannot_use_is_named(field: str) -> None:
    """By its id, in the order of the ids, whatever the order of the file."""
    truth = document(*(annotation(number, person(0, 0)) for number in (7, 9, 5, 3)))
    without_box_share = load_dataset("coco" if field == "area" else "crowdpose")
    for each in truth["annotations"][:3]:
        del each[field]
        each["keypoints"] = each["keypoints"][: 3 * len(without_box_share.joints)]
    truth["annotations"][3]["keypoints"] = truth["annotations"][3]["keypoints"][: 3 * len(without_box_share.joints)]
    with pytest.raises(GroundTruthError, match=f"annotation 5 has no {field}, which OKS needs"):
        evaluate(without_box_share, [], truth)


@pytest.mark.parametrize(
    "weights",
    [np.full((1, 300), 1.0), np.random.default_rng(1).random((5, 300)), np.full((1, 300), 2.0**20 + 1)],
    ids=["whole", "fractions", "large"],
)
def test_any_weights_give_the_same_bits_at_once_and_one_by_one(weights: Any) -> None:
    """The C takes whole weights alone: those in fractions reach other points of recall in another order of adding."""
    truth, entries = multi_person("coco", 2, images=300)
    annotations, predictions = read_truth(truth, COCO), read_predictions(entries, COCO)
    (tally,) = evaluator.measure(COCO, predictions, annotations)
    assert isinstance(tally, MatchTally)
    together = list(accumulated(tally.matches, weights))
    for (precision, recall), weight in zip(together, weights, strict=True):
        alone = accumulate(tally.matches, weight)
        np.testing.assert_array_equal(precision, alone[0])
        np.testing.assert_array_equal(recall, alone[1])
