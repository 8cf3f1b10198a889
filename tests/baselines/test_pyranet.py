"""Initial weights of a multi-branch network: activations and gradients neither grow nor vanish (section 4.1)."""

import pytest
import torch

from baselines import registry
from baselines.models import pyranet

UNITS, CHANNELS = 10, 64


def _one_branch(unit: torch.nn.Module) -> None:
    """The usual weights, as if every layer had one branch before and after it: 4 / (n_i + n_o) behind a ReLU."""
    for module in unit.modules():
        if isinstance(module, torch.nn.Conv2d):
            weights = module.kernel_size[0] ** 2 * (module.in_channels + module.out_channels)
            torch.nn.init.normal_(module.weight, std=(4 / weights) ** 0.5)


def _a_unit(cardinality: int, plain: bool) -> tuple[float, float]:
    """How much larger the mean square of the activations is one unit later, and of the gradients one unit earlier:
    the geometric mean over ten units and six seeds.

    Batch normalisation with the statistics that it begins with changes nothing, so the network is a plain one; the
    skips, whose variances add up by design (section 4.2), are left out.
    """
    logs = []
    for seed in range(6):
        torch.manual_seed(seed)
        units = [pyranet.Residual(CHANNELS, CHANNELS, (16, cardinality)).eval() for _ in range(UNITS)]
        images = torch.randn(2, CHANNELS, 24, 24, requires_grad=True)
        x = images
        for unit in units:
            (_one_branch if plain else pyranet.begin)(unit)
            x = unit(x) - x
        back = torch.randn_like(x)
        (gradient,) = torch.autograd.grad((x * back).sum(), images)
        logs.append(torch.stack([x.detach().square().mean(), gradient.square().mean()]).log())
    forward, backward = (torch.stack(logs).mean(dim=0) / UNITS).exp().tolist()
    return forward, backward


@pytest.mark.parametrize("cardinality", [4, 8])
def test_activations_and_gradients_keep_their_magnitude(cardinality):
    forward, backward = _a_unit(cardinality, plain=False)
    assert 0.7 < forward < 1.45  # max pooling selects the larger ones, so it is a little above 1
    assert 0.8 < backward < 1.25
    # without the branches: 2 for the two inputs of the last layer, and more for those of the pyramid
    forward, backward = _a_unit(cardinality, plain=True)
    assert forward > 2.4 and backward > 2.0


def test_weights_by_hand():
    torch.manual_seed(0)
    # C_i = 4 branches of 64 * 9 weights, C_o = 2 of 128 * 9: 4 / (2304 + 2304) behind a ReLU, half of it without
    for rectified, variance in ((True, 4 / 4608), (False, 2 / 4608)):
        layer = pyranet.Convolution(64, 128, 3, sums=4, copies=2, rectified=rectified)
        layer.begin()
        assert float(layer.weight.detach().var()) == pytest.approx(variance, rel=0.03)  # of 73,728 drawn weights
        assert not layer.bias.any()
    # one branch: Glorot and Bengio's 2 / (n_i + n_o)
    layer = pyranet.Convolution(256, 256, 1, rectified=False)
    layer.begin()
    assert float(layer.weight.detach().var()) == pytest.approx(2 / 512, rel=0.03)


def test_every_layer_accounts_for_its_branches():
    """The standard deviation of each layer of a unit says how many branches it counts, within a few per cent."""
    torch.manual_seed(0)
    unit = pyranet.Residual(256, 256, (64, 4))
    pyranet.begin(unit)
    assert unit.pyramid is not None
    found = {
        "to the pyramid": (unit.pyramid[0][2], 4 / (256 + 4 * 64)),  # the input of all four levels
        "level": (unit.pyramid[1].levels[2], 4 / (9 * (64 + 64))),
        "from the pyramid": (unit.pyramid[2][2], 4 / (4 * 64 + 128)),  # its input is the sum of four
        "last": (unit.last[2], 4 / (2 * 128 + 256)),  # its input is the sum of both branches
        "local": (unit.local[0][2], 4 / (256 + 128)),
    }
    for name, (layer, variance) in found.items():
        assert float(layer.weight.detach().var()) == pytest.approx(variance, rel=0.06), name
    alone = pyranet.Residual(256, 256, None)
    pyranet.begin(alone)
    assert float(alone.last[2].weight.detach().var()) == pytest.approx(4 / (128 + 256), rel=0.06)


VARIANTS = registry.card("pyranet").variants


def test_the_full_network_starts_as_in_the_paper_and_the_narrow_one_as_in_pytorch():
    for settings, largest in ((VARIANTS["full"], 4 / (256 + 256)), (VARIANTS["narrow"], 1 / (3 * 32))):
        torch.manual_seed(0)
        arguments = {key: value for key, value in settings.items() if key not in ("joints", "input_size")}
        network = pyranet.build(16, **{**arguments, "stacks": 2})
        # one branch to and from it; PyTorch draws evenly up to 1 / sqrt(n_i): a variance of 1 / (3 n_i)
        assert float(network.from_features[0].weight.detach().var()) == pytest.approx(largest, rel=0.15)
        # nothing follows the heatmaps: they start from PyTorch's weights
        assert float(network.heatmaps[0].weight.detach().abs().max()) <= settings["channels"] ** -0.5
