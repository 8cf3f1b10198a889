"""Deep High-Resolution Representation Learning, Sun, Xiao, Liu and Wang, CVPR 2019 (arXiv 1902.09212).

Heatmap regression that never leaves the high resolution: branches at 1/4, 1/8, 1/16 and 1/32 of the input size run side
by side (section 3, parallel multi-resolution subnetworks), and every module ends with an exchange in which each branch
receives all others (repeated multi-scale fusion). The weights have the names that the authors' release gives them.
"""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from baselines.models.blocks_resnet import Basic, Bottleneck, blocks

MODEL = {
    "title": "HRNet",
    "citation": {
        "authors": ("Sun", "Xiao", "Liu", "Wang"),
        "title": "Deep High-Resolution Representation Learning for Human Pose Estimation",
        "venue": "CVPR",
        "year": 2019,
        "arxiv": "1902.09212",
    },
    "approach": "top-down",
    # arguments of build(), the number of joints that the published count is for, the input size (width, height)
    "variants": {
        "w32": {"width": 32, "joints": 17, "input_size": (192, 256)},
        "w32-384x288": {"width": 32, "joints": 17, "input_size": (288, 384)},
        "w32-mpii": {"width": 32, "joints": 16, "input_size": (256, 256)},
        "w48": {"width": 48, "joints": 17, "input_size": (192, 256)},
        "w48-384x288": {"width": 48, "joints": 17, "input_size": (288, 384)},
        "narrow": {"width": 12, "modules": (1, 1, 1), "depth": 1, "stem": 16, "joints": 17, "input_size": (128, 192)},
    },
    "default_variant": "narrow",
    "input_size": (192, 256),  # as published: width, height
    "estimator": "heatmaps",
    "training": {
        "objective": "heatmaps",
        # section 4.1
        "published": {
            "epochs": 210,
            "batch": 32,
            "optimiser": "adam",
            "learning_rate": 0.001,
            "drops": (170, 200),
            "sigma": 2.0,
            "padding": 1.25,  # of the crop, in boxes of the person
            "rotation": 45,
            "scale": 0.35,
            "half_body": 0.3,
        },
        # what differs from the recipe of all narrow variants
        "narrow": {"epochs": 6},
    },
    # by toolkit whose names public weights have: how it prepares images and reads maps (fields of a checkpoint)
    "public_forms": {
        # deep-high-resolution-net.pytorch: tools/test.py (mean and deviation), lib/dataset/coco.py (1.25), the
        # configurations of HRNet (COLOR_RGB, FLIP_TEST, SHIFT_HEATMAP and POST_PROCESS are true);
        # heatmap pixel u is pixel 4 u of the crop, whose centre is at 4 u + 0.5: an origin of 0.125
        "hrnet": {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225), "origin": 0.125, "flip_shift": True},
        # mmpose: configs/body_2d_keypoint/topdown_heatmap (data_preprocessor with bgr_to_rgb, padding 1.25 of
        # GetBBoxCenterScale, test_cfg with flip_test and shift_heatmap)
        "mmpose": {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225), "origin": 0.125, "flip_shift": True},
    },
    "summary": (
        "HRNet keeps high-resolution maps throughout. Each stage adds a parallel branch of half the resolution, and "
        "after every few blocks all branches exchange features, resampled to each other’s size. The heatmaps come from"
        " the branch that stays at 1/4 of the crop’s resolution."
    ),
    "stage": "heatmaps",  # what its successive outputs are called
    "reported_as": ("HRNet",),  # how the names of its reported results begin
    "drawing": {
        # id, shape, (column, row), label, note, how often its maps were halved
        "blocks": (
            ("image", "image", (0, 0), "crop", "192 × 256", 0),
            ("stem", "down", (1.2, 0), "3 × 3, twice", "64 channels, 1/4", 0),
            ("a1", "layers", (2.4, 0), "stage 1", "4 bottlenecks", 2),
            ("a2", "layers", (3.7, 0), "stage 2", "C, 1/4", 2),
            ("a3", "layers", (5, 0), "stage 3", "C, 1/4", 2),
            ("a4", "layers", (6.3, 0), "stage 4", "C, 1/4", 2),
            ("b2", "layers", (3.7, 1), "2C, 1/8", "", 3),
            ("b3", "layers", (5, 1), "2C, 1/8", "", 3),
            ("b4", "layers", (6.3, 1), "2C, 1/8", "", 3),
            ("c3", "layers", (5, 2), "4C, 1/16", "", 4),
            ("c4", "layers", (6.3, 2), "4C, 1/16", "", 4),
            ("d4", "layers", (6.3, 3), "8C, 1/32", "", 5),
            ("maps", "maps", (7.7, 0), "heatmaps", "48 × 64", 2),
            ("pose", "pose", (8.8, 0), "joints", "", 0),
        ),
        "links": (
            "image > stem > a1 > a2 > a3 > a4 > maps > pose; a1 > b2 > b3 > b4; b2 > c3 > c4; c3 > d4; a2 > b3; b2 > "
            "a3 > b4; b3 > a4; c3 > b4; b3 > c4; b4 > maps; c4 > maps; d4 > maps"
        ),
    },
}


class Exchange(nn.Module):
    """The exchange unit (section 3): each of the first `outputs` branches is the sum of all, brought to its size.

    Up: 1x1 convolution and nearest upsampling; down: one strided 3x3 convolution per halving.
    """

    def __init__(self, widths: list[int], outputs: int) -> None:
        super().__init__()
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_path(widths, source, target) for source in range(len(widths))) for target in range(outputs)
        )

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        fused = []
        row: Any
        for target, row in enumerate(self.fuse_layers):
            terms = [row[source](x) for source, x in enumerate(branches) if source != target]
            total = branches[target] + terms[0]  # [B, widths[target], H/2**target, W/2**target]
            for term in terms[1:]:
                total += term
            fused.append(F.relu_(total))
        return fused


def _path(widths: list[int], source: int, target: int) -> nn.Module:
    """From branch `source` to the width and size of branch `target`."""
    if source == target:
        return nn.Identity()
    if source > target:  # up
        return nn.Sequential(
            nn.Conv2d(widths[source], widths[target], 1, bias=False),
            nn.BatchNorm2d(widths[target]),
            nn.Upsample(scale_factor=2 ** (source - target), mode="nearest"),
        )
    steps = []
    for step in range(target - source):
        last = step == target - source - 1
        steps.append(_down(widths[source], widths[target] if last else widths[source], activate=not last))
    return nn.Sequential(*steps)


def _down(inputs: int, outputs: int, *, activate: bool) -> nn.Sequential:
    """Half the size: 3x3 convolution of stride 2, BN, and ReLU when asked for."""
    layers = [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, *([nn.ReLU(inplace=True)] if activate else []))


class Module(Exchange):
    """Branches of `depth` basic blocks each, then an exchange."""

    def __init__(self, widths: list[int], outputs: int, depth: int) -> None:
        super().__init__(widths, outputs)
        self.branches = nn.ModuleList(blocks(Basic, width, width, depth) for width in widths)

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        return super().forward([run(x) for run, x in zip(self.branches, branches, strict=True)])


class HRNet(nn.Module):
    """Images [B, 3, H, W] to heatmaps [B, 1, K, H/4, W/4]. H and W are multiples of 32."""

    def __init__(
        self,
        num_joints: int,
        width: int,
        modules: tuple[int, int, int],
        depth: int,
        kernel: int,
        stem: int,
        bottlenecks: int,
    ) -> None:
        super().__init__()
        # stem: two strided convolutions to a quarter of the size, then bottlenecks
        self.conv1, self.bn1 = nn.Conv2d(3, stem, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(stem)
        self.conv2, self.bn2 = nn.Conv2d(stem, stem, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(stem)
        self.layer1 = blocks(Bottleneck, stem, stem, bottlenecks)
        widths = [width * 2**branch for branch in range(4)]
        # a transition adds a branch at half the size of the smallest; only the first changes the existing ones
        self.transition1 = nn.ModuleList(
            [
                nn.Sequential(
                    nn.Conv2d(4 * stem, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
                ),
                nn.Sequential(_down(4 * stem, 2 * width, activate=True)),
            ]
        )
        self.transition2 = _new_branch(widths, 2)
        self.transition3 = _new_branch(widths, 3)
        self.stage2 = nn.Sequential(*(Module(widths[:2], 2, depth) for _ in range(modules[0])))
        self.stage3 = nn.Sequential(*(Module(widths[:3], 3, depth) for _ in range(modules[1])))
        # the last module fuses into the top branch alone: the heatmaps come from there
        self.stage4 = nn.Sequential(
            *(Module(widths, 1 if module == modules[2] - 1 else 4, depth) for module in range(modules[2]))
        )
        self.final_layer = nn.Conv2d(width, num_joints, kernel, padding=kernel // 2)

    def forward(self, images: Tensor) -> Tensor:
        x = F.relu_(self.bn1(self.conv1(images)))  # [B, 64, H/2, W/2]
        x = F.relu_(self.bn2(self.conv2(x)))  # [B, 64, H/4, W/4]
        x = self.layer1(x)  # [B, 256, H/4, W/4]
        branches = self.stage2([path(x) for path in self.transition1])  # [B, C, H/4, W/4], [B, 2C, H/8, W/8]
        branches = self.stage3([*branches, self.transition2[2](branches[-1])])  # and [B, 4C, H/16, W/16]
        branches = self.stage4([*branches, self.transition3[3](branches[-1])])  # and [B, 8C, H/32, W/32]
        return self.final_layer(branches[0])[:, None]  # [B, 1, K, H/4, W/4]


def _new_branch(widths: list[int], branch: int) -> nn.ModuleList:
    """The branches below `branch` stay as they are; `branch` starts from the one above it."""
    return nn.ModuleList(
        [
            *(nn.Identity() for _ in range(branch)),
            nn.Sequential(_down(widths[branch - 1], widths[branch], activate=True)),
        ]
    )


def build(
    num_joints: int,
    *,
    width: int = 32,
    modules: tuple[int, int, int] = (1, 4, 3),
    depth: int = 4,
    kernel: int = 1,
    stem: int = 64,
    bottlenecks: int = 4,
) -> HRNet:
    """The network with fresh weights.

    `width`: channels of the top branch; `modules`: exchanges in stages 2, 3 and 4; `depth`: basic blocks of a branch in
    a module; `kernel`: of the last convolution; `stem`: channels of the two strided convolutions, `bottlenecks`
    that follow them.
    """
    return HRNet(num_joints, width, modules, depth, kernel, stem, bottlenecks)
