"""`poseboard compare`: its three outputs, its errors."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from tests.evaluator.pose_cases import single_person


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """LSP people, a result, and one that is right nowhere but at the ankles, where it is the same."""
    truth, entries = single_person("lsp", 6, images=320, noise=6.0)
    worse = json.loads(json.dumps(entries))
    for entry in worse:
        entry["keypoints"] = [
            value if value is None or index in range(3) or index in range(15, 18) or index % 3 == 2 else value + 400
            for index, value in enumerate(entry["keypoints"])
        ]
    for name, content in (("truth", truth), ("a", entries), ("b", worse)):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    return tmp_path


def test_a_better_file_is_better_beyond_chance(poseboard, folder) -> None:
    content = poseboard.json("compare", folder / "a.json", folder / "b.json", "--truth", folder / "truth.json")
    assert (content["dataset"], content["images"], content["resamples"]) == ("lsp", 320, 1000)
    found = {(each["metric"], each["part"]): each for each in content["differences"]}
    wrist = found["pck@0.2", "wrist"]
    assert wrist["b"] == 0 and wrist["difference"] == wrist["a"] > 0.5
    assert 0.5 < wrist["low"] < wrist["difference"] < wrist["high"] and wrist["p"] == pytest.approx(2 / 1001)
    ankle = found["pck@0.2", "ankle"]
    assert (ankle["difference"], ankle["low"], ankle["high"], ankle["p"]) == (0, 0, 0, 1)
    scores = poseboard.json("evaluate", "lsp", folder / "a.json", "--truth", folder / "truth.json")
    assert content["a_sha256"] == scores["predictions_sha256"] and content["truth_sha256"] == scores["truth_sha256"]
    assert [each["a"] for each in content["differences"]] == [each["value"] for each in scores["scores"]]


def test_identical_files_in_a_pipe(poseboard, folder) -> None:
    result = poseboard("compare", folder / "a.json", folder / "a.json", "--truth", folder / "truth.json")
    assert result.exit_code == 0
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert {len(row) for row in rows} == {8}
    assert {row[4] for row in rows} == {"0.0"}
    assert {tuple(row[5:]) for row in rows} <= {("0.0", "0.0", "1.0"), ("", "", "")}
    assert ["0.0", "0.0", "0.0", "1.0"] in [row[4:] for row in rows if row[:2] == ["pck@0.2", "all"]]


def test_on_a_terminal(poseboard, folder, monkeypatch) -> None:
    monkeypatch.setattr("poseboard.comparing.on_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "120")
    output = poseboard("compare", folder / "a.json", folder / "b.json", "--truth", folder / "truth.json").stdout
    assert "lsp: A a.json, B b.json, 320 images" in output and "A - B" in output and "0.002" in output


def test_the_dataset_comes_from_the_annotations_or_the_option(poseboard, folder) -> None:
    truth = json.loads((folder / "truth.json").read_text())
    (folder / "truth.json.gz").write_bytes(gzip.compress(json.dumps(truth).encode()))
    files = (folder / "a.json", folder / "b.json", "--truth")
    assert poseboard.json("compare", *files, folder / "truth.json.gz")["dataset"] == "lsp"
    del truth["info"]
    (folder / "truth.json").write_text(json.dumps(truth))
    result = poseboard("compare", *files, folder / "truth.json")
    assert result.exit_code == 2 and "give --dataset" in result.stderr
    assert poseboard.json("compare", *files, folder / "truth.json", "--dataset", "lsp")["dataset"] == "lsp"


def test_rejected_files(poseboard, folder) -> None:
    (folder / "broken.json").write_text("{")
    for arguments in (
        (folder / "a.json", folder / "none.json", "--truth", folder / "truth.json"),
        (folder / "a.json", folder / "broken.json", "--truth", folder / "truth.json"),
        (folder / "a.json", folder / "b.json", "--truth", folder / "broken.json"),
    ):
        result = poseboard("compare", *arguments)
        assert result.exit_code == 2 and result.stderr


def test_evaluate_writes_a_report(poseboard, folder) -> None:
    files = ("evaluate", "lsp", folder / "a.json", "--truth", folder / "truth.json")
    result = poseboard(*files, "--report", folder / "out.html")
    assert result.exit_code == 0 and "out.html: the report" in result.stderr
    # the scores are printed as ever, with the intervals that the page has
    assert result.stdout == poseboard(*files, "--intervals").stdout
    page = (folder / "out.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>") and "Leeds Sports Pose" in page and "Errors on the body" in page
    result = poseboard(*files, "--report", folder / "none" / "out.html")
    assert result.exit_code == 2 and "No such file" in result.stderr


def test_evaluate_says_why(poseboard, folder, monkeypatch) -> None:
    files = ("evaluate", "lsp", folder / "a.json", "--truth", folder / "truth.json")
    content = poseboard.json(*files, "--diagnosis")
    plain = poseboard.json(*files)
    assert {key: content[key] for key in plain} == plain and "diagnosis" not in plain
    why = content["diagnosis"]
    assert {each["by"] for each in why["slices"]} == {"size", "occlusion", "visible_joints", "crowding"}
    value = next(s["value"] for s in plain["scores"] if (s["metric"], s["part"]) == ("pck@0.2", "all"))
    assert why["total"]["good"] + why["total"]["jitter"] == pytest.approx(value, abs=1e-12)
    rows = [line.split("\t") for line in poseboard(*files, "--diagnosis").stdout.splitlines()]
    assert [row[1] for row in rows if row[0] == "errors"] == [*(each["name"] for each in why["parts"]), "all"]
    assert [row[4] for row in rows if row[0] == "size"] == [
        repr(each["score"]) for each in why["slices"] if each["by"] == "size"
    ]
    monkeypatch.setattr("poseboard.scoring.on_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "120")
    output = poseboard(*files, "--diagnosis").stdout
    assert "smallest third" in output and "inversion" in output
