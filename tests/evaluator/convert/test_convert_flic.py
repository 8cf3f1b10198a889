"""FLIC: eleven joints and, in column 12, the torso box."""

from __future__ import annotations

import numpy as np
import pytest

from evaluator.convert import ConversionError, convert_predictions, convert_truth


@pytest.fixture
def joints(numbers: np.random.Generator) -> np.ndarray:
    return numbers.integers(1, 2800, (2, 12, 1016)) / 4


def test_every_file_version(tmp_path, any_writer, joints) -> None:
    document = convert_truth("flic", any_writer(tmp_path / "joints.mat", joints=joints))
    assert [image["id"] for image in document["images"]] == list(range(1, 1017))
    annotation = document["annotations"][1015]
    keypoints = np.array(annotation["keypoints"]).reshape(11, 3)
    assert (keypoints[:, :2] == joints[:, :11, 1015].T).all() and (keypoints[:, 2] == 2).all()
    assert annotation["torso_box"] == joints[:, 11, 1015].tolist()
    assert annotation["num_keypoints"] == 11 and document["info"]["split"] == "test"


def test_a_joint_that_is_nan_is_not_annotated(tmp_path, write_matlab, joints) -> None:
    joints[:, 4, 0] = np.nan
    annotation = convert_truth("flic", write_matlab(tmp_path / "joints.mat", joints=joints))["annotations"][0]
    assert annotation["keypoints"][12:15] == [0, 0, 0] and annotation["num_keypoints"] == 10
    rest = np.delete(joints[:, :11, 0], 4, axis=1)
    assert annotation["bbox"][:2] == rest.min(axis=1).tolist()


def test_an_empty_torso_box_is_rejected(tmp_path, write_matlab, joints) -> None:
    joints[1, 11, 7] = 0
    with pytest.raises(ConversionError, match="the torso box of person 8 is"):
        convert_truth("flic", write_matlab(tmp_path / "joints.mat", joints=joints))


def test_predictions(tmp_path, any_writer) -> None:
    pred = np.arange(2 * 11 * 1016, dtype=np.uint16).reshape(2, 11, 1016)
    entries = convert_predictions("flic", any_writer(tmp_path / "pred.mat", pred=pred))
    assert [entry["image_id"] for entry in entries] == list(range(1, 1017))
    assert entries[5]["keypoints"][:6] == [5, 11176 + 5, 1, 1016 + 5, 11176 + 1016 + 5, 1]
    with pytest.raises(ConversionError, match="no official stick file"):
        convert_predictions("flic", tmp_path / "pred.mat", limbs=tmp_path / "pred.mat")


def test_the_torso_box_is_no_prediction(tmp_path, write_matlab, joints) -> None:
    with pytest.raises(ConversionError, match="pred is 2x12x1016; expected 2x11x1016"):
        convert_predictions("flic", write_matlab(tmp_path / "pred.mat", pred=joints))
