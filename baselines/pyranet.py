"""Learning Feature Pyramids for Human Pose Estimation, Yang et al., ICCV 2017 (arXiv 1708.01101).

A stacked hourglass whose residual blocks look at their input at several sizes (pyramid residual modules, section 3.2):
one branch works at full size, the other takes the sum of what convolutions find on copies shrunk by 2^(-c/C).
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from baselines.heatmap_estimator import HeatmapEstimator
    from evaluator import Dataset

TITLE = "PyraNet"
SOURCE = "Yang, Li, Ouyang, Li, Wang: Learning Feature Pyramids for Human Pose Estimation. ICCV 2017, arXiv 1708.01101"
INPUT_SIZE = (256, 256)  # width, height
# arguments of build(), the number of joints that the published count is for, and the input size (width, height)
VARIANTS: dict[str, dict[str, Any]] = {
    "full": {"stacks": 8, "channels": 256, "levels": 4, "joints": 16, "input_size": (256, 256)},
    "narrow": {"stacks": 2, "channels": 32, "levels": 3, "joints": 17, "input_size": (96, 128)},
}
DEFAULT_VARIANT = "full"
SIGMA = 1.0  # of the Gaussian targets, heatmap pixels


class Pyramid(nn.Module):
    """The pyramid (section 3.2): shrunk by 2^(-c/C) for c = 1..C, convolved, added up.

    Fractional max pooling draws its cells anew at every call of training; in evaluation they are evenly spread.
    """

    def __init__(self, width: int, cardinality: int) -> None:
        super().__init__()
        self.ratios = [2.0 ** (-(level + 1) / cardinality) for level in range(cardinality)]
        self.convs = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(cardinality))

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[-2:]
        total = torch.zeros_like(x)
        for ratio, conv in zip(self.ratios, self.convs, strict=True):
            smaller = conv(self._shrunk(x, ratio))  # [B, D, H * ratio, W * ratio]
            total = total + F.interpolate(smaller, size=size, mode="bilinear", align_corners=True)  # [B, D, H, W]
        return total

    def _shrunk(self, x: Tensor, ratio: float) -> Tensor:
        height, width = (max(1, int(side * ratio)) for side in x.shape[-2:])
        if self.training and min(x.shape[-2:]) > 2:
            return F.fractional_max_pool2d(x, 2, output_size=(height, width))
        return F.adaptive_max_pool2d(x, (height, width))


class Residual(nn.Module):
    """Pre-activation bottleneck: BN-ReLU-1x1, BN-ReLU-3x3, BN-ReLU-1x1, plus the input.

    The skip is BN-ReLU-1x1 where the width changes, or where `project` asks for it: identity mappings on the way up add
    variances again and again (section 4.2).
    """

    def __init__(self, inputs: int, outputs: int, *, project: bool = False) -> None:
        super().__init__()
        middle = outputs // 2
        self.norm1, self.conv1 = nn.BatchNorm2d(inputs), nn.Conv2d(inputs, middle, 1)
        self.norm2, self.conv2 = nn.BatchNorm2d(middle), nn.Conv2d(middle, middle, 3, padding=1)
        self.norm3, self.conv3 = nn.BatchNorm2d(middle), nn.Conv2d(middle, outputs, 1)
        self.skip = _skip(inputs, outputs, project)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.relu(self.norm1(x)))
        y = self.conv2(F.relu(self.norm2(y)))
        return self.conv3(F.relu(self.norm3(y))) + self.skip(x)


class PyramidResidual(nn.Module):
    """Pyramid residual module (section 3.2): 1x1 and 3x3 at full size, plus the pyramid, then 1x1, plus the input.

    `activate`: whether BN and ReLU come first; the stem's first block follows a ReLU already.
    """

    def __init__(
        self, inputs: int, outputs: int, base: int, cardinality: int, *, project: bool = False, activate: bool = True
    ) -> None:
        super().__init__()
        middle, narrow = outputs // 2, outputs // base
        self.full = nn.Sequential(
            *_activated(inputs if activate else 0),
            nn.Conv2d(inputs, middle, 1),
            *_activated(middle),
            nn.Conv2d(middle, middle, 3, padding=1),
        )
        self.pyramid = nn.Sequential(
            *_activated(inputs if activate else 0),
            nn.Conv2d(inputs, narrow, 1),
            *_activated(narrow),
            Pyramid(narrow, cardinality),
            *_activated(narrow),
            nn.Conv2d(narrow, middle, 1),
        )
        self.out = nn.Sequential(*_activated(middle), nn.Conv2d(middle, outputs, 1))
        self.skip = _skip(inputs, outputs, project)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.full(x) + self.pyramid(x)) + self.skip(x)  # [B, outputs, H, W]


def _activated(channels: int) -> list[nn.Module]:
    """BN and ReLU; nothing for 0 channels."""
    return [nn.BatchNorm2d(channels), nn.ReLU()] if channels else []


def _skip(inputs: int, outputs: int, project: bool) -> nn.Module:
    if inputs == outputs and not project:
        return nn.Identity()
    return nn.Sequential(*_activated(inputs), nn.Conv2d(inputs, outputs, 1))


class Hourglass(nn.Module):
    """One hourglass: pyramid modules beside the way down from the second level up, on the way from the third up."""

    def __init__(self, level: int, channels: int, base: int, cardinality: int) -> None:
        super().__init__()

        def block(pyramid: bool, *, project: bool = False) -> nn.Module:
            if pyramid:
                return PyramidResidual(channels, channels, base, cardinality, project=project)
            return Residual(channels, channels, project=project)

        self.side = block(level >= 2)
        self.down = block(level >= 3)
        self.inner = Hourglass(level - 1, channels, base, cardinality) if level > 1 else block(False)
        self.up = block(level >= 3, project=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.up(self.inner(self.down(F.max_pool2d(x, 2))))  # [B, C, H/2, W/2]
        return self.side(x) + F.interpolate(y, scale_factor=2.0, mode="nearest")  # [B, C, H, W]


class PyraNet(nn.Module):
    """Images [B, 3, H, W] to heatmaps [B, stacks, K, H/4, W/4]; the last stack is the answer."""

    def __init__(self, num_joints: int, stacks: int, channels: int, levels: int, base: int, cardinality: int) -> None:
        super().__init__()
        quarter, half = channels // 4, channels // 2
        self.conv, self.norm = nn.Conv2d(3, quarter, 7, stride=2, padding=3), nn.BatchNorm2d(quarter)
        self.res1 = PyramidResidual(quarter, half, base, cardinality, activate=False)
        self.res2 = PyramidResidual(half, half, base, cardinality)
        self.res3 = PyramidResidual(half, channels, base, cardinality)
        self.hourglasses = nn.ModuleList(Hourglass(levels, channels, base, cardinality) for _ in range(stacks))
        self.features = nn.ModuleList(
            nn.Sequential(*_activated(channels), nn.Conv2d(channels, channels, 1), *_activated(channels))
            for _ in range(stacks)
        )
        self.heatmaps = nn.ModuleList(nn.Conv2d(channels, num_joints, 1) for _ in range(stacks))
        self.from_features = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in range(stacks - 1))
        self.from_heatmaps = nn.ModuleList(nn.Conv2d(num_joints, channels, 1) for _ in range(stacks - 1))

    def forward(self, images: Tensor) -> Tensor:
        x = F.relu(self.norm(self.conv(images)))  # [B, C/4, H/2, W/2]
        x = F.max_pool2d(self.res1(x), 2)  # [B, C/2, H/4, W/4]
        x = self.res3(self.res2(x))  # [B, C, H/4, W/4]
        answers = []
        for stack, hourglass in enumerate(self.hourglasses):
            features = self.features[stack](hourglass(x))
            answers.append(self.heatmaps[stack](features))  # [B, K, H/4, W/4]
            if stack < len(self.from_features):
                x = x + self.from_features[stack](features) + self.from_heatmaps[stack](answers[-1])
        return torch.stack(answers, dim=1)  # [B, stacks, K, H/4, W/4]


def build(
    num_joints: int, *, stacks: int = 8, channels: int = 256, levels: int = 4, base: int = 9, cardinality: int = 4
) -> PyraNet:
    """The network with fresh weights. Input width and height must be multiples of 4 * 2**levels.

    `base`: a pyramid has 1 / base of its block's channels; `cardinality`: the number of its sizes.
    """
    return PyraNet(num_joints, stacks, channels, levels, base, cardinality)


def estimator(
    variant: str, dataset: "Dataset", *, checkpoint: Path | None, checkpoints: Path | None, device: str | None
) -> "HeatmapEstimator":
    """The network with its weights, ready to predict. Raises BaselineFailed."""
    from baselines.heatmap_estimator import load_estimator

    return load_estimator("pyranet", variant, build, dataset, checkpoint, device)
