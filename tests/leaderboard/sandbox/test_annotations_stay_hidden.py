"""What a process that holds annotations can tell anyone: a score, and that a file is wrong. Never an annotation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

import evaluator
from evaluator import PredictionError, load_dataset
from leaderboard.sandbox.report_check import check_named
from leaderboard.sandbox.scorer import Limits, Scorer, ScoringFailed
from tests.evaluator.pose_cases import case
from tests.evaluator.upload_corpus import ARCHIVES
from tests.evaluator.upload_entries import DOCUMENTS, ENTRIES, IMAGES, IN_SPACE, ON_SURFACE
from tests.leaderboard.sandbox import hostile
from tests.leaderboard.sandbox.conftest import HERE, LINUX

SECRET = "4711.25"
WRONG = '[{"image_id": 7, "keypoints": [1, 2], "score": "high"}]'
VALID = json.dumps([{"image_id": 7, "keypoints": [1, 2, 0.5] * 14, "score": 1}])


@pytest.fixture
def job(job: dict[str, Any]) -> dict[str, Any]:
    job["truth"].write_text(json.dumps({"annotations": [{"keypoints": [float(SECRET)] * 28}] * 500}))
    return job


def words_of(runner: Scorer, job: dict[str, Any]) -> str:
    """All that comes out of a job that did not end in scores."""
    with pytest.raises((PredictionError, ScoringFailed)) as caught:
        runner.run(**job)
    error = caught.value
    return f"{error} {vars(error)} {error.to_dict() if isinstance(error, PredictionError) else ''}"


@pytest.mark.parametrize("content", [WRONG, VALID, "[", ""], ids=["wrong", "valid", "no JSON", "empty"])
def test_an_error_made_of_annotations_is_not_passed_on(job, scorer, content):
    job["predictions"].write_text(content)
    words = words_of(scorer("reject_with_annotations"), job)
    assert "4711" not in words
    assert len(words) < 2000


def test_the_words_are_those_of_the_check_without_annotations(job, scorer):
    job["predictions"].write_text(WRONG)
    with pytest.raises(PredictionError) as there:
        scorer("reject_with_annotations").run(**job)
    with pytest.raises(PredictionError) as here:
        evaluator.validate("lsp", job["predictions"])
    assert str(there.value) == str(here.value)
    assert there.value.total == here.value.total == 2


def test_rejecting_a_valid_file_is_a_fault_of_ours(job, scorer):
    job["predictions"].write_text(VALID)
    with pytest.raises(ScoringFailed, match="that the check accepts") as caught:
        scorer("reject_with_annotations").run(**job)
    assert caught.value.code == "protocol"


def test_a_crash_made_of_annotations_is_not_logged(job, scorer):
    words = words_of(scorer("say_annotations_in_a_crash"), job)
    assert "4711" not in words
    assert "hostile.py" in words


def test_annotations_that_cannot_be_read_are_not_logged(job):
    """The zygote's own errors quote the annotations, too."""
    with Scorer(Limits(memory_bytes=1 << 28, cpu_seconds=20, wall_seconds=20)) as runner:
        words = words_of(runner, job)
        job["truth"].write_text(json.dumps({"images": [], "annotations": [{"id": "c4711"}], "categories": []}))
        words += words_of(runner, job)
    assert words.count("GroundTruthError") >= 2
    assert "4711" not in words


@pytest.mark.parametrize("target", ["say_annotations_in_a_report", "say_annotations_in_a_name"])
def test_a_report_has_no_words_but_the_definitions(job, scorer, target):
    report = scorer(target).run(**job)
    assert "4711" in str(report)  # it has the form of a report
    with pytest.raises(ScoringFailed) as caught:
        check_named(report, load_dataset("lsp"))
    assert caught.value.code == "protocol"
    assert "4711" not in str(caught.value)


def test_a_report_of_another_version_or_metric_is_rejected():
    dataset = load_dataset("lsp")
    good = hostile.report(protocol=dataset.protocol, evaluator_version=evaluator.__version__)
    check_named(good, dataset)
    score = good["scores"][0]
    for changes in (
        {"evaluator_version": "x"},
        {"protocol": dataset.protocol + " 4711"},
        {"scores": [score | {"metric": "ap"}]},
        {"scores": [score, score | {"part": "all4711"}]},
    ):
        with pytest.raises(ScoringFailed):
            check_named(good | changes, dataset)


@LINUX
def test_the_process_that_checks_never_had_annotations(tmp_path, scorer):
    """Told to look through its own memory, it finds none; the same in the process that scores finds them."""
    truth, predictions = case("lsp", 3, images=12)
    for annotation in truth["annotations"]:
        annotation["keypoints"][:2] = [float(SECRET)] * 2
    files = {"truth": truth, "predictions": [*predictions, {}]}
    files["images"] = evaluator.public_images(truth, boxes=False)
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    paths = {name: tmp_path / f"{name}.json" for name in files}
    limits = Limits(memory_bytes=1 << 30, cpu_seconds=20, wall_seconds=20)
    with Scorer(limits, check_target="hostile:search_memory", search_path=[HERE]) as runner:
        with pytest.raises(PredictionError) as caught:
            runner.run(dataset="lsp", **paths)
        assert caught.value.problems[0].message == "found: False"
        runner._checker = runner  # teeth: the check where the annotations were read
        with pytest.raises(PredictionError) as caught:
            runner.run(dataset="lsp", **paths)
        runner._checker = None
        assert caught.value.problems[0].message == "found: True"


def test_what_the_check_says_is_bounded_too(job):
    with (
        Scorer(
            Limits(memory_bytes=1 << 28, cpu_seconds=20, wall_seconds=20),
            evaluate_target="hostile:reject",
            check_target="hostile:say_much",
            search_path=[HERE],
        ) as runner,
        pytest.raises(ScoringFailed) as caught,
    ):
        runner.run(**job)
    assert caught.value.code == "protocol"
    assert "xxx" not in str(caught.value)


@pytest.fixture(scope="module")
def rejecting() -> Iterator[Scorer]:
    """The zygote with annotations rejects every file; what the submitter reads is up to the check."""
    limits = Limits(memory_bytes=1 << 30, cpu_seconds=60, wall_seconds=60)
    with Scorer(limits, evaluate_target="hostile:reject", search_path=[HERE]) as runner:
        yield runner


@pytest.mark.parametrize(
    "cases",
    [DOCUMENTS, ENTRIES, ARCHIVES, IN_SPACE, ON_SURFACE],
    ids=["DOCUMENTS", "ENTRIES", "ARCHIVES", "IN_SPACE", "ON_SURFACE"],
)
def test_the_server_says_of_every_hazard_what_the_library_says(rejecting, tmp_path, cases):
    (tmp_path / "truth.json").write_text("{}")
    images, predictions = tmp_path / "images.json", tmp_path / "predictions.json"
    differing = {}
    for name, (dataset, content, *_) in cases.items():
        images.write_text(json.dumps(IMAGES[dataset]))
        predictions.write_bytes(content)
        with pytest.raises(PredictionError) as here:
            evaluator.validate(dataset, predictions, images=IMAGES[dataset])
        try:
            rejecting.run(dataset=dataset, predictions=predictions, truth=tmp_path / "truth.json", images=images)
        except (PredictionError, ScoringFailed) as there:
            if not isinstance(there, PredictionError) or there.to_dict() != here.value.to_dict():
                differing[name] = (str(there), str(here.value))
    assert differing == {}


@pytest.mark.parametrize("dataset", evaluator.dataset_names())
def test_every_score_of_a_dataset_is_one_its_definition_names(dataset):
    truth, predictions = case(dataset, 3, images=12)
    if dataset == "densepose":  # where nobody would be large
        for row in truth["annotations"][::3]:
            row["area"] += 96.0**2
    check_named(evaluator.evaluate(dataset, predictions, truth).to_dict(), load_dataset(dataset))
