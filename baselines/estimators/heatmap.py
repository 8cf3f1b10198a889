"""Networks with heatmaps as estimators: normalise, run, average with the mirrored image, decode."""

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from baselines.decode import heatmaps
from baselines.decode.grouping import PERSON_HEIGHT, JointDetections, Model
from baselines.decode.scale_search import search
from baselines.devices import costs, memory
from baselines.estimators import crop_grouping
from baselines.protocol import JOINT_THRESHOLD, Poses

if TYPE_CHECKING:
    from baselines.weights.checkpoints import Checkpoint

BATCH = {"cuda": 64, "cpu": 16}  # at most


def choose_device(device: str | None) -> str:
    """The device asked for; otherwise a GPU where there is one, and the CPU where there is none."""
    return device or ("cuda" if torch.cuda.is_available() else "cpu")


class HeatmapEstimator:
    """A network [B, 3, H, W] -> [B, stages, K, H/s, W/s] for the joints at `order` among its checkpoint's.

    `grouped`: the person in the middle of a crop is assembled from those local maxima that `model` assigns to one
    person; otherwise every joint is where its map is highest.
    """

    precision = "float32"
    predicts_ways = False  # the offsets between joints; where it does not, they are the training people's means

    def __init__(
        self, network: nn.Module, checkpoint: "Checkpoint", order: list[int], device: str, *, pose_nms: bool = False
    ) -> None:
        self.model: Model | None = checkpoint.model
        self.grouped = checkpoint.grouped
        self.name, self.variant = checkpoint.baseline, checkpoint.variant
        self.input_size, self.padding = checkpoint.input_size, checkpoint.padding
        self.parameters, self.gmacs = costs.parameters(network), costs.gmacs(network, checkpoint.input_size)
        self.checkpoint_sha256 = checkpoint.sha256
        # the peak of a distribution over the pixels is small even where the network is sure
        self.joint_threshold = 0.0 if checkpoint.output == "logits" else JOINT_THRESHOLD
        self.fill = checkpoint.fill
        # the constants of pose NMS are for the peaks of heatmaps
        self.merges_poses = pose_nms and checkpoint.output == "heatmaps"
        self.device = device
        self.batch = memory.batch_size(network, self.input_size, device, BATCH.get(device.split(":")[0], 16))
        self.flip = checkpoint.flip
        self._checkpoint, self._order = checkpoint, order
        self._network = network.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self._mirrored = heatmaps.flip_order(checkpoint.joints, checkpoint.flip_pairs)
        self._mean = torch.tensor(checkpoint.mean, device=device)[:, None, None]
        self._std = torch.tensor(checkpoint.std, device=device)[:, None, None]

    def forward(self, crops: NDArray[np.uint8]) -> tuple[NDArray[np.floating], NDArray[np.floating] | None]:
        """The network's maps [B, K, H/s, W/s] of RGB crops [B, H, W, 3], and of their mirror images if it flips."""
        return self._maps(crops), self._maps(crops[:, :, ::-1]) if self.flip else None

    @property
    def grouping_sha256(self) -> str:
        """Digest of the statistics that group joints, and of whether they do so in crops."""
        fitted = json.dumps([self.grouped, self.model.to_json() if self.model else None])
        return hashlib.sha256(fitted.encode()).hexdigest()

    @property
    def person_height(self) -> float:
        """The height in the crop, in pixels, of a person whose box determines the crop's height."""
        return self.input_size[1] / self.padding

    def decode(self, output: Any) -> Poses:
        """Poses of the people of a forward pass."""
        joints, confidence = self.best(output)
        if self.grouped and self.model is not None:
            size = np.array(self.input_size) * PERSON_HEIGHT / self.person_height
            for row, found in enumerate(self.detections(output)):
                grouped, sure = crop_grouping.person(found, self.model, size)
                joints[row] = np.where(sure[:, None] > 0, grouped * self.person_height / PERSON_HEIGHT, joints[row])
                confidence[row] = sure
        confidence = np.clip(confidence[:, self._order], 0.0, 1.0)
        return Poses(joints[:, self._order], confidence, confidence.mean(axis=1))

    def best(self, output: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The most likely place of every joint of the checkpoint on its own [B, K, 2], and its confidence [B, K]."""
        maps = self._averaged(output)
        joints, confidence = heatmaps.DECODERS[self._checkpoint.decoding](maps)
        return (joints + self._checkpoint.origin) * self._stride(maps), confidence

    def detections(self, output: Any) -> list[JointDetections]:
        """Possible joints in every crop of a forward pass, scaled to people PERSON_HEIGHT tall."""
        maps, factor = self._averaged(output), PERSON_HEIGHT / self.person_height
        stride, peaks = self._stride(maps) * factor, self.best(output)[0] * factor
        return [
            crop_grouping.detections(each, own, stride, self._checkpoint.origin, self.model)
            for each, own in zip(maps, peaks, strict=True)
        ]

    def _averaged(self, output: Any) -> NDArray[np.floating]:
        """Heatmaps [B, K, H', W'] of a forward pass, the mean with those of the mirror images."""
        maps, mirrored = (None if each is None else self._probabilities(each) for each in output)
        assert maps is not None
        if mirrored is None:
            return maps
        back = heatmaps.flip_back(mirrored, self._mirrored, shift=self._checkpoint.flip_shift)
        return (maps + back) / 2

    def _stride(self, maps: NDArray[np.floating]) -> NDArray[np.float64]:
        """Pixels of the crop per pixel of maps [B, K, H', W'], [2]."""
        return np.array([self.input_size[0] / maps.shape[3], self.input_size[1] / maps.shape[2]])

    def stages(self, crops: NDArray[np.uint8]) -> NDArray[np.floating]:
        """Every stage's heatmaps [B, stages, K, H/s, W/s] of RGB crops, joints in the dataset's order."""
        with torch.inference_mode():
            maps: NDArray[np.floating] = self._network(self._input(crops)).float().cpu().numpy()
        return self._probabilities(maps)[:, :, self._order]

    def _maps(self, crops: NDArray[np.uint8]) -> NDArray[np.floating]:
        """The last stage's maps, averaged over the checkpoint's scales."""
        scales, finer = self._checkpoint.scales, self._checkpoint.finer
        with torch.inference_mode():
            images = self._input(crops)
            if scales == (1.0,) and finer == 1:
                maps = self._network(images)[:, -1]  # [B, K, H/s, W/s]
            else:
                maps = search(lambda x: self._network(x)[:, -1], images, scales, finer)
        averaged: NDArray[np.floating] = maps.float().cpu().numpy()
        return averaged

    def _input(self, crops: NDArray[np.uint8]) -> Tensor:
        pixels = crops[..., ::-1] if self._checkpoint.bgr else crops
        images = torch.from_numpy(np.ascontiguousarray(pixels)).to(self.device).permute(0, 3, 1, 2)  # [B, 3, H, W]
        return ((images.float() / 255.0 - self._mean) / self._std).contiguous(memory_format=torch.channels_last)

    def _probabilities(self, maps: NDArray[np.floating]) -> NDArray[np.floating]:
        """The network's maps as heatmaps with values between 0 and about 1."""
        return heatmaps.softmax(maps) if self._checkpoint.output == "logits" else maps
