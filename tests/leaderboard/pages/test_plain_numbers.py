"""A metric of plain numbers: neither a fraction nor in any unit, values above 1, lower is better. Shown as it is.

The metric is a file of its own, as those of the evaluator are, and LSP's definition names it: both last for the test.
The sandbox imports installed metrics only, so here the evaluator runs in this process.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.test import Client
from typer.testing import CliRunner

import evaluator.metrics
from evaluator import datasets, evaluate, load_dataset
from evaluator.dataset import NUMBER
from evaluator.diagnosis.page import report_page
from leaderboard import tasks, worker_process
from leaderboard.boards.rankings import board
from leaderboard.files import blobs
from leaderboard.models import Benchmark, Evaluation, Method, Score, State, Submission, Team, User
from poseboard.cli import app
from tests.leaderboard.conftest import annotations_json, predictions, submit
from tests.leaderboard.pages.conftest import squeezed

METRIC = '''
"""Mean distance of the joints from their places, as a share of the torso."""

import numpy as np

from evaluator.metrics.pck import NORMALISERS, aligned, by_image, euclidean
from evaluator.tally import MeanTally

TITLE = "Normalised mean error"
SOURCE = "A test"
HIGHER_IS_BETTER = False
PARTS = "joints"
INVARIANCES = frozenset()
%s

def measure(annotations, predictions, dataset, *, names):
    lengths = NORMALISERS["torso"](annotations, dataset)[:, None]
    errors = euclidean(aligned(annotations, predictions).keypoints, annotations.keypoints) / lengths
    images = len(annotations.image_ids)
    return MeanTally(
        metric=names[0], sums=by_image(errors, annotations.image, images),
        counts=by_image(np.ones_like(errors), annotations.image, images),
        parts={part: tuple(map(dataset.joint, joints)) for part, joints in dataset.parts.items()},
    )
'''
LSP = '[[metrics]]\nmetric = "nme"\nscores = [{ name = "nme", title = "NME", description = "Of the torso." }]\n'


@pytest.fixture
def define(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """Puts the metric, with what it says of its scores, before LSP's others."""

    def define(says: str) -> None:
        folder = tmp_path / "metrics"
        folder.mkdir()
        (folder / "nme.py").write_text(METRIC % says)
        monkeypatch.setattr(evaluator.metrics, "__path__", [*evaluator.metrics.__path__, str(folder)])
        text = (datasets.FOLDER / "lsp.toml").read_text()
        text = text.replace('"pck@0.2", "', '"nme", "').replace('primary = "pck@0.2"', 'primary = "nme"')
        (tmp_path / "datasets").mkdir()
        for file in datasets.FOLDER.glob("*.toml"):
            (tmp_path / "datasets" / file.name).write_text(file.read_text())
        (tmp_path / "datasets" / "lsp.toml").write_text(text.replace("[[metrics]]", LSP + "[[metrics]]", 1))
        monkeypatch.setattr(datasets, "FOLDER", tmp_path / "datasets")
        load_dataset.cache_clear()

    yield define
    monkeypatch.undo()
    load_dataset.cache_clear()
    import sys

    sys.modules.pop("evaluator.metrics.nme", None)


@pytest.fixture
def enter(
    benchmark: Benchmark, team: Team, alice: User, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, int], Submission]:
    """A method with so many joints of each person far away, scored by the worker's own code and published."""
    truth = json.dumps(annotations_json()).encode()

    def run(*, predictions: Path, **_: Any) -> dict[str, Any]:
        return evaluate("lsp", predictions, truth).to_dict()

    monkeypatch.setattr(worker_process, "scorer", lambda: SimpleNamespace(run=run, ready=lambda **_: True))

    def enter(name: str, miss: int) -> Submission:
        made = Method.objects.create(team=team, name=name, year=2020, gflops=miss)
        blob = blobs.store([predictions(miss=miss)], limit=1 << 20)
        sent = submit(made, blob, benchmark=benchmark, user=alice, source="web", publish_when_scored=True)
        tasks.score()
        return sent

    return enter


@pytest.fixture
def as_alice(client: Client, alice: User) -> Client:
    signed_in = Client()
    signed_in.force_login(alice)
    return signed_in


def test_a_plain_number_is_recorded_and_shown_as_it_is_everywhere(
    define: Any, enter: Any, client: Client, as_alice: Client
) -> None:
    define("RANGE = (0.0, None)")
    coarse, fine = enter("Coarse", 5), enter("Fine", 2)
    assert {sent.evaluation.state for sent in Submission.objects.all()} == {State.SCORED}
    stored = Score.objects.filter(metric="nme", part="all").order_by("value")
    assert {(score.bounded, score.unit) for score in stored} == {(False, NUMBER)}
    assert {(s.bounded, s.unit) for s in Score.objects.exclude(metric="nme")} == {(True, "")}
    low, high = (score.value for score in stored)
    assert 1 < low < high

    found = board(Benchmark.objects.get())
    assert [(row.name, row.rank, row.unit) for row in found.ranked] == [("Fine", 1, NUMBER), ("Coarse", 2, NUMBER)]
    page = squeezed(client.get("/lsp-test-pc/").content.decode())
    table = page.partition("<table")[2].partition("</table>")[0]
    assert f">{low:.3f}<" in table and f">{high:.3f}<" in table
    assert "NME</caption>" in table
    assert f"Fine leads by {high - low:.3f}" in page
    charts = [client.get(f"/lsp-test-pc/?chart={kind}").content.decode() for kind in ("time", "parts", "cost")]
    assert "Best score over time" in charts[0] and any(f"{low:.3f}" in chart for chart in charts)
    pages = [
        page, *charts, *(squeezed(client.get(address).content.decode()) for address in ("/", "/metrics/nme/",
        f"/methods/{fine.method_id}/")), *(squeezed(as_alice.get(address).content.decode()) for address in
        (f"/submissions/{coarse.pk}/", f"/submissions/{fine.pk}/", "/submissions/")),
    ]  # fmt: skip
    for text in pages:
        # neither as a percentage nor in the words of another unit, nor the name of having none
        assert f"{100 * low:.1f}" not in text and f"{100 * high:.1f}" not in text
        assert not re.search(rf"({low:.3f}|{high:.3f})\s*(<small>)?\s*(mm|%|number)", text)
        assert " mm" not in text
    assert "numbers without a unit" in squeezed(client.get("/metrics/nme/").content.decode())
    assert f"{low:.3f}<small></small>" in pages[-2] and "NME by part" in pages[-2]

    exported = client.get("/lsp-test-pc/board.json").json()
    assert (exported["unit"], exported["higher_is_better"]) == ("number", False)
    assert [entry["method"] for entry in exported["entries"]] == ["Fine", "Coarse"]
    rows = client.get("/lsp-test-pc/board.csv").content.decode().splitlines()
    assert "nme/all" in rows[0] and repr(low) in rows[1]
    assert f"| 1 | Fine | {low:.3f} |" in client.get("/lsp-test-pc/board.md").content.decode()
    response = client.get("/api/v1/boards/lsp-test-pc").json()
    assert (response["unit"], [entry["value"] for entry in response["entries"]]) == ("number", [low, high])
    assert client.get(f"/api/v1/submissions/{fine.pk}").json()["units"] == {"nme": "number"}
    details = client.get("/api/v1/benchmarks/lsp-test-pc").json()["metrics"]
    units = {metric["name"]: metric["unit"] for metric in details}
    assert units == dict.fromkeys(units, "fraction") | {"nme": "number"}


def test_the_command_line_shows_a_plain_number_as_it_is(
    define: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    define("RANGE = (0.0, None)")
    truth, coarse, fine = tmp_path / "truth.json", tmp_path / "coarse.json", tmp_path / "fine.json"
    truth.write_text(json.dumps(annotations_json()))
    coarse.write_bytes(predictions(miss=5))
    fine.write_bytes(predictions(miss=2))
    report = evaluate("lsp", fine, truth)
    value = next(score.value for score in report.scores if (score.metric, score.part) == ("nme", "all"))
    for module in ("scoring", "comparing"):
        monkeypatch.setattr(f"poseboard.{module}.on_terminal", lambda: True)
    found = CliRunner().invoke(app, ["evaluate", "lsp", str(fine), "--truth", str(truth)], env={"COLUMNS": "200"})
    assert found.exit_code == 0, found.output
    assert re.search(rf"nme +all +{value:.3f}(?! [%m])", found.output), found.output
    assert re.search(r"pck@0.2 +all +85.71 %", found.output)
    found = CliRunner().invoke(app, ["compare", str(fine), str(coarse), "--truth", str(truth)], env={"COLUMNS": "200"})
    assert re.search(rf"nme +all +{value:.3f} +\d+\.\d{{3}} +-\d+\.\d{{3}}", found.output), found.output
    page = report_page(load_dataset("lsp"), report, None)
    assert f"<b>{value:.3f}</b> <span>" in page and "<caption>Scores, with" in page


def test_a_unit_of_pixels_is_said(define: Any, enter: Any, client: Client) -> None:
    define('UNIT = "px"')
    sent = enter("Some", 3)
    (score,) = Score.objects.filter(metric="nme", part="all")
    assert score.unit == "px"
    assert client.get(f"/api/v1/submissions/{sent.pk}").json()["units"] == {"nme": "px"}
    assert f"{score.value:.1f} px" in squeezed(client.get("/").content.decode())


def test_a_score_outside_the_range_of_its_metric_is_our_fault_by_name(
    define: Any, enter: Any, caplog: pytest.LogCaptureFixture
) -> None:
    define("")  # a fraction, and it is none
    with caplog.at_level(logging.ERROR):
        sent = enter("Some", 3)
        assert Evaluation.objects.get().state == State.QUEUED
        assert [tasks.score() for _ in range(2)] == [f"{sent} failed: score_range"] * 2
    evaluation = Evaluation.objects.get()
    assert (evaluation.state, evaluation.error_code) == (State.ERRORED, "platform")
    assert not Score.objects.exists()
    lines = [record.getMessage() for record in caplog.records if "score_range" in record.getMessage()]
    assert len(lines) == 3
    assert re.search(r"nme, \w+, is \d+\.\d+; declared: 0.0 to 1.0", lines[0]), lines[0]
    assert "IntegrityError" not in caplog.text


@pytest.mark.django_db(transaction=True)
def test_scores_from_before_the_unit_was_stored_are_in_millimetres(send: Any) -> None:
    send()
    evaluation = Evaluation.objects.get()
    for metric, bounded in (("mpjpe", False), ("pck@0.2", True)):
        Score.objects.create(evaluation=evaluation, metric=metric, part="all", value=0.5, bounded=bounded)
    leaves = MigrationExecutor(connection).loader.graph.leaf_nodes()
    before = [("leaderboard", "0004_box_file")]
    try:
        MigrationExecutor(connection).migrate(before)
        MigrationExecutor(connection).migrate(leaves)
    finally:
        MigrationExecutor(connection).migrate(leaves)
    assert dict(Score.objects.values_list("metric", "unit")) == {"mpjpe": "mm", "pck@0.2": ""}
