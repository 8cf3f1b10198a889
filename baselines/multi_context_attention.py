"""Multi-Context Attention for Human Pose Estimation, Chu et al., CVPR 2017 (arXiv 1702.07432).

A stacked hourglass whose features are weighted by attention maps before joints are read off them. A map is smoothed by
mean-field steps of a conditional random field; the later stacks have one map for every joint (the paper's holistic and
body part attention), and blocks beside the way down see a larger surrounding (hourglass residual units).
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.stacked_hourglass import Residual

if TYPE_CHECKING:
    from baselines.heatmap_estimator import HeatmapEstimator
    from evaluator import Dataset

TITLE = "Multi-context Attention"
SOURCE = (
    "Chu, Yang, Ouyang, Ma, Yuille, Wang: Multi-Context Attention for Human Pose Estimation. "
    "CVPR 2017, arXiv 1702.07432"
)
INPUT_SIZE = (256, 256)  # width, height
# arguments of build(), the number of joints that the published count is for, and the input size (width, height)
VARIANTS: dict[str, dict[str, Any]] = {
    "full": {"stacks": 8, "channels": 256, "levels": 4, "joints": 16, "input_size": (256, 256)},
    "narrow": {"stacks": 2, "channels": 32, "levels": 3, "joints": 17, "input_size": (96, 128)},
}
DEFAULT_VARIANT = "full"
SIGMA = 1.0  # of the Gaussian targets, heatmap pixels
STEPS = 3  # of the mean field


class HourglassResidual(nn.Module):
    """Hourglass residual unit: a residual block plus a branch that sees twice as far."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.residual = Residual(channels, channels)
        self.norm1, self.conv1 = nn.BatchNorm2d(channels), nn.Conv2d(channels, channels, 3, padding=1)
        self.norm2, self.conv2 = nn.BatchNorm2d(channels), nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = F.max_pool2d(F.relu(self.norm1(x)), 2)  # [B, C, H/2, W/2]
        y = self.conv2(F.relu(self.norm2(self.conv1(y))))
        return self.residual(x) + F.interpolate(y, scale_factor=2.0, mode="nearest")  # [B, C, H, W]


class Attention(nn.Module):
    """Features [B, C, H, W] times one attention map [B, 1, H, W] (the paper's CRF attention).

    U is a 3x3 convolution of the features; Q1 = sigmoid(k * U + U), then Q = sigmoid(k * Q + U), with one kernel k.
    """

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.unary = nn.Conv2d(channels, 1, 3, padding=1)
        self.pairwise = nn.Conv2d(1, 1, kernel, padding=kernel // 2)

    def forward(self, features: Tensor) -> Tensor:
        unary = self.unary(features)  # [B, 1, H, W]
        state = unary
        for _ in range(STEPS):
            state = torch.sigmoid(self.pairwise(state) + unary)
        return features * state  # [B, C, H, W]


class AttentionPerJoint(nn.Module):
    """One attention map and one 1x1 convolution for every joint (part attention): [B, C, H, W] to [B, K, H, W]."""

    def __init__(self, channels: int, num_joints: int, kernel: int) -> None:
        super().__init__()
        self.joints = nn.ModuleList(
            nn.Sequential(Attention(channels, kernel), nn.Conv2d(channels, 1, 1)) for _ in range(num_joints)
        )

    def forward(self, features: Tensor) -> Tensor:
        return torch.cat([joint(features) for joint in self.joints], dim=1)  # [B, K, H, W]


class Hourglass(nn.Module):
    """One hourglass; beside the way down, a level of size n has n - 1 blocks, all but the first with the wider view."""

    def __init__(self, level: int, channels: int) -> None:
        super().__init__()
        wider = [HourglassResidual(channels) for _ in range(max(level - 2, 0))]
        self.side = nn.Sequential(Residual(channels, channels), *wider)
        self.down = Residual(channels, channels)
        self.inner = Hourglass(level - 1, channels) if level > 1 else Residual(channels, channels)
        self.up = Residual(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.up(self.inner(self.down(F.max_pool2d(x, 2))))  # [B, C, H/2, W/2]
        return self.side(x) + F.interpolate(y, scale_factor=2.0, mode="nearest")  # [B, C, H, W]


def _linear(inputs: int, outputs: int) -> nn.Sequential:
    """1x1 convolution, BN, ReLU."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.BatchNorm2d(outputs), nn.ReLU())


class Head(nn.Module):
    """What a stack says: features [B, C, H, W] to heatmaps [B, K, H, W], through attention.

    `per_joint`: a second attention a joint; `width`: of its features, twice the usual in the last stack.
    """

    def __init__(self, channels: int, width: int, num_joints: int, kernel: int, per_joint: bool) -> None:
        super().__init__()
        self.first, self.second = _linear(channels, width), _linear(width, width)
        self.attention = Attention(width, kernel)
        self.heatmaps: nn.Module = (
            AttentionPerJoint(width, num_joints, kernel) if per_joint else nn.Conv2d(width, num_joints, 1)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.first(x)  # [B, width, H, W]
        return features, self.heatmaps(self.attention(self.second(features)))  # and [B, K, H, W]


class MultiContextAttention(nn.Module):
    """Images [B, 3, H, W] to heatmaps [B, stacks, K, H/4, W/4]; the last stack is the answer."""

    def __init__(self, num_joints: int, stacks: int, channels: int, levels: int, kernel: int) -> None:
        super().__init__()
        quarter, half = channels // 4, channels // 2
        # the stem works at the full size first
        self.conv, self.norm = nn.Conv2d(3, quarter, 7, padding=3), nn.BatchNorm2d(quarter)
        self.res1 = Residual(quarter, quarter)
        self.res2 = nn.Sequential(Residual(quarter, quarter), Residual(quarter, half))
        self.res3 = nn.Sequential(Residual(half, half), Residual(half, half), Residual(half, channels))
        self.hourglasses = nn.ModuleList(Hourglass(levels, channels) for _ in range(stacks))
        self.heads = nn.ModuleList(
            Head(
                channels,
                2 * channels if stack == stacks - 1 else channels,
                num_joints,
                kernel,
                per_joint=stack >= stacks // 2,
            )
            for stack in range(stacks)
        )
        self.from_features = nn.ModuleList(_linear(channels, channels) for _ in range(stacks - 1))
        self.from_heatmaps = nn.ModuleList(nn.Conv2d(num_joints, channels, 1) for _ in range(stacks - 1))

    def forward(self, images: Tensor) -> Tensor:
        x = F.relu(self.norm(self.conv(images)))  # [B, C/4, H, W]
        x = F.max_pool2d(self.res1(x), 2)  # [B, C/4, H/2, W/2]
        x = F.max_pool2d(self.res2(x), 2)  # [B, C/2, H/4, W/4]
        x = self.res3(x)  # [B, C, H/4, W/4]
        answers = []
        for stack, hourglass in enumerate(self.hourglasses):
            features, maps = self.heads[stack](hourglass(x))
            answers.append(maps)  # [B, K, H/4, W/4]
            if stack < len(self.from_features):
                x = x + self.from_features[stack](features) + self.from_heatmaps[stack](maps)
        return torch.stack(answers, dim=1)  # [B, stacks, K, H/4, W/4]


def build(
    num_joints: int, *, stacks: int = 8, channels: int = 256, levels: int = 4, kernel: int = 11
) -> MultiContextAttention:
    """The network with fresh weights. Input width and height must be multiples of 4 * 2**levels.

    `kernel`: of the mean field. The second half of the stacks attends joint by joint.
    """
    return MultiContextAttention(num_joints, stacks, channels, levels, kernel)


def estimator(
    variant: str, dataset: "Dataset", *, checkpoint: Path | None, checkpoints: Path | None, device: str | None
) -> "HeatmapEstimator":
    """The network with its weights, ready to predict. Raises BaselineFailed."""
    from baselines.heatmap_estimator import load_estimator

    return load_estimator("multi_context_attention", variant, build, dataset, checkpoint, device)
