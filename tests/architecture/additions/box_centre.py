"""Centre: every joint in the middle of the person's box. It has no network and needs no weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from baselines.protocol import Poses
from evaluator import Dataset

MODEL = {
    "title": "Centre",
    "citation": {"authors": ("Author",), "title": "One file", "venue": "Tests", "year": 2026, "url": "https://x.org"},
    "weights": "none",
    "summary": "Predicts the middle of the person's box for every joint.",
}


class Centre:
    name, variant, device, precision, checkpoint_sha256 = "box_centre", "", "cpu", "none", ""
    input_size, padding, batch, parameters, gmacs, joint_threshold = (32, 32), 1.0, 64, 0, 0.0, 0.0

    def __init__(self, joints: int) -> None:
        self.joints = joints

    def forward(self, crops: NDArray[np.uint8]) -> int:
        return len(crops)

    def decode(self, people: int) -> Poses:
        return Poses(np.full((people, self.joints, 2), 16.0), np.ones((people, self.joints)), np.ones(people))


def estimator(variant: str, dataset: Dataset, **_: Any) -> Centre:
    return Centre(len(dataset.joints))
