"""LSP: joints.mat, keypoint and stick predictions of every number type and file version."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evaluator.convert import ConversionError, convert_predictions, convert_truth


@pytest.fixture
def joints(numbers: np.random.Generator) -> np.ndarray:
    """3x14x2000: x, y in quarter pixels, and the flag of occluded joints."""
    values = numbers.integers(0, 800, (3, 14, 2000)) / 4
    values[2] = numbers.integers(0, 2, (14, 2000))
    return values


def test_every_file_version_gives_the_test_half(tmp_path, any_writer, joints) -> None:
    document = convert_truth("lsp", any_writer(tmp_path / "joints.mat", joints=joints))
    assert document["info"]["dataset"] == "lsp" and document["info"]["split"] == "test"
    assert [image["id"] for image in document["images"]] == list(range(1001, 2001))
    assert document["images"][0] == {"id": 1001, "file_name": "im1001.jpg"}
    assert document["images"][-1]["file_name"] == "im2000.jpg"
    annotation = document["annotations"][6]
    assert (annotation["image_id"], annotation["person_id"], annotation["num_keypoints"]) == (1007, 0, 14)
    keypoints = np.array(annotation["keypoints"]).reshape(14, 3)
    assert (keypoints[:, 0] == joints[0, :, 1006]).all() and (keypoints[:, 1] == joints[1, :, 1006]).all()
    assert (keypoints[:, 2] == 2 - joints[2, :, 1006]).all()  # 1 in the file: occluded, which is 1 here; otherwise 2
    low, high = joints[:2, :, 1006].min(axis=1), joints[:2, :, 1006].max(axis=1)
    assert annotation["bbox"] == [low[0], low[1], high[0] - low[0], high[1] - low[1]]


def test_the_train_half(tmp_path, write_matlab, joints) -> None:
    document = convert_truth("lsp", write_matlab(tmp_path / "joints.mat", joints=joints), split="train")
    assert document["images"][0] == {"id": 1, "file_name": "im0001.jpg"} and len(document["images"]) == 1000
    assert document["annotations"][999]["keypoints"][:2] == joints[:2, 0, 999].tolist()
    with pytest.raises(ConversionError, match="no split 'val': there are train, test"):
        convert_truth("lsp", tmp_path / "joints.mat", split="val")


def test_a_joint_at_the_origin_is_annotated(tmp_path, write_matlab, joints) -> None:
    joints[:, 3, 1000] = 0
    document = convert_truth("lsp", write_matlab(tmp_path / "joints.mat", joints=joints))
    assert document["annotations"][0]["keypoints"][9:12] == [0, 0, 2]


@pytest.mark.parametrize("kind", ["uint8", "uint16", "int32", "float32"])
def test_predictions_of_any_number_type(tmp_path, write_matlab, numbers, kind) -> None:
    pred = numbers.integers(0, 200, (2, 14, 1000)).astype(kind)
    if kind.startswith("float"):
        pred += np.float32(0.1)  # not a binary fraction: single precision must come out as it is, not rounded
    entries = convert_predictions("lsp", write_matlab(tmp_path / "pred.mat", pred=pred))
    assert [entry["image_id"] for entry in entries] == list(range(1001, 2001))
    assert {entry["person_id"] for entry in entries} == {0} and {entry["score"] for entry in entries} == {1.0}
    got = np.array([entry["keypoints"] for entry in entries]).reshape(1000, 14, 3)
    assert (got[..., :2] == pred.transpose(2, 1, 0).astype(np.float64)).all() and (got[..., 2] == 1).all()


def test_predictions_of_every_file_version(tmp_path, any_writer, numbers) -> None:
    pred = numbers.normal(100, 50, (2, 14, 1000))
    entries = convert_predictions("lsp", any_writer(tmp_path / "pred.mat", pred=pred))
    assert entries[41]["image_id"] == 1042 and entries[41]["keypoints"][3:5] == pred[:, 1, 41].tolist()


def test_nan_is_a_missing_joint_and_half_of_one_too(tmp_path, write_matlab) -> None:
    pred = np.ones((2, 14, 1000))
    pred[:, 5, 0] = np.nan
    pred[1, 6, 0] = np.nan
    entry = convert_predictions("lsp", write_matlab(tmp_path / "pred.mat", pred=pred))[0]
    assert entry["keypoints"][12:24] == [1, 1, 1, None, None, None, None, None, None, 1, 1, 1]


def test_sticks_become_limbs(tmp_path, any_writer, numbers) -> None:
    pred, sticks = numbers.normal(100, 50, (2, 14, 1000)), numbers.normal(100, 50, (2, 20, 1000))
    sticks[0, 7, 2] = np.nan
    keypoints = any_writer(tmp_path / "pred.mat", pred=pred)
    entries = convert_predictions("lsp", keypoints, limbs=any_writer(tmp_path / "sticks.mat", pred=sticks))
    assert len(entries[0]["limbs"]) == 10
    assert entries[0]["limbs"][9] == [*sticks[:, 18, 0].tolist(), *sticks[:, 19, 0].tolist()]
    assert entries[2]["limbs"][3] == [None] * 4  # stick 4 is points 7 and 8
    assert entries[2]["limbs"][4] == [*sticks[:, 8, 2].tolist(), *sticks[:, 9, 2].tolist()]


def test_sticks_alone_leave_the_keypoints_missing(tmp_path, write_matlab, numbers) -> None:
    sticks = numbers.normal(100, 50, (2, 20, 1000))
    path = write_matlab(tmp_path / "sticks.mat", pred=sticks)
    entries = convert_predictions("lsp", path)
    assert entries[0]["keypoints"] == [None] * 42
    assert entries == convert_predictions("lsp", path, limbs=path)


def test_rows_in_the_order_of_a_ground_truth(tmp_path, write_matlab) -> None:
    truth = {"annotations": [{"image_id": 3000 - row, "person_id": row % 2} for row in range(1000)]}
    path = write_matlab(tmp_path / "pred.mat", pred=np.ones((2, 14, 1000)))
    entries = convert_predictions("lsp", path, truth=truth)
    assert [(e["image_id"], e["person_id"]) for e in entries[:2]] == [(3000, 0), (2999, 1)]
    truth["annotations"].pop()
    with pytest.raises(ConversionError, match="has 1000 rows, but the annotations have 999 people"):
        convert_predictions("lsp", path, truth=truth)


@pytest.mark.parametrize(
    ("variable", "array", "message"),
    [
        ("pred", np.ones((2, 14, 999)), "pred is 2x14x999; expected 2x14x1000 or 2x20x1000"),
        ("pred", np.ones((14, 2, 1000)), "pred is 14x2x1000"),
        ("pred", np.ones((2, 14)), "pred is 2x14;"),
        ("prediction", np.ones((2, 14, 1000)), "no variable 'pred'.*the file holds prediction 2x14x1000"),
        ("pred", np.ones((2, 14, 1000), dtype=complex), "pred has complex128 values"),
        ("pred", np.array(["a text"]), "pred has <U6 values"),
        (
            "pred",
            np.full((2, 14, 1000), np.inf),
            "x is inf; expected finite numbers of magnitude up to 1000000",
        ),
        ("pred", np.full((2, 14, 1000), -2e6), "row 1, point 1: x is -2000000.0"),
    ],
)
def test_other_arrays_are_rejected(tmp_path, write_matlab, variable, array, message) -> None:
    with pytest.raises(ConversionError, match=message):
        convert_predictions("lsp", write_matlab(tmp_path / "pred.mat", **{variable: array}))


def test_other_annotations_are_rejected(tmp_path: Path, write_matlab, joints) -> None:
    with pytest.raises(ConversionError, match="joints is 3x14x1000; expected 3x14x2000"):
        convert_truth("lsp", write_matlab(tmp_path / "a.mat", joints=joints[:, :, :1000]))
    joints[1, 4, 1500] = np.nan
    with pytest.raises(ConversionError, match=r"joints\[2, 5, 501\] is nan"):
        convert_truth("lsp", write_matlab(tmp_path / "b.mat", joints=joints))


@pytest.mark.real_data
def test_the_real_annotations(real_data: Path) -> None:
    """The first test image of the person-centric file: 14 joints, the right ankle first."""
    for name in ("PC", "OC"):
        document = convert_truth("lsp", real_data / "lsp" / f"LSP-joints-{name}.mat")
        assert len(document["annotations"]) == 1000
        assert all(annotation["num_keypoints"] == 14 for annotation in document["annotations"])
