"""A training as it was asked for: the model, the data, the recipe, the device and the files that come out."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from baselines import registry
from baselines.estimators.heatmap import choose_device
from baselines.protocol import BaselineFailed
from baselines.train.objectives import LOSSES
from baselines.train.recipes import OPTIMISERS, SCHEDULES, Recipe, training_of
from baselines.weights.checkpoints import sha256_of
from evaluator import Dataset, load_dataset

PRECISIONS = ("float32", "bf16", "fp16")
SAVE_SECONDS = 60.0  # between two writings of the state


@dataclass(frozen=True)
class Task:
    """What is trained, on which data, and where the files go. `size` is the input's (width, height)."""

    baseline: str
    variant: str
    dataset: Dataset
    annotations: Path
    folder: Path
    out: Path
    size: tuple[int, int]
    network: dict[str, Any]  # arguments of the architecture's build()
    recipe: Recipe
    device: str
    precision: str
    command: str = ""
    save_seconds: float = SAVE_SECONDS
    boxes: Path | None = None  # a detector's, on the training images, for the recipe's proposals

    @property
    def stem(self) -> Path:
        """The files of a training: this with .safetensors, .json, .csv, and .state while it runs."""
        return self.out / f"{self.baseline}-{self.variant}"

    def identity(self, people: int) -> str:
        """Digest of everything that must be equal for a training of so many people to resume from a state."""
        facts = {
            "baseline": self.baseline,
            "variant": self.variant,
            "network": self.network,
            "size": list(self.size),
            "dataset": self.dataset.name,
            "annotations": sha256_of(self.annotations),
            "people": people,
            "boxes": sha256_of(self.boxes) if self.boxes else "",
            "recipe": asdict(self.recipe),
            "precision": self.precision,
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def new_task(
    baseline: str,
    dataset: str,
    annotations: Path,
    folder: Path,
    out: Path,
    *,
    variant: str | None = None,
    recipe: dict[str, Any] | None = None,
    size: tuple[int, int] | None = None,
    device: str | None = None,
    precision: str | None = None,
    command: str = "",
    save_seconds: float = SAVE_SECONDS,
    boxes: Path | None = None,
) -> Task:
    """A training with the architecture's defaults, changed by `recipe`. Raises BaselineFailed for values that do not
    exist."""
    card, how = registry.card(baseline), training_of(baseline)
    variant = variant or ("narrow" if "narrow" in card.variants else card.default_variant)
    if variant not in card.variants:
        raise BaselineFailed("unknown_variant", f"{baseline} has no variant {variant!r}: {', '.join(card.variants)}")
    chosen = replace(how.recipe(variant), **(recipe or {}))
    for value, known, what in (
        (chosen.loss, LOSSES, "loss"),
        (chosen.optimiser, OPTIMISERS, "optimiser"),
        (chosen.schedule, SCHEDULES, "schedule"),
        (precision or PRECISIONS[0], PRECISIONS, "precision"),
    ):
        if value not in known:
            raise BaselineFailed(what, f"no {what} {value!r}: one of {', '.join(known)}")
    if not 0 <= chosen.validation < 1:
        raise BaselineFailed("validation", f"a share of {chosen.validation} of the images cannot be held out: 0 to 1")
    where = choose_device(device)
    return Task(
        baseline, variant, load_dataset(dataset), annotations, folder, out, size or card.size(variant),
        card.arguments(variant), chosen, where, precision or default_precision(where), command, save_seconds, boxes,
    )  # fmt: skip


def default_precision(device: str) -> str:
    """Half precision on a GPU, where it is faster: bfloat16 if the GPU supports it."""
    if not device.startswith("cuda"):
        return "float32"
    return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
