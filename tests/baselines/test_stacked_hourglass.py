"""The hourglass network has the size, cost and shapes of the paper."""

import pytest
import torch

from baselines import registry
from baselines.devices import costs
from baselines.models.stacked_hourglass import build
from baselines.train.objectives import heatmap_loss


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


def test_heatmaps_come_per_stage_at_a_quarter_of_the_input_size():
    variant = dict(registry.card("stacked_hourglass").variants["narrow"])
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
        loss = heatmap_loss(kind, network(images), targets, weights)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]
