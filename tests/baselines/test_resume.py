"""An interrupted run: its predictions are stored, and the next worker resumes from there."""

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

from baselines.mannequins import generate
from baselines.protocol import Poses
from baselines.run.predict import predict
from baselines.run.resume import ImagePredictions, SavedRun
from evaluator import public_images

WHAT = {"checkpoint": "a" * 64, "size": (96, 128)}
ENTRY = {"image_id": 5, "person_id": 0, "keypoints": [1.5, 2.0, 0.5], "score": 0.25}


def test_a_worker_reads_the_predictions_of_all_earlier_workers(tmp_path: Path) -> None:
    first, second, third = (SavedRun(tmp_path, fence) for fence in (1, 2, 5))
    assert first.begin(WHAT).images == {} and not first.got_further()
    first.add(ImagePredictions(5, [ENTRY], "", 1.5))
    first.add(ImagePredictions(6, [], "6.jpg: broken", 2.0))
    assert second.got_further()
    assert set(second.begin(WHAT).images) == {5, 6}
    second.add(ImagePredictions(7, [], "", 0.75))
    # the first one was still alive: it continues to write to its own file
    first.add(ImagePredictions(8, [ENTRY], "", 2.5))
    earlier = third.begin(WHAT)
    assert earlier.images == {
        5: ImagePredictions(5, [ENTRY], "", 1.5),
        6: ImagePredictions(6, [], "6.jpg: broken", 2.0),
        7: ImagePredictions(7, [], "", 0.75),
        8: ImagePredictions(8, [ENTRY], "", 2.5),
    }
    assert earlier.seconds == 2.5 + 0.75
    for stored in (first, second, third):
        stored.close()


def test_a_truncated_line_is_predicted_again_and_another_checkpoint_starts_over(tmp_path: Path) -> None:
    first = SavedRun(tmp_path, 1)
    first.begin(WHAT)
    first.add(ImagePredictions(5, [ENTRY], "", 1.0))
    first.add(ImagePredictions(6, [ENTRY], "", 2.0))
    file = tmp_path / "1.jsonl"
    file.write_bytes(file.read_bytes()[:-9])
    assert set(SavedRun(tmp_path, 2).begin(WHAT).images) == {5}
    assert SavedRun(tmp_path, 3).begin({**WHAT, "checkpoint": "b" * 64}).images == {}
    file.write_bytes(file.read_bytes()[:20])  # killed before the first line was whole
    assert SavedRun(tmp_path, 4).begin(WHAT).images == {}
    assert not SavedRun(tmp_path, 4).got_further()
    first.close()


def test_the_worker_after_a_lost_one_halves_its_batch(tmp_path: Path) -> None:
    def worker(fence: int, batch: int | None, *, ends: bool = False) -> int | None:
        stored = SavedRun(tmp_path, fence)
        lost_with = stored.begin(WHAT).lost_with_batch
        if batch is not None:
            stored.note_batch(batch)
        if ends:
            stored.close()
        return lost_with

    assert worker(1, 16) is None
    assert SavedRun(tmp_path, 2).can_halve() and not SavedRun(tmp_path, 2).got_further()
    assert worker(2, 8) == 16
    assert SavedRun(tmp_path, 3).can_halve()
    assert worker(3, 4, ends=True) == 8  # it failed, but nobody killed it
    assert not SavedRun(tmp_path, 4).can_halve()
    assert worker(4, None) == 8  # killed before it knew its batch
    assert not SavedRun(tmp_path, 5).can_halve()
    assert not SavedRun(tmp_path, 6).can_halve()  # the fifth was killed before it wrote anything
    assert worker(6, 1) == 8
    assert not SavedRun(tmp_path, 7).can_halve()  # 1 is the smallest batch
    assert worker(7, 1) == 1


def test_only_the_immediate_predecessor_counts_as_progress(tmp_path: Path) -> None:
    first = SavedRun(tmp_path, 1)
    first.begin(WHAT)
    first.add(ImagePredictions(5, [ENTRY], "", 1.5))
    assert SavedRun(tmp_path, 2).got_further()
    assert not SavedRun(tmp_path, 3).got_further()  # the second never began: otherwise this would repeat for ever


KILLED_FOR_MEMORY = """
import json, os, signal, sys
from pathlib import Path
import numpy as np
import baselines.run.predict
from baselines.protocol import Poses
from baselines.run.predict import predict
from baselines.run.resume import SavedRun

class Large:
    name, variant, device, precision, checkpoint_sha256 = "large", "only", "cpu", "float32", "0" * 64
    input_size, padding, batch, parameters, gmacs, joint_threshold = (24, 32), 1.25, 16, 0, 0.0, 0.2

    def forward(self, crops):
        if len(crops) > 3:
            os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does when memory is short
        return len(crops)

    def decode(self, people):
        return Poses(np.full((people, 17, 2), 8.0), np.full((people, 17), 0.5), np.full(people, 0.5))

baselines.run.predict.load = lambda *_, **__: Large()
folder, listed, stored = map(Path, sys.argv[1:])
_, run = predict("large", json.loads(listed.read_text()), folder, "mannequins", saved=SavedRun.after_all(stored))
print(json.dumps(run.to_dict()))
"""


def test_a_process_killed_for_memory_is_followed_by_smaller_batches(split: tuple[Path, dict], tmp_path: Path) -> None:
    folder, listed = split
    (tmp_path / "list.json").write_text(json.dumps(listed))
    command = [sys.executable, "-c", KILLED_FOR_MEMORY, folder / "images", tmp_path / "list.json", tmp_path / "stored"]
    ends = [subprocess.run(command, capture_output=True, text=True, check=False, timeout=120) for _ in range(4)]
    # 16, 8, 4 are killed; 2 fits
    assert [end.returncode for end in ends] == [-signal.SIGKILL] * 3 + [0], ends[-1].stderr
    record = json.loads(ends[-1].stdout)
    assert (record["batch"], record["lost_with_batch"]) == (2, 4)
    assert record["people"] == sum(len(image["people"]) for image in listed["images"])


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
    folder = tmp_path_factory.mktemp("stored")
    truth = generate(folder, split="val", images=20, seed=5)
    return folder, public_images(truth, boxes=True)


def test_an_interrupted_run_gives_the_same_file_as_an_uninterrupted_one(
    split: tuple[Path, dict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, listed = split
    estimator = Counting()
    monkeypatch.setattr("baselines.run.predict.load", lambda *_, **__: estimator)
    whole, _ = predict("counting", listed, folder / "images", "mannequins")
    people = estimator.people
    estimator.people = 0

    def stop(done: int, _: int) -> None:
        if done == 8:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        predict("counting", listed, folder / "images", "mannequins", saved=SavedRun(tmp_path, 1), progress=stop)
    before = estimator.people
    assert 0 < before < people
    estimator.people = 0
    results, run = predict("counting", listed, folder / "images", "mannequins", saved=SavedRun(tmp_path, 2))
    assert results == whole
    assert run.taken_over == 8 and run.images == 20 and run.people == people
    assert estimator.people == people - sum(len(image["people"]) for image in listed["images"][:8])


def test_a_run_resumes_after_its_process_was_killed(split: tuple[Path, dict], tmp_path: Path) -> None:
    folder, listed = split
    (tmp_path / "list.json").write_text(json.dumps(listed))
    command = [
        sys.executable, "-m", "baselines", "predict", "stacked_hourglass", "--dataset", "mannequins",
        "--images", str(tmp_path / "list.json"), "--folder", str(folder / "images"),
        "--keep", str(tmp_path / "stored"), "-o", str(tmp_path / "predictions.json"),
    ]  # fmt: skip
    first = tmp_path / "stored" / "1.jsonl"
    with subprocess.Popen(command, stderr=subprocess.PIPE) as victim:
        while victim.poll() is None and (not first.exists() or first.read_bytes().count(b"image_id") < 1):
            time.sleep(0.01)
        os.kill(victim.pid, signal.SIGKILL)
    stored = sum(b"left_out" in line for line in first.read_bytes().splitlines(keepends=True) if line.endswith(b"\n"))
    assert stored >= 1
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stderr.strip().splitlines()[-1])["taken_over"] == stored
    found = json.loads((tmp_path / "predictions.json").read_text())
    expected = [(i["id"], p["person_id"]) for i in listed["images"] for p in i["people"]]
    assert [(entry["image_id"], entry["person_id"]) for entry in found] == expected
