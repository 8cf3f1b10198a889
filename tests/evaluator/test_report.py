"""The public face: names, the report as JSON, and an import that costs nothing."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import evaluator
from evaluator import evaluate
from tests.evaluator.pose_cases import case


def fresh(code: str) -> list[str]:
    """What a fresh process prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


HEAVY = ("numpy", "scipy", "h5py", "django", "celery", "torch", "httpx", "evaluator.convert")


def test_importing_the_package_imports_nothing_heavy() -> None:
    loaded = set(fresh("import sys, evaluator; print(*sys.modules)"))
    assert not loaded & set(HEAVY)
    assert "evaluator.errors" in loaded


def test_scoring_needs_numpy_and_nothing_else() -> None:
    loaded = set(
        fresh(
            "import sys, evaluator\n"
            "truth = {'images': [{'id': 1}], 'annotations': [{'id': 1, 'image_id': 1, 'keypoints': [1, 2, 2] * 14}]}\n"
            "evaluator.evaluate('lsp', [], truth)\n"
            "print(*sys.modules)"
        )
    )
    assert loaded & set(HEAVY) == {"numpy"}


def test_every_public_name_is_there_and_evaluate_stays_a_function() -> None:
    printed = fresh(
        "import evaluator\n"
        "for name in evaluator.__all__: assert getattr(evaluator, name) is not None, name\n"
        "import evaluator.evaluation\n"
        "from evaluator import evaluate, validate\n"
        "print(callable(evaluate), callable(evaluator.evaluate), callable(validate))"
    )
    assert printed == ["True", "True", "True"]
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = evaluator.nothing


@pytest.mark.parametrize("dataset", ["lsp", "coco"])
def test_the_report_as_json(dataset: str) -> None:
    truth, entries = case(dataset, 1)
    report = evaluate(dataset, entries, truth)
    found = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert list(found) == [
        "dataset",
        "protocol",
        "evaluator_version",
        "truth_sha256",
        "predictions_sha256",
        "scores",
        "images",
        "people",
        "entries",
    ]
    assert found["dataset"] == dataset
    assert found["evaluator_version"] == evaluator.__version__
    assert found["images"] == len(truth["images"])
    assert found["entries"] == len(entries)
    assert found["people"] == sum(not a["iscrowd"] and a["num_keypoints"] > 0 for a in truth["annotations"])
    assert list(found["scores"][0]) == ["metric", "part", "value", "low", "high"]
    assert found["scores"][0]["low"] is None
    assert len(found["truth_sha256"]) == len(found["predictions_sha256"]) == 64
    # Full double precision survives.
    assert [score["value"] for score in found["scores"]] == [score.value for score in report.scores]
