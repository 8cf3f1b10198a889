"""BlazePose: landmarks to joints, weights that are the published ones, and the known score on real people."""

import os

import numpy as np
import pytest

from baselines.models import blazepose
from baselines.models.blazepose import FILES, joints_from_landmarks
from baselines.protocol import BaselineFailed
from baselines.run.predict import predict
from baselines.weights import fetch
from evaluator import dataset_names, evaluate, load_dataset


@pytest.fixture(scope="session")
def full_weights(tmp_path_factory):
    """The folder with the weights of `full`, fetched once per machine."""
    try:
        return fetch.fetch("blazepose", "full", blazepose.FOLDER, say=lambda _: None).parent
    except BaselineFailed as failure:
        message = f"the weights of BlazePose could not be fetched, so it was not tested: {failure}"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)


def test_the_joints_of_lsp_by_hand():
    landmarks = np.arange(33.0)[None, :, None] * [1.0, 10.0]  # landmark i at (i, 10 i)
    confidence = np.linspace(0, 1, 33)[None]
    joints, sure = joints_from_landmarks(landmarks, confidence, tuple(load_dataset("lsp").joints))
    assert joints[0, :12, 0].tolist() == [28, 26, 24, 23, 25, 27, 16, 14, 12, 11, 13, 15]
    # middle of the shoulders 11.5, of the ears 7.5: 11.5 - 0.15 * 4 and 11.5 - 1.75 * 4
    assert joints[0, 12].tolist() == pytest.approx([10.9, 109.0])
    assert joints[0, 13].tolist() == pytest.approx([4.5, 45.0])
    assert sure[0, 13] == pytest.approx(7 / 32)  # no more confident than the left ear


def test_all_joints_of_every_body_dataset_are_available():
    landmarks = np.random.default_rng(0).random((2, 33, 2))
    bodies = {name for name in dataset_names() if load_dataset(name).entry == "keypoints"} - {"coco_wholebody"}
    for name in bodies:
        joints, _ = joints_from_landmarks(landmarks, np.ones((2, 33)), tuple(load_dataset(name).joints))
        assert joints.shape == (2, len(load_dataset(name).joints), 2)
    coco, _ = joints_from_landmarks(landmarks, np.ones((2, 33)), tuple(load_dataset("coco").joints))
    order = [0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28]
    assert np.array_equal(coco, landmarks[:, order])
    with pytest.raises(BaselineFailed, match="left_big_toe"):
        joints_from_landmarks(landmarks, np.ones((2, 33)), ("left_big_toe",))


def test_weights_other_than_the_published_ones_are_rejected(tmp_path):
    (tmp_path / FILES["full"]["file"]).write_bytes(b"something else")
    with pytest.raises(BaselineFailed) as failed:
        blazepose.estimator("full", load_dataset("lsp"), checkpoint=None, checkpoints=tmp_path, device=None)
    assert failed.value.code == "checkpoint_digest"


def test_the_parameter_counts_match_the_file_size(full_weights):
    # half precision: two bytes each; the rest of the file describes the layers
    size = (full_weights / FILES["full"]["file"]).stat().st_size
    assert 0 < size - 2 * FILES["full"]["parameters"] < 0.02 * size


@pytest.mark.real_data
@pytest.mark.slow
def test_blazepose_reaches_its_known_score_on_real_people(real_data, full_weights):
    scipy_io = pytest.importorskip("scipy.io", reason="scipy reads the annotations: install poseboard[convert]")
    official = scipy_io.loadmat(real_data / "lsp" / "LSP-joints-PC.mat")["joints"]  # [3, 14, 2000]
    images, annotations = [], []
    for number in range(1001, 2001):
        x, y, hidden = official[:, :, number - 1]
        images.append({"id": number, "file_name": f"im{number:04d}.jpg", "people": [{"person_id": 0}]})
        triples = np.stack([x, y, np.where(hidden > 0, 1, 2)], axis=1)
        person = {"id": number, "image_id": number, "person_id": 0, "category_id": 1, "iscrowd": 0}
        annotations.append({**person, "keypoints": triples.ravel().tolist(), "num_keypoints": 14})
    listed = {"dataset": "lsp", "split": "test", "images": images}
    truth = {
        "info": {"dataset": "lsp", "split": "test"},
        "images": [{"id": i["id"], "file_name": i["file_name"]} for i in images],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person", "keypoints": list(load_dataset("lsp").joints)}],
    }
    results, run = predict("blazepose", listed, real_data / "lsp" / "images", "lsp", checkpoints=full_weights)
    assert run.images == 1000 and run.people == 1000 and run.left_out == ()
    scores = {(s.metric, s.part): s.value for s in evaluate("lsp", results, truth).scores}
    assert scores["pck@0.2", "all"] == pytest.approx(0.760, abs=0.005)
