"""Where the boxes of a run come from: the image list, a file, the person detector; bottom-up networks need none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from baselines.mannequins import generate
from baselines.protocol import BaselineFailed, Poses
from baselines.run.boxes import from_file, given
from baselines.run.predict import predict
from evaluator import evaluate, public_images, validate
from tests.baselines.test_resume import Counting

IMAGES = [{"id": 5, "file_name": "5.jpg"}, {"id": 6, "file_name": "6.jpg"}]


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    folder = tmp_path_factory.mktemp("boxes")
    return folder, generate(folder, split="val", images=24, seed=8)


def test_boxes_from_a_file_are_assigned_to_their_images(tmp_path: Path) -> None:
    file = tmp_path / "boxes.json"
    rows = [
        {"image_id": 5, "category_id": 1, "bbox": [1, 2, 30, 40], "score": 0.5},
        {"image_id": 5, "category_id": 3, "bbox": [1, 2, 30, 40], "score": 0.9},  # not a person
        {"image_id": 77, "category_id": 1, "bbox": [1, 2, 30, 40], "score": 0.9},  # not of this benchmark
        {"image_id": 6, "bbox": [0.5, 0, 3, 4]},
    ]
    file.write_text(json.dumps(rows))
    found = from_file(file, IMAGES)
    assert [(p.box, p.person_id, p.score) for p in found.people[5]] == [((1, 2, 30, 40), None, 0.5)]
    assert [(p.box, p.score) for p in found.people[6]] == [((0.5, 0, 3, 4), 1.0)]
    assert found.source.startswith("file ")
    rows[0]["score"] = 0.6
    file.write_text(json.dumps(rows))
    assert from_file(file, IMAGES).digest != found.digest


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{}", "not a list"),
        ("[", "cannot be read"),
        ('[{"image_id": 5}]', "entry 0: expected image_id, bbox"),
        ('[{"image_id": 5, "bbox": [1, 2, 3]}]', "entry 0: expected image_id, bbox"),
        ('[{"image_id": 5, "bbox": [1, 2, "x", 4]}]', "entry 0"),
        ('[{"image_id": 5, "bbox": [1, 2, NaN, 4]}]', "entry 0: the box has no finite size"),
        ('[{"image_id": 5, "bbox": [1, 2, 0, 4]}]', "entry 0: the box has no finite size"),
        ('[{"image_id": [5], "bbox": [1, 2, 3, 4]}]', "entry 0"),
        ("[7]", "entry 0"),
        ('[{"image_id": 77, "bbox": [1, 2, 3, 4]}]', "no box of a person in these images"),
    ],
)
def test_an_unusable_box_file_is_rejected_with_a_reason(content: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "boxes.json"
    file.write_text(content)
    with pytest.raises(BaselineFailed, match=words) as failed:
        from_file(file, IMAGES)
    assert failed.value.code == "boxes" and failed.value.final


def test_the_annotated_boxes_in_a_file_give_the_same_poses(
    split: tuple[Path, dict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, truth = split
    monkeypatch.setattr("baselines.run.predict.load", lambda *_, **__: Counting())
    file = tmp_path / "boxes.json"
    rows = [{"image_id": p["image_id"], "bbox": p["bbox"], "score": 0.8} for p in truth["annotations"]]
    file.write_text(json.dumps(rows))
    same, run = predict("counting", public_images(truth, boxes=False), folder / "images", "mannequins", box_file=file)
    told, _ = predict("counting", public_images(truth, boxes=True), folder / "images", "mannequins")
    places = {(e["image_id"], tuple(e["keypoints"])) for e in told}
    assert {(e["image_id"], tuple(e["keypoints"])) for e in same} <= places
    # the score is that of the box times the mean confidence, 0.8 * 0.5; no entry has a person id
    assert {e["score"] for e in same} == {0.4} and not any("person_id" in e for e in same)
    assert run.boxes.startswith("file ")
    validate("mannequins", same)
    with pytest.raises(BaselineFailed, match="does not accept a box file"):
        predict("counting", {"images": IMAGES}, folder / "images", "lsp", box_file=file)


def test_people_are_detected_where_no_boxes_are_given(split: tuple[Path, dict]) -> None:
    folder, truth = split
    found, run = predict("stacked_hourglass", public_images(truth, boxes=False), folder / "images", "mannequins")
    told, _ = predict("stacked_hourglass", public_images(truth, boxes=True), folder / "images", "mannequins")
    assert run.boxes.startswith("person detector ") and not any("person_id" in entry for entry in found)

    def ap(results: list[dict]) -> float:
        return {(s.metric, s.part): s.value for s in evaluate("mannequins", results, truth).scores}["ap", "all"]

    # with detected boxes the same network reaches at least three quarters of its AP
    assert ap(found) > 0.75 * ap(told) > 0.1


class WholeImages:
    """Finds two people in every image: one in its middle, one in its corner."""

    name, variant, device, precision, checkpoint_sha256 = "whole", "only", "cpu", "float32", "0" * 64
    input_size, parameters, gmacs = (64, 64), 0, 0.0

    def poses_from(self, image: np.ndarray) -> Poses:
        middle = np.array([image.shape[1] / 2, image.shape[0] / 2])
        joints = np.stack([np.tile([3.5, 2.5], (17, 1)), np.tile(middle, (17, 1))])
        return Poses(joints, np.full((2, 17), 0.5), np.array([0.9, 0.6]))


def test_a_bottom_up_network_processes_whole_images(split: tuple[Path, dict], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, truth = split
    monkeypatch.setattr("baselines.run.predict.load", lambda *_, **__: WholeImages())
    listed = public_images(truth, boxes=True)
    (folder / "images" / listed["images"][1]["file_name"]).rename(folder / "gone")
    results, run = predict("whole", listed, folder / "images", "mannequins")
    (folder / "gone").rename(folder / "images" / listed["images"][1]["file_name"])
    assert run.boxes == "none: bottom-up" and run.batch == 1 and run.images == 23 and len(run.left_out) == 1
    first = [entry for entry in results if entry["image_id"] == listed["images"][0]["id"]]
    assert first[0]["keypoints"][:3] == [3.0, 2.0, 0.5]
    assert [entry["score"] for entry in first] == [0.9, 0.6] and "person_id" not in first[0]


class Both(WholeImages):
    """Accepts crops, too, and finds every joint in their middle."""

    padding, batch, joint_threshold = 1.25, 8, 0.0

    def forward(self, crops: np.ndarray) -> int:
        return len(crops)

    def decode(self, people: int) -> Poses:
        return Poses(np.tile([32.0, 32.0], (people, 17, 1)), np.full((people, 17), 0.5), np.full(people, 0.3))


def test_a_network_for_both_uses_crops_where_there_are_boxes(
    split: tuple[Path, dict], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, truth = split
    monkeypatch.setattr("baselines.run.predict.load", lambda *_, **__: Both())
    results, run = predict("both", public_images(truth, boxes=True), folder / "images", "mannequins")
    assert run.boxes == "given" and {entry["score"] for entry in results} == {0.3} and "person_id" in results[0]
    results, run = predict("both", public_images(truth, boxes=False), folder / "images", "mannequins")
    assert run.boxes == "none: bottom-up" and {entry["score"] for entry in results} == {0.9, 0.6}


def test_on_a_single_person_benchmark_the_best_pose_in_the_box_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    class LspWhole(WholeImages):
        def poses_from(self, image: np.ndarray) -> Poses:
            found = super().poses_from(image)
            return Poses(found.joints[:, :14], found.confidence[:, :14], found.score)

    monkeypatch.setattr("baselines.run.predict.load", lambda *_, **__: LspWhole())
    Image.new("RGB", (40, 60)).save(tmp_path / "a.png")

    def first(people: list[dict]) -> list:
        listed = {"images": [{"id": 1, "file_name": "a.png", "people": people}]}
        results, _ = predict("whole", listed, tmp_path, "lsp")
        return [(entry["person_id"], entry["keypoints"][:2]) for entry in results]

    assert first([{"person_id": 0}]) == [(0, [3.0, 2.0])]  # the corner's has the better score
    assert first([{"person_id": 4, "box": [10, 10, 20, 40]}]) == [(4, [19.5, 29.5])]


def test_boxes_come_from_the_image_list() -> None:
    listed = [{"id": 1, "people": [{"person_id": 3, "box": [1, 2, 3, 4]}]}, {"id": 2, "people": [{"person_id": 0}]}]
    found = given(listed)
    assert found.source == "given"
    assert found.people[1][0].box == (1, 2, 3, 4) and found.people[1][0].person_id == 3
    assert found.people[2][0].box is None
    assert given([{"id": 1}]).source == "whole image"


def test_a_bottom_up_network_that_supports_crops_uses_given_boxes(
    split: tuple[Path, dict], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the boxes of the list it predicts every person by id; without them it processes whole images."""

    class Both(WholeImages):
        padding, batch, joint_threshold = 1.25, 4, 0.0

        def forward(self, crops: np.ndarray) -> int:
            return len(crops)

        def decode(self, people: int) -> Poses:
            return Poses(np.full((people, 17, 2), 32.0), np.full((people, 17), 0.5), np.full(people, 0.5))

    folder, truth = split
    monkeypatch.setattr("baselines.run.predict.load", lambda *_, **__: Both())
    listed = public_images(truth, boxes=True)
    results, run = predict("both", listed, folder / "images", "mannequins")
    people = {(image["id"], person["person_id"]) for image in listed["images"] for person in image["people"]}
    assert {(entry["image_id"], entry["person_id"]) for entry in results} == people and run.boxes != "none: bottom-up"
    results, run = predict("both", public_images(truth, boxes=False), folder / "images", "mannequins")
    assert run.boxes == "none: bottom-up" and len(results) == 2 * len(listed["images"])
