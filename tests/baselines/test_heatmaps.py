"""Targets and decoding."""

import numpy as np
import pytest

from baselines import heatmaps


def test_a_target_is_decoded_to_a_quarter_pixel():
    draw = np.random.default_rng(1)
    joints = draw.uniform(3, 20, (5, 4, 2))
    maps = heatmaps.gaussian_targets(joints, np.ones((5, 4)), (24, 32), 2.0)
    assert maps.shape == (5, 4, 32, 24) and maps.dtype == np.float32
    found, peak = heatmaps.decode(maps)
    assert np.abs(found - joints).max() <= 0.25 + 1e-6
    assert (peak > 0.9).all()


def test_decoding_by_hand():
    maps = np.zeros((1, 3, 5, 6))
    maps[0, 0, 2, 3], maps[0, 0, 2, 4], maps[0, 0, 1, 3] = 1.0, 0.5, 0.2  # right and up
    maps[0, 1, 3, 1], maps[0, 1, 3, 2] = 2.0, 1.0  # at the border it stays
    joints, peak = heatmaps.decode(maps)
    assert joints[0].tolist() == [[3.25, 1.75], [1.0, 3.0], [0.0, 0.0]]
    assert peak[0].tolist() == [1.0, 2.0, 0.0]


def test_joints_that_are_not_annotated_have_empty_targets():
    maps = heatmaps.gaussian_targets(np.full((1, 2, 2), 4.0), np.array([[1.0, 0.0]]), (8, 8), 1.0)
    assert maps[0, 0].max() == 1.0 and maps[0, 1].max() == 0.0


def test_flipping_there_and_back():
    order = heatmaps.flip_order(("nose", "left", "right"), [("left", "right")])
    assert order == [0, 2, 1]
    maps = np.random.default_rng(2).random((2, 3, 4, 6))
    assert np.array_equal(heatmaps.flip_back(heatmaps.flip_back(maps, order), order), maps)
    assert heatmaps.flip_back(maps, order)[0, 1, 2, 0] == maps[0, 2, 2, 5]


def test_softmax_is_a_distribution_and_survives_large_logits():
    logits = np.array([[[0.0, np.log(3.0)], [1e4, 1e4]]])
    assert heatmaps.softmax(logits).sum() == pytest.approx(1.0)
    assert heatmaps.softmax(logits[:, :1])[0, 0].tolist() == pytest.approx([0.25, 0.75])


@pytest.mark.real_data
def test_quarter_offset_equals_the_reference(real_data):
    with np.load(real_data / "baselines" / "parity" / "decode_hrnet_dark.npz") as stored:
        maps, highest = stored["hm"], stored["hrnet_maxvals"][..., 0]
        # the reference gives image coordinates: a box of scale * 200 pixels around its centre fills the 48 x 64 heatmap
        box = stored["scale"][:, None] * 200.0
        expected = (stored["hrnet_preds"] - stored["center"][:, None] + box / 2) * [48, 64] / box
    joints, peak = heatmaps.decode(maps)
    there = highest > 0  # an empty heatmap has no peak
    assert there.sum() > 90
    assert np.abs(joints - expected)[there].max() < 1e-3
    assert np.array_equal(peak, highest)
