"""One file adds a metric, one a dataset, one a baseline: done in a copy of the tree, where nothing else is edited."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
ADDITIONS = Path(__file__).parent / "additions"
HOMES = {"nme.py": "evaluator/metrics", "torsos.toml": "evaluator/datasets", "box_centre.py": "baselines/models"}
# each joint is 25 pixels from the centre, (60, 60); the torso, from left shoulder to right hip, is 50 pixels long
TORSO = {"right_hip": (45, 80), "left_hip": (75, 80), "right_shoulder": (45, 40), "left_shoulder": (75, 40)}
IMAGES, SHIFT = 4, 75  # pixels: 1.5 torsos


def keypoints(shift: int, third: int) -> list[int]:
    return [value for x, y in TORSO.values() for value in (x + shift, y, third)]


def write_files(folder: Path) -> None:
    (folder / "images").mkdir()
    for number in range(1, IMAGES + 1):
        Image.new("RGB", (120, 120), (40 * number, 80, 80)).save(folder / "images" / f"{number}.jpg")
    truth = {
        "info": {"dataset": "torsos", "split": "test"},
        "images": [{"id": n, "file_name": f"{n}.jpg", "width": 120, "height": 120} for n in range(1, IMAGES + 1)],
        "annotations": [
            {
                "id": n,
                "image_id": n,
                "person_id": 0,
                "keypoints": keypoints(0, 2),
                "iscrowd": 0,
                "bbox": [30, 30, 60, 60],
            }
            for n in range(1, IMAGES + 1)
        ],
    }
    (folder / "truth.json").write_text(json.dumps(truth))
    entries = [{"image_id": n, "keypoints": keypoints(SHIFT, 1), "score": 1} for n in range(1, IMAGES + 1)]
    (folder / "predictions.json").write_text(json.dumps(entries))


def copy_tree(target: Path) -> None:
    """The files that are or would be committed, and the compiled extension where there is one."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    names = [*listing.split("\0"), *(str(path.relative_to(ROOT)) for path in (ROOT / "evaluator").rglob("*.so"))]
    for name in names:
        if name and (ROOT / name).is_file() and not name.startswith(("tests/", "docs/")):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    (target / "tests").mkdir()
    for name in ("__init__.py", "settings.py"):
        shutil.copy2(ROOT / "tests" / name, target / "tests" / name)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the site of the copy shows."""
    copy, folder = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("files")
    copy_tree(copy)
    for name, home in HOMES.items():
        assert not (copy / home / name).exists()
        shutil.copy2(ADDITIONS / name, copy / home / name)
    write_files(folder)
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("DATABASE", "POSEBOARD", "DJANGO"))
    }
    environment |= {
        "PYTHONPATH": str(copy),
        "PYTHONDONTWRITEBYTECODE": "1",
        "POSEBOARD_TEST_FOLDER": str(folder / "data"),
        "DJANGO_SETTINGS_MODULE": "tests.settings",
    }
    (folder / "data").mkdir()
    done = subprocess.run(
        [sys.executable, str(ADDITIONS / "scenario.py"), str(folder)],
        cwd=copy, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    results: dict[str, Any] = json.loads((folder / "results.json").read_text())
    assert results["package"] == str(copy)
    return results


def text(page: list[Any]) -> str:
    """The words of a page that was found."""
    status, content = page
    assert status == 200, content[:2000]
    return " ".join(re.sub(r"<[^>]+>", " ", content).split())


@pytest.mark.parametrize("name", HOMES)
def test_an_addition_is_small(name: str) -> None:
    assert len((ADDITIONS / name).read_text().splitlines()) < 40


def test_it_scores_offline(shown: dict[str, Any]) -> None:
    assert shown["offline"] == {
        "nme hip": 1.5, "nme shoulder": 1.5, "nme all": 1.5,
        "pck@0.2 hip": 0.0, "pck@0.2 shoulder": 0.0, "pck@0.2 all": 0.0,
    }  # fmt: skip


def test_what_is_submitted_and_what_the_baseline_predicts_are_scored(shown: dict[str, Any]) -> None:
    assert shown["states"] == ["scored", "scored"]


def test_the_board_ranks_by_the_added_metric_and_shows_plain_numbers(shown: dict[str, Any]) -> None:
    page = text(shown["board"])
    assert "Torsos, test" in page
    assert "2 Shifted Team submission 1.500" in page
    assert "150.0" not in page and "%" not in page.replace("95% interval", "").replace("95% interval", "")


def test_the_pages_of_the_metric_and_of_the_dataset(shown: dict[str, Any]) -> None:
    page = text(shown["metric"])
    assert "NME Normalised mean error. Lower is better." in page
    assert "numbers without a unit" in page and "A metric that is added by one file" in page
    assert "Torsos ranks its boards hip, shoulder, all" in page
    assert "Normalised mean error" in text(shown["metrics"])
    page = text(shown["dataset"])
    assert "NME by the torso, from the left shoulder to the right hip, 4 joints" in page and "right_hip" in page


def test_the_exports_and_the_api(shown: dict[str, Any]) -> None:
    (row,) = (row for row in csv.DictReader(io.StringIO(shown["csv"][1])) if row["method"] == "Shifted")
    assert (row["nme/all"], row["nme/hip"], row["nme/shoulder"]) == ("1.5", "1.5", "1.5")
    status, content = shown["api"]
    assert status == 200
    board = json.loads(content)
    assert (board["metric"], board["unit"], board["higher_is_better"]) == ("nme", "number", False)
    (entry,) = (entry for entry in board["entries"] if entry["name"] == "Shifted")
    assert entry["value"] == 1.5


def test_the_added_baseline_runs_and_is_shown(shown: dict[str, Any]) -> None:
    assert shown["run"].endswith("submitted")
    assert shown["runs"] == [["done", ""]]
    board = json.loads(shown["api"][1])
    (entry,) = (entry for entry in board["entries"] if entry["kind"] == "baseline")
    assert (entry["rank"], entry["value"]) == (1, pytest.approx(0.5, abs=0.01))
    assert "1 Centre Author 2026 baseline, run on this site 0.500" in text(shown["board"])
    assert "Centre Author, Tests 2026" in text(shown["baselines"])
    page = text(shown["baseline"])
    assert "Author: One file" in page and "Tests 2026" in page
    assert "Predicts the middle of the person" in page and "Torsos, test" in page
