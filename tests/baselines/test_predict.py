"""A run over images: its predictions, the images it leaves out, and its failures."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from baselines import architectures, load, names
from baselines.mannequins import generate
from baselines.protocol import BaselineFailed, Poses
from baselines.run.predict import predict
from evaluator import load_dataset, public_images, validate


@pytest.fixture(scope="module")
def split(tmp_path_factory) -> tuple[Path, dict, dict]:
    folder = tmp_path_factory.mktemp("run")
    truth = generate(folder, split="val", images=12, seed=3)
    return folder / "images", truth, public_images(truth, boxes=True)


class Middle:
    """An estimator that finds every joint in the middle of the crop."""

    name, variant, device, precision = "middle", "only", "cpu", "float32"
    input_size, padding, batch = (96, 128), 1.25, 4
    parameters, gmacs, checkpoint_sha256, joint_threshold = 0, 0.0, "0" * 64, 0.2
    fits, value = 100, 0.0  # people that fit into memory; what is added to the joints

    def __init__(self) -> None:
        self.batches: list[int] = []

    def forward(self, crops: np.ndarray) -> int:
        if len(crops) > self.fits:
            raise RuntimeError("CUDA out of memory")
        self.batches.append(len(crops))
        return len(crops)

    def decode(self, people: int) -> Poses:
        joints = np.tile([48.0, 64.0], (people, 17, 1)) + self.value
        return Poses(joints, np.full((people, 17), 0.25), np.full(people, 0.75))


@pytest.fixture
def middle(monkeypatch) -> Middle:
    estimator = Middle()
    monkeypatch.setattr("baselines.run.predict.load", lambda *_, **__: estimator)
    return estimator


def test_every_listed_person_gets_a_pose_in_image_coordinates(split, middle):
    folder, _, listed = split
    calls = []
    results, run = predict(
        "middle", listed, folder, "mannequins", progress=lambda done, total: calls.append((done, total))
    )
    boxes = {(i["id"], p["person_id"]): p["box"] for i in listed["images"] for p in i["people"]}
    assert {(r["image_id"], r["person_id"]) for r in results} == set(boxes)
    for result in results:
        x, y, w, h = boxes[result["image_id"], result["person_id"]]
        # the middle of a box of continuous coordinates, in coordinates that count pixel centres
        assert result["keypoints"] == pytest.approx([x + w / 2 - 0.5, y + h / 2 - 0.5, 0.25] * 17, abs=2e-3)
        assert result["score"] == 0.75
    validate("mannequins", results)
    assert calls[-1] == (12, 12) and [d for d, _ in calls] == sorted({d for d, _ in calls})
    assert run.images == 12 and run.people == len(boxes) and run.left_out == ()
    assert json.loads(json.dumps(run.to_dict()))["input_size"] == [96, 128]


def test_a_broken_image_and_one_outside_the_folder_are_left_out_and_named(split, middle, tmp_path):
    folder, _, listed = split
    for image in listed["images"][:4]:
        (tmp_path / image["file_name"]).write_bytes((folder / image["file_name"]).read_bytes())
    (tmp_path / listed["images"][1]["file_name"]).write_bytes(b"broken")
    images = [*listed["images"][:4], {**listed["images"][0], "id": 99, "file_name": "../secret.png"}]
    results, run = predict("middle", {"images": images}, tmp_path, "mannequins")
    assert {r["image_id"] for r in results} == {1, 3, 4}
    assert len(run.left_out) == 2 and run.images == 3
    assert "000002.jpg" in run.left_out[0] and "outside" in run.left_out[1]


def test_a_single_person_benchmark_without_boxes_uses_the_whole_image(middle, tmp_path):
    Image.new("RGB", (60, 80)).save(tmp_path / "a.png")
    listed = {"images": [{"id": 5, "file_name": "a.png", "people": [{"person_id": 0}]}]}
    results, _ = predict("middle", listed, tmp_path, "lsp")
    assert results[0]["keypoints"][:2] == pytest.approx([29.5, 39.5], abs=2e-3)


def test_too_little_memory_halves_the_batch_and_then_fails(split, middle):
    folder, _, listed = split
    middle.fits = 1
    results, run = predict("middle", listed, folder, "mannequins")
    assert run.batch == 1 and set(middle.batches) == {1} and len(results) == len(middle.batches)
    middle.fits = 0
    with pytest.raises(BaselineFailed) as failed:
        predict("middle", listed, folder, "mannequins")
    assert failed.value.code == "out_of_memory" and not failed.value.final


def test_other_failures_end_the_run(split, middle):
    folder, _, listed = split

    class LeaseLost(Exception):
        pass

    def lost(done, total):
        raise LeaseLost

    with pytest.raises(LeaseLost):
        predict("middle", listed, folder, "mannequins", progress=lost)
    middle.value = float("nan")
    with pytest.raises(BaselineFailed, match="not finite"):
        predict("middle", listed, folder, "mannequins")


def test_a_run_that_is_impossible_fails_before_it_starts(split, tmp_path):
    folder, _, listed = split
    cases = [
        ("boxes", lambda: predict("stacked_hourglass", listed, folder, "mannequins", box_file=tmp_path / "no.json")),
        ("unknown_baseline", lambda: predict("hourglas", listed, folder, "mannequins")),
        ("unknown_variant", lambda: predict("stacked_hourglass", listed, folder, "mannequins", variant="wide")),
        ("no_checkpoint", lambda: predict("stacked_hourglass", listed, folder, "mannequins", variant="full")),
        ("no_checkpoint", lambda: predict("blazepose", listed, folder, "mannequins", checkpoints=tmp_path)),
        ("other_joints", lambda: predict("stacked_hourglass", listed, folder, "mpii")),
        ("no_images", lambda: predict("stacked_hourglass", listed, tmp_path, "mannequins")),
    ]
    for code, run in cases:
        with pytest.raises(BaselineFailed) as failed:
            run()
        assert failed.value.code == code and failed.value.final


def test_the_included_network_predicts_the_joints_it_was_trained_for(split):
    estimator = load("stacked_hourglass", "mannequins", device="cpu")
    crops = np.zeros((2, estimator.input_size[1], estimator.input_size[0], 3), np.uint8)
    poses = estimator.decode(estimator.forward(crops))
    assert poses.joints.shape == (2, 17, 2) and poses.confidence.shape == (2, 17)
    assert ((poses.confidence >= 0) & (poses.confidence <= 1)).all()
    # a picture and its mirror image: the flip test mirrors the prediction, too
    draw = np.random.default_rng(0).integers(0, 255, crops.shape, dtype=np.uint8)
    there, back = (estimator.decode(estimator.forward(each)) for each in (draw, draw[:, :, ::-1].copy()))
    order = [load_dataset("mannequins").joints.index(j) for j in load_dataset("mannequins").joints]
    mirror = [order[load_dataset("mannequins").joints.index(_other_side(j))] for j in load_dataset("mannequins").joints]
    assert np.abs(there.joints[..., 0] - (estimator.input_size[0] - back.joints[:, mirror, 0])).max() < 1e-3


def _other_side(joint: str) -> str:
    if joint.startswith("left"):
        return joint.replace("left", "right")
    return joint.replace("right", "left")


def test_every_architecture_has_weights():
    assert names() == architectures() and names()[0] == "jain2014" and "blazepose" in names()
