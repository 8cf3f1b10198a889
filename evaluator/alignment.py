"""Laying predicted poses onto annotated ones in space: by their roots, or by the best similarity (Procrustes)."""

from __future__ import annotations

import numpy as np

from evaluator.poses import Booleans, Floats

PEOPLE_AT_ONCE = 1 << 14


def distances(a: Floats, b: Floats) -> Floats:
    """[P, K] Euclidean distances between points [P, K, 3], in their unit."""
    return np.asarray(np.sqrt(((a - b) ** 2).sum(axis=-1)))


def root_centred(points: Floats, root: int) -> Floats:
    """Points [P, K, 3] with the joint `root` of each person moved to the origin."""
    return points - points[:, root : root + 1]


def similar(points: Floats, target: Floats, counted: Booleans) -> Floats:
    """Points [P, K, 3] after the similarity that brings those that count [P, K] nearest to the target [P, K, 3].

    One rotation, scale and translation a person, least squares, never a reflection (Umeyama, TPAMI 1991, equations 40
    to 42). Where all of the points are the same, they go to the target's centre. Where the rotation is not unique
    (points, or target, on a line) every choice has the same distances. Rows that do not count may be NaN in the target.
    """
    aligned = np.empty_like(points)
    for start in range(0, len(points), PEOPLE_AT_ONCE):
        some = slice(start, start + PEOPLE_AT_ONCE)
        aligned[some] = _similar(points[some], target[some], counted[some])
    return aligned


def _similar(points: Floats, target: Floats, counted: Booleans) -> Floats:
    weight = counted / np.maximum(counted.sum(axis=1, keepdims=True), 1)  # [P, K]
    known = np.where(counted[..., None], target, 0.0)
    centre, goal = (np.einsum("pk,pkd->pd", weight, each)[:, None] for each in (points, known))  # [P, 1, 3]
    source, wanted = points - centre, known - goal
    covariance = np.einsum("pk,pki,pkj->pij", weight, wanted, source)
    left, singular, right = np.linalg.svd(covariance)
    signs = np.ones_like(singular)
    signs[:, 2] = np.where(np.linalg.det(left) * np.linalg.det(right) < 0, -1.0, 1.0)
    rotation = (left * signs[:, None]) @ right
    variance = np.einsum("pk,pkd->p", weight, source**2)
    gain = (singular * signs).sum(axis=1)
    scale = np.where(variance > 0, gain / np.where(variance > 0, variance, 1.0), 0.0)
    return np.asarray(scale[:, None, None] * np.einsum("pij,pkj->pki", rotation, source) + goal)
