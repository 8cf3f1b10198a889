"""Error classes: each class made by hand, the shares against the scores, the shared fixture against plain loops."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluator import evaluate, load_dataset, read_predictions, read_truth
from evaluator.diagnosis.joints import CLASSES, Diagnosis, diagnose, flipped, similarity_closeness
from tests.evaluator.pose_cases import case

LSP = load_dataset("lsp")
COCO = load_dataset("coco")


def found(dataset: str, entries: Any, truth: Any) -> Diagnosis:
    definition = load_dataset(dataset)
    annotations = read_truth(truth, definition)
    return diagnose(definition, read_predictions(entries, definition), annotations)


def joint_class(diagnosis: Diagnosis, joint: str) -> str:
    """The one class of a joint that was counted once."""
    (shares,) = [each for each in diagnosis.joints if each.name == joint]
    assert shares.counted == 1
    return CLASSES[shares.shares.index(1.0)]


def one_lsp_person() -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, int]]:
    """Joints 100 px apart, in a row; but the torso, left shoulder to right hip, is hypot(30, 40) = 50 px."""
    points = np.array([[100.0 * joint, 0.0] for joint in range(14)])
    place = {name: index for index, name in enumerate(LSP.joints)}
    points[place["left_shoulder"]] = points[place["right_hip"]] + [30, 40]
    truth = document("lsp", [points])
    entry = {"image_id": 1, "person_id": 0, "score": 1.0, "keypoints": flat(points)}
    return truth, [entry], place


def document(dataset: str, people: list[Any], area: float = 10000.0) -> dict[str, Any]:
    return {
        "info": {"dataset": dataset, "split": "test"},
        "images": [{"id": 1, "file_name": "1.jpg", "width": 2000, "height": 2000}],
        "annotations": [
            {
                "id": index + 1,
                "image_id": 1,
                "person_id": index,
                "category_id": 1,
                "keypoints": flat(points, 2),
                "num_keypoints": len(points),
                "bbox": [0, 0, 10, 10],
                "area": area,
                "iscrowd": 0,
                "head_size": 10.0,
            }
            for index, points in enumerate(people)
        ],
    }


def flat(points: Any, third: float = 1.0) -> list[Any]:
    return [value for x, y in np.asarray(points).tolist() for value in (x, y, third)]


def test_each_class_of_a_single_person() -> None:
    # The torso is 50 px: good up to 5 px, jitter up to 10 px.
    truth, (entry,), place = one_lsp_person()
    keypoints, true = entry["keypoints"], truth["annotations"][0]["keypoints"]

    def put(joint: str, x: float, y: float) -> None:
        keypoints[3 * place[joint] : 3 * place[joint] + 2] = [x, y]

    def at(joint: str) -> tuple[float, float]:
        return tuple(true[3 * place[joint] : 3 * place[joint] + 2])

    put("right_ankle", at("right_ankle")[0] + 5, 0)
    put("right_knee", at("right_knee")[0] + 5.001, 0)
    put("left_ankle", at("left_ankle")[0], 10)
    put("left_knee", at("left_knee")[0], 10.001)
    put("right_wrist", *at("left_wrist"))
    put("left_wrist", at("right_wrist")[0] - 10, 0)
    put("left_elbow", at("right_elbow")[0], 10.001)
    put("neck", *at("head_top"))
    keypoints[3 * place["head_top"] : 3 * place["head_top"] + 3] = [None] * 3
    diagnosis = found("lsp", [entry], truth)
    classes = {
        "right_ankle": "good",
        "right_knee": "jitter",
        "left_ankle": "jitter",
        "left_knee": "miss",
        "right_wrist": "inversion",
        "left_wrist": "inversion",
        "left_elbow": "miss",
        "neck": "miss",  # the head top is nobody's mirrored neck
        "head_top": "miss",
        "right_elbow": "good",
    }
    assert {joint: joint_class(diagnosis, joint) for joint in classes} == classes
    assert not diagnosis.swaps_possible
    # Five joints were not moved and one not far; two jitter, two inversions; three in a wrong place and one in none.
    assert [round(share * 14) for share in diagnosis.total.shares] == [6, 2, 2, 0, 4]
    assert sum(diagnosis.total.shares) == pytest.approx(1, abs=1e-12)


def test_swaps_are_measured_by_the_size_of_the_other_person() -> None:
    mpii = load_dataset("mpii")
    points = np.array([[100.0 * joint, 0.0] for joint in range(16)])
    truth = document("mpii", [points, np.add(points, [0, 500])])
    truth["annotations"][1]["head_size"] = 30.0  # half of it: within 15 px of the second, 5 px of the first
    place = {name: index for index, name in enumerate(mpii.joints)}
    first, second = flat(points), flat(np.add(points, [0, 500]))
    first[3 * place["right_wrist"] + 1] = 515.0
    first[3 * place["left_wrist"] + 1] = 515.001
    first[3 * place["right_knee"]] = 100.0 * place["left_knee"]
    first[3 * place["right_knee"] + 1] = 490.0  # on the other's left knee
    second[3 * place["head_top"] + 1] = 5.0  # the first person's head top, 5 px away
    second[3 * place["upper_neck"] + 1] = 5.001
    entries = [
        {"image_id": 1, "person_id": person, "score": 1.0, "keypoints": keypoints}
        for person, keypoints in enumerate((first, second))
    ]
    diagnosis = found("mpii", entries, truth)
    shares = {each.name: each for each in diagnosis.joints}
    assert diagnosis.swaps_possible and diagnosis.people == 2
    assert {name: (shares[name].swap, shares[name].miss) for name in ("right_wrist", "left_wrist", "right_knee")} == {
        "right_wrist": (0.5, 0.0),
        "left_wrist": (0.0, 0.5),
        "right_knee": (0.5, 0.0),
    }
    assert (shares["head_top"].swap, shares["upper_neck"].miss) == (0.5, 0.5)
    assert {"pelvis", "thorax"}.isdisjoint(shares)  # they never count


def test_a_similarity_of_exactly_the_limit_is_on_the_better_side() -> None:
    # s = exp(-d^2 / ((2 x 0.05)^2 x 2 x area)) = exp(-d^2 / (0.02 area)); of many distances some give the limit.
    areas, sigmas = 10000.0 + np.arange(500), np.array([0.05])
    close = similarity_closeness(areas, sigmas)
    for limit, which in ((0.85, 0), (0.5, 1)):
        middle = np.sqrt(-0.02 * areas * math.log(limit))
        distances = middle[:, None] + np.arange(-5, 6) * np.spacing(middle)[:, None]  # [500, 11]
        similarity = np.exp(-(distances**2 / (sigmas[0] * 2) ** 2 / (areas[:, None] + np.spacing(1)) / 2))
        assert (similarity == limit).any() and (similarity < limit).any() and (similarity > limit).any()
        points = np.stack([distances, np.zeros_like(distances)], axis=-1)
        result = close(points, np.zeros_like(points), np.arange(500))[which]
        assert (result == (similarity >= limit)).all()


def test_each_class_of_a_matched_detection() -> None:
    # Area 10000, sigma s: similarity exp(-d^2 / (80000 s^2)). Good up to d = sqrt(-ln 0.85 x 80000) s = 114.02 s,
    # near up to sqrt(ln 2 x 80000) s = 235.48 s. The wrist, s = 0.062: 7.07 px and 14.60 px.
    points = np.array([[150.0 * joint, 0.0] for joint in range(17)])
    other = np.add(points, [0, 1000])
    place = {name: index for index, name in enumerate(COCO.joints)}
    predicted = points.copy()
    predicted[place["left_wrist"], 1] = 7.06
    predicted[place["right_wrist"], 1] = 7.08
    predicted[place["left_elbow"]] = points[place["right_elbow"]]
    predicted[place["left_knee"]] = other[place["right_knee"]]
    predicted[place["right_knee"]] = other[place["right_knee"]] + [0, 235.4 * 0.087]
    predicted[place["left_ankle"], 1] = 235.5 * 0.089
    predicted[place["nose"]] = points[place["left_eye"]]
    truth = document("coco", [points, other])
    entries = [{"image_id": 1, "category_id": 1, "score": 0.9, "keypoints": flat(predicted)}]
    diagnosis = found("coco", entries, truth)
    assert diagnosis.people == 1 and diagnosis.metric == "oks"
    classes = {
        "left_wrist": "good",
        "right_wrist": "jitter",
        "left_elbow": "inversion",
        "left_knee": "swap",
        "right_knee": "swap",
        "left_ankle": "miss",
        "nose": "miss",
        "left_hip": "good",
    }
    assert {joint: joint_class(diagnosis, joint) for joint in classes} == classes
    # OKS of the detection: 17 joints, 5 of them gone entirely, two wrists above 0.84, an ankle just under 0.5
    assert [row.true_positives for row in diagnosis.detections] == [1, 1, 1, 1, 1, 0, 0, 0, 0, 0]
    assert {row.never_found for row in diagnosis.detections} == {1}


def test_false_positives_negatives_and_score_errors() -> None:
    points = np.array([[150.0 * joint, 0.0] for joint in range(17)])
    third = np.add(points, [0, 3000])
    truth = document("coco", [points, np.add(points, [0, 1000]), third])
    entries = [
        # The first person twice: the better one has the lower score ...
        {"image_id": 1, "category_id": 1, "score": 0.9, "keypoints": flat(np.add(points, [0, 9]))},
        {"image_id": 1, "category_id": 1, "score": 0.8, "keypoints": flat(points)},
        # ... one in the background, and the third person exactly.
        {"image_id": 1, "category_id": 1, "score": 0.7, "keypoints": flat(np.add(points, [0, 5000]))},
        {"image_id": 1, "category_id": 1, "score": 0.6, "keypoints": flat(third)},
    ]
    diagnosis = found("coco", entries, truth)
    # 9 px: the mean over joints of exp(-81 / (80000 s^2)) is 0.6893, so the first detection matches up to 0.65
    spread = np.exp(-81 / (80000 * COCO.sigmas**2)).mean()
    assert 0.65 < spread < 0.70
    first = diagnosis.detections[0]
    assert (first.true_positives, first.false_positives, first.background) == (2, 2, 1)
    assert (first.false_negatives, first.never_found) == (1, 1)
    # From 0.70 on the second detection takes the first person, and the first detection is the false one.
    last = diagnosis.detections[-1]
    assert (last.threshold, last.true_positives, last.false_positives, last.background) == (0.95, 2, 2, 1)
    assert diagnosis.scores is not None
    assert (diagnosis.scores.people, diagnosis.scores.errors) == (1, 1)
    # Recall 2/3, that is 67 of the 101 points. By score, loose: hit, false, false, hit: precision 1 up to recall 1/3
    # (34 points), 1/2 after it (33). Strict: false, hit, false, hit: 1/2 everywhere. Four thresholds and six.
    assert diagnosis.scores.ap == pytest.approx((4 * (34 + 33 / 2) + 6 * 67 / 2) / 10 / 101, abs=1e-12)
    # Scored by similarity the two exact ones come first.
    assert diagnosis.scores.ap_optimal == pytest.approx(67 / 101, abs=1e-12)


@pytest.mark.parametrize("dataset", ["lsp", "flic", "mpii"])
def test_good_and_jitter_are_the_score(dataset: str) -> None:
    truth, entries = case(dataset, 3, images=60)
    diagnosis = found(dataset, entries, truth)
    scores = {(s.metric, s.part): s.value for s in evaluate(dataset, entries, truth).scores}
    for shares in (*diagnosis.parts, diagnosis.total):
        assert shares.good + shares.jitter == pytest.approx(scores[diagnosis.metric, shares.name], abs=1e-12)
    curves = {curve.name: curve for curve in diagnosis.curves}
    assert set(curves) == {shares.name for shares in (*diagnosis.parts, diagnosis.total)}
    for name, curve in curves.items():
        threshold = load_dataset(dataset).metric(diagnosis.metric).parameters["threshold"]
        assert curve.y[curve.x.index(threshold)] == scores[diagnosis.metric, name]
        assert curve.x[0] == 0 and curve.x[-1] == 2 * threshold
        assert list(curve.y) == sorted(curve.y)


@pytest.mark.parametrize("dataset", ["lsp", "flic", "mpii", "coco", "crowdpose", "mannequins"])
def test_shares_add_up_and_nothing_is_changed(dataset: str) -> None:
    truth, entries = case(dataset, 8, images=40)
    definition = load_dataset(dataset)
    annotations, predictions = read_truth(truth, definition), read_predictions(entries, definition)
    before = annotations.keypoints.copy(), predictions.keypoints.copy()
    diagnosis = diagnose(definition, predictions, annotations)
    assert np.array_equal(before[0], annotations.keypoints, equal_nan=True)
    assert np.array_equal(before[1], predictions.keypoints, equal_nan=True)
    for shares in (*diagnosis.joints, *diagnosis.parts, diagnosis.total):
        assert sum(shares.shares) == pytest.approx(1, abs=1e-12)
        assert min(shares.shares) >= 0 and shares.counted > 0
    assert diagnosis.total.counted == sum(shares.counted for shares in diagnosis.joints)
    for index, share in enumerate(diagnosis.total.shares):  # pooled
        pooled = sum(shares.shares[index] * shares.counted for shares in diagnosis.joints)
        assert share * diagnosis.total.counted == pytest.approx(pooled, abs=1e-9)
    assert json.loads(json.dumps(diagnosis.to_dict(), allow_nan=False))["total"]["name"] == "all"
    # the order of the file is irrelevant
    assert diagnose(definition, read_predictions(entries[::-1], definition), annotations) == diagnosis


@pytest.mark.parametrize("dataset", ["coco", "crowdpose", "mannequins"])
@pytest.mark.parametrize("seed", range(5))
def test_the_mean_of_the_precision_recall_curves_is_the_average_precision(dataset: str, seed: int) -> None:
    truth, entries = case(dataset, seed, images=40, most_detections=30)
    diagnosis = found(dataset, entries, truth)
    scores = {s.metric: s.value for s in evaluate(dataset, entries, truth).scores}
    means = [np.mean(curve.y) for curve in diagnosis.curves]
    assert means[0] == pytest.approx(scores["ap50"], abs=1e-12)
    assert means[5] == pytest.approx(scores["ap75"], abs=1e-12)
    assert np.mean(means) == pytest.approx(scores["ap"], abs=1e-12)
    assert diagnosis.scores is not None
    assert diagnosis.scores.ap == pytest.approx(scores["ap"], abs=1e-12)
    people = diagnosis.detections[0].true_positives + diagnosis.detections[0].false_negatives
    recalls = [row.true_positives / people for row in diagnosis.detections]
    assert np.mean(recalls) == pytest.approx(scores["ar"], abs=1e-12)
    for row in diagnosis.detections:
        assert 0 <= row.background <= row.false_positives and 0 <= row.never_found <= row.false_negatives


def test_perfect_predictions_are_good() -> None:
    for dataset in ("lsp", "coco"):
        truth, _ = case(dataset, 4)
        entries = [
            {"image_id": a["image_id"], "person_id": a["person_id"], "category_id": 1, "score": 0.5 + a["id"] * 1e-6}
            | {"keypoints": a["keypoints"]}
            for a in truth["annotations"]
            if a["num_keypoints"] and not a["iscrowd"] and any(a["keypoints"][2::3])
        ]
        if dataset == "coco":
            for entry in entries:
                entry.pop("person_id")
        diagnosis = found(dataset, entries, truth)
        assert diagnosis.total.shares == (1.0, 0.0, 0.0, 0.0, 0.0)


def plain_loops(truth: dict[str, Any], entries: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """Section by section of the definition, one joint at a time, for one image without ties."""
    sigma = COCO.sigmas.tolist()
    flip = flipped(COCO).tolist()

    def similarity(entry: Any, joint: int, person: Any, of: int) -> float:
        x, y, v = person["keypoints"][3 * of : 3 * of + 3]
        if v == 0:
            return -1.0
        dx, dy = entry["keypoints"][3 * joint] - x, entry["keypoints"][3 * joint + 1] - y
        return math.exp(-(dx * dx + dy * dy) / ((2 * sigma[joint]) ** 2 * 2 * person["area"]))

    people = [a for a in truth["annotations"] if a["num_keypoints"] and not a["iscrowd"]]
    rest = [a for a in truth["annotations"] if a not in people and any(a["keypoints"][2::3])]
    bare = [a for a in truth["annotations"] if not any(a["keypoints"][2::3])]

    def oks(entry: Any, person: Any) -> float:
        labelled = [joint for joint in range(17) if person["keypoints"][3 * joint + 2]]
        return sum(similarity(entry, joint, person, joint) for joint in labelled) / len(labelled)

    best = sorted(entries, key=lambda entry: -entry["score"])[:20]
    free = list(people)
    counts: dict[str, dict[str, int]] = {name: dict.fromkeys(CLASSES, 0) for name in COCO.joints}
    for entry in best:
        near = [(oks(entry, person), person["id"], person) for person in free]
        near = [each for each in near if each[0] >= 0.1]
        if not near:
            continue  # background, or absorbed by a crowd: no joint of anybody
        person = max(near)[2]
        free.remove(person)
        others = [each for each in people if each is not person]
        for joint, name in enumerate(COCO.joints):
            if not person["keypoints"][3 * joint + 2]:
                continue
            own = similarity(entry, joint, person, joint)
            if own >= 0.85:
                counts[name]["good"] += 1
            elif own >= 0.5:
                counts[name]["jitter"] += 1
            elif flip[joint] != joint and similarity(entry, joint, person, flip[joint]) >= 0.5:
                counts[name]["inversion"] += 1
            elif any(similarity(entry, joint, each, of) >= 0.5 for each in others for of in (joint, flip[joint])):
                counts[name]["swap"] += 1
            else:
                counts[name]["miss"] += 1
    assert len(people) + len(rest) + len(bare) == len(truth["annotations"])
    return counts


@pytest.mark.real_data
@pytest.mark.parametrize("names", ["fce_kp_{}_dataset.json", "xt"])
def test_the_shared_fixtures_equal_plain_loops(real_data: Path, names: str) -> None:
    files = ("xt_example_coco_val.json", "xt_example_coco_preds.json")
    if names != "xt":
        files = (names.format("gt"), names.format("dt"))
    truth = json.loads((real_data / "coco" / files[0]).read_text())
    entries = json.loads((real_data / "coco" / files[1]).read_text())
    diagnosis = found("coco", entries, truth)
    expected = {name: dict.fromkeys(CLASSES, 0) for name in COCO.joints}
    for image in truth["images"]:
        one = {"annotations": [a for a in truth["annotations"] if a["image_id"] == image["id"]]}
        for name, classes in plain_loops(one, [e for e in entries if e["image_id"] == image["id"]]).items():
            for each, times in classes.items():
                expected[name][each] += times
    counted = {
        each.name: {c: round(s * each.counted) for c, s in zip(CLASSES, each.shares, strict=True)}
        for each in diagnosis.joints
    }
    assert counted == {name: classes for name, classes in expected.items() if sum(classes.values())}
    assert diagnosis.total.counted == sum(sum(classes.values()) for classes in expected.values()) > 80


@pytest.mark.real_data
def test_the_shared_fixture_in_numbers(real_data: Path) -> None:
    """87 labelled joints of the eight matched people of fce_kp: 54 good, 26 jitter, 7 misses."""
    folder = real_data / "coco"
    diagnosis = found(
        "coco", (folder / "fce_kp_dt_dataset.json").read_bytes(), (folder / "fce_kp_gt_dataset.json").read_bytes()
    )
    assert diagnosis.people == 8
    assert [round(share * 87, 9) for share in diagnosis.total.shares] == [54, 26, 0, 0, 7]
    assert diagnosis.detections[0].true_positives == 8 and diagnosis.detections[0].never_found == 3
