"""Targets and decoding."""

import numpy as np
import pytest

from baselines.decode import heatmaps


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


def test_joints_without_annotation_have_empty_targets():
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


def test_mirrored_maps_without_the_half_pixel_offset_shift_to_the_right():
    # a joint at pixel 21 of a crop of 32; its heatmap pixel is 21 / 4. Mirrored: 31 - 21 = 10, heatmap pixel 2.5; back:
    # 7 - 2.5 = 4.5, three quarters of a pixel too far left; moved by one it is a quarter too far right
    maps = np.zeros((1, 1, 1, 8))
    maps[0, 0, 0, 2] = 1.0
    assert heatmaps.flip_back(maps, [0])[0, 0, 0].argmax() == 5
    shifted = heatmaps.flip_back(maps, [0], shift=True)
    assert shifted.shape == maps.shape and shifted[0, 0, 0].argmax() == 6


def test_the_vertex_of_a_gaussian_is_its_centre():
    joints = np.array([[[10.3, 12.8], [7.0, 20.45], [0.2, 31.0]]])
    maps = heatmaps.gaussian_targets(joints, np.ones((1, 3)), (24, 32), 1.0).astype(np.float64)
    found, peak = heatmaps.decode_vertex(maps)
    assert np.abs(found[0, :2] - joints[0, :2]).max() < 1e-6  # whatever the sigma
    assert found[0, 2].tolist() == [0.0, 31.0]  # at the border there is no neighbour
    assert peak[0].tolist() == maps.max(axis=(2, 3))[0].tolist()
    # logarithms 0, 3, 2: the vertex lies (0 - 2) / (2 (0 - 6 + 2)) = 1/4 to the right; 1, 3, 1: it stays
    maps = np.full((1, 1, 3, 5), 1e-6)
    maps[0, 0, 1, 1:4], maps[0, 0, 0, 2], maps[0, 0, 2, 2] = np.exp([0.0, 3.0, 2.0]), np.exp(1.0), np.exp(1.0)
    assert heatmaps.decode_vertex(maps)[0][0, 0].tolist() == pytest.approx([2.25, 1.0])
    flat = heatmaps.decode_vertex(np.zeros((1, 1, 4, 4)))  # flat everywhere: the first pixel, and no error
    assert flat[0][0, 0].tolist() == [0.0, 0.0] and flat[1][0, 0] == 0.0


def test_dark_by_hand():
    """The logarithm of a Gaussian is a quadratic, so its derivatives give the place exactly."""
    joints = np.array([[[10.3, 12.8], [7.0, 20.45]]])
    maps = heatmaps.gaussian_targets(joints, np.ones((1, 2)), (24, 32), 2.0).astype(np.float64)
    found, peak = heatmaps.decode_dark(maps)
    assert np.abs(found - joints).max() < 5e-3
    assert peak[0, 1] == maps[0, 1].max()
    other = heatmaps.gaussian_targets(joints, np.ones((1, 2)), (24, 32), 1.0).astype(np.float64)
    assert np.abs(heatmaps.decode_dark(other, sigma=1.0)[0] - joints).max() < 0.02
    # no maximum: flat, or at the border
    flat = np.zeros((1, 2, 32, 24))
    flat[0, 1, 1, 1] = 1.0
    assert heatmaps.decode_dark(flat)[0][0].tolist() == [[0.0, 0.0], [1.0, 1.0]]


def test_the_highest_pixel():
    maps = np.zeros((1, 1, 4, 6))
    maps[0, 0, 2, 5] = 0.5
    joints, peak = heatmaps.decode_peak(maps)
    assert joints[0, 0].tolist() == [5.0, 2.0] and peak[0, 0] == 0.5


@pytest.fixture(scope="module")
def reference(real_data):
    """Heatmaps and what HRNet's toolkit and mmpose decode from them; where there is a peak."""
    with np.load(real_data / "baselines" / "parity" / "decode_hrnet_dark.npz") as stored:
        found = {name: stored[name] for name in stored.files}
    there = found["hrnet_maxvals"][..., 0] > 0  # an empty heatmap has no peak
    assert there.sum() > 90
    return found, there


@pytest.mark.real_data
def test_quarter_offset_equals_the_reference(reference):
    found, there = reference
    # the reference gives image coordinates: a box of scale * 200 pixels around its centre fills the 48 x 64 heatmap
    box = found["scale"][:, None] * 200.0
    expected = (found["hrnet_preds"] - found["center"][:, None] + box / 2) * [48, 64] / box
    joints, peak = heatmaps.decode(found["hm"])
    assert np.abs(joints - expected)[there].max() < 1e-3
    assert np.array_equal(peak, found["hrnet_maxvals"][..., 0])


@pytest.mark.real_data
def test_dark_equals_the_reference(reference):
    found, there = reference
    joints, _ = heatmaps.decode_dark(found["hm"])
    assert np.abs(joints - found["mm_dark"])[there].max() < 1e-3


@pytest.mark.real_data
def test_errors_of_the_three_decoders_on_noisy_gaussians(reference):
    """Mean distance from the true places, heatmap pixels: .387 of the highest pixel, .17 quarter, .026 DARK."""
    found, there = reference
    for decode, error in ((heatmaps.decode_peak, 0.387), (heatmaps.decode, 0.174), (heatmaps.decode_dark, 0.026)):
        joints, _ = decode(found["hm"])
        assert np.linalg.norm(joints - found["gt"], axis=2)[there].mean() == pytest.approx(error, abs=0.0006)
    assert np.array_equal(heatmaps.decode_peak(found["hm"])[0][there], found["hrnet_raw"][there])


@pytest.mark.real_data
def test_flipping_back_equals_the_reference(reference):
    from evaluator import load_dataset

    found, _ = reference
    coco = load_dataset("coco")
    order = heatmaps.flip_order(coco.joints, coco.flip_pairs)
    assert np.array_equal(heatmaps.flip_back(found["hm"][:1], order), found["flip_back"])
