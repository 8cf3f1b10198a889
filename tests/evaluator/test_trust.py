"""For every dataset of the registry: 100 shuffles of tied files give identical bits, and NaN wins nothing."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np
import pytest

from evaluator import dataset_names, diagnose, evaluate, load_dataset, measure, read_predictions, read_truth
from evaluator.uncertainty import image_weights, paired_differences
from tests.evaluator.pose_cases import case

pytestmark = pytest.mark.usefixtures("engine")

DATASETS = dataset_names()
SHUFFLES = 100


def tied(name: str, seed: int, **sizes: Any) -> tuple[Any, Any]:
    """A case of which many scores are equal, and on multi-person datasets some whole entries and some annotations."""
    truth, entries = case(name, seed, **sizes)
    for number, row in enumerate(entries):
        row["score"] = (number % 3) / 4
    if not load_dataset(name).single_person:
        entries += copy.deepcopy(entries[::5])
        most = max(row["id"] for row in truth["annotations"])
        truth["annotations"] += [dict(row, id=row["id"] + most + 1) for row in truth["annotations"][::4]]
    return truth, entries


@pytest.mark.parametrize("dataset", DATASETS)
def test_a_hundred_shuffles_give_identical_bits(dataset: str) -> None:
    truth, entries = tied(dataset, 4, images=12)
    rng = np.random.default_rng(0)
    found = set()
    for _ in range(SHUFFLES):
        shuffled, rows = dict(truth), list(entries)
        rng.shuffle(rows)
        for key in ("images", "annotations"):
            shuffled[key] = list(truth[key])
            rng.shuffle(shuffled[key])
        scores = evaluate(dataset, rows, shuffled).scores
        found.add(tuple((score.metric, score.part, score.value.hex()) for score in scores))
    assert len(found) == 1
    assert any(value not in ((0.0).hex(), (1.0).hex()) for _, _, value in found.pop())


@pytest.mark.parametrize("dataset", ["lsp", "coco"])
def test_shuffled_predictions_give_identical_intervals_differences_and_diagnoses(dataset: str) -> None:
    truth, entries = tied(dataset, 4, images=230)
    definition = load_dataset(dataset)
    annotations = read_truth(truth, definition)
    weights = image_weights(annotations, np.arange(len(annotations.image_ids)), 100)
    other = measure(definition, read_predictions(case(dataset, 4, images=230)[1][::2], definition), annotations)
    rng = np.random.default_rng(1)
    found = set()
    for _ in range(4):
        rng.shuffle(entries)
        predictions = read_predictions(entries, definition)
        tallies = measure(definition, predictions, annotations)
        differences = [
            each for one, two in zip(tallies, other, strict=True) for each in paired_differences(one, two, weights)
        ]
        report = evaluate(definition, predictions, annotations, intervals=True)
        found.add(repr((differences, report.scores, diagnose(definition, predictions, annotations).to_dict())))
    assert len(found) == 1


def scores_of(dataset: str, keypoints: Any, predictions: Any, annotations: Any) -> list[float]:
    """The scores of which more is better, by the metrics themselves: without the reader, which would reject these."""
    definition = load_dataset(dataset)
    changed = dataclasses.replace(predictions, keypoints=keypoints, limbs=None)
    return [
        score.value
        for tally in measure(definition, changed, annotations)
        for score in tally.scores()
        if definition.metric(score.metric).higher_is_better
    ]


# poses in space and surface maps have tests of their own in test_keypoints_3d.py and test_gps.py
@pytest.mark.parametrize("dataset", [name for name in DATASETS if load_dataset(name).entry == "keypoints"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e308])
def test_what_is_no_place_wins_nothing_in_the_core(dataset: str, value: float) -> None:
    truth, entries = case(dataset, 3, images=12)
    definition = load_dataset(dataset)
    annotations, predictions = read_truth(truth, definition), read_predictions(entries, definition)
    rng = np.random.default_rng(2)
    rows = np.arange(len(predictions.keypoints))
    # every person elsewhere, and one coordinate of each no place at all
    elsewhere = np.add(predictions.keypoints, [7e5, 0, 0])
    elsewhere[rows, rng.integers(0, len(definition.joints), len(rows)), rng.integers(0, 2, len(rows))] = value
    assert set(scores_of(dataset, elsewhere, predictions, annotations)) == {0.0}
    if definition.single_person:
        # three joints in ten: as good as ones that are far away
        place = np.nonzero(rng.random(predictions.keypoints.shape[:2]) < 0.3)
        spoiled, far = predictions.keypoints.copy(), predictions.keypoints.copy()
        spoiled[(*place, rng.integers(0, 2, len(place[0])))] = value
        far[place] = 9e5
        assert scores_of(dataset, spoiled, predictions, annotations) == scores_of(
            dataset, far, predictions, annotations
        )


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e308])
def test_matching_gives_such_detections_nothing(value: float) -> None:
    truth, entries = case("coco", 3, images=400, most_people=6, most_detections=20)
    coco = load_dataset("coco")
    annotations = read_truth(truth, coco)
    predictions = read_predictions(entries, coco)
    keypoints = np.full(predictions.keypoints.shape, 5000.0)
    keypoints[:, 5, 1] = value
    (tally,) = measure(coco, dataclasses.replace(predictions, keypoints=keypoints), annotations)
    assert {score.value for score in tally.scores()} == {0.0}
    assert predictions.keypoints.size > 100_000
