"""Convolutional Pose Machines as published, as Caffe networks, run by OpenCV's reader of such files.

The definition is written from figure 2 of the paper with the authors' layer names; the weights go into a file of
Caffe's binary form, reduced to names, shapes and floats.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from torch import Tensor


def definition(weights: Mapping[str, Tensor], size: tuple[int, int]) -> tuple[str, list[str]]:
    """The network as text, for images of (width, height), and the names of its stages' belief maps."""
    lines: list[str] = []
    for name, channels in (("image", 3), ("center_map", 1)):
        dims = " ".join(f"input_dim: {dim}" for dim in (1, channels, size[1], size[0]))
        lines.append(f'input: "{name}" {dims}')

    def layer(name: str, kind: str, bottoms: list[str], parameters: str) -> str:
        sources = " ".join(f'bottom: "{bottom}"' for bottom in bottoms)
        lines.append(f'layer {{ name: "{name}" type: "{kind}" {sources} top: "{name}" {parameters} }}')
        return name

    def convolution(name: str, bottom: str, *, activate: bool = True) -> str:
        outputs, _, kernel, _ = weights[f"{name}.weight"].shape
        parameters = f"convolution_param {{ num_output: {outputs} pad: {kernel // 2} kernel_size: {kernel} }}"
        made = layer(name, "Convolution", [bottom], parameters)
        return layer(f"{name}_relu", "ReLU", [made], "") if activate else made

    def pooling(name: str, bottom: str, kind: str, kernel: int, stride: int) -> str:
        parameters = f"pooling_param {{ pool: {kind} kernel_size: {kernel} stride: {stride} }}"
        return layer(name, "Pooling", [bottom], parameters)

    def trunk(stage: int) -> str:
        at = "image"
        for number in (1, 2, 3):
            at = convolution(f"conv{number}_stage{stage}", at)
            at = pooling(f"pool{number}_stage{stage}", at, "MAX", 3, 2)
        return at

    at = trunk(1)
    for number in (4, 5, 6):
        at = convolution(f"conv{number}_stage1", at)
    beliefs = [convolution("conv7_stage1", at, activate=False)]
    stages = max([int(name.split("stage")[1].split(".")[0]) for name in weights])
    if stages > 1:
        shared, centre = trunk(2), pooling("pool_center_lower", "center_map", "AVE", 9, 8)
    for stage in range(2, stages + 1):
        own = convolution("conv4_stage2" if stage == 2 else f"conv1_stage{stage}", shared)
        at = layer(f"concat_stage{stage}", "Concat", [own, beliefs[-1], centre], "concat_param { axis: 1 }")
        for number in (1, 2, 3, 4):
            at = convolution(f"Mconv{number}_stage{stage}", at)
        beliefs.append(convolution(f"Mconv5_stage{stage}", at, activate=False))
    return "\n".join(lines), beliefs


def binary(weights: Mapping[str, Tensor]) -> bytes:
    """The weights by layer in Caffe's binary form (a protocol buffer: NetParameter, LayerParameter, BlobProto)."""
    content = b""
    for name in dict.fromkeys(key.rpartition(".")[0] for key in weights):
        blobs = [weights[f"{name}.{kind}"].numpy().astype("<f4") for kind in ("weight", "bias")]
        parts = [_bytes(1, name.encode()), _bytes(2, b"Convolution")]
        for blob in blobs:
            shape = _bytes(7, _bytes(1, b"".join(_varint(size) for size in blob.shape)))
            parts.append(_bytes(7, _bytes(5, blob.tobytes()) + shape))
        content += _bytes(100, b"".join(parts))
    return content


def _varint(value: int) -> bytes:
    found = b""
    while value > 127:
        found += struct.pack("B", value % 128 + 128)
        value //= 128
    return found + struct.pack("B", value)


def _bytes(field: int, content: bytes) -> bytes:
    """A field that holds bytes."""
    return _varint(8 * field + 2) + _varint(len(content)) + content


def run(weights: Mapping[str, Tensor], images: Tensor, centre: Tensor, folder: Path) -> dict[str, np.ndarray]:
    """Belief maps `out0`, `out1` ... of all stages."""
    import cv2  # type: ignore[import-not-found]

    text, beliefs = definition(weights, (images.shape[3], images.shape[2]))
    (folder / "network.prototxt").write_text(text)
    (folder / "network.caffemodel").write_bytes(binary(weights))
    network = cv2.dnn.readNetFromCaffe(str(folder / "network.prototxt"), str(folder / "network.caffemodel"))
    network.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
    network.enableWinograd(False)
    network.setInput(images.numpy(), "image")
    if len(beliefs) > 1:
        network.setInput(centre.numpy(), "center_map")
    return {f"out{stage}": np.asarray(value) for stage, value in enumerate(network.forward(beliefs))}
