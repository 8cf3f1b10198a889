"""What the networks cost, counted from the networks themselves and written where processes without torch read it."""

from __future__ import annotations

import json
import os
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

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
            with torch.device("meta"):  # only shapes are needed
                network = registry.module(name).build(settings.get("joints", 16), **card.arguments(variant))
            size = card.size(variant)
            found.setdefault(name, {})[variant] = costs.parameters(network), round(costs.gmacs(network, size), 4)
    return found


def listed() -> list[dict[str, Any]]:
    """A row for every variant: name, variant, parameters, gmacs, input_size, source."""
    rows: list[dict[str, Any]] = []
    for name, card in registry.cards().items():
        for each in registry.variants(name):
            known = (each.parameters, each.gmacs) if each.parameters is not None else None
            parameters, gmacs = known or counted().get(name, {}).get(each.name, (0, 0.0))
            about = {"parameters": parameters, "gmacs": gmacs, "input_size": list(each.input_size)}
            rows.append({"name": name, "variant": each.name, **about, "source": str(card.citation)})
    return rows


def write(folder: Path) -> Path:
    """Count, unless the folder already has the counts of these models, and write the file atomically."""
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
