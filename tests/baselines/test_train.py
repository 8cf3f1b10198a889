"""Training from the command line: deterministic, logged, with a description that loads again."""

import csv
import json

import numpy as np
import pytest

import baselines.__main__ as command
from baselines import checkpoints, stacked_hourglass
from baselines.checkpoints import Checkpoint
from baselines.mannequins import generate
from baselines.train import Plan, _batches, read_people


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("train")
    generate(folder, split="train", images=10, seed=5)
    return folder


@pytest.fixture
def tiny(monkeypatch):
    variant = {"stacks": 2, "channels": 8, "levels": 2, "input_size": (48, 64)}
    monkeypatch.setitem(stacked_hourglass.VARIANTS, "tiny", variant)
    monkeypatch.setattr(command, "CLAIM", {**command.CLAIM, "images": 3})


def _train(data, out, seed=0) -> Checkpoint:
    given = [
        "train",
        "stacked_hourglass",
        "--variant",
        "tiny",
        "--data",
        str(data),
        "--epochs",
        "2",
        "--seed",
        str(seed),
    ]
    assert command.main([*given, "--device", "cpu", "--out", str(out)]) == 0
    return Checkpoint.read(out / "stacked_hourglass-tiny.json")


def test_the_same_seed_trains_the_same_weights(data, tiny, tmp_path, capsys):
    first, second, other = (_train(data, tmp_path / str(i), seed) for i, seed in enumerate((0, 0, 1)))
    assert first.sha256 == second.sha256 != other.sha256
    assert first.claim["metric"] == "ap" and 0 <= first.claim["value"] <= 1
    assert first.training["people"] > 10 and first.input_size == (48, 64)
    network = stacked_hourglass.build(17, **first.network)
    checkpoints.fill(network, checkpoints.read_weights(tmp_path / "0" / first.file, first.sha256))
    with (tmp_path / "0" / "stacked_hourglass-tiny.csv").open() as log:
        rows = list(csv.DictReader(log))
    assert [row["epoch"] for row in rows] == ["1", "2"] and float(rows[1]["loss"]) < float(rows[0]["loss"])
    assert "AP on Mannequins test, seed 7, 3 images" in capsys.readouterr().out


def test_augmented_joints_are_where_the_augmented_image_shows_them(data):
    """A joint's Gaussian peaks where the crop puts the joint; the sides of mirrored people change places."""
    people = read_people(data, 17)
    mirror = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]
    plan = Plan(rotation=0, scale=0, batch=64)
    size = (96, 128)
    images, targets, weights = next(_batches(people, size, plan, mirror, np.random.default_rng(0)))
    assert images.shape[1:] == (3, 128, 96) and targets.shape[1:] == (17, 32, 24) and weights.shape[1:] == (17,)
    peaks = targets.flatten(2).argmax(dim=2).numpy()
    u, there = peaks % 24, weights.numpy() > 0
    # people who face the camera: the left shoulder is on the right of the image, mirrored or not
    facing = np.array([p[5, 0] - p[6, 0] for p in people.joints])
    both = there[:, 5] & there[:, 6]
    rightwards = (u[:, 5] > u[:, 6])[both].mean()
    assert 0.4 < (facing > 0).mean() <= 1.0 and rightwards > 0.4
    assert (targets.flatten(2).sum(dim=2).numpy()[~there] == 0).all()


def test_list_prints_the_costs_as_json(capsys):
    assert command.main(["list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert all(set(r) == {"name", "variant", "parameters", "gmacs", "input_size", "source"} for r in rows)
    full = next(r for r in rows if (r["name"], r["variant"]) == ("stacked_hourglass", "full"))
    assert full["parameters"] == 25_434_112 and full["gmacs"] == pytest.approx(27.44, abs=0.01)
    assert {r["variant"] for r in rows if r["name"] == "blazepose"} == {"lite", "full", "heavy"}
    assert command.main(["list"]) == 0
    assert "25,434,112" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["train", "blazepose"], "not trained here"),
        (["train", "cpm"], "cannot be trained by this command yet"),
        (["train", "jain2014"], "cannot be trained by this command yet"),
        (["train", "hourglas"], "no baseline 'hourglas'"),
        (["train", "stacked_hourglass", "--dataset", "lsp"], "--data"),
        (["train", "stacked_hourglass", "--loss", "l1"], "no loss 'l1'"),
    ],
)
def test_wrong_commands_end_with_a_sentence(given, words, capsys):
    assert command.main(given) == 2
    assert words in capsys.readouterr().err


def test_predict_writes_a_file(data, tmp_path):
    from evaluator import public_images, validate

    truth = json.loads((data / "annotations.json").read_text())
    (tmp_path / "list.json").write_text(json.dumps(public_images(truth, boxes=True)))
    given = ["predict", "stacked_hourglass", "--dataset", "mannequins", "--images", str(tmp_path / "list.json")]
    assert command.main([*given, "--folder", str(data / "images"), "-o", str(tmp_path / "out.json")]) == 0
    assert validate("mannequins", tmp_path / "out.json").entries == len(truth["annotations"])
