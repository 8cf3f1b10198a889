"""Plain second implementations of the public networks: names and shapes by rule, outputs by name alone.

Nothing here comes from `baselines`. For every family there is a function that lists the names and shapes of a member as
its public form has them, and one that computes the outputs of images [B, 3, H, W] from weights of those names, which
also give the number of blocks, stacks and stages. `benchmarks.network_parity` compares both with the toolkits that can
be installed.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

Shapes = dict[str, tuple[int, ...]]
Weights = dict[str, Tensor]
RESNETS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


def conv_names(shapes: Shapes, name: str, inputs: int, outputs: int, kernel: int, *, bias: bool = True) -> None:
    shapes[f"{name}.weight"] = (outputs, inputs, kernel, kernel)
    if bias:
        shapes[f"{name}.bias"] = (outputs,)


def norm_names(shapes: Shapes, name: str, channels: int) -> None:
    for kind in ("weight", "bias", "running_mean", "running_var"):
        shapes[f"{name}.{kind}"] = (channels,)
    shapes[f"{name}.num_batches_tracked"] = ()


def normed(w: Weights, name: str, x: Tensor) -> Tensor:
    return F.batch_norm(x, *(w[f"{name}.{kind}"] for kind in ("running_mean", "running_var", "weight", "bias")))


def convolved(w: Weights, name: str, x: Tensor, stride: int = 1) -> Tensor:
    weight = w[f"{name}.weight"]
    return F.conv2d(x, weight, w.get(f"{name}.bias"), stride=stride, padding=weight.shape[2] // 2)


def numbered(w: Weights, name: str, witness: str) -> Iterator[str]:
    """`name.0`, `name.1` and so on, as long as `name.N.witness` is a weight."""
    number = 0
    while f"{name}.{number}.{witness}" in w:
        yield f"{name}.{number}"
        number += 1


def doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


# Blocks of ResNet: conv1, bn1, conv2, bn2 (conv3, bn3), downsample.0 and .1, se.fc.0 and .2


def _block_names(shapes: Shapes, name: str, inputs: int, planes: int, *, deep: bool, shortcut: bool, se: bool) -> int:
    layers = [(inputs, planes, 1), (planes, planes, 3), (planes, 4 * planes, 1)] if deep else [
        (inputs, planes, 3), (planes, planes, 3)]  # fmt: skip
    outputs = layers[-1][1]
    for number, (a, b, k) in enumerate(layers, start=1):
        conv_names(shapes, f"{name}.conv{number}", a, b, k, bias=False)
        norm_names(shapes, f"{name}.bn{number}", b)
    if se:
        for layer in (0, 2):
            shapes[f"{name}.se.fc.{layer}.weight"] = (outputs, outputs)
            shapes[f"{name}.se.fc.{layer}.bias"] = (outputs,)
    if shortcut:
        conv_names(shapes, f"{name}.downsample.0", inputs, outputs, 1, bias=False)
        norm_names(shapes, f"{name}.downsample.1", outputs)
    return outputs


def _block(w: Weights, name: str, x: Tensor, stride: int = 1) -> Tensor:
    deep = f"{name}.conv3.weight" in w
    strides = [1, stride, 1] if deep else [stride, 1]
    y = x
    for number, step in enumerate(strides, start=1):
        y = normed(w, f"{name}.bn{number}", convolved(w, f"{name}.conv{number}", y, step))
        y = F.relu(y) if number < len(strides) else y
    if f"{name}.se.fc.0.weight" in w:
        squeezed = F.relu(F.linear(y.mean((2, 3)), w[f"{name}.se.fc.0.weight"], w[f"{name}.se.fc.0.bias"]))
        y = (
            y
            * torch.sigmoid(F.linear(squeezed, w[f"{name}.se.fc.2.weight"], w[f"{name}.se.fc.2.bias"]))[..., None, None]
        )
    if f"{name}.downsample.0.weight" in w:
        x = normed(w, f"{name}.downsample.1", convolved(w, f"{name}.downsample.0", x, stride))
    return F.relu(y + x)


def _resnet_names(shapes: Shapes, prefix: str, depth: int, width: int, *, se: bool = False) -> int:
    conv_names(shapes, f"{prefix}conv1", 3, width, 7, bias=False)
    norm_names(shapes, f"{prefix}bn1", width)
    deep, inputs = depth >= 50, width
    for layer, count in enumerate(RESNETS[depth], start=1):
        for number in range(count):
            shortcut = number == 0 and (deep or layer > 1)
            inputs = _block_names(
                shapes, f"{prefix}layer{layer}.{number}", inputs, width * 2 ** (layer - 1),
                deep=deep, shortcut=shortcut, se=se and number == 0,
            )  # fmt: skip
    return inputs


def _resnet(w: Weights, prefix: str, images: Tensor) -> Tensor:
    x = F.relu(normed(w, f"{prefix}bn1", convolved(w, f"{prefix}conv1", images, 2)))
    x = F.max_pool2d(x, 3, stride=2, padding=1)
    for layer in (1, 2, 3, 4):
        for number, name in enumerate(numbered(w, f"{prefix}layer{layer}", "conv1.weight")):
            x = _block(w, name, x, 2 if number == 0 and layer > 1 else 1)
    return x


# SimpleBaseline: a ResNet (AlphaPose: behind `preact.`), deconv_layers of three each, final_layer


def simple_baseline_names(
    depth: int, joints: int, *, width: int = 64, deconvolutions: tuple[int, ...] = (256, 256, 256), kernel: int = 4,
    last: int = 1, prefix: str = "",
) -> Shapes:  # fmt: skip
    shapes: Shapes = {}
    inputs = _resnet_names(shapes, prefix, depth, width)
    for number, outputs in enumerate(deconvolutions):
        shapes[f"deconv_layers.{3 * number}.weight"] = (inputs, outputs, kernel, kernel)
        norm_names(shapes, f"deconv_layers.{3 * number + 1}", outputs)
        inputs = outputs
    conv_names(shapes, "final_layer", inputs, joints, last)
    return shapes


def simple_baseline(w: Weights, images: Tensor) -> Tensor:
    x = _resnet(w, "preact." if "preact.conv1.weight" in w else "", images)
    number = 0
    while (weight := w.get(f"deconv_layers.{number}.weight")) is not None:
        # the size doubles: 2 (n - 1) - 2 padding + kernel + more = 2 n
        padding, more = {4: (1, 0), 3: (1, 1), 2: (0, 0)}[weight.shape[2]]
        x = F.conv_transpose2d(x, weight, stride=2, padding=padding, output_padding=more)
        x = F.relu(normed(w, f"deconv_layers.{number + 1}", x))
        number += 3
    return convolved(w, "final_layer", x)


# FastPose: a ResNet with squeeze and excitation behind `preact.`, duc1 and duc2, conv_out


def fastpose_names(depth: int, joints: int, *, width: int = 64, shuffled: tuple[int, int] = (1024, 512)) -> Shapes:
    shapes: Shapes = {}
    inputs = _resnet_names(shapes, "preact.", depth, width, se=True)
    for number, outputs in enumerate(shuffled, start=1):
        conv_names(shapes, f"duc{number}.conv", inputs // 4, outputs, 3, bias=False)
        norm_names(shapes, f"duc{number}.bn", outputs)
        inputs = outputs
    conv_names(shapes, "conv_out", inputs // 4, joints, 3)
    return shapes


def fastpose(w: Weights, images: Tensor) -> Tensor:
    x = F.pixel_shuffle(_resnet(w, "preact.", images), 2)
    for name in ("duc1", "duc2"):
        x = F.pixel_shuffle(F.relu(normed(w, f"{name}.bn", convolved(w, f"{name}.conv", x))), 2)
    return convolved(w, "conv_out", x)


# HRNet: conv1, conv2, layer1, transition1..3, stage2..4 (branches and fuse_layers), final_layer


def hrnet_names(
    width: int, joints: int, *, modules: tuple[int, int, int] = (1, 4, 3), depth: int = 4, stem: int = 64,
    bottlenecks: int = 4, last: int = 1,
) -> Shapes:  # fmt: skip
    shapes: Shapes = {}
    for number, inputs in ((1, 3), (2, stem)):
        conv_names(shapes, f"conv{number}", inputs, stem, 3, bias=False)
        norm_names(shapes, f"bn{number}", stem)
    inputs = stem
    for number in range(bottlenecks):
        inputs = _block_names(shapes, f"layer1.{number}", inputs, stem, deep=True, shortcut=number == 0, se=False)
    widths = [width, 2 * width, 4 * width, 8 * width]
    new = (("1.0", inputs, 0), ("1.1.0", inputs, 1), ("2.2.0", widths[1], 2), ("3.3.0", widths[2], 3))
    for name, before, branch in new:
        conv_names(shapes, f"transition{name}.0", before, widths[branch], 3, bias=False)
        norm_names(shapes, f"transition{name}.1", widths[branch])
    for stage, count in zip((2, 3, 4), modules, strict=True):
        for module in range(count):
            at = f"stage{stage}.{module}"
            for branch in range(stage):
                for block in range(depth):
                    name = f"{at}.branches.{branch}.{block}"
                    _block_names(shapes, name, widths[branch], widths[branch], deep=False, shortcut=False, se=False)
            for target in range(1 if stage == 4 and module == count - 1 else stage):
                for source in range(stage):
                    name = f"{at}.fuse_layers.{target}.{source}"
                    if source > target:
                        conv_names(shapes, f"{name}.0", widths[source], widths[target], 1, bias=False)
                        norm_names(shapes, f"{name}.1", widths[target])
                    for step in range(target - source):
                        outputs = widths[target if step == target - source - 1 else source]
                        conv_names(shapes, f"{name}.{step}.0", widths[source], outputs, 3, bias=False)
                        norm_names(shapes, f"{name}.{step}.1", outputs)
    conv_names(shapes, "final_layer", width, joints, last)
    return shapes


def hrnet(w: Weights, images: Tensor) -> Tensor:
    def step(name: str, x: Tensor, stride: int = 1) -> Tensor:
        return normed(w, f"{name}.1", convolved(w, f"{name}.0", x, stride))

    def path(name: str, x: Tensor, source: int, target: int) -> Tensor:
        if source == target:
            return x
        if source > target:
            return F.interpolate(step(name, x), scale_factor=2.0 ** (source - target), mode="nearest")
        for number in range(target - source):
            x = step(f"{name}.{number}", x, 2)
            x = F.relu(x) if number < target - source - 1 else x
        return x

    x = images
    for number in (1, 2):
        x = F.relu(normed(w, f"bn{number}", convolved(w, f"conv{number}", x, 2)))
    for name in numbered(w, "layer1", "conv1.weight"):
        x = _block(w, name, x)
    branches = [F.relu(step("transition1.0", x)), F.relu(step("transition1.1.0", x, 2))]
    for stage in (2, 3, 4):
        if stage > 2:
            branches.append(F.relu(step(f"transition{stage - 1}.{stage - 1}.0", branches[-1], 2)))
        for at in numbered(w, f"stage{stage}", "branches.0.0.conv1.weight"):
            for branch in range(stage):
                for name in numbered(w, f"{at}.branches.{branch}", "conv1.weight"):
                    branches[branch] = _block(w, name, branches[branch])
            targets = [t for t in range(stage) if any(k.startswith(f"{at}.fuse_layers.{t}.") for k in w)]
            branches = [
                F.relu(sum(path(f"{at}.fuse_layers.{t}.{s}", x, s, t) for s, x in enumerate(branches)))  # type: ignore[arg-type]
                for t in targets
            ]
    return convolved(w, "final_layer", branches[0])


# Convolutional Pose Machines by the layer names of the authors' network definition


def cpm_names(stages: int, joints: int, *, channels: int = 128, features: int = 32, wide: int = 512) -> Shapes:
    shapes: Shapes = {}
    maps = joints + 1
    for stage in range(1, min(stages, 2) + 1):
        for layer in (1, 2, 3):
            conv_names(shapes, f"conv{layer}_stage{stage}", 3 if layer == 1 else channels, channels, 9)
    conv_names(shapes, "conv4_stage1", channels, features, 5)
    conv_names(shapes, "conv5_stage1", features, wide, 9)
    conv_names(shapes, "conv6_stage1", wide, wide, 1)
    conv_names(shapes, "conv7_stage1", wide, maps, 1)
    for stage in range(2, stages + 1):
        conv_names(shapes, "conv4_stage2" if stage == 2 else f"conv1_stage{stage}", channels, features, 5)
        for layer, (inputs, outputs, kernel) in enumerate(
            [(features + maps + 1, channels, 11), (channels, channels, 11), (channels, channels, 11),
             (channels, channels, 1), (channels, maps, 1)], start=1,
        ):  # fmt: skip
            conv_names(shapes, f"Mconv{layer}_stage{stage}", inputs, outputs, kernel)
    return shapes


def cpm(w: Weights, images: Tensor, centre: Tensor) -> list[Tensor]:
    """Belief maps of every stage; `centre` [B, 1, H, W]."""

    def pooled(x: Tensor) -> Tensor:
        """Largest of windows of 3 at every second pixel; the last window may reach over the edge, as Caffe's."""
        odd = [(-size - 1) % 2 for size in (x.shape[3], x.shape[2])]
        return F.max_pool2d(F.pad(x, (0, odd[0], 0, odd[1]), value=float("-inf")), 3, stride=2)

    def trunk(stage: int) -> Tensor:
        x = images
        for layer in (1, 2, 3):
            x = pooled(F.relu(convolved(w, f"conv{layer}_stage{stage}", x)))
        return x

    x = trunk(1)
    for layer in (4, 5, 6):
        x = F.relu(convolved(w, f"conv{layer}_stage1", x))
    found = [convolved(w, "conv7_stage1", x)]
    stage, shared = 2, trunk(2) if "conv1_stage2.weight" in w else None
    height, width = found[0].shape[2:]
    rows = [
        [centre[:, :, 8 * i : 8 * i + 9, 8 * j : 8 * j + 9].mean((2, 3)) for j in range(width)] for i in range(height)
    ]
    middle = torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)  # [B, 1, H/8, W/8]
    while f"Mconv1_stage{stage}.weight" in w:
        assert shared is not None
        own = F.relu(convolved(w, "conv4_stage2" if stage == 2 else f"conv1_stage{stage}", shared))
        x = torch.cat([own, found[-1], middle], dim=1)
        for layer in (1, 2, 3, 4):
            x = F.relu(convolved(w, f"Mconv{layer}_stage{stage}", x))
        found.append(convolved(w, f"Mconv5_stage{stage}", x))
        stage += 1
    return found
