"""The preprocessing that follows from the names in a checkpoint."""

from pathlib import Path

import pytest
import safetensors.torch
import torch
from PIL import Image

from baselines import registry
from baselines.models import simple_baseline
from baselines.run.loading import load
from baselines.run.predict import predict
from baselines.weights import formats
from baselines.weights.recognition import Recognised
from baselines.weights.registration import Preparation, describe, preparation
from tests.baselines import plain_networks

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
        (lambda name: name, True, IMAGENET),  # the authors read images with OpenCV, as BGR
        (lambda name: f"module.{name}", True, IMAGENET),
        (lambda name: f"head.{name}" if _head(name) else f"backbone.{name}", False, IMAGENET),
        (lambda name: name if _head(name) else f"preact.{name}", False, (0.406, 0.457, 0.480)),
    ],
)
def test_preprocessing_follows_the_toolkit(named, bgr, mean, weights, tmp_path: Path):
    path = tmp_path / "a.safetensors"
    safetensors.torch.save_file({named(name): value for name, value in weights.items()}, path)
    found = describe(path, licence="MIT", source="https://example.org/weights")
    assert (found.baseline, found.variant, found.bgr, found.mean) == ("simple_baseline", "r18", bgr, mean)
    # heatmap pixel u is pixel 4 u of the crop, whose middle is at 4 u + 0.5 = 4 (u + 0.125)
    assert found.flip_shift and found.origin == 0.125 and found.padding == 1.25


def test_every_form_has_a_converter_and_a_preparation():
    forms = {form: preparation for card in registry.cards().values() for form, preparation in card.public_forms.items()}
    assert forms.keys() == formats.CONVERTERS.keys()
    for name, card in registry.cards().items():
        for form in card.public_forms:
            assert preparation(Recognised(name, "", 17, {}, form)).padding == 1.25  # every field is one of Preparation
    # CPM: 128 / 255 is pixel 128, which is 128 / 256 - 1 / 2 = 0; pixel 255 is 255 / 256 - 1 / 2
    mean, std = forms["cpm_caffe"]["mean"][0], forms["cpm_caffe"]["std"][0]
    assert (128 / 255 - mean) / std == 0
    assert (1 - mean) / std == pytest.approx(255 / 256 - 0.5)


def test_a_pose_machine_gets_zeros_outside_the_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Its zero is a grey of 128. The others get black there, as in their toolkits."""
    shapes = plain_networks.cpm_names(2, 14, channels=4, features=4, wide=4)
    torch.manual_seed(0)
    path = tmp_path / "cpm.safetensors"
    safetensors.torch.save_file({name: torch.randn(shape) / 10 for name, shape in shapes.items()}, path)
    describe(path, licence="MIT", source="https://example.org", input_size=(64, 64)).write(tmp_path / "cpm.json")
    estimator = load("cpm", "lsp", variant="stages2", checkpoint=tmp_path / "cpm.json", device="cpu")
    inputs = []
    forward = estimator.forward
    monkeypatch.setattr(estimator, "forward", lambda crops: inputs.append(crops) or forward(crops))
    monkeypatch.setattr("baselines.run.predict.load", lambda *_, **__: estimator)
    Image.new("RGB", (40, 20), (255, 0, 0)).save(tmp_path / "a.png")  # a square crop: above and below there is nothing
    predict("cpm", {"images": [{"id": 1, "file_name": "a.png", "width": 40, "height": 20}]}, tmp_path, "lsp")
    assert inputs[0].shape == (1, 64, 64, 3)
    assert (inputs[0][0, 0] == 128).all() and (inputs[0][0, 32, 32] == [255, 0, 0]).all()
    assert not estimator._input(inputs[0])[0, :, 0].any()
    assert Preparation(**registry.card("hrnet").public_forms["hrnet"]).fill == (0, 0, 0)
