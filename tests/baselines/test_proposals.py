"""Boxes as a detector would find them, given the pose."""

import numpy as np
import pytest

from baselines.train import proposals

TORSO = (0, 1, 2, 3)
# shoulders, hips, feet of a standing and a sitting person
PERSON_HEIGHT = np.array([[10.0, 0], [-10, 0], [8, 50], [-8, 50], [8, 130], [-8, 130]])
SITTING = np.array([[10.0, 0], [-10, 0], [8, 50], [-8, 50], [60, 60], [60, 75]])


def _people(count: int, seed: int = 0):
    """Half are standing: the detector's boxes end at 0.8 of their height; the others' start 0.3 too far right."""
    draw = np.random.default_rng(seed)
    upright = np.arange(count) % 2 == 0
    poses = np.where(upright[:, None, None], PERSON_HEIGHT, SITTING) + draw.normal(0, 1.5, (count, 6, 2))
    joints = poses * draw.uniform(0.5, 3, (count, 1, 1)) + draw.uniform(0, 500, (count, 1, 2))
    low, high = joints.min(axis=1), joints.max(axis=1)
    boxes = np.concatenate([low, high - low], axis=1)
    error = np.where(upright[:, None], [0.0, 0.0, 0.0, -0.2], [0.3, 0.0, 0.0, 0.0]) + draw.normal(0, 0.02, (count, 4))
    sides = boxes[:, [2, 3, 2, 3]]
    corners = np.concatenate([low, high], axis=1) + error * sides
    detected = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    return upright, joints, boxes, detected


def test_offsets_by_hand():
    # the true box 10..30 x 20..60; found 8..33 x 24..56: -2 / 20, 4 / 40, 3 / 20, -4 / 40
    found = proposals.offsets(np.array([[10.0, 20, 20, 40]]), np.array([[8.0, 24, 25, 32]]))
    assert found[0] == pytest.approx([-0.1, 0.1, 0.15, -0.1])


def test_alignment_by_hand():
    aligned = proposals.align(3 * PERSON_HEIGHT[None] + 7, TORSO)[0]
    assert aligned == pytest.approx((PERSON_HEIGHT - [0, 50]) / 50)
    missing = PERSON_HEIGHT[None].copy()
    missing[0, 2] = np.nan
    assert np.isnan(proposals.align(missing, TORSO)).all()


def test_each_pose_has_its_own_errors():
    upright, joints, boxes, detected = _people(400)
    model = proposals.fit(joints, boxes, detected, TORSO, atomic=2, components=2)
    # the two atomic poses are the two that there are
    truth = np.stack([proposals.align(pose[None], TORSO)[0] for pose in (PERSON_HEIGHT, SITTING)])
    order = [int(np.abs(model.atomic - pose).mean(axis=(1, 2)).argmin()) for pose in truth]
    assert sorted(order) == [0, 1] and np.abs(model.atomic[order] - truth).max() < 0.05
    # drawn boxes of new people have the detector's errors: mean and deviation of each side
    upright, joints, boxes, _ = _people(600, seed=1)
    drawn = proposals.propose(model, joints, boxes, np.random.default_rng(2))
    found = proposals.offsets(boxes, drawn)
    assert found[upright].mean(axis=0) == pytest.approx([0, 0, 0, -0.2], abs=0.01)
    assert found[~upright].mean(axis=0) == pytest.approx([0.3, 0, 0, 0], abs=0.01)
    # the model's least variance of 1e-4 comes on top of 0.02^2: sqrt(4e-4 + 1e-4) = 0.0224
    assert found[upright].std(axis=0) == pytest.approx(np.full(4, 0.0224), abs=0.003)


def test_the_mixture_finds_two_modes():
    draw = np.random.default_rng(0)
    values = np.concatenate([draw.normal(-1, 0.1, (300, 4)), draw.normal(1, 0.2, (100, 4))])
    weights, means, covariances = proposals._mixture(values, 2, np.random.default_rng(3))
    first = int(means[:, 0].argmin())
    assert weights[first] == pytest.approx(0.75, abs=0.01)
    assert means[first] == pytest.approx(np.full(4, -1.0), abs=0.03) and means[1 - first] == pytest.approx(
        np.full(4, 1.0), abs=0.06
    )
    assert np.diag(covariances[1 - first]) == pytest.approx(np.full(4, 0.04), rel=0.4)


def test_people_without_a_torso_keep_their_boxes_and_too_few_people_are_rejected():
    _, joints, boxes, detected = _people(60)
    model = proposals.fit(joints, boxes, detected, TORSO, atomic=2, components=1)
    joints[0, 0] = np.nan
    joints[1, 5] = np.nan  # a foot is not the torso
    drawn = proposals.propose(model, joints, boxes, np.random.default_rng(0))
    assert drawn[0].tolist() == boxes[0].tolist() and (drawn[1:] != boxes[1:]).any(axis=1).all()
    assert (drawn[:, 2:] > 0).all()
    with pytest.raises(ValueError, match="9 atomic poses from 8 people"):
        proposals.fit(joints[:9], boxes[:9], detected[:9], TORSO, atomic=9, components=1)
    same = proposals.propose(model, joints, boxes, np.random.default_rng(0))
    assert np.array_equal(same, drawn)
