"""A small detector of people for benchmarks that give no boxes; it predicts every person as a point with a size.

After Objects as Points, Zhou, Wang and Kraehenbuehl 2019 (arXiv 1904.07850), section 4: the peaks of a centre map are
people, and maps beside it hold the size of the box and where in its pixel the centre is. There are no anchors; only
neighbours of a peak, and boxes that are nearly the same, are suppressed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from baselines.protocol import BaselineFailed
from baselines.run import crops
from baselines.weights import checkpoints
from baselines.weights.checkpoints import Checkpoint, CheckpointError

NAME, VARIANT = "person_detector", "mannequins"
TITLE = "Person detector"
SOURCE = "Zhou, Wang, Krähenbühl: Objects as Points. 2019, arXiv 1904.07850"
INPUT_SIZE = (192, 192)  # width, height: images are fitted into it
STRIDE = 4  # pixels between places of the maps
LOWEST_SCORE = 0.05  # of a peak that counts as a person
MOST_PEOPLE = 100  # per image
SAME_BOX = 0.7  # two boxes that overlap more than this (IoU) are one person
CHANNELS = (16, 32, 48, 64)  # at 1/4, 1/8, 1/16, 1/32 of the input
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class DetectedPeople:
    """People of an image, best first: boxes [N, 4] as x, y, w, h in continuous coordinates of the image, scores [N]."""

    boxes: Floats
    scores: NDArray[np.float64]


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions plus the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _convolution(channels, channels)
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(self.first(x)))


class CentreNetwork(nn.Module):
    """Images [B, 3, H, W] to maps [B, 5, H/4, W/4]: the logit of a centre, log width and log height in input pixels,
    and where the centre is in its pixel, x and y from 0 to 1. H and W are multiples of 32."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.stem = nn.Sequential(_convolution(3, 16, 2), _convolution(16, channels[0], 2), ResidualBlock(channels[0]))
        pairs = list(pairwise(channels))
        self.down = nn.ModuleList(nn.Sequential(_convolution(a, b, 2), ResidualBlock(b)) for a, b in pairs)
        self.narrow = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in pairs)
        self.up = nn.ModuleList(ResidualBlock(a) for a, _ in pairs)
        last = nn.Conv2d(32, 5, 1)
        with torch.no_grad():  # almost no place is a centre, and a person measures about 60 pixels
            last.bias.copy_(torch.tensor([-4.0, 4.0, 4.0, 0.5, 0.5]))  # type: ignore[union-attr]
        self.head = nn.Sequential(_convolution(channels[0], 32), last)

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem(images)  # [B, C0, H/4, W/4]
        sizes = [x]
        for step in self.down:
            sizes.append(step(sizes[-1]))  # [B, C1, H/8, W/8], /16, /32
        x = sizes.pop()
        for narrow, up in zip(reversed(self.narrow), reversed(self.up), strict=True):
            x = up(sizes.pop() + F.interpolate(narrow(x), scale_factor=2.0, mode="nearest"))
        return self.head(x)  # [B, 5, H/4, W/4]


def build(channels: Sequence[int] = CHANNELS) -> CentreNetwork:
    """The network with fresh weights."""
    return CentreNetwork(channels)


def fitted(size: tuple[int, int], into: tuple[int, int] = INPUT_SIZE) -> crops.Matrix:
    """The matrix [2, 3] that fits an image of (width, height) into the middle of the input."""
    return crops.box_crop((0.0, 0.0, float(size[0]), float(size[1])), into, 1.0)


class Detector:
    """The network with its weights."""

    def __init__(self, network: nn.Module, sha256: str, input_size: tuple[int, int], device: str) -> None:
        self.sha256, self.device, self.input_size = sha256, device, input_size
        self._network = network.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self._mean = torch.tensor(MEAN, device=device)[:, None, None]
        self._std = torch.tensor(STD, device=device)[:, None, None]

    def __call__(self, images: Sequence[Image.Image]) -> list[DetectedPeople]:
        """The people of each RGB image."""
        if not images:
            return []
        matrices = [fitted(image.size, self.input_size) for image in images]
        pixels = np.stack(
            [np.asarray(crops.warp(i, m, self.input_size)) for i, m in zip(images, matrices, strict=True)]
        )
        given = torch.from_numpy(pixels).to(self.device).permute(0, 3, 1, 2)  # [B, 3, H, W]
        with torch.inference_mode():
            prepared = ((given.float() / 255.0 - self._mean) / self._std).contiguous(memory_format=torch.channels_last)
            maps = self._network(prepared).float().cpu().numpy()
        return [decode(m, crops.inverse(matrix), i.size) for m, matrix, i in zip(maps, matrices, images, strict=True)]


def decode(maps: NDArray[np.floating], back: crops.Matrix, size: tuple[int, int]) -> DetectedPeople:
    """Maps [5, H', W'] of one image as people; `back` maps the input to the image of (width, height)."""
    score = 1.0 / (1.0 + np.exp(-maps[0].astype(np.float64)))  # [H', W']
    padded = np.pad(score, 1, constant_values=-1.0)
    height, width = score.shape
    around = [padded[v : v + height, u : u + width] for v in range(3) for u in range(3)]
    v, u = np.nonzero((score >= np.max(around, axis=0)) & (score >= LOWEST_SCORE))
    order = np.argsort(-score[v, u], kind="stable")[:MOST_PEOPLE]
    v, u = v[order], u[order]
    centre = (np.stack([u, v], axis=1) + maps[3:5, v, u].T) * STRIDE  # [N, 2] in the input
    half = np.exp(np.clip(maps[1:3, v, u].T, 0.0, 8.0)) / 2  # [N, 2]
    corners = crops.apply(back, np.stack([centre - half, centre + half], axis=1).astype(np.float64))  # [N, 2, 2]
    corners = np.clip(corners, 0.0, np.array(size, float))
    boxes = np.concatenate([corners[:, 0], corners[:, 1] - corners[:, 0]], axis=1)  # [N, 4]
    found = score[v, u]
    rows = [i for i in distinct(boxes) if min(boxes[i, 2:]) > 1.0]
    return DetectedPeople(boxes[rows], found[rows])


def distinct(boxes: Floats, threshold: float = SAME_BOX) -> list[int]:
    """The rows of boxes [N, 4], best first, without those that overlap a better one by more than the threshold."""
    left = np.arange(len(boxes))
    rows = []
    while len(left):
        rows.append(int(left[0]))
        left = left[1:][overlaps(boxes[left[:1]], boxes[left[1:]])[0] <= threshold]
    return rows


def overlaps(a: Floats, b: Floats) -> NDArray[np.float64]:
    """Intersection over union of boxes [N, 4] and [M, 4], x, y, w, h: [N, M]."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, :2] + a[:, None, 2:], b[None, :, :2] + b[None, :, 2:])
    both = np.clip(high - low, 0.0, None).prod(axis=2)
    total: NDArray[np.float64] = a[:, 2:].prod(axis=1)[:, None] + b[:, 2:].prod(axis=1)[None] - both
    return both / np.maximum(total, 1e-12)


def load(device: str = "cpu", checkpoint: Path | None = None) -> Detector:
    """The detector that ships, or one of another checkpoint. Raises BaselineFailed."""
    path = checkpoint or checkpoints.FOLDER / f"{NAME}-{VARIANT}.json"
    try:
        found = Checkpoint.read(path)
        if found.baseline != NAME:
            raise CheckpointError("mismatch", f"{path.name} is for {found.baseline}, not for {NAME}")
        network = build(**found.network)
        checkpoints.fill(network, checkpoints.read_weights(path.parent / found.file, found.sha256))
    except CheckpointError as error:
        raise BaselineFailed(f"checkpoint_{error.code}", str(error)) from error
    return Detector(network, found.sha256, found.input_size, device)


def described(sha256: str, file: str, training: dict[str, Any], claim: dict[str, Any]) -> Checkpoint:
    """The description of trained weights."""
    return Checkpoint(
        baseline=NAME, variant=VARIANT, file=file, sha256=sha256, joints=(), flip_pairs=(),
        network={"channels": list(CHANNELS)}, input_size=INPUT_SIZE, padding=1.0, mean=MEAN, std=STD, output="centres",
        licence="Apache-2.0", source="trained from scratch by the command below", claim=claim, training=training,
    )  # fmt: skip
