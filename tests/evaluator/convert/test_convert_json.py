"""JSON passes through, checked; converted files pass through again."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluator import GroundTruthError, PredictionError, dataset_names, load_dataset, read_truth
from evaluator.convert import ConversionError, convert_predictions, convert_truth
from evaluator.surface.maps import uv_entry


def annotations(dataset: str) -> dict[str, Any]:
    joints = load_dataset(dataset).joints
    person = {
        "id": 5, "image_id": 7, "category_id": 1, "bbox": [0, 0, 9, 9], "area": 81, "iscrowd": 0, "note": "kept",
        "keypoints": [1, 2, 2] * len(joints), "num_keypoints": len(joints), "head_size": 3, "torso_box": [4, 5],
    }  # fmt: skip
    if load_dataset(dataset).entry == "uv":
        person |= {key: [1.0] for key in ("dp_I", "dp_U", "dp_V", "dp_x", "dp_y")} | {"dp_masks": [[]] * 14}
    if load_dataset(dataset).entry == "keypoints_3d":
        person |= {"keypoints_3d": [1, 2, 3.5] * len(joints), "action": load_dataset(dataset).actions[0]}
    return {
        "info": {"description": "small"},
        "images": [{"id": 7, "file_name": "7.jpg"}],
        "annotations": [person],
        "categories": [{"id": 1, "name": "person", "keypoints": list(joints), "skeleton": []}],
    }


def results(dataset: str) -> list[dict[str, Any]]:
    definition = load_dataset(dataset)
    if definition.entry == "uv":
        return [uv_entry(7, [1, 2, 3.5, 4], np.ones((3, 4, 3), dtype=np.uint8), 0.25)]
    key = definition.entry
    return [{"image_id": 7, "category_id": 1, key: [1, 2, 0.5] * len(definition.joints), "score": 0.25}]


def write(path: Path, document: Any) -> Path:
    path.write_text(json.dumps(document))
    return path


def test_an_unknown_dataset_has_no_converter() -> None:
    with pytest.raises(
        ConversionError, match="no converter for the dataset 'cocoo': there are coco, coco_wholebody, crow"
    ):
        convert_truth("cocoo", Path("x.json"))


@pytest.mark.parametrize("dataset", dataset_names())
def test_json_passes_through(tmp_path, dataset) -> None:
    document = convert_truth(dataset, write(tmp_path / "truth.json", annotations(dataset)), split="test")
    assert document["info"] == {"description": "small", "dataset": dataset, "split": "test"}
    assert document["annotations"] == annotations(dataset)["annotations"]
    assert convert_predictions(dataset, write(tmp_path / "p.json", results(dataset))) == results(dataset)
    packed = tmp_path / "p.json.gz"
    packed.write_bytes(gzip.compress((tmp_path / "p.json").read_bytes()))
    assert convert_predictions(dataset, packed) == results(dataset)


def test_what_convert_writes_it_takes_again(tmp_path, write_matlab) -> None:
    joints = np.ones((3, 14, 2000))
    joints[:2] = np.arange(14)[:, None]
    document = convert_truth("lsp", write_matlab(tmp_path / "joints.mat", joints=joints))
    assert convert_truth("lsp", write(tmp_path / "again.json", document)) == document


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "neither a MATLAB file|empty|not JSON"),
        (b"{", "not JSON: .* at line 1, column 2"),
        (b'{"images": NaN}', "NaN is not valid JSON"),
        (b"[" * 100_000, "nested too deeply|not JSON"),
        (b'{"a": "\xff"}', "not UTF-8 text at byte 7"),
        (b"[1, 2]", "expected an object with images, annotations and categories"),
        (gzip.compress(b"{}" * 500, mtime=0)[:-9], "damaged gzip"),
    ],
)
def test_annotations_that_are_no_json(tmp_path, content, message) -> None:
    (tmp_path / "truth.json").write_bytes(content)
    with pytest.raises(ConversionError, match=message):
        convert_truth("coco", tmp_path / "truth.json")


def test_annotations_that_do_not_fit_are_rejected(tmp_path) -> None:
    with pytest.raises(GroundTruthError, match="14 joints"):
        convert_truth("coco", write(tmp_path / "truth.json", annotations("crowdpose")))
    wrong = annotations("coco")
    wrong["annotations"][0]["image_id"] = 8
    with pytest.raises(GroundTruthError, match="image 8"):
        convert_truth("coco", write(tmp_path / "truth.json", wrong))


def test_predictions_that_the_server_would_reject_are_rejected(tmp_path) -> None:
    wrong = results("coco")
    del wrong[0]["score"]
    with pytest.raises(PredictionError) as caught:
        convert_predictions("coco", write(tmp_path / "p.json", wrong))
    assert caught.value.code == "missing_key"


def test_sticks_do_not_go_with_json(tmp_path) -> None:
    with pytest.raises(ConversionError, match="sticks can be added to an official keypoint file"):
        convert_predictions("lsp", write(tmp_path / "p.json", results("lsp")), limbs=tmp_path / "p.json")


def wholebody_parts(value: list[float]) -> dict[str, list[float]]:
    """A list of triples for each key of COCO-WholeBody, told apart by their x: 0, 1 .. 132."""
    lists, joint = {}, 0
    for field, count in load_dataset("coco_wholebody").keypoint_fields.items():
        lists[field] = [v for number in range(joint, joint + count) for v in (number, *value)]
        joint += count
    return lists


def test_wholebody_annotations_are_read_in_their_own_form(tmp_path) -> None:
    document = annotations("coco_wholebody")
    document["categories"][0]["keypoints"] = list(load_dataset("coco").joints)
    parts = wholebody_parts([5, 2])
    parts["face_kpts"][2] = 0.25  # a fraction: labelled
    parts["lefthand_kpts"] = [0.0] * 63  # a hand that is not valid
    document["annotations"][0] |= parts | {"num_keypoints": 17, "face_valid": True, "lefthand_valid": False}
    converted = convert_truth("coco_wholebody", write(tmp_path / "truth.json", document))
    assert converted["annotations"] == document["annotations"]
    found = read_truth(converted, load_dataset("coco_wholebody"))
    assert found.keypoints[0, 132].tolist() == [132, 5]
    assert found.visibility[0, [0, 23, 24, 91, 111, 112]].tolist() == [2, 2, 2, 0, 0, 2]
    assert found.num_keypoints.tolist() == [133 - 21]  # not the 17 of the field, which counts the body's
    for key, message in (("foot_kpts", "foot_kpts are not 18 numbers"), ("face_kpts", "face_kpts are not 204 numbers")):
        wrong = {**document, "annotations": [document["annotations"][0] | {key: [1, 2, 2]}]}
        with pytest.raises(GroundTruthError, match=message):
            convert_truth("coco_wholebody", write(tmp_path / "truth.json", wrong))
    wrong = {**document, "annotations": [document["annotations"][0] | {"foot_kpts": [1, 2, -0.5] * 6}]}
    with pytest.raises(GroundTruthError, match="flag is not 0, 1 or 2"):
        convert_truth("coco_wholebody", write(tmp_path / "truth.json", wrong))


def test_wholebody_results_become_one_list(tmp_path) -> None:
    own = {"image_id": 7, "category_id": 1, "score": 0.5, **wholebody_parts([2, 0.5])}
    (entry,) = convert_predictions("coco_wholebody", write(tmp_path / "p.json", [own]))
    assert entry.keys() == {"image_id", "category_id", "score", "keypoints"}
    assert entry["keypoints"] == [v for joint in range(133) for v in (joint, 2, 0.5)]


@pytest.mark.parametrize(
    ("changes", "code", "pointer"),
    [
        ({"foot_kpts": ...}, "missing_key", "/1"),
        ({"lefthand_kpts": None}, "wrong_type", "/1/lefthand_kpts"),
        ({"face_kpts": [1, 2, 3]}, "wrong_count", "/1/face_kpts"),
        ({"keypoints": [1, 2, 3] * 133}, "wrong_count", "/1/keypoints"),
        ({"righthand_kpts": [1, 2, "x"] * 21}, "wrong_type", "/1/keypoints/338"),  # 3 x 112 + 2
        ({"foot_kpts": [1e7, 2, 1] * 6}, "out_of_range", "/1/keypoints/51"),  # 3 x 17
        ({"score": ...}, "missing_key", "/1"),
    ],
)
def test_wholebody_results_that_do_not_fit_are_rejected(tmp_path, changes, code, pointer) -> None:
    own = {"image_id": 7, "score": 0.5, **wholebody_parts([2, 0.5])}
    wrong = {key: value for key, value in (own | changes).items() if value is not ...}
    with pytest.raises(PredictionError) as caught:
        convert_predictions("coco_wholebody", write(tmp_path / "p.json", [own, wrong]))
    assert (caught.value.code, caught.value.problems[0].pointer) == (code, pointer)


@pytest.mark.real_data
@pytest.mark.parametrize(("dataset", "stem"), [("coco", "xt_example_coco"), ("crowdpose", "xt_example_crowdpose")])
def test_the_real_files_pass_through(real_data: Path, dataset: str, stem: str) -> None:
    official = json.loads((real_data / "coco" / f"{stem}_val.json").read_text())
    document = convert_truth(dataset, real_data / "coco" / f"{stem}_val.json")
    assert {**document, "info": None} == {**official, "info": None}
    entries = convert_predictions(dataset, real_data / "coco" / f"{stem}_preds.json")
    assert entries == json.loads((real_data / "coco" / f"{stem}_preds.json").read_text())
