"""The table of upload rules is the only place of their limits and texts: the C and the submit page agree with it."""

from __future__ import annotations

import re
from pathlib import Path
from string import Formatter

import numpy as np
import pytest

from evaluator import CODES, PredictionError, Predictions, load_dataset, read_predictions
from evaluator.native import codes
from evaluator.reading.upload_rules import LARGEST, NUMBER, RULES, keypoint_names, limb_names, problem

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "leaderboard" / "static" / "preflight.js").read_text()
READERS = "".join(file.read_text() for file in (ROOT / "evaluator").glob("**/*.py") if file.name != "upload_rules.py")


def test_every_rule_has_a_code_and_is_applied() -> None:
    assert {rule.code for rule in RULES.values()} <= set(CODES)
    assert [rule for rule in RULES if f'"{rule}"' not in READERS] == []
    assert float(NUMBER.split()[-1]) == LARGEST
    assert str(int(np.log10(LARGEST))) in CODES["out_of_range"]


def test_the_page_breaks_no_rule_that_the_table_lacks_and_has_no_text_of_its_own() -> None:
    applied = re.findall(r'(?:broken|wrong)\((?:[^("]*\? )?"(\w+)"(?: : "(\w+)")?', PAGE)
    names = {name for pair in applied for name in pair if name}
    assert len(names) > 15
    assert names <= set(RULES)
    code = re.sub(r"^\s*//.*", "", PAGE, flags=re.MULTILINE)
    for name, (_, found, expected) in RULES.items():
        for text in (found, expected):
            for words, *_ in Formatter().parse(text):
                assert len(words) < 12 or words not in code, (name, words)


def test_the_headers_have_the_limits_of_the_table() -> None:
    headers = "".join(file.read_text() for file in (ROOT / "evaluator" / "native").glob("*.h"))
    defined = dict(re.findall(r"#define (\w+) \(?(-?[\w.]+)\)?", headers))
    assert float(defined["LARGEST"]) == LARGEST
    for name in ("PADDING", "FAILED", "MOST_EXTRAS"):
        assert int(defined[name]) == getattr(codes, name)
    for enumerated in (("BEFORE", "FIRST", "BETWEEN", "DONE"), ("STOPPED", "FULL")):
        assert f"enum {{ {', '.join(enumerated)} }};" in headers
        assert [getattr(codes, name) for name in enumerated] == list(range(len(enumerated)))
    for name in ("NUM_KEYPOINTS", "PERSON"):
        assert f" {name} = {getattr(codes, name)}" in headers


def test_a_problem_names_the_joint_beside_its_place() -> None:
    coco, lsp, human36m = load_dataset("coco"), load_dataset("lsp"), load_dataset("human36m")
    assert coco.joints[5] == "left_shoulder"
    entries = [{"image_id": 1, "keypoints": [1.0] * 51, "score": 1} for _ in range(13)]
    entries[12]["keypoints"] = [1.0] * 16 + ["right"] + [1.0] * 34
    with pytest.raises(PredictionError) as caught:
        read_predictions(entries, coco)
    assert str(caught.value) == f'entry 12, /12/keypoints/16: left shoulder, y is "right" (expected {NUMBER})'
    # arrays follow the rules of a file
    keypoints = np.ones((1, 17, 3))
    keypoints[0, 5, 1] = 2e6
    with pytest.raises(PredictionError) as caught:
        read_predictions(Predictions(np.array([1]), np.array([0]), keypoints, np.ones(1)), coco)
    assert str(caught.value) == f"entry 0, /0/keypoints/16: left shoulder, y is 2000000.0 (expected {NUMBER})"
    assert keypoint_names(human36m).what(5) == "right hip, z"
    assert keypoint_names(human36m).place(5) == "/keypoints_3d/5"
    assert [(names.what(3), names.place(3)) for names in limb_names(lsp)][1] == ("right upper leg, y2", "/limbs/1/3")


def test_a_value_in_a_message_is_the_start_of_its_json() -> None:
    found = problem("not_a_number", 3, "/score", what="score", value="a" * 100)
    assert (found.code, found.entry, found.pointer) == ("wrong_type", 3, "/3/score")
    assert found.message == 'score is "' + "a" * 56 + "..."
