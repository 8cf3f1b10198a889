"""Surface files, the cylinder's geodesics, run lengths and stretched masks, against NumPy, SciPy and pycocotools."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from scipy.ndimage import zoom
from scipy.spatial.distance import cdist

from evaluator import GroundTruthError
from evaluator.surface.surface_points import enlarged, run_lengths
from evaluator.surface.surfaces import Surface, cylinder, read_surface

SURFACE = cylinder(columns=2, rows=4)


def arrays(**changes: Any) -> dict[str, Any]:
    made = {name: getattr(SURFACE, name) for name in ("part", "u", "v", "vertex", "distances")} | changes
    return {key: value for key, value in made.items() if value is not ...}


def same(a: Surface, b: Surface) -> bool:
    return all((getattr(a, name) == getattr(b, name)).all() for name in ("part", "u", "v", "vertex", "distances"))


def test_a_plain_file_is_mapped_and_a_compressed_one_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "plain.npz", **arrays())
    np.savez_compressed(tmp_path / "small.npz", **arrays())
    plain, small = read_surface(tmp_path / "plain.npz"), read_surface(str(tmp_path / "small.npz"))
    assert isinstance(plain.distances, np.memmap) and not isinstance(small.distances, np.memmap)
    assert not plain.distances.flags.writeable
    assert same(plain, SURFACE) and same(small, SURFACE)
    assert read_surface(SURFACE) is SURFACE
    single = {"distances": SURFACE.distances.astype(np.float32), "part": SURFACE.part.astype(np.uint8)}
    np.savez(tmp_path / "single.npz", **arrays(**single))
    assert read_surface(tmp_path / "single.npz").distances.dtype == np.float32


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"u": ...}, "no array 'u': expected part, u, v, vertex and distances"),
        ({"part": SURFACE.part.astype(float)}, "part is float64"),
        ({"part": SURFACE.part[:-1]}, "vertex is int64"),
        ({"part": SURFACE.part - 1}, "part goes from 0 to 23"),
        ({"part": SURFACE.part + 1}, "part goes from 2 to 25"),
        ({"u": np.full(len(SURFACE.u), np.nan)}, "not finite"),
        ({"u": SURFACE.u[None]}, r"u is float64 \[1, 192"),
        ({"vertex": SURFACE.vertex - 1}, "vertex goes from -1"),
        ({"vertex": SURFACE.vertex + 1}, "do not fit to vertices 0 to 192"),
        ({"distances": SURFACE.distances[:-1]}, "do not fit"),
        ({"distances": SURFACE.distances.astype(np.int64)}, "distances are int64"),
        ({"distances": SURFACE.distances[None]}, r"distances are float64 \[1, "),
        ({"distances": np.array([object()])}, "not a .npz file of plain arrays"),
        ({"u": np.array([object()] * len(SURFACE.u))}, "not a .npz file of plain arrays"),
    ],
)
def test_a_surface_file_that_is_wrong_says_what(tmp_path: Path, changes: Any, message: str) -> None:
    np.savez(tmp_path / "wrong.npz", **arrays(**changes))
    with pytest.raises(GroundTruthError, match=message) as caught:
        read_surface(tmp_path / "wrong.npz")
    assert "wrong.npz" in str(caught.value)


def test_what_is_no_surface_file_at_all(tmp_path: Path) -> None:
    np.savez(tmp_path / "whole.npz", **arrays())
    whole = (tmp_path / "whole.npz").read_bytes()
    np.save(tmp_path / "array.npy", SURFACE.u)
    contents = {
        "empty": b"", "text": b"a surface", "pickle": b"\x80\x04\x95", "cut": whole[: len(whole) // 2],
        "array": (tmp_path / "array.npy").read_bytes(),
    }  # fmt: skip
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(GroundTruthError, match=f"{name}: not a .npz file"):
            read_surface(tmp_path / name)
    with pytest.raises(GroundTruthError, match=r"none\.npz"):
        read_surface(tmp_path / "none.npz")


def test_distances_of_the_cylinder_are_those_of_its_unrolled_side() -> None:
    # Two columns a chart: 48 columns around; four rows. Vertices of one column are 1.7 / 4 apart, of one row a 48th of
    # the way round, and never more than half of it.
    a, b = SURFACE.vertex[0], SURFACE.vertex[1]
    assert SURFACE.between(np.array([a]), np.array([b]))[0] == pytest.approx(1.7 / 4)
    around = [int(vertex) for vertex in SURFACE.vertex[::4]]
    steps = SURFACE.between(np.full(48, around[0]), np.array(around))
    circle = 2 * np.pi * 0.25
    assert steps == pytest.approx([circle * min(k, 48 - k) / 48 for k in range(48)])
    # Both at once: the hypotenuse. And either way.
    far = SURFACE.between(np.array([around[5]]), np.array([around[0] + 2]))[0]
    assert far == pytest.approx(np.hypot(circle * 5 / 48, 2 * 1.7 / 4))
    assert SURFACE.between(np.array([around[0] + 2]), np.array([around[5]]))[0] == far


def test_the_nearest_vertex_is_that_of_the_chart_and_the_first_of_equal_ones() -> None:
    rng = np.random.default_rng(0)
    part, u, v = rng.integers(0, 25, 3000), rng.random(3000), rng.random(3000)
    found = SURFACE.nearest(part, u, v)
    assert (found[part == 0] == -1).all()
    for chart in range(1, 25):
        vertices = np.flatnonzero(SURFACE.part == chart)
        apart = cdist(np.stack([u, v], axis=1)[part == chart], np.stack([SURFACE.u, SURFACE.v], axis=1)[vertices])
        assert (found[part == chart] == SURFACE.vertex[vertices[apart.argmin(axis=1)]]).all()
    # The middle of a chart of 2 x 4 is equally far from four vertices.
    assert SURFACE.nearest(np.array([1]), np.array([0.5]), np.array([0.5]))[0] == SURFACE.vertex[1]


def test_the_lower_triangle_by_rows_is_the_order_of_the_table() -> None:
    table = np.arange(10.0) + 1  # five vertices: (1,0) (2,0) (2,1) (3,0) ...
    surface = Surface(np.ones(5, int), np.zeros(5), np.zeros(5), np.arange(5), table)
    assert surface.between(np.array([1, 0, 2, 3, 4, 3]), np.array([0, 2, 1, 0, 3, 3])).tolist() == [1, 2, 3, 4, 10, 0]


def test_run_lengths_are_those_of_pycocotools() -> None:
    rng = np.random.default_rng(1)
    for density in (0.0, 0.002, 0.3, 0.5, 0.9, 1.0):
        mask = rng.random((256, 256)) < density
        if density == 0.3:
            mask = np.repeat(np.repeat(rng.random((16, 16)) < 0.5, 16, axis=0), 16, axis=1)
        packed = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
        assert (run_lengths(packed["counts"].decode(), packed["size"]) == mask).all()
        edges = np.flatnonzero(np.diff(mask.T.ravel(), prepend=False, append=~mask.T.ravel()[-1]))
        assert (run_lengths(np.diff([0, *edges]).tolist(), [256, 256]) == mask).all()


@pytest.mark.parametrize("counts", ["", "é", "P", "P" * 40, [65535], [65537], [-1, 65537], [], ["a"]])
def test_run_lengths_that_do_not_fill_a_mask_are_rejected(counts: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        run_lengths(counts, [256, 256])


def test_masks_are_stretched_as_scipy_does_it() -> None:
    # Where rounding puts SciPy's last row or column outside the mask, it is empty there; here it is the mask's.
    rng = np.random.default_rng(2)
    mask = np.repeat(np.repeat(rng.random((32, 32)) < 0.5, 8, axis=0), 8, axis=1)
    cut = 0
    for height in (*range(1, 30), 100, 190, 256, 379, 500):
        for width in (1, 2, 33, 190, 256, 300):
            expected = zoom(mask.astype(float), (height / 256, width / 256), order=1, prefilter=False) > 0.5
            found = enlarged(mask, height, width)
            assert found.shape == expected.shape == (height, width)
            differ = np.argwhere(found != expected)
            assert all(row == height - 1 or column == width - 1 for row, column in differ.tolist())
            cut += bool(len(differ))
    assert 0 < cut < 80
