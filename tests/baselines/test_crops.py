"""Images of every kind are read right, and crops keep coordinates."""

import math

import numpy as np
import pytest
from PIL import Image

from baselines import crops


def _scene() -> Image.Image:
    """8 x 4: left half red, right half blue, and a white top left corner."""
    pixels = np.zeros((4, 8, 3), np.uint8)
    pixels[:, :4] = (200, 0, 0)
    pixels[:, 4:] = (0, 0, 200)
    pixels[0, 0] = 255
    return Image.fromarray(pixels)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, orientation):
    shown = _scene()
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    stored = shown.transpose(undo[orientation]) if orientation > 1 else shown
    exif = Image.Exif()
    exif[crops.EXIF_ORIENTATION] = orientation
    stored.save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(np.asarray(crops.read_image(tmp_path / "a.png")), np.asarray(shown))
    # annotated on the stored pixels: then the listed size is theirs
    if stored.size != shown.size:
        read = crops.read_image(tmp_path / "a.png", stored.size)
        assert np.array_equal(np.asarray(read), np.asarray(stored))


def test_kinds_of_images(tmp_path):
    grey = np.linspace(0, 255, 12).astype(np.uint8).reshape(3, 4)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    assert np.array_equal(np.asarray(crops.read_image(tmp_path / "grey.png")), np.repeat(grey[..., None], 3, axis=2))
    deep = grey.astype(np.uint16) * 257
    Image.fromarray(deep).save(tmp_path / "deep.png")
    assert np.array_equal(np.asarray(crops.read_image(tmp_path / "deep.png"))[..., 1], grey)
    _scene().convert("CMYK").save(tmp_path / "cmyk.tif")
    cmyk = np.asarray(crops.read_image(tmp_path / "cmyk.tif")).astype(int)
    assert cmyk.shape == (4, 8, 3) and abs(cmyk - np.asarray(_scene())).max() <= 2
    for mode in ("P", "RGBA", "LA", "1"):
        _scene().convert(mode).save(tmp_path / "a.png")
        assert crops.read_image(tmp_path / "a.png").mode == "RGB"


def test_broken_missing_and_huge_files_are_named(tmp_path, monkeypatch):
    _scene().resize((80, 40)).save(tmp_path / "whole.jpg")
    (tmp_path / "half.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:400])
    (tmp_path / "text.png").write_text("not an image")
    (tmp_path / "empty.png").write_bytes(b"")
    for name in ("half.jpg", "text.png", "empty.png", "none.png"):
        with pytest.raises(crops.UnreadableImage, match=name):
            crops.read_image(tmp_path / name)
    monkeypatch.setattr(crops, "LARGEST_IMAGE", 3199)
    with pytest.raises(crops.UnreadableImage, match="80 x 40 pixels are too many"):
        crops.read_image(tmp_path / "whole.jpg")


def test_a_box_lands_in_the_middle_of_its_crop():
    # box 10..30 x 20..60: half as wide as high; the crop of 96 x 128 at padding 1.25 shows 50 pixels of height in 128
    matrix = crops.box_crop((10, 20, 20, 40), (96, 128), 1.25)
    assert crops.apply(matrix, np.array([20.0, 40.0])) == pytest.approx([48, 64])
    assert crops.apply(matrix, np.array([20.0, 15.0])) == pytest.approx([48, 0])
    assert crops.apply(matrix, np.array([20.0, 65.0])) == pytest.approx([48, 128])


@pytest.mark.parametrize("flip", [False, True])
def test_turning_keeps_the_middle_and_can_be_undone(flip):
    matrix = crops.turned(crops.box_crop((3, 5, 30, 40), (96, 128)), (96, 128), angle=0.4, scale=1.2, flip=flip)
    assert crops.apply(matrix, np.array([18.0, 25.0])) == pytest.approx([48, 64])
    points = np.random.default_rng(0).uniform(0, 50, (7, 2))
    assert crops.apply(crops.inverse(matrix), crops.apply(matrix, points)) == pytest.approx(points)
    assert np.sign(np.linalg.det(matrix[:, :2])) == (-1 if flip else 1)


@pytest.mark.parametrize("size", [(64, 64), (16, 16), (9, 9)])
def test_a_spot_in_the_image_is_a_spot_in_the_crop(size):
    # a bright Gaussian at continuous (37.5, 22.5); its centre of mass in the crop is where the matrix says
    y, x = np.mgrid[:64, :64]
    light = 250 * np.exp(-((x + 0.5 - 37.5) ** 2 + (y + 0.5 - 22.5) ** 2) / 40)
    image = Image.fromarray(np.repeat(light.astype(np.uint8)[..., None], 3, axis=2))
    matrix = crops.box_crop((0, 0, 64, 64), size, 1.0)
    seen = np.asarray(crops.warp(image, matrix, size), float)[..., 0]
    v, u = np.mgrid[: size[1], : size[0]]
    centre = np.array([(seen * (u + 0.5)).sum(), (seen * (v + 0.5)).sum()]) / seen.sum()
    assert centre == pytest.approx(crops.apply(matrix, np.array([37.5, 22.5])), abs=0.06 * size[0] / 16)


@pytest.mark.real_data
def test_crops_are_those_of_hrnet(real_data):
    """Six boxes with rotations: the matrices of HRNet's toolkit for 192 x 256, whose angles turn the other way."""
    with np.load(real_data / "baselines" / "parity" / "decode_hrnet_dark.npz") as stored:
        centres, scales = stored["center"].astype(float), stored["scale"].astype(float)
        matrices, angles = stored["hrnet_affine"], stored["hrnet_affine_rot"]
    for (x, y), scale, expected, angle in zip(centres, scales, matrices, angles, strict=True):
        w, h = scale * 200 / 1.25
        matrix = crops.box_crop((x - w / 2, y - h / 2, w, h), (192, 256), 1.25)
        turned = crops.turned(matrix, (192, 256), angle=-math.radians(angle))
        assert turned == pytest.approx(expected, abs=1e-3)  # the reference computed in single precision
