"""Annotation files: what the arrays hold, what is rejected, what becomes public."""

from __future__ import annotations

import copy
import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluator import GroundTruthError, PredictionError, evaluate, load_dataset, public_images, read_images, read_truth
from tests.evaluator.pose_cases import multi_person, single_person

LSP, COCO = load_dataset("lsp"), load_dataset("coco")


def test_arrays_of_a_small_file() -> None:
    keypoints = [1.5, 2.5, 2, 9, 9, 0, 3, 4, 1] + [None, None, 0] * 11
    truth = {
        "info": {"dataset": "lsp", "split": "test"},
        "images": [
            {"id": 9, "file_name": "b.jpg", "width": 3, "height": 4, "secret": 1},
            {"id": 5, "file_name": "a.jpg"},
        ],
        "annotations": [{"id": 2, "image_id": 9, "person_id": 3, "keypoints": keypoints, "bbox": [1, 2, 3, 4]}],
    }
    found = read_truth(truth, LSP)
    assert found.image_ids.tolist() == [5, 9]
    assert found.image.tolist() == [1]
    assert found.person_ids.tolist() == [3]
    assert found.keypoints[0, 0].tolist() == [1.5, 2.5]
    assert np.isnan(found.keypoints[0, 1]).all()  # not annotated, whatever its coordinates
    assert found.visibility[0, :3].tolist() == [2, 0, 1]
    assert found.num_keypoints.tolist() == [2]
    assert np.isnan(found.areas[0])
    assert found.boxes[0].tolist() == [1, 2, 3, 4]
    assert found.split == "test"
    assert found.limbs is None
    assert found.warnings == ()


def test_num_keypoints_is_the_fields_and_a_contradiction_is_told() -> None:
    truth, _ = multi_person("coco", 2, images=5)
    truth["annotations"][0]["num_keypoints"] = 99
    found = read_truth(truth, COCO)
    number = truth["annotations"][0]["id"]
    assert found.num_keypoints[found.ids.tolist().index(number)] == 99
    assert any(f"annotation {number}: num_keypoints is 99" in warning for warning in found.warnings)


def test_the_digest_is_that_of_the_bytes(tmp_path: Path) -> None:
    truth, entries = single_person("lsp", 1, images=3)
    content = json.dumps(truth, indent=1).encode()
    path = tmp_path / "truth.json"
    path.write_bytes(content)
    (tmp_path / "predictions.json").write_text(json.dumps(entries))
    report = evaluate("lsp", tmp_path / "predictions.json", path)
    assert report.truth_sha256 == hashlib.sha256(content).hexdigest()
    assert report.predictions_sha256 == hashlib.sha256((tmp_path / "predictions.json").read_bytes()).hexdigest()
    zipped = gzip.compress(content)
    assert read_truth(zipped, LSP).sha256 == hashlib.sha256(zipped).hexdigest()
    assert read_truth(truth, LSP).sha256 == read_truth(json.loads(content), LSP).sha256


def changed(**row: Any) -> dict[str, Any]:
    truth, _ = single_person("lsp", 1, images=3, most_people=1)
    truth["annotations"][0] |= row
    return truth


def without(truth: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in truth.items() if name != key}


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        (b"[", "not JSON"),
        (b"[]", "not an object"),
        (b"\x1f\x8bxx", "not JSON"),
        (without(changed(), "images"), "no list 'images'"),
        (without(changed(), "annotations"), "no list 'annotations'"),
        (changed(id=2), "annotation 2 is listed twice"),
        (changed(id=2.0), "annotation whose id is 2.0"),
        (changed(id=True), "annotation whose id is True"),
        (changed(image_id=10**6), "which is not listed"),
        (changed(image_id=-1), "which is not listed"),
        (changed(keypoints=[1, 2, 2]), "not 42 numbers"),
        (changed(keypoints=["x"] * 42), "not 42 numbers"),
        (changed(keypoints=[1, 2, 3] * 14), "visibility flag"),
        (changed(keypoints=[1, float("nan"), 2] * 14), "not finite"),
        (changed(bbox=[1, 2, 3]), "bbox is not 4 numbers"),
        (changed(area=-1), "area is negative"),
        (changed(head_size=float("inf")), "head_size is not finite"),
        (changed(limbs=[[0, 0, 1, 1]] * 10), "some annotations have limbs"),
        (changed() | {"images": changed()["images"] * 2}, "is listed twice"),
        (changed() | {"annotations": []}, "contain no annotated people"),
        (changed() | {"categories": 1.5}, "categories are not a list"),
        (changed() | {"categories": [{"keypoints": 3}]}, "not a list of names"),
        (changed() | {"categories": [{"keypoints": [["nose"]]}]}, "not a list of names"),
        (changed() | {"categories": [{"keypoints": ["nose"]}]}, "the file has 1 joints"),
        (changed() | {"categories": [{"keypoints": list(LSP.joints[::-1])}]}, "not in the order"),
    ],
)
def test_a_wrong_file_is_the_operators_fault(truth: Any, message: str) -> None:
    with pytest.raises(GroundTruthError, match=message):
        read_truth(truth, LSP)


def test_a_person_twice_is_rejected_where_people_are_named() -> None:
    truth, _ = single_person("lsp", 1, images=3, most_people=1)
    truth["annotations"].append(truth["annotations"][0] | {"id": 99})
    with pytest.raises(GroundTruthError, match="has person 0 twice"):
        read_truth(truth, LSP)


def test_the_public_list_holds_ids_files_sizes_people_and_boxes_only_when_given() -> None:
    truth, _ = single_person("mpii", 1, images=4)
    listed = public_images(truth, boxes=False)
    assert listed["dataset"] == "mpii"
    assert listed["split"] == "test"
    assert [image["id"] for image in listed["images"]] == sorted(image["id"] for image in truth["images"])
    assert set(listed["images"][0]) == {"id", "file_name", "width", "height", "people"}
    assert listed["images"][0]["people"][0] == {"person_id": 0}
    with_boxes = public_images(truth, boxes=True)
    first = next(row for row in truth["annotations"] if row["image_id"] == with_boxes["images"][0]["id"])
    assert with_boxes["images"][0]["people"][0] == {"person_id": 0, "box": first["bbox"]}
    truth, _ = multi_person("coco", 1, images=4)
    assert "people" not in public_images(truth, boxes=False)["images"][0]
    assert "people" in public_images(truth, boxes=True)["images"][0]
    assert public_images(without(truth, "info"), boxes=False, dataset="coco", split="val")["split"] == "val"
    with pytest.raises(GroundTruthError, match="do not name their dataset"):
        public_images(without(truth, "info"), boxes=False)


def test_a_file_without_a_given_dataset_is_parsed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    truth, _ = multi_person("coco", 1, images=4)
    file = tmp_path / "truth.json"
    file.write_text(json.dumps(truth))
    parse, parsed = json.loads, []
    monkeypatch.setattr(json, "loads", lambda text: parsed.append(text) or parse(text))
    assert public_images(file, boxes=True) == public_images(truth, boxes=True)
    assert len(parsed) == 1
    file.write_text("[1")
    with pytest.raises(GroundTruthError, match="is not JSON"):
        public_images(file, boxes=True)


def test_nothing_of_the_annotations_is_in_the_public_list() -> None:
    truth, _ = single_person("lsp", 1, images=4)
    text = json.dumps(public_images(truth, boxes=False))
    assert "keypoints" not in text
    assert not any(str(v) in text for row in truth["annotations"] for v in row["keypoints"][:6] if v > 10)


def test_uploads_are_checked_against_the_public_list_when_it_is_given(tmp_path: Path) -> None:
    truth, entries = single_person("lsp", 1, images=4)
    listed = public_images(truth, boxes=False)
    path = tmp_path / "images.json"
    path.write_text(json.dumps(listed))
    expected = evaluate("lsp", entries, truth).scores
    for images in (listed, path, path.read_bytes(), read_images(listed)):
        assert evaluate("lsp", entries, truth, images=images).scores == expected
    with pytest.raises(PredictionError):
        evaluate("lsp", [entries[0] | {"image_id": 99_999}], truth, images=listed)


def test_an_image_list_of_something_else_is_the_operators_fault() -> None:
    truth, entries = single_person("lsp", 1, images=4)
    listed = public_images(truth, boxes=False)
    short = copy.deepcopy(listed)
    short["images"].pop()
    with pytest.raises(GroundTruthError, match="same images"):
        evaluate("lsp", entries, truth, images=short)
    for broken in ({}, {"images": [{"id": "1"}]}, {"images": [{"id": 1}, {"id": 1}]}, b"{", {"images": [3]}):
        with pytest.raises(GroundTruthError):
            read_images(broken)
