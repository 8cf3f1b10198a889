"""A plain second implementation of the Stacked Hourglass in its two public forms, as in `plain_networks`."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from tests.baselines.plain_networks import (
    Shapes,
    Weights,
    conv_names,
    convolved,
    doubled,
    norm_names,
    normed,
    numbered,
)


def _unit(w: Weights, name: str, x: Tensor, conv: str, skip: str) -> Tensor:
    """A pre-activation bottleneck; its skip is used where the number of channels changes."""
    y = x
    for part in "123":
        y = convolved(w, f"{name}.conv{part}{conv}", F.relu(normed(w, f"{name}.bn{part}", y)))
    return y + (convolved(w, f"{name}.{skip}", x) if x.shape[1] != y.shape[1] else x)


# pytorch-pose: layer1..3, hg.STACK.hg.LEVEL.PLACE.UNIT, res, fc, score, fc_, score_; a unit is twice its planes wide


def _toolkit_unit(shapes: Shapes, name: str, inputs: int, planes: int) -> None:
    for part, (a, b, k) in enumerate([(inputs, planes, 1), (planes, planes, 3), (planes, 2 * planes, 1)], start=1):
        norm_names(shapes, f"{name}.bn{part}", a)
        conv_names(shapes, f"{name}.conv{part}", a, b, k)
    if inputs != 2 * planes:
        conv_names(shapes, f"{name}.downsample.0", inputs, 2 * planes, 1)


def toolkit_names(stacks: int, blocks: int, planes: int, joints: int, levels: int = 4) -> Shapes:
    shapes: Shapes = {}
    width = 2 * planes
    conv_names(shapes, "conv1", 3, 64, 7)
    norm_names(shapes, "bn1", 64)
    for layer, (inputs, middle) in enumerate([(64, 64), (128, 128), (256, planes)], start=1):
        _toolkit_unit(shapes, f"layer{layer}.0", inputs, middle)
    for stack in range(stacks):
        for level in range(levels):
            for place in range(4 if level == 0 else 3):
                for block in range(blocks):
                    _toolkit_unit(shapes, f"hg.{stack}.hg.{level}.{place}.{block}", width, planes)
        for block in range(blocks):
            _toolkit_unit(shapes, f"res.{stack}.{block}", width, planes)
        conv_names(shapes, f"fc.{stack}.0", width, width, 1)
        norm_names(shapes, f"fc.{stack}.1", width)
        conv_names(shapes, f"score.{stack}", width, joints, 1)
        if stack < stacks - 1:
            conv_names(shapes, f"fc_.{stack}", width, width, 1)
            conv_names(shapes, f"score_.{stack}", joints, width, 1)
    return shapes


def toolkit(w: Weights, images: Tensor) -> list[Tensor]:
    """Heatmaps of every stack."""

    def units(place: str, x: Tensor) -> Tensor:
        for name in numbered(w, place, "bn1.weight"):
            x = _unit(w, name, x, "", "downsample.0")
        return x

    def hourglass(at: str, level: int, x: Tensor) -> Tensor:
        side, low = units(f"{at}.{level}.0", x), units(f"{at}.{level}.1", F.max_pool2d(x, 2))
        low = hourglass(at, level - 1, low) if level else units(f"{at}.{level}.3", low)
        return side + doubled(units(f"{at}.{level}.2", low))

    x = units("layer1", F.relu(normed(w, "bn1", convolved(w, "conv1", images, stride=2))))
    x = units("layer3", units("layer2", F.max_pool2d(x, 2)))
    found = []
    for stack, _ in enumerate(numbered(w, "score", "weight")):
        levels = len(list(numbered(w, f"hg.{stack}.hg", "0.0.bn1.weight")))
        y = units(f"res.{stack}", hourglass(f"hg.{stack}.hg", levels - 1, x))
        y = F.relu(normed(w, f"fc.{stack}.1", convolved(w, f"fc.{stack}.0", y)))
        found.append(convolved(w, f"score.{stack}", y))
        if f"fc_.{stack}.weight" in w:
            x = x + convolved(w, f"fc_.{stack}", y) + convolved(w, f"score_.{stack}", found[-1])
    return found


# the authors' PyTorch form: pre, hgs.STACK.0.(low2.)*up1|low1|low2|low3, features, outs, merge_features, merge_preds;
# every unit registers a skip. Only the largest of the smaller sizes is `increase` channels wider than the one above.


def _authors_unit(shapes: Shapes, name: str, inputs: int, outputs: int) -> None:
    half = outputs // 2
    for part, (a, b, k) in enumerate([(inputs, half, 1), (half, half, 3), (half, outputs, 1)], start=1):
        norm_names(shapes, f"{name}.bn{part}", a)
        conv_names(shapes, f"{name}.conv{part}.conv", a, b, k)
    conv_names(shapes, f"{name}.skip_layer.conv", inputs, outputs, 1)


def authors_names(stacks: int, width: int, joints: int, *, increase: int = 0, levels: int = 4) -> Shapes:
    shapes: Shapes = {}

    def hourglass(name: str, level: int, channels: int, more: int) -> None:
        wider = channels + more
        _authors_unit(shapes, f"{name}.up1", channels, channels)
        _authors_unit(shapes, f"{name}.low1", channels, wider)
        if level > 1:
            hourglass(f"{name}.low2", level - 1, wider, 0)
        else:
            _authors_unit(shapes, f"{name}.low2", wider, wider)
        _authors_unit(shapes, f"{name}.low3", wider, channels)

    conv_names(shapes, "pre.0.conv", 3, 64, 7)
    norm_names(shapes, "pre.0.bn", 64)
    for block, inputs, outputs in ((1, 64, 128), (3, 128, 128), (4, 128, width)):
        _authors_unit(shapes, f"pre.{block}", inputs, outputs)
    for stack in range(stacks):
        hourglass(f"hgs.{stack}.0", levels, width, increase)
        _authors_unit(shapes, f"features.{stack}.0", width, width)
        conv_names(shapes, f"features.{stack}.1.conv", width, width, 1)
        norm_names(shapes, f"features.{stack}.1.bn", width)
        conv_names(shapes, f"outs.{stack}.conv", width, joints, 1)
        if stack < stacks - 1:
            conv_names(shapes, f"merge_features.{stack}.conv.conv", width, width, 1)
            conv_names(shapes, f"merge_preds.{stack}.conv.conv", joints, width, 1)
    return shapes


def authors(w: Weights, images: Tensor) -> list[Tensor]:
    """Heatmaps of every stack; images are [B, 3, H, W] here, the original takes [B, H, W, 3]."""

    def unit(name: str, x: Tensor) -> Tensor:
        return _unit(w, name, x, ".conv", "skip_layer.conv")

    def hourglass(name: str, x: Tensor) -> Tensor:
        low = unit(f"{name}.low1", F.max_pool2d(x, 2))
        low = unit(f"{name}.low2", low) if f"{name}.low2.bn1.weight" in w else hourglass(f"{name}.low2", low)
        return unit(f"{name}.up1", x) + doubled(unit(f"{name}.low3", low))

    x = F.relu(normed(w, "pre.0.bn", convolved(w, "pre.0.conv", images, stride=2)))
    x = unit("pre.4", unit("pre.3", F.max_pool2d(unit("pre.1", x), 2)))
    found = []
    for stack, _ in enumerate(numbered(w, "outs", "conv.weight")):
        y = unit(f"features.{stack}.0", hourglass(f"hgs.{stack}.0", x))
        y = F.relu(normed(w, f"features.{stack}.1.bn", convolved(w, f"features.{stack}.1.conv", y)))
        found.append(convolved(w, f"outs.{stack}.conv", y))
        if f"merge_preds.{stack}.conv.conv.weight" in w:
            x = x + convolved(w, f"merge_features.{stack}.conv.conv", y)
            x = x + convolved(w, f"merge_preds.{stack}.conv.conv", found[-1])
    return found
