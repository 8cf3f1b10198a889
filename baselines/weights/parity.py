"""Whether a network has the outputs of the original, for weights and inputs drawn from seeds.

The names and shapes of a public checkpoint say which network it is; every weight is drawn from a generator seeded by
its name, so that the original network's outputs can be stored without its weights.
"""

import hashlib
import json
import math
import operator
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from baselines.weights import checkpoints
from baselines.weights.checkpoints import CheckpointError
from baselines.weights.recognition import recognise

TOLERANCE = 1e-4  # largest |difference| over largest |reference|
LARGEST = 1 << 29  # random numbers, 2 GB of them


@dataclass(frozen=True)
class Parity:
    """How far the outputs of the recognised network are from the reference."""

    family: str
    variant: str
    max_relative_difference: float


def seeded_weights(shapes: Mapping[str, tuple[int, ...]], seed: int) -> dict[str, Tensor]:
    """The weights of every name: counters 0, variances around 1, kernels scaled by their fan-in, float32."""
    weights = {}
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            weights[name] = torch.zeros(shape, dtype=torch.int64)
            continue
        digest = hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()
        draw = np.random.Generator(np.random.Philox(int(digest[:16], 16)))
        if name.endswith("running_var"):
            values = draw.uniform(0.5, 1.5, shape)
        elif name.endswith("running_mean"):
            values = draw.normal(0, 0.1, shape)
        elif len(shape) >= 2:
            values = draw.normal(0, np.sqrt(1 / np.prod(shape[1:])), shape)
        elif name.endswith("weight"):
            values = draw.uniform(0.5, 1, shape)
        else:
            values = draw.normal(0, 0.05, shape)
        weights[name] = torch.from_numpy(np.asarray(values, np.float32))
    return weights


def seeded_input(shape: tuple[int, ...], seed: int) -> Tensor:
    """Standard normal values, float32."""
    draw = np.random.Generator(np.random.Philox(seed))
    return torch.from_numpy(draw.normal(0, 1, shape).astype(np.float32))


def check(keys: Path, outputs: Path) -> Parity:
    """Recognise, build, fill and run the network of `keys`, and compare it with `outputs`. Raises CheckpointError.

    `keys` is JSON: {"state": {name: [shape, type]}, "state_seed", "input_shapes", "input_seeds"}; `outputs` a npz of
    the reference, `out` or `out0`, `out1` ... for a network of several stages.
    """
    shapes, seed, drawn, reference = _read(keys, outputs)
    found = recognise(shapes)
    with torch.device("meta"):  # nothing is allocated before names and shapes have been checked
        try:
            shadow = found.build()
        except (KeyError, ValueError, TypeError, RuntimeError, ZeroDivisionError) as error:
            raise CheckpointError("mismatch", f"no such {found.family} can be built ({error})") from error
        stand_ins = {name: torch.empty(shape) for name, shape in shapes.items()}
    checkpoints.check_names(shadow, found.convert(stand_ins))
    if (count := sum(math.prod(shape) for shape in shapes.values())) > LARGEST:
        raise CheckpointError("too_large", f"{count} weights; at most {LARGEST} are allowed")
    network = shadow.to_empty(device="cpu").eval()
    checkpoints.fill(network, found.convert(seeded_weights(shapes, seed)))
    inputs = [seeded_input(shape, number) for shape, number in drawn]
    if len(inputs[0].shape) == 4 and inputs[0].shape[1] != 3 and inputs[0].shape[-1] == 3:
        inputs[0] = inputs[0].permute(0, 3, 1, 2)  # [B, H, W, 3] to [B, 3, H, W]
    try:
        with torch.inference_mode():
            computed = outputs_of(network, inputs)
    except (RuntimeError, ValueError, TypeError) as error:
        sizes = ", ".join(str(list(shape)) for shape, _ in drawn)
        raise CheckpointError("input_size", f"the network does not take inputs of {sizes} ({error})") from error
    return Parity(found.family, found.variant, relative_difference(computed, reference))


def _read(
    keys: Path, outputs: Path
) -> tuple[dict[str, tuple[int, ...]], int, list[tuple[tuple[int, ...], int]], dict[str, NDArray[Any]]]:
    """Shapes by name, the seed of the weights, shapes and seeds of the inputs, and the reference. Raises
    CheckpointError."""
    try:
        description = json.loads(keys.read_text())
        shapes = {name: _shape(shape) for name, (shape, _) in description["state"].items()}
        inputs = zip(description["input_shapes"], description["input_seeds"], strict=True)
        drawn = [(_shape(shape), operator.index(seed)) for shape, seed in inputs]
        seed = operator.index(description["state_seed"])
        with np.load(outputs) as stored:
            reference = {name: stored[name].astype(np.float64) for name in stored.files}
        if not drawn or not reference:
            raise ValueError("no inputs or no outputs")
        if any(math.prod(shape) > LARGEST for shape, _ in drawn):
            raise ValueError("inputs too large")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise CheckpointError(
            "unreadable", f"{keys.name}, {outputs.name}: not a list of names and outputs ({error})"
        ) from error
    return shapes, seed, drawn, reference


def _shape(given: Any) -> tuple[int, ...]:
    """Sizes of a tensor. Raises TypeError or ValueError for what is none."""
    shape = tuple(operator.index(size) for size in given)
    if min(shape, default=1) < 1:
        raise ValueError(f"a shape of {list(shape)}")
    return shape


def outputs_of(network: nn.Module, inputs: list[Tensor]) -> NDArray[np.float32]:
    """All outputs of the network [B, stages, maps, H, W], with the background of belief maps."""
    run: Any = getattr(network, "beliefs", network)
    given: NDArray[np.float32] = run(*inputs).float().numpy()
    return given


def relative_difference(outputs: NDArray[np.float32], reference: Mapping[str, NDArray[Any]]) -> float:
    """Largest difference from the reference, relative to its largest value. Raises CheckpointError for other shapes."""
    names = sorted(reference, key=lambda name: (len(name), name))
    shapes = sorted({reference[name].shape for name in names})
    if len(shapes) > 1:
        raise CheckpointError("mismatch", f"the stages of the reference have several shapes: {shapes}")
    expected = reference[names[0]] if len(names) == 1 else np.stack([reference[name] for name in names], axis=1)
    compared = outputs[:, -1] if expected.ndim == 4 else outputs
    if compared.shape != expected.shape:
        message = f"the outputs have the shape {list(compared.shape)}, the reference {list(expected.shape)}"
        raise CheckpointError("mismatch", message)
    if not np.isfinite(expected).all() or not np.isfinite(compared).all():
        raise CheckpointError("mismatch", "the outputs or the reference are not finite")
    largest = float(np.abs(expected).max())
    difference = float(np.abs(compared - expected).max())
    return difference / largest if largest else difference
