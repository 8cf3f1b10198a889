"""DeeperCut: A Deeper, Stronger, and Faster Multi-Person Pose Estimation Model, Insafutdinov et al., ECCV 2016.

Bottom-up (arXiv 1605.03170). A ResNet at stride 16 whose maps are enlarged to stride 8 predicts for every place which
parts are there (section 3), how far off their exact place is (section 3, location refinement), and where each other
part of the same person is (section 4, image-conditioned pairwise terms).
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from baselines.models.blocks_resnet import ResNet

MODEL = {
    "title": "DeeperCut",
    "citation": {
        "authors": ("Insafutdinov", "Pishchulin", "Andres", "Andriluka", "Schiele"),
        "title": "DeeperCut: A Deeper, Stronger, and Faster Multi-Person Pose Estimation Model",
        "venue": "ECCV",
        "year": 2016,
        "arxiv": "1605.03170",
    },
    "approach": "bottom-up",
    # arguments of build(), the number of joints that the published count is for, the input size (width, height)
    "variants": {
        "r152": {"depth": 152, "pairwise": True, "joints": 14, "input_size": (688, 688)},
        "r101": {"depth": 101, "pairwise": False, "joints": 14, "input_size": (688, 688)},
        "narrow": {"depth": 18, "width": 10, "pairwise": True, "narrowed": 32, "joints": 17, "input_size": (144, 144)},
    },
    "default_variant": "narrow",
    "input_size": (688, 688),  # as published: width, height
    "estimator": "parts",
    "training": {
        "objective": "parts",
        # section 3; scale 0.85 to 1.15 and mirroring; people 340 pixels tall of 688
        "published": {
            "epochs": 60,
            "batch": 1,
            "optimiser": "sgd",
            "learning_rate": 0.005,
            "weight_decay": 0.0001,
            "drops": (40, 55),
            "padding": 2.0,
            "rotation": 0,
            "scale": 0.15,
        },
        # what differs from the recipe of all narrow variants
        "narrow": {"epochs": 9, "padding": 1.4, "scale": 0.2, "shift": 0.15},
    },
    "summary": (
        "One pass over the whole image. At every location, a ResNet predicts which parts are present, the offset to "
        "their exact position, and where the other parts of the same person are. The parts are then grouped into "
        "people by minimising the cost of a multicut."
    ),
    "stage": "scores",  # what its successive outputs are called
    "reported_as": ("DeeperCut",),  # how the names of its reported results begin
    "drawing": {
        # id, shape, (column, row), label, note, how often its maps were halved
        "blocks": (
            ("image", "image", (0, 1), "image", "whole, 688 × 688", 0),
            ("conv3", "down", (1.3, 1), "ResNet, to res3", "1/8", 0),
            ("conv4", "down", (2.6, 1), "res4", "1/16", 3),
            ("conv5", "layers", (3.7, 1), "res5, dilated", "stays at 1/16", 4),
            ("scores", "maps", (5.4, 0), "part scores", "14 maps, 1/8", 3),
            ("offsets", "maps", (5.4, 1), "refinement", "28 maps, 1/8", 3),
            ("pairs", "maps", (5.4, 2), "pairwise", "364 maps, 1/8", 3),
            ("grouping", "attention", (7.1, 1), "multicut", "parts to people", 2),
            ("people", "people", (8.5, 1), "people", "", 0),
        ),
        "links": (
            "image > conv3 > conv4 > conv5 > scores; conv5 > offsets; conv5 > pairs; scores > grouping; offsets > "
            "grouping; pairs > grouping > people"
        ),
        "skips": "conv3 > scores",
    },
}
STRIDE = 8  # pixels between places of the maps
OFFSET_SCALE = 7.2801  # pixels of one unit of location refinement


class Maps(NamedTuple):
    """The network's output at every place: scores [B, K, H/8, W/8] between 0 and 1; offsets [B, K, 2, H/8, W/8], x and
    y in units of OFFSET_SCALE pixels; pairs [B, K * (K - 1), 2, H/8, W/8], normalised per pair, or None."""

    scores: Tensor
    offsets: Tensor
    pairs: Tensor | None


class Head(nn.Module):
    """From stride 16 to 8 by a transposed 3x3 convolution, plus a 1x1 convolution of finer features where given.

    `narrowed`: to so many features first, unlike in the paper; otherwise the many pairwise terms would have most of the
    weights of a narrow network.
    """

    def __init__(self, coarse: int, fine: int, outputs: int, narrowed: int = 0) -> None:
        super().__init__()
        self.narrow = nn.Sequential(nn.Conv2d(coarse, narrowed, 1), nn.ReLU()) if narrowed else nn.Identity()
        self.up = nn.ConvTranspose2d(narrowed or coarse, outputs, 3, stride=2, padding=1, output_padding=1)
        self.fine = nn.Conv2d(fine, outputs, 1) if fine else None

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        maps: Tensor = self.up(self.narrow(coarse))  # [B, outputs, H/8, W/8]
        return maps if self.fine is None else maps + self.fine(fine)


class DeeperCut(nn.Module):
    """Images [B, 3, H, W] to maps at stride 8. H and W are multiples of 16.

    The place (u, v) is the point (8 u + 4, 8 v + 4) of the image; a part is at that point plus its offset.
    """

    stride, offset_scale = STRIDE, OFFSET_SCALE

    def __init__(self, num_joints: int, depth: int, width: int, pairwise: bool, narrowed: int) -> None:
        super().__init__()
        self.num_joints = num_joints
        self.trunk = ResNet(depth, width=width, output_stride=16, early_stride=True)
        coarse = self.trunk.channels
        fine = coarse // 4 if pairwise else 0  # of the third stage, res3b7 of a ResNet-152
        self.scores = Head(coarse, fine, num_joints)
        self.offsets = Head(coarse, fine, 2 * num_joints)
        spread = 2 * num_joints * (num_joints - 1)
        self.pairs = Head(coarse, fine, spread, narrowed) if pairwise else None
        self.register_buffer("pair_mean", torch.zeros(spread))  # of the training set, pixels
        self.register_buffer("pair_deviation", torch.ones(spread))

    def logits(self, images: Tensor) -> Maps:
        """As `maps`, with the scores before the sigmoid, for the cross-entropy of training."""
        x = self.trunk.stem(images)  # [B, 64, H/4, W/4]
        fine = self.trunk.layer2(self.trunk.layer1(x))  # [B, 512, H/8, W/8]
        coarse = self.trunk.layer4(self.trunk.layer3(fine))  # [B, 2048, H/16, W/16]
        offsets = self.offsets(coarse, fine).unflatten(1, (self.num_joints, 2))  # [B, K, 2, H/8, W/8]
        pairs = None
        if self.pairs is not None:
            pairs = self.pairs(coarse, fine).unflatten(1, (-1, 2))  # [B, K * (K - 1), 2, H/8, W/8]
        return Maps(self.scores(coarse, fine), offsets, pairs)

    def maps(self, images: Tensor) -> Maps:
        """Scores, offsets and pairs of every place."""
        found = self.logits(images)
        return found._replace(scores=found.scores.sigmoid())

    def pair_pixels(self, pairs: Tensor) -> Tensor:
        """Pairs [B, K * (K - 1), 2, H', W'] in pixels: where the other part is, seen from here."""
        deviation, mean = (
            values.reshape(1, -1, 2, 1, 1)
            for values in (self.get_buffer("pair_deviation"), self.get_buffer("pair_mean"))
        )
        return pairs * deviation + mean  # [B, K * (K - 1), 2, H', W']

    def forward(self, images: Tensor) -> Tensor:
        return self.maps(images).scores[:, None]  # [B, 1, K, H/8, W/8]

    @staticmethod
    def positions(offsets: Tensor) -> Tensor:
        """Where the part of every place is: offsets [B, K, 2, H', W'] to points in pixels, x first, of that shape."""
        height, width = offsets.shape[-2:]
        x = torch.arange(width, device=offsets.device, dtype=offsets.dtype).expand(height, width)
        y = torch.arange(height, device=offsets.device, dtype=offsets.dtype)[:, None].expand(height, width)
        return torch.stack([x, y]) * STRIDE + STRIDE / 2 + offsets * OFFSET_SCALE  # [B, K, 2, H', W']


def build(num_joints: int, *, depth: int = 152, width: int = 64, pairwise: bool = True, narrowed: int = 0) -> DeeperCut:
    """The network with fresh weights.

    `depth`: of the ResNet, `width`: channels of its first stage; `pairwise`: with pairwise terms, and with finer
    features in every head; `narrowed`: features that the pairwise terms are made from, 0 for all.
    """
    return DeeperCut(num_joints, depth, width, pairwise, narrowed)
