"""The symmetric spatial transformer and its inverse; poses of the same person are merged."""

import json

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from baselines.decode.pose_nms import Constants, similarity, suppress
from baselines.models import rmpe
from baselines.protocol import Poses
from baselines.run.loading import load
from baselines.run.predict import predict
from baselines.weights.registration import describe
from benchmarks.decoding_parity import crowd


def _compose(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """The affine map [B, 2, 3] that does `first`, then `second`."""
    turned = second[:, :, :2]
    return torch.cat([turned @ first[:, :, :2], turned @ first[:, :, 2:] + second[:, :, 2:]], dim=2)  # [B, 2, 3]


def test_the_transform_and_its_inverse_give_the_identity():
    torch.manual_seed(0)
    theta = torch.randn(500, 2, 3) * 0.3 + torch.tensor([[1.0, 0, 0], [0, 1, 0]])
    theta = theta[theta[:, :, :2].det().abs() > 0.1]
    identity = torch.tensor([[1.0, 0, 0], [0, 1, 0]]).expand(len(theta), 2, 3)
    assert len(theta) > 450
    assert (_compose(theta, rmpe.inverse(theta)) - identity).abs().max() < 1e-5
    assert (_compose(rmpe.inverse(theta), theta) - identity).abs().max() < 1e-5


def test_the_inverse_by_hand():
    # x' = 2x + 1, y' = 4y - 2: x = x'/2 - 1/2, y = y'/4 + 1/2
    theta = torch.tensor([[[2.0, 0, 1], [0, 4, -2]]])
    assert torch.equal(rmpe.inverse(theta), torch.tensor([[[0.5, 0, -0.5], [0, 0.25, 0.5]]]))


def test_transformed_maps_return_to_their_place():
    # a smooth bump, shrunk into the middle and enlarged again
    line = torch.linspace(-1, 1, 64)
    bump = torch.exp(-((line[:, None] - 0.2) ** 2 + (line[None, :] + 0.1) ** 2) / 0.08)[None, None]
    theta = torch.tensor([[[1.2, 0.1, 0.05], [-0.1, 1.1, 0.0]]])
    back = rmpe.transform(rmpe.transform(bump, theta), rmpe.inverse(theta))
    assert (back - bump)[..., 8:-8, 8:-8].abs().max() < 0.02


def test_a_fresh_transformer_changes_nothing_and_the_parallel_branch_teaches_it_alone():
    torch.manual_seed(0)
    single = rmpe.build(3, depth=50, width=8, shuffled=(16, 16)).eval()
    network = rmpe.RegionalEstimator(single, width=8).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(network(images), single(images), atol=1e-4)
    network.parallel(images).square().mean().backward()
    assert all(p.grad is None for p in single.parameters())
    assert network.transformer.affine.bias.grad.abs().max() > 0


def test_similarity_by_hand():
    # two joints; the first coincides: tanh(1)^2 = 0.5800 and exp(0) = 1; the second is 5 pixels away: no match, and
    # exp(-5 / 2.65) = 0.1516; together 0.5800 + 1.7 * 1.1516 = 2.5377
    pose, other = np.array([[0.0, 0], [10, 0]]), np.array([[[0.0, 0], [13, 4]]])
    found = similarity(pose, np.ones(2), other, np.ones((1, 2)), Constants())
    assert found == pytest.approx([2.5377], abs=1e-4)


def _poses():
    rng = np.random.default_rng(0)
    body = rng.uniform(0, 100, size=(17, 2))
    joints = np.stack([body, body + 1.0, body + 300.0])
    confidence = np.stack([np.full(17, 0.9), np.full(17, 0.6), np.full(17, 0.8)])
    boxes = np.array([[0, 0, 100, 100], [0, 0, 100, 100], [300, 300, 100, 100.0]])
    return joints, confidence, boxes, np.array([0.9, 0.8, 0.7])


def test_two_poses_of_one_person_become_one():
    joints, confidence, boxes, scores = _poses()
    people = suppress(joints, confidence, boxes, scores)
    assert [person.members for person in people] == [(0, 1), (2,)]
    # weights 0.9 and 0.6: a shift of 0.6 / 1.5 = 0.4; confidence (0.81 + 0.36) / 1.5 = 0.78
    assert people[0].joints == pytest.approx(joints[0] + 0.4)
    assert people[0].confidence == pytest.approx(np.full(17, 0.78))
    assert people[0].score == pytest.approx(0.9 + 2.25 * 0.78)
    assert people[1].joints == pytest.approx(joints[2])


def test_the_order_of_the_poses_does_not_matter_and_weak_ones_are_dropped():
    joints, confidence, boxes, scores = _poses()
    order = np.array([2, 1, 0])
    turned = suppress(joints[order], confidence[order], boxes[order], scores[order])
    straight = suppress(joints, confidence, boxes, scores)
    assert [p.score for p in turned] == pytest.approx([p.score for p in straight])
    confidence[2] = 0.29
    assert [p.members for p in suppress(joints, confidence, boxes, scores)] == [(0, 1)]
    assert suppress(joints[:0], confidence[:0], boxes[:0], scores[:0]) == []


def test_similar_poses_are_one_person_without_sharing_enough_places():
    """In a small box all joints may be too far apart to match: then the similarity decides."""
    joints = np.stack([np.zeros((17, 2)), np.full((17, 2), 0.3), np.full((17, 2), 0.6)]) + np.arange(17.0)[:, None]
    confidence, scores = np.array([[0.9] * 17, [0.8] * 17, [0.7] * 17]), np.array([0.9, 0.8, 0.7])
    boxes = np.tile([0.0, 0, 2, 2], (3, 1))  # a tenth of its side is 0.2 pixels
    # 0.424 pixels away: 17 tanh(0.9) tanh(0.8) + 1.7 * 17 exp(-0.424 / 2.65) = 8.085 + 24.626 = 32.7 > 22.48
    # 0.849 pixels away: 17 tanh(0.9) tanh(0.7) + 1.7 * 17 exp(-0.849 / 2.65) = 7.360 + 20.981 = 28.3 > 22.48
    found = similarity(joints[0], confidence[0], joints, confidence, Constants())
    assert found[1:] == pytest.approx([32.711, 28.341], abs=2e-3)
    assert [p.members for p in suppress(joints, confidence, boxes, scores)] == [(0, 1, 2)]
    # nothing is near enough to be merged with
    assert suppress(joints, confidence, boxes, scores)[0].joints == pytest.approx(joints[0])
    apart = [p.members for p in suppress(joints, confidence, boxes, scores, constants=Constants(gamma=30.0))]
    assert apart == [(0, 1), (2,)]


def test_few_joints_in_the_same_place_do_not_make_two_people_one():
    joints, confidence, boxes, scores = _poses()
    for shared, people in ((4, 3), (5, 2)):
        moved = joints.copy()
        moved[1] = joints[0] + 500.0
        moved[1, :shared] = joints[0, :shared]
        assert len(suppress(moved, confidence, boxes, scores)) == people


# The people of random crowds that remain after AlphaPose 1.1's pose NMS, by their best pose, and their merged joint 5
# (x, y and confidence): python -m benchmarks.decoding_parity
MERGED = {
    0: {1: (291.481, 158.017, 0.176), 3: (117.93, 15.246, 0.708), 7: (410.603, 480.651, 0.406),
        11: (283.858, 345.721, 0.692)},
    1: {2: (229.331, 411.154, 0.282), 5: (78.936, 474.578, 0.415), 6: (220.862, 191.523, 0.212),
        10: (405.136, 268.015, 0.569)},
    2: {1: (151.877, 142.505, 0.445), 3: (427.25, 134.449, 0.362), 7: (242.201, 389.48, 0.313),
        11: (80.777, 52.466, 0.439)},
}  # fmt: skip


@pytest.mark.parametrize("seed", MERGED)
def test_the_release_merges_the_same_poses(seed):
    people = crowd(seed)
    found = suppress(people["joints"], people["confidence"], people["boxes"], people["scores"])
    ours = {person.members[0]: person for person in found}
    assert ours.keys() == MERGED[seed].keys()
    for row, (x, y, confidence) in MERGED[seed].items():
        assert ours[row].joints[5] == pytest.approx([x, y], abs=1e-3)
        assert ours[row].confidence[5] == pytest.approx(confidence, abs=1e-3)


class _Middle:
    """An estimator that finds every joint in the middle of the crop, and whose poses are merged."""

    name, variant, device, precision, merges_poses = "middle", "only", "cpu", "float32", True
    input_size, padding, batch, parameters, gmacs = (64, 64), 1.25, 4, 0, 0.0
    checkpoint_sha256, joint_threshold = "0" * 64, 0.2

    def forward(self, crops):
        return len(crops)

    def decode(self, people):
        return Poses(np.full((people, 17, 2), 32.0), np.full((people, 17), 0.5), np.full(people, 0.5))


def test_a_run_merges_the_poses_of_a_person(tmp_path, monkeypatch):
    """Of three boxes two are of one person: their middles are 2 pixels apart, and the merged joints lie between."""
    monkeypatch.setattr("baselines.run.predict.load", lambda *_, **__: _Middle())
    Image.new("RGB", (200, 100)).save(tmp_path / "a.png")
    rows = [([20, 20, 40, 60], 0.9), ([22, 20, 40, 60], 0.8), ([120, 20, 40, 60], 0.7)]
    boxes = [{"image_id": 1, "category_id": 1, "bbox": box, "score": score} for box, score in rows]
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    listed = {"images": [{"id": 1, "file_name": "a.png", "width": 200, "height": 100}]}
    found, _ = predict("middle", listed, tmp_path, "coco", box_file=tmp_path / "boxes.json")
    # middles at 40, 42 and 140, as pixels half a pixel less; equal confidence, so 40.5 is between 39.5 and 41.5
    assert [entry["keypoints"][:3] for entry in found] == [[40.5, 49.5, 0.5], [139.5, 49.5, 0.5]]
    # box + mean + 1.25 times the best joint: 0.9 + 0.5 + 0.625 and 0.7 + 0.5 + 0.625
    assert [entry["score"] for entry in found] == [2.025, 1.825]


def test_networks_with_heatmaps_merge_and_those_with_distributions_do_not(tmp_path):
    """A distribution's peaks are small: the constants of pose NMS do not apply to them."""
    torch.manual_seed(0)
    path = tmp_path / "fast.safetensors"
    network = rmpe.build(17, depth=50, width=4, shuffled=(16, 16))
    safetensors.torch.save_file(network.state_dict(), path)
    describe(path, licence="MIT", source="https://example.org").write(tmp_path / "fast.json")
    public = load("rmpe", "coco", variant="fastpose-r50", checkpoint=tmp_path / "fast.json", device="cpu")
    shipped = load("rmpe", "coco", variant="narrow", device="cpu")
    assert public.merges_poses and not shipped.merges_poses
