"""Heatmaps: targets for training, decoding for predicting. Coordinates are heatmap pixels, centres at whole numbers."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


def gaussian_targets(joints: Floats, weights: Floats, size: tuple[int, int], sigma: float) -> NDArray[np.float32]:
    """Gaussians of height 1 around joints [N, K, 2] on heatmaps [N, K, H, W]; `size` is (width, height).

    Joints of weight [N, K] 0 give empty heatmaps. Tompson et al. 2014; sigma 1 in Stacked Hourglass, 2 in HRNet.
    """
    columns, rows = np.arange(size[0]), np.arange(size[1])
    horizontal = np.exp(-((columns - joints[..., :1]) ** 2) / (2 * sigma**2))  # [N, K, W]
    vertical = np.exp(-((rows - joints[..., 1:]) ** 2) / (2 * sigma**2))  # [N, K, H]
    maps = vertical[..., :, None] * horizontal[..., None, :]
    return np.where((weights > 0)[..., None, None], maps, 0.0).astype(np.float32)


def decode(heatmaps: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Heatmaps [N, K, H, W] to joints [N, K, 2] and peak values [N, K].

    The peak, moved a quarter pixel towards the larger neighbour on each axis (Newell et al. 2016, section 3.4), but not
    at the border: two pixels at the left and above, one at the right and below, as HRNet's toolkit has it.
    """
    n, k, height, width = heatmaps.shape
    flat = heatmaps.reshape(n, k, height * width)
    peak = flat.argmax(axis=2)
    values = np.take_along_axis(flat, peak[..., None], axis=2)[..., 0].astype(np.float64)
    u, v = peak % width, peak // width
    joints = np.stack([u, v], axis=-1).astype(np.float64)
    i, j = np.ogrid[:n, :k]
    across = heatmaps[i, j, v, np.minimum(u + 1, width - 1)] - heatmaps[i, j, v, np.maximum(u - 1, 0)]
    down = heatmaps[i, j, np.minimum(v + 1, height - 1), u] - heatmaps[i, j, np.maximum(v - 1, 0), u]
    inside = (u > 1) & (u < width - 1) & (v > 1) & (v < height - 1)
    joints[..., 0] += np.where(inside, 0.25 * np.sign(across), 0.0)
    joints[..., 1] += np.where(inside, 0.25 * np.sign(down), 0.0)
    return joints, values


def flip_order(joints: tuple[str, ...], pairs: list[tuple[str, str]] | tuple[tuple[str, str], ...]) -> list[int]:
    """For each joint the index of its mirrored joint."""
    index = {name: k for k, name in enumerate(joints)}
    order = list(range(len(joints)))
    for left, right in pairs:
        order[index[left]], order[index[right]] = index[right], index[left]
    return order


def flip_back(heatmaps: Floats, order: list[int], *, shift: bool = False) -> Floats:
    """Heatmaps [N, K, H, W] of mirrored images as heatmaps of the images.

    `shift`: one pixel to the right, the first column stays. For networks whose heatmap pixel u stands for pixel s u of
    the crop: of a mirrored crop of s W pixels that is s W - 1 - s u, nearly a pixel further left (HRNet's toolkit).
    """
    back = heatmaps[:, order, :, ::-1]
    return np.concatenate([back[..., :1], back[..., :-1]], axis=-1) if shift else back


def softmax(logits: Floats) -> NDArray[np.float64]:
    """Each heatmap [..., H, W] as a distribution over its pixels, for networks trained with the cross-entropy."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=(-2, -1), keepdims=True))
    return shifted / shifted.sum(axis=(-2, -1), keepdims=True)
