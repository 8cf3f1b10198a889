"""DeeperCut as an estimator: of the person in a crop, and of all people of a whole image.

In an image, pairwise terms group joints into people (`bottom_up`); in a crop they do the same, and the person at its
centre is returned (`crop_grouping`). Without grouping, that person has the best place of every part, refined
by its offset: this is how the paper scores its detectors alone, where exactly one person is known to be present.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from baselines.decode.grouping import JointDetections, Model
from baselines.estimators import bottom_up
from baselines.estimators.heatmap import HeatmapEstimator
from baselines.protocol import Poses

if TYPE_CHECKING:
    from baselines.weights.checkpoints import Checkpoint


class PartEstimator(HeatmapEstimator):
    """A network with `maps`: scores, offsets and pairs of every part, averaged with those of the mirrored crop."""

    def __init__(
        self, network: Any, checkpoint: "Checkpoint", order: list[int], device: str, *, pose_nms: bool = False
    ) -> None:
        super().__init__(network, checkpoint, order, device, pose_nms=pose_nms)
        self.predicts_ways = network.pairs is not None
        if self.model is None and self.predicts_ways:
            self.model = Model.prior(network.num_joints)

    def forward(self, crops: NDArray[np.uint8]) -> Any:
        """What the network finds in RGB crops [B, H, W, 3], and in their mirror images."""
        network: Any = self._network
        found = bottom_up.look(network, self._input(crops))
        if not self.flip:
            return found
        mirror_image = bottom_up.look(network, self._input(crops[:, :, ::-1]))
        return bottom_up.averaged(found, mirror_image, self._mirrored, crops.shape[2])

    def best(self, output: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The most likely place of every part on its own [B, K, 2], and its confidence [B, K]."""
        flat = output.scores.reshape(*output.scores.shape[:2], -1)  # [B, K, H' * W']
        best = flat.argmax(axis=2)[..., None]  # [B, K, 1]
        confidence = np.take_along_axis(flat, best, axis=2)[..., 0].astype(np.float64)
        places = output.points.reshape(*output.points.shape[:3], -1)  # [B, K, 2, H' * W']
        return np.take_along_axis(places, best[:, :, None], axis=3)[..., 0].astype(np.float64), confidence

    def detections(self, output: Any) -> list[JointDetections]:
        """Possible parts in every crop of a forward pass, scaled to people PERSON_HEIGHT tall."""
        return bottom_up.detections(output, self.person_height)

    def poses_from(self, image: NDArray[np.uint8]) -> Poses:
        """All people of an RGB image [H, W, 3], best score first, in continuous coordinates of the image."""
        poses = bottom_up.poses_from(
            self.forward,
            image,
            classes=len(self._checkpoint.joints),
            person_height=self.person_height,
            model=self.model,
        )
        return Poses(poses.joints[:, self._order], poses.confidence[:, self._order], poses.score)
