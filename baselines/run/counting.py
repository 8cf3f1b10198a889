"""What the networks cost, counted from the networks themselves and written where processes without torch read it."""

from __future__ import annotations

import json
import os
import tempfile
from functools import cache
from pathlib import Path

import torch

from baselines import registry
from baselines.devices import costs


@cache
def counted() -> dict[str, dict[str, tuple[int, float]]]:
    """(parameters, 1e9 multiply-accumulates) of every variant by baseline, with the published number of joints."""
    found: dict[str, dict[str, tuple[int, float]]] = {}
    for name, card in registry.cards().items():
        for variant, settings in card.variants.items():
            if not card.estimator:
                continue
            with torch.device("meta"):  # only shapes are wanted
                network = registry.module(name).build(settings.get("joints", 16), **card.arguments(variant))
            size = card.size(variant)
            found.setdefault(name, {})[variant] = costs.parameters(network), round(costs.gmacs(network, size), 4)
    return found


def write(folder: Path) -> Path:
    """Count, unless the folder has the counts of these models already, and write them at once or not at all."""
    target = folder / registry.COSTS
    if registry.counts(folder):
        return target
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"models": registry.models_sha256(), "costs": counted()}, indent=1)
    handle, partial = tempfile.mkstemp(dir=folder)
    with os.fdopen(handle, "w") as file:
        file.write(text + "\n")
    Path(partial).chmod(0o644)
    Path(partial).replace(target)
    return target
