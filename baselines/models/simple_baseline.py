"""Simple Baselines for Human Pose Estimation and Tracking, Xiao, Wu and Wei, ECCV 2018 (arXiv 1804.06208).

A ResNet, three transposed convolutions that bring its features back to a quarter of the input size, and a 1x1
convolution to heatmaps (section 2). Nothing else: the cheap reference of the top-down networks. The weights have the
names that the authors' release gives them.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from baselines.models.blocks_resnet import ResNet

if TYPE_CHECKING:
    from baselines.estimators.heatmap import HeatmapEstimator
    from evaluator import Dataset

TITLE = "SimpleBaseline"
SOURCE = "Xiao, Wu, Wei: Simple Baselines for Human Pose Estimation and Tracking. ECCV 2018, arXiv 1804.06208"
INPUT_SIZE = (192, 256)  # width, height
# arguments of build(), the number of joints that the published count is for, and the input size (width, height)
VARIANTS: dict[str, dict[str, Any]] = {
    "r50": {"depth": 50, "joints": 17, "input_size": (192, 256)},
    "r101": {"depth": 101, "joints": 17, "input_size": (192, 256)},
    "r152": {"depth": 152, "joints": 17, "input_size": (192, 256)},
    "narrow": {"depth": 18, "width": 12, "deconvolutions": (32, 32, 32), "joints": 17, "input_size": (128, 192)},
}
DEFAULT_VARIANT = "narrow"  # the one whose trained weights are here
SIGMA = 2.0  # of the Gaussian targets, heatmap pixels (section 2)


class SimpleBaseline(ResNet):
    """Images [B, 3, H, W] to heatmaps [B, 1, K, H/4, W/4]. H and W are multiples of 32."""

    def __init__(
        self, num_joints: int, depth: int, width: int, deconvolutions: tuple[int, ...], kernel: int, last: int
    ) -> None:
        super().__init__(depth, width=width)
        layers: list[nn.Module] = []
        inputs = self.channels
        padding, extra = {4: (1, 0), 3: (1, 1), 2: (0, 0)}[kernel]  # each doubles the size exactly
        for outputs in deconvolutions:
            layers += [
                nn.ConvTranspose2d(inputs, outputs, kernel, 2, padding, extra, bias=False),
                nn.BatchNorm2d(outputs),
                nn.ReLU(),
            ]
            inputs = outputs
        self.deconv_layers = nn.Sequential(*layers)
        self.final_layer = nn.Conv2d(inputs, num_joints, last, padding=last // 2)

    def forward(self, images: Tensor) -> Tensor:
        x = super().forward(images)  # [B, C, H/32, W/32]
        x = self.deconv_layers(x)  # [B, 256, H/4, W/4]
        return self.final_layer(x)[:, None]  # [B, 1, K, H/4, W/4]


def build(
    num_joints: int,
    *,
    depth: int = 50,
    width: int = 64,
    deconvolutions: tuple[int, ...] = (256, 256, 256),
    kernel: int = 4,
    last: int = 1,
) -> SimpleBaseline:
    """The network with fresh weights.

    `depth`: of the ResNet (18, 34, 50, 101 or 152), `width`: channels of its first stage; `deconvolutions`: channels of
    the transposed convolutions, `kernel` their size; `last`: size of the last convolution.
    """
    return SimpleBaseline(num_joints, depth, width, deconvolutions, kernel, last)


def estimator(
    variant: str, dataset: "Dataset", *, checkpoint: Path | None, checkpoints: Path | None, device: str | None
) -> "HeatmapEstimator":
    """The network with its weights, ready to predict. Raises BaselineFailed."""
    from baselines.estimators.heatmap import load_estimator

    return load_estimator("simple_baseline", variant, build, dataset, checkpoint, device)
