"""Simple Baselines for Human Pose Estimation and Tracking, Xiao, Wu and Wei, ECCV 2018 (arXiv 1804.06208).

A ResNet, three transposed convolutions that bring its features back to a quarter of the input size, and a 1x1
convolution to heatmaps (section 2). Nothing else: the cheap reference of the top-down networks. The weights have the
names that the authors' release gives them.
"""

from torch import Tensor, nn

from baselines.models.blocks_resnet import ResNet

MODEL = {
    "title": "SimpleBaseline",
    "citation": {
        "authors": ("Xiao", "Wu", "Wei"),
        "title": "Simple Baselines for Human Pose Estimation and Tracking",
        "venue": "ECCV",
        "year": 2018,
        "arxiv": "1804.06208",
    },
    "approach": "top-down",
    # arguments of build(), the number of joints that the published count is for, the input size (width, height)
    "variants": {
        "r50": {"depth": 50, "joints": 17, "input_size": (192, 256)},
        "r101": {"depth": 101, "joints": 17, "input_size": (192, 256)},
        "r152": {"depth": 152, "joints": 17, "input_size": (192, 256)},
        "narrow": {"depth": 18, "width": 12, "deconvolutions": (32, 32, 32), "joints": 17, "input_size": (128, 192)},
    },
    "default_variant": "narrow",
    "input_size": (192, 256),  # as published: width, height
    "estimator": "heatmaps",
    "training": {
        "objective": "heatmaps",
        # section 3.1
        "published": {
            "epochs": 140,
            "batch": 128,
            "optimiser": "adam",
            "learning_rate": 0.001,
            "drops": (90, 120),
            "sigma": 2.0,
            "padding": 1.25,  # of the crop, in boxes of the person
            "rotation": 40,
            "scale": 0.3,
        },
        # what differs from the recipe of all narrow variants
        "narrow": {"epochs": 9},
    },
    # by toolkit whose names public weights have: how it prepares images and reads maps (fields of a checkpoint)
    "public_forms": {
        # human-pose-estimation.pytorch: lib/dataset/JointsDataset.py reads images with OpenCV, blue first, and
        # pose_estimation/valid.py normalises them with the figures for red, green and blue in this order all the same;
        # so do the configurations of pose_resnet in HRNet's toolkit (COLOR_RGB is false); heatmap pixel u is pixel 4 u
        # of the crop, whose centre is at 4 u + 0.5: an origin of 0.125
        "simple_baseline": {
            "mean": (0.485, 0.456, 0.406),
            "std": (0.229, 0.224, 0.225),
            "bgr": True,
            "origin": 0.125,
            "flip_shift": True,
        },
        # mmpose: configs/body_2d_keypoint/topdown_heatmap (data_preprocessor with bgr_to_rgb, padding 1.25 of
        # GetBBoxCenterScale, test_cfg with flip_test and shift_heatmap)
        "mmpose": {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225), "origin": 0.125, "flip_shift": True},
        # AlphaPose: utils/presets/simple_transform.py subtracts these from red, green and blue and divides by nothing;
        # _box_to_center_scale in utils/bbox.py has 1.25; scripts/demo_inference.py flips with shift=True
        "alphapose_simple": {
            "mean": (0.406, 0.457, 0.480),
            "std": (1.0, 1.0, 1.0),
            "origin": 0.125,
            "flip_shift": True,
        },
    },
    "summary": (
        "The simplest addition to a classification network: a ResNet reduces the crop to 1/32, three transposed "
        "convolutions upsample it to 1/4, and a 1 × 1 convolution outputs one heatmap per joint."
    ),
    "stage": "heatmaps",  # what its successive outputs are called
    "reported_as": ("SimpleBaseline", "Simple Baseline"),  # how the names of its reported results begin
    "drawing": {
        # id, shape, (column, row), label, note, how often its maps were halved
        "blocks": (
            ("image", "image", (0, 0), "crop", "192 × 256", 0),
            ("c2", "down", (1, 0), "stem, res2", "256, 1/4", 0),
            ("c3", "layers", (2, 0), "res3", "512, 1/8", 3),
            ("c4", "layers", (3, 0), "res4", "1,024, 1/16", 4),
            ("c5", "layers", (4, 0), "res5", "2,048, 1/32", 5),
            ("d1", "layers", (5, 0), "4 × 4 up", "256, 1/16", 4),
            ("d2", "layers", (6, 0), "4 × 4 up", "256, 1/8", 3),
            ("d3", "layers", (7, 0), "4 × 4 up", "256, 1/4", 2),
            ("maps", "maps", (8, 0), "heatmaps", "48 × 64", 2),
            ("pose", "pose", (9, 0), "joints", "", 0),
        ),
        "links": "image > c2 > c3 > c4 > c5 > d1 > d2 > d3 > maps > pose",
    },
}


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
