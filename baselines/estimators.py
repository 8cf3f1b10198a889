"""What a loaded baseline can do, and how it says that it cannot."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


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
    """A network with its weights. Crops have the size `input_size` (width, height) and `padding` around the box."""

    name: str
    variant: str
    input_size: tuple[int, int]
    padding: float
    batch: int
    device: str
    precision: str
    parameters: int
    gmacs: float
    checkpoint_sha256: str

    def forward(self, crops: NDArray[np.uint8]) -> Any:
        """What the network says of RGB crops [B, H, W, 3], for `decode`. One thread at a time calls it."""
        ...

    def decode(self, answer: Any) -> Poses:
        """Poses of the people of a forward pass. It may run in another thread, beside the next forward pass."""
        ...
