"""Properties of every metric of every dataset, and the invariances that each metric's file declares.

The table is the registry: each metric on each dataset that names it. A word of `evaluator.metrics.INVARIANCES` is
either declared by a metric, and then tested here on all of its datasets, or has a counter-example
(`test_counter_examples`).
"""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np
import pytest

from evaluator import (
    dataset_names,
    evaluate,
    load_dataset,
    measure,
    read_predictions,
    read_truth,
)
from evaluator.metrics import INVARIANCES, load_metric, metric_names
from evaluator.surface.maps import UvMaps
from tests.evaluator import space_changes, surface_cases
from tests.evaluator.changed_cases import changed, only, scored, scored_after
from tests.evaluator.pose_cases import Document, Entries, case

SEEDS = (1, 2, 3)
DATASETS = dataset_names()
TABLE = sorted({(name, spec.metric) for name in DATASETS for spec in load_dataset(name).metrics})


def test_every_metric_is_in_the_table() -> None:
    assert sorted({metric for _, metric in TABLE}) == metric_names()


# What holds for all


@pytest.mark.parametrize(("dataset", "metric"), TABLE)
def test_scores_are_in_range_and_something_between(dataset: str, metric: str) -> None:
    scores = [score for seed in SEEDS for score in scored(dataset, metric, case(dataset, seed)).items()]
    assert all(np.isfinite(value) and value >= 0 for _, value in scores)
    if load_metric(metric).HIGHER_IS_BETTER:
        assert all(value <= 1 for _, value in scores)
    first = next(spec.name for spec in load_dataset(dataset).metrics if spec.metric == metric)
    assert all(value > 0.02 for (name, part), value in scores if (name, part) == (first, "all"))
    assert all(value != 1 for (name, part), value in scores if (name, part) == (first, "all"))


@pytest.mark.parametrize(("dataset", "metric"), TABLE)
def test_the_order_of_entries_annotations_and_images_does_not_matter(dataset: str, metric: str) -> None:
    definition = only(dataset, metric)
    truth, entries = case(dataset, 1)
    expected = [(score, score.value.hex()) for score in evaluate(definition, entries, truth).scores]
    rng = np.random.default_rng(0)
    for _ in range(10):
        truth, entries = copy.deepcopy(truth), list(entries)
        for rows in (entries, truth["annotations"], truth["images"]):
            rng.shuffle(rows)
        assert [(score, score.value.hex()) for score in evaluate(definition, entries, truth).scores] == expected


@pytest.mark.parametrize(("dataset", "metric"), [row for row in TABLE if load_dataset(row[0]).entry == "keypoints"])
def test_the_place_of_a_joint_that_is_not_annotated_does_not_matter(dataset: str, metric: str) -> None:
    truth, entries = case(dataset, 2)
    before = scored(dataset, metric, (truth, entries))
    truth = copy.deepcopy(truth)
    changes = 0
    for row in truth["annotations"]:
        for at in range(0, len(row["keypoints"]), 3):
            if not row["keypoints"][at + 2]:
                row["keypoints"][at : at + 2] = [row["id"] + 1.5, 977.25]
                changes += 1
    assert changes > 10
    assert scored(dataset, metric, (truth, entries)) == before


@pytest.mark.parametrize(("dataset", "metric"), TABLE)
def test_inputs_are_not_changed(dataset: str, metric: str) -> None:
    definition = only(dataset, metric)
    truth, entries = case(dataset, 1)
    before = copy.deepcopy((truth, entries))
    evaluate(definition, entries, truth, intervals=True)
    assert (truth, entries) == before
    annotations, predictions = read_truth(truth, definition), read_predictions(entries, definition)
    arrays = [
        value for value in (*vars(annotations).values(), *vars(predictions).values()) if hasattr(value, "setflags")
    ]
    for array in arrays:
        array.setflags(write=False)
    measure(definition, predictions, annotations)


@pytest.mark.parametrize(("dataset", "metric"), TABLE)
def test_the_same_input_gives_the_same_bits(dataset: str, metric: str) -> None:
    found = case(dataset, 3)
    first = {key: value.hex() for key, value in scored(dataset, metric, found).items()}
    assert {key: value.hex() for key, value in scored(dataset, metric, copy.deepcopy(found)).items()} == first


@pytest.mark.parametrize(("dataset", "metric"), TABLE)
def test_whole_weights_equal_images_repeated_literally(dataset: str, metric: str) -> None:
    definition = only(dataset, metric)
    truth, entries = case(dataset, 2, images=12)
    weights = np.random.default_rng(1).integers(0, 4, 12).astype(float)
    annotations = read_truth(truth, definition)
    tallies = measure(definition, read_predictions(entries, definition), annotations)
    weighted = [score for tally in tallies for score in tally.scores(weights)]
    repeated: dict[str, Any] = {"info": truth["info"], "images": [], "annotations": []}
    found = []
    for image, weight in zip(annotations.image_ids.tolist(), weights.astype(int).tolist(), strict=True):
        (record,) = (row for row in truth["images"] if row["id"] == image)
        for number in range(weight):
            shift = 1_000_000 * number
            repeated["images"].append(record | {"id": image + shift})
            repeated["annotations"] += [
                row | {"image_id": image + shift, "id": row["id"] + shift}
                for row in truth["annotations"]
                if row["image_id"] == image
            ]
            found += [row | {"image_id": image + shift} for row in entries if row["image_id"] == image]
    literal = evaluate(definition, found, repeated).scores
    assert [(s.metric, s.part) for s in weighted] == [(s.metric, s.part) for s in literal]
    assert [s.value for s in weighted] == pytest.approx([s.value for s in literal], abs=1e-12)


@pytest.mark.parametrize("dataset", DATASETS)
def test_arrays_and_documents_score_alike(dataset: str) -> None:
    truth, entries = case(dataset, 1)
    definition = load_dataset(dataset)
    annotations, predictions = read_truth(truth, definition), read_predictions(entries, definition)
    assert evaluate(definition, predictions, annotations).scores == evaluate(dataset, entries, truth).scores
    columns = {field.name: getattr(predictions, field.name) for field in dataclasses.fields(predictions)}
    turned = dataclasses.replace(predictions, **{k: v[::-1] for k, v in columns.items() if isinstance(v, np.ndarray)})
    if predictions.uv is not None:
        turned = dataclasses.replace(turned, uv=UvMaps(predictions.uv.boxes[::-1], predictions.uv.images[::-1]))
    assert evaluate(dataset, turned, annotations).scores == evaluate(dataset, entries, truth).scores


# What some declare


EXTREMES = frozenset({"farther", "perfect", "nobody"})


def declared(word: str) -> list[tuple[str, str]]:
    return [(dataset, metric) for dataset, metric in TABLE if word in load_metric(metric).INVARIANCES]


@pytest.mark.parametrize(
    ("dataset", "metric", "word"),
    [(dataset, metric, word) for word in sorted(set(INVARIANCES) - EXTREMES) for dataset, metric in declared(word)],
)
def test_a_declared_invariance_holds(dataset: str, metric: str, word: str) -> None:
    for seed in SEEDS:
        found = case(dataset, seed)
        after = changed(word, dataset, found)
        assert after != found
        then = scored_after(word, dataset, metric, after)
        # relative for millimetres; fractions are at most 1
        assert then == pytest.approx(scored(dataset, metric, found), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize(("dataset", "metric"), declared("farther"))
def test_a_joint_farther_away_never_improves_a_score(dataset: str, metric: str) -> None:
    truth, entries = case(dataset, 4)
    before = scored(dataset, metric, (truth, entries))
    places = {(row["image_id"], row["person_id"]): row["keypoints"] for row in truth["annotations"]}
    rng = np.random.default_rng(2)
    entries = copy.deepcopy(entries)
    for row in entries:
        joint = 3 * int(rng.integers(len(row["keypoints"]) // 3))
        if row["keypoints"][joint] is not None:
            true = places[row["image_id"], row["person_id"]][joint : joint + 2]
            row["keypoints"][joint : joint + 2] = [
                p + 3 * (p - t) for p, t in zip(row["keypoints"][joint : joint + 2], true, strict=True)
            ]
    after = scored(dataset, metric, (truth, entries))
    worse = -1 if load_metric(metric).HIGHER_IS_BETTER else 1
    assert all(worse * (after[key] - before[key]) >= 0 for key in before)
    assert any(after[key] != before[key] for key in before)


# Nothing is nearer than the first of the 31 thresholds, 0.
BEST = {"pck3d_auc": 30 / 31}


def perfect(dataset: str, truth: Document) -> Entries:
    if load_dataset(dataset).entry == "keypoints_3d":
        return space_changes.perfect(truth)
    if load_dataset(dataset).entry == "uv":
        return surface_cases.perfect(truth)
    entries = []
    for row in truth["annotations"]:
        if row["iscrowd"] or not row["num_keypoints"]:
            continue
        entries.append(
            {
                "image_id": row["image_id"],
                "person_id": row["person_id"],
                "keypoints": list(row["keypoints"]),
                "score": 0.5 + row["id"] / 100_000,
            }
        )
    return entries


@pytest.mark.parametrize(("dataset", "metric"), declared("perfect"))
@pytest.mark.parametrize("seed", SEEDS)
def test_perfect_predictions_get_the_best_score(dataset: str, metric: str, seed: int) -> None:
    truth, _ = case(dataset, seed)
    scores = scored(dataset, metric, (truth, perfect(dataset, truth)))
    best = 1.0 if load_metric(metric).HIGHER_IS_BETTER else 0.0
    assert scores
    # millimetres of people thousands of millimetres away
    tolerance = 1e-12 if load_metric(metric).HIGHER_IS_BETTER else 1e-9
    assert all(value == pytest.approx(BEST.get(name, best), abs=tolerance) for (name, _), value in scores.items())


@pytest.mark.parametrize(("dataset", "metric"), declared("nobody"))
def test_nobody_gets_the_worst_score(dataset: str, metric: str) -> None:
    truth, entries = case(dataset, 1)
    scores = scored(dataset, metric, (truth, []))
    assert load_metric(metric).HIGHER_IS_BETTER
    assert set(scores.values()) == {0.0}
    assert list(scores) == list(scored(dataset, metric, (truth, entries)))
