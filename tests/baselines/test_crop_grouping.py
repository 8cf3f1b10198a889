"""Which person a crop belongs to, and the statistics that grouping fits to annotated images."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import baselines.__main__ as command
from baselines import load
from baselines.decode import grouping, heatmaps
from baselines.decode.grouping import JointDetections, Model
from baselines.estimators import crop_grouping
from baselines.mannequins import generate
from baselines.protocol import BaselineFailed
from baselines.run.predict import predict
from baselines.train import fit_grouping
from baselines.train.fit_grouping import MARGIN
from baselines.weights import checkpoints
from baselines.weights.checkpoints import Checkpoint, CheckpointError
from evaluator import evaluate, public_images


def test_local_maxima_by_hand():
    maps = np.zeros((2, 5, 6))
    maps[0, 2, 2], maps[0, 2, 3], maps[0, 2, 1] = 0.8, 0.6, 0.1  # the right neighbour of the highest is the higher one
    maps[0, 0, 5], maps[0, 4, 0] = 0.5, 0.07  # a second one at the corner; a third has less than a tenth of 0.8
    classes, places, values = heatmaps.maxima(maps, most=5, share=0.1)
    # the second map is flat: it has no maximum. Only away from the border is there a quarter pixel
    assert classes.tolist() == [0, 0] and places.tolist() == [[2.25, 2.0], [5.0, 0.0]] and values.tolist() == [0.8, 0.5]
    assert heatmaps.maxima(maps, most=1, share=0.1)[2].tolist() == [0.8]
    assert heatmaps.maxima(maps, most=5, share=0.01)[2].tolist() == [0.8, 0.5, 0.07]
    assert heatmaps.decode(maps[None])[0][0, 0].tolist() == [2.25, 2.0]


def test_maxima_carry_the_mean_offsets_to_the_other_joints():
    """Pixel (3, 1) of a map is at ((3 + 0.5) * 2, (1 + 0.5) * 4) = (7, 6) where a person is 340 pixels tall."""
    maps = np.zeros((2, 4, 6))
    maps[0, 1, 3], maps[0, 3, 0] = 0.9, 0.4
    ways = np.array([[[0.0, 0.0], [5.0, -2.0]], [[-5.0, 2.0], [0.0, 0.0]]])
    model = replace(Model.prior(2), ways=ways)
    peaks = np.array([[7.2, 6.1], [0.0, 0.0]])  # as a finer decoder has the highest; the second map is flat
    found = crop_grouping.detections(maps, peaks, np.array([2.0, 4.0]), 0.5, model)
    assert found.places.tolist() == [[7.2, 6.1], [1.0, 14.0]] and found.classes.tolist() == [0, 0]
    assert found.ways.tolist() == [[[0.0, 0.0], [5.0, -2.0]]] * 2


def _two_people() -> tuple[JointDetections, Model]:
    """One person of three joints in the middle of a crop of 340 x 340, a more confident one at its left border."""
    body = np.array([[0.0, -80.0], [20.0, 0.0], [0.0, 90.0]])
    ways = body[None, :] - body[:, None]
    places = np.concatenate([body + np.array([170.0, 165.0]), body + np.array([30.0, 165.0])])
    classes = np.array([0, 1, 2, 0, 1, 2])
    scores = np.array([0.8, 0.8, 0.8, 0.95, 0.95, 0.95])
    model = replace(Model.prior(3), ways=ways)
    return JointDetections(places, classes, scores, np.zeros((6, 2), int), ways[classes]), model


def test_the_person_in_the_middle_of_a_crop_is_chosen():
    found, model = _two_people()
    labels = grouping.grouped(found, model)
    assert labels[:3].tolist() == [labels[0]] * 3 and labels[3:].tolist() == [labels[3]] * 3 and labels[0] != labels[3]
    joints, confidence = crop_grouping.person(found, model, np.array([340.0, 340.0]))
    assert joints == pytest.approx(found.places[:3]) and confidence == pytest.approx([0.8] * 3)
    # a person alone is chosen; a joint without detections is left to the caller
    rows = np.array([3, 5])
    other = JointDetections(
        found.places[rows], found.classes[rows], found.scores[rows], found.cells[rows], found.ways[rows]
    )
    joints, confidence = crop_grouping.person(other, model, np.array([340.0, 340.0]))
    assert joints[[0, 2]] == pytest.approx(other.places) and np.isnan(joints[1]).all() and confidence[1] == 0.0
    none = JointDetections(*(part[:0] for part in (found.places, found.classes, found.scores, found.cells, found.ways)))
    joints, confidence = crop_grouping.person(none, model, np.array([340.0, 340.0]))
    assert np.isnan(joints).all() and not confidence.any()


def test_detections_belong_to_the_nearest_person_within_a_tenth_of_the_height():
    """34 pixels: the first is 30 from the second person's joint, the second 35 from either person's."""
    joints = np.array([[[0.0, 0.0], [np.nan, np.nan]], [[100.0, 0.0], [100.0, 50.0]]])
    places = np.array([[70.0, 0.0], [135.0, 0.0], [100.0, 60.0], [1.0, 0.0]])
    found = JointDetections(places, np.array([0, 0, 1, 1]), np.ones(4), np.zeros((4, 2), int), np.zeros((4, 2, 2)))
    assert fit_grouping.example(found, joints).owner.tolist() == [1, -1, 1, -1]


def test_mean_ways_by_hand():
    joints = np.array([[[0.0, 0.0], [10.0, 4.0]], [[5.0, 5.0], [25.0, 5.0]], [[1.0, 1.0], [np.nan, np.nan]]])
    # (10, 4) and (20, 0); the third one's second joint is not annotated
    assert fit_grouping.mean_ways(joints).tolist() == [[[0, 0], [15, 2]], [[-15, -2], [0, 0]]]


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("training")
    generate(folder, split="train", images=60, seed=3)  # the networks were trained on seed 1
    return folder


def _copied(name: str, folder: Path, **changes: object) -> Path:
    """A shipped checkpoint in a folder of its own, with nothing fitted."""
    found = Checkpoint.read(checkpoints.FOLDER / f"{name}-narrow.json")
    shutil.copy(checkpoints.FOLDER / found.file, folder / found.file)
    path = folder / f"{name}-narrow.json"
    replace(found, **{"grouping": {}, "grouped": False, "claim": {}, **changes}).write(path)
    return path


@pytest.mark.parametrize("name", ["deepercut", "cpm"])
def test_fitted_statistics_are_likelier_than_the_prior_on_held_out_images(
    name: str, training: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the command: the log-likelihood of the grouping rises by at least 0.1 per pair of detections."""
    path = _copied(name, tmp_path)
    assert command.main(["fit-grouping", str(path), "--data", str(training), "--people", "60", "--device", "cpu"]) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said["log_likelihood"]["fitted"] > said["log_likelihood"]["prior"] + 0.1
    assert said["people"] == 60 and 0 < said["held_out_people"] <= 30
    fitted = Checkpoint.read(path)
    assert fitted.training["grouping"]["joints_found"] == said["joints_found"]
    assert fitted.grouped == (said["joints_found"]["grouped"] > said["joints_found"]["alone"] + MARGIN)
    assert ("ways" in fitted.grouping) == (name == "cpm")  # DeeperCut predicts them itself
    assert load(name, "mannequins", checkpoint=path, device="cpu").model is not None


def test_predict_uses_grouping_on_request(training: Path, tmp_path: Path) -> None:
    truth = json.loads((training / "annotations.json").read_text())
    listed = public_images(truth, boxes=True)
    listed["images"] = listed["images"][:6]
    path = _copied("cpm", tmp_path)

    def run(**options: object) -> list[dict]:
        return predict(
            "cpm", listed, training / "images", "mannequins", checkpoint=path, device="cpu", **options
        )[0]  # fmt: skip

    with pytest.raises(BaselineFailed, match="fit-grouping") as failure:
        run(grouping=True)
    assert failure.value.code == "no_grouping"
    alone = run()
    fit_grouping.fit_checkpoint(
        path, "mannequins", training / "annotations.json", training / "images", people=40, device="cpu"
    )
    grouped = run(grouping=True)
    assert run(grouping=False) == alone != grouped
    people = [(e["image_id"], e["person_id"]) for e in alone]
    assert [(e["image_id"], e["person_id"]) for e in grouped] == people
    # a joint is a local maximum of its map: most are the highest
    same = [
        a["keypoints"][i : i + 2] == b["keypoints"][i : i + 2]
        for a, b in zip(alone, grouped, strict=True)
        for i in range(0, 51, 3)
    ]
    assert 0.5 < np.mean(same) < 1.0


def test_a_checkpoint_that_cannot_be_fitted_says_why(training: Path, tmp_path: Path) -> None:
    def code(path: Path, dataset: str = "mannequins") -> str:
        with pytest.raises(BaselineFailed) as failed:
            fit_grouping.fit_checkpoint(path, dataset, training / "annotations.json", training / "images")
        return failed.value.code

    assert code(tmp_path / "none.json") == "checkpoint_description"
    path = _copied("cpm", tmp_path)
    assert code(path, "lsp") == "other_joints"
    _copied("cpm", tmp_path, grouping={"scores": [[1.0, 0.0]]})
    with pytest.raises(CheckpointError, match="table scores is not 17 x 2") as described:
        Checkpoint.read(path)
    assert described.value.code == "description"


def test_deepercut_finds_people_without_boxes(tmp_path: Path) -> None:
    """On 25 images of a seed that was not used for training or fitting."""
    truth = generate(tmp_path, split="val", images=25, seed=5)
    found, run = predict(
        "deepercut", public_images(truth, boxes=False), tmp_path / "images", "mannequins", device="cpu"
    )
    assert run.boxes == "none: bottom-up" and not any("person_id" in entry for entry in found)
    score = {(s.metric, s.part): s.value for s in evaluate("mannequins", found, truth).scores}
    assert score["ap", "all"] > 0.06 and score["ap50", "all"] > 0.25
