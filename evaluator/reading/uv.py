"""Predicted surface maps (DensePose): for each pixel of a person's box, the chart and the coordinates in it.

An entry has `bbox` [x, y, width, height], `uv_shape` [3, h, w] and `uv_data`, a PNG in base64 with the chart 0..24
(0: background) in red and its coordinates u and v, 0..255, in green and blue: the official form of results.
"""

from __future__ import annotations

import base64
import binascii
from array import array
from typing import Any

import numpy as np

from evaluator.poses import Predictions, nowhere
from evaluator.reading.entries import NUMBERS, EntryReader, Ids
from evaluator.reading.json_documents import Problems
from evaluator.reading.upload_rules import BOX, LARGEST, MAP_PIXELS, MOST_PIXELS, NUMBER
from evaluator.surface.maps import PNG, UvMaps, WrongImage, packed, sized

MOST_TEXT = 1 << 26


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
            self.problems.broken("missing_key", number, key="uv_data")
        elif type(data) is not str:
            self.problems.broken("map_not_text", number, "/uv_data", value=data)
        if box is None or shape is None or type(data) is not str:
            return None
        if not self._fits(number, box, shape):
            return None
        try:
            return box, packed(_from_text(data), shape)
        except WrongImage as wrong:
            pointer = "/uv_shape" if wrong.code == "image_size" else "/uv_data"
            self.problems.add(wrong.code, number, pointer, str(wrong), wrong.expected)
            return None

    def _fits(self, number: int, box: list[float], shape: tuple[int, int]) -> bool:
        """Whether a map has the size of its box, and is not too large."""
        pixels = shape[0] * shape[1]
        values: dict[str, int]
        if shape != sized(box):
            height, width = sized(box)
            rule = "shape_not_of_box"
            values = {"width": shape[1], "height": shape[0], "box_width": width, "box_height": height}
        elif pixels > MAP_PIXELS:
            rule, values = "map_too_large", {"pixels": pixels}
        else:
            self.pixels += pixels
            if self.pixels <= min(self.most_pixels, MOST_PIXELS):
                return True
            rule, values = "maps_too_large", {"most": min(self.most_pixels, MOST_PIXELS)}
        self.problems.broken(rule, number, "/uv_shape", **values)
        return False

    def _box(self, number: int, entry: dict[str, Any]) -> list[float] | None:
        box = self.numbers(number, entry, "bbox", 4)
        if box is None:
            return None
        before = self.problems.total
        for index, value in enumerate(box):
            if self.is_number(number, BOX, index, value) and not abs(value) <= LARGEST:
                self.check_range(number, BOX, index, value)
            elif type(value) in NUMBERS and index >= 2 and not value > 0:
                self.problems.broken("box_without_size", number, BOX.place(index), what=BOX.what(index), value=value)
        return box if self.problems.total == before else None

    def _shape(self, number: int, entry: dict[str, Any]) -> tuple[int, int] | None:
        shape = self.numbers(number, entry, "uv_shape", 3)
        if shape is None:
            return None
        if any(type(size) is not int for size in shape):
            self.problems.broken("shape_not_whole", number, "/uv_shape", value=shape)
            return None
        if shape[0] != 3 or min(shape) < 1:
            self.problems.broken("shape_wrong", number, "/uv_shape", value=shape)
            return None
        return shape[1], shape[2]

    def add(self, number: int, payload: tuple[list[float], bytes]) -> bool:
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
