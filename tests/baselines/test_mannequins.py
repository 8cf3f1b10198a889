"""The synthetic dataset: deterministic, correctly annotated, and readable by the evaluator."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from baselines.mannequins import JOINTS, SMALLEST_SHARE, generate, render
from baselines.mannequins.canvas import Canvas
from baselines.mannequins.poses import Body, Pose, pose_skeleton
from evaluator import evaluate


@pytest.fixture(scope="module")
def split(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("mannequins")
    generate(folder, split="test", images=40, seed=11)
    return folder


def _pixels(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted((folder / "images").iterdir())]


def test_the_same_seed_gives_the_same_bytes_and_a_longer_split_starts_with_the_shorter(split, tmp_path):
    generate(tmp_path, split="test", images=5, seed=11)
    assert _pixels(tmp_path) == _pixels(split)[:5]
    short = json.loads((tmp_path / "annotations.json").read_text())["annotations"]
    assert short == json.loads((split / "annotations.json").read_text())["annotations"][: len(short)]


@pytest.mark.parametrize(("seed", "name"), [(12, "test"), (11, "val")])
def test_another_seed_or_split_gives_other_images(split, tmp_path, seed, name):
    generate(tmp_path, split=name, images=3, seed=seed)
    assert not set(_pixels(tmp_path)) & set(_pixels(split))


def test_annotations_are_consistent(split):
    truth = json.loads((split / "annotations.json").read_text())
    sizes = {image["id"]: (image["width"], image["height"]) for image in truth["images"]}
    for image in truth["images"]:
        with Image.open(split / "images" / image["file_name"]) as picture:
            assert picture.size == sizes[image["id"]] and picture.mode == "RGB"
    flags = []
    for person in truth["annotations"]:
        width, height = sizes[person["image_id"]]
        x, y, w, h = person["bbox"]
        assert x >= 0 and y >= 0 and x + w <= width and y + h <= height
        assert 0 < person["area"] <= w * h
        triples = np.array(person["keypoints"]).reshape(17, 3)
        flags.append(triples[:, 2])
        assert person["num_keypoints"] == (triples[:, 2] > 0).sum() >= 4
        assert (triples[triples[:, 2] == 0] == 0).all()
        inside = triples[triples[:, 2] > 0]
        assert (inside[:, :2] >= -0.51).all() and (inside[:, 0] < width).all() and (inside[:, 1] < height).all()
        visible = triples[triples[:, 2] == 2]
        assert (visible[:, 0] >= x - 1).all() and (visible[:, 0] <= x + w).all()
        assert (visible[:, 1] >= y - 1).all() and (visible[:, 1] <= y + h).all()
    shares = np.bincount(np.concatenate(flags).astype(int), minlength=3) / (17 * len(flags))
    assert shares[2] > 0.55 and shares[1] > 0.1 and shares[0] > 0.005  # all three flags occur
    ids = [(p["image_id"], p["person_id"]) for p in truth["annotations"]]
    assert len(set(ids)) == len(ids)
    assert max(person_id for _, person_id in ids) >= 2  # several people in an image


def test_left_is_on_the_right_of_the_image_when_a_person_faces_the_camera():
    body = Body(1, 1, 1.1, 0.285, 0.165, 0.15, 0.235, 0.235)
    still = np.zeros((2, 2))
    pose = Pose((0, 0), (0, 0, 0), still, np.zeros(2), np.ones((2, 3)), still, np.zeros(2))
    for yaw, sign in ((0.0, 1), (np.pi, -1)):
        points = pose_skeleton(body, pose, yaw).points
        for part in ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle"):
            assert sign * (points[f"left_{part}"][0] - points[f"right_{part}"][0]) > 0
    # lengths of limbs survive the kinematics whatever the pose
    bent = Pose(
        (0.3, 0.2), (0.1, 0.2, 0.3), np.full((2, 2), 0.8), np.full(2, 1.2), np.ones((2, 3)), still, np.full(2, 0.7)
    )
    points = pose_skeleton(body, bent, 0.6).points
    assert np.linalg.norm(points["left_wrist"] - points["left_elbow"]) == pytest.approx(0.15)
    assert np.linalg.norm(points["right_knee"] - points["right_hip"]) == pytest.approx(0.235)


def test_a_drawn_square_owns_its_pixels():
    canvas = Canvas(20, 10)
    canvas.rectangle(4.5, 2.5, 6, 3, (200, 10, 10), 7)  # covers the pixels 5..10 x 3..5 exactly
    image, owner = canvas.finished()
    assert (owner == 7).sum() == 18 and (owner[3:6, 5:11] == 7).all()
    assert np.asarray(image)[4, 7].tolist() == [200, 10, 10] and np.asarray(image)[4, 12].tolist() == [0, 0, 0]


def test_people_stay_visible_and_their_joints_lie_on_them():
    for number in range(1, 12):
        _, people = render(3, "train", number)
        for person in people:
            assert person.area > 60 and (person.flags == 2).sum() >= 4
    assert 0.3 <= SMALLEST_SHARE <= 0.6
    assert len(JOINTS) == 17 and JOINTS[0] == "nose" and JOINTS[16] == "right_ankle"


def test_the_ground_truth_as_predictions_scores_one(split):
    truth = json.loads((split / "annotations.json").read_text())
    predictions = [
        {"image_id": p["image_id"], "person_id": p["person_id"], "keypoints": p["keypoints"], "score": 1.0}
        for p in truth["annotations"]
    ]
    scores = {s.metric: s.value for s in evaluate("mannequins", predictions, truth).scores if s.part == "all"}
    assert scores["ap"] == pytest.approx(1.0, abs=1e-12) and scores["ar"] == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize(("wrong", "words"), [({"split": "tset"}, "unknown split"), ({"images": 0}, "at least one")])
def test_wrong_arguments_are_named(tmp_path, wrong, words):
    with pytest.raises(ValueError, match=words):
        generate(tmp_path, **{"split": "val", "images": 1, "seed": 0, **wrong})


def test_the_command_needs_no_torch(tmp_path):
    script = "import sys; sys.modules['torch'] = None; from baselines.mannequins.__main__ import main; sys.exit(main())"
    command = [sys.executable, "-c", script, str(tmp_path), "--split", "val", "--images", "2", "--seed", "4"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "2 images with" in done.stderr
    assert len(json.loads((tmp_path / "annotations.json").read_text())["images"]) == 2


def test_an_installations_hidden_split_has_people_of_every_size_of_coco():
    """AP(L) needs people of more than 96 x 96 pixels: a split of 300 images without one would have no such score."""
    areas = np.array([person.area for number in range(1, 301) for person in render(20, "test", number)[1]])
    assert (areas > 96**2).sum() >= 10
    assert ((areas >= 32**2) & (areas <= 96**2)).sum() >= 300
