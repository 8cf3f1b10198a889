"""MPII: the h5 files, gt_valid.mat with valid.json, the RELEASE structure, predictions; pixels counted from 0."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from evaluator.convert import ConversionError, convert_predictions, convert_truth


@pytest.fixture
def people(numbers: np.random.Generator) -> dict[str, np.ndarray]:
    """Three people counted from 1: joint 4 of the second is not annotated, joint 5 of it is occluded."""
    part = numbers.integers(2, 900, (3, 16, 2)).astype(float)
    visible = np.ones((3, 16))
    part[1, 4], visible[1, 4], visible[1, 5] = 0, 0, 0
    part[2, 9] = 1, -30  # a head above the picture is annotated
    return {"part": part, "visible": visible, "normalize": np.array([50.0, 62.5, 0.6 * np.hypot(30, 40)])}


def write_h5(path: Path, people: dict[str, np.ndarray], **more: Any) -> Path:
    with h5py.File(path, "w") as file:
        for name, value in {**people, **more}.items():
            file[name] = value
    return path


def test_h5_rows_are_images(tmp_path, people) -> None:
    names = np.array([b"003.jpg", b"003.jpg", b"004.jpg"])
    document = convert_truth("mpii", write_h5(tmp_path / "valid.h5", people, imgname=names))
    assert document["images"] == [
        {"id": 1, "file_name": "003.jpg"},
        {"id": 2, "file_name": "003.jpg"},  # two people of one photograph: two rows, two images
        {"id": 3, "file_name": "004.jpg"},
    ]
    annotations = document["annotations"]
    assert [(a["image_id"], a["person_id"], a["head_size"]) for a in annotations] == [
        (1, 0, 50),
        (2, 0, 62.5),
        (3, 0, 30),
    ]
    second = np.array(annotations[1]["keypoints"]).reshape(16, 3)
    labelled = [joint for joint in range(16) if joint != 4]
    assert (second[labelled, :2] == people["part"][1, labelled] - 1).all()
    assert second[4].tolist() == [0, 0, 0] and second[5, 2] == 1 and second[6, 2] == 2
    assert annotations[1]["num_keypoints"] == 15
    assert annotations[2]["keypoints"][27:30] == [0, -31, 2]


def test_h5_boxes_are_the_squares_around_the_given_centres(tmp_path, people) -> None:
    center, scale = np.array([[301.0, 201], [11, 21], [400.5, 10]]), np.array([1.5, 0.5, 2])
    document = convert_truth("mpii", write_h5(tmp_path / "valid.h5", people, center=center, scale=scale))
    assert document["annotations"][0]["bbox"] == [300 - 150, 200 - 150, 300, 300]
    assert document["annotations"][1]["bbox"] == [10 - 50, 20 - 50, 100, 100]


def test_h5_that_lacks_something(tmp_path, people) -> None:
    with pytest.raises(ConversionError, match=r"no variable 'normalize'.*the file holds part 3x16x2, visible 3x16"):
        convert_truth("mpii", write_h5(tmp_path / "a.h5", {k: people[k] for k in ("part", "visible")}))
    with pytest.raises(ConversionError, match="visible is 2x16; expected 3x16"):
        convert_truth("mpii", write_h5(tmp_path / "b.h5", {**people, "visible": np.ones((2, 16))}))
    with pytest.raises(ConversionError, match="person 2 has an empty head box"):
        convert_truth("mpii", write_h5(tmp_path / "c.h5", {**people, "normalize": np.array([1.0, 0, 1])}))
    with pytest.raises(ConversionError, match=r"no MPII annotations: expected part, visible.*the file holds preds"):
        convert_truth("mpii", write_h5(tmp_path / "d.h5", {"preds": people["part"]}))


@pytest.mark.parametrize("layout", ["NxKx2", "KxNx2 of the toolkit"])
def test_predictions_of_every_file_version(tmp_path, any_writer, people, layout) -> None:
    preds = people["part"] if layout == "NxKx2" else people["part"].transpose(1, 2, 0)
    entries = convert_predictions("mpii", any_writer(tmp_path / "preds.mat", preds=preds))
    assert [(entry["image_id"], entry["person_id"]) for entry in entries] == [(1, 0), (2, 0), (3, 0)]
    got = np.array([entry["keypoints"] for entry in entries]).reshape(3, 16, 3)
    assert (got[..., :2] == people["part"] - 1).all()


def test_predictions_nan_is_missing(tmp_path, write_matlab, people) -> None:
    people["part"][0, 2, 1] = np.nan
    entry = convert_predictions("mpii", write_matlab(tmp_path / "preds.mat", preds=people["part"]))[0]
    assert entry["keypoints"][6:9] == [None] * 3 and None not in entry["keypoints"][9:]


def test_predictions_of_another_number_of_joints(tmp_path, write_matlab) -> None:
    with pytest.raises(ConversionError, match="preds is 5x17x2; expected Nx16x2 or 16x2xN"):
        convert_predictions("mpii", write_matlab(tmp_path / "preds.mat", preds=np.ones((5, 17, 2))))


@pytest.fixture
def head_boxes(tmp_path, people) -> Path:
    """gt_valid.mat and valid.json of the same people, as they are published: unannotated joints are (-1, -1) there."""
    missing = np.zeros((16, 3))
    missing[4, 1] = 1
    positions = people["part"].transpose(1, 2, 0).copy()
    positions[4, :, 1] = -1
    boxes = np.zeros((2, 2, 3))  # corner, axis, person
    boxes[0], boxes[1] = 10, 10
    boxes[1, 0] += [30, 60, 3]
    boxes[1, 1] += [40, 80, 4]
    names = np.array([["rank", "rkne"]], dtype=object)
    savemat(
        tmp_path / "gt_valid.mat",
        {"jnt_missing": missing, "pos_gt_src": positions, "headboxes_src": boxes, "dataset_joints": names},
    )
    listed = [
        {
            "joints_vis": people["visible"][row].astype(int).tolist(),
            "joints": positions[:, :, row].tolist(),
            "image": f"{row}.jpg",
            "scale": 2.0,
            "center": [201.0, 301.0],
        }
        for row in range(3)
    ]
    (tmp_path / "valid.json").write_text(json.dumps(listed))
    return tmp_path


@pytest.mark.parametrize("named", ["valid.json", "gt_valid.mat"])
def test_valid_json_and_gt_valid_find_one_another(head_boxes, people, named) -> None:
    document = convert_truth("mpii", head_boxes / named)
    assert [image["file_name"] for image in document["images"]] == ["0.jpg", "1.jpg", "2.jpg"]
    assert [a["head_size"] for a in document["annotations"]] == pytest.approx([30, 60, 3], abs=1e-12)
    second = np.array(document["annotations"][1]["keypoints"]).reshape(16, 3)
    assert (second[0, :2] == people["part"][1, 0] - 1).all()
    assert second[4].tolist() == [0, 0, 0] and second[5, 2] == 1 and second[6, 2] == 2
    assert document["annotations"][0]["bbox"] == [0, 100, 400, 400]


def test_gt_valid_alone_has_everything_but_names(head_boxes) -> None:
    (head_boxes / "valid.json").unlink()
    document = convert_truth("mpii", head_boxes / "gt_valid.mat")
    assert document["images"][2] == {"id": 3} and document["annotations"][1]["num_keypoints"] == 15


def test_valid_json_needs_its_head_boxes(head_boxes) -> None:
    moved = (head_boxes / "gt_valid.mat").rename(head_boxes / "elsewhere.mat")
    with pytest.raises(ConversionError, match=r"valid\.json has no head boxes: they are in gt_valid\.mat"):
        convert_truth("mpii", head_boxes / "valid.json")
    document = convert_truth("mpii", head_boxes / "valid.json", companion=moved)
    assert len(document["annotations"]) == 3
    (head_boxes / "valid.json").write_text(json.dumps(json.loads((head_boxes / "valid.json").read_text())[:2]))
    with pytest.raises(ConversionError, match=r"has 3 people, but the \.json next to it has 2"):
        convert_truth("mpii", head_boxes / "valid.json", companion=moved)


def point(joint: int, x: float, y: float, **more: Any) -> dict[str, Any]:
    return {"id": float(joint), "x": float(x), "y": float(y), **more}


def structures(rows: list[dict[str, Any]]) -> np.ndarray:
    """A MATLAB structure array: the same fields in every element, empty where there is nothing."""
    fields = list(dict.fromkeys(field for row in rows for field in row))
    array = np.zeros((1, len(rows)), dtype=[(field, object) for field in fields])
    for index, row in enumerate(rows):
        for field in fields:
            array[0, index][field] = row.get(field, np.zeros((0, 0)))
    return array


@pytest.fixture
def release(tmp_path) -> Path:
    """RELEASE: a test image, a training image of three people (the first not single), a bare one, and one more."""
    empty = np.zeros((0, 0))

    def rectangle(points: list[dict[str, Any]] | None, box: tuple[float, ...] | None, **more: Any) -> dict[str, Any]:
        row: dict[str, Any] = {"scale": 2.0, "objpos": structures([{"x": 101.0, "y": 201.0}]), **more}
        if points is not None:
            row["annopoints"] = structures([{"point": structures(points)}])
        if box is not None:
            row |= dict(zip(("x1", "y1", "x2", "y2"), box, strict=True))
        return row

    first = [point(0, 11, 21, is_visible="1"), point(9, 31, 1), point(5, 7.5, 8, is_visible="0")]
    second = [point(12, 61, 71, is_visible=np.uint8(0)), point(13, 81, 91, is_visible=np.uint8(1))]
    third = [point(3, 5, 6, is_visible=empty)]
    train = structures(
        [rectangle(third, (1, 1, 2, 2)), rectangle(first, (10, 10, 40, 50)), rectangle(second, (0, 0, 6, 8))]
    )
    tests = structures([rectangle(None, None)])
    last = structures([rectangle([point(15, 1, 1, is_visible="1")], (0, 0, 3, 4))])
    annolist = structures(
        [
            {"image": structures([{"name": "a.jpg"}]), "annorect": tests},
            {"image": structures([{"name": "b.jpg"}]), "annorect": train},
            {"image": structures([{"name": "c.jpg"}]), "annorect": empty},
            {"image": structures([{"name": "d.jpg"}]), "annorect": last},
        ]
    )
    single = np.empty((4, 1), dtype=object)
    single[0, 0], single[1, 0], single[2, 0], single[3, 0] = np.array([[1.0]]), np.array([[2.0], [3]]), empty, 1.0
    content = {"annolist": annolist, "img_train": np.array([[0, 1, 1, 1]]), "single_person": single, "version": "12"}
    savemat(tmp_path / "mpii_human_pose_v1_u12_1.mat", {"RELEASE": content}, do_compression=True)
    return tmp_path / "mpii_human_pose_v1_u12_1.mat"


def check_release(document: dict[str, Any]) -> None:
    assert document["info"]["split"] == "train"
    assert document["images"] == [{"id": 2, "file_name": "b.jpg"}, {"id": 4, "file_name": "d.jpg"}]
    got = [(a["image_id"], a["person_id"], a["ridx"], a["num_keypoints"]) for a in document["annotations"]]
    assert got == [(2, 0, 2, 3), (2, 1, 3, 2), (4, 0, 1, 1)]
    assert [a["head_size"] for a in document["annotations"]] == pytest.approx([30, 6, 3], abs=1e-12)  # 0.6 x 50, 10, 5
    one, two = (np.array(document["annotations"][row]["keypoints"]).reshape(16, 3) for row in (0, 1))
    assert one[0].tolist() == [10, 20, 2] and one[9].tolist() == [30, 0, 2] and one[5].tolist() == [6.5, 7, 1]
    assert two[12].tolist() == [60, 70, 1] and two[13].tolist() == [80, 90, 2]
    assert document["annotations"][0]["bbox"] == [100 - 200, 200 - 200, 400, 400]


def test_release(release) -> None:
    check_release(convert_truth("mpii", release))


def test_release_under_another_name(release) -> None:
    check_release(convert_truth("mpii", release.rename(release.with_name("annotations.mat"))))


def test_release_has_no_test_annotations(release) -> None:
    with pytest.raises(ConversionError, match="of the split 'train' only, not of 'test'"):
        convert_truth("mpii", release, split="test")


def test_predictions_in_the_order_of_release(release, tmp_path, write_matlab) -> None:
    preds = write_matlab(tmp_path / "preds.mat", preds=np.ones((3, 16, 2)))
    entries = convert_predictions("mpii", preds, truth=convert_truth("mpii", release))
    assert [(entry["image_id"], entry["person_id"]) for entry in entries] == [(2, 0), (2, 1), (4, 0)]


def test_a_file_that_is_called_release_but_is_not(tmp_path, write_matlab, write_matlab73) -> None:
    path = write_matlab(tmp_path / "mpii_human_pose_v1_u12_1.mat", preds=np.ones(3))
    with pytest.raises(ConversionError, match=r"no variable 'RELEASE'; the file holds preds"):
        convert_truth("mpii", path)
    path = write_matlab73(tmp_path / "mpii_human_pose_v1_u12_2.mat", preds=np.ones(3))
    with pytest.raises(ConversionError, match="save this one again with -v7"):
        convert_truth("mpii", path)


@pytest.mark.real_data
def test_the_real_validation_people(real_data: Path) -> None:
    document = convert_truth("mpii", real_data / "mpii" / "hgdemo_valid.h5")
    assert len(document["annotations"]) == len(document["images"]) == 2958
    assert document["images"][0] == {"id": 1, "file_name": "005808361.jpg"}
    first = document["annotations"][0]
    assert first["keypoints"][:3] == [803, 710, 2] and first["head_size"] == 117.96219733456985
    # 3,088 joints are (0, 0) in the file; every other one counts, also the 10,243 that are annotated as occluded
    flags = np.array([a["keypoints"][2::3] for a in document["annotations"]])
    assert (flags == 0).sum() == 3088 and (flags == 1).sum() == 10243
