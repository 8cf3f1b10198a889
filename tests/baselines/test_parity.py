"""Public checkpoint formats: recognised from names and shapes, and the outputs are those of the original networks."""

import json

import numpy as np
import pytest
import torch

from baselines import module
from baselines.__main__ import main
from baselines.weights import checkpoints
from baselines.weights.checkpoints import CheckpointError
from baselines.weights.recognition import recognise

FORMATS = {
    "hrnet_w32_coco17": ("hrnet", "w32"),
    "simplebaseline_r50_coco17": ("simple_baseline", "r50"),
    "cpm_shihenw_14": ("cpm", "full"),
    "fastpose_r50_coco17": ("rmpe", "fastpose-r50"),
    "hg_bearpaw_s2b1": ("stacked_hourglass", "stacks2"),
    "hg_princeton_s2": ("stacked_hourglass", "stacks2"),
}


@pytest.mark.real_data
@pytest.mark.parametrize("name", FORMATS)
def test_a_public_checkpoint_gives_the_outputs_of_the_original_network(real_data, name, capsys):
    folder = real_data / "baselines" / "parity"
    assert main(["check-checkpoint", str(folder / f"{name}.keys.json"), str(folder / f"{name}.npz")]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["family"], printed["variant"]) == FORMATS[name]
    assert printed["max_relative_difference"] < 1e-5  # ten times better than required


@pytest.mark.real_data
def test_other_outputs_and_other_keys_are_detected(real_data, tmp_path, capsys):
    folder = real_data / "baselines" / "parity"
    keys, outputs = folder / "simplebaseline_r50_coco17.keys.json", folder / "simplebaseline_r50_coco17.npz"
    with np.load(outputs) as stored:
        reference = stored["out"].copy()
    reference[0, 3, 5, 7] += 2e-4 * np.abs(reference).max()
    np.savez(tmp_path / "other.npz", out=reference)
    assert main(["check-checkpoint", str(keys), str(tmp_path / "other.npz")]) == 1
    assert json.loads(capsys.readouterr().out)["max_relative_difference"] == pytest.approx(2e-4, rel=0.02)
    np.savez(tmp_path / "small.npz", out=reference[:, :, :-1])
    assert main(["check-checkpoint", str(keys), str(tmp_path / "small.npz")]) == 2
    assert "[1, 17, 32, 24], the reference [1, 17, 31, 24]" in capsys.readouterr().err

    description = json.loads(keys.read_text())
    description["state"]["layer2.0.conv1.wieght"] = description["state"].pop("layer2.0.conv1.weight")
    (tmp_path / "keys.json").write_text(json.dumps(description))
    assert main(["check-checkpoint", str(tmp_path / "keys.json"), str(outputs)]) == 2
    message = capsys.readouterr().err
    assert "missing layer2.0.conv1.weight" in message and "unexpected layer2.0.conv1.wieght" in message


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.real_data
def test_every_corrupted_name_is_rejected(real_data, name):
    """A name misspelt, omitted or added anywhere is always detected, by strict loading or by recognition."""
    state = json.loads((real_data / "baselines" / "parity" / f"{name}.keys.json").read_text())["state"]
    shapes = {key: tuple(shape) for key, (shape, _) in state.items() if not key.endswith("num_batches_tracked")}
    convolution = [key for key in shapes if len(shapes[key]) == 4 and "skip_layer" not in key]
    for victim in convolution[:: max(1, len(convolution) // 6)]:
        for wrong in (
            {f"{k}_" if k == victim else k: v for k, v in shapes.items()},
            {k: v for k, v in shapes.items() if k != victim},
            {**shapes, f"{victim}.more": (1,)},
            {k: (*v[:-1], v[-1] + 2) if k == victim else v for k, v in shapes.items()},
        ):
            with pytest.raises(CheckpointError) as failure:
                _fill(wrong)
            assert failure.value.code in {"mismatch", "unknown_format"}
    _fill(shapes)


def _fill(shapes):
    found = recognise(shapes)
    with torch.device("meta"):
        network = found.build()
        weights = {name: torch.empty(shape) for name, shape in shapes.items()}
    checkpoints.check_names(network, found.convert(weights))  # what `fill` checks before it looks at values
    return network, found


@pytest.mark.real_data
def test_prefixes_of_wrappers_and_of_mmpose_are_read(real_data):
    folder = real_data / "baselines" / "parity"
    shapes = {
        key: tuple(shape)
        for key, (shape, _) in json.loads((folder / "hrnet_w32_coco17.keys.json").read_text())["state"].items()
    }
    for trunk, head in (
        ("module.", "module."),
        ("model.module.",) * 2,
        ("backbone.", "head."),
        ("backbone.", "keypoint_head."),
    ):
        renamed = {(head if key.startswith("final_layer") else trunk) + key: shape for key, shape in shapes.items()}
        assert _fill(renamed)[1].variant == "w32"
    with pytest.raises(CheckpointError, match=r"unexpected backbone\.conv1\.weight"):
        _fill({**shapes, "backbone.conv1.weight": (64, 3, 3, 3)})


def _shapes(network):
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


@pytest.mark.parametrize(
    ("family", "num_joints", "arguments", "variant"),
    [
        ("hrnet", 17, {"width": 48}, "w48"),
        ("hrnet", 16, {"width": 18, "kernel": 3}, "w18"),
        ("hrnet", 5, {"width": 8, "modules": (1, 2, 1), "depth": 2}, "w8"),
        ("simple_baseline", 16, {"depth": 152}, "r152"),
        ("simple_baseline", 3, {"depth": 18, "deconvolutions": (64, 32), "kernel": 3, "last": 3}, "r18"),
        ("simple_baseline", 3, {"depth": 34, "width": 16, "kernel": 2}, "r34"),
        ("rmpe", 26, {"depth": 101}, "fastpose-r101"),
        ("rmpe", 17, {"depth": 50, "shuffled": (1024, 1024)}, "fastpose-r50"),
    ],
)
def test_other_widths_depths_and_joints_are_recognised(family, num_joints, arguments, variant):
    """These networks have the names of the public formats, so their own names are the test."""
    with torch.device("meta"):
        network = module(family).build(num_joints, **arguments)
    found = recognise(_shapes(network))
    assert (found.family, found.variant, found.num_joints) == (family, variant, num_joints)
    assert found.arguments == arguments
    _fill(_shapes(network))


def test_unknown_names_and_files_are_rejected(tmp_path, capsys):
    with pytest.raises(CheckpointError, match=r"no network that is known here: encoder\.weight") as failure:
        recognise({"encoder.weight": (3, 4)})
    assert failure.value.code == "unknown_format"
    (tmp_path / "keys.json").write_text('{"state": 3}')
    assert main(["check-checkpoint", str(tmp_path / "keys.json"), str(tmp_path / "none.npz")]) == 2
    assert "not a list of names and outputs" in capsys.readouterr().err
