"""Heatmaps: targets for training, and decoding. Coordinates are heatmap pixels, centres at whole numbers."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Indices = NDArray[np.intp]


def gaussian_targets(joints: Floats, weights: Floats, size: tuple[int, int], sigma: float) -> NDArray[np.float32]:
    """Gaussians of height 1 around joints [N, K, 2] on heatmaps [N, K, H, W]; `size` is (width, height).

    Joints of weight [N, K] 0 give empty heatmaps. Tompson et al. 2014; sigma 1 in Stacked Hourglass, 2 in HRNet.
    """
    columns, rows = np.arange(size[0]), np.arange(size[1])
    horizontal = np.exp(-((columns - joints[..., :1]) ** 2) / (2 * sigma**2))  # [N, K, W]
    vertical = np.exp(-((rows - joints[..., 1:]) ** 2) / (2 * sigma**2))  # [N, K, H]
    maps = vertical[..., :, None] * horizontal[..., None, :]
    return np.where((weights > 0)[..., None, None], maps, 0.0).astype(np.float32)


def decode_peak(heatmaps: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Heatmaps [N, K, H, W] to joints [N, K, 2], the highest pixels, and their values [N, K]."""
    return _peaks(heatmaps)[:2]


def decode(heatmaps: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Heatmaps [N, K, H, W] to joints [N, K, 2] and peak values [N, K].

    The peak, moved a quarter pixel towards the larger neighbour on each axis (Newell et al. 2016, section 3.4), but not
    at the border: two pixels at the left and above, one at the right and below, as in HRNet's toolkit.
    """
    joints, values, u, v = _peaks(heatmaps)
    i, j = np.ogrid[: len(heatmaps), : heatmaps.shape[1]]
    return joints + _quarter(heatmaps, i, j, v, u), values


def _quarter(heatmaps: Floats, i: Indices, j: Indices, v: Indices, u: Indices) -> NDArray[np.float64]:
    """A quarter pixel towards the larger neighbour of the pixels (u, v) of the maps (i, j), x and y."""
    height, width = heatmaps.shape[2:]
    across = heatmaps[i, j, v, np.minimum(u + 1, width - 1)] - heatmaps[i, j, v, np.maximum(u - 1, 0)]
    down = heatmaps[i, j, np.minimum(v + 1, height - 1), u] - heatmaps[i, j, np.maximum(v - 1, 0), u]
    inside = (u > 1) & (u < width - 1) & (v > 1) & (v < height - 1)
    return np.where(inside[..., None], 0.25 * np.sign(np.stack([across, down], axis=-1)), 0.0)


def maxima(
    heatmaps: Floats, most: int, share: float
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """The local maxima of heatmaps [K, H, W]: their maps [N], places [N, 2] as `decode` has them, and values [N].

    A maximum is at least as high as its eight neighbours, and higher than some other pixel of its map. Of each
    map the `most` highest with at least a `share` of its highest pixel are returned, best first.
    """
    height, width = heatmaps.shape[1:]
    padded = np.pad(heatmaps, ((0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    around = np.max([padded[:, y : y + height, x : x + width] for y in range(3) for x in range(3)], axis=0)
    peak, lowest = heatmaps.max(axis=(1, 2), keepdims=True), heatmaps.min(axis=(1, 2), keepdims=True)
    k, v, u = np.nonzero((heatmaps >= around) & (heatmaps >= share * peak) & (heatmaps > lowest))
    order = np.lexsort((-heatmaps[k, v, u], k))
    k, v, u = k[order], v[order], u[order]
    first = np.searchsorted(k, k)  # where the maxima of the same map begin
    chosen = np.arange(len(k)) - first < most
    k, v, u = k[chosen], v[chosen], u[chosen]
    places = np.stack([u, v], axis=-1) + _quarter(heatmaps[None], np.zeros_like(k), k, v, u)
    return k.astype(np.int64), places, heatmaps[k, v, u].astype(np.float64)


def decode_vertex(heatmaps: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Heatmaps [N, K, H, W] to joints [N, K, 2] and peak values [N, K].

    The vertex of the parabola through the logarithms of the peak and its two neighbours, on each axis: exact for a
    Gaussian along the axes of any sigma, whose logarithm is a parabola. At the border the peak stays where it is.
    """
    height, width = heatmaps.shape[2:]
    joints, values, u, v = _peaks(heatmaps)
    i, j = np.ogrid[: len(heatmaps), : heatmaps.shape[1]]

    def logarithm(down: int, right: int) -> NDArray[np.float64]:
        beside = heatmaps[i, j, np.clip(v + down, 0, height - 1), np.clip(u + right, 0, width - 1)]
        return np.log(np.maximum(beside.astype(np.float64), 1e-30))  # [N, K]

    peak = logarithm(0, 0)
    for axis, (place, last, down, right) in enumerate(((u, width - 1, 0, 1), (v, height - 1, 1, 0))):
        before, after = logarithm(-down, -right), logarithm(down, right)
        bend = before - 2 * peak + after
        hill = (place > 0) & (place < last) & (bend < 0)
        joints[..., axis] += np.where(hill, (before - after) / (2 * np.where(hill, bend, 1.0)), 0.0)
    return joints, values


def decode_dark(heatmaps: Floats, sigma: float = 2.0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Heatmaps [N, K, H, W] to joints [N, K, 2] and peak values [N, K], by the shape of the peak.

    Zhang et al., Distribution-Aware Coordinate Representation, CVPR 2020 (arXiv 1910.06278): heatmaps are smoothed with
    the Gaussian of their targets (`sigma` pixels; equation 9), and the maximum of the quadratic that the logarithm is
    near the peak lies at peak - H^-1 D, of derivatives over two pixels (equation 8). The peak is not moved within two
    pixels of the border, nor where the surface is no hill. This is `mmpose`'s decoding for Gaussians of sigma 2 (a
    kernel of 11).
    """
    height, width = heatmaps.shape[2:]
    joints, values, u, v = _peaks(heatmaps)
    reach = round(2.5 * sigma)
    line = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    band = np.zeros((5, 5 + 2 * reach))  # the five places around the peak, from all pixels under a kernel there
    for place in range(5):
        band[place, place : place + len(line)] = line / line.sum()
    rim = reach + 2
    padded = np.pad(heatmaps, ((0, 0), (0, 0), (rim, rim), (rim, rim)))
    i, j = (index[..., None, None] for index in np.ogrid[: len(heatmaps), : heatmaps.shape[1]])
    step = np.arange(2 * rim + 1)
    window = padded[i, j, v[..., None, None] + step[:, None], u[..., None, None] + step].astype(np.float64)
    smooth = band @ window @ band.T  # [N, K, 5, 5] around the peak
    surface = np.log(np.maximum(smooth, 1e-10))
    dx = (surface[..., 2, 3] - surface[..., 2, 1]) / 2
    dy = (surface[..., 3, 2] - surface[..., 1, 2]) / 2
    dxx = (surface[..., 2, 4] - 2 * surface[..., 2, 2] + surface[..., 2, 0]) / 4
    dyy = (surface[..., 4, 2] - 2 * surface[..., 2, 2] + surface[..., 0, 2]) / 4
    dxy = (surface[..., 3, 3] - surface[..., 1, 3] - surface[..., 3, 1] + surface[..., 1, 1]) / 4
    determinant = dxx * dyy - dxy**2
    hill = (determinant > 0) & (dxx < 0) & (u > 1) & (u < width - 2) & (v > 1) & (v < height - 2)
    determinant = np.where(hill, determinant, 1.0)
    joints[..., 0] -= np.where(hill, (dyy * dx - dxy * dy) / determinant, 0.0)
    joints[..., 1] -= np.where(hill, (dxx * dy - dxy * dx) / determinant, 0.0)
    return joints, values


def _peaks(
    heatmaps: Floats,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp], NDArray[np.intp]]:
    """The highest pixel of heatmaps [N, K, H, W]: as joints [N, K, 2], its value, its column and its row [N, K]."""
    flat = heatmaps.reshape(*heatmaps.shape[:2], -1)
    peak = flat.argmax(axis=2)
    values = np.take_along_axis(flat, peak[..., None], axis=2)[..., 0].astype(np.float64)
    u, v = peak % heatmaps.shape[3], peak // heatmaps.shape[3]
    return np.stack([u, v], axis=-1).astype(np.float64), values, u, v


DECODERS = {"peak": decode_peak, "quarter": decode, "vertex": decode_vertex, "dark": decode_dark}


def flip_order(joints: tuple[str, ...], pairs: list[tuple[str, str]] | tuple[tuple[str, str], ...]) -> list[int]:
    """For each joint the index of its mirrored joint."""
    index = {name: k for k, name in enumerate(joints)}
    order = list(range(len(joints)))
    for left, right in pairs:
        order[index[left]], order[index[right]] = index[right], index[left]
    return order


def flip_back(heatmaps: Floats, order: list[int], *, shift: bool = False) -> Floats:
    """Heatmaps [N, K, H, W] of mirrored images as heatmaps of the images.

    `shift` moves them one pixel to the right, except for the first column. It is for networks whose heatmap pixel u is
    pixel s u of the crop: in a mirrored crop of s W pixels that is s W - 1 - s u, nearly a pixel further left (HRNet's
    toolkit).
    """
    back = heatmaps[:, order, :, ::-1]
    return np.concatenate([back[..., :1], back[..., :-1]], axis=-1) if shift else back


def softmax(logits: Floats) -> NDArray[np.float64]:
    """Each heatmap [..., H, W] as a distribution over its pixels, for networks trained with the cross-entropy."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=(-2, -1), keepdims=True))
    return shifted / shifted.sum(axis=(-2, -1), keepdims=True)
