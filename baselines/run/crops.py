"""Cuts people out of images.

Coordinates inside this module are continuous: pixel i covers i to i + 1, so its centre is at i + 0.5. Joints in files
count pixel centres as whole numbers; `to_continuous` and `to_pixels` convert between the two. A crop is a matrix [2, 3]
from the image's continuous coordinates to those of the crop.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Matrix = NDArray[np.float64]
IMAGE_PADDING = 1.1  # of the crop around a whole image, where a benchmark gives no boxes


def to_continuous(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pixel coordinates (centres at whole numbers) to continuous ones."""
    return pixels + 0.5


def to_pixels(continuous: NDArray[np.float64]) -> NDArray[np.float64]:
    """Continuous coordinates to pixel coordinates (centres at whole numbers)."""
    return continuous - 0.5


def box_crop(box: tuple[float, float, float, float], size: tuple[int, int], padding: float = 1.25) -> Matrix:
    """The crop [2, 3] around `box` (x, y, w, h) that fills `size` (width, height).

    The box is widened to the shape of the crop around its centre, then both sides are multiplied with `padding`.
    """
    x, y, w, h = box
    scale = min(size[0] / max(w, 1.0), size[1] / max(h, 1.0)) / padding
    return np.array([[scale, 0.0, size[0] / 2 - scale * (x + w / 2)], [0.0, scale, size[1] / 2 - scale * (y + h / 2)]])


def turned(
    matrix: Matrix, size: tuple[int, int], *, angle: float = 0.0, scale: float = 1.0, flip: bool = False
) -> Matrix:
    """A crop turned by `angle` radians, magnified by `scale` and mirrored, about the middle of the crop of `size`."""
    centre = np.array([size[0] / 2, size[1] / 2])
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    linear = np.array([[-c if flip else c, s if flip else -s], [s, c]])
    moved = matrix.copy()
    moved[:, 2] -= centre
    moved = linear @ moved
    moved[:, 2] += centre
    return moved


def apply(matrix: Matrix, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points [..., 2] through a matrix [2, 3]."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def inverse(matrix: Matrix) -> Matrix:
    """The matrix [2, 3] that undoes another."""
    linear = np.linalg.inv(matrix[:, :2])
    return np.concatenate([linear, -(linear @ matrix[:, 2:])], axis=1)


def warp(
    image: Image.Image, matrix: Matrix, size: tuple[int, int], fill: tuple[int, int, int] = (0, 0, 0)
) -> Image.Image:
    """The crop of `size` (width, height), bilinear. An image that shrinks by 2 or more is averaged first, against
    aliasing."""
    shrink = 1.0 / np.sqrt(max(abs(np.linalg.det(matrix[:, :2])), 1e-12))
    if shrink >= 2.0:
        factor = min(int(shrink), *image.size)
        image = image.reduce(factor)
        matrix = matrix * [[factor, factor, 1.0], [factor, factor, 1.0]]
    back = inverse(matrix).ravel().tolist()
    return image.transform(size, Image.Transform.AFFINE, back, Image.Resampling.BILINEAR, fillcolor=fill)
