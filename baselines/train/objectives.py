"""The targets and losses of training: an objective for each kind of output.

An objective is called with the network, images [B, 3, H, W], joints [B, K, 2] in continuous coordinates of the image
and weights [B, K]; it returns a scalar to minimise. One that learns `everyone` in an image is called with joints
[B, P, K, 2] and weights [B, P, K]. `prepared` passes statistics of the training people to the network; `output` says
whether the trained network's maps are heatmaps or logits.
"""

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from baselines.decode import heatmaps

Joints = NDArray[np.float64]
Weights = NDArray[np.float32]
LOSSES = ("mse", "cross_entropy")
RARELY = 0.02  # about the share of windows that show a given joint


class Objective(Protocol):
    """How an architecture learns."""

    @property
    def output(self) -> str:
        """What its network outputs: "heatmaps", or "logits", which a softmax over each map turns into a
        distribution."""

    @property
    def everyone(self) -> bool:
        """Whether it learns all people in an image, and not only the one in its middle."""

    @property
    def decoding(self) -> str:
        """How places are read from its heatmaps, a key of `heatmaps.DECODERS`."""

    def prepared(self, network: Any, joints: Joints, weights: Weights) -> None:
        """Store statistics of the training people in the network: joints [N, K, 2] in the crops of its input size."""

    def __call__(self, network: Any, images: Tensor, joints: Joints, weights: Weights) -> Tensor:
        """The loss of a batch."""


def output_of(loss: str) -> str:
    """What a network trained with a loss outputs."""
    return "logits" if loss == "cross_entropy" else "heatmaps"


def decoding_of(loss: str) -> str:
    """How the maps of a network trained with a loss are read: as in the papers, or as the Gaussian that the
    distribution was trained to be."""
    return "vertex" if loss == "cross_entropy" else "quarter"


def heatmap_loss(kind: str, output: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """The loss of heatmaps [B, stages, K, H, W], summed over stages, mean over the annotated joints of `weights`
    [B, K].

    `mse` is the squared error against Gaussians [B, K, H, W], as in the papers. In `cross_entropy` a softmax over each
    heatmap is compared with the Gaussian scaled to a distribution: training is far faster on a small budget.
    """
    counted = weights.sum().clamp(min=1.0)
    if kind == "mse":
        squared = (output - targets[:, None]).square().mean(dim=(-2, -1))  # [B, stages, K]
        return (squared * weights[:, None]).sum() / counted
    share = targets.flatten(2)
    share = share / share.sum(dim=-1, keepdim=True).clamp(min=1e-6)  # [B, K, H*W]
    surprise = -(F.log_softmax(output.flatten(3), dim=-1) * share[:, None]).sum(dim=-1)  # [B, stages, K]
    return (surprise * weights[:, None]).sum() / counted


def gaussians(images: Tensor, joints: Joints, weights: Weights, stride: int, sigma: float) -> Tensor:
    """Gaussian targets [B, K, H / stride, W / stride] of images [B, 3, H, W], on their device; sigma in heatmap
    pixels. Heatmap pixel i covers the image from stride * i to stride * (i + 1)."""
    size = images.shape[3] // stride, images.shape[2] // stride
    made = heatmaps.gaussian_targets(joints / stride - 0.5, weights, size, sigma)
    return torch.from_numpy(made).to(images.device)


@dataclass(frozen=True)
class Heatmaps:
    """Gaussians at every stage (Tompson et al. 2014; intermediate supervision of Newell et al. 2016, section 3.4)."""

    loss: str
    sigma: float
    stride: int = 4
    everyone = False

    @property
    def output(self) -> str:
        return output_of(self.loss)

    @property
    def decoding(self) -> str:
        return decoding_of(self.loss)

    def prepared(self, network: Any, joints: Joints, weights: Weights) -> None:
        """Heatmaps need no statistics."""

    def __call__(self, network: Any, images: Tensor, joints: Joints, weights: Weights) -> Tensor:
        targets = gaussians(images, joints, weights, self.stride, self.sigma)
        return heatmap_loss(self.loss, network(images).float(), targets, _on(images, weights))


@dataclass(frozen=True)
class Beliefs(Heatmaps):
    """Belief maps at every stage, with one more for the background, where no joint is (Convolutional Pose Machines,
    section 3.3). With the cross-entropy there is no background: each map is a distribution of its own."""

    stride: int = 8

    def __call__(self, network: Any, images: Tensor, joints: Joints, weights: Weights) -> Tensor:
        if self.loss == "cross_entropy":
            return super().__call__(network, images, joints, weights)
        targets = gaussians(images, joints, weights, self.stride, self.sigma)
        background = 1.0 - targets.amax(dim=1, keepdim=True)  # [B, 1, H/8, W/8]
        everywhere = torch.cat([_on(images, weights), torch.ones(len(images), 1, device=images.device)], dim=1)
        targets = torch.cat([targets, background], dim=1)  # [B, K + 1, H/8, W/8]
        return heatmap_loss("mse", network.beliefs(images).float(), targets, everywhere)


@dataclass(frozen=True)
class Windows:
    """For every window: is the joint in its middle? Binary cross-entropy (Jain et al. 2014, section 3.1).

    The network is run over the whole crop, so that all its windows, four pixels apart, are examples at once. A window
    counts as showing the joint when its middle is at most `radius` pixels off. There are far more windows without:
    both kinds get half of the weight, as in mini-batches that hold as many of one as of the other.

    With `sigma` (in windows) the target is the Gaussian of the distance instead. All windows then have the same weight,
    so that a response is a probability and not about a half wherever nothing is certain, and places between the windows
    can be read from it.
    """

    radius: float
    sigma: float = 0.0
    stride: int = 4
    output = "heatmaps"
    everyone = False

    @property
    def decoding(self) -> str:
        return "vertex" if self.sigma else "quarter"

    def prepared(self, network: Any, joints: Joints, weights: Weights) -> None:
        """The part priors: offsets of joints from their neighbours (section 3.2). With `sigma`, the network starts from
        the response that hardly any window shows a joint, which would otherwise take its first steps."""
        network.estimate_priors(joints, weights)
        if self.sigma:
            nn.init.constant_(network.linear3.bias, -math.log(1 / RARELY - 1))

    def __call__(self, network: Any, images: Tensor, joints: Joints, weights: Weights) -> Tensor:
        output: Tensor = network.logits(images).float()  # [B, K, H', W']
        first = (images.shape[3] - self.stride * (output.shape[3] - 1)) / 2  # middle of the first window
        top = (images.shape[2] - self.stride * (output.shape[2] - 1)) / 2
        squares = _offsets(output, joints, self.stride, (first, top)).square().sum(dim=2)  # [B, K, H', W']
        if self.sigma:
            shows, balance = (-squares / (2 * (self.sigma * self.stride) ** 2)).exp(), None
        else:
            shows = (squares <= self.radius**2).float()  # [B, K, H', W']
            shown = shows.sum(dim=(2, 3), keepdim=True)
            windows = output.shape[2] * output.shape[3]
            balance = 0.5 * shows / shown.clamp(min=1.0) + 0.5 * (1.0 - shows) / (windows - shown)
        surprise = F.binary_cross_entropy_with_logits(output, shows, balance, reduction="none").sum(dim=(2, 3))
        counted = _on(images, weights)
        return (surprise * counted).sum() / counted.sum().clamp(min=1.0)


@dataclass(frozen=True)
class Parts:
    """Part detectors, location refinement and pairwise terms of DeeperCut (sections 3 and 4).

    Joints are those of one person per image, [B, K, 2], or of everyone in it, [B, P, K, 2]. A place belongs to the
    nearest part at most `radius` pixels from it: there the score is 1, the offset leads to the part, and the pairs lead
    to every other part of the same person. Elsewhere the score is 0; a part that nobody in the image is annotated with
    does not count. The loss is the cross-entropy of the scores, plus the Huber losses of offsets and pairs (linear from
    `knee` on, in the network's units), weighted with `refinement` and `pairwise`. `balance`: weight of a place that
    belongs to the part; 1 as published, more where the maps and the budget are small.
    """

    radius: float
    refinement: float = 0.05
    pairwise: float = 0.05
    knee: float = 1.0
    balance: float = 1.0
    output = "heatmaps"
    everyone = True
    decoding = "quarter"

    def prepared(self, network: Any, joints: Joints, weights: Weights) -> None:
        """The mean and the standard deviation of every pair of parts, pixels, by which pairs are normalised."""
        if network.pairs is None:
            return
        k = network.num_joints
        mean, deviation = np.zeros((k, k, 2)), np.ones((k, k, 2))
        for source in range(k):
            for target in range(k):
                both = (weights[:, source] > 0) & (weights[:, target] > 0)
                if source != target and both.sum() > 1:
                    way = joints[both, target] - joints[both, source]  # [N, 2]
                    mean[source, target], deviation[source, target] = way.mean(axis=0), way.std(axis=0)
        apart = ~np.eye(k, dtype=bool)  # the order of `pairs`: by source, then by target, without itself
        buffers = (("pair_mean", mean), ("pair_deviation", np.maximum(deviation, 1.0)))
        with torch.no_grad():
            for name, values in buffers:
                network.get_buffer(name).copy_(torch.from_numpy(values[apart].ravel()))

    def __call__(self, network: Any, images: Tensor, joints: Joints, weights: Weights) -> Tensor:
        k = joints.shape[-2]
        joints, weights = joints.reshape(len(joints), -1, k, 2), weights.reshape(len(joints), -1, k)  # [B, P, K, ...]
        maps = network.logits(images)
        scores = maps.scores.float()  # [B, K, H', W']
        annotated = _on(images, weights)  # [B, P, K]
        people = torch.from_numpy(joints).to(scores)  # [B, P, K, 2]
        ways = _offsets(
            scores, joints, network.stride, (network.stride / 2, network.stride / 2)
        )  # [B, P, K, 2, H', W'], pixels to the part
        away = ways.square().sum(dim=3)  # [B, P, K, H', W']
        nearest, owner = away.masked_fill(annotated[..., None, None] == 0, torch.inf).min(dim=1)  # [B, K, H', W']
        near = nearest <= self.radius**2
        counted = annotated.amax(dim=1)[:, :, None, None]  # [B, K, 1, 1]
        emphasis = counted * (1.0 + (self.balance - 1.0) * near)
        surprise = F.binary_cross_entropy_with_logits(scores, near.float(), emphasis, reduction="sum")
        total = surprise / (counted.sum() * scores.shape[2] * scores.shape[3]).clamp(min=1.0)
        # the M places that belong to a part: image, part, row, column, and whose part it is
        b, part, v, u = near.nonzero(as_tuple=True)
        whose = owner[b, part, v, u]
        way = ways[b, whose, part, :, v, u]  # [M, 2]
        off = F.huber_loss(
            maps.offsets.float()[b, part, :, v, u], way / network.offset_scale, reduction="sum", delta=self.knee
        )
        total = total + self.refinement * off / max(len(b), 1)
        if maps.pairs is None:
            return total
        others = torch.from_numpy(_others(k)).to(images.device)[part]  # [M, K - 1]
        start = people[b, whose, part] - way  # [M, 2], the places
        target = people[b[:, None], whose[:, None], others] - start[:, None]  # [M, K - 1, 2]
        mean, deviation = (network.get_buffer(n).view(k, k - 1, 2)[part] for n in ("pair_mean", "pair_deviation"))
        predicted = maps.pairs.float().unflatten(1, (k, k - 1))[b, part, :, :, v, u]  # [M, K - 1, 2]
        known = annotated[b[:, None], whose[:, None], others]  # [M, K - 1]
        off = F.huber_loss(predicted, (target - mean) / deviation, reduction="none", delta=self.knee).sum(dim=2)
        return total + self.pairwise * (off * known).sum() / known.sum().clamp(min=1.0)


def _others(count: int) -> NDArray[np.int64]:
    """For every part the other parts [K, K - 1], in order."""
    return np.array([[other for other in range(count) if other != part] for part in range(count)], np.int64)


@dataclass(frozen=True)
class Regional(Heatmaps):
    """RMPE: heatmaps through the symmetric spatial transformer, and those of the parallel branch, which are compared
    with the pose moved to the middle (section 3.1). A network without a transformer learns its heatmaps alone."""

    parallel: float = 1.0  # weight of the parallel branch

    def __call__(self, network: Any, images: Tensor, joints: Joints, weights: Weights) -> Tensor:
        total = super().__call__(network, images, joints, weights)
        if not hasattr(network, "parallel"):
            return total
        size = np.array([images.shape[3], images.shape[2]])
        middle = centred(joints, weights, size)
        inside = ((middle >= 0) & (middle < size)).all(axis=-1)
        counted = (weights * inside).astype(np.float32)
        targets = gaussians(images, middle, counted, self.stride, self.sigma)
        output: Tensor = network.parallel(images)
        return total + self.parallel * heatmap_loss(self.loss, output.float(), targets, _on(images, counted))


def centred(joints: Joints, weights: Weights, size: NDArray[np.int64]) -> Joints:
    """Joints [B, K, 2] moved so that the middle of the annotated ones' box is the middle of the crop of `size` [2]."""
    there = (weights > 0)[..., None]
    low = np.where(there, joints, np.inf).min(axis=1)  # [B, 2]
    high = np.where(there, joints, -np.inf).max(axis=1)
    known = np.isfinite(low) & np.isfinite(high)
    middle = np.where(known, (np.where(known, low, 0.0) + np.where(known, high, 0.0)) / 2, size / 2)
    moved: Joints = joints + (size / 2 - middle)[:, None]
    return moved


def _offsets(maps: Tensor, joints: Joints, stride: int, first: tuple[float, float]) -> Tensor:
    """From every place of maps [B, K, H', W'] to joints [..., 2], pixels: [..., 2, H', W']; place 0 is at `first`
    (x, y)."""
    height, width = maps.shape[-2:]
    x = torch.arange(width, device=maps.device) * stride + first[0]
    y = torch.arange(height, device=maps.device) * stride + first[1]
    places = torch.stack([x.expand(height, width), y[:, None].expand(height, width)])  # [2, H', W']
    points = torch.from_numpy(joints).to(maps.device, maps.dtype)[..., None, None]  # [B, K, 2, 1, 1]
    return points - places


def _on(images: Tensor, values: Weights) -> Tensor:
    """An array on the device of the images."""
    return torch.from_numpy(np.asarray(values, np.float32)).to(images.device)
