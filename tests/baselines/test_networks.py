"""The networks have the sizes, the costs and the output shapes given in their papers or releases."""

import subprocess
import sys

import pytest
import torch

import baselines
from baselines import registry
from baselines.devices import costs
from baselines.models.initial_weights import keep_variance
from baselines.protocol import BaselineFailed

# parameters exact; GMAC within 1%
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
    ("jain2014", "full", 1_386_381, None),
    ("deepercut", "r152", 65_835_884, 142.5),
    ("deepercut", "r101", 43_274_346, None),
    ("pyranet", "full", 28_131_832, 21.26 * 2**30 / 1e9),
]


def _variant(name, variant):
    settings = dict(registry.card(name).variants[variant])
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


def test_multi_context_attention_is_about_the_size_of_a_port():
    settings, size, joints = _variant("multi_context_attention", "full")
    with torch.device("meta"):
        network = baselines.module("multi_context_attention").build(joints, **settings)
    assert costs.parameters(network) == pytest.approx(58.3e6, rel=0.02)
    assert costs.gmacs(network, size) == pytest.approx(63.9, rel=0.01)


STRIDES = {
    "hrnet": 4,
    "simple_baseline": 4,
    "rmpe": 4,
    "pyranet": 4,
    "multi_context_attention": 4,
    "cpm": 8,
    "deepercut": 8,
}


@pytest.mark.parametrize("name", STRIDES)
def test_narrow_variants_return_heatmaps_per_stage_and_learn(name):
    """Images [B, 3, H, W] to [B, stages, K, H / stride, W / stride]; a gradient step on one batch lowers the error."""
    torch.manual_seed(0)
    settings, (width, height) = _variant(name, "narrow")[0], (64, 96)
    network = baselines.module(name).build(5, **settings)
    images = torch.randn(2, 3, height, width)
    stages = settings.get("stages", settings.get("stacks", 1))
    target = torch.zeros(2, 1, 5, height // STRIDES[name], width // STRIDES[name])
    target[:, :, :, 3:6, 4:7] = 1.0
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    errors = []
    for _ in range(10):
        output = network(images)
        assert output.shape == (2, stages, 5, height // STRIDES[name], width // STRIDES[name])
        error = (output - target).square().mean()
        optimiser.zero_grad()
        error.backward()
        optimiser.step()
        errors.append(error.item())
    assert errors[-1] < 0.7 * errors[0]


def test_running_a_variant_without_weights_says_so():
    for name, variant in (("hrnet", "w32"), ("cpm", "full"), ("rmpe", "fastpose-r50"), ("deepercut", "r152")):
        with pytest.raises(BaselineFailed) as failure:
            baselines.load(name, "coco", variant=variant)
        assert failure.value.code == "no_checkpoint"


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


def test_jain_runs_windows_over_a_whole_image():
    """A response of the whole image is that of its window alone, away from the normalisation's border."""
    torch.manual_seed(0)
    jain = baselines.module("jain2014")
    with torch.device("meta"):
        assert jain.build(4)(torch.empty(1, 3, 240, 320)).shape == (1, 1, 4, 45, 65)
    detector = jain.build(1, channels=(4, 4, 4), linear=(8, 4)).eval().windows
    images = torch.randn(1, 3, 96, 112)
    with torch.inference_mode():
        whole = detector(images)
        for row, column in ((0, 0), (3, 5), (8, 12)):
            y, x = row * jain.STRIDE, column * jain.STRIDE
            alone = detector(images[:, :, y : y + jain.WINDOW, x : x + jain.WINDOW])
            assert alone.shape == (1, 1, 1, 1)
            assert whole[0, 0, row, column].item() == pytest.approx(alone.item(), abs=1e-5)


def test_the_joint_detectors_of_jain_share_no_weights():
    """Weights of one joint's group in any layer change the output of that joint alone."""
    torch.manual_seed(0)
    jain = baselines.module("jain2014")
    network = jain.build(3, channels=(2, 3, 4), linear=(5, 6)).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        before = network.windows(images)[0, :, 0, 0]  # [3]
        for name in ("conv1", "conv2", "conv3", "linear1", "linear2", "linear3"):
            layer = network.get_submodule(name)
            group = len(layer.bias) // 3
            layer.bias[group : 2 * group] += 0.5  # of the second joint
            after = network.windows(images)[0, :, 0, 0]
            assert (after != before).tolist() == [False, True, False], name
            before = after


def test_initial_weights_preserve_the_variance():
    """Behind ten layers of 3x3 and ReLU, normal input keeps its mean square within a factor of three. With PyTorch's
    own initialisation (variance 1 / (3 fan-in)) each layer would leave a sixth of it, after ten 2e-8."""
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(64, 64, 3, padding=1, padding_mode="circular") for _ in range(10)]
    keep_variance(layers)
    x = torch.randn(4, 64, 12, 12)
    with torch.inference_mode():
        for layer in layers:
            assert layer.bias.abs().max() == 0 and layer.weight.var().item() == pytest.approx(2 / (64 * 9), rel=0.05)
            x = torch.relu(layer(x))
    assert 1 / 3 < x.square().mean().item() < 3


def test_contrast_normalisation_removes_brightness_and_contrast():
    torch.manual_seed(0)
    jain = baselines.module("jain2014")
    images = torch.rand(1, 3, 40, 40)
    plain = jain.contrast_normalised(images)
    assert torch.allclose(jain.contrast_normalised(images * 3 + 7), plain, atol=1e-3)
    assert jain.contrast_normalised(torch.full((1, 3, 20, 20), 0.7)).abs().max() < 1e-3


def test_deepercut_returns_scores_offsets_and_pairs_at_stride_8():
    deepercut = baselines.module("deepercut")
    with torch.device("meta"):
        maps = deepercut.build(14).maps(torch.empty(1, 3, 688, 688))
    assert maps.scores.shape == (1, 14, 86, 86) and maps.offsets.shape == (1, 14, 2, 86, 86)
    assert maps.pairs.shape == (1, 14 * 13, 2, 86, 86)
    # column 3, row 2, offset (1, -2): 3 * 8 + 4 + 7.2801 and 2 * 8 + 4 - 2 * 7.2801
    offsets = torch.zeros(1, 1, 2, 4, 5)
    offsets[0, 0, :, 2, 3] = torch.tensor([1.0, -2.0])
    network = deepercut.build(3, depth=18, width=8)
    assert network.positions(offsets)[0, 0, :, 2, 3].tolist() == pytest.approx([35.2801, 5.4398], abs=1e-4)
    network.pair_mean.copy_(torch.arange(12.0))
    network.pair_deviation.fill_(2.0)
    # pair 4's y is number 9: 2 * 1.5 + 9
    assert network.pair_pixels(torch.full((1, 6, 2, 1, 1), 1.5))[0, 4, 1].item() == 12.0


def test_pyranet_is_deterministic_in_evaluation_mode():
    torch.manual_seed(0)
    network = baselines.module("pyranet").build(3, stacks=1, channels=16, levels=2, base=4).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(network(images), network(images))


def test_attention_by_hand():
    """U = 1 everywhere, k = 0.5 in the middle: Q1 = s(1.5), Q2 = s(0.5 Q1 + 1), Q3 = s(0.5 Q2 + 1)."""
    field = baselines.module("multi_context_attention").MeanField(2, reach=3)
    with torch.no_grad():
        field.kernel.weight.zero_()
        field.kernel.weight[0, 0, 1, 1] = 0.5
        output = field(torch.ones(1, 2, 4, 4))
    # s(1.5) = 0.817574, s(1.408787) = 0.803575, s(1.401787) = 0.802467; the second map has no kernel: s(1) = 0.731059
    assert output[0, 0].flatten().tolist() == pytest.approx([0.802467] * 16, abs=1e-5)
    assert output[0, 1].flatten().tolist() == pytest.approx([0.731059] * 16, abs=1e-5)


def test_part_attention_weights_the_features_of_its_joint():
    """A heatmap is the joint's 1x1 convolution of the features that its own map has weighed (h_p = w_p . (Q_p f))."""
    torch.manual_seed(0)
    stack = baselines.module("multi_context_attention").Stack(2, 8, 3, per_joint=True).eval()
    captured = {}
    stack.after.register_forward_hook(lambda module, given, output: captured.update(features=output))
    stack.field.register_forward_hook(lambda module, given, output: captured.update(maps=output))
    with torch.no_grad():
        stack.bias.copy_(torch.tensor([1.0, 2.0, 3.0]))
        features, heatmaps = stack(torch.randn(2, 8, 16, 16))
        assert torch.equal(features, captured["features"]) and captured["maps"].shape == (2, 3, 16, 16)
        for k in range(3):
            weighed = features * captured["maps"][:, k : k + 1]  # [2, 8, 16, 16]
            expected = torch.nn.functional.conv2d(weighed, stack.scores.weight[k : k + 1]) + stack.bias[k]
            assert torch.allclose(heatmaps[:, k : k + 1], expected, atol=1e-6)


def test_the_fractional_pyramid_has_the_sizes_of_the_paper():
    """Cardinality 4: 64 pixels shrink to 53, 45, 38 and 32 (64 * 2^(-c/4), rounded down)."""
    pyranet = baselines.module("pyranet")
    pyramid = pyranet.Pyramid(2, 4).eval()
    sizes = []
    for level in pyramid.levels:
        level.register_forward_hook(lambda module, given, output: sizes.append(tuple(given[0].shape[2:])))
    with torch.inference_mode():
        assert pyramid(torch.randn(1, 2, 64, 48)).shape == (1, 2, 64, 48)
    assert sizes == [(53, 40), (45, 33), (38, 28), (32, 24)]
