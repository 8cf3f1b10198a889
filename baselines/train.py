"""Training of heatmap networks on annotated people.

Two losses. `mse` is the squared error against Gaussians, summed over the stages, as in the papers. In `cross_entropy`
a softmax over each heatmap is compared with the Gaussian scaled to a distribution: it learns far faster on a small
budget.
"""

import csv
import json
import math
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from baselines import checkpoints, crops, heatmaps, module
from baselines.checkpoints import Checkpoint
from baselines.heatmap_estimator import choose_device
from evaluator import load_dataset

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LOSSES = ("mse", "cross_entropy")


@dataclass(frozen=True)
class Plan:
    """How to train. Angles in degrees."""

    epochs: int = 5
    batch: int = 16
    learning_rate: float = 4e-3
    weight_decay: float = 1e-4
    loss: str = "cross_entropy"
    sigma: float = 1.0
    padding: float = 1.25
    rotation: float = 15.0
    scale: float = 0.1
    colour: float = 0.25
    seed: int = 0


@dataclass(frozen=True)
class People:
    """Annotated people: images, the image [N] and box [N, 4] of each, joints [N, K, 2] in continuous coordinates, and
    weights [N, K], 0 where a joint is not annotated."""

    images: list[Image.Image]
    image_of: NDArray[np.int64]
    boxes: NDArray[np.float64]
    joints: NDArray[np.float64]
    weights: NDArray[np.float64]


def read_people(folder: Path, num_joints: int) -> People:
    """The people of `folder`/annotations.json with at least one annotated joint, and the images of `folder`/images."""
    truth = json.loads((folder / "annotations.json").read_text())
    index = {image["id"]: i for i, image in enumerate(truth["images"])}
    images = [crops.read_image(folder / "images" / image["file_name"]) for image in truth["images"]]
    people = [p for p in truth["annotations"] if any(v > 0 for v in p["keypoints"][2::3]) and not p.get("iscrowd")]
    triples = np.array([p["keypoints"] for p in people], float).reshape(-1, num_joints, 3)
    return People(
        images,
        np.array([index[p["image_id"]] for p in people]),
        np.array([p["bbox"] for p in people], float),
        crops.to_continuous(triples[..., :2]),
        (triples[..., 2] > 0).astype(float),
    )


def train(
    baseline: str,
    dataset: str,
    folder: Path,
    out: Path,
    *,
    variant: str | None,
    plan: Plan,
    device: str | None,
    command: str,
) -> Checkpoint:
    """Train a variant on the people of `folder` and write its checkpoint and a log of the losses to `out`.

    Deterministic on one CPU thread: the same seed, data and versions give the same weights.
    """
    definition, found = load_dataset(dataset), module(baseline)
    variant = variant or found.DEFAULT_VARIANT
    arguments = dict(found.VARIANTS[variant])
    size = arguments.pop("input_size")
    arguments.pop("joints", None)  # what the published network has; here it is the dataset's
    torch.manual_seed(plan.seed)
    rng = np.random.default_rng(plan.seed)
    where = choose_device(device)
    network: nn.Module = found.build(len(definition.joints), **arguments)
    network = network.to(where, memory_format=torch.channels_last)  # type: ignore[call-overload]
    people = read_people(folder, len(definition.joints))
    mirrored = heatmaps.flip_order(definition.joints, definition.flip_pairs)
    optimiser = torch.optim.AdamW(network.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay)
    steps = plan.epochs * math.ceil(len(people.boxes) / plan.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, plan.learning_rate, total_steps=steps, pct_start=0.15)
    out.mkdir(parents=True, exist_ok=True)
    started, cpu = time.monotonic(), time.process_time()
    with (out / f"{baseline}-{variant}.csv").open("w", newline="") as log:
        rows = csv.writer(log)
        rows.writerow(["epoch", "loss", "seconds"])
        for epoch in range(1, plan.epochs + 1):
            network.train()
            total = 0.0
            for images, targets, weights in _batches(people, size, plan, mirrored, rng):
                answer = network(images.to(where, memory_format=torch.channels_last))
                loss = _loss(plan.loss, answer, targets.to(where), weights.to(where))
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                optimiser.step()
                schedule.step()
                total += float(loss.detach()) * len(images)
            rows.writerow([epoch, round(total / len(people.boxes), 5), round(time.monotonic() - started, 1)])
            log.flush()
            print(f"epoch {epoch}/{plan.epochs}: loss {total / len(people.boxes):.4f}", flush=True)
    weights_file = out / f"{baseline}-{variant}.safetensors"
    checkpoint = Checkpoint(
        baseline=baseline,
        variant=variant,
        file=weights_file.name,
        sha256=checkpoints.write_weights(network, weights_file),
        joints=tuple(definition.joints),
        flip_pairs=tuple((a, b) for a, b in definition.flip_pairs),
        network=arguments,
        input_size=size,
        padding=plan.padding,
        mean=MEAN,
        std=STD,
        output="logits" if plan.loss == "cross_entropy" else "heatmaps",
        licence="Apache-2.0",
        source="trained from scratch by the command below",
        training={
            "command": command,
            "people": len(people.boxes),
            "cpu_seconds": round(time.process_time() - cpu),
            "device": where,
            "machine": platform.machine(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
    )
    checkpoint.write(out / f"{baseline}-{variant}.json")
    return checkpoint


def with_claim(checkpoint: Checkpoint, path: Path, claim: dict[str, Any]) -> None:
    """Write a checkpoint's description again, with the score it claims."""
    Checkpoint(**{**vars(checkpoint), "claim": claim}).write(path)


def _batches(
    people: People, size: tuple[int, int], plan: Plan, mirrored: list[int], rng: np.random.Generator
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """One pass in random order: images [B, 3, H, W], Gaussians [B, K, H/4, W/4], weights [B, K]."""
    order = rng.permutation(len(people.boxes))
    mean, std = np.array(MEAN, np.float32), np.array(STD, np.float32)
    for start in range(0, len(order), plan.batch):
        chosen = order[start : start + plan.batch]
        pixels = np.empty((len(chosen), size[1], size[0], 3), np.float32)
        joints = np.empty((len(chosen), *people.joints.shape[1:]))
        weights = np.empty((len(chosen), people.joints.shape[1]), np.float32)
        for row, person in enumerate(chosen):
            flip = bool(rng.random() < 0.5)
            matrix = crops.turned(
                crops.box_crop(tuple(people.boxes[person]), size, plan.padding),
                size,
                angle=math.radians(plan.rotation * float(np.clip(rng.normal(), -2, 2)) * (rng.random() < 0.6)),
                scale=float(np.clip(1.0 + plan.scale * rng.normal(), 0.6, 1.4)),
                flip=flip,
            )
            matrix[:, 2] += rng.normal(0.0, 0.02, size=2) * size
            picture = crops.warp(people.images[people.image_of[person]], matrix, size)
            light = 1.0 + rng.uniform(-plan.colour, plan.colour) + rng.uniform(-plan.colour, plan.colour, size=3) / 2
            pixels[row] = np.clip(np.asarray(picture, np.float32) * (light / 255.0).astype(np.float32), 0, 1)
            moved, weight = crops.apply(matrix, people.joints[person]), people.weights[person]
            joints[row], weights[row] = (moved[mirrored], weight[mirrored]) if flip else (moved, weight)
        inside = (joints >= 0).all(axis=-1) & (joints < np.array(size)).all(axis=-1)
        weights *= inside
        targets = heatmaps.gaussian_targets(joints / 4 - 0.5, weights, (size[0] // 4, size[1] // 4), plan.sigma)
        images = torch.from_numpy((pixels - mean) / std).permute(0, 3, 1, 2)  # [B, 3, H, W]
        yield images, torch.from_numpy(targets), torch.from_numpy(weights)


def _loss(kind: str, answer: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """The loss of heatmaps [B, stages, K, H, W], summed over stages, mean over annotated joints."""
    counted = weights.sum().clamp(min=1.0)
    if kind == "mse":
        squared = (answer - targets[:, None]).square().mean(dim=(-2, -1))  # [B, stages, K]
        return (squared * weights[:, None]).sum() / counted
    share = targets.flatten(2)
    share = share / share.sum(dim=-1, keepdim=True).clamp(min=1e-6)  # [B, K, H*W]
    surprise = -(F.log_softmax(answer.flatten(3), dim=-1) * share[:, None]).sum(dim=-1)  # [B, stages, K]
    return (surprise * weights[:, None]).sum() / counted
