"""Multi-Context Attention for Human Pose Estimation, Chu et al., CVPR 2017 (arXiv 1702.07432).

A stacked hourglass that weighs its features with attention maps: one of the whole body, gathered from all resolutions
of the hourglass, then a finer one, which in the later half of the stacks has one map per joint. Neighbouring places of
a map agree with each other through a conditional random field. The paper's figures leave the number of layers between
its parts open; here it is chosen so that size and cost equal those of a port of the authors' network.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.models.stacked_hourglass import Residual

MODEL = {
    "title": "Multi-context Attention",
    "citation": {
        "authors": ("Chu", "Yang", "Ouyang", "Ma", "Yuille", "Wang"),
        "title": "Multi-Context Attention for Human Pose Estimation",
        "venue": "CVPR",
        "year": 2017,
        "arxiv": "1702.07432",
    },
    "approach": "top-down",
    # arguments of build(), the number of joints that the published count is for, the input size (width, height)
    "variants": {
        "full": {"stacks": 8, "channels": 256, "levels": 4, "joints": 16, "input_size": (256, 256)},
        "narrow": {"stacks": 2, "channels": 32, "levels": 3, "joints": 17, "input_size": (96, 160)},
    },
    "default_variant": "narrow",
    "input_size": (256, 256),  # as published: width, height
    "estimator": "heatmaps",
    "training": {
        "objective": "heatmaps",
        # section 6: as the Stacked Hourglass; epochs and drops are those of its successors
        "published": {
            "epochs": 200,
            "batch": 16,
            "optimiser": "rmsprop",
            "learning_rate": 0.00025,
            "drops": (150, 170),
            "colour": 0.2,
        },
        # what differs from the recipe of all narrow variants
        "narrow": {},
    },
    "summary": (
        "Stacked hourglasses whose features are weighted by attention maps. A conditional random field, with three "
        "mean-field steps and one kernel, smooths the attention. The attention combines several resolutions, and later"
        " stacks have one attention map per part."
    ),
    "stage": "stack",  # what its successive outputs are called
    "reported_as": (
        "Multi-context Attention",
        "Multi-Context Attention",
    ),  # how the names of its reported results begin
    "drawing": {
        # id, shape, (column, row), label, note, how often its maps were halved
        "blocks": (
            ("image", "image", (0, 0), "crop", "256 × 256", 0),
            ("stem", "down", (1, 0), "7 × 7, residual", "1/4", 0),
            ("hg1", "hourglass", (2.1, 0), "hourglass 1", "… to 4", 2),
            ("sizes", "layers", (3.2, 0), "resolutions", "1/4 … 1/32", 2),
            ("crf1", "attention", (4.3, 0), "CRF attention", "one map for all", 2),
            ("maps1", "maps", (5.4, 0), "heatmaps", "1 to 4", 2),
            ("hg5", "hourglass", (6.4, 0), "hourglass 5", "… to 8", 2),
            ("crf5", "attention", (7.5, 0), "CRF attention", "one map per part", 2),
            ("maps8", "maps", (8.5, 0), "heatmaps 8", "64 × 64", 2),
            ("pose", "pose", (9.3, 0), "joints", "", 0),
        ),
        "links": "image > stem > hg1 > sizes > crf1 > maps1 > hg5 > crf5 > maps8 > pose",
        "skips": "hg1 > maps1; hg5 > maps8",
    },
}
ITERATIONS = 3  # of the mean field
REACH = 11  # pixels of an attention map that its pairwise kernel spans


class HourglassResidual(Residual):
    """Hourglass residual unit x + F(x) + P(x): a residual unit, and P, which sees twice as far at half the size.

    P is BN, ReLU, max pooling, 3x3, BN, ReLU, 3x3, upsampling (the paper's "Hourglass Residual Units").
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        middle = outputs // 2
        self.wide = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(inputs, middle, 3, padding=1),
            nn.BatchNorm2d(middle),
            nn.ReLU(),
            nn.Conv2d(middle, outputs, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        wide = F.interpolate(self.wide(x), size=x.shape[2:], mode="nearest")  # [B, outputs, H/2, W/2] to H, W
        return super().forward(x) + wide


class MeanField(nn.Module):
    """Attention maps between 0 and 1 from unary evidence U [B, M, H, W], each map with a kernel k of its own.

    A place is attended to when its neighbours are: Q1 = sigmoid(k * U + U), then Qt+1 = sigmoid(k * Qt + U). The
    iterations share k, as the mean-field approximation of a conditional random field does (the paper's "CRF").
    """

    def __init__(self, maps: int, reach: int = REACH) -> None:
        super().__init__()
        self.kernel = nn.Conv2d(maps, maps, reach, padding=reach // 2, groups=maps, bias=False)

    def forward(self, unary: Tensor) -> Tensor:
        belief = unary
        for _ in range(ITERATIONS):
            belief = torch.sigmoid(self.kernel(belief) + unary)  # [B, M, H, W]
        return belief


class Hourglass(nn.Module):
    """One hourglass of `levels` sizes; to a feature map of every size, the smallest first, the full size last.

    The side branches are hourglass residual units, except at the smallest size, which has little left to pool.
    """

    def __init__(self, levels: int, channels: int) -> None:
        super().__init__()
        unit = HourglassResidual if levels > 1 else Residual
        self.side = unit(channels, channels)
        self.down = Residual(channels, channels)
        self.inner: nn.Module = Hourglass(levels - 1, channels) if levels > 1 else Residual(channels, channels)
        self.up = Residual(channels, channels)

    def forward(self, x: Tensor) -> list[Tensor]:
        below = self.inner(self.down(F.max_pool2d(x, 2)))  # [B, C, H/2, W/2], or a list that ends with it
        smaller = below if isinstance(below, list) else []
        y = self.up(smaller[-1] if smaller else below)  # [B, C, H/2, W/2]
        return [*smaller, self.side(x) + F.interpolate(y, scale_factor=2.0, mode="nearest")]  # last: [B, C, H, W]


def _linear(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, channels, 1), nn.BatchNorm2d(channels), nn.ReLU())


class MultiResolutionAttention(nn.Module):
    """One map of the whole body, U the sum of what every size of the hourglass votes for ("Multi-Resolution")."""

    def __init__(self, levels: int, channels: int) -> None:
        super().__init__()
        self.unaries = nn.ModuleList(nn.Conv2d(channels, 1, 3, padding=1) for _ in range(levels))
        self.field = MeanField(1)

    def forward(self, sizes: list[Tensor]) -> Tensor:
        full = sizes[-1].shape[2:]
        votes = [
            F.interpolate(unary(x), size=full, mode="nearest")  # [B, 1, h, w] to [B, 1, H, W]
            for unary, x in zip(self.unaries, sizes, strict=True)
        ]
        attention: Tensor = self.field(torch.stack(votes).sum(dim=0))  # [B, 1, H, W]
        return attention


class Stack(nn.Module):
    """An hourglass, two attentions in turn ("Hierarchical Attention"), heatmaps.

    The second attention is one map in the earlier stacks and one map per joint in the later ones (`per_joint`), where
    joint k's heatmap comes from the features that map k weights. Features [B, C, H, W] to features of the same shape
    and heatmaps [B, K, H, W].
    """

    def __init__(self, levels: int, channels: int, num_joints: int, *, per_joint: bool) -> None:
        super().__init__()
        maps = num_joints if per_joint else 1
        self.hourglass = Hourglass(levels, channels)
        self.before = nn.Sequential(Residual(channels, channels), _linear(channels))
        self.coarse = MultiResolutionAttention(levels, channels)
        self.between = nn.Sequential(Residual(channels, channels), _linear(channels))
        self.unary = nn.Conv2d(channels, maps, 3, padding=1)
        self.field = MeanField(maps)
        self.after = _linear(channels)
        self.scores = nn.Conv2d(channels, num_joints, 1, bias=False)
        self.bias = nn.Parameter(torch.zeros(num_joints))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        sizes = self.hourglass(x)
        features = self.before(sizes[-1]) * self.coarse(sizes)  # [B, C, H, W]
        features = self.between(features)
        fine = self.field(self.unary(features))  # [B, 1 or K, H, W]
        features = self.after(features)
        # weighting all channels with a map before this linear layer equals weighting its output
        heatmaps = self.scores(features) * fine + self.bias[:, None, None]  # [B, K, H, W]
        return features, heatmaps


class MultiContextAttention(nn.Module):
    """Images [B, 3, H, W] to heatmaps [B, stacks, K, H/4, W/4]; the last stack is the result, and twice as wide."""

    def __init__(self, num_joints: int, stacks: int, channels: int, levels: int) -> None:
        super().__init__()
        narrow, half = channels // 4, channels // 2
        self.conv, self.norm = nn.Conv2d(3, narrow, 7, padding=3), nn.BatchNorm2d(narrow)
        self.res1 = Residual(narrow, narrow)
        self.res2 = Residual(narrow, half)
        self.res3 = nn.Sequential(Residual(half, half), Residual(half, channels))
        widths = [channels] * (stacks - 1) + [2 * channels if stacks > 1 else channels]
        self.stacks = nn.ModuleList(
            Stack(levels, width, num_joints, per_joint=stack >= stacks // 2) for stack, width in enumerate(widths)
        )
        links = list(pairwise(widths))
        self.from_input = nn.ModuleList(nn.Identity() if a == b else nn.Conv2d(a, b, 1) for a, b in links)
        self.from_features = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in links)
        self.from_heatmaps = nn.ModuleList(nn.Conv2d(num_joints, b, 1) for _, b in links)

    def forward(self, images: Tensor) -> Tensor:
        x = F.relu(self.norm(self.conv(images)))  # [B, C/4, H, W]
        x = F.max_pool2d(self.res1(x), 2)  # [B, C/4, H/2, W/2]
        x = F.max_pool2d(self.res2(x), 2)  # [B, C/2, H/4, W/4]
        x = self.res3(x)  # [B, C, H/4, W/4]
        outputs = []
        for index, stack in enumerate(self.stacks):
            features, heatmaps = stack(x)  # [B, C, H/4, W/4], [B, K, H/4, W/4]
            outputs.append(heatmaps)
            if index < len(self.from_input):
                x = (
                    self.from_input[index](x)
                    + self.from_features[index](features)
                    + self.from_heatmaps[index](heatmaps)
                )
        return torch.stack(outputs, dim=1)  # [B, stacks, K, H/4, W/4]


def build(num_joints: int, *, stacks: int = 8, channels: int = 256, levels: int = 4) -> MultiContextAttention:
    """The network with fresh weights. Input width and height must be multiples of 4 * 2**levels."""
    return MultiContextAttention(num_joints, stacks, channels, levels)
