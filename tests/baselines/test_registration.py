"""What a file's names say of how its images are prepared."""

from pathlib import Path

import pytest
import safetensors.torch
import torch

from baselines import checkpoint_formats, simple_baseline
from baselines.registration import PREPARATIONS, describe

IMAGENET = (0.485, 0.456, 0.406)


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return simple_baseline.build(17, depth=18, width=4, deconvolutions=(8, 8, 8)).state_dict()


def _head(name: str) -> bool:
    return name.startswith(("deconv_layers", "final_layer"))


@pytest.mark.parametrize(
    ("named", "bgr", "mean"),
    [
        (lambda name: name, True, IMAGENET),  # the authors read images with OpenCV, and leave blue first
        (lambda name: f"module.{name}", True, IMAGENET),
        (lambda name: f"head.{name}" if _head(name) else f"backbone.{name}", False, IMAGENET),
        (lambda name: name if _head(name) else f"preact.{name}", False, (0.406, 0.457, 0.480)),
    ],
)
def test_each_toolkit_prepares_images_in_its_way(named, bgr, mean, weights, tmp_path: Path):
    path = tmp_path / "a.safetensors"
    safetensors.torch.save_file({named(name): value for name, value in weights.items()}, path)
    found = describe(path, licence="MIT", source="https://example.org/weights")
    assert (found.baseline, found.variant, found.bgr, found.mean) == ("simple_baseline", "r18", bgr, mean)
    # heatmap pixel u is pixel 4 u of the crop, whose middle is at 4 u + 0.5 = 4 (u + 0.125)
    assert found.flip_shift and found.origin == 0.125 and found.padding == 1.25


def test_every_form_has_a_converter_and_a_preparation():
    assert PREPARATIONS.keys() == checkpoint_formats.CONVERTERS.keys()
    # CPM: 128 / 255 is pixel 128, which is 128 / 256 - 1 / 2 = 0; pixel 255 is 255 / 256 - 1 / 2
    cpm = PREPARATIONS["cpm_caffe"]
    assert (128 / 255 - cpm.mean[0]) / cpm.std[0] == 0
    assert (1 - cpm.mean[0]) / cpm.std[0] == pytest.approx(255 / 256 - 0.5)
