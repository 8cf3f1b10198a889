"""A run that is broken off: what was predicted is kept, and the next worker goes on from there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from baselines.estimators import Poses
from baselines.kept import Answer, Kept
from baselines.mannequins import generate
from baselines.predict import predict
from evaluator import public_images

WHAT = {"checkpoint": "a" * 64, "size": (96, 128)}
ENTRY = {"image_id": 5, "person_id": 0, "keypoints": [1.5, 2.0, 0.5], "score": 0.25}


def test_a_successor_gets_what_every_worker_before_it_kept(tmp_path: Path) -> None:
    first, second, third = (Kept(tmp_path, fence) for fence in (1, 2, 5))
    assert first.begin(WHAT).answers == {} and not first.got_further()
    first.add(Answer(5, [ENTRY], "", 1.5))
    first.add(Answer(6, [], "6.jpg: broken", 2.0))
    assert second.got_further()
    assert set(second.begin(WHAT).answers) == {5, 6}
    second.add(Answer(7, [], "", 0.75))
    # the first one was not dead: what it still writes goes to a file of its own
    first.add(Answer(8, [ENTRY], "", 2.5))
    earlier = third.begin(WHAT)
    assert earlier.answers == {
        5: Answer(5, [ENTRY], "", 1.5), 6: Answer(6, [], "6.jpg: broken", 2.0), 7: Answer(7, [], "", 0.75),
        8: Answer(8, [ENTRY], "", 2.5),
    }  # fmt: skip
    assert earlier.seconds == 2.5 + 0.75
    for kept in (first, second, third):
        kept.close()


def test_a_torn_line_is_predicted_again_and_another_checkpoint_starts_anew(tmp_path: Path) -> None:
    first = Kept(tmp_path, 1)
    first.begin(WHAT)
    first.add(Answer(5, [ENTRY], "", 1.0))
    first.add(Answer(6, [ENTRY], "", 2.0))
    first.close()
    file = tmp_path / "1.jsonl"
    file.write_bytes(file.read_bytes()[:-9])
    assert set(Kept(tmp_path, 2).begin(WHAT).answers) == {5}
    assert Kept(tmp_path, 3).begin({**WHAT, "checkpoint": "b" * 64}).answers == {}
    file.write_bytes(file.read_bytes()[:20])  # killed before the first line was whole
    assert Kept(tmp_path, 4).begin(WHAT).answers == {}
    assert not Kept(tmp_path, 4).got_further()


class Counting:
    """An estimator whose joints are the brightness of the crop, so that every person's are its own."""

    name, variant, device, precision, checkpoint_sha256 = "counting", "only", "cpu", "float32", "0" * 64
    input_size, padding, batch, parameters, gmacs = (24, 32), 1.25, 3, 0, 0.0
    joint_threshold = 0.2

    def __init__(self) -> None:
        self.people = 0

    def forward(self, crops: np.ndarray) -> np.ndarray:
        self.people += len(crops)
        return crops.mean(axis=(1, 2, 3))

    def decode(self, brightness: np.ndarray) -> Poses:
        joints = np.tile(brightness[:, None, None], (1, 17, 2))
        return Poses(joints, np.full((len(joints), 17), 0.5), np.full(len(joints), 0.5))


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    folder = tmp_path_factory.mktemp("kept")
    truth = generate(folder, split="val", images=20, seed=5)
    return folder, public_images(truth, boxes=True)


def test_a_run_that_is_broken_off_gives_the_same_file_as_one_that_is_not(
    split: tuple[Path, dict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, listed = split
    estimator = Counting()
    monkeypatch.setattr("baselines.predict.load", lambda *_, **__: estimator)
    whole, _ = predict("counting", listed, folder / "images", "mannequins")
    people = estimator.people
    estimator.people = 0

    def stop(done: int, _: int) -> None:
        if done == 8:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        predict("counting", listed, folder / "images", "mannequins", kept=Kept(tmp_path, 1), progress=stop)
    before = estimator.people
    assert 0 < before < people
    estimator.people = 0
    results, run = predict("counting", listed, folder / "images", "mannequins", kept=Kept(tmp_path, 2))
    assert results == whole
    assert run.taken_over == 8 and run.images == 20 and run.people == people
    assert estimator.people == people - sum(len(image["people"]) for image in listed["images"][:8])


def test_a_killed_process_s_successor_goes_on_from_where_it_was(split: tuple[Path, dict], tmp_path: Path) -> None:
    folder, listed = split
    (tmp_path / "list.json").write_text(json.dumps(listed))
    command = [
        sys.executable, "-m", "baselines", "predict", "stacked_hourglass", "--dataset", "mannequins",
        "--images", str(tmp_path / "list.json"), "--folder", str(folder / "images"),
        "--keep", str(tmp_path / "kept"), "-o", str(tmp_path / "predictions.json"),
    ]  # fmt: skip
    first = tmp_path / "kept" / "1.jsonl"
    with subprocess.Popen(command, stderr=subprocess.PIPE) as victim:
        while victim.poll() is None and (not first.exists() or first.read_bytes().count(b"\n") < 2):
            time.sleep(0.01)
        os.kill(victim.pid, signal.SIGKILL)
    kept = first.read_bytes().count(b"\n") - 1
    assert kept >= 1
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stderr.strip().splitlines()[-1])["taken_over"] == kept
    found = json.loads((tmp_path / "predictions.json").read_text())
    expected = [(i["id"], p["person_id"]) for i in listed["images"] for p in i["people"]]
    assert [(entry["image_id"], entry["person_id"]) for entry in found] == expected
