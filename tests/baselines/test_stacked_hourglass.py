"""The hourglass network is the paper's: size, cost, shapes, and the outputs of public implementations."""

import hashlib
import json

import numpy as np
import pytest
import torch

from baselines import checkpoint_formats, checkpoints, costs
from baselines.stacked_hourglass import VARIANTS, build
from baselines.train import _loss


def test_the_full_network_has_the_published_size_and_cost():
    with torch.device("meta"):
        network = build(16)
    assert costs.parameters(network) == 25_434_112
    assert costs.gmacs(network, (256, 256)) == pytest.approx(27.4, rel=0.01)


def test_costs_by_hand():
    # 3 x 3 x 2 -> 4 on 6 x 5 pixels: 9 * 2 * 4 * 30 = 2160; transposed 2 x 2 stride 2, 4 -> 3: 4 * 4 * 3 * 30 = 1440;
    # linear 3 -> 7 on every one of 120 places: 21 * 120 = 2520
    class Small(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first = torch.nn.Conv2d(3, 2, 1, bias=False)
            self.conv = torch.nn.Conv2d(2, 4, 3, padding=1)
            self.up = torch.nn.ConvTranspose2d(4, 3, 2, stride=2)
            self.linear = torch.nn.Linear(3, 7)

        def forward(self, x):
            return self.linear(self.up(self.conv(self.first(x))).permute(0, 2, 3, 1))

    assert costs.gmacs(Small(), (6, 5)) * 1e9 == pytest.approx(6 * 30 + 2160 + 1440 + 2520)
    assert costs.parameters(Small()) == 6 + (72 + 4) + (48 + 3) + (21 + 7)


def test_heatmaps_come_stage_by_stage_at_a_quarter_of_the_input():
    variant = dict(VARIANTS["narrow"])
    width, height = variant.pop("input_size")
    network = build(17, **variant).eval()
    with torch.inference_mode():
        assert network(torch.zeros(3, 3, height, width)).shape == (3, variant["stacks"], 17, height // 4, width // 4)


@pytest.mark.parametrize("kind", ["mse", "cross_entropy"])
def test_it_overfits_one_batch(kind):
    torch.manual_seed(0)
    network = build(3, stacks=2, channels=16, levels=2)
    images = torch.randn(4, 3, 32, 32)
    targets = torch.zeros(4, 3, 8, 8)
    for person in range(4):
        for joint in range(3):
            targets[person, joint, 2 * joint + 1, (person + joint) % 8] = 1.0
    weights = torch.ones(4, 3)
    weights[0, 0] = 0.0
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        loss = _loss(kind, network(images), targets, weights)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]


def test_losses_by_hand():
    answer = torch.tensor([[[[[0.0, 1.0]], [[2.0, 2.0]]]]])  # one image, one stage, two joints, maps of 1 x 2
    targets = torch.tensor([[[[1.0, 1.0]], [[0.0, 0.0]]]])
    # the second joint is not annotated. mse: ((0-1)^2 + (1-1)^2) / 2 = 0.5; a flat target: mean of -log softmax(0, 1)
    weights = torch.tensor([[1.0, 0.0]])
    assert _loss("mse", answer, targets, weights).item() == pytest.approx(0.5)
    expected = np.log(1 + np.e) - 0.5
    assert _loss("cross_entropy", answer, targets, weights).item() == pytest.approx(expected, rel=1e-6)


def _seeded(state: dict, seed: int) -> dict[str, torch.Tensor]:
    """The weights from which the reference outputs were computed."""
    weights = {}
    for name, (shape, _) in state.items():
        digest = hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()
        draw = np.random.Generator(np.random.Philox(int(digest[:16], 16)))
        if name.endswith("num_batches_tracked"):
            weights[name] = torch.zeros(shape, dtype=torch.int64)
            continue
        if name.endswith("running_var"):
            values = draw.uniform(0.5, 1.5, shape)
        elif name.endswith("running_mean"):
            values = draw.normal(0, 0.1, shape)
        elif len(shape) >= 2:
            values = draw.normal(0, np.sqrt(1 / np.prod(shape[1:])), shape)
        elif name.endswith("weight"):
            values = draw.uniform(0.5, 1, shape)
        else:
            values = draw.normal(0, 0.05, shape)
        weights[name] = torch.from_numpy(np.asarray(values, np.float32))
    return weights


FORMATS = {
    "hg_bearpaw_s2b1": (checkpoint_formats.hourglass_bearpaw, True),
    "hg_princeton_s2": (checkpoint_formats.hourglass_princeton, False),
}


@pytest.mark.real_data
@pytest.mark.parametrize("name", FORMATS)
def test_public_checkpoints_give_the_outputs_of_their_own_network(real_data, name):
    convert, early = FORMATS[name]
    folder = real_data / "baselines" / "parity"
    keys = json.loads((folder / f"{name}.keys.json").read_text())
    weights = _seeded(keys["state"], keys["state_seed"])
    network = build(16, stacks=2, early=early).eval()
    checkpoints.fill(network, convert({f"module.{key}": value for key, value in weights.items()}))
    draw = np.random.Generator(np.random.Philox(keys["input_seeds"][0]))
    images = torch.from_numpy(draw.normal(0, 1, keys["input_shapes"][0]).astype(np.float32))
    if images.shape[-1] == 3:  # one format takes [B, H, W, 3]
        images = images.permute(0, 3, 1, 2)
    with torch.inference_mode():
        answer = network(images).numpy()
    with np.load(folder / f"{name}.npz") as stored:
        expected = stored["out"] if "out" in stored else np.stack([stored["out0"], stored["out1"]], axis=1)
    assert np.abs(answer - expected).max() / np.abs(expected).max() < 1e-5

    renamed = {("pre.0.conv.wieght" if k == "pre.0.conv.weight" else k): v for k, v in weights.items()}
    renamed = {("conv1.wieght" if k == "conv1.weight" else k): v for k, v in renamed.items()}
    with pytest.raises(checkpoints.CheckpointError, match=r"missing conv\.weight.*unexpected"):
        checkpoints.fill(build(16, stacks=2, early=early), convert(renamed))
