"""The command on poses in space and on surfaces: millimetres, the table of distances, reports without a diagnosis."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from poseboard.output import Exit
from tests.evaluator.pose_cases import in_space
from tests.evaluator.surface_cases import SURFACE, on_surface


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Poses in space of eight frames; `near.json` is off by some 10 mm, `far.json` by 60."""
    folder = tmp_path_factory.mktemp("space")
    for name, noise in (("near", 10.0), ("far", 60.0)):
        truth, entries = in_space("human36m", 3, images=8, most_people=1, noise=noise)
        (folder / f"{name}.json").write_text(json.dumps(entries))
        (folder / "truth.json").write_text(json.dumps(truth))
    return folder


@pytest.fixture(scope="module")
def surface(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Maps of six images, and the cylinder as an operator's own table."""
    folder = tmp_path_factory.mktemp("surface")
    truth, entries = on_surface("densepose", 4, images=6)
    del truth["info"]["surface"]
    (folder / "truth.json").write_text(json.dumps(truth))
    (folder / "maps.json").write_text(json.dumps(entries))
    (folder / "none.json").write_text("[]")
    np.savez(
        folder / "table.npz",
        part=SURFACE.part, u=SURFACE.u, v=SURFACE.v, vertex=SURFACE.vertex, distances=SURFACE.distances,
    )  # fmt: skip
    return folder


def test_errors_are_millimetres_in_a_pipe_and_on_a_terminal(poseboard, space, monkeypatch) -> None:
    command = ("evaluate", "human36m", space / "near.json", "--truth", space / "truth.json")
    rows = [line.split("\t") for line in poseboard(*command).stdout.splitlines()]
    value = next(float(row[2]) for row in rows if row[:2] == ["mpjpe", "all"])
    assert 5 < value < 40
    monkeypatch.setattr("poseboard.scoring.on_terminal", lambda: True)
    shown = poseboard(*command).stdout
    assert f"{value:.1f}" in shown and f"{100 * value:.2f}" not in shown and "mm" in shown


def test_poses_in_space_are_compared_in_millimetres(poseboard, space) -> None:
    found = poseboard.json("compare", space / "near.json", space / "far.json", "--truth", space / "truth.json")
    row = next(each for each in found["differences"] if (each["metric"], each["part"]) == ("mpjpe", "all"))
    assert row["difference"] == pytest.approx(row["a"] - row["b"]) and row["difference"] < -20


def test_the_report_of_poses_in_space_has_no_diagnosis(poseboard, space, tmp_path) -> None:
    command = ("evaluate", "human36m", space / "near.json", "--truth", space / "truth.json")
    assert poseboard(*command, "--report", tmp_path / "report.html").exit_code == 0
    page = (tmp_path / "report.html").read_text()
    assert "MPJPE" in page and "mm" in page and "inversion" not in page
    refused = poseboard(*command, "--diagnosis")
    assert refused.exit_code == Exit.BAD_FILE and "human36m has none" in refused.stderr


def test_maps_are_scored_on_the_given_table(poseboard, surface) -> None:
    command = ("evaluate", "densepose", surface / "maps.json", "--truth", surface / "truth.json")
    without = poseboard(*command)
    assert without.exit_code == Exit.BAD_FILE and "--surface" in without.stderr
    scores = {
        each["metric"]: each["value"] for each in poseboard.json(*command, "--surface", surface / "table.npz")["scores"]
    }
    assert len(scores) == 24 and 0 < scores["gpsm_ap"] < 1  # nobody is large
    again = poseboard.json(
        "compare", surface / "maps.json", surface / "none.json", "--truth", surface / "truth.json", "--dataset",
        "densepose", "--surface", surface / "table.npz",
    )  # fmt: skip
    row = next(each for each in again["differences"] if each["metric"] == "gpsm_ap")
    assert (row["a"], row["b"]) == (scores["gpsm_ap"], 0.0)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"[]"])
def test_a_table_that_is_none_is_the_operators_error(poseboard, surface, tmp_path, content: bytes) -> None:
    (tmp_path / "wrong.npz").write_bytes(content)
    result = poseboard(
        "evaluate", "densepose", surface / "maps.json", "--truth", surface / "truth.json", "--surface",
        tmp_path / "wrong.npz",
    )  # fmt: skip
    assert result.exit_code == Exit.BAD_FILE and "wrong.npz" in result.stderr and "Traceback" not in result.stderr


def test_official_arrays_are_converted_and_scored(poseboard, space, tmp_path) -> None:
    rng = np.random.default_rng(0)
    poses = rng.normal(0, 400, (6, 17, 3))
    np.savez(tmp_path / "truth.npz", keypoints_3d=poses, action=np.array(["eating", "walking"] * 3))
    np.save(tmp_path / "pred.npy", poses + np.array([3000.0, 0, 0]))
    for kind, source, out in (("truth", "truth.npz", "t.json"), ("predictions", "pred.npy", "p.json")):
        found = poseboard("convert", kind, "human36m", tmp_path / source, "-o", tmp_path / out)
        assert found.exit_code == 0, found.output
    report = poseboard.json("evaluate", "human36m", tmp_path / "p.json", "--truth", tmp_path / "t.json")
    scores = {(each["metric"], each["part"]): each["value"] for each in report["scores"]}
    assert scores["mpjpe", "mean_of_actions"] == pytest.approx(0, abs=1e-9)
    assert ("mpjpe", "eating") in scores and ("mpjpe", "posing") not in scores
