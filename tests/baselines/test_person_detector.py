"""The person detector: its pieces by hand, its AP against pycocotools, and the score that its weights claim."""

from __future__ import annotations

import contextlib
import io
import json

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from baselines.devices import costs
from baselines.protocol import BaselineFailed
from baselines.run import crops, person_detector
from baselines.run.person_detector import DetectedPeople, decode, distinct, fitted, overlaps
from baselines.train import detector
from baselines.train.detector import CLAIM, average_precision, centre_targets, measured, moved
from baselines.weights import checkpoints
from baselines.weights.checkpoints import FOLDER, Checkpoint

DESCRIPTION = FOLDER / "person_detector-mannequins.json"


def test_overlap_of_boxes() -> None:
    a = np.array([[0.0, 0, 10, 10]])
    b = np.array([[0.0, 0, 10, 10], [5, 0, 10, 10], [10, 0, 5, 5], [2, 2, 5, 4]])
    # 50 of 150; touching only; 20 inside 100
    assert overlaps(a, b).tolist() == [pytest.approx([1.0, 1 / 3, 0.0, 0.2])]
    assert distinct(np.array([[0.0, 0, 10, 10], [1, 0, 10, 10], [5, 0, 10, 10]])) == [0, 2]  # the second: 90 of 110


def test_a_person_is_a_peak_with_its_size_in_coordinates_of_the_image() -> None:
    maps = np.full((5, 48, 48), -9.0)
    maps[0, 20, 10], maps[0, 20, 11] = 2.0, 1.0  # the neighbour of a peak is not a person
    maps[1:3, 20, 10] = np.log([40.0, 60.0])
    maps[3:5, 20, 10] = [0.25, 0.5]
    # an image of 384 x 288 is halved, and 24 rows are left above it
    back = crops.inverse(fitted((384, 288)))
    found = decode(maps, back, (384, 288))
    # the centre is at ((10.25, 20.5) * 4 - (0, 24)) * 2 = (82, 116), the size 80 x 120
    assert found.boxes.tolist() == [pytest.approx([42.0, 56.0, 80.0, 120.0])]
    assert found.scores.tolist() == pytest.approx([1 / (1 + np.exp(-2.0))])
    assert len(decode(np.full((5, 48, 48), -9.0), back, (384, 288)).scores) == 0


def test_training_targets_decode_to_the_same_boxes() -> None:
    boxes = np.array([[20.0, 30.0, 40.0, 90.0], [110.0, 60.0, 50.0, 80.0]])
    target, places, wanted = centre_targets(boxes, (192, 192))
    assert target.shape == (48, 48) and (target == 1).sum() == 2
    maps = np.zeros((5, 48, 48))
    maps[0] = np.log(np.clip(target, 1e-4, 0.999) / (1 - np.clip(target, 1e-4, 0.999)))
    maps[1:, places[:, 0], places[:, 1]] = wanted.T
    found = decode(maps, crops.inverse(fitted((192, 192))), (192, 192))
    assert np.sort(found.boxes, axis=0) == pytest.approx(np.sort(boxes, axis=0), abs=1e-4)


def test_boxes_are_mirrored_with_the_image_and_clipped_at_its_border() -> None:
    mirrored = crops.turned(fitted((192, 192)), (192, 192), flip=True)
    assert moved(np.array([[20.0, 30, 40, 90]]), mirrored, (192, 192)).tolist() == [pytest.approx([132.0, 30, 40, 90])]
    shifted = fitted((192, 192))
    shifted[:, 2] -= [35, 0]
    # of the first, 25 of 40 columns are left; of the second 3 of 8: less than half, so it is dropped
    assert moved(np.array([[20.0, 30, 40, 90], [30, 30, 8, 50]]), shifted, (192, 192)).tolist() == [
        pytest.approx([0.0, 30, 25, 90])
    ]


def test_average_precision_equals_pycocotools() -> None:
    rng = np.random.default_rng(3)
    truth = [rng.uniform([0, 0, 20, 20], [100, 100, 60, 60], (rng.integers(0, 5), 4)) for _ in range(40)]
    found = []
    for boxes in truth:
        near = boxes + rng.normal(0, 6, boxes.shape)
        stray = rng.uniform([0, 0, 20, 20], [100, 100, 60, 60], (rng.integers(0, 3), 4))
        both = np.concatenate([near[rng.random(len(near)) < 0.8], stray])
        found.append(DetectedPeople(both, rng.permutation(np.linspace(0.1, 0.9, len(both))) + rng.uniform(0, 0.05)))
    ap, recall = average_precision(found, truth)
    reference = COCO()
    reference.dataset = {
        "images": [{"id": i} for i in range(40)],
        "categories": [{"id": 1}],
        "annotations": [
            {"id": 100 * i + j + 1, "image_id": i, "category_id": 1, "bbox": b.tolist(), "area": b[2] * b[3],
             "iscrowd": 0}
            for i, boxes in enumerate(truth) for j, b in enumerate(boxes)
        ],
    }  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        reference.createIndex()
        results = reference.loadRes(
            [{"image_id": i, "category_id": 1, "bbox": b.tolist(), "score": float(s)}
             for i, each in enumerate(found) for b, s in zip(each.boxes, each.scores, strict=True)]
        )  # fmt: skip
        check = COCOeval(reference, results, "bbox")
        check.params.iouThrs = np.array([0.5])
        check.evaluate()
        check.accumulate()
    assert ap == pytest.approx(check.eval["precision"][0, :, 0, 0, 2].mean(), abs=1e-9)
    assert recall == pytest.approx(check.eval["recall"][0, 0, 0, 2], abs=1e-9)
    assert 0.2 < ap < 0.9


def test_the_included_weights_reach_the_claimed_score() -> None:
    claim = Checkpoint.read(DESCRIPTION).claim
    assert {name: claim[name] for name in CLAIM} == CLAIM
    ap, recall = measured(person_detector.load())
    assert ap == pytest.approx(claim["value"], abs=0.01) and recall == pytest.approx(claim["recall"], abs=0.01)
    weights = FOLDER / Checkpoint.read(DESCRIPTION).file
    assert weights.stat().st_size < 1_000_000
    assert Checkpoint.read(DESCRIPTION).training["cpu_seconds"] <= 300


def test_the_size_of_the_network() -> None:
    network = person_detector.build()
    # stem 432 + 32 + 4,608 + 64 and a block of 18,560; and so on
    assert costs.parameters(network) == 262_997
    assert costs.gmacs(network, (192, 192)) == pytest.approx(0.0836, abs=1e-4)


def test_altered_or_foreign_weights_are_rejected(tmp_path) -> None:
    values = json.loads(DESCRIPTION.read_text())
    (tmp_path / values["file"]).write_bytes((FOLDER / values["file"]).read_bytes() + b"x")
    path = tmp_path / "detector.json"
    path.write_text(json.dumps(values))
    with pytest.raises(BaselineFailed) as failed:
        person_detector.load(checkpoint=path)
    assert failed.value.code == "checkpoint_digest"
    path.write_text(json.dumps({**values, "baseline": "hrnet"}))
    with pytest.raises(BaselineFailed) as failed:
        person_detector.load(checkpoint=path)
    assert failed.value.code == "checkpoint_mismatch"


def test_a_short_training_learns(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(detector, "measured", lambda _: (0.5, 0.6))
    said: list[str] = []
    made = detector.train(tmp_path, detector.Plan(images=32, epochs=3, batch=8), "command", said.append)
    losses = [float(line.split("loss ")[1].split(",")[0]) for line in said if "loss" in line]
    assert losses[-1] < losses[0]
    assert made.claim["value"] == 0.5 and Checkpoint.read(tmp_path / "person_detector-mannequins.json") == made
    assert checkpoints.sha256_of(tmp_path / made.file) == made.sha256
