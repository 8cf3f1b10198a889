"""The dataset definitions: what other programs rely on, and that every mistake is named where it is."""

from __future__ import annotations

import copy
import inspect
import json
import math
from inspect import Parameter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluator import Dataset, DatasetDefinitionError, dataset_names, load_dataset
from evaluator.datasets import FOLDER, read_dataset
from evaluator.datasets.__main__ import page
from evaluator.datasets.checks import REQUIRED
from evaluator.datasets.fields import FIELDS
from evaluator.metrics import INVARIANCES, PARTS, load_metric, metric_names

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
def test_ranking_and_entries_are_those_other_programs_rely_on(name: str) -> None:
    dataset = load_dataset(name)
    assert dataset.primary == METRICS[name][0]
    assert dataset.primary_part == ("mean_of_actions" if name == "human36m" else "all")
    assert dataset.single_person == (name in {"lsp", "flic", "mpii", "human36m", "mpi_inf_3dhp"})
    assert dataset.missing_joints == (name in {"lsp", "flic", "mpii", "mpii_multi", "posetrack"})


@pytest.mark.parametrize("name", dataset_names())
def test_columns_pairs_and_skeleton_are_whole(name: str) -> None:
    dataset = load_dataset(name)
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


@pytest.mark.parametrize("name", dataset_names())
def test_the_typical_pose_faces_the_viewer(name: str) -> None:
    dataset = load_dataset(name)
    assert dataset.pose.shape == (len(dataset.joints), 2)
    for pair in dataset.flip_pairs:
        left, right = sorted(pair)
        a, b = dataset.pose[dataset.joint(left)], dataset.pose[dataset.joint(right)]
        assert b[0] < a[0]  # the person's right on the viewer's left
        assert np.allclose(a + b, [1.0, 2 * a[1]])  # and symmetric


def test_the_folder_is_the_registry_of_metrics() -> None:
    with pytest.raises(KeyError, match="one of gps, mpjpe"):
        load_metric("iou")


@pytest.mark.parametrize("name", metric_names())
def test_a_metric_declares_what_every_metric_declares(name: str) -> None:
    metric = load_metric(name)
    assert metric.TITLE and metric.SOURCE
    assert type(metric.HIGHER_IS_BETTER) is bool
    assert metric.PARTS in PARTS
    assert set(INVARIANCES) >= metric.INVARIANCES
    check = getattr(metric, "check", None)
    if check is not None:  # it is called with the keywords of `measure`
        keywords = {
            function: [
                each.name
                for each in inspect.signature(function).parameters.values()
                if each.kind is Parameter.KEYWORD_ONLY
            ]
            for function in (metric.measure, check)
        }
        assert keywords[check] == keywords[metric.measure][1:]


def test_an_unknown_dataset_is_named_with_the_known_ones() -> None:
    with pytest.raises(DatasetDefinitionError, match="no dataset 'cocoo': one of coco, coco_wholebody, crowdpose"):
        load_dataset("cocoo")
    with pytest.raises(DatasetDefinitionError, match="no dataset"):
        load_dataset("../datasets/coco")


JOINTS = ["left_shoulder", "right_shoulder", "right_hip", "head"]
GOOD: dict[str, Any] = {
    "title": "Four joints",
    "citation": "A. Author. Title. 2026.",
    "licence": "CC0",
    "url": "https://example.org",
    "description": "Images.",
    "protocol": "PCK",
    "single_person": False,
    "public_elsewhere": True,
    "missing_joints": True,
    "person_term": "player",
    "splits": {"test": "10 images"},
    "joints": JOINTS,
    "flip_pairs": [["left_shoulder", "right_shoulder"]],
    "skeleton": [["left_shoulder", "right_shoulder"], ["right_hip", "head"]],
    "pose": {"left_shoulder": [0.6, 0.3], "right_shoulder": [0.4, 0.3], "right_hip": [0.4, 0.6], "head": [0.5, 0]},
    "unscored": ["head"],
    "sigmas": [0.1, 0.1, 0.2, 1],
    "limbs": {"torso": [["left_shoulder", "right_shoulder"], "right_hip"]},
    "parts": {"shoulder": ["left_shoulder", "right_shoulder"], "body": ["right_hip"]},
    "limb_parts": {"trunk": ["torso"]},
    "actions": ["running"],
    "entry": "keypoints",
    "keypoint_fields": {"keypoints": 3, "head_kpts": 1},
    "metrics": [
        {
            "metric": "pck",
            "parameters": {"normaliser": "torso", "threshold": 0.2, "step": 0.1},
            "scores": [{"name": "pck_auc", "title": "AUC", "description": "Area."}],
        },
        {"metric": "oks", "scores": [{"name": name, "title": name, "description": "AP."} for name in ("ap", "ap50")]},
        {
            "metric": "pcp",
            "parameters": {"threshold": 0.5},
            "scores": [{"name": "pcp", "title": "PCP", "description": "Limbs."}],
        },
        {
            "metric": "wholebody",
            "parameters": {"averaged": {"shoulder": ["body"]}},
            "scores": [{"name": "ar", "title": "AR", "description": "Recall."}],
        },
    ],
    "primary": "pck_auc",
    "primary_part": "shoulder",
    "columns": [["pck_auc", "all", "AUC"], ["pcp", "trunk", "Trunk"]],
}
MISSING: Any = object()
NO_JOINT = "no joint 'left_shouler'; did you mean 'left_shoulder'?"


def read_with(folder: Path, path: str, value: Any) -> Dataset:
    """The good definition with another value at `path`, such as "metrics/0/metric"."""
    definition = copy.deepcopy(GOOD)
    *keys, last = [int(key) if key.isdigit() else key for key in path.split("/")]
    inside: Any = definition
    for key in keys:
        inside = inside[key]
    if value is MISSING:
        del inside[last]
    else:
        inside[last] = value
    file = folder / "four.toml"
    file.write_text("\n".join(f"{key} = {toml(each)}" for key, each in definition.items()))
    return read_dataset(file)


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return str(value) if isinstance(value, float) else json.dumps(value)


def test_the_good_definition_loads(tmp_path: Path) -> None:
    dataset = read_with(tmp_path, "title", "Four joints")
    assert set(GOOD) == {field.name for field in FIELDS} == set(Dataset.__dataclass_fields__) - {"name"}
    assert dataset.scored.tolist() == [True, True, True, False]
    assert dataset.limbs == {"torso": (("left_shoulder", "right_shoulder"), ("right_hip",))}
    assert [spec.name for spec in dataset.metrics] == ["pck_auc", "ap", "ap50", "pcp", "ar"]
    assert dataset.sigmas.tolist() == [0.1, 0.1, 0.2, 1.0]
    assert dataset.pose[3].tolist() == [0.5, 0.0]


def test_what_may_be_left_out_has_a_default(tmp_path: Path) -> None:
    for field in FIELDS:
        if field.default is REQUIRED:
            with pytest.raises(DatasetDefinitionError, match=rf"^four\.toml: {field.name}: missing; expected "):
                read_with(tmp_path, field.name, MISSING)
        elif field.name not in ("sigmas", "limbs", "parts", "limb_parts"):  # the good definition scores by these
            read_with(tmp_path, field.name, MISSING)
    assert read_with(tmp_path, "missing_joints", MISSING).missing_joints is False
    assert read_with(tmp_path, "keypoint_fields", MISSING).keypoint_fields == {"keypoints": 4}
    assert read_with(tmp_path, "primary_part", MISSING).primary_part == "all"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("title", 3, "title: expected text, found 3"),
        ("title", " ", 'title: expected text, found " "'),
        ("titel", "x", "titel: no such field; did you mean 'title'?"),
        ("citation", ["x"], 'citation: expected text, found ["x"]'),
        ("licence", True, "licence: expected text, found true"),
        ("url", "example.org", 'url: expected a web address, found "example.org"'),
        ("description", {}, "description: expected text"),
        ("protocol", "", "protocol: expected text"),
        ("single_person", 1, "single_person: expected true or false, found 1"),
        ("public_elsewhere", "yes", "public_elsewhere: expected true or false"),
        ("missing_joints", 0, "missing_joints: expected true or false"),
        ("person_term", 1, "person_term: expected text"),
        ("splits", "test", "splits: expected a table of splits"),
        ("splits", {}, "splits: expected a table of splits"),
        ("splits/test", 10, "splits.test: expected text, found 10"),
        ("joints", "head", "joints: expected a list of names"),
        ("joints", [], "joints: expected a list of names"),
        ("joints/0", 1, "joints[0]: expected text, found 1"),
        ("joints/0", "right_hip", "joints: 'right_hip' appears twice"),
        ("flip_pairs/0", ["left_shoulder"], "flip_pairs[0]: expected two joints"),
        ("flip_pairs/0/0", "left_shouler", f"flip_pairs[0]: {NO_JOINT}"),
        ("flip_pairs/0/0", "right_shoulder", "flip_pairs[0]: 'right_shoulder' appears twice"),
        ("flip_pairs", [["head", "right_hip"], ["head", "left_shoulder"]], "flip_pairs: 'head' appears twice"),
        ("flip_pairs", 1, "flip_pairs: expected a list of pairs of joints"),
        ("skeleton/1", "head", "skeleton[1]: expected two joints"),
        ("skeleton/1/1", "left_shouler", f"skeleton[1]: {NO_JOINT}"),
        ("skeleton/1/1", 4, "skeleton[1]: no joint 4"),
        ("pose", [], "pose: expected a table with a point for each joint"),
        ("pose/head", MISSING, "pose: no point for the joint 'head'"),
        ("pose/left_shouler", [0, 0], f"pose: {NO_JOINT}"),
        ("pose/head", [0.5, 1.1], "pose.head: expected [x, y] between 0.0 and 1.0"),
        ("pose/head", [0.5], "pose.head: expected [x, y]"),
        ("pose/head", [0.5, True], "pose.head: expected [x, y]"),
        ("pose/head", [0.5, math.nan], "pose.head: expected [x, y]"),
        ("unscored", "head", "unscored: expected a list of joints"),
        ("unscored/0", "left_shouler", f"unscored: {NO_JOINT}"),
        ("sigmas", [0.1], "sigmas: expected 4 numbers, one per joint, found 1"),
        ("sigmas", 0.1, "sigmas: expected 4 numbers"),
        ("sigmas/2", 0, "sigmas[2]: expected a number above 0, found 0"),
        ("sigmas/2", math.inf, "sigmas[2]: expected a number above 0"),
        ("sigmas/2", "0.1", "sigmas[2]: expected a number above 0"),
        ("sigmas", MISSING, "sigmas: missing"),
        ("limbs/torso", ["head"], "limbs.torso: expected two ends"),
        ("limbs/torso/1", "left_shouler", f"limbs.torso: {NO_JOINT}"),
        ("limbs/torso/0", ["head", "right_hip", "left_shoulder"], "limbs.torso: expected two ends"),
        ("limbs/torso/0", [], "limbs.torso: expected a list of joints"),
        ("limbs", MISSING, "limb_parts.trunk: no limb 'torso'"),
        ("parts/shoulder/0", "left_shouler", f"parts.shoulder: {NO_JOINT}"),
        ("parts/shoulder", [], "parts.shoulder: expected a list of joints"),
        ("parts/shoulder", ["head", "head"], "parts.shoulder: 'head' appears twice"),
        ("parts/all", ["head"], "parts.all: `all` is everything"),
        ("parts/body", MISSING, "parts: no 'body', whose extent WholeBody AP measures"),
        ("limb_parts/trunk/0", "torsos", "limb_parts.trunk: no limb 'torsos'; did you mean 'torso'?"),
        ("limb_parts/all", ["torso"], "limb_parts.all: `all` is everything"),
        ("actions/0", "shoulder", "actions: 'shoulder' is the name of another part"),
        ("actions/0", "mean_of_actions", "actions: 'mean_of_actions' is the name of another part"),
        ("actions", [1], "actions[0]: expected text, found 1"),
        ("entry", "video", "entry: expected one of keypoints, keypoints_3d, uv"),
        ("entry", "uv", "metrics[0].metric: pck measures keypoints, and entry is uv"),
        ("keypoint_fields", {"keypoints": 3}, "keypoint_fields: 3 joints, not 4"),
        ("keypoint_fields", {"feet": 4}, "keypoint_fields: expected a number of joints"),
        ("keypoint_fields/keypoints", "3", "keypoint_fields: expected a number of joints"),
        ("metrics", {}, "metrics: expected a list of tables"),
        ("metrics/0", "pck", "metrics[0]: expected a table"),
        ("metrics/0/metric", "pkc", "metrics[0].metric: no metric 'pkc': one of "),
        ("metrics/0/metric", MISSING, "metrics[0].metric: missing"),
        ("metrics/0/metrics", "pck", "metrics[0].metrics: no such field; did you mean 'metric'?"),
        ("metrics/0/parameters", [], "metrics[0].parameters: expected a table"),
        ("metrics/0/parameters", MISSING, "metrics[0].parameters: pck: missing a required argument: 'normaliser'"),
        ("metrics/0/parameters/lose", True, "metrics[0].parameters: pck: got an unexpected keyword argument 'lose'"),
        ("metrics/0/parameters/normaliser", "torzo", "metrics[0].parameters.normaliser: no 'torzo'; there are torso,"),
        ("metrics/0/parameters/normaliser", 1, "metrics[0].parameters.normaliser: pck expects str, found 1"),
        ("metrics/0/parameters/threshold", "0.2", "metrics[0].parameters.threshold: pck expects float"),
        ("metrics/0/parameters/threshold", 0, "metrics[0].parameters.threshold: expected a number above 0, found 0"),
        ("metrics/0/parameters/step", 0.3, "metrics[0].parameters.step: expected a number above 0 and up to"),
        ("metrics/0/parameters/step", [0.1], "metrics[0].parameters.step: pck expects float | None, found [0.1]"),
        ("metrics/0/parameters/strict", 1, "metrics[0].parameters.strict: pck expects bool, found 1"),
        ("metrics/3/parameters/averaged", {"shoulder": "body"}, "metrics[3].parameters.averaged: wholebody expects"),
        ("metrics/3/parameters/averaged/shoulder", ["bdy"], "metrics[3].parameters.averaged: no part 'bdy'"),
        ("metrics/0/scores", [], "metrics[0].scores: expected a list of scores"),
        ("metrics/0/scores", GOOD["metrics"][1]["scores"], "metrics[0].scores: expected one score, which is what pck"),
        ("metrics/0/scores/0/title", MISSING, "metrics[0].scores[0].title: missing; expected text"),
        ("metrics/0/scores/0/unit", "mm", "metrics[0].scores[0].unit: no such field"),
        ("metrics/0/scores/0/name", "ap50", "metrics[1].scores: 'ap50' appears twice"),
        ("metrics/1/scores/1/name", "ap95", "metrics[1].scores[1].name: oks has no score 'ap95'; its scores are ap, "),
        ("metrics/3/scores/0/name", "ar95", "metrics[3].scores[0].name: wholebody has no score 'ar95'"),
        ("primary", "pck_acu", "primary: no score 'pck_acu'; did you mean 'pck_auc'?"),
        ("primary_part", "shoulders", "primary_part: pck_auc has no part 'shoulders'; did you mean 'shoulder'?"),
        ("columns/1", ["pcp", "trunk"], "columns[1]: expected [score, part, label]"),
        ("columns/1/0", "pck", "columns[1]: no score 'pck'"),
        ("columns/1/1", "shoulder", "columns[1]: pcp has no part 'shoulder'"),
        ("columns/1/2", 1, "columns[1]: expected text, found 1"),
    ],
)  # fmt: skip
def test_a_wrong_definition_is_one_line_with_file_and_field(
    tmp_path: Path, path: str, value: Any, message: str
) -> None:
    with pytest.raises(DatasetDefinitionError) as caught:
        read_with(tmp_path, path, value)
    assert str(caught.value).startswith(f"four.toml: {message}")
    assert "\n" not in str(caught.value)


def test_a_metric_that_lacks_something_of_the_dataset_names_it(tmp_path: Path) -> None:
    definition = (FOLDER / "human36m.toml").read_text()
    (tmp_path / "human36m.toml").write_text(definition.replace('root = "pelvis"', 'root = "plevis"', 1))
    with pytest.raises(DatasetDefinitionError, match=r"toml: metrics\[0\]\.parameters\.root: no joint 'plevis'$"):
        read_dataset(tmp_path / "human36m.toml")
    (tmp_path / "lsp.toml").write_text((FOLDER / "lsp.toml").read_text().replace("right_hip", "right_thigh"))
    with pytest.raises(DatasetDefinitionError, match=r"^lsp\.toml: joints: a metric needs 'right_hip'$"):
        read_dataset(tmp_path / "lsp.toml")


def test_what_is_not_toml_is_named(tmp_path: Path) -> None:
    for content in (b"title = ", b"\xff"):
        (tmp_path / "four.toml").write_bytes(content)
        with pytest.raises(DatasetDefinitionError, match=r"^four\.toml: not TOML: "):
            read_dataset(tmp_path / "four.toml")


def test_the_page_of_fields_is_that_of_the_table() -> None:
    written = (FOLDER.parent.parent / "docs" / "datasets.md").read_text()
    assert written == page(), "stale: python -m evaluator.datasets > docs/datasets.md"
