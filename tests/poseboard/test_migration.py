"""docs/migration.md: every example runs in order; a consumer's program passes mypy; the doctests hold."""

from __future__ import annotations

import doctest
import json
import os
import pkgutil
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import evaluator
from tests.conftest import ROOT
from tests.evaluator.pose_cases import multi_person

PAGE = (ROOT / "docs" / "migration.md").read_text()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the page takes for granted: COCO's two files, mmpose's results, HRNet's pred.mat and gt_valid.mat."""
    from scipy.io import savemat

    truth, entries = multi_person("coco", 4, images=30)
    truth["categories"] = [{"id": 1, "name": "person"}]
    del truth["info"]
    (tmp_path / "work").mkdir()
    (tmp_path / "annotations.json").write_text(json.dumps(truth))
    for name in ("results.json", "work/test.keypoints.json"):
        (tmp_path / name).write_text(json.dumps(entries))
    rng = np.random.default_rng(0)
    places = rng.uniform(10, 400, (16, 2, 40))
    heads = np.array([[[10.0], [10.0]], [[50.0], [40.0]]]).repeat(40, axis=2)
    missing = (rng.random((16, 40)) < 0.1).astype(float)
    savemat(tmp_path / "gt_valid.mat", {"pos_gt_src": places, "jnt_missing": missing, "headboxes_src": heads})
    savemat(tmp_path / "pred.mat", {"preds": places.transpose(2, 0, 1) + rng.normal(0, 10, (40, 16, 2))})
    rows = [
        {"image": f"{number}.jpg", "center": [100, 100], "scale": 1.0, "joints_vis": (1 - missing[:, number]).tolist()}
        for number in range(40)
    ]
    (tmp_path / "valid.json").write_text(json.dumps(rows))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_example_runs(folder: Path, poseboard: Any, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    blocks = re.findall(r"```(python|sh)\n(.*?)```", PAGE, re.DOTALL)
    assert [kind for kind, _ in blocks].count("python") >= 5 and [kind for kind, _ in blocks].count("sh") >= 2
    for kind, code in blocks:
        if kind == "python":
            exec(compile(code, "migration.md", "exec"), names)
            continue
        for line in code.splitlines():
            command, *arguments = line.split()
            assert command == "poseboard"
            result = poseboard(*arguments)
            assert result.exit_code == 0, (line, result.output)
    printed = capsys.readouterr().out
    assert printed.count("Average Precision") == 5 and "not_finite /3/keypoints/7" in printed


def test_the_page_names_scores_that_there_are() -> None:
    from evaluator import dataset_names, load_dataset

    known = {spec.name for name in dataset_names() for spec in load_dataset(name).metrics}
    named = set(re.findall(r"`((?:ap|ar|pckh?|pdj)(?:\d+|_\w+)?(?:@[\d.]+\d)?)`", PAGE))
    assert len(named) > 12 and named <= known


CONSUMER = """
from pathlib import Path

import numpy as np
from poseboard import (
    Annotations, GroundTruthError, PredictionError, Predictions, Report, annotations_from_arrays, diagnose, evaluate,
    load_dataset, predictions_from_arrays, read_predictions, read_truth, validate,
)
from poseboard.cocoeval import COCO, COCOeval


def ap(results: Path, truth: str) -> float:
    report: Report = evaluate("coco", results, truth, intervals=True, groups={1: "a", 2: "b"})
    low: float | None = report.scores[0].low
    return report.scores[0].value if low is None else low


def arrays(people: np.ndarray, found: np.ndarray) -> dict[tuple[str, str], float]:
    truth: Annotations = annotations_from_arrays(people, head_sizes=np.ones(len(people)))
    predictions: Predictions = predictions_from_arrays(found, scores=[1.0] * len(found))
    for report in (evaluate("mpii", predictions, truth), evaluate("lsp", found, people)):
        for score in report.scores:
            print(score.metric, score.part, score.value)
    dataset = load_dataset("lsp")
    why = diagnose(dataset, read_predictions(found, dataset), read_truth(people, dataset))
    return {(each.by, each.name): each.score for each in why.slices}


def objects() -> int:
    try:
        evaluate("lsp", [{"image_id": 1, "keypoints": [1.0, 2, 3] * 14, "score": 1}], [{"image_id": 1}])
    except PredictionError as error:
        return error.problems[0].entry or 0
    except GroundTruthError as error:
        print(error)
    return validate("coco", [], images=None).entries


def dropped_in(path: str) -> float:
    truth = COCO(path)
    run = COCOeval(truth, truth.loadRes(path), "keypoints")
    run.params.maxDets = [20]
    run.evaluate()
    run.accumulate()
    run.summarize()
    return float(run.stats[0])
"""
WRONG = """
from poseboard import evaluate

report = evaluate("coco", 3, "annotations.json")
report.scores[0].valeu
"""


def test_a_consumers_program_passes_mypy(tmp_path: Path) -> None:
    (tmp_path / "consumer.py").write_text(CONSUMER)
    (tmp_path / "wrong.py").write_text(WRONG)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", os.devnull, "--follow-imports", "silent"]
    cache = ["--cache-dir", str(ROOT / ".mypy_cache" / "consumer")]
    done = subprocess.run(
        [*command, *cache, "consumer.py", "wrong.py"], cwd=tmp_path, capture_output=True, text=True, check=False,
        env=os.environ | {"MYPYPATH": str(ROOT)},
    )  # fmt: skip
    errors = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert [line.split(":")[0] for line in errors] == ["wrong.py", "wrong.py"], done.stdout + done.stderr
    assert "arg-type" in errors[0] and "attr-defined" in errors[1]


def test_the_package_says_that_it_is_typed() -> None:
    for package in ("evaluator", "poseboard"):
        assert (ROOT / package / "py.typed").exists()


def test_examples_in_docstrings() -> None:
    attempted: dict[str, int] = {}
    walked = pkgutil.walk_packages(evaluator.__path__, "evaluator.")
    for module in ("evaluator", *(each.name for each in walked if not each.name.startswith("evaluator.native."))):
        found = doctest.testmod(import_module(module), optionflags=doctest.ELLIPSIS)
        assert not found.failed, module
        attempted[module] = found.attempted
    shown = {
        "evaluator",
        "evaluator.reading.arrays",
        "evaluator.datasets",
        "evaluator.diagnosis.joints",
        "evaluator.evaluation",
    }
    assert shown <= {module for module, times in attempted.items() if times}
