"""The evaluator itself, in the sandbox: the same report as in this process, and the same errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import evaluator
from evaluator import PredictionError
from leaderboard.sandbox.scorer import Limits, Scorer, ScoringFailed
from tests.evaluator.pose_cases import case

JOINTS = evaluator.load_dataset("lsp").joints


@pytest.fixture(scope="module")
def scorer() -> Iterator[Scorer]:
    with Scorer(Limits(memory_bytes=1 << 28, cpu_seconds=20, wall_seconds=20)) as scorer:
        yield scorer


@pytest.fixture
def job(tmp_path: Path) -> dict[str, Any]:
    """Five people, each joint 10 px from the next along a diagonal; predictions that miss the last two joints."""
    images = [{"id": 1001 + i, "file_name": f"im{1001 + i}.jpg", "width": 200, "height": 200} for i in range(5)]
    annotations, predictions = [], []
    for i, image in enumerate(images):
        points = [[20 + 10 * j + i, 15 + 10 * j] for j in range(len(JOINTS))]
        annotations.append(
            {
                "id": i + 1,
                "image_id": image["id"],
                "person_id": 0,
                "category_id": 1,
                "keypoints": [value for x, y in points for value in (x, y, 2)],
                "num_keypoints": len(JOINTS),
                "bbox": [20, 15, 130, 130],
                "area": 16900,
                "iscrowd": 0,
            }
        )
        moved = [[x, y] if j < len(JOINTS) - 2 else [x + 500, y] for j, (x, y) in enumerate(points)]
        keypoints = [value for x, y in moved for value in (x, y, 0.9)]
        predictions.append({"image_id": image["id"], "person_id": 0, "keypoints": keypoints, "score": 0.9})
    truth = {
        "info": {"dataset": "lsp", "split": "test"},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person", "keypoints": list(JOINTS), "skeleton": []}],
    }
    files = {
        "truth": truth,
        "predictions": predictions,
        "images": evaluator.public_images(truth, boxes=False),
    }
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    return {"dataset": "lsp"} | {name: tmp_path / f"{name}.json" for name in files}


def test_the_report_is_the_one_that_anybody_gets(scorer, job):
    here = evaluator.evaluate("lsp", job["predictions"], job["truth"]).to_dict()
    assert scorer.run(**job) == here
    assert scorer.run(**job) == here  # and from the annotations it kept
    values = {(score["metric"], score["part"]): score["value"] for score in here["scores"]}
    assert values["pck@0.2", "all"] == 12 / 14


@pytest.mark.parametrize("dataset", evaluator.dataset_names())
def test_every_dataset_is_scored_alike(scorer, tmp_path, dataset):
    truth, predictions = case(dataset, 3, images=12)
    if dataset == "densepose":  # where nobody would be large
        for row in truth["annotations"][::3]:
            row["area"] += 96.0**2
    files = {"truth": truth, "predictions": predictions, "images": evaluator.public_images(truth, boxes=False)}
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    job = {name: tmp_path / f"{name}.json" for name in files}
    report = scorer.run(dataset=dataset, **job)
    here = evaluator.evaluate(dataset, job["predictions"], job["truth"]).to_dict()
    for there, mine in zip(report["scores"], here["scores"], strict=True):
        if mine["metric"] == "pa_mpjpe":
            # its rotation comes from LAPACK, whose last bits depend on the processor's kernels that BLAS chose
            assert there["value"] == pytest.approx(mine["value"], rel=1e-12)
            mine["value"] = there["value"]
    assert report == here
    named = {metric.name for metric in evaluator.load_dataset(dataset).metrics}
    assert {score["metric"] for score in report["scores"]} == named


def test_corrected_annotations_count_at_once(scorer, job):
    first = scorer.run(**job)
    truth = json.loads(job["truth"].read_text())
    for annotation in truth["annotations"]:
        for index in (12, 13):
            annotation["keypoints"][3 * index] += 500
    job["truth"].write_text(json.dumps(truth))
    second = scorer.run(**job)
    assert second["truth_sha256"] != first["truth_sha256"]
    values = {(score["metric"], score["part"]): score["value"] for score in second["scores"]}
    assert values["pck@0.2", "all"] == 1


@pytest.mark.parametrize(
    "text", ["", "[", "{}", "[1]", '[{"image_id": 7, "keypoints": []}]', '[{"image_id": 1001, "keypoints": ["1"]}]']
)
def test_a_rejected_file_is_explained_word_for_word(scorer, job, text):
    job["predictions"].write_text(text)
    with pytest.raises(PredictionError) as here:
        evaluator.validate("lsp", job["predictions"], images=json.loads(job["images"].read_text()))
    with pytest.raises(PredictionError) as there:
        scorer.run(**job)
    assert str(there.value) == str(here.value)
    assert there.value.problems == here.value.problems


def test_unreadable_annotations_are_our_fault(scorer, job):
    job["truth"].write_text('{"images": []}')
    with pytest.raises(ScoringFailed) as caught:
        scorer.run(**job)
    assert caught.value.code == "ground_truth"
    with pytest.raises(ScoringFailed) as caught:
        scorer.run(**job | {"truth": job["truth"].with_name("none.json")})
    assert caught.value.code == "ground_truth"


def test_an_unknown_dataset_is_ours(scorer, job):
    with pytest.raises(ScoringFailed) as caught:
        scorer.run(**job | {"dataset": "none"})
    assert caught.value.code == "ground_truth"
