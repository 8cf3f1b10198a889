"""The datasets' files: what they must say, what the loader refuses, that every parameter fits its metric."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest

from evaluator import DatasetDefinitionError, dataset_names, load_dataset
from evaluator.datasets import FOLDER, read_dataset
from evaluator.metrics import INVARIANCES, load_metric, metric_names

RATES = ["pck@0.2", "pck_auc", "pcp_strict@0.5", "pcp_loose@0.5", "pdj_torso@0.2", "pdj_bbox@0.05"]
OKS = ["ap", "ap50", "ap75", "ap_medium", "ap_large", "ar", "ar50", "ar75", "ar_medium", "ar_large"]
METRICS = {
    "coco": OKS,
    "crowdpose": OKS,
    "mannequins": OKS,
    "lsp": RATES,
    "flic": ["pck_torsobox@0.2", *RATES],
    "mpii": ["pckh@0.5", "pckh@0.1", "pckh_auc"],
    "human36m": ["mpjpe", "pa_mpjpe"],
    "mpi_inf_3dhp": ["pck3d@150mm", "pck3d_auc", "mpjpe", "pa_mpjpe"],
    "densepose": [name for family in ("gpsm_{}", "gps_{}", "gps_{}@0.255") for name in map(family.format, OKS)],
    "mpii_multi": ["map@0.5"],
    "posetrack": ["map@0.5"],
    "ochuman": OKS,
    "coco_wholebody": OKS,
}


def test_these_datasets_are_defined() -> None:
    assert dataset_names() == sorted(METRICS)


@pytest.mark.parametrize("name", METRICS)
def test_metrics_have_the_names_other_programs_rely_on(name: str) -> None:
    assert [spec.name for spec in load_dataset(name).metrics] == METRICS[name]


def test_parts_have_the_names_other_programs_rely_on() -> None:
    lsp, mpii = load_dataset("lsp"), load_dataset("mpii")
    joints = ["head", "shoulder", "elbow", "wrist", "hip", "knee", "ankle"]
    assert list(lsp.metric("pck@0.2").parts) == [*joints, "all"]
    limbs = ["torso", "upper_leg", "lower_leg", "upper_arm", "forearm", "head", "all"]
    assert list(lsp.metric("pcp_strict@0.5").parts) == limbs
    assert list(mpii.metric("pckh@0.5").parts) == [*joints, "head_and_neck", "mean_of_joints", "all"]
    assert load_dataset("coco").metric("ap").parts == ("all",)
    dhp = load_dataset("mpi_inf_3dhp").metric("mpjpe")
    actions = ["standing_walking", "exercising", "sitting", "reaching_crouching", "on_the_floor", "sports"]
    assert list(dhp.parts)[8:] == [*actions, "miscellaneous", "mean_of_actions", "all"]
    assert (dhp.unit, dhp.is_fraction, dhp.higher_is_better) == ("mm", False, False)
    assert (lsp.metric("pck@0.2").unit, lsp.metric("pck@0.2").is_fraction) == ("", True)
    whole = load_dataset("coco_wholebody")
    assert whole.metric("ar_large").parts == ("body", "feet", "face", "left_hand", "right_hand", "hands", "all")
    assert [len(whole.parts[part]) for part in whole.parts] == [17, 6, 68, 21, 21, 42]
    for name in ("mpii_multi", "posetrack"):
        scored = [joint for joint in load_dataset(name).joints if joint not in load_dataset(name).unscored]
        assert list(load_dataset(name).metric("map@0.5").parts) == [*joints, *scored, "all"]


def test_joint_orders_are_those_of_the_official_files() -> None:
    short = {name: " ".join(j.split("_")[-1] for j in load_dataset(name).joints) for name in dataset_names()}
    assert short["lsp"] == "ankle knee hip hip knee ankle wrist elbow shoulder shoulder elbow wrist neck top"
    assert load_dataset("lsp").joints[0] == "right_ankle"
    assert load_dataset("lsp").joints[9] == "left_shoulder"
    assert short["flic"] == "shoulder elbow wrist shoulder elbow wrist hip hip eye eye nose"
    assert load_dataset("flic").joints[0] == "left_shoulder"
    assert load_dataset("mpii").joints[6:10] == ("pelvis", "thorax", "upper_neck", "head_top")
    assert load_dataset("mpii").joints[12:14] == ("right_shoulder", "left_shoulder")
    assert load_dataset("coco").joints == load_dataset("mannequins").joints
    assert load_dataset("crowdpose").joints[-2:] == ("head", "neck")
    # Human3.6M's usual 17: right leg, left leg, up the spine, left arm, right arm. MPI-INF-3DHP's 17 "relevant" ones.
    assert short["human36m"] == (
        "pelvis hip knee ankle hip knee ankle spine thorax neck head shoulder elbow wrist shoulder elbow wrist"
    )
    assert load_dataset("human36m").joints[1::10] == ("right_hip", "left_shoulder")
    assert short["mpi_inf_3dhp"] == (
        "top neck shoulder elbow wrist shoulder elbow wrist hip knee ankle hip knee ankle pelvis spine head"
    )
    assert load_dataset("mpi_inf_3dhp").joints[2::3][:2] == ("right_shoulder", "left_shoulder")
    assert load_dataset("mpi_inf_3dhp").scored.sum() == 14
    assert load_dataset("ochuman").joints == load_dataset("coco").joints == load_dataset("coco_wholebody").joints[:17]
    assert load_dataset("mpii_multi").joints == load_dataset("mpii").joints
    # The ids of the 2017 files: those of MPII's limbs, then neck, nose and head top.
    assert short["posetrack"] == "ankle knee hip hip knee ankle wrist elbow shoulder shoulder elbow wrist neck nose top"
    assert load_dataset("posetrack").joints[0] == load_dataset("posetrack").joints[6].replace("wrist", "ankle")
    # 300 faces in-the-wild: from the right ear along the jaw; 36..41 the right eye, 48 the mouth's right corner
    whole = load_dataset("coco_wholebody").joints
    assert [whole[23 + place] for place in (0, 8, 16, 17, 26, 27, 36, 45, 48, 54, 60, 67)] == [
        "right_jaw_1", "chin", "left_jaw_1", "right_eyebrow_1", "left_eyebrow_1", "nose_bridge_1",
        "right_eye_outer_corner", "left_eye_outer_corner", "right_outer_lip_corner", "left_outer_lip_corner",
        "right_inner_lip_corner", "right_inner_lip_lower",
    ]  # fmt: skip
    assert [whole[place] for place in (17, 20, 91, 95, 111, 112)] == [
        "left_big_toe", "right_big_toe", "left_hand_root", "left_thumb_4", "left_little_4", "right_hand_root",
    ]  # fmt: skip


def test_sigmas() -> None:
    coco = [26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89]
    crowdpose = [79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89, 79, 79]
    assert (load_dataset("coco").sigmas * 1000).round(9).tolist() == coco
    assert (load_dataset("mannequins").sigmas * 1000).round(9).tolist() == coco
    assert (load_dataset("crowdpose").sigmas * 1000).round(9).tolist() == crowdpose
    assert (load_dataset("ochuman").sigmas * 1000).round(9).tolist() == coco
    whole = (load_dataset("coco_wholebody").sigmas * 1000).round(9)
    assert whole[:23].tolist() == [*coco, 68, 66, 66, 92, 94, 94]
    assert whole[23:40].tolist() == [42, 43, 44, 43, 40, 35, 31, 25, 20, 23, 29, 32, 37, 38, 43, 41, 45]
    assert whole[91:112].tolist() == whole[112:].tolist()
    assert whole[91:97].tolist() == [29, 22, 35, 37, 47, 26]
    assert whole[23:91].sum() == 1137  # of the 68 of the official evaluation


@pytest.mark.parametrize("name", METRICS)
def test_a_definition_is_whole(name: str) -> None:
    dataset = load_dataset(name)
    assert all([dataset.title, dataset.citation, dataset.licence, dataset.description, dataset.protocol])
    assert dataset.primary == METRICS[name][0]
    assert dataset.primary_part == ("mean_of_actions" if name == "human36m" else "all")
    assert dataset.single_person == (name in {"lsp", "flic", "mpii", "human36m", "mpi_inf_3dhp"})
    assert dataset.missing_joints == (name in {"lsp", "flic", "mpii", "mpii_multi", "posetrack"})
    assert dataset.splits
    assert [column.metric for column in dataset.columns].count(dataset.primary) >= 1
    assert len({column.label for column in dataset.columns}) == len(dataset.columns)
    # Pairs are left and right of the same joint, and no joint is in two.
    for left, right in dataset.flip_pairs:
        assert {left.partition("_")[0], right.partition("_")[0]} == {"left", "right"}
        assert left.partition("_")[2] == right.partition("_")[2]
    paired = [joint for pair in dataset.flip_pairs for joint in pair]
    assert sorted(paired) == sorted(joint for joint in dataset.joints if joint.startswith(("left_", "right_")))
    # The skeleton reaches every joint.
    assert {joint for edge in dataset.skeleton for joint in edge} == set(dataset.joints)


@pytest.mark.parametrize("name", METRICS)
def test_the_typical_pose_faces_the_viewer(name: str) -> None:
    dataset = load_dataset(name)
    assert dataset.pose.shape == (len(dataset.joints), 2)
    for pair in dataset.flip_pairs:
        left, right = sorted(pair)
        a, b = dataset.pose[dataset.joint(left)], dataset.pose[dataset.joint(right)]
        assert b[0] < a[0]  # the person's right on the viewer's left
        assert np.allclose(a + b, [1.0, 2 * a[1]])  # and symmetric


@pytest.mark.parametrize("name", METRICS)
def test_every_parameter_fits_the_signature_of_its_metric(name: str) -> None:
    for metric, parameters, names in load_dataset(name).measurements:
        inspect.signature(load_metric(metric).measure).bind(None, None, None, names=names, **parameters)


def test_the_folder_is_the_registry_of_metrics() -> None:
    assert metric_names() == [
        "gps", "mpjpe", "multi_person_ap", "oks", "pck", "pck3d", "pckh", "pcp", "pdj", "wholebody",
    ]  # fmt: skip
    for name in metric_names():
        metric = load_metric(name)
        assert metric.TITLE
        assert metric.SOURCE
        assert metric.HIGHER_IS_BETTER is (name != "mpjpe")
        assert not metric.INVARIANCES - set(INVARIANCES)
    with pytest.raises(KeyError, match="one of gps, mpjpe"):
        load_metric("iou")


def test_an_unknown_dataset_is_named_with_the_known_ones() -> None:
    with pytest.raises(DatasetDefinitionError, match="no dataset 'cocoo': one of coco, coco_wholebody, crowdpose"):
        load_dataset("cocoo")
    with pytest.raises(DatasetDefinitionError, match="no dataset"):
        load_dataset("../datasets/coco")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('title = "Leeds Sports Pose"', "", "title: missing"),
        ('title = "Leeds Sports Pose"', "title = 3", "title: expected str, found int"),
        ('title = "Leeds Sports Pose"', 'titel = "x"', "titel: no such field"),
        ("single_person = true", "single_person = 1", "single_person: expected bool"),
        ("single_person = true", "single_person = ", "not TOML"),
        (
            '"right_elbow", "right_shoulder", "left_shoulder"',
            '"right_elbow", "neck", "left_shoulder"',
            "joints: expected",
        ),
        ('["right_knee", "left_knee"]', '["right_knee"]', "flip_pairs[1]: expected two joints"),
        ('["neck", "head_top"],\n', '["neck", "hat"],\n', "skeleton[11]: unknown name 'hat'"),
        ('head = ["neck", "head_top"]\nshoulder', 'head = ["nose"]\nshoulder', "parts.head: unknown name 'nose'"),
        ('knee = ["left_knee", "right_knee"]', 'all = ["neck"]', "parts.all"),
        ('knee = ["left_knee", "right_knee"]', "knee = []", "parts.knee: expected a list"),
        (
            'left_forearm = ["left_elbow", "left_wrist"]',
            'left_forearm = ["left_elbow"]',
            "limbs.left_forearm: expected",
        ),
        ('left_forearm = ["left_elbow", "left_wrist"]', 'left_forearm = ["a", "b"]', "limbs.left_forearm: unknown"),
        ('torso = ["torso"]', 'torso = ["trunk"]', "limb_parts.torso: unknown name 'trunk'"),
        ('primary = "pck@0.2"', 'primary = "pck@0.3"', "primary: no metric 'pck@0.3'"),
        ('["pck@0.2", "knee", "Knee"]', '["pck@0.2", "nose", "Nose"]', "columns[5]: pck@0.2 has no part 'nose'"),
        ('["pck@0.2", "knee", "Knee"]', '["pck@0.2", "knee"]', "columns[5]: expected"),
        ("neck = [0.50, 0.19]", "neck = [0.50, 1.19]", "pose.neck: expected"),
        ("neck = [0.50, 0.19]", "", "pose: expected a point for each joint, wrong: ['neck']"),
        ('metric = "pcp"', 'metric = "pcq"', "metrics[2].metric: no metric 'pcq'"),
        ("loose = true", "lose = true", "metrics[3].parameters: pcp says: got an unexpected keyword argument 'lose'"),
        ('base = "torso", ', "", "metrics[4].parameters: pdj says: missing a required argument: 'base'"),
        ('name = "pck_auc"', 'name = "pck@0.2"', "metrics[1].scores: 'pck@0.2' stands there twice"),
        ('title = "PCK AUC", ', "", "metrics[1].scores: expected name, title and description"),
        ("flip_pairs = [", "sigmas = [0.1]\nflip_pairs = [", "sigmas: expected 14 numbers"),
        ("flip_pairs = [", 'entry = "video"\nflip_pairs = [', "entry: expected one of keypoints, keypoints_3d, uv"),
        (
            "flip_pairs = [",
            'entry = "uv"\nflip_pairs = [',
            "metrics[0].metric: pck measures keypoints, and",
        ),
        ("flip_pairs = [", 'actions = ["knee"]\nflip_pairs = [', "actions: 'knee' is the name of another part"),
        ("flip_pairs = [", "actions = [1]\nflip_pairs = [", "actions: expected names, found 1"),
        ("flip_pairs = [", "missing_joints = 1\nflip_pairs = [", "missing_joints: expected bool, found int"),
        ("flip_pairs = [", "keypoint_fields = {keypoints = 3}\nflip_pairs = [", "keypoint_fields: 3 joints, not 14"),
        ("flip_pairs = [", "keypoint_fields = {feet = 14}\nflip_pairs = [", "keypoint_fields: expected a number of"),
    ],
)
def test_a_wrong_definition_is_one_line_with_file_and_field(tmp_path: Path, old: str, new: str, message: str) -> None:
    content = (FOLDER / "lsp.toml").read_text()
    assert old in content
    path = tmp_path / "lsp.toml"
    path.write_text(content.replace(old, new, 1))
    with pytest.raises(DatasetDefinitionError) as caught:
        read_dataset(path)
    assert str(caught.value).startswith("lsp.toml: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
