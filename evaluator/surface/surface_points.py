"""Annotated surface points and body masks (DensePose-COCO): what annotations have of a person instead of joints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluator.errors import GroundTruthError
from evaluator.poses import Booleans, Floats, Integers
from evaluator.surface.surfaces import PARTS

GRID = 256  # points and masks are given on the box scaled to 256 x 256
MOST_MASKS = 14
KEYS = ("dp_I", "dp_U", "dp_V", "dp_x", "dp_y")


@dataclass(frozen=True, eq=False)
class SurfacePoints:
    """M annotated points of P people, those of a person together, and the mask of each person."""

    start: Integers  # [P + 1] where each person's points begin
    part: Integers  # [M] chart, 1..24
    u: Floats  # [M], 0..1
    v: Floats  # [M], 0..1
    x: Floats  # [M] across the box, 0..255
    y: Floats  # [M] down the box, 0..255
    masks: tuple[bytes, ...]  # P packed masks of 256 x 256, empty where there are none

    def mask(self, person: int) -> Booleans:
        """[256, 256] where the person's body is, on its scaled box."""
        packed = np.frombuffer(self.masks[person], dtype=np.uint8)
        if not len(packed):
            return np.zeros((GRID, GRID), dtype=bool)
        return np.unpackbits(packed).reshape(GRID, GRID).astype(bool)


def surface_points(rows: list[dict[str, Any]]) -> tuple[SurfacePoints, Integers]:
    """The points of annotations in the official form, and how many of each person's [P] count.

    Those of a person whom the file says to ignore do not. GroundTruthError names the annotation that is wrong.
    """
    columns: list[list[float]] = [[] for _ in KEYS]
    start, counts, masks = [0], [], []
    for row in rows:
        given = [row.get(key) for key in KEYS]
        if all(values is None for values in given):
            given = [[]] * len(KEYS)
        if not all(isinstance(values, list) and len(values) == len(given[0] or []) for values in given):
            raise GroundTruthError(f"annotation {row['id']}: {', '.join(KEYS)} are not lists of one length")
        try:
            points = np.array(given, dtype=np.float64).reshape(len(KEYS), -1)
        except (TypeError, ValueError):
            raise GroundTruthError(f"annotation {row['id']}: {', '.join(KEYS)} are not numbers") from None
        if not np.isfinite(points).all() or not np.isin(points[0], np.arange(1, PARTS + 1)).all():
            raise GroundTruthError(
                f"annotation {row['id']}: a point is not finite, or its dp_I not a whole number from 1 to {PARTS}"
            )
        for column, values in zip(columns, points.tolist(), strict=True):
            column += values
        start.append(start[-1] + points.shape[1])
        counts.append(0 if row.get("ignore") else points.shape[1])
        masks.append(_body(row) if points.shape[1] else b"")
    part, u, v, x, y = (np.array(column, dtype=np.float64) for column in columns)
    found = SurfacePoints(np.array(start, dtype=np.int64), part.astype(np.int64), u, v, x, y, tuple(masks))
    return found, np.array(counts, dtype=np.int64)


def _body(row: Mapping[str, Any]) -> bytes:
    """The union of the annotated body parts, packed."""
    parts = row.get("dp_masks")
    if not isinstance(parts, list):
        raise GroundTruthError(f"annotation {row['id']}: points without dp_masks, a list of {MOST_MASKS} masks")
    body = np.zeros((GRID, GRID), dtype=bool)
    for part in parts[:MOST_MASKS]:
        if not part:
            continue
        try:
            body |= run_lengths(part["counts"], part["size"])
        except (TypeError, KeyError, ValueError) as error:
            message = f"annotation {row['id']}: a mask is not {GRID} x {GRID} run lengths: {error}"
            raise GroundTruthError(message) from None
    return np.packbits(body).tobytes()


def run_lengths(counts: str | list[int], size: list[int]) -> Booleans:
    """[h, w] the mask of COCO's run lengths: background and object in turn, down the columns.

    As text, six bits a character from "0" on: five of a number, lowest first, and one that says that more follow; the
    last number's highest bit is its sign, and from the fourth on a number is the difference to the one before last.
    ValueError when they do not fill the mask.
    """
    height, width = size
    runs = _numbers(counts) if isinstance(counts, str) else [int(count) for count in counts]
    if (height, width) != (GRID, GRID) or min(runs, default=-1) < 0 or sum(runs) != height * width:
        raise ValueError(f"{len(runs)} runs, size {size}")
    values = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return values.reshape(width, height).T


def _numbers(text: str) -> list[int]:
    numbers: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise ValueError(f"the character {character!r}")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        numbers.append(value + (numbers[-2] if len(numbers) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("the last number has no end")
    return numbers


def enlarged(mask: NDArray[np.bool_], height: int, width: int) -> Booleans:
    """[height, width] a mask [h, w] stretched bilinearly, first on first and last on last pixel, above one half."""
    down, across = _weights(mask.shape[0], height), _weights(mask.shape[1], width)
    return np.asarray(down @ mask.astype(np.float64) @ across.T > 0.5)


def _weights(given: int, wanted: int) -> Floats:
    """[wanted, given] what each given pixel adds to each wanted one."""
    place = np.arange(wanted) * ((given - 1) / (wanted - 1) if wanted > 1 else 1.0)
    low = np.minimum(np.floor(place).astype(np.int64), given - 2)
    weights = np.zeros((wanted, given))
    weights[np.arange(wanted), low] = 1 - (place - low)
    weights[np.arange(wanted), low + 1] += place - low
    return weights
