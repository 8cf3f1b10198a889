"""Deep Residual Learning for Image Recognition, He et al., CVPR 2016 (arXiv 1512.03385): the trunk of other networks.

The weights have the names that torchvision gives them, which nearly every public checkpoint repeats. There the stride
of a bottleneck is that of its 3x3 convolution; the paper's own release has it in the first 1x1 (`early_stride`).
"""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

DEPTHS: dict[int, tuple[str, tuple[int, int, int, int]]] = {
    18: ("basic", (2, 2, 2, 2)),
    34: ("basic", (3, 4, 6, 3)),
    50: ("bottleneck", (3, 4, 6, 3)),
    101: ("bottleneck", (3, 4, 23, 3)),
    152: ("bottleneck", (3, 8, 36, 3)),
}


class SqueezeExcite(nn.Module):
    """Channels weighted by what the whole image holds (Hu et al., arXiv 1709.01507), without a reduction of width."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Sequential(
            nn.Linear(channels, channels), nn.ReLU(inplace=True), nn.Linear(channels, channels), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        weights = self.fc(x.mean(dim=(2, 3)))  # [B, C]
        return x * weights[:, :, None, None]  # [B, C, H, W]


class Basic(nn.Module):
    """Two 3x3 convolutions around a skip (figure 5, left)."""

    EXPANSION = 1

    def __init__(
        self,
        inputs: int,
        planes: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        squeeze_excite: bool = False,
        early_stride: bool = True,  # there is no other convolution for it
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, planes, 3, stride=stride, padding=dilation, dilation=dilation, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=dilation, dilation=dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.se = SqueezeExcite(planes) if squeeze_excite else nn.Identity()
        self.downsample = _downsample(inputs, planes, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu_(self.bn1(self.conv1(x)))
        y = self.se(self.bn2(self.conv2(y)))
        y += self.downsample(x)
        return F.relu_(y)  # [B, planes, H/stride, W/stride]


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions around a skip (figure 5, right)."""

    EXPANSION = 4

    def __init__(
        self,
        inputs: int,
        planes: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        squeeze_excite: bool = False,
        early_stride: bool = False,
    ) -> None:
        super().__init__()
        outputs = planes * self.EXPANSION
        first, second = (stride, 1) if early_stride else (1, stride)
        self.conv1, self.bn1 = nn.Conv2d(inputs, planes, 1, stride=first, bias=False), nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride=second, padding=dilation, dilation=dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3, self.bn3 = nn.Conv2d(planes, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        self.se = SqueezeExcite(outputs) if squeeze_excite else nn.Identity()
        self.downsample = _downsample(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu_(self.bn1(self.conv1(x)))
        y = F.relu_(self.bn2(self.conv2(y)))
        y = self.se(self.bn3(self.conv3(y)))
        y += self.downsample(x)
        return F.relu_(y)  # [B, 4 * planes, H/stride, W/stride]


def _downsample(inputs: int, outputs: int, stride: int) -> nn.Module:
    """The skip: a 1x1 convolution only where the shape changes."""
    if inputs == outputs and stride == 1:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs))


def blocks(
    kind: type[Basic] | type[Bottleneck],
    inputs: int,
    planes: int,
    count: int,
    *,
    stride: int = 1,
    dilation: int = 1,
    squeeze_excite: bool = False,
    early_stride: bool = False,
) -> nn.Sequential:
    """`count` blocks; the first changes size and width, and is the one that squeezes and excites when asked for."""
    first = kind(
        inputs, planes, stride=stride, dilation=dilation, squeeze_excite=squeeze_excite, early_stride=early_stride
    )
    outputs = planes * kind.EXPANSION
    return nn.Sequential(first, *(kind(outputs, planes, dilation=dilation) for _ in range(count - 1)))


class ResNet(nn.Module):
    """Images [B, 3, H, W] to features [B, C, H/32, W/32]; the classifier is left out.

    `width`: of the first stage (64 in the paper); `output_stride` 16 keeps the size in the last stage and dilates its
    3x3 convolutions by 2 instead; `squeeze_excite`: in the first block of every stage; `early_stride`: in the
    first convolution of a bottleneck.
    """

    def __init__(
        self,
        depth: int,
        *,
        width: int = 64,
        output_stride: Literal[16, 32] = 32,
        squeeze_excite: bool = False,
        early_stride: bool = False,
    ) -> None:
        super().__init__()
        name, counts = DEPTHS[depth]
        kind: type[Basic] | type[Bottleneck] = Basic if name == "basic" else Bottleneck
        grow = kind.EXPANSION
        chosen = {"squeeze_excite": squeeze_excite, "early_stride": early_stride}
        stride, dilation = (2, 1) if output_stride == 32 else (1, 2)
        self.conv1, self.bn1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False), nn.BatchNorm2d(width)
        self.layer1 = blocks(kind, width, width, counts[0], **chosen)
        self.layer2 = blocks(kind, width * grow, width * 2, counts[1], stride=2, **chosen)
        self.layer3 = blocks(kind, width * 2 * grow, width * 4, counts[2], stride=2, **chosen)
        self.layer4 = blocks(kind, width * 4 * grow, width * 8, counts[3], stride=stride, dilation=dilation, **chosen)
        self.channels = width * 8 * grow

    def stem(self, images: Tensor) -> Tensor:
        """What comes before the first stage: [B, 3, H, W] to [B, C, H/4, W/4]."""
        x = F.relu_(self.bn1(self.conv1(images)))  # [B, C, H/2, W/2]
        return F.max_pool2d(x, 3, stride=2, padding=1)  # [B, C, H/4, W/4]

    def forward(self, images: Tensor) -> Tensor:
        x = self.layer1(self.stem(images))  # [B, C or 4C, H/4, W/4]
        return self.layer4(self.layer3(self.layer2(x)))  # [B, channels, H/32, W/32], or /16
