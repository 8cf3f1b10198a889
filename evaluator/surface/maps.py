"""Maps of the body surface: for each pixel of a person's box the chart and the place in it, stored as a checked PNG."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluator.errors import shown
from evaluator.poses import Floats
from evaluator.surface.surfaces import PARTS

Maps = NDArray[np.uint8]
SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOUR = (8, 2, 0, 0, 0)  # eight bits, RGB, and of compression, filter and interlacing the plain ones
PNG = "an RGB PNG of eight bits in base64"


class WrongImage(ValueError):
    """What is wrong with a PNG, with the code of the problem."""

    def __init__(self, code: str, message: str, expected: str) -> None:
        super().__init__(message)
        self.code, self.expected = code, expected


@dataclass(frozen=True, eq=False)
class UvMaps:
    """The maps of N predicted people, packed: a benchmark's maps hold gigabytes of pixels."""

    boxes: Floats  # [N, 4] x, y, width, height in pixels
    images: tuple[bytes, ...]  # N whole, checked PNGs with nothing but pixels in them

    def map(self, row: int) -> Maps:
        """[3, h, w] chart, u and v of one person's box."""
        return decoded(self.images[row])


def sized(box: Sequence[float]) -> tuple[int, int]:
    """(h, w) of the map of a box, which the official evaluation takes from its rounded down size, at least 1."""
    return max(int(box[3]), 1), max(int(box[2]), 1)


def packed(png: bytes, size: tuple[int, int]) -> bytes:
    """The PNG stripped to its header and pixels, after every check; WrongImage says what is wrong with it.

    The size is looked at before anything is unpacked, and Pillow sees neither texts nor profiles nor animations.
    """
    height, width = _header(png)
    if (height, width) != size:
        message = f"the image is {width} x {height}"
        raise WrongImage("image_size", message, f"{size[1]} x {size[0]}, as uv_shape says")
    pixels = b"".join(data for kind, data in _chunks(png) if kind == b"IDAT")
    unpacker = zlib.decompressobj()
    most = height * (3 * width + 1)
    try:
        plain = unpacker.decompress(pixels, most + 1)
    except zlib.error as error:
        raise WrongImage("invalid_image", f"its pixels cannot be unpacked: {error}", PNG) from None
    if len(plain) != most or not unpacker.eof:
        raise WrongImage("invalid_image", "it has more or fewer pixels than its header says", PNG)
    clean = SIGNATURE + _chunk(b"IHDR", struct.pack(">II5B", width, height, *COLOUR))
    clean += _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")
    rows = np.frombuffer(plain, dtype=np.uint8).reshape(height, 1 + 3 * width)
    # where no row is filtered the bytes are the pixels, and Pillow would take five times as long to say so
    highest = int(decoded(clean)[0].max() if rows[:, 0].any() else rows[:, 1::3].max())
    if highest > PARTS:
        raise WrongImage("invalid_part", f"a pixel has part {highest}", f"parts 0 to {PARTS} in the first channel")
    return clean


def _header(png: bytes) -> tuple[int, int]:
    """(height, width)"""
    if not png.startswith(SIGNATURE) or png[8:16] != struct.pack(">I4s", 13, b"IHDR") or len(png) < 33:
        raise WrongImage("invalid_image", "it is not a PNG", PNG)
    width, height, *kind = struct.unpack(">II5B", png[16:29])
    if tuple(kind) != COLOUR:
        message = f"its PNG has bit depth {kind[0]}, colour type {kind[1]} and interlacing {kind[4]}"
        raise WrongImage("invalid_image", message, "bit depth 8, colour type 2 (RGB), no interlacing")
    return height, width


def _chunks(png: bytes) -> list[tuple[bytes, bytes]]:
    found: list[tuple[bytes, bytes]] = []
    place = len(SIGNATURE)
    while not found or found[-1][0] != b"IEND":
        head = png[place : place + 8]
        length = int.from_bytes(head[:4], "big")
        data, check = png[place + 8 : place + 8 + length], png[place + 8 + length : place + 12 + length]
        if len(check) < 4:
            raise WrongImage("invalid_image", "the PNG ends early", PNG)
        if zlib.crc32(head[4:] + data) != int.from_bytes(check, "big"):
            raise WrongImage("invalid_image", f"the PNG's chunk {shown(head[4:].decode('latin-1'))} is damaged", PNG)
        found.append((head[4:], data))
        place += 12 + length
    return found


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def decoded(png: bytes) -> Maps:
    """[3, h, w] of a checked PNG. WrongImage when its rows cannot be told apart; ImportError without Pillow."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("DensePose needs Pillow: pip install 'poseboard[densepose]'") from error
    try:
        with Image.open(io.BytesIO(png), formats=("PNG",)) as image:
            return np.moveaxis(np.asarray(image, dtype=np.uint8), 2, 0)
    except (OSError, SyntaxError, ValueError) as error:
        raise WrongImage("invalid_image", f"its pixels cannot be read: {error}", PNG) from None


def encoded(uv: NDArray[Any]) -> bytes:
    """The PNG of a map [3, h, w] of whole numbers 0..255; ValueError for anything else."""
    maps = np.asarray(uv)
    if maps.ndim != 3 or maps.shape[0] != 3 or maps.dtype != np.uint8 or not maps.size:
        raise ValueError(f"a map is {maps.dtype} {list(maps.shape)}: expected uint8 [3, h, w]")
    height, width = maps.shape[1:]
    rows = np.zeros((height, 1 + 3 * width), dtype=np.uint8)  # each begins with its filter: 0, none
    rows[:, 1:] = np.moveaxis(maps, 0, 2).reshape(height, -1)
    header = _chunk(b"IHDR", struct.pack(">II5B", width, height, *COLOUR))
    return SIGNATURE + header + _chunk(b"IDAT", zlib.compress(rows.tobytes(), 6)) + _chunk(b"IEND", b"")


def uv_entry(image_id: int, box: Sequence[float], uv: NDArray[Any], score: float) -> dict[str, Any]:
    """An entry of an upload: the map [3, h, w] of the box [x, y, width, height]."""
    return {
        "image_id": image_id,
        "category_id": 1,
        "bbox": [float(value) for value in box],
        "score": float(score),
        "uv_shape": [int(size) for size in uv.shape],
        "uv_data": base64.b64encode(encoded(uv)).decode(),
    }


def uniform_entry(image_id: int, box: Sequence[float], place: tuple[int, int, int], score: float) -> dict[str, Any]:
    """An entry that says the same chart, u and v (0..255) in every pixel of its box."""
    uv = np.empty((3, *sized(box)), dtype=np.uint8)
    uv[:] = np.array(place, dtype=np.uint8)[:, None, None]
    return uv_entry(image_id, box, uv, score)
