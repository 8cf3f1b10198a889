"""The networks have the sizes, the costs and the output shapes that their papers (or releases) print."""

import subprocess
import sys

import pytest
import torch

import baselines
from baselines import costs
from baselines.estimators import BaselineFailed

# parameters exact; GMAC within 1 %
PUBLISHED = [
    ("hrnet", "w32", 28_536_113, 7.65),
    ("hrnet", "w32-384x288", 28_536_113, 17.20),
    ("hrnet", "w32-mpii", 28_536_080, None),
    ("hrnet", "w48", 63_595_745, 15.69),
    ("hrnet", "w48-384x288", 63_595_745, 35.31),
    ("simple_baseline", "r50", 33_999_697, None),
    ("cpm", "full", 31_219_866, 175.4),
    ("cpm", "flic", 21_323_816, None),
    ("rmpe", "fastpose-r50", 40_577_745, 5.89),
    ("rmpe", "fastpose-r152", 75_213_521, None),
]


def _variant(name, variant):
    settings = dict(baselines.module(name).VARIANTS[variant])
    size, joints = settings.pop("input_size"), settings.pop("joints")
    return settings, size, joints


@pytest.mark.parametrize(("name", "variant", "parameters", "gmacs"), PUBLISHED)
def test_size_and_cost_are_the_published_ones(name, variant, parameters, gmacs):
    settings, size, joints = _variant(name, variant)
    with torch.device("meta"):
        network = baselines.module(name).build(joints, **settings)
    assert costs.parameters(network) == parameters
    if gmacs is not None:
        assert costs.gmacs(network, size) == pytest.approx(gmacs, rel=0.01)


STRIDES = {"hrnet": 4, "simple_baseline": 4, "rmpe": 4, "cpm": 8}


@pytest.mark.parametrize("name", STRIDES)
def test_narrow_variants_give_heatmaps_stage_by_stage_and_learn(name):
    """Images [B, 3, H, W] to [B, stages, K, H / stride, W / stride]; a gradient step on one batch lowers the error."""
    torch.manual_seed(0)
    settings, (width, height), _ = _variant(name, "narrow")
    network = baselines.module(name).build(5, **settings)
    images = torch.randn(2, 3, height, width)
    stages = settings.get("stages", 1)
    target = torch.zeros(2, 1, 5, height // STRIDES[name], width // STRIDES[name])
    target[:, :, :, 3:6, 4:7] = 1.0
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    errors = []
    for _ in range(12):
        answer = network(images)
        assert answer.shape == (2, stages, 5, height // STRIDES[name], width // STRIDES[name])
        error = (answer - target).square().mean()
        optimiser.zero_grad()
        error.backward()
        assert all(p.grad is not None for p in network.parameters() if p.requires_grad) or name == "cpm"
        optimiser.step()
        errors.append(error.item())
    assert errors[-1] < 0.7 * errors[0]


def test_a_network_without_weights_is_listed_and_says_so_when_it_is_to_run():
    without = [name for name in baselines.architectures() if name not in baselines.names()]
    assert {"hrnet", "cpm", "rmpe", "simple_baseline"} <= set(without)
    for name in without:
        with pytest.raises(BaselineFailed) as refused:
            baselines.load(name, "coco")
        assert refused.value.code == "no_checkpoint"


def test_asking_for_names_does_not_import_torch():
    script = "import sys, baselines; baselines.names(), baselines.architectures(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


def test_the_first_stage_of_cpm_does_not_see_the_centre_and_the_later_ones_do():
    torch.manual_seed(1)
    network = baselines.module("cpm").build(3, stages=2, channels=8, features=4, wide=8).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        middle = network.beliefs(images)
        corner = network.beliefs(images, torch.zeros(1, 1, 64, 64))
    assert middle.shape == (1, 2, 4, 8, 8)  # three joints and the background
    assert torch.equal(middle[:, 0], corner[:, 0]) and not torch.equal(middle[:, 1], corner[:, 1])
