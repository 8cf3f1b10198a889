"""Body surfaces: charts whose coordinates lead to vertices, and the geodesic distances between vertices.

A surface comes from the operator as a .npz file without pickled objects (docs/metrics/gps.md has the recipe for the
official tables), with five arrays:

    part       [V]            chart of each vertex, 1..24
    u, v       [V]            its place in the chart, 0..1
    vertex     [V]            its row in the table of distances, 0..G-1: several vertices may share one
    distances  [G (G - 1) / 2]  metres, float32 or float64: the lower triangle by rows, so that the pair i > j is
                              at i (i - 1) / 2 + j (which is the order of the official Pdist_matrix)
"""

from __future__ import annotations

import math
import struct
import zipfile
import zlib
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluator.errors import GroundTruthError
from evaluator.poses import Floats, Integers

PARTS = 24
ROWS_AT_ONCE = 2048
LOCAL_HEADER = struct.Struct("<26xHH")  # of a zip member: lengths of its name and of its extra field

# The coarse part of each chart, 0 for none, and the mean geodesic distance in metres between points of a coarse part:
# the challenge's code from 2018 on (see docs/metrics/gps.md).
COARSE: Integers = np.array([0, 1, 1, 2, 2, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 6, 6, 6, 6, 7, 7, 7, 7, 8, 8])
COARSE_KAPPA: Floats = np.array([np.nan, 0.351, 0.107, 0.126, 0.237, 0.173, 0.142, 0.128, 0.150])
PART_KAPPA: Floats = COARSE_KAPPA[COARSE]  # [25], by chart


@dataclass(frozen=True, eq=False)
class Surface:
    """Charts and geodesics of one body surface: V vertices of charts, G rows of the table of distances."""

    part: Integers  # [V]
    u: Floats  # [V]
    v: Floats  # [V]
    vertex: Integers  # [V]
    distances: NDArray[Any]  # [G (G - 1) / 2] metres

    @cached_property
    def charts(self) -> tuple[Integers, ...]:
        """The vertices of each chart 0..24; chart 0 has none."""
        return tuple(np.flatnonzero(self.part == part) for part in range(PARTS + 1))

    def nearest(self, part: Integers, u: Floats, v: Floats) -> Integers:
        """[n] the row in the table of the vertex nearest to each point of a chart, -1 where the part is 0.

        Nearest in the coordinates of the chart; of equally near ones the first. part [n], u and v [n].
        """
        found = np.full(len(part), -1, dtype=np.int64)
        for chart in np.unique(part).tolist():
            vertices = self.charts[chart]
            rows = np.flatnonzero(part == chart)
            if not chart or not len(vertices):
                continue
            for start in range(0, len(rows), ROWS_AT_ONCE):
                some = rows[start : start + ROWS_AT_ONCE]
                apart = (u[some, None] - self.u[vertices]) ** 2 + (v[some, None] - self.v[vertices]) ** 2
                found[some] = self.vertex[vertices[apart.argmin(axis=1)]]
        return found

    def between(self, a: Integers, b: Integers) -> Floats:
        """[n] the geodesic distance in metres between rows of the table; infinite where either is -1."""
        larger, smaller = np.maximum(a, b), np.minimum(a, b)
        found = np.where(smaller < 0, np.inf, 0.0)
        apart = np.flatnonzero((larger != smaller) & (smaller >= 0))
        i, j = larger[apart], smaller[apart]
        found[apart] = self.distances[i * (i - 1) // 2 + j]
        return found


def read_surface(source: Surface | str | Path) -> Surface:
    """The surface of a .npz file; GroundTruthError names what is wrong with it.

    The distances of an uncompressed file (as `numpy.savez` writes it) are mapped and not read: a table of 27,554
    vertices holds 1.5 GB, of which an evaluation looks at a small part.
    """
    if isinstance(source, Surface):
        return source
    path = Path(source)
    try:
        with np.load(path, allow_pickle=False) as stored:
            names = [name for name in ("part", "u", "v", "vertex", "distances") if name not in stored.files]
            if names:
                raise GroundTruthError(f"{path.name}: no array {names[0]!r}: expected part, u, v, vertex and distances")
            part, u, v, vertex = (np.asarray(stored[name]) for name in ("part", "u", "v", "vertex"))
        distances = _mapped(path, "distances.npy")
        if distances is None:
            with np.load(path, allow_pickle=False) as stored:
                distances = stored["distances"]
    except GroundTruthError:
        raise
    except (ValueError, TypeError, OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise GroundTruthError(f"{path.name}: not a .npz file of plain arrays: {error}") from None
    return _checked(path.name, part, u, v, vertex, distances)


def _checked(
    name: str, part: NDArray[Any], u: NDArray[Any], v: NDArray[Any], vertex: NDArray[Any], distances: NDArray[Any]
) -> Surface:
    vertices = len(part) if part.ndim == 1 else 0
    for key, array, kinds in (("part", part, "iu"), ("vertex", vertex, "iu"), ("u", u, "f"), ("v", v, "f")):
        if array.dtype.kind not in kinds or array.shape != (vertices,) or not vertices:
            what = "whole numbers" if kinds == "iu" else "numbers"
            raise GroundTruthError(f"{name}: {key} is {array.dtype} {list(array.shape)}: expected [V] {what}")
    if part.min() < 1 or part.max() > PARTS:
        raise GroundTruthError(f"{name}: part goes from {part.min()} to {part.max()}: expected 1 to {PARTS}")
    if not (np.isfinite(u).all() and np.isfinite(v).all()):
        raise GroundTruthError(f"{name}: u and v are not finite")
    rows = int(vertex.max()) + 1
    if vertex.min() < 0:
        raise GroundTruthError(f"{name}: vertex goes from {vertex.min()}: expected rows from 0")
    if distances.dtype not in (np.float32, np.float64) or distances.ndim != 1:
        found = f"{distances.dtype} {list(distances.shape)}"
        raise GroundTruthError(f"{name}: distances are {found}: expected float32 or float64 [G (G - 1) / 2]")
    size = (1 + math.isqrt(1 + 8 * len(distances))) // 2
    if size * (size - 1) // 2 != len(distances) or rows > size:
        raise GroundTruthError(
            f"{name}: {len(distances)} distances do not fit to vertices 0 to {rows - 1}: expected G (G - 1) / 2"
        )
    return Surface(
        part.astype(np.int64), u.astype(np.float64), v.astype(np.float64), vertex.astype(np.int64), distances
    )


def _mapped(path: Path, member: str) -> NDArray[Any] | None:
    """A member of an uncompressed .npz file as a read-only memory map; None where it is compressed or pickled."""
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(member)
    if info.compress_type != zipfile.ZIP_STORED:
        return None
    with path.open("rb") as file:
        file.seek(info.header_offset)
        name, extra = LOCAL_HEADER.unpack(file.read(LOCAL_HEADER.size))
        file.seek(info.header_offset + LOCAL_HEADER.size + name + extra)
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file)
        if dtype.hasobject or file.tell() + int(np.prod(shape)) * dtype.itemsize > info.header_offset + (
            LOCAL_HEADER.size + name + extra + info.file_size
        ):
            return None
        return np.memmap(path, dtype, "r", file.tell(), shape, "F" if fortran else "C")


@cache
def cylinder(*, radius: float = 0.25, height: float = 1.7, columns: int = 3, rows: int = 15) -> Surface:
    """A surface of our own whose geodesics are known: the side of a cylinder, cut into 24 upright charts.

    Chart i holds the angles from (i - 1) to i 24ths of a turn, u across and v up, `columns` x `rows` vertices in the
    middle of as many equal cells. Unrolled the side is flat, so the squared distance of two points is the sum of the
    squares of the arc between them (the shorter way round) and of their difference in height. Metres.
    """
    part, column, row = (each.ravel() for each in np.mgrid[1 : PARTS + 1, 0:columns, 0:rows])
    u, v = (column + 0.5) / columns, (row + 0.5) / rows
    angle = 2 * np.pi * (part - 1 + u) / PARTS
    i, j = np.tril_indices(len(part), -1)
    around = np.abs(angle[i] - angle[j])
    arc = radius * np.minimum(around, 2 * np.pi - around)
    return Surface(part, u, v, np.arange(len(part)), np.hypot(arc, height * (v[i] - v[j])))


BUILT_IN = {"cylinder": cylinder}
