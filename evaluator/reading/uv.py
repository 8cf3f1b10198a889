"""Predicted surface maps (DensePose): for each pixel of a person's box the chart and the place in it.

An entry has `bbox` [x, y, width, height], `uv_shape` [3, h, w] and `uv_data`, a PNG in base64 with the chart 0..24
(0: background) in red and its coordinates u and v, 0..255, in green and blue: the official form of results.
"""

from __future__ import annotations

import base64
import binascii
import io
import struct
import zlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluator.errors import shown
from evaluator.poses import Floats, Predictions, nowhere
from evaluator.reading import upload_limits
from evaluator.reading.entries import LARGEST, NUMBER, NUMBERS, EntryReader, Ids
from evaluator.reading.json_documents import Problems
from evaluator.surface.surfaces import PARTS

Maps = NDArray[np.uint8]

MOST_PIXELS = 1 << 22
"""Of one person. COCO's largest images have a tenth of it."""
MOST_PIXELS_TOGETHER = upload_limits.MOST_PIXELS
"""Of a file, whatever the benchmark: they are all decoded twice."""
MOST_TEXT = 1 << 26

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


class UvReader(EntryReader):
    """Entries with a box and its map."""

    keys = frozenset({"bbox", "uv_shape", "uv_data"})

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.boxes = array("d")
        self.maps: list[bytes] = []
        self.pixels = 0

    def payload(self, number: int, entry: dict[str, Any]) -> tuple[list[float], bytes] | None:
        box = self._box(number, entry)
        shape = self._shape(number, entry)
        data = entry.get("uv_data")
        if "uv_data" not in entry:
            self.problems.add("missing_key", number, "", "no uv_data", "uv_data")
        elif type(data) is not str:
            self.problems.add("wrong_type", number, "/uv_data", f"uv_data is {shown(data)}", PNG)
        if box is None or shape is None or type(data) is not str:
            return None
        try:
            if shape != sized(box):
                height, width = sized(box)
                message = f"uv_shape is for {shape[1]} x {shape[0]} pixels, the box has {width} x {height}"
                raise WrongImage("image_size", message, "the size of bbox, rounded down")
            if shape[0] * shape[1] > MOST_PIXELS:
                raise WrongImage("image_size", f"{shape[0] * shape[1]} pixels", f"at most {MOST_PIXELS}")
            self.pixels += shape[0] * shape[1]
            most = min(self.most_pixels, MOST_PIXELS_TOGETHER)
            if self.pixels > most:
                message = "the maps up to here have too many pixels together"
                raise WrongImage("image_size", message, f"at most {most}")
            return box, packed(_from_text(data), shape)
        except WrongImage as wrong:
            pointer = "/uv_shape" if wrong.code == "image_size" else "/uv_data"
            self.problems.add(wrong.code, number, pointer, str(wrong), wrong.expected)
            return None

    def _box(self, number: int, entry: dict[str, Any]) -> list[float] | None:
        box = self.numbers(number, entry, "bbox", 4, "four numbers: x, y, width, height")
        if box is None:
            return None
        before = self.problems.total
        for index, value in enumerate(box):
            if self.is_number(number, f"/bbox/{index}", f"bbox[{index}]", value) and not abs(value) <= LARGEST:
                code = "not_finite" if isinstance(value, float) and np.isinf(value) else "out_of_range"
                self.problems.add(code, number, f"/bbox/{index}", f"bbox[{index}] is {shown(value)}", NUMBER)
            elif type(value) in NUMBERS and index >= 2 and not value > 0:
                message = f"bbox[{index}] is {shown(value)}"
                self.problems.add("invalid_box", number, f"/bbox/{index}", message, "a width and a height above 0")
        return box if self.problems.total == before else None

    def _shape(self, number: int, entry: dict[str, Any]) -> tuple[int, int] | None:
        shape = self.numbers(number, entry, "uv_shape", 3, "[3, height, width]")
        if shape is None:
            return None
        if any(type(size) is not int for size in shape):
            self.problems.add("wrong_type", number, "/uv_shape", f"uv_shape is {shown(shape)}", "three whole numbers")
            return None
        if shape[0] != 3 or min(shape) < 1:
            self.problems.add("image_size", number, "/uv_shape", f"uv_shape is {shown(shape)}", "[3, height, width]")
            return None
        return shape[1], shape[2]

    def keep(self, number: int, payload: tuple[list[float], bytes]) -> bool:
        self.boxes.extend(payload[0])
        self.maps.append(payload[1])
        return True

    def finished(self, sha256: str) -> tuple[Predictions, Problems]:
        image_ids, person_ids, scores = self.columns()
        boxes = np.array(self.boxes, dtype=np.float64).reshape(-1, 4)
        found = Predictions(
            image_ids,
            person_ids,
            nowhere(len(scores), len(self.dataset.joints), 3),
            scores,
            uv=UvMaps(boxes, tuple(self.maps)),
            sha256=sha256,
        )
        return found, Problems()


def _from_text(data: str) -> bytes:
    """The bytes of base64, perhaps broken into lines, as Python 2 wrote it."""
    if len(data) > MOST_TEXT:
        raise WrongImage("image_size", f"uv_data has {len(data)} characters", f"at most {MOST_TEXT}")
    try:
        return base64.b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise WrongImage("invalid_image", f"it is not base64: {error}", PNG) from None


def check_arrays(predictions: Predictions, dataset: Any, images: Any, problems: Problems) -> None:
    """The rules of a file for arrays: a row is an entry."""
    rows, maps = len(predictions.image_ids), predictions.uv
    if maps is None or maps.boxes.shape != (rows, 4) or len(maps.images) != rows:
        found = "there are none" if maps is None else f"boxes {list(maps.boxes.shape)} and {len(maps.images)} images"
        problems.add("wrong_count", None, "", f"uv: {found}", f"boxes [{rows}, 4] and {rows} images")
        return
    ids = Ids(dataset, images, problems)
    for number, image in enumerate(predictions.image_ids.tolist()):
        ids.check(number, image, 0)
    reader = UvReader(dataset, None, problems)
    for number, (box, score) in enumerate(zip(maps.boxes.tolist(), predictions.scores.tolist(), strict=True)):
        if not np.isfinite([*box, score]).all():
            problems.add("not_finite", number, "", "the box or the score is not finite", NUMBER)
            continue
        text = base64.b64encode(maps.images[number]).decode()
        reader.payload(number, {"bbox": box, "uv_shape": [3, *sized(box)], "uv_data": text})
