"""Trains the person detector on rendered people, and measures its boxes: AP and recall at an IoU of 0.5."""

from __future__ import annotations

import json
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from baselines.mannequins import generate
from baselines.run import crops
from baselines.run.images import read_image
from baselines.run.person_detector import (  # fmt: skip
    INPUT_SIZE,
    MEAN,
    NAME,
    STD,
    STRIDE,
    VARIANT,
    DetectedPeople,
    Detector,
    Floats,
    build,
    described,
    fitted,
    load,
    overlaps,
)
from baselines.weights import checkpoints
from baselines.weights.checkpoints import Checkpoint

IOU = 0.5  # from which a box is correct
CLAIM: dict[str, Any] = {"dataset": "mannequins", "split": "test", "seed": 7, "images": 120, "metric": "box_ap50"}


@dataclass(frozen=True)
class Plan:
    """The recipe of a training."""

    images: int = 2000
    epochs: int = 12
    batch: int = 16
    learning_rate: float = 4e-3
    weight_decay: float = 1e-4
    seed: int = 0


def train(out: Path, plan: Plan, command: str, say: Callable[[str], object] = print) -> Checkpoint:
    """Train on rendered people and write the checkpoint to `out`. Deterministic on one CPU thread."""
    torch.manual_seed(plan.seed)
    rng = np.random.default_rng(plan.seed)
    network = build().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch), split="train", images=plan.images, seed=1)
        images, boxes = read(Path(scratch))
    cpu = time.process_time()
    steps = plan.epochs * -(-len(images) // plan.batch)
    optimiser = torch.optim.AdamW(network.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, plan.learning_rate, total_steps=steps, pct_start=0.15)
    for epoch in range(1, plan.epochs + 1):
        network.train()
        total = 0.0
        for pixels, targets, places in _batches(images, boxes, plan.batch, rng):
            loss = centre_loss(network(pixels), targets, places)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
            total += float(loss.detach()) * len(pixels)
        say(f"epoch {epoch}/{plan.epochs}: loss {total / len(images):.4f}, {time.process_time() - cpu:.0f} CPU s")
    out.mkdir(parents=True, exist_ok=True)
    weights, path = out / f"{NAME}-{VARIANT}.safetensors", out / f"{NAME}-{VARIANT}.json"
    training = {
        "command": command,
        "cpu_seconds": round(time.process_time() - cpu),
        "machine": platform.machine(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }
    digest = checkpoints.write_weights(network, weights)
    described(digest, weights.name, training, {}).write(path)
    ap, recall = measured(load(checkpoint=path))
    made = described(digest, weights.name, training, {**CLAIM, "value": round(ap, 4), "recall": round(recall, 4)})
    made.write(path)
    say(f"boxes on Mannequins {CLAIM['split']}, seed {CLAIM['seed']}: AP50 {ap:.4f}, recall {recall:.4f}")
    return made


def read(folder: Path) -> tuple[list[Image.Image], list[Floats]]:
    """The images of a rendered split, and the boxes [N, 4] of each, x, y, w, h."""
    truth = json.loads((folder / "annotations.json").read_text())
    of: dict[int, list[list[float]]] = {image["id"]: [] for image in truth["images"]}
    for person in truth["annotations"]:
        of[person["image_id"]].append(person["bbox"])
    images = [read_image(folder / "images" / image["file_name"]) for image in truth["images"]]
    return images, [np.array(of[image["id"]], float).reshape(-1, 4) for image in truth["images"]]


def centre_loss(maps: Tensor, targets: Tensor, places: list[tuple[NDArray[np.int64], NDArray[np.float32]]]) -> Tensor:
    """Focal loss of centres (equation 1) plus 0.5 times the absolute error of log sizes and of offsets (2 and 3).

    `maps` [B, 5, H', W']; `targets` [B, H', W'] are 1 at centres and fall off around; `places`: for each image the
    (v, u) [N, 2] of its centres and the targets there [N, 4]. Divided by the number of people.
    """
    logits = maps[:, 0]
    positive = targets == 1.0
    sure = logits.sigmoid()
    here = -F.logsigmoid(logits) * (1 - sure) ** 2 * positive
    elsewhere = -F.logsigmoid(-logits) * sure**2 * (1 - targets) ** 4
    loss = here.sum() + elsewhere.sum()
    for image, (at, wanted) in enumerate(places):
        if len(at):
            found = maps[image, 1:, at[:, 0], at[:, 1]].T  # [N, 4]
            loss = loss + 0.5 * F.l1_loss(found, torch.from_numpy(wanted), reduction="sum")
    return loss / max(1, sum(len(at) for at, _ in places))


def centre_targets(
    boxes: Floats, size: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]:
    """Boxes [N, 4] in the input as a centre map [H', W'], the places [N, 2] (v, u) and the targets there [N, 4].

    Around a centre the map falls off as a Gaussian whose width grows with the box.
    """
    width, height = size[0] // STRIDE, size[1] // STRIDE
    target = np.zeros((height, width), np.float32)
    centres = (boxes[:, :2] + boxes[:, 2:] / 2) / STRIDE  # [N, 2] x, y
    places = np.clip(np.floor(centres), 0, [width - 1, height - 1]).astype(np.int64)
    columns, rows = np.arange(width), np.arange(height)
    for (u, v), (w, h) in zip(places, boxes[:, 2:] / STRIDE, strict=True):
        spread = np.maximum(np.array([w, h]) / 10, 0.7)
        across = np.exp(-((columns - u) ** 2) / (2 * spread[0] ** 2))
        down = np.exp(-((rows - v) ** 2) / (2 * spread[1] ** 2))
        target = np.maximum(target, (down[:, None] * across[None]).astype(np.float32))
    target[places[:, 1], places[:, 0]] = 1.0
    wanted = np.concatenate([np.log(np.maximum(boxes[:, 2:], 1.0)), centres - places], axis=1)
    return target, places[:, ::-1].copy(), wanted.astype(np.float32)


def _batches(
    images: list[Image.Image], boxes: list[Floats], batch: int, rng: np.random.Generator
) -> Iterator[tuple[Tensor, Tensor, list[tuple[NDArray[np.int64], NDArray[np.float32]]]]]:
    """One pass in random order, each image mirrored, moved, scaled and recoloured at random."""
    mean, std = np.array(MEAN, np.float32), np.array(STD, np.float32)
    order = rng.permutation(len(images))
    for start in range(0, len(order), batch):
        pixels, targets, places = [], [], []
        for index in order[start : start + batch]:
            image = images[index]
            matrix = crops.turned(
                fitted(image.size), INPUT_SIZE, scale=float(rng.uniform(0.75, 1.3)), flip=bool(rng.random() < 0.5)
            )
            matrix[:, 2] += rng.normal(0.0, 0.08, size=2) * INPUT_SIZE
            light = (1.0 + rng.uniform(-0.25, 0.25, size=3)) / 255.0
            picture = np.asarray(crops.warp(image, matrix, INPUT_SIZE), np.float32) * light.astype(np.float32)
            pixels.append((np.clip(picture, 0, 1) - mean) / std)
            target, at, wanted = centre_targets(moved(boxes[index], matrix, INPUT_SIZE), INPUT_SIZE)
            targets.append(target)
            places.append((at, wanted))
        given = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)  # [B, 3, H, W]
        yield given.contiguous(memory_format=torch.channels_last), torch.from_numpy(np.stack(targets)), places


def moved(boxes: Floats, matrix: crops.Matrix, size: tuple[int, int]) -> Floats:
    """Boxes [N, 4] through a matrix without rotation, cut at the border of (width, height); boxes that lose more than
    half are left out."""
    corners = crops.apply(matrix, np.stack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1))  # [N, 2, 2]
    low, high = corners.min(axis=1), corners.max(axis=1)
    area = (high - low).prod(axis=1)
    low, high = np.clip(low, 0, size), np.clip(high, 0, size)
    inside = (high - low).prod(axis=1) > area / 2
    return np.concatenate([low, high - low], axis=1)[inside]


def measured(detector: Detector) -> tuple[float, float]:
    """AP and recall of boxes on the split of CLAIM."""
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch), split=CLAIM["split"], images=CLAIM["images"], seed=CLAIM["seed"])
        images, boxes = read(Path(scratch))
    found = [each for start in range(0, len(images), 16) for each in detector(images[start : start + 16])]
    return average_precision(found, boxes)


def average_precision(found: Sequence[DetectedPeople], truth: Sequence[Floats]) -> tuple[float, float]:
    """AP and recall at an IoU of 0.5 of one class, as in COCO: 101 recall levels, greedy from the best score."""
    rows = [
        (float(s), image, box)
        for image, each in enumerate(found)
        for s, box in zip(each.scores, each.boxes, strict=True)
    ]
    rows.sort(key=lambda row: -row[0])
    matched = [np.zeros(len(boxes), bool) for boxes in truth]
    right = np.zeros(len(rows), bool)
    for number, (_, image, box) in enumerate(rows):
        shared = np.where(matched[image], -1.0, overlaps(box[None], truth[image])[0])
        if len(shared) and shared.max() >= IOU:
            matched[image][shared.argmax()] = True
            right[number] = True
    people = sum(map(len, truth))
    recall = right.cumsum() / max(1, people)
    precision = right.cumsum() / np.arange(1, len(rows) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
    levels = [precision[i] if i < len(precision) else 0.0 for i in at]
    return float(np.mean(levels)), float(recall[-1]) if len(rows) else 0.0
