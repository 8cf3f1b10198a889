"""What a loaded baseline can do, and the error by which it reports that it cannot."""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

JOINT_THRESHOLD = 0.2  # of a heatmap's peak: joints below do not count (Xiao et al. 2018, Sun et al. 2019)


class BaselineFailed(RuntimeError):
    """A run that cannot give predictions. `code` is stable; `final` says that trying again would not help."""

    def __init__(self, code: str, message: str, *, final: bool = True) -> None:
        super().__init__(message)
        self.code, self.final = code, final


@dataclass(frozen=True)
class Poses:
    """People in crops: joints [B, K, 2] in continuous crop coordinates, confidence [B, K], score of the person [B]."""

    joints: NDArray[np.float64]
    confidence: NDArray[np.float64]
    score: NDArray[np.float64]


class Estimator(Protocol):
    """A network with its weights. Crops have the size `input_size` (width, height) and `padding` around the box.

    It may have `fill`, the RGB of a crop beyond the image (otherwise black), and `merges_poses`: pose NMS then merges
    the poses of one person that were found in several boxes. Otherwise OKS-NMS selects the best of them.
    """

    name: str
    variant: str
    input_size: tuple[int, int]
    padding: float
    joint_threshold: float  # joints with less confidence do not count for the score of a person
    batch: int
    device: str
    precision: str
    parameters: int
    gmacs: float
    checkpoint_sha256: str

    def forward(self, crops: NDArray[np.uint8]) -> Any:
        """The network's output for RGB crops [B, H, W, 3], which `decode` reads. One thread at a time calls it."""
        ...

    def decode(self, output: Any) -> Poses:
        """Poses of the people of a forward pass. It may run in another thread, during the next forward pass."""
        ...


@runtime_checkable
class BottomUpEstimator(Protocol):
    """A network that finds the people of a whole image by itself, without boxes: `isinstance` tells it from others.

    `input_size` (width, height) is what its cost was counted for; it accepts images of any size, one at a time.
    """

    name: str
    variant: str
    input_size: tuple[int, int]
    device: str
    precision: str
    parameters: int
    gmacs: float
    checkpoint_sha256: str

    def poses_from(self, image: NDArray[np.uint8]) -> Poses:
        """All people of an RGB image [H, W, 3], best score first, in continuous coordinates of the image.

        The arrays are empty where there are none. A joint that was not found is estimated from those that were, and has
        confidence 0.
        """
        ...
