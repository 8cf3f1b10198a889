"""DeeperCut as an estimator: of the person in a crop, and of all people of a whole image.

In a crop, the best place of every part, refined by its offset: this is how the paper scores its detectors alone, where
one person is known to be there. In an image, its pairwise terms tell who belongs to whom (`bottom_up`).
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from baselines import bottom_up
from baselines.deepercut import positions
from baselines.estimators import Poses
from baselines.heatmap_estimator import HeatmapEstimator


class Found(NamedTuple):
    """Scores [B, K, H', W'] between 0 and 1, and where the part of each place is [B, K, 2, H', W'], pixels of the crop,
    x first."""

    scores: NDArray[np.float32]
    points: NDArray[np.float32]


class PartEstimator(HeatmapEstimator):
    """A network with `maps`: scores and offsets of every part, averaged with those of the mirrored crop."""

    def forward(self, crops: NDArray[np.uint8]) -> Any:
        """What the network finds in RGB crops [B, H, W, 3], and in their mirror images."""
        return self._found(crops), self._found(crops[:, :, ::-1]) if self.flip else None

    def decode(self, answer: Any) -> Poses:
        """Poses of the people of a forward pass."""
        (scores, points), mirrored = answer
        if mirrored is not None:
            moved = mirrored.points[:, self._mirrored, :, :, ::-1].copy()  # [B, K, 2, H', W']
            moved[:, :, 0] = self.input_size[0] - moved[:, :, 0]
            scores = (scores + mirrored.scores[:, self._mirrored, :, ::-1]) / 2
            points = (points + moved) / 2
        flat = scores.reshape(*scores.shape[:2], -1)  # [B, K, H' * W']
        best = flat.argmax(axis=2)[..., None]  # [B, K, 1]
        confidence = np.take_along_axis(flat, best, axis=2)[..., 0].astype(np.float64)
        places = points.reshape(*points.shape[:3], -1)  # [B, K, 2, H' * W']
        joints = np.take_along_axis(places, best[:, :, None], axis=3)[..., 0].astype(np.float64)  # [B, K, 2]
        confidence = np.clip(confidence[:, self._order], 0.0, 1.0)
        return Poses(joints[:, self._order], confidence, confidence.mean(axis=1))

    def poses_from(self, image: NDArray[np.uint8]) -> Poses:
        """All people of an RGB image [H, W, 3], best score first, in continuous coordinates of the image."""
        weights = self._checkpoint.grouping
        network: Any = self._network
        poses = bottom_up.poses_from(
            network,
            image,
            self._input,
            person_height=self.input_size[1] / self.padding,
            weights=np.array(weights) if weights else None,
        )
        return Poses(poses.joints[:, self._order], poses.confidence[:, self._order], poses.score)

    def _found(self, crops: NDArray[np.uint8]) -> Found:
        network: Any = self._network
        with torch.inference_mode():
            maps = network.maps(self._input(crops))
            return Found(maps.scores.float().cpu().numpy(), positions(maps.offsets).float().cpu().numpy())
