"""Learning Feature Pyramids for Human Pose Estimation, Yang et al., ICCV 2017 (arXiv 1708.01101).

A stacked hourglass whose residual units look at their features at several scales at once (section 3.2): each is shrunk
by fractions of an octave, convolved there, enlarged and summed. Limbs of other sizes than usual are found that way.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MODEL = {
    "title": "PyraNet",
    "citation": {
        "authors": ("Yang", "Li", "Ouyang", "Li", "Wang"),
        "title": "Learning Feature Pyramids for Human Pose Estimation",
        "venue": "ICCV",
        "year": 2017,
        "arxiv": "1708.01101",
    },
    "approach": "top-down",
    # arguments of build(), the number of joints that the published count is for, the input size (width, height)
    "variants": {
        "full": {"stacks": 8, "channels": 256, "levels": 4, "joints": 16, "input_size": (256, 256)},
        "narrow": {
            "stacks": 2,
            "channels": 32,
            "levels": 3,
            "base": 4,
            "cardinality": 2,
            "multi_branch": False,
            "joints": 17,
            "input_size": (128, 192),
        },
    },
    "default_variant": "narrow",
    "input_size": (256, 256),  # as published: width, height
    "estimator": "heatmaps",
    "training": {
        "objective": "heatmaps",
        # section 5.1: RMSprop, 7e-4, divided by 10 at epochs 150 and 170
        "published": {
            "epochs": 200,
            "batch": 16,
            "optimiser": "rmsprop",
            "learning_rate": 0.0007,
            "drops": (150, 170),
            "colour": 0.2,
        },
        # what differs from the recipe of all narrow variants
        "narrow": {},
    },
    "summary": (
        "A stacked hourglass whose residual units work at several scales at once. Next to the plain branch, a pyramid "
        "downsamples the features by fractions of an octave, convolves each level, and upsamples them to one size, so "
        "that near and distant limbs are matched by filters of a suitable size."
    ),
    "stage": "stack",  # what its successive outputs are called
    "reported_as": ("PyraNet", "Learning Feature Pyramids"),  # how the names of its reported results begin
    "drawing": {
        # id, shape, (column, row), label, note, how often its maps were halved
        "blocks": (
            ("image", "image", (0, 0), "crop", "256 × 256", 0),
            ("stem", "down", (1.2, 0), "7 × 7, residual", "1/4", 0),
            ("hg", "hourglass", (2.5, 0), "hourglass 1", "of the units below", 2),
            ("maps", "maps", (3.8, 0), "heatmaps 1", "64 × 64", 2),
            ("rest", "hourglass", (5.1, 0), "hourglass 2", "", 2),
            ("maps2", "maps", (6.3, 0), "heatmaps 2", "", 2),
            ("pose", "pose", (7.4, 0), "joints", "", 0),
            ("unit", "layers", (1.2, 2), "features", "into a unit", 2),
            ("plain", "layers", (3.8, 1), "1 × 1, 3 × 3", "the plain branch", 2),
            ("p1", "down", (2.5, 2), "shrink, c = 1", "by 2^(−1/4)", 2),
            ("p4", "down", (2.5, 3), "shrink, c = 4", "by 2^(−1)", 3),
            ("c1", "layers", (3.8, 2), "3 × 3", "up again", 2),
            ("c4", "layers", (3.8, 3), "3 × 3", "up again", 3),
            ("sum", "sum", (5.1, 2), "pyramid", "sum over c, 1 × 1", 0),
            ("add", "sum", (6.3, 2), "out of the unit", "and the skip", 0),
        ),
        "links": (
            "image > stem > hg > maps > rest > maps2 > pose; unit > plain; unit > p1; unit > p4; p1 > c1; p4 > c4; c1"
            " > sum; c4 > sum; plain > add; sum > add"
        ),
    },
}


class Convolution(nn.Conv2d):
    """A convolution that knows how many branches it sees and is seen by (section 4.1, initialization of multi-branch
    networks): `sums`, C_i in the paper, are summed to its input, and `copies`, C_o, get its output. `rectified`: its
    input has been through a ReLU."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, sums: int = 1, copies: int = 1,
        rectified: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(inputs, outputs, kernel, stride=stride, padding=kernel // 2)
        self.sums, self.copies, self.alpha = sums, copies, 0.5 if rectified else 1.0

    def begin(self) -> None:
        """Draw the weights of section 4.1; the bias is zero.

        The variance of the outputs is that of the inputs when the weights have 1 / (a C_i n_i), that of the gradients
        with 1 / (a C_o n_o), where n_i and n_o are the weights that meet in an output and in an input, and a is 1/2
        after a ReLU, otherwise 1. The weights are Gaussian with a variance between the two, 2 over the sum of the
        denominators. With one branch that is Glorot and Bengio's.
        """
        places = self.kernel_size[0] * self.kernel_size[1]
        weights = places * (self.sums * self.in_channels + self.copies * self.out_channels)
        nn.init.normal_(self.weight, std=(2 / (self.alpha * weights)) ** 0.5)
        assert self.bias is not None
        nn.init.zeros_(self.bias)


def begin(network: nn.Module) -> None:
    """Draw the weights of section 4.1 for all layers that know their branches."""
    for layer in network.modules():
        if isinstance(layer, Convolution):
            layer.begin()


class Feature(nn.Sequential):
    """BN, ReLU and a convolution: the step that all units here are made of. Without `activate`, the convolution, whose
    input has been through both already. `sums`, `copies`: see Convolution."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, activate: bool = True, sums: int = 1, copies: int = 1
    ) -> None:
        before = [nn.BatchNorm2d(inputs), nn.ReLU()] if activate else []
        super().__init__(*before, Convolution(inputs, outputs, kernel, sums=sums, copies=copies))


class Pyramid(nn.Module):
    """sum_c f_c(x), c = 1..C (equation 2): features at C scales, in `middle` channels, back at their own size.

    Scale c is 2^(-c/C) (equation 3 with M = 1), reached by fractional max pooling (Graham, arXiv 1412.6071). Where its
    windows begin is drawn at random in training and fixed otherwise, so that a prediction can be repeated.
    """

    def __init__(self, middle: int, cardinality: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(middle)
        self.levels = nn.ModuleList(Convolution(middle, middle, 3) for _ in range(cardinality))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(x))  # [B, D, H, W]
        height, width = x.shape[2:]
        total = torch.zeros_like(x)
        for c, level in enumerate(self.levels, start=1):
            scale = 2 ** (-c / len(self.levels))
            y = level(self._shrunk(x, int(height * scale), int(width * scale)))  # [B, D, s_c H, s_c W]
            total = total + F.interpolate(y, size=(height, width), mode="bilinear")  # [B, D, H, W]
        return total

    def _shrunk(self, x: Tensor, height: int, width: int) -> Tensor:
        places = None if self.training else x.new_full((x.shape[0], x.shape[1], 2), 0.5)  # of the windows, 0 to 1
        return F.fractional_max_pool2d(x, 2, output_size=(height, width), _random_samples=places)  # [B, D, h, w]


class Residual(nn.Module):
    """Pre-activation unit x + P(x) (equation 1), P(x) = g(sum_c f_c(x)) + f_0(x), then 1x1 (equation 2, PRM-B).

    f_0 is a 1x1 and a 3x3 convolution. The pyramid is there where `scales` = (channels, cardinality) is given; its
    branch begins with a 1x1 convolution to few channels, which all scales share, and ends with one, g.

    The skip is the identity, or BN, ReLU and a 1x1 convolution where the number of channels changes or `project` is
    set: the variances of identities that are added to each other would add up (section 4.2). `activated`: the input has
    been through BN and ReLU, so the branches leave theirs out.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        scales: tuple[int, int] | None,
        *,
        project: bool = False,
        activated: bool = False,
    ) -> None:
        super().__init__()
        half = outputs // 2
        first = not activated
        self.local = nn.Sequential(Feature(inputs, half, 1, activate=first), Feature(half, half, 3))
        self.pyramid = None
        if scales is not None:
            middle, cardinality = scales
            self.pyramid = nn.Sequential(
                Feature(inputs, middle, 1, activate=first, copies=cardinality),
                Pyramid(middle, cardinality),
                Feature(middle, half, 1, sums=cardinality),
            )
        self.last = Feature(half, outputs, 1, sums=1 if scales is None else 2)
        self.skip = Feature(inputs, outputs, 1) if project or inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.local(x)  # [B, outputs / 2, H, W]
        if self.pyramid is not None:
            y = y + self.pyramid(x)  # [B, outputs / 2, H, W]
        return self.last(y) + self.skip(x)  # [B, outputs, H, W]


class Hourglass(nn.Module):
    """One hourglass of `levels` sizes. The two smallest have no pyramids, as they are too small for several scales.

    The side branch and what is below it differ by a factor of two in size, so they begin to have pyramids at different
    levels. The way up projects its skip, because the side branch is added to it.
    """

    def __init__(self, levels: int, channels: int, scales: tuple[int, int]) -> None:
        super().__init__()
        beside, below = (scales if levels >= 2 else None), (scales if levels >= 3 else None)
        self.side = Residual(channels, channels, beside)
        self.down = Residual(channels, channels, below)
        self.inner: nn.Module = (
            Hourglass(levels - 1, channels, scales) if levels > 1 else Residual(channels, channels, below)
        )
        self.up = Residual(channels, channels, below, project=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.down(F.max_pool2d(x, 2))  # [B, C, H/2, W/2]
        y = self.up(self.inner(y))
        return self.side(x) + F.interpolate(y, scale_factor=2.0, mode="nearest")  # [B, C, H, W]


class PyraNet(nn.Module):
    """Images [B, 3, H, W] to heatmaps [B, stacks, K, H/4, W/4]; the last stack is the result."""

    def __init__(self, num_joints: int, stacks: int, channels: int, levels: int, base: int, cardinality: int) -> None:
        super().__init__()
        narrow, half = channels // 4, channels // 2
        scales, half_scales = (channels // base, cardinality), (half // base, cardinality)
        self.conv, self.norm = Convolution(3, narrow, 7, stride=2, rectified=False), nn.BatchNorm2d(narrow)
        self.res1 = Residual(narrow, half, half_scales, activated=True)
        self.res2 = Residual(half, half, half_scales)
        self.res3 = Residual(half, channels, scales)
        self.hourglasses = nn.ModuleList(Hourglass(levels, channels, scales) for _ in range(stacks))
        # the sum that an hourglass ends with has not been through a nonlinearity yet
        self.features = nn.ModuleList(
            nn.Sequential(Feature(channels, channels, 1), nn.BatchNorm2d(channels), nn.ReLU()) for _ in range(stacks)
        )
        # no layer follows these: they begin with the smaller weights of torch, so that heatmaps are near zero at first
        self.heatmaps = nn.ModuleList(nn.Conv2d(channels, num_joints, 1) for _ in range(stacks))
        self.from_features = nn.ModuleList(Convolution(channels, channels, 1) for _ in range(stacks - 1))
        self.from_heatmaps = nn.ModuleList(
            Convolution(num_joints, channels, 1, rectified=False) for _ in range(stacks - 1)
        )

    def forward(self, images: Tensor) -> Tensor:
        x = F.relu(self.norm(self.conv(images)))  # [B, C/4, H/2, W/2]
        x = F.max_pool2d(self.res1(x), 2)  # [B, C/2, H/4, W/4]
        x = self.res3(self.res2(x))  # [B, C, H/4, W/4]
        outputs = []
        for stack, hourglass in enumerate(self.hourglasses):
            features = self.features[stack](hourglass(x))  # [B, C, H/4, W/4]
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
    base: int = 9,
    cardinality: int = 4,
    multi_branch: bool = True,
) -> PyraNet:
    """The network with fresh weights. Input width and height must be multiples of 4 * 2**levels.

    `base`: how many times narrower than its unit a pyramid is; `cardinality`: its number of scales (C). `multi_branch`:
    begin with the weights of section 4.1, otherwise with PyTorch's, which are smaller: normalised layers then change
    faster, and more is learned on a small budget.
    """
    network = PyraNet(num_joints, stacks, channels, levels, base, cardinality)
    if multi_branch:
        begin(network)
    return network
