"""Regional Multi-person Pose Estimation (AlphaPose), Fang, Xie, Tai and Lu, ICCV 2017 (arXiv 1612.00137).

Top-down, made robust to boxes that are off: a spatial transformer moves the person to the middle of the crop, a
single-person estimator finds the joints there, and the inverse transformer moves its heatmaps back (section 3.1). The
poses that several boxes gave for one person are merged by `pose_nms`. The estimator is FastPose, that of the authors'
release: a ResNet that squeezes and excites, then upsampling by shuffling pixels. Its weights have that release's names.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.models.blocks_resnet import ResNet

MODEL = {
    "title": "RMPE (AlphaPose)",
    "citation": {
        "authors": ("Fang", "Xie", "Tai", "Lu"),
        "title": "RMPE: Regional Multi-person Pose Estimation",
        "venue": "ICCV",
        "year": 2017,
        "arxiv": "1612.00137",
    },
    "approach": "top-down",
    # arguments of build(), the number of joints that the published count is for, the input size (width, height)
    "variants": {
        "fastpose-r50": {"depth": 50, "joints": 17, "input_size": (192, 256)},
        "fastpose-r152": {"depth": 152, "joints": 17, "input_size": (192, 256)},
        "narrow": {
            "depth": 18,
            "width": 12,
            "shuffled": (44, 64),
            "transformer": 4,
            "joints": 17,
            "input_size": (128, 192),
        },
    },
    "default_variant": "narrow",
    "input_size": (192, 256),  # as published: width, height
    "estimator": "heatmaps",
    "pose_nms": True,  # part of the method; its constants are for peaks of heatmaps
    "training": {
        "objective": "regional",
        # the release: Adam, 1e-3, epochs 90 and 120; boxes 30% larger (section 4), drawn as a detector gives them
        # (section 3.3; the number of atomic poses is ours)
        "published": {
            "epochs": 200,
            "batch": 32,
            "optimiser": "adam",
            "learning_rate": 0.001,
            "drops": (90, 120),
            "sigma": 2.0,
            "padding": 1.3,
            "rotation": 40,
            "scale": 0.3,
            "half_body": 0.3,
            "atomic_poses": 20,
        },
        # what differs from the recipe of all narrow variants
        "narrow": {"clip": 1.0, "padding": 1.3},
        "slower": {"transformer.": 0.1},  # at the full rate it moves the person out of the crop
    },
    # by toolkit whose names public weights have: how it prepares images and reads maps (fields of a checkpoint)
    "public_forms": {
        # AlphaPose: utils/presets/simple_transform.py subtracts these from red, green and blue and divides by nothing;
        # _box_to_center_scale in utils/bbox.py has 1.25; scripts/demo_inference.py flips with shift=True;
        # heatmap pixel u is pixel 4 u of the crop, whose centre is at 4 u + 0.5: an origin of 0.125
        "alphapose": {"mean": (0.406, 0.457, 0.480), "std": (1.0, 1.0, 1.0), "origin": 0.125, "flip_shift": True},
    },
    "summary": (
        "RMPE is robust to inaccurate boxes. A spatial transformer centres the person in the crop, a single-person "
        "estimator finds the joints, and the inverse transformer maps the heatmaps back. If several boxes contain the "
        "same person, parametric pose NMS removes the duplicates."
    ),
    "stage": "heatmaps",  # what its successive outputs are called
    "reported_as": ("RMPE", "AlphaPose", "FastPose"),  # how the names of its reported results begin
    "drawing": {
        # id, shape, (column, row), label, note, how often its maps were halved
        "blocks": (
            ("image", "image", (0, 0), "image", "several people", 0),
            ("boxes", "attention", (1.3, 0), "person boxes", "and 30%", 1),
            ("stn", "layers", (2.7, 0), "transformer", "ResNet-18 gives θ", 1),
            ("sppe", "hourglass", (4.1, 0), "FastPose", "SE-ResNet, shuffles", 1),
            ("parallel", "hourglass", (4.1, 1), "parallel branch", "in training only", 1),
            ("sdtn", "maps", (5.5, 0), "inverse, γ", "heatmaps moved back", 2),
            ("nms", "attention", (6.9, 0), "pose NMS", "one pose per person", 2),
            ("people", "people", (8.2, 0), "people", "", 0),
        ),
        "links": "image > boxes > stn > sppe > sdtn > nms > people; stn > parallel",
        "skips": "stn > sdtn",
    },
}
OUTSIDE = 2.0  # a coordinate beyond every map, whose grid is from -1 to 1


class UpsampleByShuffle(nn.Module):
    """Dense upsampling convolution (Wang et al., arXiv 1702.08502): 3x3, BN, ReLU, channels shuffled into pixels."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(F.relu(self.bn(self.conv(x))), 2)  # [B, C, H, W] to [B, outputs / 4, 2H, 2W]


class FastPose(nn.Module):
    """Images [B, 3, H, W] to heatmaps [B, 1, K, H/4, W/4]. H and W are multiples of 32."""

    def __init__(self, num_joints: int, depth: int, width: int, shuffled: tuple[int, int]) -> None:
        super().__init__()
        self.preact = ResNet(depth, width=width, squeeze_excite=True)
        self.duc1 = UpsampleByShuffle(self.preact.channels // 4, shuffled[0])
        self.duc2 = UpsampleByShuffle(shuffled[0] // 4, shuffled[1])
        self.conv_out = nn.Conv2d(shuffled[1] // 4, num_joints, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        x = F.pixel_shuffle(self.preact(images), 2)  # [B, 2048, H/32, W/32] to [B, 512, H/16, W/16]
        x = self.duc2(self.duc1(x))  # [B, 256, H/8, W/8] to [B, 128, H/4, W/4]
        return self.conv_out(x)[:, None]  # [B, 1, K, H/4, W/4]


class SpatialTransformer(nn.Module):
    """A ResNet-18 that predicts which part of the crop the estimator should see (section 3.1).

    Images [B, 3, H, W] to theta [B, 2, 3], which takes places of the output to places of the input, both from -1 to 1
    (equation 1). It starts as the identity.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.trunk = ResNet(18, width=width)
        self.affine = nn.Linear(self.trunk.channels, 6)
        nn.init.zeros_(self.affine.weight)
        with torch.no_grad():
            self.affine.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]))

    def forward(self, images: Tensor) -> Tensor:
        x = self.trunk(images).mean(dim=(2, 3))  # [B, 512]
        return self.affine(x).reshape(-1, 2, 3)  # [B, 6] to [B, 2, 3]


def inverse(theta: Tensor) -> Tensor:
    """gamma [B, 2, 3], the way back: [g1 g2] = [t1 t2]^-1 and g3 = -[g1 g2] t3 (equations 3 and 4)."""
    turned = torch.linalg.inv_ex(theta[:, :, :2]).inverse  # [B, 2, 2]; not finite where there is none
    return torch.cat([turned, -turned @ theta[:, :, 2:]], dim=2)  # [B, 2, 3]


def compose(first: Tensor, second: Tensor) -> Tensor:
    """The affine map [B, 2, 3] that does `first`, then `second`."""
    turned = second[:, :, :2]
    return torch.cat([turned @ first[:, :, :2], turned @ first[:, :, 2:] + second[:, :, 2:]], dim=2)  # [B, 2, 3]


def transform(maps: Tensor, theta: Tensor) -> Tensor:
    """Maps [B, C, H, W] sampled where theta [B, 2, 3] takes each output place (equation 1); zero outside.

    Places are limited to twice the size, which is outside: ones that are not finite would be read from invalid memory.
    """
    grid = F.affine_grid(theta, list(maps.shape), align_corners=False)  # [B, H, W, 2]
    grid = grid.nan_to_num(OUTSIDE, OUTSIDE, -OUTSIDE).clamp(-OUTSIDE, OUTSIDE)
    return F.grid_sample(maps, grid, align_corners=False)  # [B, C, H, W]


class RegionalEstimator(nn.Module):
    """Symmetric spatial transformer around an estimator: images [B, 3, H, W] to heatmaps [B, 1, K, H/4, W/4]."""

    def __init__(self, estimator: nn.Module, *, width: int = 64) -> None:
        super().__init__()
        self.transformer = SpatialTransformer(width)
        self.estimator = estimator

    def forward(self, images: Tensor) -> Tensor:
        theta = self.transformer(images)  # [B, 2, 3]
        maps = self.estimator(transform(images, theta))[:, -1]  # [B, K, H/4, W/4], as the estimator saw the person
        return transform(maps, inverse(theta))[:, None]  # [B, 1, K, H/4, W/4], in the crop's own frame

    def parallel(self, images: Tensor) -> Tensor:
        """Heatmaps [B, 1, K, H/4, W/4] without the way back, for training only (parallel SPPE, section 3.1).

        They are compared with the pose moved to the middle. The estimator is frozen in this branch, so that the error
        teaches the transformer alone to bring people to the middle.
        """
        moved = transform(images, self.transformer(images))
        frozen = {name: value.detach() for name, value in self.estimator.named_parameters()}
        maps: Tensor = torch.func.functional_call(self.estimator, frozen, (moved,))
        return maps[:, -1:]  # [B, 1, K, H/4, W/4]


def build(
    num_joints: int,
    *,
    depth: int = 50,
    width: int = 64,
    shuffled: tuple[int, int] = (1024, 512),
    transformer: int = 0,
) -> FastPose | RegionalEstimator:
    """FastPose with fresh weights, inside a symmetric spatial transformer if `transformer` is given.

    `depth`: of the ResNet, `width`: channels of its first stage; `shuffled`: channels of the two upsampling
    convolutions before their pixels are shuffled; `transformer`: width of the transformer's ResNet-18, 0 for none.
    """
    estimator = FastPose(num_joints, depth, width, shuffled)
    return RegionalEstimator(estimator, width=transformer) if transformer else estimator
