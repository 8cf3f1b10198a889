"""Paths, lists of objects and arrays in: the same scores, and the same rules."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluator import (
    GroundTruthError,
    PredictionError,
    annotations_from_arrays,
    evaluate,
    load_dataset,
    predictions_from_arrays,
    read_predictions,
    read_truth,
    validate,
)
from tests.evaluator.pose_cases import case, single_person

NAN = float("nan")


def plain(rows: Any, third: bool = True) -> Any:
    """[N, K, 3] of the keypoints of objects, null as NaN."""
    found = np.array([row["keypoints"] for row in rows], dtype=np.float64).reshape(len(rows), -1, 3)
    return found if third else found[..., :2]


@pytest.mark.parametrize("dataset", ["coco", "lsp", "mpii", "flic", "crowdpose"])
def test_paths_documents_lists_and_arrays_score_alike(dataset: str, tmp_path: Path) -> None:
    truth, entries = case(dataset, 3, images=20)
    # a list of annotations knows only the images that are annotated
    annotated = {row["image_id"] for row in truth["annotations"]}
    truth["images"] = [image for image in truth["images"] if image["id"] in annotated]
    entries = [row for row in entries if row["image_id"] in annotated]
    for name, document in (("truth", truth), ("entries", entries)):
        (tmp_path / f"{name}.json").write_text(json.dumps(document))
    expected = evaluate(dataset, entries, truth).scores
    assert evaluate(dataset, tmp_path / "entries.json", str(tmp_path / "truth.json")).scores == expected
    assert evaluate(dataset, entries, truth["annotations"]).scores == expected
    assert evaluate(dataset, (tmp_path / "entries.json").read_bytes(), truth["annotations"]).scores == expected
    rows = truth["annotations"]
    column = lambda key: np.array([row[key] for row in rows])  # noqa: E731
    annotations = annotations_from_arrays(
        plain(rows),
        ids=column("id"),
        image_ids=column("image_id"),
        person_ids=column("person_id"),
        boxes=column("bbox"),
        crowd=column("iscrowd") > 0,
        **({"areas": column("area")} if "area" in rows[0] else {}),
        **({"head_sizes": column("head_size"), "torso_boxes": column("torso_box")} if "head_size" in rows[0] else {}),
    )
    if dataset in ("coco", "crowdpose"):  # these cases contradict their own num_keypoints now and then
        annotations = dataclasses.replace(
            annotations, num_keypoints=read_truth(truth, load_dataset(dataset)).num_keypoints
        )
    predictions = predictions_from_arrays(
        plain(entries),
        scores=[row["score"] for row in entries],
        image_ids=[row["image_id"] for row in entries],
        person_ids=[row.get("person_id", 0) for row in entries],
    )
    assert evaluate(dataset, predictions, annotations).scores == expected


def test_an_array_for_each_on_single_person_datasets() -> None:
    truth, entries = single_person("lsp", 3, images=20, most_people=1)
    by_image = {row["image_id"]: row for row in entries}
    rows = sorted(truth["annotations"], key=lambda row: row["id"])
    in_order = [by_image[row["image_id"]] for row in rows]
    expected = evaluate("lsp", entries, truth).scores
    # with flags, or with NaN where nothing is annotated; with confidences, or without
    bare = plain(rows, third=False)
    bare[plain(rows)[..., 2] == 0] = np.nan
    for people in (plain(rows), bare, truth):
        for found in (plain(in_order), plain(in_order, third=False)):
            assert evaluate("lsp", found, people).scores == expected
    # the same truth has the same digest, another has another: it seeds the intervals
    one, again, moved = (
        evaluate("lsp", plain(in_order), plain(rows) + offset).truth_sha256 for offset in (0, 0, [1.0, 0.0, 0.0])
    )
    assert one == again != moved and len(one) == 64
    assert validate("lsp", plain(in_order)).entries == 20


def test_lists_may_leave_out_the_ids_of_annotations() -> None:
    people = [{"image_id": 3, "keypoints": [1, 2, 2] * 14}, {"image_id": 3, "keypoints": [9, 9, 2] * 14}]
    annotations = read_truth(people, load_dataset("lsp"))
    assert annotations.ids.tolist() == [1, 2] and annotations.person_ids.tolist() == [0, 1]
    assert annotations.image_ids.tolist() == [3]


WRONG_TRUTHS: dict[str, tuple[Any, str]] = {
    "two dimensions": (np.zeros((3, 14)), r"shape \[3, 14\]: expected numbers of the shape"),
    "another number of joints": (np.zeros((3, 13, 2)), "13 joints, not 14"),
    "four numbers a joint": (np.zeros((3, 14, 4)), "shape"),
    "infinite": (np.full((3, 14, 2), np.inf), "contain no annotated people|not finite"),
    "a flag of 7": (np.full((3, 14, 3), 7.0), "flag"),
    "text": (np.full((3, 14, 2), "1"), "type <U1"),
    "nobody": (np.full((3, 14, 2), np.nan), "contain no annotated people"),
    "a list of numbers": ([1, 2], "not of objects"),
    "no image": ([{"keypoints": []}], "image_id is None"),
}


@pytest.mark.parametrize("name", WRONG_TRUTHS)
def test_truths_that_are_wrong(name: str) -> None:
    truth, words = WRONG_TRUTHS[name]
    with pytest.raises(GroundTruthError, match=words):
        evaluate("lsp", [], truth)


def test_arrays_of_annotations_that_do_not_fit() -> None:
    points = np.ones((2, 14, 2))
    for arguments, words in (
        ({"image_ids": [1]}, "image_ids have the shape"),
        ({"image_ids": [1.0, 2.0]}, "type float64"),
        ({"image_ids": [True, False]}, "type bool"),
        ({"image_ids": np.array([1, 2**63], dtype=np.uint64)}, "type uint64"),
        ({"image_ids": [1, 5], "images": [1, 2]}, "row 1 is on image 5"),
        ({"ids": [4, 4]}, "appears twice"),
        ({"areas": [1, -1]}, "negative"),
        ({"head_sizes": [1, np.inf]}, "infinite"),
        ({"boxes": np.ones((2, 3))}, "boxes have the shape"),
        ({"crowd": [0, 1]}, "type int64"),
        ({"visibility": [[1, 2], [3]]}, "not an array"),
    ):
        with pytest.raises(GroundTruthError, match=words):
            annotations_from_arrays(points, **arguments)
    with pytest.raises(GroundTruthError, match="given twice"):
        annotations_from_arrays(np.ones((2, 14, 3)), visibility=np.ones((2, 14)))
    twice = annotations_from_arrays(points, image_ids=[1, 1], person_ids=[0, 0])
    with pytest.raises(GroundTruthError, match="person 0 twice"):
        evaluate("lsp", [], twice)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ids": np.array([2, 1])}, "do not ascend"),
        ({"image": np.array([0, 9])}, "points outside"),
        ({"crowd": np.zeros(3, bool)}, "crowd of the annotations has the shape"),
        ({"keypoints": np.full((2, 14, 2), np.nan)}, "labelled joint is not finite"),
        ({"areas": np.array([1.0, np.inf])}, "areas is infinite"),
    ],
)
def test_annotations_built_by_hand_are_checked(changes: dict[str, Any], words: str) -> None:
    annotations = dataclasses.replace(annotations_from_arrays(np.ones((2, 14, 2))), **changes)
    with pytest.raises(GroundTruthError, match=words):
        evaluate("lsp", [], annotations)


WRONG_PREDICTIONS: dict[str, tuple[Any, str]] = {
    "a row too many": (np.ones((4, 14, 2)), "wrong_count"),
    "two dimensions": (np.ones((3, 14)), "wrong_count"),
    "another number of joints": (np.ones((3, 13, 2)), "wrong_count"),
    "infinite": (np.full((3, 14, 2), np.inf), "not_finite"),
    "far": (np.full((3, 14, 2), 2e6), "out_of_range"),
    "half a joint": (np.where(np.arange(2) == 1, np.nan, np.ones((3, 14, 2))), "incomplete_joint"),
    "text": (np.full((3, 14, 2), "1"), "wrong_type"),
    "booleans": (np.ones((3, 14, 2), dtype=bool), "wrong_type"),
}


@pytest.mark.parametrize("name", WRONG_PREDICTIONS)
def test_arrays_of_predictions_that_are_wrong(name: str) -> None:
    found, code = WRONG_PREDICTIONS[name]
    with pytest.raises(PredictionError) as caught:
        evaluate("lsp", found, np.ones((3, 14, 2)))
    assert caught.value.code == code


def test_an_array_does_not_say_which_image_where_there_are_many_people() -> None:
    truth, _ = case("coco", 3)
    with pytest.raises(PredictionError, match="which image each row is on"):
        evaluate("coco", np.ones((3, 17, 3)), truth)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"scores": np.ones(2)}, "wrong_count"),
        ({"person_ids": np.zeros(3, np.int64)}, "wrong_count"),
        ({"image_ids": np.array([1.0])}, "wrong_type"),
        ({"scores": np.array([True])}, "wrong_type"),
        ({"scores": np.array(["1"])}, "wrong_type"),
        ({"keypoints": np.ones((1, 14, 3), dtype=np.int64)}, "wrong_type"),
        ({"limbs": np.full((1, 10, 2, 2), np.inf)}, "not_finite"),
        ({"limbs": np.full((1, 10, 2, 2), 2e6)}, "out_of_range"),
        ({"limbs": np.where(np.arange(2) == 1, np.nan, np.ones((1, 10, 2, 2)))}, "incomplete_joint"),
    ],
)
def test_predictions_built_by_hand_are_checked(changes: dict[str, Any], code: str) -> None:
    predictions = predictions_from_arrays(np.ones((1, 14, 2)), limbs=np.ones((1, 10, 2, 2)))
    assert read_predictions(predictions, load_dataset("lsp")) is predictions
    with pytest.raises(PredictionError) as caught:
        read_predictions(dataclasses.replace(predictions, **changes), load_dataset("lsp"))
    assert caught.value.code == code


def test_missing_is_nan_and_extremes_are_harmless() -> None:
    """Nothing that reaches the metrics of one person at a time can turn a miss into a hit."""
    people = np.random.default_rng(0).uniform(0, 100, (5, 14, 2))
    assert {score.value for score in evaluate("lsp", np.full((5, 14, 2), NAN), people).scores} == {0.0}
    for value in (1e6, -1e6):
        assert {score.value for score in evaluate("lsp", np.full((5, 14, 2), value), people).scores} == {0.0}
