"""The average heatmaps of a person at several scales.

The size of a person in a crop is known only roughly, so Convolutional Pose Machines looks at several scales and takes
the mean of the maps, brought to the same frame (Wei et al. 2016, section 4.2: scales around the given one).
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def zoomed(maps: Tensor, scale: float, size: tuple[int, int]) -> Tensor:
    """Maps [B, C, h, w], magnified by `scale` about their middle, sampled bilinearly on `size` (width, height).

    What lies outside is zero.
    """
    theta = torch.tensor([[1 / scale, 0.0, 0.0], [0.0, 1 / scale, 0.0]], dtype=maps.dtype, device=maps.device)
    batch, channels = maps.shape[:2]
    grid = F.affine_grid(theta.expand(batch, 2, 3), [batch, channels, size[1], size[0]], align_corners=False)
    return F.grid_sample(maps, grid, align_corners=False)  # [B, C, H, W]


def search(network: Callable[[Tensor], Tensor], images: Tensor, scales: Sequence[float], finer: int = 1) -> Tensor:
    """The mean heatmaps of images [B, 3, H, W] at all scales, in the frame of the images: [B, K, finer h, finer w].

    `network` gives heatmaps [B, K, h, w] of images. `finer`: how many times finer than its own maps the result is.
    Beyond their border images count as zero, so they should be normalised to zero where there is nothing.
    """
    width, height = images.shape[3], images.shape[2]
    total: Tensor | None = None
    for scale in scales:
        maps = network(images if scale == 1.0 else zoomed(images, scale, (width, height)))  # [B, K, h, w]
        size = maps.shape[3] * finer, maps.shape[2] * finer
        back = maps if scale == 1.0 and finer == 1 else zoomed(maps, 1 / scale, size)  # [B, K, finer h, finer w]
        total = back if total is None else total + back
    if total is None:
        raise ValueError("no scales")
    return total / len(scales)
