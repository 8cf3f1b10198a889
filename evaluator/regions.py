"""Regions of an image that are not evaluated: which points lie inside of polygons."""

from __future__ import annotations

import numpy as np

from evaluator.poses import Booleans, Floats

POINTS_AT_ONCE = 1 << 14


def inside(points: Floats, polygon: Floats) -> Booleans:
    """[n] whether points [n, 2] lie inside a polygon [V, 2] of V >= 3 corners, the last joined to the first.

    By the number of edges that a ray to the right crosses. A point on an edge or a corner is outside, and so is NaN.
    """
    if len(points) > POINTS_AT_ONCE:
        steps = range(0, len(points), POINTS_AT_ONCE)
        return np.concatenate([inside(points[start : start + POINTS_AT_ONCE], polygon) for start in steps])
    x, y = points[:, :1], points[:, 1:]  # [n, 1]
    (x0, y0), (x1, y1) = polygon.T, np.roll(polygon, -1, axis=0).T  # [V] each
    with np.errstate(invalid="ignore", over="ignore"):
        side = (x1 - x0) * (y - y0) - (y1 - y0) * (x - x0)  # [n, V] zero on the line, its sign says on which side
        crossed = ((y0 <= y) != (y1 <= y)) & ((side > 0) == (y1 > y0))
        between = (np.minimum(x0, x1) <= x) & (x <= np.maximum(x0, x1))
        between &= (np.minimum(y0, y1) <= y) & (y <= np.maximum(y0, y1))
        on_edge = ((side == 0) & between).any(axis=1)
    return np.asarray((crossed.sum(axis=1) % 2 == 1) & ~on_edge & np.isfinite(points).all(axis=1))
