"""Other members of the public families than those whose outputs are at hand.

For both public forms of the Stacked Hourglass the names and shapes follow from a rule; the rule, and what a network
with these names computes, are written down here a second time, straight from the names, and the outputs compared.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from baselines import module, parity
from baselines.__main__ import main

Shapes = dict[str, tuple[int, ...]]


def _conv(shapes: Shapes, name: str, inputs: int, outputs: int, kernel: int) -> None:
    shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (outputs, inputs, kernel, kernel), (outputs,)


def _norm(shapes: Shapes, name: str, channels: int) -> None:
    for kind in ("weight", "bias", "running_mean", "running_var"):
        shapes[f"{name}.{kind}"] = (channels,)
    shapes[f"{name}.num_batches_tracked"] = ()


def _normed(w: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    values = [w[f"{name}.{kind}"] for kind in ("running_mean", "running_var", "weight", "bias")]
    return F.batch_norm(x, *values)


def _convolved(w: dict[str, Tensor], name: str, x: Tensor, stride: int = 1) -> Tensor:
    weight = w[f"{name}.weight"]
    return F.conv2d(x, weight, w[f"{name}.bias"], stride=stride, padding=weight.shape[2] // 2)


def _unit(w: dict[str, Tensor], name: str, x: Tensor, conv: str, skip: str) -> Tensor:
    """A pre-activation bottleneck; its skip is used where the number of channels changes."""
    y = x
    for part in "123":
        y = _convolved(w, f"{name}.conv{part}{conv}", F.relu(_normed(w, f"{name}.bn{part}", y)))
    return y + (_convolved(w, f"{name}.{skip}", x) if x.shape[1] != y.shape[1] else x)


def _up(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


# pytorch-pose: layer1..3, hg.STACK.hg.LEVEL.PART.BLOCK, res, fc, score, fc_, score_; a unit's width is twice its planes


def _toolkit_unit(shapes: Shapes, name: str, inputs: int, planes: int) -> None:
    for part, (a, b, k) in enumerate([(inputs, planes, 1), (planes, planes, 3), (planes, 2 * planes, 1)], start=1):
        _norm(shapes, f"{name}.bn{part}", a)
        _conv(shapes, f"{name}.conv{part}", a, b, k)
    if inputs != 2 * planes:
        _conv(shapes, f"{name}.downsample.0", inputs, 2 * planes, 1)


def toolkit(stacks: int, blocks: int, planes: int, joints: int) -> Shapes:
    shapes: Shapes = {}
    width = 2 * planes
    _conv(shapes, "conv1", 3, 64, 7)
    _norm(shapes, "bn1", 64)
    for layer, (inputs, middle) in enumerate([(64, 64), (128, 128), (256, planes)], start=1):
        _toolkit_unit(shapes, f"layer{layer}.0", inputs, middle)
    for stack in range(stacks):
        for level in range(4):
            for part in range(4 if level == 0 else 3):
                for block in range(blocks):
                    _toolkit_unit(shapes, f"hg.{stack}.hg.{level}.{part}.{block}", width, planes)
        for block in range(blocks):
            _toolkit_unit(shapes, f"res.{stack}.{block}", width, planes)
        _conv(shapes, f"fc.{stack}.0", width, width, 1)
        _norm(shapes, f"fc.{stack}.1", width)
        _conv(shapes, f"score.{stack}", width, joints, 1)
        if stack < stacks - 1:
            _conv(shapes, f"fc_.{stack}", width, width, 1)
            _conv(shapes, f"score_.{stack}", joints, width, 1)
    return shapes


def toolkit_outputs(w: dict[str, Tensor], images: Tensor, stacks: int, blocks: int) -> list[Tensor]:
    def units(name: str, x: Tensor) -> Tensor:
        for block in range(blocks):
            x = _unit(w, f"{name}.{block}", x, "", "downsample.0")
        return x

    def hourglass(stack: int, level: int, x: Tensor) -> Tensor:
        at = f"hg.{stack}.hg.{level}"
        side, low = units(f"{at}.0", x), units(f"{at}.1", F.max_pool2d(x, 2))
        low = hourglass(stack, level - 1, low) if level else units(f"{at}.3", low)
        return side + _up(units(f"{at}.2", low))

    def layer(number: int, x: Tensor) -> Tensor:
        return _unit(w, f"layer{number}.0", x, "", "downsample.0")

    x = layer(1, F.relu(_normed(w, "bn1", _convolved(w, "conv1", images, stride=2))))
    x = layer(3, layer(2, F.max_pool2d(x, 2)))
    found = []
    for stack in range(stacks):
        y = units(f"res.{stack}", hourglass(stack, 3, x))
        y = F.relu(_normed(w, f"fc.{stack}.1", _convolved(w, f"fc.{stack}.0", y)))
        found.append(_convolved(w, f"score.{stack}", y))
        if stack < stacks - 1:
            x = x + _convolved(w, f"fc_.{stack}", y) + _convolved(w, f"score_.{stack}", found[-1])
    return found


# the authors' PyTorch form: pre, hgs.STACK.0.(low2.)*up1|low1|low2|low3, features, outs, merge_features, merge_preds;
# every unit registers a skip


def _authors_unit(shapes: Shapes, name: str, inputs: int, outputs: int) -> None:
    half = outputs // 2
    for part, (a, b, k) in enumerate([(inputs, half, 1), (half, half, 3), (half, outputs, 1)], start=1):
        _norm(shapes, f"{name}.bn{part}", a)
        _conv(shapes, f"{name}.conv{part}.conv", a, b, k)
    _conv(shapes, f"{name}.skip_layer.conv", inputs, outputs, 1)


def authors(stacks: int, width: int, joints: int, increase: int) -> Shapes:
    shapes: Shapes = {}

    def hourglass(name: str, level: int, channels: int) -> None:
        wider = channels + increase
        _authors_unit(shapes, f"{name}.up1", channels, channels)
        _authors_unit(shapes, f"{name}.low1", channels, wider)
        if level > 1:
            hourglass(f"{name}.low2", level - 1, wider)
        else:
            _authors_unit(shapes, f"{name}.low2", wider, wider)
        _authors_unit(shapes, f"{name}.low3", wider, channels)

    _conv(shapes, "pre.0.conv", 3, 64, 7)
    _norm(shapes, "pre.0.bn", 64)
    for block, inputs, outputs in ((1, 64, 128), (3, 128, 128), (4, 128, width)):
        _authors_unit(shapes, f"pre.{block}", inputs, outputs)
    for stack in range(stacks):
        hourglass(f"hgs.{stack}.0", 4, width)
        _authors_unit(shapes, f"features.{stack}.0", width, width)
        _conv(shapes, f"features.{stack}.1.conv", width, width, 1)
        _norm(shapes, f"features.{stack}.1.bn", width)
        _conv(shapes, f"outs.{stack}.conv", width, joints, 1)
        if stack < stacks - 1:
            _conv(shapes, f"merge_features.{stack}.conv.conv", width, width, 1)
            _conv(shapes, f"merge_preds.{stack}.conv.conv", joints, width, 1)
    return shapes


def authors_outputs(w: dict[str, Tensor], images: Tensor, stacks: int) -> list[Tensor]:
    def unit(name: str, x: Tensor) -> Tensor:
        return _unit(w, name, x, ".conv", "skip_layer.conv")

    def hourglass(name: str, level: int, x: Tensor) -> Tensor:
        low = unit(f"{name}.low1", F.max_pool2d(x, 2))
        low = hourglass(f"{name}.low2", level - 1, low) if level > 1 else unit(f"{name}.low2", low)
        return unit(f"{name}.up1", x) + _up(unit(f"{name}.low3", low))

    x = F.relu(_normed(w, "pre.0.bn", _convolved(w, "pre.0.conv", images, stride=2)))
    x = unit("pre.4", unit("pre.3", F.max_pool2d(unit("pre.1", x), 2)))
    found = []
    for stack in range(stacks):
        y = unit(f"features.{stack}.0", hourglass(f"hgs.{stack}.0", 4, x))
        y = F.relu(_normed(w, f"features.{stack}.1.bn", _convolved(w, f"features.{stack}.1.conv", y)))
        found.append(_convolved(w, f"outs.{stack}.conv", y))
        if stack < stacks - 1:
            x = x + _convolved(w, f"merge_features.{stack}.conv.conv", y)
            x = x + _convolved(w, f"merge_preds.{stack}.conv.conv", found[-1])
    return found


def _written(folder: Path, shapes: Shapes, outputs: dict[str, Tensor], seed: int, size: tuple[int, ...]) -> list[str]:
    state = {name: [list(shape), "torch.float32"] for name, shape in shapes.items()}
    keys = {"state": state, "state_seed": seed, "input_shapes": [list(size)], "input_seeds": [7]}
    (folder / "keys.json").write_text(json.dumps(keys))
    np.savez(folder / "outputs.npz", **{name: value.numpy() for name, value in outputs.items()})
    return ["check-checkpoint", str(folder / "keys.json"), str(folder / "outputs.npz")]


def _same(tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> tuple[str, str]:
    assert main(arguments) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["max_relative_difference"] < 1e-5
    return answer["family"], answer["variant"]


@pytest.mark.parametrize(
    ("stacks", "blocks", "planes", "joints", "variant", "prefix"),
    [
        (1, 1, 128, 16, "stacks1", ""),
        (4, 1, 16, 14, "stacks4", "module."),
        (8, 1, 8, 16, "stacks8", "model.module."),
        (2, 4, 16, 17, "stacks2-blocks4", "module."),
        (1, 2, 12, 3, "stacks1-blocks2", ""),
    ],
)
def test_hourglasses_of_the_toolkit(stacks, blocks, planes, joints, variant, prefix, tmp_path, capsys):
    shapes = {f"{prefix}{name}": shape for name, shape in toolkit(stacks, blocks, planes, joints).items()}
    if prefix == "module.":  # as files of early versions of PyTorch
        shapes = {name: shape for name, shape in shapes.items() if not name.endswith("num_batches_tracked")}
    w = {name.removeprefix(prefix): value for name, value in parity.seeded_weights(shapes, 5).items()}
    size = (1, 3, 64, 64)
    with torch.inference_mode():
        found = toolkit_outputs(w, parity.seeded_input(size, 7), stacks, blocks)
    outputs = {f"out{stack}": value for stack, value in enumerate(found)}
    assert _same(tmp_path, capsys, _written(tmp_path, shapes, outputs, 5, size)) == ("stacked_hourglass", variant)


@pytest.mark.parametrize(
    ("stacks", "width", "joints", "increase", "variant", "prefix"),
    [
        (1, 256, 16, 0, "stacks1", "model.module."),
        (4, 32, 17, 0, "stacks4", "module."),
        (8, 16, 16, 0, "stacks8", "model."),
        (2, 32, 5, 8, "stacks2-plus8", ""),
    ],
)
def test_hourglasses_of_the_authors(stacks, width, joints, increase, variant, prefix, tmp_path, capsys):
    shapes = {f"{prefix}{name}": shape for name, shape in authors(stacks, width, joints, increase).items()}
    w = {name.removeprefix(prefix): value for name, value in parity.seeded_weights(shapes, 6).items()}
    size = (1, 64, 64, 3)
    with torch.inference_mode():
        images = parity.seeded_input(size, 7).permute(0, 3, 1, 2)  # [1, 64, 64, 3] to [1, 3, 64, 64]
        found = authors_outputs(w, images, stacks)
    outputs = {"out": torch.stack(found, dim=1)}  # [1, stacks, K, 16, 16]
    assert _same(tmp_path, capsys, _written(tmp_path, shapes, outputs, 6, size)) == ("stacked_hourglass", variant)


@pytest.mark.real_data
def test_the_rules_are_those_of_the_shared_lists(real_data):
    """The names and shapes that the two rules give for two stacks are those of the real networks."""
    for name, made in (("hg_bearpaw_s2b1", toolkit(2, 1, 128, 16)), ("hg_princeton_s2", authors(2, 256, 16, 0))):
        state = json.loads((real_data / "baselines" / "parity" / f"{name}.keys.json").read_text())["state"]
        assert made == {key: tuple(shape) for key, (shape, _) in state.items()}


@pytest.mark.parametrize(
    ("family", "num_joints", "arguments", "variant", "rename"),
    [
        ("hrnet", 16, {"width": 18}, "w18", lambda k: ("head." if k.startswith("final") else "backbone.") + k),
        ("hrnet", 14, {"width": 5, "modules": (1, 1, 1), "depth": 2, "stem": 8, "bottlenecks": 1}, "w5",
         lambda k: f"module.{k}"),
        ("simple_baseline", 16, {"depth": 101, "width": 8, "deconvolutions": (16, 16, 16)}, "r101",
         lambda k: ("keypoint_head." if k.startswith(("final", "deconv")) else "backbone.") + k),
        ("simple_baseline", 17, {"depth": 152, "width": 4, "deconvolutions": (8, 8, 8)}, "r152",
         lambda k: k if k.startswith(("final", "deconv")) else f"preact.{k}"),
        ("rmpe", 26, {"depth": 152, "width": 4, "shuffled": (32, 32)}, "fastpose-r152", lambda k: f"module.{k}"),
    ],
)  # fmt: skip
def test_other_sizes_through_the_whole_check(family, num_joints, arguments, variant, rename, tmp_path, capsys):
    """Names as published, for sizes that are not: filled from the seeds, they give what the same weights give here."""
    with torch.device("meta"):
        network = module(family).build(num_joints, **arguments)
    theirs = {name: rename(name) for name in network.state_dict()}
    shapes = {theirs[name]: tuple(value.shape) for name, value in network.state_dict().items()}
    w = parity.seeded_weights(shapes, 9)
    network = network.to_empty(device="cpu").eval()
    network.load_state_dict({name: w[there] for name, there in theirs.items()})
    size = (1, 3, 64, 64)
    with torch.inference_mode():
        outputs = {"out": network(parity.seeded_input(size, 7))[:, -1]}
    arguments_given = _written(tmp_path, shapes, outputs, 9, size)
    assert _same(tmp_path, capsys, arguments_given) == (family, variant)
    # another network's outputs are not these
    np.savez(tmp_path / "outputs.npz", out=1.01 * outputs["out"].numpy())
    assert main(arguments_given) == 1
