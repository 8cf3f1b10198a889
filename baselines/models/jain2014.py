"""Learning Human Pose Estimation Features with Convolutional Networks, Jain et al., ICLR 2014 (arXiv 1312.7302).

One small network per joint decides for every 64 x 64 window whether the joint is in its middle (section 3.1). Run over
a whole image its linear layers are convolutions, so that windows four pixels apart share their work.
"""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from baselines.models import part_priors
from baselines.models.initial_weights import keep_variance

MODEL = {
    "title": "Jain et al. 2014",
    "citation": {
        "authors": ("Jain", "Tompson", "Andriluka", "Taylor", "Bregler"),
        "title": "Learning Human Pose Estimation Features with Convolutional Networks",
        "venue": "ICLR",
        "year": 2014,
        "arxiv": "1312.7302",
    },
    "approach": "top-down",
    # arguments of build(), the number of joints that the published count is for, the input size (width, height)
    "variants": {
        "full": {"joints": 1, "input_size": (320, 240)},
        "narrow": {
            "channels": (4, 8, 16),
            "linear": (16, 16),
            "padding": 30,
            "dropout": 0.0,
            "joints": 17,
            "input_size": (48, 80),
        },
    },
    "default_variant": "narrow",
    "input_size": (320, 240),  # as published: width, height
    "estimator": "heatmaps",
    "training": {
        "objective": "windows",
        # section 3.1: binary cross-entropy on windows; the rate, the epochs and the padding are ours
        "published": {
            "epochs": 60,
            "batch": 16,
            "optimiser": "sgd",
            "learning_rate": 0.01,
            "weight_decay": 0.0001,
            "drops": (40, 55),
            "rotation": 15,
            "scale": 0.15,
        },
        # what differs from the recipe of all narrow variants
        "narrow": {},
    },
    "summary": (
        "One small network per joint decides for every 64 × 64 window whether the joint is at its centre. On a whole "
        "image its linear layers become convolutions, so neighbouring windows share computation. Histograms of the "
        "relative positions of joints then reweight the responses."
    ),
    "note": "The costs are those of one joint. The paper shows only curves, so no reported number is listed.",
    "stage": "response",  # what its successive outputs are called
    "reported_as": (),  # how the names of its reported results begin
    "drawing": {
        # id, shape, (column, row), label, note, how often its maps were halved
        "blocks": (
            ("image", "image", (0, 0), "image", "320 × 240", 0),
            ("normalised", "layers", (1, 0), "contrast", "local, 9 × 9", 0),
            ("conv1", "down", (2, 0), "5 × 5, pool", "16 channels, 1/2", 0),
            ("conv2", "down", (3, 0), "5 × 5, pool", "32 channels, 1/4", 1),
            ("conv3", "layers", (4, 0), "5 × 5", "32 channels", 2),
            ("linear", "layers", (5, 0), "9 × 9, 1 × 1", "500, 100", 2),
            ("maps", "maps", (6, 0), "responses", "one map per joint", 2),
            ("priors", "attention", (7, 0), "part priors", "from neighbours", 2),
            ("pose", "pose", (8, 0), "joints", "", 0),
        ),
        "links": "image > normalised > conv1 > conv2 > conv3 > linear > maps > priors > pose",
    },
}
WINDOW = 64  # pixels
STRIDE = 4  # pixels between windows
REACH = 16  # windows between a joint and its neighbour, at most: 64 pixels


def contrast_normalised(images: Tensor, *, size: int = 9, floor: float = 1e-2) -> Tensor:
    """Images [B, 3, H, W] less their local mean, over their local standard deviation, in Gaussian neighbourhoods.

    The window's weights sum to 1 at the borders as well. `floor` keeps flat regions from being blown up.
    Source: Jarrett et al., ICCV 2009, section 2.1, as used in section 3.1.
    """
    place = torch.arange(size, dtype=images.dtype, device=images.device) - (size - 1) / 2
    line = torch.exp(-(place**2) / (2 * (size / 4) ** 2))
    kernel = (line[:, None] * line[None, :])[None, None]  # [1, 1, size, size]

    def around(maps: Tensor) -> Tensor:
        return F.conv2d(maps, kernel, padding=size // 2)  # [B, 1, H, W]

    inside = around(torch.ones_like(images[:1, :1]))
    centred = images - around(images.mean(dim=1, keepdim=True)) / inside  # [B, 3, H, W]
    deviation = (around(centred.square().mean(dim=1, keepdim=True)) / inside).sqrt()  # [B, 1, H, W]
    return centred / deviation.clamp(min=floor)


class WindowDetectors(nn.Module):
    """One detector per joint: images [B, 3, H, W] to responses [B, 1, K, H/4 - 15, W/4 - 15] between 0 and 1.

    The response at (u, v) is that of the window whose middle is (4 u + 32, 4 v + 32). H and W are multiples of 4. With
    a border of `padding` pixels around the image the middle is (4 u + 32 - padding, 4 v + 32 - padding): 30 gives
    responses of [B, 1, K, H/4, W/4].

    Once part priors have been estimated (section 3.2), the output outside of training is the responses times the
    messages of their neighbours.
    """

    def __init__(
        self,
        num_joints: int,
        channels: tuple[int, int, int],
        linear: tuple[int, int],
        padding: int,
        dropout: float,
    ) -> None:
        super().__init__()
        k = num_joints
        self.padding = padding
        # the networks of all joints side by side: each of the K groups of a layer sees what its own group before saw
        self.conv1 = nn.Conv2d(3, k * channels[0], 5)
        self.conv2 = nn.Conv2d(k * channels[0], k * channels[1], 5, groups=k)
        self.conv3 = nn.Conv2d(k * channels[1], k * channels[2], 5, groups=k)
        self.linear1 = nn.Conv2d(k * channels[2], k * linear[0], 9, groups=k)  # sees the 9 x 9 places of a window
        self.linear2 = nn.Conv2d(k * linear[0], k * linear[1], 1, groups=k)
        self.linear3 = nn.Conv2d(k * linear[1], k, 1, groups=k)
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("neighbours", torch.zeros(num_joints - 1, 2, dtype=torch.int64))
        self.register_buffer("priors", torch.zeros(num_joints - 1, 2 * REACH + 1, 2 * REACH + 1))  # zero: not estimated

    def windows(self, images: Tensor) -> Tensor:
        """Every window of normalised images [B, 3, H, W], before the sigmoid: [B, K, H/4 - 15, W/4 - 15]."""
        x = F.max_pool2d(F.relu(self.conv1(images)), 2)  # [B, K 16, 30, 30] of a window
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)  # [B, K 32, 13, 13]
        x = F.relu(self.conv3(x))  # [B, K 32, 9, 9]
        x = F.relu(self.linear1(self.dropout(x)))  # [B, K 500, 1, 1]; [B, K 500, H/4 - 15, W/4 - 15] of an image
        x = F.relu(self.linear2(self.dropout(x)))  # [B, K 100, 1, 1]
        return self.linear3(x)  # [B, K, 1, 1]

    def logits(self, images: Tensor) -> Tensor:
        """Before the sigmoid, for the binary cross-entropy of training: [B, K, H', W']."""
        return self.windows(F.pad(contrast_normalised(images), [self.padding] * 4))  # a border without contrast

    def estimate_priors(self, joints: NDArray[np.float64], weights: NDArray[np.floating]) -> None:
        """Estimate the offsets between neighbours from people: joints [N, K, 2] in the crops that the network sees,
        weights [N, K], 0 where a joint is not annotated."""
        found = part_priors.estimate(joints, weights, STRIDE, REACH)
        with torch.no_grad():
            self.get_buffer("neighbours").copy_(torch.from_numpy(found.neighbours))
            self.get_buffer("priors").copy_(torch.from_numpy(found.histograms))

    def forward(self, images: Tensor) -> Tensor:
        responses = self.logits(images).sigmoid()  # [B, K, H', W']
        priors = self.get_buffer("priors")
        if not self.training and not priors.is_meta and bool(priors.any()):
            responses = part_priors.apply(responses, self.get_buffer("neighbours"), priors)
        return responses[:, None]  # [B, 1, K, H', W']


def build(
    num_joints: int,
    *,
    channels: tuple[int, int, int] = (16, 32, 32),
    linear: tuple[int, int] = (500, 100),
    padding: int = 0,
    dropout: float = 0.5,
) -> WindowDetectors:
    """The networks with fresh weights: one of these sizes for every joint. `padding`: pixels around the image, so that
    windows reach beyond its edges; `dropout`: of the inputs of the linear layers, in training."""
    network = WindowDetectors(num_joints, channels, linear, padding, dropout)
    keep_variance((network.conv1, network.conv2, network.conv3, network.linear1, network.linear2))
    return network
