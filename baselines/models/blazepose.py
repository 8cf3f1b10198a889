"""BlazePose, Bazarevsky et al. 2020 (arXiv 2006.10204): the landmark network with its published weights.

The weights are Google's (MediaPipe, Apache-2.0). They are not part of PoseBoard: `python -m baselines fetch
blazepose` takes them from a public package registry and checks their digests. The network looks at one person in 256
x 256 pixels and answers with 33 landmarks.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from baselines.decode.oks_nms import JOINT_THRESHOLD
from baselines.estimators.protocol import BaselineFailed, Poses

if TYPE_CHECKING:
    from evaluator import Dataset

TITLE = "BlazePose"
SOURCE = "Bazarevsky et al.: BlazePose: On-device Real-time Body Pose Tracking. CVPR Workshops 2020, arXiv 2006.10204"
LICENCE = "Apache-2.0 (MediaPipe, Google)"
INPUT_SIZE = (256, 256)  # width, height
PADDING = 1.25  # of the square around a person's box, as MediaPipe's own region of interest
DEFAULT_VARIANT = "full"
FOLDER = Path(os.environ.get("POSEBOARD_CHECKPOINTS", Path.home() / ".cache" / "poseboard"))


@dataclass(frozen=True)
class Weights:
    """A published file of weights. The costs were counted over the convolutions in it."""

    file: str
    sha256: str
    parameters: int
    gmacs: float


VARIANTS = {
    "lite": Weights(
        "pose_landmark_lite.tflite",
        "f17bfbecadb61c3be1baa8b8d851cc6619c870a87167b32848ad20db306b9d61",
        parameters=1_363_089,
        gmacs=0.1978,
    ),
    "full": Weights(
        "pose_landmark_full.tflite",
        "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
        parameters=3_169_489,
        gmacs=0.3861,
    ),
    "heavy": Weights(
        "pose_landmark_heavy.tflite",
        "59e42d71bcd44cbdbabc419f0ff76686595fd265419566bd4009ef703ea8e1fe",
        parameters=13_751_073,
        gmacs=1.9273,
    ),
}

# Landmarks of the network (Bazarevsky et al. 2020, figure 3): those that the datasets here have too.
LANDMARKS = {
    "nose": 0, "left_eye": 2, "right_eye": 5, "left_ear": 7, "right_ear": 8,
    "left_shoulder": 11, "right_shoulder": 12, "left_elbow": 13, "right_elbow": 14, "left_wrist": 15, "right_wrist": 16,
    "left_hip": 23, "right_hip": 24, "left_knee": 25, "right_knee": 26, "left_ankle": 27, "right_ankle": 28,
}  # fmt: skip
EARS, SHOULDERS, HIPS = [7, 8], [11, 12], [23, 24]
# Joints that it does not have lie on the line from the middle of the shoulders (0) to that of the ears (1).
NECK_SHARE, HEAD_TOP_SHARE = 0.15, 1.75
ALONG_THE_NECK = {
    "thorax": 0.0,
    "neck": NECK_SHARE,
    "upper_neck": NECK_SHARE,
    "head_top": HEAD_TOP_SHARE,
    "head": HEAD_TOP_SHARE,
}


def has_joint(name: str) -> bool:
    """Whether a joint can be had from the landmarks."""
    return name in LANDMARKS or name in ALONG_THE_NECK or name == "pelvis"


def joints_from_landmarks(
    landmarks: NDArray[np.float64], confidence: NDArray[np.float64], joints: tuple[str, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Landmarks [B, 33, 2] and their confidence [B, 33] as the named joints [B, K, 2] and [B, K].

    Raises BaselineFailed when a joint cannot be had from the landmarks.
    """
    shoulders, ears = landmarks[:, SHOULDERS].mean(axis=1), landmarks[:, EARS].mean(axis=1)
    places, sure = [], []
    for name in joints:
        if name in LANDMARKS:
            places.append(landmarks[:, LANDMARKS[name]])
            sure.append(confidence[:, LANDMARKS[name]])
        elif name in ALONG_THE_NECK:
            places.append(shoulders + ALONG_THE_NECK[name] * (ears - shoulders))
            sure.append(confidence[:, SHOULDERS + EARS].min(axis=1))
        elif name == "pelvis":
            places.append(landmarks[:, HIPS].mean(axis=1))
            sure.append(confidence[:, HIPS].min(axis=1))
        else:
            raise BaselineFailed("other_joints", f"BlazePose has no landmark for the joint {name}")
    return np.stack(places, axis=1), np.stack(sure, axis=1)


class BlazePose:
    """The landmark network as an estimator, on the CPU."""

    name, precision, device, batch = "blazepose", "float32", "cpu", 16
    input_size, padding, joint_threshold = INPUT_SIZE, PADDING, JOINT_THRESHOLD

    def __init__(self, variant: str, weights: bytes, joints: tuple[str, ...]) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.variant, self._joints = variant, joints
        self.parameters, self.gmacs = VARIANTS[variant].parameters, VARIANTS[variant].gmacs
        self.checkpoint_sha256 = VARIANTS[variant].sha256
        threads = int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
        self._interpreter = Interpreter(model_content=weights, num_threads=threads)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        outputs = {tuple(d["shape"].tolist()): d["index"] for d in self._interpreter.get_output_details()}
        self._landmarks, self._presence = outputs[1, 195], outputs[1, 1]

    def forward(self, crops: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Landmarks [B, 39, 5] of RGB crops [B, H, W, 3], and how sure it is that somebody is there [B]."""
        raw = np.empty((len(crops), 39, 5))
        present = np.empty(len(crops))
        for i, crop in enumerate(crops):
            self._interpreter.set_tensor(self._input, crop[None].astype(np.float32) / 255.0)
            self._interpreter.invoke()
            # x, y in pixels of the crop, depth, logits of being visible and of being inside
            raw[i] = self._interpreter.get_tensor(self._landmarks).reshape(39, 5)
            present[i] = float(self._interpreter.get_tensor(self._presence)[0, 0])
        return raw, present

    def decode(self, answer: tuple[NDArray[np.float64], NDArray[np.float64]]) -> Poses:
        """Poses of the people of a forward pass."""
        raw, present = answer
        # 33 landmarks of the body; the other 6 only serve MediaPipe's tracking
        confidence = 1.0 / (1.0 + np.exp(-np.clip(raw[:, :33, 3], -60.0, 60.0)))
        places, sure = joints_from_landmarks(raw[:, :33, :2], confidence, self._joints)
        return Poses(places, sure, np.clip(present, 0.0, 1.0) * sure.mean(axis=1))


def estimator(
    variant: str, dataset: Dataset, *, checkpoint: Path | None, checkpoints: Path | None, device: str | None
) -> BlazePose:
    """The network with its fetched weights. Raises BaselineFailed when they are not there or not the published ones."""
    weights = VARIANTS[variant]
    path = checkpoint or (checkpoints or FOLDER) / weights.file
    if not path.is_file():
        command = f"python -m baselines fetch blazepose --variant {variant} --to {path.parent}"
        raise BaselineFailed("no_checkpoint", f"the weights of BlazePose {variant} are not here: {command}")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != weights.sha256:
        raise BaselineFailed("checkpoint_digest", f"{path.name} is not the published file: its digest differs")
    return BlazePose(variant, content, tuple(dataset.joints))
