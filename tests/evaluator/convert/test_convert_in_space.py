"""Poses in space from arrays: every layout gives the same JSON, and what is wrong is said."""

from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluator import evaluate
from evaluator.convert import ConversionError, convert_predictions, convert_truth

POSES = np.random.default_rng(0).normal(0, 400, (5, 17, 3)).round(1)
ACTIONS = ["Walking 1", "WalkTogether", "TakingPhoto", "SittingDown", "Photo"]


def npz(path: Path, **arrays: Any) -> Path:
    np.savez_compressed(path, **arrays)
    return path


def truth(tmp_path: Path, **changes: Any) -> Path:
    return npz(tmp_path / "truth.npz", **{"keypoints_3d": POSES, "action": np.array(ACTIONS)} | changes)


def test_human36m_from_arrays_to_a_score(tmp_path: Path) -> None:
    document = convert_truth("human36m", truth(tmp_path, group=np.array([7, 7, 7, 8, 8])))
    assert [row["action"] for row in document["annotations"]] == [
        "walking", "walk_together", "photo", "sitting_down", "photo",
    ]  # fmt: skip
    assert document["images"][3] == {"id": 4, "group": 8}
    assert document["annotations"][1]["keypoints_3d"][3:6] == POSES[1, 1].tolist()
    # Every joint but the pelvis 30 mm to the side: 16 / 17 of 30.
    moved = POSES + np.array([30, 0, 0]) * (np.arange(17) > 0)[:, None]
    np.save(tmp_path / "poses.npy", moved.astype(np.float32))
    entries = convert_predictions("human36m", tmp_path / "poses.npy")
    assert [row["image_id"] for row in entries] == [1, 2, 3, 4, 5]
    values = {(s.metric, s.part): s.value for s in evaluate("human36m", entries, document).scores}
    assert values["mpjpe", "mean_of_actions"] == pytest.approx(30 * 16 / 17, abs=1e-4)
    again = tmp_path / "truth.json"
    again.write_text(json.dumps(document))
    assert convert_truth("human36m", again, split="test") == document


@pytest.mark.parametrize("shape", ["N K 3", "3 K N", "N 1 K 3", "another name", "matlab", "hdf5", "the only one"])
def test_every_layout_of_predictions(tmp_path: Path, shape: str, write_matlab: Any, write_matlab73: Any) -> None:
    expected = convert_predictions("human36m", npz(tmp_path / "a.npz", keypoints_3d=POSES))
    assert expected[2]["keypoints_3d"] == POSES[2].ravel().tolist()
    path = {
        "N K 3": lambda: npz(tmp_path / "b.npz", keypoints_3d=POSES, action=np.array(ACTIONS)),
        "3 K N": lambda: npz(tmp_path / "b.npz", keypoints_3d=POSES.transpose()),
        "N 1 K 3": lambda: npz(tmp_path / "b.npz", keypoints_3d=POSES[:, None]),
        "another name": lambda: npz(tmp_path / "b.npz", pred=POSES, seconds=np.ones(5)),
        "matlab": lambda: write_matlab(tmp_path / "b.mat", pred=POSES.transpose()),
        "hdf5": lambda: write_matlab73(tmp_path / "b.mat", pred=POSES),
        "the only one": lambda: npz(tmp_path / "b.npz", out=POSES),
    }[shape]()
    assert convert_predictions("human36m", path) == expected


def test_rows_follow_the_annotations_when_they_are_given(tmp_path: Path) -> None:
    document = convert_truth("human36m", truth(tmp_path, image_id=np.array([9, 9, 4, 2, 1]), person_id=[0, 1, 0, 0, 0]))
    entries = convert_predictions("human36m", npz(tmp_path / "p.npz", pred=POSES), truth=document)
    assert [(e["image_id"], e["person_id"]) for e in entries] == [(9, 0), (9, 1), (4, 0), (2, 0), (1, 0)]
    assert [image["id"] for image in document["images"]] == [9, 4, 2, 1]
    with pytest.raises(ConversionError, match="4 rows, but the annotations have 5 people"):
        convert_predictions("human36m", npz(tmp_path / "q.npz", pred=POSES[:4]), truth=document)


def test_a_joint_that_is_nan_is_not_annotated_and_may_not_be_predicted(tmp_path: Path) -> None:
    poses = POSES.copy()
    poses[1, 4, 2] = np.nan
    document = convert_truth("human36m", truth(tmp_path, keypoints_3d=poses))
    assert document["annotations"][1]["keypoints_3d"][12:15] == [None] * 3
    with pytest.raises(ConversionError, match="row 2, joint 5 is missing"):
        convert_predictions("human36m", npz(tmp_path / "p.npz", pred=poses))


def sequence(frames: int, seed: int) -> dict[str, Any]:
    """annot_data.mat as MATLAB shows it: every second frame valid, activities 1 to 7 in turn."""
    poses = np.random.default_rng(seed).normal(0, 400, (3, 17, 1, frames)).round(1)
    number = np.arange(frames, dtype=np.float64)
    return {
        "univ_annot3": poses,
        "annot3": poses + 1,
        "valid_frame": (number % 2 == 0).astype(np.float64)[None],
        "activity_annotation": (number % 7 + 1)[:, None],
    }


def test_the_sequences_of_mpi_inf_3dhp(tmp_path: Path, write_matlab73: Any, write_matlab: Any) -> None:
    for name, frames in (("TS10", 4), ("TS1", 6), ("TS2", 5)):
        (tmp_path / name).mkdir()
        write_matlab73(tmp_path / name / "annot_data.mat", **sequence(frames, frames))
    (tmp_path / "test_util").mkdir()
    document = convert_truth("mpi_inf_3dhp", tmp_path / "TS2" / "annot_data.mat")
    # 3 + 3 + 2 valid frames; the first of TS2 is the fourth of all, its activity number 1.
    assert [image["group"] for image in document["images"]] == ["TS1"] * 3 + ["TS2"] * 3 + ["TS10"] * 2
    assert document["images"][4] == {"id": 5, "file_name": "TS2/imageSequence/img_000003.jpg", "group": "TS2"}
    assert [row["action"] for row in document["annotations"]][:5] == [
        "standing_walking", "sitting", "on_the_floor", "standing_walking", "sitting",
    ]  # fmt: skip
    assert document["annotations"][4]["keypoints_3d"][:3] == sequence(5, 5)["univ_annot3"][:, 0, 0, 2].tolist()
    # What research code writes for the authors' script: the valid frames of each sequence, 3 x 17 x 1 x T.
    arrays = {name: sequence(n, n)["univ_annot3"][..., ::2] for name, n in (("TS10", 4), ("TS1", 6), ("TS2", 5))}
    entries = convert_predictions("mpi_inf_3dhp", write_matlab(tmp_path / "inference_data.mat", **arrays))
    values = {(s.metric, s.part): s.value for s in evaluate("mpi_inf_3dhp", entries, document).scores}
    assert values["mpjpe", "all"] == 0
    assert values["pck3d@150mm", "all"] == 1
    one = tmp_path / "alone.mat"
    one.write_bytes((tmp_path / "TS1" / "annot_data.mat").read_bytes())
    assert len(convert_truth("mpi_inf_3dhp", one)["annotations"]) == 3


def test_mpi_inf_3dhp_from_arrays(tmp_path: Path) -> None:
    actions = np.array([1, 2, 3, 4, 7])
    document = convert_truth("mpi_inf_3dhp", truth(tmp_path, action=actions))
    assert [row["action"] for row in document["annotations"]][-1] == "miscellaneous"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keypoints_3d": POSES / 1000}, r"multiply metres by 1000"),
        ({"keypoints_3d": POSES[:, :16]}, r"5x16x3; expected Nx17x3"),
        ({"keypoints_3d": np.full((5, 17, 3), np.inf)}, r"row 1, joint 1: x is inf"),
        ({"keypoints_3d": POSES * 1e6}, r"magnitude up to 1000000"),
        ({"keypoints_3d": POSES + 1j}, r"real numbers"),
        ({"action": np.array(ACTIONS[:4])}, r"action has 4 values for 5 poses"),
        ({"action": np.array([*ACTIONS[:4], "Flying"])}, r"row 5: no action 'Flying'"),
        ({"action": np.array([1, 2, 3, 4, 16])}, r"row 5: no action 16"),
        ({"image_id": np.array([1, 2, 3, 4, 5.5])}, r"not whole"),
    ],
)
def test_what_does_not_fit_is_said(tmp_path: Path, changes: Any, message: str) -> None:
    with pytest.raises(ConversionError, match=message):
        convert_truth("human36m", truth(tmp_path, **changes))


def test_what_is_missing_is_said(tmp_path: Path, write_matlab: Any) -> None:
    with pytest.raises(ConversionError, match="no action for each pose"):
        convert_truth("human36m", npz(tmp_path / "t.npz", keypoints_3d=POSES))
    with pytest.raises(ConversionError, match=r"no variable 'keypoints_3d'.*a 5x17x3, b 5"):
        convert_truth("human36m", npz(tmp_path / "t.npz", a=POSES, b=np.ones(5)))
    with pytest.raises(ConversionError, match="no variable 'valid_frame'"):
        convert_truth(
            "mpi_inf_3dhp", write_matlab(tmp_path / "annot_data.mat", univ_annot3=sequence(4, 1)["univ_annot3"])
        )
    short = sequence(4, 1) | {"valid_frame": np.ones((1, 3))}
    with pytest.raises(ConversionError, match="4 poses, but 3 and 4 values"):
        convert_truth("mpi_inf_3dhp", write_matlab(tmp_path / "annot_data.mat", **short))
    none = sequence(4, 1) | {"valid_frame": np.zeros((1, 4))}
    with pytest.raises(ConversionError, match="no valid frame"):
        convert_truth("mpi_inf_3dhp", write_matlab(tmp_path / "annot_data.mat", **none))
    with pytest.raises(ConversionError, match="no stick file"):
        convert_predictions("human36m", truth(tmp_path), limbs=truth(tmp_path))


class Payload:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("ran"),))


def test_pickles_in_numpy_files_are_never_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "objects.npz", keypoints_3d=np.array([Payload()], dtype=object))
    np.save(tmp_path / "objects.npy", np.array([Payload()], dtype=object))
    (tmp_path / "pickle.npz").write_bytes(pickle.dumps(Payload()))
    for name in ("objects.npz", "objects.npy", "pickle.npz"):
        with pytest.raises(ConversionError):
            convert_predictions("human36m", tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_damaged_numpy_files_are_said_to_be(tmp_path: Path) -> None:
    whole = truth(tmp_path).read_bytes()
    for damaged in (whole[:200], whole[:-30], whole[:60] + b"\xff" * 200 + whole[260:], b"\x93NUMPY\x01\x00v\x00{"):
        (tmp_path / "damaged.npz").write_bytes(damaged)
        with pytest.raises(ConversionError, match=r"damaged\.npz"):
            convert_truth("human36m", tmp_path / "damaged.npz")
    with zipfile.ZipFile(tmp_path / "other.npz", "w") as archive:
        archive.writestr("readme.txt", "no arrays")
    with pytest.raises(ConversionError, match=r"other\.npz"):
        convert_truth("human36m", tmp_path / "other.npz")
