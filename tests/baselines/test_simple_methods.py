"""The simple methods of the demonstration: they need no torch, learn something, and write valid predictions."""

import subprocess
import sys

import numpy as np
import pytest

from baselines.mannequins import generate
from baselines.run import simple_methods
from baselines.run.simple_methods import DESCRIPTIONS, demo_predictions
from evaluator import evaluate, public_images, validate


@pytest.fixture(scope="module")
def predictions(tmp_path_factory) -> tuple[dict, dict]:
    train, test = tmp_path_factory.mktemp("train"), tmp_path_factory.mktemp("test")
    generate(train, split="train", images=150, seed=1)
    truth = generate(test, split="test", images=40, seed=2)
    return truth, demo_predictions(train, public_images(truth, boxes=True), test / "images")


def test_every_method_gives_a_valid_entry_for_every_person(predictions):
    truth, found = predictions
    assert list(found) == list(DESCRIPTIONS)
    for results in found.values():
        assert validate("mannequins", results).entries == len(truth["annotations"])
        assert all(0 < r["score"] <= 1 for r in results)


def test_regressions_are_better_than_the_mean_pose_and_the_cascade_is_best(predictions):
    truth, found = predictions
    gold = {(p["image_id"], p["person_id"]): np.array(p["keypoints"]).reshape(17, 3) for p in truth["annotations"]}
    size = {(p["image_id"], p["person_id"]): p["bbox"][3] for p in truth["annotations"]}

    def error(results) -> float:
        """Mean distance of annotated joints, as a share of the height of the box."""
        shares = []
        for r in results:
            key = (r["image_id"], r["person_id"])
            there = gold[key][:, 2] > 0
            distance = np.linalg.norm(np.array(r["keypoints"]).reshape(17, 3)[:, :2] - gold[key][:, :2], axis=1)
            shares.append((distance[there] / size[key]).mean())
        return float(np.mean(shares))

    errors = {name: error(results) for name, results in found.items()}
    assert errors["Cascaded regression"] < errors["Gradient ridge"] < errors["Mean pose"] < 0.2
    assert errors["Nearest neighbours"] < 0.2  # on so few people no better than the mean
    assert len({evaluate("mannequins", results, truth).scores[0].value for results in found.values()}) > 1


def test_nearest_neighbours_of_a_training_crop_is_its_own_pose(monkeypatch):
    monkeypatch.setattr(simple_methods, "NEIGHBOURS", 1)
    draw = np.random.default_rng(0)
    crops, poses = draw.random((6, 128, 96), np.float32), draw.random((6, 2, 2))
    weights = np.ones((6, 2))
    weights[3, 1] = 0
    found, score = simple_methods.nearest_neighbours(crops, poses, weights, crops * 0.5 + 0.2)
    assert found[:3] == pytest.approx(poses[:3])
    assert found[3, 0] == pytest.approx(poses[3, 0])
    assert found[3, 1] == pytest.approx(np.delete(poses[:, 1], 3, axis=0).mean(axis=0))  # the mean pose
    assert score == pytest.approx(1.0, abs=1e-5)


def test_the_gradients_of_mirrored_crops_are_the_mirrored_gradients():
    crops = np.random.default_rng(1).random((2, 128, 96), np.float32)
    there = simple_methods.gradients(np.ascontiguousarray(crops[:, :, ::-1]))
    assert there == pytest.approx(simple_methods.mirrored_gradients(simple_methods.gradients(crops)), abs=1e-4)


def test_a_vertical_edge_has_a_horizontal_gradient():
    crops = np.zeros((1, 128, 96), np.float32)
    crops[:, :, 48:] = 1.0
    cells = simple_methods.gradients(crops)
    assert cells.shape == (1, 32, 24, 7)
    assert cells[0, 16, 11, 0] > 0.5 and cells[0, 16, 11, 1:6].max() == 0.0 and cells[0, 16, 3, :6].max() == 0.0


def test_neither_torch_nor_the_evaluator_is_needed():
    script = "import sys; sys.modules['torch'] = None; import baselines.run.simple_methods, baselines.mannequins"
    subprocess.run([sys.executable, "-c", script], check=True)
