"""Coordinates survive cropping."""

import math

import numpy as np
import pytest
from PIL import Image

from baselines.run import crops


def test_a_box_is_centred_in_its_crop():
    # box 10..30 x 20..60: half as wide as high; the crop of 96 x 128 at padding 1.25 shows 50 pixels of height in 128
    matrix = crops.box_crop((10, 20, 20, 40), (96, 128), 1.25)
    assert crops.apply(matrix, np.array([20.0, 40.0])) == pytest.approx([48, 64])
    assert crops.apply(matrix, np.array([20.0, 15.0])) == pytest.approx([48, 0])
    assert crops.apply(matrix, np.array([20.0, 65.0])) == pytest.approx([48, 128])


@pytest.mark.parametrize("flip", [False, True])
def test_rotation_preserves_the_centre_and_is_invertible(flip):
    matrix = crops.turned(crops.box_crop((3, 5, 30, 40), (96, 128)), (96, 128), angle=0.4, scale=1.2, flip=flip)
    assert crops.apply(matrix, np.array([18.0, 25.0])) == pytest.approx([48, 64])
    points = np.random.default_rng(0).uniform(0, 50, (7, 2))
    assert crops.apply(crops.inverse(matrix), crops.apply(matrix, points)) == pytest.approx(points)
    assert np.sign(np.linalg.det(matrix[:, :2])) == (-1 if flip else 1)


@pytest.mark.parametrize("size", [(64, 64), (16, 16), (9, 9)])
def test_a_spot_in_the_image_is_at_the_same_place_in_the_crop(size):
    # a bright Gaussian at continuous (37.5, 22.5); its centre of mass in the crop is where the matrix says
    y, x = np.mgrid[:64, :64]
    light = 250 * np.exp(-((x + 0.5 - 37.5) ** 2 + (y + 0.5 - 22.5) ** 2) / 40)
    image = Image.fromarray(np.repeat(light.astype(np.uint8)[..., None], 3, axis=2))
    matrix = crops.box_crop((0, 0, 64, 64), size, 1.0)
    warped = np.asarray(crops.warp(image, matrix, size), float)[..., 0]
    v, u = np.mgrid[: size[1], : size[0]]
    centre = np.array([(warped * (u + 0.5)).sum(), (warped * (v + 0.5)).sum()]) / warped.sum()
    assert centre == pytest.approx(crops.apply(matrix, np.array([37.5, 22.5])), abs=0.06 * size[0] / 16)


@pytest.mark.real_data
def test_crops_equal_those_of_hrnet(real_data):
    """Six boxes with rotations: the matrices of HRNet's toolkit for 192 x 256, whose angles turn the other way."""
    with np.load(real_data / "baselines" / "parity" / "decode_hrnet_dark.npz") as stored:
        centres, scales = stored["center"].astype(float), stored["scale"].astype(float)
        matrices, angles = stored["hrnet_affine"], stored["hrnet_affine_rot"]
    for (x, y), scale, expected, angle in zip(centres, scales, matrices, angles, strict=True):
        w, h = scale * 200 / 1.25
        matrix = crops.box_crop((x - w / 2, y - h / 2, w, h), (192, 256), 1.25)
        turned = crops.turned(matrix, (192, 256), angle=-math.radians(angle))
        assert turned == pytest.approx(expected, abs=1e-3)  # the reference computed in single precision
