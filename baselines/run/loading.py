"""A baseline with its weights, ready to predict: the model's network, a checkpoint, and the estimator around them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from baselines import registry
from baselines.estimators.heatmap import HeatmapEstimator, choose_device
from baselines.estimators.parts import PartEstimator
from baselines.protocol import BaselineFailed, Estimator
from baselines.registry import Card
from baselines.weights import checkpoints as stored
from baselines.weights.checkpoints import Checkpoint, CheckpointError
from baselines.weights.recognition import recognise, shapes_of
from evaluator import Dataset, load_dataset

# What a card's `estimator` may name.
ESTIMATORS: dict[str, type[HeatmapEstimator]] = {"heatmaps": HeatmapEstimator, "parts": PartEstimator}


def load(
    name: str,
    dataset: str,
    *,
    variant: str | None = None,
    checkpoint: Path | None = None,
    checkpoints: Path | None = None,
    device: str | None = None,
) -> Estimator:
    """A baseline with its weights, ready to predict the joints of `dataset`.

    `checkpoint` is the JSON of a checkpoint to use instead of the one that ships; `checkpoints` the folder of fetched
    weights; `device` a torch device (a GPU when there is one, otherwise the CPU). Raises BaselineFailed.
    """
    card = registry.card(name)
    chosen = variant or card.default_variant
    # a checkpoint names its own network, listed or not
    if chosen not in ("", *card.variant_names) and checkpoint is None:
        known = ", ".join(card.variant_names)
        raise BaselineFailed("unknown_variant", f"{name} has no variant {chosen!r}: one of {known}")
    if card.estimator:
        return _with_checkpoint(card, chosen, load_dataset(dataset), checkpoint, device)
    made: Estimator = registry.module(name).estimator(
        chosen, load_dataset(dataset), checkpoint=checkpoint, checkpoints=checkpoints, device=device
    )
    return made


def _with_checkpoint(
    card: Card, variant: str, dataset: Dataset, checkpoint: Path | None, device: str | None
) -> HeatmapEstimator:
    """A network with the given checkpoint, or the one that ships with the variant. Raises BaselineFailed."""
    name = card.name
    try:
        found = Checkpoint.read(checkpoint) if checkpoint else stored.shipped(name, variant)
        if found is None:
            message = f"{name} {variant} has no checkpoint here: register one, or choose a variant that has one"
            raise BaselineFailed("no_checkpoint", message)
        if found.baseline != name:
            raise CheckpointError("mismatch", f"{found.file} is for {found.baseline}, not for {name}")
        if untrained := registry.untrained(dataset.joints, found.joints):
            raise BaselineFailed("other_joints", f"{name} {variant}: {untrained}")
        network = registry.module(name).build(len(found.joints), **found.network)
        stored.fill(network, _weights(found, checkpoint.parent if checkpoint else stored.FOLDER))
    except CheckpointError as error:
        raise BaselineFailed(f"checkpoint_{error.code}", str(error)) from error
    order = [found.joints.index(joint) for joint in dataset.joints]
    options: dict[str, Any] = {"pose_nms": card.pose_nms}
    return ESTIMATORS[card.estimator](network, found, order, choose_device(device), **options)


def _weights(checkpoint: Checkpoint, folder: Path) -> dict[str, Tensor]:
    """The weights of a checkpoint under our names. Raises CheckpointError."""
    weights = stored.read_weights(folder / checkpoint.file, checkpoint.sha256)
    return recognise(shapes_of(weights)).convert(weights) if checkpoint.public else weights
