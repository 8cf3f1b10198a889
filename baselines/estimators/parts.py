"""DeeperCut as an estimator: of the person in a crop, and of all people of a whole image.

In an image, pairwise terms group joints into people (`bottom_up`); in a crop they do so, too, and the person whom it
was cut out for is taken (`crop_grouping`). Without grouping it is the best place of every part, refined by its offset:
this is how the paper scores its detectors alone, where one person is known to be there.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from baselines.decode.grouping import Detections, Model
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
        self.sees_ways = network.pairs is not None
        if self.model is None and self.sees_ways:
            self.model = Model.prior(network.num_joints)

    def forward(self, crops: NDArray[np.uint8]) -> Any:
        """What the network finds in RGB crops [B, H, W, 3], and in their mirror images."""
        network: Any = self._network
        seen = bottom_up.look(network, self._input(crops))
        if not self.flip:
            return seen
        mirror_image = bottom_up.look(network, self._input(crops[:, :, ::-1]))
        return bottom_up.averaged(seen, mirror_image, self._mirrored, crops.shape[2])

    def best(self, answer: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Where every part is most likely, on its own [B, K, 2], and how likely [B, K]."""
        flat = answer.scores.reshape(*answer.scores.shape[:2], -1)  # [B, K, H' * W']
        best = flat.argmax(axis=2)[..., None]  # [B, K, 1]
        confidence = np.take_along_axis(flat, best, axis=2)[..., 0].astype(np.float64)
        places = answer.points.reshape(*answer.points.shape[:3], -1)  # [B, K, 2, H' * W']
        return np.take_along_axis(places, best[:, :, None], axis=3)[..., 0].astype(np.float64), confidence

    def detections(self, answer: Any) -> list[Detections]:
        """What may be a part, in every crop of a forward pass, where a person is PERSON_HEIGHT tall."""
        return bottom_up.detections(answer, self.person_height)

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
