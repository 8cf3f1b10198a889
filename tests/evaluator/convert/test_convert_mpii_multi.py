"""MPII's groups of people: the RELEASE structure with groups_v12.mat, and predictions in the toolkit's structure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from evaluator import evaluate
from evaluator.convert import ConversionError, convert_predictions, convert_truth

EMPTY = np.zeros((0, 0))


def structures(rows: list[dict[str, Any]]) -> Any:
    """A 1xN structure array, as MATLAB has it; a field that an element lacks is empty."""
    fields = sorted({key for row in rows for key in row})
    array = np.empty((1, len(rows)), dtype=[(field, object) for field in fields])
    for index, row in enumerate(rows):
        for field in fields:
            array[field][0, index] = row.get(field, EMPTY)
    return array


def cell(*values: Any) -> Any:
    array = np.empty((1, len(values)), dtype=object)
    for index, value in enumerate(values):
        array[0, index] = value
    return array


def rectangle(x: float | None, **more: Any) -> dict[str, Any]:
    """A person without a nose: upper neck at (x, 20), head top at (x, 10), head box 3 x 4; or no one."""
    if x is None:
        return {"scale": 1.0}
    points = structures([{"id": 8.0, "x": x, "y": 20.0}, {"id": 9.0, "x": x, "y": 10.0}])
    box = {"x1": 1.0, "y1": 1.0, "x2": 4.0, "y2": 5.0}
    place = {"scale": 1.0, "objpos": structures([{"x": x, "y": 30.0}])}
    return box | place | {"annopoints": structures([{"point": points}])} | more


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """Four photographs: a has a single person and a group of two; b is for testing; c has two groups, of the second of
    which no one is annotated; d a group in which one person is marked as single, which is no group.
    """
    people = {"a": [50, 60, 70], "b": [40, 45], "c": [11, 12, None, None], "d": [21, 22]}
    annolist = structures(
        [
            {
                "image": structures([{"name": f"{name}.jpg"}]),
                "annorect": structures([rectangle(x) for x in xs]),
            }
            for name, xs in people.items()
        ]
    )
    single = cell(np.array([[1.0]]), EMPTY, EMPTY, np.array([[2.0]]))
    content = {"annolist": annolist, "img_train": np.array([[1, 0, 1, 1]]), "single_person": single.T}
    savemat(tmp_path / "mpii_human_pose_v1_u12_1.mat", {"RELEASE": content}, do_compression=True)
    pair = np.array([[1.0, 2.0]])
    groups = cell(
        cell(np.array([[1.0]]), np.array([[2.0, 3.0]])), cell(pair), cell(pair, np.array([[3.0], [4.0]])), cell(pair)
    )
    savemat(tmp_path / "groups_v12.mat", {"groups": groups}, do_compression=True)
    return tmp_path / "mpii_human_pose_v1_u12_1.mat"


def test_groups_are_images(release: Path) -> None:
    document = convert_truth("mpii_multi", release)
    assert document["info"]["split"] == "train"
    assert document["images"] == [
        {"id": 1, "file_name": "a.jpg", "group": "a.jpg"},
        {"id": 2, "file_name": "c.jpg", "group": "c.jpg"},
        {"id": 3, "file_name": "c.jpg", "group": "c.jpg"},
    ]
    rows = [(a["image_id"], a["person_id"], a["ridx"], a["num_keypoints"]) for a in document["annotations"]]
    assert rows == [(1, 0, 2, 2), (1, 1, 3, 2), (2, 0, 1, 2), (2, 1, 2, 2)]
    assert [a["head_size"] for a in document["annotations"]] == [3, 3, 3, 3]  # 0.6 x 5
    assert document["annotations"][0]["keypoints"][24:30] == [59, 19, 2, 59, 9, 2]  # official minus 1
    tests = convert_truth("mpii_multi", release, split="test")
    assert [(a["image_id"], a["ridx"]) for a in tests["annotations"]] == [(1, 1), (1, 2)]


def test_predictions_of_the_toolkit(release: Path, tmp_path: Path) -> None:
    def pose(*points: tuple[int, float, float]) -> dict[str, Any]:
        found = [{"id": float(joint), "x": x, "y": 10.0, "score": score} for joint, x, score in points]
        return {"annopoints": structures([{"point": structures(found)}])}

    pred = structures(
        [
            {"annorect": structures([pose((9, 61.5, 0.5), (8, 60.0, 0.25)), pose((9, 71.75, 0.75))])},
            {"annorect": EMPTY},
            {"annorect": structures([pose((9, 1.0, 0.9))])},
        ]
    )
    savemat(tmp_path / "pred_keypoints_mpii_multi.mat", {"pred": pred}, do_compression=True)
    entries = convert_predictions("mpii_multi", tmp_path / "pred_keypoints_mpii_multi.mat")
    assert [(entry["image_id"], entry["score"]) for entry in entries] == [(1, 0.375), (1, 0.75), (3, 0.9)]
    assert entries[0]["keypoints"][24:30] == [59, 9, 0.25, 60.5, 9, 0.5]
    assert entries[1]["keypoints"][:27] == [None] * 27
    scores = {s.part: s.value for s in evaluate("mpii_multi", entries, convert_truth("mpii_multi", release)).scores}
    # Head tops, 1.5 px (0.5 x 3) at most: 61.5 hits 60; 71.75 misses 70 by 0.25 and so has no person: of four one is
    # found, behind the more confident miss: precision 1/2 up to recall 1/4. The third group has no people: not counted.
    assert scores["head_top"] == pytest.approx(1 / 8, abs=1e-15)
    assert scores["upper_neck"] == 0  # 10 px off
    assert scores["head"] == scores["all"] == pytest.approx(1 / 16, abs=1e-15)


def test_what_is_wrong_is_said(release: Path, tmp_path: Path, write_matlab) -> None:
    with pytest.raises(ConversionError, match="splits train and test, not 'val'"):
        convert_truth("mpii_multi", release, split="val")
    other = write_matlab(tmp_path / "other.mat", groups=np.ones((1, 3)))
    with pytest.raises(ConversionError, match="groups are for 3 images, but RELEASE has 4"):
        convert_truth("mpii_multi", release, companion=other)
    with pytest.raises(ConversionError, match="no variable 'pred'; the file holds groups"):
        convert_predictions("mpii_multi", other)
    (tmp_path / "groups_v12.mat").unlink()
    with pytest.raises(
        ConversionError, match=r"groups of people are in groups_v12\.mat, which is not in the folder of"
    ):
        convert_truth("mpii_multi", release)
