"""Histograms of offsets, and their effect on responses."""

import numpy as np
import pytest
import torch

from baselines.models import jain2014, part_priors
from baselines.weights import checkpoints


def _people(count: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Three joints: the second 16 right of the first give or take 4, the third 40 below the second give or take 4."""
    draw = np.random.default_rng(0)
    first = draw.uniform(20, 60, (count, 2))
    second = first + np.array([16.0, 0.0]) + draw.normal(0, 4, (count, 2))
    third = second + np.array([0.0, 40.0]) + draw.normal(0, 4, (count, 2))
    return np.stack([first, second, third], axis=1), np.ones((count, 3))


def test_neighbours_are_the_joints_with_the_most_stable_offsets():
    joints, weights = _people()
    priors = part_priors.estimate(joints, weights, stride=4.0, reach=14)
    assert priors.neighbours.tolist() == [[0, 1], [1, 2]]  # 0 and 2 vary by both, so they are not neighbours
    assert priors.histograms.shape == (2, 29, 29)
    assert priors.histograms.sum(axis=(1, 2)) == pytest.approx([1.0, 1.0])
    # 16 pixels right: 4 cells; 40 below: 10 cells
    places = [np.unravel_index(h.argmax(), h.shape) for h in priors.histograms]
    assert [(int(v) - 14, int(u) - 14) for v, u in places] == [(0, 4), (10, 0)]


def test_a_histogram_by_hand():
    # offsets of 2 cells, thrice, and -1 cell, once; smoothing with a Gaussian of one cell keeps their ratio far apart
    joints = np.zeros((4, 2, 2))
    joints[:3, 1, 0], joints[3, 1, 0] = 8.0, -20.0
    histogram = part_priors.estimate(joints, np.ones((4, 2)), stride=4.0, reach=6).histograms[0]
    assert histogram[6, 6 + 2] / histogram[6, 6 - 5] == pytest.approx(3.0, rel=1e-3)
    assert histogram[6, 6 + 3] / histogram[6, 6 + 2] == pytest.approx(np.exp(-0.5), rel=1e-3)
    # joints that are not annotated do not count, and without any the prior is flat
    weights = np.ones((4, 2))
    weights[:3, 0] = 0
    only = part_priors.estimate(joints, weights, stride=4.0, reach=6).histograms[0]
    assert np.unravel_index(only.argmax(), only.shape) == (6, 1)
    flat = part_priors.estimate(joints, np.zeros((4, 2)), stride=4.0, reach=6).histograms[0]
    assert flat[3:10, 3:10] == pytest.approx(np.full((7, 7), flat[6, 6]))


def test_messages_by_hand():
    """One neighbour, always two cells to the right: messages are the responses, moved by two cells."""
    histogram = torch.zeros(1, 5, 5)
    histogram[0, 2, 4] = 1.0
    responses = torch.zeros(1, 2, 4, 8)
    responses[0, 0, 1, 2] = 0.8  # the first joint
    responses[0, 1, 1, 4] = 0.5  # the second where it should be
    responses[0, 1, 3, 7] = 0.9  # and a stronger one where it should not
    beliefs = part_priors.apply(responses, torch.tensor([[0, 1]]), histogram)
    assert beliefs[0, 1, 1, 4].item() == pytest.approx(0.5)  # times 1: the message's largest value
    assert beliefs[0, 1, 3, 7].item() == pytest.approx(0.09)  # times the floor
    # back: the second one's strongest response says (5, 3) for the first, so (2, 1) gets 0.1 + 0.9 * 0.5 / 0.9
    assert beliefs[0, 0, 1, 2].item() == pytest.approx(0.8 * 0.6)
    assert (beliefs <= responses + 1e-6).all()


def test_a_wrong_peak_is_suppressed_by_the_neighbours():
    joints, weights = _people()
    priors = part_priors.estimate(joints, weights, stride=4.0, reach=14)
    v, u = np.mgrid[:32, :32]
    person = joints[0] / 4.0

    def bump(x: float, y: float, height: float) -> np.ndarray:
        return height * np.exp(-((u - x) ** 2 + (v - y) ** 2) / 4.0)

    responses = np.stack([bump(*person[0], 0.9), bump(*person[1], 0.6) + bump(28, 28, 0.9), bump(*person[2], 0.9)])
    assert np.unravel_index(responses[1].argmax(), (32, 32)) == (28, 28)
    beliefs = part_priors.apply(
        torch.from_numpy(responses)[None], torch.from_numpy(priors.neighbours), torch.from_numpy(priors.histograms)
    )[0].numpy()
    for k in range(3):
        y, x = np.unravel_index(beliefs[k].argmax(), (32, 32))
        assert abs(x - person[k, 0]) <= 1 and abs(y - person[k, 1]) <= 1


def test_the_network_multiplies_its_responses_once_it_has_priors(tmp_path):
    torch.manual_seed(0)
    network = jain2014.build(3, channels=(2, 2, 2), linear=(4, 2), padding=30).eval()
    images = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        plain = network(images)[:, 0]  # [1, 3, 16, 24]
        joints, weights = _people()
        network.estimate_priors(joints, weights)
        beliefs = network(images)[:, 0]
        expected = part_priors.apply(plain, network.neighbours, network.priors)
        assert torch.allclose(beliefs, expected) and not torch.allclose(beliefs, plain)
        network.train()
        torch.manual_seed(1)  # of the dropout
        output = network(images)[:, 0]
        torch.manual_seed(1)
        assert torch.equal(network.logits(images).sigmoid(), output)  # training uses no priors
    # they are stored with the weights
    digest = checkpoints.write_weights(network, tmp_path / "a.safetensors")
    other = jain2014.build(3, channels=(2, 2, 2), linear=(4, 2), padding=30)
    checkpoints.fill(other, checkpoints.read_weights(tmp_path / "a.safetensors", digest))
    assert torch.equal(other.neighbours, network.neighbours)
    assert torch.allclose(other.priors, network.priors, rtol=1e-3, atol=1e-7)
