"""Reading images, and cutting people out of them.

Coordinates inside this module are continuous: pixel i covers i to i + 1, so its centre is at i + 0.5. Joints in files
count pixel centres as whole numbers; `to_continuous` and `to_pixels` go between the two. A crop is a matrix [2, 3]
from the image's continuous coordinates to those of the crop.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

Matrix = NDArray[np.float64]
LARGEST_IMAGE = 100_000_000  # pixels: more is refused before it is decoded
IMAGE_PADDING = 1.1  # of the crop around a whole image, where a benchmark gives no boxes
EXIF_ORIENTATION = 0x0112


class UnreadableImage(ValueError):
    """The file is missing, broken, of an unknown kind, or too large."""


def to_continuous(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pixel coordinates (centres at whole numbers) to continuous ones."""
    return pixels + 0.5


def to_pixels(continuous: NDArray[np.float64]) -> NDArray[np.float64]:
    """Continuous coordinates to pixel coordinates (centres at whole numbers)."""
    return continuous - 0.5


def read_image(path: Path, size: tuple[int, int] | None = None) -> Image.Image:
    """The image as 8-bit RGB, turned as its EXIF orientation says; grey, palette, CMYK and 16-bit images are converted.

    `size` is the (width, height) that the benchmark lists for it. When that is the size of the unturned image, then the
    annotations were made on the unturned image, and it stays so. Raises UnreadableImage.
    """
    try:
        with Image.open(path) as file:
            if file.width * file.height > LARGEST_IMAGE:
                raise UnreadableImage(f"{path.name}: {file.width} x {file.height} pixels are too many")
            file.load()
            turned = file.getexif().get(EXIF_ORIENTATION, 1) in (5, 6, 7, 8)
            listed_unturned = turned and size == file.size and size != (file.height, file.width)
            image = file.copy() if listed_unturned else ImageOps.exif_transpose(file)
    except UnreadableImage:
        raise
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UnreadableImage(f"{path.name}: {error}") from error
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_eight_bits(np.asarray(image, np.float64))).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _eight_bits(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Grey values of more than 8 bits [H, W] as 8 bits; files of this kind hold 16 unless their values fit in 8."""
    largest = float(values.max(initial=0.0))
    scale = 1.0 if largest <= 255 else 255.0 / 65535.0 if largest <= 65535 else 255.0 / largest
    return np.clip(values * scale, 0, 255).astype(np.uint8)


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
    """The crop of `size` (width, height), bilinear. What shrinks by 2 or more is averaged first, against aliasing."""
    shrink = 1.0 / np.sqrt(max(abs(np.linalg.det(matrix[:, :2])), 1e-12))
    if shrink >= 2.0:
        factor = min(int(shrink), *image.size)
        image = image.reduce(factor)
        matrix = matrix * [[factor, factor, 1.0], [factor, factor, 1.0]]
    back = inverse(matrix).ravel().tolist()
    return image.transform(size, Image.Transform.AFFINE, back, Image.Resampling.BILINEAR, fillcolor=fill)
