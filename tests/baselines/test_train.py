"""Training from the command line: deterministic, logged, chosen by validation, and resumable when it is killed."""

import csv
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import baselines.__main__ as command
from baselines import registry
from baselines.mannequins import generate
from baselines.models import stacked_hourglass
from baselines.protocol import BaselineFailed
from baselines.run import claims
from baselines.train import loop as training
from baselines.train.recipes import trainable, training_of
from baselines.train.task import Task, default_precision, new_task
from baselines.weights import checkpoints
from baselines.weights.checkpoints import Checkpoint

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("train")
    generate(folder, split="train", images=10, seed=5)
    return folder


@pytest.fixture
def tiny(monkeypatch):
    variant = {"stacks": 2, "channels": 8, "levels": 2, "input_size": (48, 64)}
    monkeypatch.setitem(registry.card("stacked_hourglass").variants, "tiny", variant)
    monkeypatch.setattr(claims, "CLAIM", {**claims.CLAIM, "images": 3})


SMALL = {
    "epochs": 2, "batch": 4, "validation": 0.3, "loss": "cross_entropy", "optimiser": "adamw", "learning_rate": 4e-3
}  # fmt: skip


def _task(data, out, *, variant="tiny", precision=None, **recipe) -> Task:
    return new_task(
        "stacked_hourglass", "mannequins", data / "annotations.json", data / "images", out, variant=variant,
        recipe={**SMALL, **recipe}, device="cpu", precision=precision,
    )  # fmt: skip


def test_a_training_from_the_command_line(data, tiny, tmp_path, capsys):
    given = ["train", "stacked_hourglass", "--variant", "tiny", "--data", str(data), "--epochs", "2", "--batch", "8"]
    given += ["--validation", "0.3", "--optimiser", "adamw", "--learning-rate", "4e-3", "--loss", "cross_entropy"]
    assert command.main([*given, "--device", "cpu", "--out", str(tmp_path)]) == 0
    found = Checkpoint.read(tmp_path / "stacked_hourglass-tiny.json")
    assert found.claim["metric"] == "ap" and 0 <= found.claim["value"] <= 1
    trained = found.training
    people = len(json.loads((data / "annotations.json").read_text())["annotations"])
    assert trained["people"] + trained["validation_people"] == people and trained["validation_people"] > 0
    assert found.input_size == (48, 64) and found.output == "logits" and trained["precision"] == "float32"
    network = stacked_hourglass.build(17, **found.network)
    checkpoints.fill(network, checkpoints.read_weights(tmp_path / found.file, found.sha256))
    with (tmp_path / "stacked_hourglass-tiny.csv").open() as log:
        rows = list(csv.DictReader(log))
    assert [row["epoch"] for row in rows] == ["1", "2"] and float(rows[1]["loss"]) < float(rows[0]["loss"])
    assert [float(row["validation"]) for row in rows] == [row["validation"] for row in trained["log"]]
    said = capsys.readouterr().out
    assert "epoch 2/2: loss" in said and "AP on Mannequins test, seed 7, 3 images" in said
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".csv", ".json", ".safetensors"]


def test_the_same_seed_trains_the_same_weights(data, tiny, tmp_path):
    shas = [training.train(_task(data, tmp_path / str(i), seed=seed)).sha256 for i, seed in enumerate((0, 0, 1))]
    assert shas[0] == shas[1] != shas[2]


def test_training_restores_the_processors_floating_point_mode(data, tiny, tmp_path, monkeypatch):
    smallest = np.array([5e-324])
    during = []
    end_epoch = training._Training.end_epoch
    monkeypatch.setattr(
        training._Training, "end_epoch", lambda self, bar: (during.append((smallest * 1.0)[0]), end_epoch(self, bar))
    )
    training.train(_task(data, tmp_path))
    assert during and (smallest * 1.0)[0] > 0
    if torch.set_flush_denormal(True):  # where the processor has the switch, it was on
        torch.set_flush_denormal(False)
        assert during[0] == 0.0


def test_the_weights_of_the_best_epoch_are_written(data, tiny, tmp_path, monkeypatch):
    """The second of three epochs is made the best: its weights are written."""
    scores, states = iter([0.2, 0.6, 0.4]), []

    def validate(self):
        states.append({name: value.clone() for name, value in self.network.state_dict().items()})
        return next(scores)

    monkeypatch.setattr(training._Training, "validate", validate)
    found = training.train(_task(data, tmp_path, epochs=3))
    assert [row["validation"] for row in found.training["log"]] == [0.2, 0.6, 0.4]
    weights = checkpoints.read_weights(tmp_path / found.file, found.sha256)
    assert all(torch.equal(value, states[1][name].half()) for name, value in weights.items())
    assert any(not torch.equal(value, states[2][name].half()) for name, value in weights.items())


def test_validation_counts_joints_near_their_place(data, tiny, tmp_path, monkeypatch):
    """A network whose heatmaps peak where the joints are finds all but those whose place is rounded too far."""
    started = training._Training(_task(data, tmp_path))
    truth = iter(
        list(training.annotated.batches(
            started.held_out, np.arange(len(started.held_out)), size=(48, 64), batch=32, mirrored=started.mirrored,
            augmentation=None, seed=0, epoch=0,
        ))
    )  # fmt: skip

    class Knows(torch.nn.Module):
        off = 0.0

        def forward(self, images):
            joints = next(truth).joints + self.off
            return torch.from_numpy(
                training.heatmaps.gaussian_targets(joints / 4 - 0.5, np.ones(joints.shape[:2]), (12, 16), 1.0)
            )[:, None]

    started.network = Knows()
    assert started.validate() > 0.97  # 0.05 of the diagonal of 80 pixels is 4: a cell's rounding stays below


def test_validation_of_everyone_accepts_joints_of_anyone(data, tmp_path):
    """If a network finds each joint at the last person in the crop who has it, everything counts as found; shifted by
    more than 0.05 of the diagonal, 10.2 pixels of 144 x 144, hardly anything."""
    task = new_task(
        "deepercut", "mannequins", data / "annotations.json", data / "images", tmp_path, device="cpu",
        recipe={"validation": 0.5},
    )  # fmt: skip
    started = training._Training(task)
    settings = {"size": task.size, "batch": 32, "mirrored": started.mirrored, "augmentation": None, "seed": 0}
    rows = np.arange(len(started.held_out))
    truth = list(training.annotated.batches(started.held_out, rows, epoch=0, everyone=True, **settings))
    assert max(batch.joints.shape[1] for batch in truth) > 1

    class Knows(torch.nn.Module):
        def __init__(self, off):
            super().__init__()
            self.off, self.batches = off, iter(truth)

        def forward(self, images):
            batch = next(self.batches)
            last = batch.weights.shape[1] - 1 - batch.weights[:, ::-1].argmax(axis=1)  # [B, K]
            joints = np.take_along_axis(batch.joints, last[:, None, :, None], axis=1)[:, 0] + self.off
            size = (task.size[0] // 2, task.size[1] // 2)
            return torch.from_numpy(
                training.heatmaps.gaussian_targets(joints / 2 - 0.5, np.ones(joints.shape[:2]), size, 1.0)
            )[:, None]

    started.network = Knows(0.0)
    assert started.validate() == 1.0
    started.network = Knows(12.0)
    assert started.validate() < 0.2


RUN = """
import json, sys
from pathlib import Path
from baselines import registry
from baselines.train import loop
from baselines.train.task import new_task
registry.card("stacked_hourglass").variants["tiny"] = {"stacks": 1, "channels": 8, "levels": 2, "input_size": (48, 64)}
data, out, pause, way = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "pause", json.loads(sys.argv[4])
task = new_task(
    "stacked_hourglass", "mannequins", data / "annotations.json", data / "images", out, variant="tiny", device="cpu",
    recipe={"epochs": 4, "batch": 4, "validation": 0.2, "learning_rate": 1e-3, **way["recipe"]},
    precision=way["precision"], save_seconds=0.0,
)
if pause:  # at the second step of the second epoch, when the first of it is saved, wait to be killed
    step = loop.Progress.step
    def stopping(self, done, **figures):
        step(self, done, **figures)
        if self.title.startswith("epoch 2") and done == 2:
            (out / "waiting").touch()
            import time
            time.sleep(600)
    loop.Progress.step = stopping
print(loop.train(task).sha256)
"""


WAYS = {  # the hourglass's published recipe, and that of the networks that ship
    "published": {"precision": "float32", "recipe": {"optimiser": "rmsprop"}},
    "narrow": {
        "precision": "bf16",
        "recipe": {"optimiser": "adamw", "schedule": "one_cycle", "loss": "cross_entropy", "clip": 1.0},
    },
}


def _process(data, out, how, way):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(data), str(out), how, json.dumps(WAYS[way])],
        env=environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_a_killed_training_resumes_to_the_same_weights(way, data, tmp_path):
    """Killed in the middle of an epoch, a process leaves a state, and the next ends as if nothing had happened."""
    whole = _process(data, tmp_path / "whole", "on", way)
    broken = _process(data, tmp_path / "broken", "pause", way)
    while not (tmp_path / "broken" / "waiting").exists():
        assert broken.poll() is None
        time.sleep(0.05)
    broken.send_signal(signal.SIGKILL)
    assert broken.wait() == -signal.SIGKILL
    state = torch.load(tmp_path / "broken" / "stacked_hourglass-tiny.state", weights_only=True)["state"]
    assert (state["epoch"], state["step"]) == (1, 1)  # counted from 0: the second epoch, one step done and saved
    said = _process(data, tmp_path / "broken", "on", way).communicate()[0].splitlines()
    assert said[0] == "resuming from epoch 2, step 1"
    assert not any(line.startswith("epoch 1/4") for line in said)
    expected = whole.communicate()[0].splitlines()
    assert whole.returncode == 0 and said[-1] == expected[-1] and len(said[-1]) == 64
    logs = [(tmp_path / name / "stacked_hourglass-tiny.csv").read_text() for name in ("whole", "broken")]
    losses = [[row["loss"] for row in csv.DictReader(log.splitlines())] for log in logs]
    assert losses[0] == losses[1] and len(losses[0]) == 4


def test_a_foreign_or_damaged_state_is_rejected(data, tiny, tmp_path):
    training._Training(_task(data, tmp_path)).save()
    with pytest.raises(BaselineFailed, match=r"delete it to start again, or give another --out") as failure:
        training._Training(_task(data, tmp_path, learning_rate=1e-3))
    assert failure.value.code == "other_training"
    training._Training(_task(data, tmp_path))  # the training's own state
    state = tmp_path / "stacked_hourglass-tiny.state"
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(BaselineFailed, match="cannot be read") as failure:
        training._Training(_task(data, tmp_path))
    assert failure.value.code == "state"


def test_two_processes_cannot_run_the_same_training(data, tiny, tmp_path):
    with (tmp_path / "stacked_hourglass-tiny.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(BaselineFailed, match="another process") as failure:
            training.train(_task(data, tmp_path))
    assert failure.value.code == "busy"


def test_a_loss_that_is_not_finite_ends_the_training(data, tiny, tmp_path, monkeypatch):
    started = training._Training(_task(data, tmp_path))
    monkeypatch.setattr(
        type(started.objective),
        "__call__",
        lambda _, network, *__: network(torch.zeros(1, 3, 64, 48)).sum() * float("nan"),
    )
    with pytest.raises(BaselineFailed, match="lower --learning-rate") as failure:
        started.run()
    assert failure.value.code == "diverged"


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_learns_with_full_precision_weights(precision, data, tiny, tmp_path):
    found = training.train(_task(data, tmp_path, precision=precision, epochs=4))
    log = found.training["log"]
    assert found.training["precision"] == precision and log[-1]["loss"] < log[0]["loss"]
    begun = training._Training(_task(data, tmp_path / "other", precision=precision))
    assert begun.scaler.is_enabled() == (precision == "fp16")
    with training._autocast(begun.task):
        assert (
            begun.network(torch.zeros(1, 3, 64, 48)).dtype == {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]
        )
    assert all(p.dtype == torch.float32 for p in begun.network.parameters())


def test_half_precision_is_for_gpus(monkeypatch):
    assert default_precision("cpu") == "float32"
    for has, expected in ((True, "bf16"), (False, "fp16")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda has=has: has)
        assert default_precision("cuda:0") == expected


def test_the_rate_of_a_training():
    """Divided by 10 after each drop; the one cycle begins at 1/25, peaks at 15%, and is at a half half way down."""
    published = training_of("hrnet").published
    assert published.learning_rate == 1e-3 and published.drops == (170, 200) and published.loss == "mse"
    rates = [published.rate(0.0, epoch) for epoch in (0, 169, 170, 199, 200)]
    assert rates == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4, 1e-5])
    cycle = replace(published, schedule="one_cycle", learning_rate=1.0)
    assert [cycle.rate(done, 0) for done in (0, 0.075, 0.15, 0.575, 1)] == pytest.approx([0.04, 0.52, 1, 0.5, 0])


def test_every_architecture_has_the_recipe_of_its_publication():
    rows = {name: training_of(name).published for name in trainable()}
    optimisers = {name: (r.optimiser, r.learning_rate) for name, r in rows.items() if name != "jain2014"}
    assert optimisers == {
        "cpm": ("sgd", 1.27), "deepercut": ("sgd", 5e-3), "stacked_hourglass": ("rmsprop", 2.5e-4),
        "multi_context_attention": ("rmsprop", 2.5e-4), "pyranet": ("rmsprop", 7e-4), "rmpe": ("adam", 1e-3),
        "simple_baseline": ("adam", 1e-3), "hrnet": ("adam", 1e-3),
    }  # fmt: skip
    assert all(recipe.loss == "mse" for recipe in rows.values())
    assert (rows["hrnet"].rotation, rows["hrnet"].scale, rows["hrnet"].half_body) == (45, 0.35, 0.3)
    assert (rows["stacked_hourglass"].rotation, rows["stacked_hourglass"].scale) == (30, 0.25)


def test_list_prints_the_costs_as_json(capsys):
    assert command.main(["list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert all({"name", "variant", "parameters", "gmacs", "input_size", "source"} <= set(r) for r in rows)
    full = next(r for r in rows if (r["name"], r["variant"]) == ("stacked_hourglass", "full"))
    assert full["parameters"] == 25_434_112 and full["gmacs"] == pytest.approx(27.44, abs=0.01)
    assert {r["variant"] for r in rows if r["name"] == "blazepose"} == {"lite", "full", "heavy"}
    assert command.main(["list"]) == 0
    assert "25,434,112" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["train", "blazepose"], "not trained here"),
        (["train", "hourglas"], "no baseline 'hourglas'"),
        (["train", "stacked_hourglass", "--variant", "broad"], "no variant 'broad'"),
        (["train", "stacked_hourglass", "--dataset", "lsp"], "--annotations and --folder"),
        (["train", "stacked_hourglass", "--dataset", "lsp", "--folder", "x"], "belong together"),
        (["train", "stacked_hourglass", "--data", "nowhere"], "no such annotation file"),
        (["train", "stacked_hourglass", "--loss", "l1"], "no loss 'l1'"),
        (["train", "stacked_hourglass", "--optimiser", "lion"], "no optimiser 'lion'"),
        (["train", "stacked_hourglass", "--precision", "int8"], "no precision 'int8'"),
        (["train", "stacked_hourglass", "--validation", "1"], "cannot be held out"),
    ],
)
def test_wrong_commands_end_with_a_message(given, words, capsys):
    assert command.main(given) == 2
    assert words in capsys.readouterr().err


def test_predict_writes_a_file(data, tmp_path):
    from evaluator import public_images, validate

    truth = json.loads((data / "annotations.json").read_text())
    (tmp_path / "list.json").write_text(json.dumps(public_images(truth, boxes=True)))
    given = ["predict", "stacked_hourglass", "--dataset", "mannequins", "--images", str(tmp_path / "list.json")]
    assert command.main([*given, "--folder", str(data / "images"), "-o", str(tmp_path / "out.json")]) == 0
    assert validate("mannequins", tmp_path / "out.json").entries == len(truth["annotations"])
