"""Maps of several scales are aligned."""

import pytest
import torch

from baselines.decode import heatmaps
from baselines.decode.scale_search import search, zoomed


def test_zooming_by_hand():
    # a spot around (10, 6) of 16 x 16: 2 right of the middle and 2 above; twice as large it is around (12, 4)
    maps = torch.zeros(1, 1, 16, 16)
    maps[0, 0, 5:7, 9:11] = 1.0

    def middle(image: torch.Tensor) -> list[float]:
        place = torch.arange(len(image)) + 0.5
        return [float((image.sum(dim=axis) * place).sum() / image.sum()) for axis in (0, 1)]

    large = zoomed(maps, 2.0, (16, 16))[0, 0]
    assert middle(large) == pytest.approx([12.0, 4.0]) and float(large.sum()) == pytest.approx(16.0)
    # on a grid twice as fine, without a change of scale
    assert middle(zoomed(maps, 1.0, (32, 32))[0, 0]) == pytest.approx([20.0, 12.0])


def _network(images: torch.Tensor) -> torch.Tensor:
    """Its heatmap is the first channel at a quarter of the size."""
    return torch.nn.functional.avg_pool2d(images[:, :1], 4)


@pytest.mark.parametrize("finer", [1, 4])
def test_a_joint_is_found_where_it_is_at_every_scale(finer):
    joint = torch.tensor([70.0, 44.0])  # continuous pixels of 128 x 96
    x, y = torch.arange(128) + 0.5, torch.arange(96) + 0.5
    spot = torch.exp(-((x[None] - joint[0]) ** 2 + (y[:, None] - joint[1]) ** 2) / (2 * 8.0**2))
    images = spot[None, None].repeat(1, 3, 1, 1)
    for scales in ((0.8,), (1.2,), (0.8, 0.9, 1.0, 1.1, 1.2)):
        maps = search(_network, images, scales, finer)
        assert maps.shape == (1, 1, 24 * finer, 32 * finer)
        found, _ = heatmaps.decode_dark(maps.numpy(), sigma=2.0 * finer)
        assert (found[0, 0] + 0.5) * 4 / finer == pytest.approx(joint.tolist(), abs=0.25)
    plain = search(_network, images, (1.0,))
    assert torch.equal(plain, _network(images))
    with pytest.raises(ValueError, match="no scales"):
        search(_network, images, ())
