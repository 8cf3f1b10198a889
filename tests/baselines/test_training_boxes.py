"""RMPE's training crops imitate a detector's: proposals are fitted to its boxes."""

import json
from dataclasses import replace

import numpy as np
import pytest

from baselines import registry
from baselines.decode.heatmaps import flip_order
from baselines.mannequins import generate
from baselines.protocol import BaselineFailed
from baselines.train import loop as training
from baselines.train import proposals
from baselines.train.data import Augmentation, TrainingPeople, batches, read_people
from baselines.train.recipes import trainable, training_of
from baselines.train.task import new_task
from baselines.weights.checkpoints import Checkpoint
from evaluator import load_dataset

MANNEQUINS = load_dataset("mannequins")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("boxes")
    generate(folder, split="train", images=24, seed=5)
    return folder


@pytest.fixture(scope="module")
def people(data) -> TrainingPeople:
    return read_people(MANNEQUINS, data / "annotations.json", data / "images", padding=1.3)


def _detections(data, path, share=1.0):
    """A detector whose boxes lose a tenth on the right and gain a fifth of the height below, for some of the people."""
    truth = json.loads((data / "annotations.json").read_text())
    rows = truth["annotations"][: round(share * len(truth["annotations"]))]
    found = []
    for person in rows:
        x, y, w, h = person["bbox"]
        found.append({"image_id": person["image_id"], "bbox": [x, y, 0.9 * w, 1.2 * h], "score": 0.9})
    path.write_text(json.dumps(found))
    return path


def _learn(people, dataset, file, atomic=2):
    return proposals.learn(people, dataset, file, "cpu", atomic=atomic, seed=0)


def test_offsets_are_fitted_to_a_file_of_boxes(data, people, tmp_path):
    model = _learn(people, MANNEQUINS, _detections(data, tmp_path / "boxes.json"))
    assert model.atomic.shape == (2, 17, 2)
    for weights, means in zip(model.weights, model.means, strict=True):
        # left and top as they are, the right side 0.1 further left, the lower one 0.2 further down
        assert weights @ means == pytest.approx([0, 0, -0.1, 0.2], abs=1e-6)


def test_the_included_detector_is_used_where_no_file_is_given(people):
    model = _learn(people, MANNEQUINS, None, atomic=1)
    offset = model.weights[0] @ model.means[0]
    assert np.isfinite(model.covariances).all() and np.abs(offset).max() < 0.2  # its errors are below a fifth of a side


def test_a_new_box_is_drawn_for_every_crop(data, people, tmp_path):
    model = _learn(people, MANNEQUINS, _detections(data, tmp_path / "boxes.json"))
    drawing = replace(people, proposals=model)
    mirrored = flip_order(MANNEQUINS.joints, MANNEQUINS.flip_pairs)

    def cut(who, augmentation, epoch):
        found = batches(
            who, np.arange(8), size=(48, 64), batch=8, mirrored=mirrored, augmentation=augmentation, seed=0, epoch=epoch
        )
        return next(iter(found)).joints

    none = Augmentation()
    first, again, later = cut(drawing, none, 0), cut(drawing, none, 0), cut(drawing, none, 1)
    assert np.array_equal(first, again) and not np.allclose(first, later)
    assert not np.allclose(first, cut(people, none, 0))
    assert np.array_equal(cut(drawing, None, 0), cut(people, None, 0))  # validation crops use the annotated boxes
    # the middle of a box that is 0.9 wide and 1.2 high is 0.05 of its sides further left and 0.1 further down
    known = np.where(people.weights[0][:, None] > 0, people.joints[0], np.nan)
    drawn = np.concatenate(
        [proposals.propose(model, known[None], people.regions[:1], np.random.default_rng(seed)) for seed in range(40)]
    )
    x, y, w, h = people.regions[0]
    moved = ((drawn[:, :2] + drawn[:, 2:] / 2).mean(axis=0) - [x + w / 2, y + h / 2]) / [w, h]
    assert moved == pytest.approx([-0.05, 0.1], abs=0.01)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data, tmp_path: {"file": _detections(data, tmp_path / "b.json", share=0.2)}, r"finds \d+% of the"),
        (lambda data, tmp_path: {"dataset": replace(MANNEQUINS, joints=MANNEQUINS.joints[:11])}, "has no left_hip"),
        (lambda data, tmp_path: {"atomic": 500}, "500 atomic poses from"),
    ],
)
def test_training_that_cannot_work_is_rejected_with_advice(change, words, data, people, tmp_path):
    given = {"dataset": MANNEQUINS, "file": _detections(data, tmp_path / "boxes.json"), "atomic": 2}
    given |= change(data, tmp_path)
    with pytest.raises(BaselineFailed, match=words) as failure:
        _learn(people, given["dataset"], given["file"], atomic=given["atomic"])
    assert failure.value.code == "proposals"


def test_the_published_recipe_draws_boxes_and_training_uses_them(data, tmp_path, monkeypatch):
    how = training_of("rmpe")
    assert how.published.atomic_poses == 20 and how.narrow.atomic_poses == 0
    assert all(training_of(name).published.atomic_poses == 0 for name in trainable() if name != "rmpe")
    variant = {"depth": 18, "width": 4, "shuffled": (16, 16), "transformer": 4, "input_size": (64, 64)}
    monkeypatch.setitem(registry.card("rmpe").variants, "tiny", variant)
    digests = {}
    for name, atomic, boxes in (
        ("none", 0, None),
        ("file", 2, _detections(data, tmp_path / "b.json")),
        ("own", 2, None),
    ):
        recipe = {"epochs": 1, "batch": 8, "loss": "cross_entropy", "optimiser": "adamw", "atomic_poses": atomic}
        task = new_task(
            "rmpe", "mannequins", data / "annotations.json", data / "images", tmp_path / name, variant="tiny",
            recipe=recipe, device="cpu", boxes=boxes,
        )  # fmt: skip
        training.train(task)
        digests[name] = Checkpoint.read(tmp_path / name / "rmpe-tiny.json").sha256
    assert len(set(digests.values())) == 3  # each was trained on other crops
