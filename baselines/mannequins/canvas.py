"""A supersampled drawing surface that remembers which part of which person owns every pixel."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
SAMPLES = 3  # per pixel and axis

_ANGLES = np.linspace(0.0, 2.0 * np.pi, 24, endpoint=False)
_HALF = np.linspace(0.5 * np.pi, 1.5 * np.pi, 9)


def shade(colour: Sequence[float], factor: float) -> Colour:
    """`colour` darkened (factor < 1) or moved towards white (factor > 1)."""
    if factor <= 1.0:
        r, g, b = (int(c * factor) for c in colour)
    else:
        r, g, b = (int(c + (255 - c) * min(factor - 1.0, 1.0)) for c in colour)
    return r, g, b


def mix(first: Sequence[float], second: Sequence[float], share: float) -> Colour:
    """`first` and `second` mixed; `share` is the part of the second."""
    r, g, b = (int(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return r, g, b


class Canvas:
    """Coordinates are pixels of the final image, pixel centres at whole numbers, y down.

    `owner` is 0 where the background or an object shows, otherwise the code that the drawing call gave.
    """

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.image = Image.new("RGB", (width * SAMPLES, height * SAMPLES))
        self.owner = Image.new("L", self.image.size, 0)
        self._draw = ImageDraw.Draw(self.image)
        self._own = ImageDraw.Draw(self.owner)

    def polygon(self, points: NDArray[np.float64], colour: Colour, owner: int | None = 0) -> None:
        """Fill a polygon [n, 2]. With `owner` None (marks on what is there) the owners do not change."""
        flat = ((points + 0.5) * SAMPLES - 0.5).ravel().tolist()
        self._draw.polygon(flat, fill=colour)
        if owner is not None:
            self._own.polygon(flat, fill=owner)

    def line(self, points: Iterable[Iterable[float]], colour: Colour, width: float, owner: int | None = None) -> None:
        """An open line of `width` pixels with round joins."""
        flat = [((c + 0.5) * SAMPLES - 0.5) for point in points for c in point]
        thick = max(1, round(width * SAMPLES))
        self._draw.line(flat, fill=colour, width=thick, joint="curve")
        if owner is not None:
            self._own.line(flat, fill=owner, width=thick, joint="curve")

    def rectangle(self, x: float, y: float, w: float, h: float, colour: Colour, owner: int | None = 0) -> None:
        """Fill an upright rectangle with its top left corner at (x, y)."""
        self.polygon(np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]]), colour, owner)

    def ellipse(
        self, x: float, y: float, rx: float, ry: float, colour: Colour, owner: int | None = 0, turn: float = 0.0
    ) -> None:
        """Fill an ellipse with centre (x, y), radii rx and ry, turned by `turn` radians."""
        self.polygon(ellipse_points(x, y, rx, ry, turn), colour, owner)

    def shadow(self, x: float, y: float, rx: float, ry: float, strength: float) -> None:
        """A soft dark ellipse on the ground; owners do not change."""
        size = max(2, round(2 * rx * SAMPLES)), max(2, round(2 * ry * SAMPLES))
        mask = Image.radial_gradient("L").resize(size).point(lambda v: max(0.0, (200 - v) * strength))
        corner = round((x - rx + 0.5) * SAMPLES), round((y - ry + 0.5) * SAMPLES)
        self.image.paste((20, 18, 30), (*corner, corner[0] + size[0], corner[1] + size[1]), mask)

    def rows(self, colours: NDArray[np.uint8]) -> None:
        """Fill every pixel row with its colour: colours [height, 3]."""
        column = Image.fromarray(colours[:, None]).resize((1, self.image.height), Image.Resampling.BILINEAR)
        self.image.paste(column.resize(self.image.size, Image.Resampling.NEAREST))

    def finished(self) -> tuple[Image.Image, NDArray[np.uint8]]:
        """The image at its final size, and the owners [height, width] at pixel centres."""
        half = SAMPLES // 2
        return self.image.reduce(SAMPLES), np.asarray(self.owner)[half::SAMPLES, half::SAMPLES]


def ellipse_points(x: float, y: float, rx: float, ry: float, turn: float = 0.0) -> NDArray[np.float64]:
    """Outline [24, 2] of an ellipse."""
    c, s = np.cos(turn), np.sin(turn)
    u, v = rx * np.cos(_ANGLES), ry * np.sin(_ANGLES)
    return np.stack([x + u * c - v * s, y + u * s + v * c], axis=1)


def capsule_points(
    first: NDArray[np.float64], second: NDArray[np.float64], r1: float, r2: float
) -> NDArray[np.float64]:
    """Outline [18, 2] of a tapered limb: two half circles around its ends [2], and the straight sides between them."""
    d = second - first
    a = np.arctan2(d[1], d[0])
    start = first + r1 * np.stack([np.cos(a + _HALF), np.sin(a + _HALF)], axis=1)
    b = a + _HALF + np.pi
    return np.concatenate([start, second + r2 * np.stack([np.cos(b), np.sin(b)], axis=1)])
