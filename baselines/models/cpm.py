"""Convolutional Pose Machines, Wei, Ramakrishna, Kanade and Sheikh, CVPR 2016 (arXiv 1602.00134).

A sequence of predictors (section 3): the first sees the image alone, each later one sees image features and the belief
maps of the one before, through kernels so large that every joint's place can be weighed against all others'. A map with
a Gaussian in its middle says which of several people is meant. Figure 2 gives the layers.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.models.initial_weights import keep_variance

MODEL = {
    "title": "Convolutional Pose Machines",
    "citation": {
        "authors": ("Wei", "Ramakrishna", "Kanade", "Sheikh"),
        "title": "Convolutional Pose Machines",
        "venue": "CVPR",
        "year": 2016,
        "arxiv": "1602.00134",
    },
    "approach": "top-down",
    # arguments of build(), the number of joints that the published count is for, the input size (width, height)
    "variants": {
        "full": {"stages": 6, "joints": 14, "input_size": (368, 368)},
        "flic": {"stages": 4, "joints": 9, "input_size": (368, 368)},
        "narrow": {
            "stages": 3,
            "channels": 16,
            "features": 16,
            "wide": 48,
            "even_start": True,
            "joints": 17,
            "input_size": (112, 184),
        },
    },
    "default_variant": "narrow",
    "input_size": (368, 368),  # as published: width, height
    "estimator": "heatmaps",
    "training": {
        "objective": "beliefs",
        # section 4.2 and the release: rotation 40, scale 0.7 to 1.3. Its rate of 8e-5 is for half the sum over 15 maps
        # of 46 x 46, ours is a mean: 8e-5 * 15 * 46 * 46 / 2 = 1.27, and the weight decay is so much smaller
        "published": {
            "epochs": 200,
            "batch": 16,
            "optimiser": "sgd",
            "learning_rate": 1.27,
            "weight_decay": 3e-08,
            "drops": (120, 160),
            "sigma": 0.875,
            "rotation": 40,
            "scale": 0.3,
        },
        # what differs from the recipe of all narrow variants
        "narrow": {"learning_rate": 0.002, "clip": 1.0, "sigma": 0.75},
    },
    # by toolkit whose names public weights have: how it prepares images and reads maps (fields of a checkpoint)
    "public_forms": {
        # convolutional-pose-machines-release: testing/config.m (padValue; the joints of the models for LSP and MPII)
        # and src/applyModel.m (pixel / 256 - 0.5, blue first; maps enlarged to the image's size and averaged over the
        # scales, the highest pixel; no mirror image), here as the mean 128 / 255 and the deviation 256 / 255. Of its
        # scales, six per octave, five around the person's own are used.
        "cpm_caffe": {
            "mean": (0.5019607843137255, 0.5019607843137255, 0.5019607843137255),
            "std": (1.003921568627451, 1.003921568627451, 1.003921568627451),
            "bgr": True,
            "fill": (128, 128, 128),
            "scales": (0.8, 0.9, 1.0, 1.1, 1.2),
            "finer": 8,
            "decoding": "peak",
            "flip": False,
            "joints": (
                "head_top",
                "neck",
                "right_shoulder",
                "right_elbow",
                "right_wrist",
                "left_shoulder",
                "left_elbow",
                "left_wrist",
                "right_hip",
                "right_knee",
                "right_ankle",
                "left_hip",
                "left_knee",
                "left_ankle",
            ),
        },
    },
    "summary": (
        "A sequence of predictors. The input of the first is the image; each later one uses image features and the "
        "previous stage’s belief maps. Its large kernels let it locate each joint in the context of all the others. A "
        "centre map marks which of several people is meant."
    ),
    "stage": "stage",  # what its successive outputs are called
    "reported_as": ("Convolutional Pose Machines", "CPM"),  # how the names of its reported results begin
    "drawing": {
        # id, shape, (column, row), label, note, how often its maps were halved
        "blocks": (
            ("image", "image", (0, 0), "image", "368 × 368", 0),
            ("trunk1", "down", (1.2, 0), "9 × 9, pool: 3 ×", "128 channels, 1/8", 0),
            ("first", "layers", (2.4, 0), "5 × 5, 9 × 9", "32, 512 channels", 3),
            ("beliefs1", "maps", (3.6, 0), "beliefs 1", "joints + background", 3),
            ("trunk2", "down", (1.8, 1.2), "9 × 9, pool: 3 ×", "shared by stages", 0),
            ("centre", "maps", (3.6, 2.2), "centre map", "a Gaussian", 3),
            ("stage2", "layers", (4.8, 1.2), "11 × 11: 3 ×", "stage 2", 3),
            ("beliefs2", "maps", (5.8, 1.2), "beliefs 2", "", 3),
            ("stage3", "layers", (6.8, 1.2), "11 × 11: 3 ×", "stages 3 to 6", 3),
            ("beliefs3", "maps", (7.8, 1.2), "beliefs 6", "46 × 46", 3),
            ("pose", "pose", (8.8, 1.2), "joints", "", 0),
        ),
        "links": (
            "image > trunk1 > first > beliefs1; image > trunk2 > stage2; beliefs1 > stage2; centre > stage2 > "
            "beliefs2 > stage3 > beliefs3 > pose"
        ),
        "skips": "trunk2 > stage3",
    },
}
STRIDE = 8  # pixels between places of the belief maps
CENTRE_SIGMA = 21.0  # of the centre map, pixels of a 368 pixel wide image


def _trunk(channels: int, out: int, *, head: bool) -> nn.ModuleDict:
    """Image features at 1/8 of the image's size: three times 9x9 and a pooling; with `head` also a 5x5 convolution."""
    layers = {
        "conv1": nn.Conv2d(3, channels, 9, padding=4),
        "conv2": nn.Conv2d(channels, channels, 9, padding=4),
        "conv3": nn.Conv2d(channels, channels, 9, padding=4),
    }
    if head:
        layers["conv4"] = nn.Conv2d(channels, out, 5, padding=2)
    return nn.ModuleDict(layers)


def _features(trunk: nn.ModuleDict, images: Tensor) -> Tensor:
    """[B, 3, H, W] to [B, C, H/8, W/8]. The poolings have no padding and keep the last, incomplete window."""
    x = images
    for name in ("conv1", "conv2", "conv3"):
        x = F.max_pool2d(F.relu(trunk[name](x)), 3, stride=2, ceil_mode=True)  # [B, C, H/2, W/2], /4, /8
    return x


class First(nn.Module):
    """Stage 1: belief maps from the image alone, receptive field 160 pixels (section 3.2.1)."""

    def __init__(self, maps: int, channels: int, features: int, wide: int) -> None:
        super().__init__()
        self.trunk = _trunk(channels, features, head=True)
        self.conv5 = nn.Conv2d(features, wide, 9, padding=4)
        self.conv6 = nn.Conv2d(wide, wide, 1)
        self.conv7 = nn.Conv2d(wide, maps, 1)

    def forward(self, images: Tensor) -> Tensor:
        x = F.relu(self.trunk["conv4"](_features(self.trunk, images)))  # [B, F, H/8, W/8]
        x = F.relu(self.conv6(F.relu(self.conv5(x))))  # [B, wide, H/8, W/8]
        return self.conv7(x)  # [B, K + 1, H/8, W/8]


class Later(nn.Module):
    """Stage t >= 2: belief maps from shared image features, the beliefs before and the centre (section 3.2.2)."""

    def __init__(self, maps: int, channels: int, features: int) -> None:
        super().__init__()
        self.features = nn.Conv2d(channels, features, 5, padding=2)
        self.conv1 = nn.Conv2d(features + maps + 1, channels, 11, padding=5)
        self.conv2 = nn.Conv2d(channels, channels, 11, padding=5)
        self.conv3 = nn.Conv2d(channels, channels, 11, padding=5)
        self.conv4 = nn.Conv2d(channels, channels, 1)
        self.conv5 = nn.Conv2d(channels, maps, 1)

    def forward(self, shared: Tensor, beliefs: Tensor, centre: Tensor) -> Tensor:
        x = torch.cat([F.relu(self.features(shared)), beliefs, centre], dim=1)  # [B, F + (K + 1) + 1, H/8, W/8]
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4):
            x = F.relu(layer(x))
        return self.conv5(x)  # [B, K + 1, H/8, W/8]


class ConvolutionalPoseMachine(nn.Module):
    """Images [B, 3, H, W] to belief maps [B, stages, K, H/8, W/8]. H and W are multiples of 8."""

    def __init__(self, num_joints: int, stages: int, channels: int, features: int, wide: int) -> None:
        super().__init__()
        maps = num_joints + 1  # the last is the background
        self.first = First(maps, channels, features, wide)
        # one for all later stages
        self.trunk = _trunk(channels, features, head=False) if stages > 1 else nn.ModuleDict()
        self.later = nn.ModuleList(Later(maps, channels, features) for _ in range(stages - 1))

    def beliefs(self, images: Tensor, centre: Tensor | None = None) -> Tensor:
        """Maps [B, stages, K + 1, H/8, W/8], the last one the background.

        `centre` [B, 1, H, W] marks the person; by default the one in the middle.
        """
        if centre is None:
            centre = centre_map(images)
        centre = F.avg_pool2d(centre, 9, stride=8, ceil_mode=True)  # [B, 1, H/8, W/8]
        beliefs = [self.first(images)]
        if self.later:
            shared = _features(self.trunk, images)  # [B, C, H/8, W/8]
        for stage in self.later:
            beliefs.append(stage(shared, beliefs[-1], centre))
        return torch.stack(beliefs, dim=1)  # [B, stages, K + 1, H/8, W/8]

    def forward(self, images: Tensor, centre: Tensor | None = None) -> Tensor:
        return self.beliefs(images, centre)[:, :, :-1]  # [B, stages, K, H/8, W/8]


def centre_map(images: Tensor) -> Tensor:
    """A Gaussian in the middle of the images [B, 3, H, W]: [B, 1, H, W], 1 at its peak."""
    batch, _, height, width = images.shape
    sigma = CENTRE_SIGMA * width / 368
    x = torch.arange(width, device=images.device, dtype=images.dtype) - width / 2
    y = torch.arange(height, device=images.device, dtype=images.dtype) - height / 2
    squares = y[:, None] ** 2 + x[None, :] ** 2  # [H, W]
    return torch.exp(-squares / (2 * sigma**2)).expand(batch, 1, height, width)  # [B, 1, H, W]


def build(
    num_joints: int,
    *,
    stages: int = 6,
    channels: int = 128,
    features: int = 32,
    wide: int = 512,
    even_start: bool = False,
) -> ConvolutionalPoseMachine:
    """The network with fresh weights.

    `channels`: of the large convolutions; `features`: of the image features that a stage sees; `wide`: of the last
    layers of stage 1. `even_start`: begin with weights that keep the variance from layer to layer, which learn faster
    with a mild recipe; the published rate is for small ones, and diverges with them.
    """
    network = ConvolutionalPoseMachine(num_joints, stages, channels, features, wide)
    if not even_start:
        return network
    last = {network.first.conv7, *(stage.conv5 for stage in network.later)}  # no ReLU comes after these
    keep_variance(m for m in network.modules() if isinstance(m, nn.Conv2d) and m not in last)
    return network
