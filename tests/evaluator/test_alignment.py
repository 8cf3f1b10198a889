"""The similarity alignment: worked by hand, against scipy's rotation, and where it is not unique."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from evaluator import alignment
from evaluator.alignment import distances, root_centred, similar


def every(points: Any) -> Any:
    return np.ones(points.shape[:2], dtype=bool)


def mean_error(points: Any, target: Any) -> Any:
    """[P]"""
    return distances(similar(points, target, every(points)), target).mean(axis=1)


def test_distance_of_a_box_of_3_4_12() -> None:
    # sqrt(9 + 16 + 144) = 13
    assert distances(np.array([[[1.0, 2.0, 3.0]]]), np.array([[[4.0, 6.0, 15.0]]])) == 13


def test_the_root_goes_to_the_origin() -> None:
    centred = root_centred(np.array([[[1.0, 2.0, 3.0], [2.0, 4.0, 6.0]]]), 0)
    assert centred.tolist() == [[[0, 0, 0], [1, 2, 3]]]


def test_a_turned_scaled_and_moved_pose_is_exact() -> None:
    rng = np.random.default_rng(1)
    target = rng.normal(0, 300, (50, 17, 3))
    turns = Rotation.random(50, random_state=2).as_matrix()
    moved = 0.4 * np.einsum("pij,pkj->pki", turns, target) + rng.normal(0, 1000, (50, 1, 3))
    assert mean_error(moved, target) == pytest.approx(0, abs=1e-9)


def test_a_mirrored_pose_is_not_mirrored_back() -> None:
    # Points at (+-1, 0, 0), (0, +-2, 0), (0, 0, +-3); the target has z negated. The covariance, times 6, is
    # diag(2, 8, -18). A rotation must pay for the reflection with its smallest axis: it turns by 180 degrees about y,
    # to (-x, y, -z). The scale is (18 + 8 - 2) / (2 + 8 + 18) = 6/7, so the points come to rest 1 + 6/7 = 13/7,
    # 2 - 12/7 = 2/7 and 3 - 18/7 = 3/7 from their targets, on average 6/7.
    points = np.array([[[1.0, 0, 0], [-1, 0, 0], [0, 2, 0], [0, -2, 0], [0, 0, 3], [0, 0, -3]]])
    target = points * [1, 1, -1]
    apart = distances(similar(points, target, every(points)), target)
    assert apart[0] * 7 == pytest.approx([13, 13, 2, 2, 3, 3], abs=1e-12)
    assert mean_error(points, target)[0] == pytest.approx(6 / 7, abs=1e-12)


def test_a_flat_pose_may_be_turned_over() -> None:
    # In a plane a mirror image is a rotation by 180 degrees about an axis of that plane.
    flat = np.random.default_rng(3).normal(0, 100, (5, 14, 3)) * [1, 1, 0]
    assert mean_error(flat * [-1, 1, 1], flat) == pytest.approx(0, abs=1e-9)


def test_points_that_are_all_the_same_go_to_the_centre() -> None:
    # Distances of (0, 0, 0), (6, 0, 0), (0, 9, 0) from their centre (2, 3, 0): sqrt 13, 5, sqrt 40.
    target = np.array([[[0.0, 0, 0], [6, 0, 0], [0, 9, 0]]])
    for point in ([0.0, 0, 0], [7, -8, 9]):
        same = np.array([[point] * 3])
        expected = (np.sqrt(13) + 5 + np.sqrt(40)) / 3
        assert mean_error(same, target)[0] == pytest.approx(expected, abs=1e-12)
        # and onto such a target everything shrinks to a point
        assert mean_error(target, same)[0] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("flattened", ["points", "target"])
def test_on_a_line_every_choice_of_rotation_has_the_same_error(flattened: str) -> None:
    rng = np.random.default_rng(4)
    line = rng.normal(0, 100, (1, 9, 1)) * np.array([1.0, 2.0, 2.0])
    other = rng.normal(0, 100, (1, 9, 3))
    points, target = (line, other) if flattened == "points" else (other, line)
    turned = np.einsum("rij,kj->rki", Rotation.random(20, random_state=5).as_matrix(), points[0])
    assert np.ptp(mean_error(turned, np.repeat(target, 20, axis=0))) < 1e-9


def test_it_is_the_best_rotation_that_scipy_finds_and_the_best_scale() -> None:
    rng = np.random.default_rng(6)
    for counted in (np.ones(17, dtype=bool), rng.random(17) < 0.6):
        points, target = rng.normal(0, 200, (30, 17, 3)), rng.normal(0, 200, (30, 17, 3))
        found = similar(points, np.where(counted[:, None], target, np.nan), np.broadcast_to(counted, (30, 17)))
        for row in range(30):
            source, wanted = (each[row][counted] - each[row][counted].mean(axis=0) for each in (points, target))
            turned = Rotation.align_vectors(wanted, source)[0].apply(source)
            scale = (turned * wanted).sum() / (turned**2).sum()  # where the derivative of the squares is zero
            expected = scale * turned + target[row][counted].mean(axis=0)
            assert found[row][counted] == pytest.approx(expected, abs=1e-6)


def test_people_are_aligned_alike_however_many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(7)
    points, target = rng.normal(0, 200, (10, 17, 3)), rng.normal(0, 200, (10, 17, 3))
    together = similar(points, target, every(points))
    monkeypatch.setattr(alignment, "PEOPLE_AT_ONCE", 3)
    assert (similar(points, target, every(points)) == together).all()
