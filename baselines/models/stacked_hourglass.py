"""Stacked Hourglass Networks for Human Pose Estimation, Newell, Yang and Deng, ECCV 2016 (arXiv 1603.06937).

Heatmap regression: a stem to a quarter of the input size, then stacks of hourglasses. Each pools down to a few pixels,
climbs up again adding what it saw at every size on the way down, and predicts heatmaps; the next one starts from its
features and its heatmaps (intermediate supervision, section 3.4).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MODEL = {
    "title": "Stacked Hourglass",
    "citation": {
        "authors": ("Newell", "Yang", "Deng"),
        "title": "Stacked Hourglass Networks for Human Pose Estimation",
        "venue": "ECCV",
        "year": 2016,
        "arxiv": "1603.06937",
    },
    "approach": "top-down",
    # arguments of build(), the number of joints that the published count is for, the input size (width, height)
    "variants": {
        "full": {"stacks": 8, "channels": 256, "levels": 4, "input_size": (256, 256)},
        "stacks2": {"stacks": 2, "channels": 256, "levels": 4, "input_size": (256, 256)},
        "narrow": {"stacks": 2, "channels": 64, "levels": 3, "input_size": (128, 192)},
    },
    "default_variant": "narrow",
    "input_size": (256, 256),  # as published: width, height
    "estimator": "heatmaps",
    "training": {
        "objective": "heatmaps",
        # section 3.2; MPII has one scale per person, 200 pixels of body and a quarter more
        "published": {"epochs": 100, "batch": 6, "optimiser": "rmsprop", "learning_rate": 0.00025},
        # what differs from the recipe of all narrow variants
        "narrow": {"epochs": 4},
    },
    # by toolkit whose names public weights have: how it prepares images and reads maps (fields of a checkpoint)
    "public_forms": {
        # pytorch-pose: color_normalize in pose/utils/transforms.py subtracts MPII's mean and divides by nothing; 1.25
        # around the person in pose/datasets/mpii.py; flip_back does not shift; final_preds in evaluation.py adds half a
        # pixel
        "pytorch_pose": {"mean": (0.4404, 0.4440, 0.4327), "std": (1.0, 1.0, 1.0)},
        # pytorch_stacked_hourglass: data/MPII/dp.py and test.py (pixel / 255, no more; the mirror image is not
        # shifted), utils/group.py adds half a pixel
        "princeton": {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)},
    },
    "summary": (
        "Each hourglass downsamples to a few pixels, upsamples again with skip connections at every resolution, and "
        "predicts heatmaps. The next one starts from these features and heatmaps, so the first estimate is refined in "
        "the context of the whole body."
    ),
    "stage": "stack",  # what its successive outputs are called
    "reported_as": ("Stacked Hourglass", "Hourglass"),  # how the names of its reported results begin
    "drawing": {
        # id, shape, (column, row), label, note, how often its maps were halved
        "blocks": (
            ("image", "image", (0, 0), "crop", "256 × 256", 0),
            ("stem", "down", (1, 0), "7 × 7, residual", "1/4", 0),
            ("d1", "layers", (2, 0), "residual", "1/4", 2),
            ("d2", "layers", (2.8, 0), "pool", "1/8", 3),
            ("d3", "layers", (3.6, 0), "… 4 sizes", "1/64", 5),
            ("u2", "layers", (4.4, 0), "up, add", "1/8", 3),
            ("u1", "layers", (5.2, 0), "up, add", "1/4", 2),
            ("maps1", "maps", (6.1, 0), "heatmaps 1", "64 × 64", 2),
            ("rest", "hourglass", (7.1, 0), "hourglasses", "2 to 8", 2),
            ("maps8", "maps", (8.1, 0), "heatmaps 8", "", 2),
            ("pose", "pose", (9, 0), "joints", "", 0),
        ),
        "links": "image > stem > d1 > d2 > d3 > u2 > u1 > maps1 > rest > maps8 > pose",
        "skips": "d1 > u1; d2 > u2",
    },
}


class Residual(nn.Module):
    """Pre-activation bottleneck (section 3.3): BN-ReLU-1x1, BN-ReLU-3x3, BN-ReLU-1x1, plus the input.

    The skip is a 1x1 convolution only where the number of channels changes.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        middle = outputs // 2
        self.norm1, self.conv1 = nn.BatchNorm2d(inputs), nn.Conv2d(inputs, middle, 1)
        self.norm2, self.conv2 = nn.BatchNorm2d(middle), nn.Conv2d(middle, middle, 3, padding=1)
        self.norm3, self.conv3 = nn.BatchNorm2d(middle), nn.Conv2d(middle, outputs, 1)
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.relu(self.norm1(x)))
        y = self.conv2(F.relu(self.norm2(y)))
        y = self.conv3(F.relu(self.norm3(y)))
        return y + self.skip(x)


class Hourglass(nn.Module):
    """One hourglass of `levels` sizes (section 3.1): the side branch keeps a size, the inner one goes a size down.

    `blocks`: residual units in every place; `widths`: channels of the smaller sizes, largest first, where they
    differ (in the paper they do not); the last applies to all that follow.
    """

    def __init__(self, levels: int, channels: int, blocks: int = 1, widths: tuple[int, ...] = ()) -> None:
        super().__init__()
        wider = widths[0] if widths else channels
        self.side = _residuals(channels, channels, blocks)
        self.down = _residuals(channels, wider, blocks)
        self.inner: nn.Module = (
            Hourglass(levels - 1, wider, blocks, widths[1:]) if levels > 1 else _residuals(wider, wider, blocks)
        )
        self.up = _residuals(wider, channels, blocks)

    def forward(self, x: Tensor) -> Tensor:
        y = self.down(F.max_pool2d(x, 2))  # [B, C, H/2, W/2]
        y = self.up(self.inner(y))
        return self.side(x) + F.interpolate(y, scale_factor=2.0, mode="nearest")  # [B, C, H, W]


def _residuals(inputs: int, outputs: int, blocks: int) -> nn.Module:
    """`blocks` residual units; a single one is not wrapped."""
    first = Residual(inputs, outputs)
    return first if blocks == 1 else nn.Sequential(first, *(Residual(outputs, outputs) for _ in range(blocks - 1)))


class StackedHourglass(nn.Module):
    """Images [B, 3, H, W] to heatmaps [B, stacks, K, H/4, W/4]; the last stack is the result."""

    def __init__(
        self,
        num_joints: int,
        stacks: int,
        channels: int,
        levels: int,
        stem: tuple[int, int, int],
        blocks: int = 1,
        widths: tuple[int, ...] = (),
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, stem[0], 7, stride=2, padding=3)
        self.norm = nn.BatchNorm2d(stem[0])
        self.res1 = Residual(stem[0], stem[1])
        self.res2 = Residual(stem[1], stem[2])
        self.res3 = Residual(stem[2], channels)
        self.hourglasses = nn.ModuleList(Hourglass(levels, channels, blocks, widths) for _ in range(stacks))
        self.features = nn.ModuleList(
            nn.Sequential(
                _residuals(channels, channels, blocks),
                nn.Conv2d(channels, channels, 1),
                nn.BatchNorm2d(channels),
                nn.ReLU(),
            )
            for _ in range(stacks)
        )
        self.heatmaps = nn.ModuleList(nn.Conv2d(channels, num_joints, 1) for _ in range(stacks))
        self.from_features = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in range(stacks - 1))
        self.from_heatmaps = nn.ModuleList(nn.Conv2d(num_joints, channels, 1) for _ in range(stacks - 1))

    def forward(self, images: Tensor) -> Tensor:
        x = F.relu(self.norm(self.conv(images)))  # [B, C/4, H/2, W/2]
        x = F.max_pool2d(self.res1(x), 2)  # [B, C/2, H/4, W/4]
        x = self.res3(self.res2(x))  # [B, C, H/4, W/4]
        outputs = []
        for stack, hourglass in enumerate(self.hourglasses):
            features = self.features[stack](hourglass(x))
            outputs.append(self.heatmaps[stack](features))  # [B, K, H/4, W/4]
            if stack < len(self.from_features):
                x = x + self.from_features[stack](features) + self.from_heatmaps[stack](outputs[-1])
        return torch.stack(outputs, dim=1)  # [B, stacks, K, H/4, W/4]


def build(
    num_joints: int,
    *,
    stacks: int = 8,
    channels: int = 256,
    levels: int = 4,
    early: bool = False,
    stem: tuple[int, int, int] | None = None,
    blocks: int = 1,
    widths: tuple[int, ...] = (),
) -> StackedHourglass:
    """The network with fresh weights. Input width and height must be multiples of 4 * 2**levels.

    `early`: the stem reaches its full width at the second of its three blocks, as in one widespread implementation, and
    not at the third. `stem`: channels of its convolution and of its first two blocks, where they do not follow from
    `channels` (a quarter, a half, a half). `blocks`, `widths`: of some implementations, see
    Hourglass.
    """
    if stem is None:
        stem = (channels // 4, channels // 2, channels if early else channels // 2)
    return StackedHourglass(num_joints, stacks, channels, levels, stem, blocks, tuple(widths))
