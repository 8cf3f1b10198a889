"""PCP, strict and loose, by hand; sticks that a file brings itself."""

from __future__ import annotations

from typing import Any

import pytest

from evaluator import evaluate
from tests.evaluator.pose_cases import scores_of
from tests.evaluator.test_rates import FLIC, LSP, entry_of, truth_of

# A forearm of length 10: each end may be 5 off.
ARM = {"left_elbow": (0.0, 0.0), "left_wrist": (10.0, 0.0)}
# PCK needs a torso; these two joints make no limb with the others.
TORSO = {"left_shoulder": (200.0, 200.0), "right_hip": (300.0, 200.0)}


@pytest.mark.parametrize(
    ("elbow", "wrist", "strict", "loose"),
    [
        ((5.0, 0.0), (10.0, 5.0), 1.0, 1.0),  # both exactly at the limit
        ((5.001, 0.0), (10.0, 0.0), 0.0, 1.0),  # one end out, the mean in
        ((10.0, 0.0), (10.0, 0.0), 0.0, 1.0),  # 10 and 0: mean exactly 5
        ((10.0, 0.0), (10.0, 0.1), 0.0, 0.0),
        ((10.0, 0.0), (0.0, 0.0), 0.0, 0.0),  # the right stick with its ends exchanged is wrong
    ],
)
def test_both_ends_or_their_mean(elbow: Any, wrist: Any, strict: float, loose: float) -> None:
    truth = truth_of(LSP, [ARM | TORSO])
    scores = scores_of(evaluate("lsp", [entry_of(LSP, 1, {"left_elbow": elbow, "left_wrist": wrist})], truth))
    assert scores["pcp_strict@0.5", "forearm"] == strict
    assert scores["pcp_loose@0.5", "forearm"] == loose


def test_a_limb_of_length_zero_is_a_miss_even_when_it_is_exact() -> None:
    arm = {"left_elbow": (7.0, 7.0), "left_wrist": (7.0, 7.0)}
    scores = scores_of(evaluate("lsp", [entry_of(LSP, 1, arm)], truth_of(LSP, [arm | TORSO])))
    assert scores["pcp_strict@0.5", "forearm"] == 0.0
    assert scores["pcp_loose@0.5", "forearm"] == 0.0


def test_a_limb_with_a_missing_end_is_a_miss_and_an_unannotated_one_does_not_count() -> None:
    truth = truth_of(LSP, [ARM | TORSO])
    scores = scores_of(evaluate("lsp", [entry_of(LSP, 1, {"left_elbow": (0.0, 0.0)})], truth))
    assert scores["pcp_strict@0.5", "all"] == 0.0
    assert scores["pcp_loose@0.5", "all"] == 0.0
    # The upper arm (shoulder to elbow) and the forearm are the only annotated limbs.
    assert sorted(part for metric, part in scores if metric == "pcp_strict@0.5") == ["all", "forearm", "upper_arm"]


def test_the_torso_runs_from_mid_hips_to_mid_shoulders() -> None:
    body = {
        "left_hip": (10.0, 100.0),
        "right_hip": (-10.0, 100.0),
        "left_shoulder": (20.0, 0.0),
        "right_shoulder": (-20.0, 0.0),
    }
    # Hips exchanged and shoulders spread: the middles stay, so the torso is exact.
    found = {
        "left_hip": (-10.0, 100.0),
        "right_hip": (10.0, 100.0),
        "left_shoulder": (400.0, 0.0),
        "right_shoulder": (-400.0, 0.0),
    }
    scores = scores_of(evaluate("lsp", [entry_of(LSP, 1, found)], truth_of(LSP, [body])))
    assert scores["pcp_strict@0.5", "torso"] == 1.0


def test_limbs_of_the_file_are_used_instead_of_its_keypoints() -> None:
    truth = truth_of(LSP, [ARM | TORSO])
    order = list(LSP.limbs)
    assert order == [
        "right_lower_leg",
        "right_upper_leg",
        "left_upper_leg",
        "left_lower_leg",
        "right_forearm",
        "right_upper_arm",
        "left_upper_arm",
        "left_forearm",
        "head",
        "torso",
    ]
    limbs: list[Any] = [[None] * 4] * 10
    limbs[order.index("left_forearm")] = [0.0, 0.0, 10.0, 0.0]
    wrong = {"left_elbow": (900.0, 0.0), "left_wrist": (900.0, 0.0)}
    scores = scores_of(evaluate("lsp", [entry_of(LSP, 1, wrong, limbs=limbs)], truth))
    assert scores["pcp_strict@0.5", "forearm"] == 1.0
    assert scores["pck@0.2", "elbow"] == 0.0  # joints are still the keypoints
    limbs[order.index("left_forearm")] = [None] * 4
    scores = scores_of(evaluate("lsp", [entry_of(LSP, 1, ARM, limbs=limbs)], truth))
    assert scores["pcp_strict@0.5", "forearm"] == 0.0  # missing, though the keypoints are right


def test_an_entry_without_limbs_beside_one_with_them_uses_its_keypoints() -> None:
    truth = truth_of(LSP, [ARM | TORSO, ARM | TORSO])
    entries = [entry_of(LSP, 1, ARM), entry_of(LSP, 2, {}, limbs=[[None] * 4] * 10)]
    assert scores_of(evaluate("lsp", entries, truth))["pcp_strict@0.5", "forearm"] == 0.5


def test_true_limbs_of_the_annotations_are_used_when_they_are_there() -> None:
    truth = truth_of(LSP, [ARM | TORSO])
    truth["annotations"][0]["limbs"] = [[0.0, 0.0, 100.0, 0.0]] * 10
    # 30 off: a miss against the keypoints' limb of 10, a hit against the stick of 100.
    found = entry_of(LSP, 1, {"left_elbow": (30.0, 0.0), "left_wrist": (100.0, 0.0)})
    assert scores_of(evaluate("lsp", [found], truth))["pcp_strict@0.5", "forearm"] == 0.5  # left only


def test_flic_has_arms() -> None:
    assert list(FLIC.limb_parts) == ["upper_arm", "forearm"]
    truth = truth_of(FLIC, [ARM | TORSO | {"torso_box": [30.0, 40.0]}])
    scores = scores_of(evaluate("flic", [entry_of(FLIC, 1, ARM)], truth))
    assert scores["pcp_strict@0.5", "forearm"] == 1.0
    assert scores["pcp_strict@0.5", "upper_arm"] == 0.0
    assert scores["pcp_strict@0.5", "all"] == 0.5
