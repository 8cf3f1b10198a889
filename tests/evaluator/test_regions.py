"""Which points lie inside a polygon."""

from __future__ import annotations

import numpy as np

from evaluator.regions import inside


def test_inside_a_polygon() -> None:
    # A square with a notch from above to its middle: (4, 6) lies in the notch.
    polygon = np.array([[0, 0], [8, 0], [8, 8], [4, 4], [0, 8.0]])
    points = [
        [4, 2],
        [4, 6],
        [1, 6],
        [7, 6],
        [-1, 4],
        [9, 4],
        [4, 4],
        [0, 3],
        [3, 0],
        [8, 8],
        [2, 6],
        [np.nan, 2],
        [np.inf, 2],
    ]
    expected = [True, False, True, True, False, False, False, False, False, False, False, False, False]
    assert inside(np.array(points, dtype=float), polygon).tolist() == expected
    assert inside(np.array(points, dtype=float), polygon[::-1]).tolist() == expected
    many = inside(np.array(points * 4000, dtype=float), polygon)
    assert many.tolist() == expected * 4000
