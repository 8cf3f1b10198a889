"""Pictures of a network's heatmaps."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from baselines import load
from baselines.preview import drawn, person, render, strip
from evaluator import load_dataset

JOINTS = tuple(load_dataset("mannequins").joints)


def test_one_strip_per_joint_with_its_stages_side_by_side() -> None:
    estimator = load("stacked_hourglass", "mannequins", device="cpu")
    shown = render(estimator, JOINTS)
    assert shown is not None
    assert shown.joints == JOINTS and len(shown.strips) == len(shown.peaks) == 17
    # a crop of 128 x 192, shown 128 high: 128 * 128 / 192 = 85.3 wide
    assert (shown.size, shown.stages, shown.strip_width) == ((85, 128), 2, 2 * 85 + 4)
    for content in shown.strips:
        assert Image.open(io.BytesIO(content)).size == (shown.strip_width, 128)
        assert Image.open(io.BytesIO(content)).format == "WEBP"
    # the peaks of the last stage are those that the decoder finds, without the mirrored pass
    crop = np.array(person(estimator.input_size, estimator.padding))[None]
    maps = estimator.stages(crop)[0]
    assert [peaks[-1] for peaks in shown.peaks] == pytest.approx(maps[-1].max(axis=(1, 2)).tolist(), abs=1e-4)
    assert sum(map(len, shown.strips)) < 100_000


def test_the_peak_is_bright_and_the_rest_grey() -> None:
    crop = Image.new("RGB", (24, 32), (200, 40, 40))
    heatmap = np.zeros((8, 6))
    heatmap[6, 1] = 0.2
    picture = np.asarray(drawn(crop, heatmap)).astype(int)
    v, u = np.unravel_index(picture.sum(axis=2).argmax(), (32, 24))
    # the middle of the heatmap's pixel (1, 6), four times enlarged, is (5.5, 25.5)
    assert abs(u - 5.5) <= 1 and abs(v - 25.5) <= 1
    corner = picture[0, 23]
    assert corner.max() - corner.min() == 0


def test_pictures_of_a_strip_do_not_overlap() -> None:
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    whole = strip([Image.new("RGB", (10, 5), colour) for colour in colours])
    assert whole.size == (38, 5)
    assert [whole.getpixel((x, 2)) for x in (0, 9, 14, 23, 28, 37)] == [c for c in colours for _ in range(2)]
    assert whole.getpixel((11, 2)) == (128, 128, 128)


def test_a_network_without_heatmaps_has_no_preview() -> None:
    class Regression:
        name, input_size, padding = "regression", (64, 64), 1.25

    assert render(Regression(), JOINTS) is None  # type: ignore[arg-type]
