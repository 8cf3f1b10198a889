"""What holds for every metric of every dataset, and the invariances that each metric's file declares."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np
import pytest

from evaluator import dataset_names, evaluate, load_dataset, measure, read_predictions, read_truth
from evaluator.metrics import load_metric
from tests.evaluator.pose_cases import case, scores_of

SEEDS = (1, 2, 3)
DATASETS = dataset_names()

MEASURED = sorted({(name, spec.metric) for name in DATASETS for spec in load_dataset(name).metrics})


def names_of(dataset: str, metric: str) -> set[str]:
    return {spec.name for spec in load_dataset(dataset).metrics if spec.metric == metric}


def of_metric(scores: dict[tuple[str, str], float], dataset: str, metric: str) -> dict[tuple[str, str], float]:
    return {key: value for key, value in scores.items() if key[0] in names_of(dataset, metric)}


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("seed", SEEDS)
def test_scores_are_fractions_and_something_between(dataset: str, seed: int) -> None:
    truth, entries = case(dataset, seed)
    scores = scores_of(evaluate(dataset, entries, truth))
    assert all(0 <= value <= 1 for value in scores.values())
    primary = scores[load_dataset(dataset).primary, "all"]
    assert 0.02 < primary < 0.98


@pytest.mark.parametrize("dataset", DATASETS)
def test_the_order_of_entries_annotations_and_images_does_not_matter(dataset: str) -> None:
    truth, entries = case(dataset, 1)
    expected = [(score, score.value.hex()) for score in evaluate(dataset, entries, truth).scores]
    rng = np.random.default_rng(0)
    for _ in range(10):
        truth, entries = copy.deepcopy(truth), list(entries)
        for rows in (entries, truth["annotations"], truth["images"]):
            rng.shuffle(rows)
        assert [(score, score.value.hex()) for score in evaluate(dataset, entries, truth).scores] == expected


@pytest.mark.parametrize("dataset", DATASETS)
def test_inputs_are_not_changed(dataset: str) -> None:
    truth, entries = case(dataset, 1)
    before = copy.deepcopy((truth, entries))
    evaluate(dataset, entries, truth, intervals=True)
    assert (truth, entries) == before
    definition = load_dataset(dataset)
    annotations, predictions = read_truth(truth, definition), read_predictions(entries, definition)
    arrays = [
        value for value in (*vars(annotations).values(), *vars(predictions).values()) if hasattr(value, "setflags")
    ]
    for array in arrays:
        array.setflags(write=False)
    measure(definition, predictions, annotations)


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("seed", SEEDS)
def test_perfect_predictions_score_one(dataset: str, seed: int) -> None:
    truth, _ = case(dataset, seed)
    entries = []
    for row in truth["annotations"]:
        if row["iscrowd"] or not row["num_keypoints"]:
            continue
        keypoints = list(row["keypoints"])
        entries.append(
            {
                "image_id": row["image_id"],
                "person_id": row["person_id"],
                "keypoints": keypoints,
                "score": 0.5 + row["id"] / 100_000,
            }
        )
    scores = scores_of(evaluate(dataset, entries, truth))
    assert scores
    assert all(value == pytest.approx(1.0, abs=1e-12) for value in scores.values())


@pytest.mark.parametrize("dataset", DATASETS)
def test_nobody_scores_zero(dataset: str) -> None:
    truth, _ = case(dataset, 1)
    report = evaluate(dataset, [], truth)
    assert {score.value for score in report.scores} == {0.0}
    assert [s.metric for s in report.scores] == [s.metric for s in evaluate(dataset, case(dataset, 1)[1], truth).scores]


@pytest.mark.parametrize("dataset", DATASETS)
def test_whole_weights_equal_images_repeated_literally(dataset: str) -> None:
    truth, entries = case(dataset, 2, images=12)
    definition = load_dataset(dataset)
    weights = np.random.default_rng(1).integers(0, 4, 12).astype(float)
    annotations = read_truth(truth, definition)
    tallies = measure(definition, read_predictions(entries, definition), annotations)
    weighted = [score for tally in tallies for score in tally.scores(weights)]
    repeated: dict[str, Any] = {"images": [], "annotations": []}
    found = []
    for image, weight in zip(annotations.image_ids.tolist(), weights.astype(int).tolist(), strict=True):
        for number in range(weight):
            shift = 1_000_000 * number
            repeated["images"].append({"id": image + shift})
            repeated["annotations"] += [
                row | {"image_id": image + shift, "id": row["id"] + shift}
                for row in truth["annotations"]
                if row["image_id"] == image
            ]
            found += [row | {"image_id": image + shift} for row in entries if row["image_id"] == image]
    literal = evaluate(dataset, found, repeated).scores
    assert [(s.metric, s.part) for s in weighted] == [(s.metric, s.part) for s in literal]
    assert [s.value for s in weighted] == pytest.approx([s.value for s in literal], abs=1e-12)


def moved(truth: Any, entries: Any, point: Any, *, size: float = 1.0) -> tuple[Any, Any]:
    """Annotations and predictions with every point mapped by `point`, and every length multiplied by `size`."""
    truth, entries = copy.deepcopy(truth), copy.deepcopy(entries)
    for row in (*truth["annotations"], *entries):
        values = row["keypoints"]
        for at in range(0, len(values), 3):
            if values[at] is not None:
                values[at], values[at + 1] = point(values[at], values[at + 1])
    for row in truth["annotations"]:
        x, y, w, h = row["bbox"]
        corners = [point(x, y), point(x + w, y + h)]
        low, high = np.min(corners, axis=0), np.max(corners, axis=0)
        row["bbox"] = [*low.tolist(), *(high - low).tolist()]
        for field in ("head_size", "area"):
            if field in row:
                row[field] = row[field] * (size**2 if field == "area" else size)
        if "torso_box" in row:
            row["torso_box"] = [size * v for v in row["torso_box"]]
    return truth, entries


def mirrored(dataset: str, truth: Any, entries: Any) -> tuple[Any, Any]:
    definition = load_dataset(dataset)
    order = list(range(len(definition.joints)))
    for left, right in definition.flip_pairs:
        a, b = definition.joint(left), definition.joint(right)
        order[a], order[b] = b, a
    truth, entries = moved(truth, entries, lambda x, y: (1000 - x, y))
    for row in (*truth["annotations"], *entries):
        row["keypoints"] = [v for joint in order for v in row["keypoints"][3 * joint : 3 * joint + 3]]
    return truth, entries


def changed(invariance: str, dataset: str, truth: Any, entries: Any) -> tuple[Any, Any]:
    rng = np.random.default_rng(9)
    match invariance:
        case "translation":
            return moved(truth, entries, lambda x, y: (x + 64, y - 1024))
        case "scale":
            return moved(truth, entries, lambda x, y: (4 * x, 4 * y), size=4)
        case "rotation":
            return moved(truth, entries, lambda x, y: (-y, x))
        case "mirror":
            return mirrored(dataset, truth, entries)
        case "rank":
            return truth, [row | {"score": row["score"] ** 3 * 7 - 2} for row in entries]
        case "confidence":
            rows = copy.deepcopy(entries)
            for row in rows:
                row["score"] = float(rng.random())
                row["keypoints"][2::3] = [v if v is None else float(rng.random()) for v in row["keypoints"][2::3]]
            return truth, rows
        case _:
            raise AssertionError(invariance)


@pytest.mark.parametrize(
    ("dataset", "metric", "invariance"),
    [
        (dataset, metric, invariance)
        for dataset, metric in MEASURED
        for invariance in sorted(load_metric(metric).INVARIANCES - {"farther"})
    ],
)
def test_a_declared_invariance_holds(dataset: str, metric: str, invariance: str) -> None:
    for seed in SEEDS:
        truth, entries = case(dataset, seed)
        before = of_metric(scores_of(evaluate(dataset, entries, truth)), dataset, metric)
        after = of_metric(
            scores_of(evaluate(dataset, *reversed(changed(invariance, dataset, truth, entries)))), dataset, metric
        )
        assert after == pytest.approx(before, abs=1e-12)


@pytest.mark.parametrize(("dataset", "metric"), [pair for pair in MEASURED if pair[1] != "oks"])
def test_a_joint_farther_away_never_raises_a_rate(dataset: str, metric: str) -> None:
    assert "farther" in load_metric(metric).INVARIANCES
    truth, entries = case(dataset, 4)
    before = of_metric(scores_of(evaluate(dataset, entries, truth)), dataset, metric)
    places = {(row["image_id"], row["person_id"]): row["keypoints"] for row in truth["annotations"]}
    rng = np.random.default_rng(2)
    for row in entries:
        joint = 3 * int(rng.integers(len(row["keypoints"]) // 3))
        if row["keypoints"][joint] is not None:
            true = places[row["image_id"], row["person_id"]][joint : joint + 2]
            row["keypoints"][joint : joint + 2] = [
                p + 3 * (p - t) for p, t in zip(row["keypoints"][joint : joint + 2], true, strict=True)
            ]
    after = of_metric(scores_of(evaluate(dataset, entries, truth)), dataset, metric)
    assert all(after[key] <= before[key] for key in before)
    assert any(after[key] < before[key] for key in before)


@pytest.mark.parametrize(("dataset", "metric", "invariance"), [("lsp", "pck", "mirror"), ("coco", "oks", "scale")])
def test_what_is_not_declared_does_fail_somewhere(dataset: str, metric: str, invariance: str) -> None:
    assert invariance not in load_metric(metric).INVARIANCES
    differs = False
    for seed in SEEDS:
        truth, entries = case(dataset, seed)
        before = of_metric(scores_of(evaluate(dataset, entries, truth)), dataset, metric)
        after = scores_of(evaluate(dataset, *reversed(changed(invariance, dataset, truth, entries))))
        differs |= of_metric(after, dataset, metric) != pytest.approx(before, abs=1e-12)
    assert differs


@pytest.mark.parametrize("dataset", DATASETS)
def test_arrays_and_documents_score_alike(dataset: str) -> None:
    truth, entries = case(dataset, 1)
    definition = load_dataset(dataset)
    annotations, predictions = read_truth(truth, definition), read_predictions(entries, definition)
    assert evaluate(definition, predictions, annotations).scores == evaluate(dataset, entries, truth).scores
    turned = dataclasses.replace(
        predictions,
        image_ids=predictions.image_ids[::-1],
        person_ids=predictions.person_ids[::-1],
        keypoints=predictions.keypoints[::-1],
        scores=predictions.scores[::-1],
    )
    assert evaluate(dataset, turned, annotations).scores == evaluate(dataset, entries, truth).scores
