"""evaluate, validate, convert and what holds for every command: output, JSON, exit codes."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat
from typer.testing import CliRunner

from evaluator import dataset_names
from poseboard.cli import app


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Official LSP files of invented people, and what `convert` makes of them.

    The predictions are right but for the right ankle, which is 30 px off in every image.
    """
    folder = tmp_path_factory.mktemp("lsp")
    joints = np.ones((3, 14, 2000))
    joints[0], joints[1], joints[2] = np.arange(14)[:, None] * 7, np.arange(14)[:, None] ** 2, 0
    pred = joints[:2, :, 1000:].copy()
    pred[1, 0] -= 30  # the torso, |left shoulder - right hip|, is hypot(7 x 7, 81 - 4) = 91 px: 0.2 of it are 18 px
    savemat(folder / "joints.mat", {"joints": joints})
    savemat(folder / "pred.mat", {"pred": pred})
    for kind, source, out in (("truth", "joints.mat", "truth.json"), ("predictions", "pred.mat", "p.json")):
        arguments = ["convert", kind, "lsp", str(folder / source), "-o", str(folder / out)]
        assert CliRunner().invoke(app, arguments).exit_code == 0
    return folder


@pytest.fixture
def lsp(made: Path, tmp_path: Path) -> Path:
    """A folder of one's own with the official files."""
    for name in ("joints.mat", "pred.mat"):
        shutil.copy(made / name, tmp_path)
    return tmp_path


@pytest.fixture
def converted(made: Path, lsp: Path) -> Path:
    """The same with the converted files."""
    for name in ("truth.json", "p.json"):
        shutil.copy(made / name, lsp)
    return lsp


def test_evaluate_in_a_pipe(poseboard, converted) -> None:
    result = poseboard("evaluate", "lsp", converted / "p.json", "--truth", converted / "truth.json")
    assert result.exit_code == 0 and result.stderr == ""
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert ["pck@0.2", "ankle", "0.5", "", ""] in rows and ["pck@0.2", "knee", "1.0", "", ""] in rows
    values = {(metric, part): float(value) for metric, part, value, *_ in rows}
    assert values["pck@0.2", "all"] == 13 / 14


def test_evaluate_json_is_the_report(poseboard, converted) -> None:
    report = poseboard.json("evaluate", "lsp", converted / "p.json", "--truth", converted / "truth.json")
    assert list(report)[:5] == ["dataset", "protocol", "evaluator_version", "truth_sha256", "predictions_sha256"]
    assert (report["images"], report["people"], report["entries"]) == (1000, 1000, 1000)
    ankle = next(s for s in report["scores"] if (s["metric"], s["part"]) == ("pck@0.2", "ankle"))
    assert ankle == {"metric": "pck@0.2", "part": "ankle", "value": 0.5, "low": None, "high": None}
    from poseboard import evaluate

    assert evaluate("lsp", converted / "p.json", converted / "truth.json").to_dict() == report


def test_evaluate_on_a_terminal(poseboard, converted, monkeypatch) -> None:
    monkeypatch.setattr("poseboard.scoring.on_terminal", lambda: True)
    output = poseboard("evaluate", "lsp", converted / "p.json", "--truth", converted / "truth.json").stdout
    assert "lsp: 1000 people in 1000 images, 1000 predictions" in output and "92.86" in output


def test_evaluate_with_intervals(poseboard, converted) -> None:
    entries = json.loads((converted / "p.json").read_text())
    for entry in entries[::3]:
        entry["keypoints"][3] += 500
    (converted / "p.json").write_text(json.dumps(entries))
    arguments = ("evaluate", "lsp", converted / "p.json", "--truth", converted / "truth.json", "--intervals")
    scores = {(s["metric"], s["part"]): s for s in poseboard.json(*arguments)["scores"]}
    knee = scores["pck@0.2", "knee"]
    assert knee["value"] == pytest.approx(1 - 334 / 2000, abs=1e-12)
    # binomial: half of the standard error of 334 / 1000, twice
    assert knee["low"] == pytest.approx(knee["value"] - 1.96 * 0.5 * (0.334 * 0.666 / 1000) ** 0.5, abs=0.004)
    assert poseboard("evaluate", *arguments[1:]).stdout.count("\n") == len(scores)


def test_gzip_is_read_and_written(poseboard, converted) -> None:
    for name in ("truth.json", "p.json"):
        (converted / f"{name}.gz").write_bytes(gzip.compress((converted / name).read_bytes()))
    report = poseboard.json("evaluate", "lsp", converted / "p.json.gz", "--truth", converted / "truth.json.gz")
    plain = poseboard.json("evaluate", "lsp", converted / "p.json", "--truth", converted / "truth.json")
    assert report["scores"] == plain["scores"]
    out = converted / "again.json.gz"
    assert poseboard("convert", "predictions", "lsp", converted / "pred.mat", "-o", out).exit_code == 0
    assert gzip.decompress(out.read_bytes()) == (converted / "p.json").read_bytes()


REJECTED = {
    "no file": (None, "no such file", "bad_file"),
    "not JSON": (b"{", "", "not_json"),
    "no list": (b"{}", "expected a JSON list of entries", "not_a_list"),
    "NaN": (b'[{"image_id": 1001, "keypoints": [' + b"NaN, 1, 1, " * 13 + b'1, 1, 1], "score": 1}]', "", "not_finite"),
    "no score": (json.dumps([{"image_id": 1001, "keypoints": [1] * 42}]).encode(), "no score", "missing_key"),
    "unknown image": (json.dumps([{"image_id": 7, "keypoints": [1] * 42, "score": 1}]).encode(), "7", "unknown_image"),
}


@pytest.mark.parametrize("command", ["evaluate", "validate"])
@pytest.mark.parametrize(("content", "message", "code"), REJECTED.values(), ids=REJECTED.keys())
def test_rejected_predictions(poseboard, converted, command, content, message, code) -> None:
    path = converted / "bad.json"
    if content is not None:
        path.write_bytes(content)
    result = poseboard(command, "lsp", path, "--truth", converted / "truth.json", "--json")
    assert result.exit_code == 2 and message in result.stderr and "Traceback" not in result.output
    error = json.loads(result.stdout)["error"]
    assert error["code"] == code and error["message"].strip() == result.stderr.strip()
    if code not in {"bad_file", "not_json", "not_a_list"}:
        assert error["problems"][0]["entry"] == 0 and "entry 0" in result.stderr
    assert poseboard(command, "lsp", path, "--truth", converted / "truth.json").stdout == ""


def test_rejected_annotations(poseboard, converted) -> None:
    (converted / "truth.json").write_text('{"images": []}')
    result = poseboard("evaluate", "lsp", converted / "p.json", "--truth", converted / "truth.json", "--json")
    assert result.exit_code == 2 and "no list 'annotations'" in result.stderr
    assert json.loads(result.stdout)["error"]["code"] == "ground_truth"
    result = poseboard("evaluate", "lsp", converted / "p.json", "--truth", converted / "joints.mat")
    assert result.exit_code == 2 and "JSON" in result.stderr


def test_an_unknown_dataset(poseboard, converted) -> None:
    result = poseboard("evaluate", "cocoo", converted / "p.json", "--truth", converted / "truth.json")
    assert result.exit_code == 2 and "no dataset 'cocoo'" in result.stderr and "crowdpose" in result.stderr
    result = poseboard("convert", "truth", "cocoo", converted / "joints.mat", "-o", converted / "x.json")
    assert result.exit_code == 2 and "no converter for the dataset 'cocoo'" in result.stderr


def test_validate(poseboard, converted) -> None:
    result = poseboard("validate", "lsp", converted / "p.json")
    assert result.exit_code == 0 and "entries\t1000\nimages covered\t1000\n" in result.stdout
    printed = poseboard.json("validate", "lsp", converted / "p.json", "--truth", converted / "truth.json")
    assert printed["valid"] is True and (printed["entries"], printed["images_total"]) == (1000, 1000)
    images = {"dataset": "lsp", "split": "test", "images": [{"id": 1000 + row} for row in range(1, 2001)]}
    (converted / "images.json").write_text(json.dumps(images))
    result = poseboard("validate", "lsp", converted / "p.json", "--images", converted / "images.json")
    assert result.exit_code == 0 and "images covered\t1000 of 2000\n" in result.stdout
    both = ("--images", converted / "images.json", "--truth", converted / "truth.json")
    assert poseboard("validate", "lsp", converted / "p.json", *both).exit_code == 2


def test_validate_on_a_terminal(poseboard, converted, monkeypatch) -> None:
    monkeypatch.setattr("poseboard.scoring.on_terminal", lambda: True)
    assert "p.json is a valid lsp file" in poseboard("validate", "lsp", converted / "p.json").stdout


def test_convert_says_what_it_wrote(poseboard, lsp) -> None:
    result = poseboard("convert", "truth", "lsp", lsp / "joints.mat", "-o", lsp / "t.json", "--split", "train")
    assert result.exit_code == 0 and result.stdout == "" and "t.json: 1000 images, 1000 people" in result.stderr
    printed = poseboard.json("convert", "predictions", "lsp", lsp / "pred.mat", "-o", lsp / "p.json")
    from evaluator.reading.annotations import digest

    assert printed["entries"] == 1000 and printed["sha256"] == digest(lsp / "p.json")
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE((lsp / "p.json").stat().st_mode) == 0o666 & ~umask


def test_convert_rows_in_the_order_of_a_truth(poseboard, converted) -> None:
    truth = json.loads((converted / "truth.json").read_text())
    truth["annotations"].reverse()
    (converted / "reversed.json").write_text(json.dumps(truth))
    arguments = ("convert", "predictions", "lsp", converted / "pred.mat", "-o", converted / "q.json")
    assert poseboard(*arguments, "--truth", converted / "reversed.json").exit_code == 0
    assert json.loads((converted / "q.json").read_text())[0]["image_id"] == 2000


def test_convert_leaves_the_old_file_when_it_fails(poseboard, lsp) -> None:
    (lsp / "out.json").write_text("old")
    (lsp / "bad.mat").write_bytes((lsp / "pred.mat").read_bytes()[:4000])
    result = poseboard("convert", "predictions", "lsp", lsp / "bad.mat", "-o", lsp / "out.json", "--json")
    assert result.exit_code == 2 and "bad.mat: damaged" in result.stderr
    assert json.loads(result.stdout)["error"]["code"] == "conversion"
    assert (lsp / "out.json").read_text() == "old"
    result = poseboard("convert", "predictions", "lsp", lsp / "pred.mat", "-o", lsp / "nowhere" / "out.json")
    assert result.exit_code == 2 and "No such file or directory" in result.stderr
    assert sorted(each.name for each in lsp.iterdir()) == ["bad.mat", "joints.mat", "out.json", "pred.mat"]


def test_convert_to_a_pipe(poseboard, lsp) -> None:
    command = [sys.executable, "-c", "from poseboard.cli import app; app()"]
    arguments = ["convert", "predictions", "lsp", str(lsp / "pred.mat"), "-o", "/dev/stdout"]
    done = subprocess.run([*command, *arguments], capture_output=True, check=True)
    assert len(json.loads(done.stdout)) == 1000


def test_version_and_help(poseboard) -> None:
    assert poseboard("--version").stdout == f"poseboard {version('poseboard')}\n"
    text = poseboard("--help").stdout
    for command in ("evaluate", "validate", "convert", "login", "submit", "status", "board"):
        assert command in text
        assert "--json" in poseboard(*(("convert", "truth") if command == "convert" else (command,)), "--help").stdout
    assert poseboard("nonsense").exit_code == 2
    for command in (("evaluate",), ("validate",), ("convert", "truth"), ("convert", "predictions")):
        words = set(re.findall(r"\w+", poseboard(*command, "--help").stdout))
        assert set(dataset_names()) <= words


def test_the_command_starts_without_what_it_does_not_need() -> None:
    code = (
        "import sys; from poseboard.cli import app\n"
        "assert not {'numpy', 'scipy', 'h5py', 'httpx', 'django', 'torch'} & set(sys.modules), sorted(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_reader_that_stops_early_is_no_traceback(converted) -> None:
    command = (
        f"{sys.executable} -c 'from poseboard.cli import app; app()' evaluate lsp p.json --truth truth.json | head -1"
    )
    done = subprocess.run(["bash", "-c", command], cwd=converted, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("pck@0.2\thead\t") and "Traceback" not in done.stderr


def test_videos_and_whole_bodies_from_official_files_to_scores(poseboard, tmp_path) -> None:
    from tests.evaluator.convert.test_convert_json import wholebody_parts
    from tests.evaluator.convert.test_convert_posetrack import new_video

    (tmp_path / "videos").mkdir()
    (tmp_path / "poses").mkdir()
    for video in (1, 2):
        (tmp_path / "videos" / f"{video}.json").write_text(json.dumps(new_video(video)))
        (tmp_path / "poses" / f"{video}.json").write_text(json.dumps(new_video(video, shift=4.0 * (video - 1))))
    person = {"id": 1, "image_id": 1, "area": 900, "bbox": [0, 0, 30, 30], "iscrowd": 0, **wholebody_parts([5, 2])}
    whole = {"images": [{"id": 1}], "annotations": [person]}
    (tmp_path / "whole.json").write_text(json.dumps(whole))
    (tmp_path / "found.json").write_text(json.dumps([{"image_id": 1, "score": 1, **wholebody_parts([5, 0.5])}]))
    truth, entries, page = tmp_path / "truth.json", tmp_path / "p.json", tmp_path / "report.html"
    for dataset, official, predicted, expected in (
        # One of two people is found, equally sure as the wrong one, on the smaller image: precision 1 up to recall 1/2.
        ("posetrack", "videos", "poses", {"map@0.5\tall\t0.5", "map@0.5\tright_knee\t0.5"}),
        ("coco_wholebody", "whole.json", "found.json", {"ar\thands\t1.0", "ar\tface\t1.0", "ar\tall\t1.0"}),
    ):
        assert poseboard("convert", "truth", dataset, tmp_path / official, "-o", truth).exit_code == 0
        result = poseboard("convert", "predictions", dataset, tmp_path / predicted, "-o", entries)
        assert result.exit_code == 0, result.stderr
        assert poseboard("validate", dataset, entries, "--truth", truth).exit_code == 0
        result = poseboard("evaluate", dataset, entries, "--truth", truth, "--report", page)
        assert result.exit_code == 0, result.stderr
        assert expected <= {line.strip() for line in result.stdout.splitlines()}
        assert page.read_text().startswith("<!doctype html>")
