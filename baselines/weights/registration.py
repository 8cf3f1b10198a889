"""A public file of weights as a checkpoint that can run here: which network it is for, and how its images are prepared.

The names and shapes of the weights tell the network (`recognition`). How images are prepared is not in the file: the
model's card has it for every toolkit whose names the weights may have.
"""

import copy
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn

from baselines import registry
from baselines.weights import checkpoints
from baselines.weights.checkpoints import Checkpoint, CheckpointError
from baselines.weights.recognition import Recognised, recognise, shapes_of
from evaluator import DatasetDefinitionError, load_dataset

LARGEST_INPUT = 2048  # pixels of a side
Channels = tuple[float, float, float]


@dataclass(frozen=True)
class Preparation:
    """How images are prepared, and maps read, for a public form: fields of `Checkpoint`."""

    mean: Channels
    std: Channels
    padding: float = 1.25
    bgr: bool = False
    fill: tuple[int, int, int] = (0, 0, 0)
    origin: float = 0.5
    flip_shift: bool = False
    scales: tuple[float, ...] = (1.0,)
    finer: int = 1
    decoding: str = "quarter"
    flip: bool = True


def preparation(found: Recognised) -> Preparation:
    """That of a recognised network, from its model's card."""
    return Preparation(
        **{k: v for k, v in registry.card(found.family).public_forms[found.form].items() if k != "joints"}
    )


def describe(
    path: Path,
    *,
    licence: str,
    source: str,
    sha256: str | None = None,
    joints: str | None = None,
    input_size: tuple[int, int] | None = None,
) -> Checkpoint:
    """The description of a file of weights, after the weights have been loaded into the network that they are for.

    `sha256`: the digest that its source states. `joints`: the joints that the network predicts (a dataset, or names
    separated by commas), where their number does not tell. `input_size`: (width, height), where it is not that of the
    paper. Raises CheckpointError.
    """
    checkpoints.check_size(path)
    digest = checkpoints.sha256_of(path)
    weights = checkpoints.read_weights(path, sha256.lower() if sha256 else digest)
    found = recognise(shapes_of(weights))
    with torch.device("meta"):
        shadow = found.build().eval()
    checkpoints.fill(copy.deepcopy(shadow).to_empty(device="cpu"), found.convert(weights))
    names = _joints(found, joints)
    size = input_size or _input_size(found)
    _check_size(shadow, size)
    return Checkpoint(
        baseline=found.family,
        variant=found.variant,
        file=path.name,
        sha256=digest,
        joints=names,
        flip_pairs=_flip_pairs(names),
        network=found.arguments,
        input_size=size,
        output="heatmaps",
        licence=licence,
        source=source,
        public=True,
        **asdict(preparation(found)),
    )


def _check_size(shadow: nn.Module, size: tuple[int, int]) -> None:
    """Raise CheckpointError unless the network accepts images of (width, height); only shapes are computed."""
    try:
        if not 32 <= min(size) <= max(size) <= LARGEST_INPUT:
            raise ValueError(f"32 to {LARGEST_INPUT} pixels")
        with torch.no_grad():
            shadow(torch.empty(1, 3, size[1], size[0], device="meta"))
    except (ValueError, RuntimeError) as error:
        message = f"the network does not take {size[0]} x {size[1]} pixels ({error})"
        raise CheckpointError("input_size", message) from error


def _joints(found: Recognised, wanted: str | None) -> tuple[str, ...]:
    """The joints that the network predicts, in its order."""
    if wanted is None:
        released: tuple[str, ...] = registry.card(found.family).public_forms[found.form].get("joints", ())
        if found.num_joints == len(released):
            return released
        known = {17: "coco", 16: "mpii"}.get(found.num_joints)
        if known is None:
            raise CheckpointError("joints", f"which joints are its {found.num_joints}? Name them, or their dataset")
        return tuple(load_dataset(known).joints)
    if "," in wanted:
        names = tuple(name.strip() for name in wanted.split(","))
    else:
        try:
            names = tuple(load_dataset(wanted).joints)
        except DatasetDefinitionError as error:
            raise CheckpointError("joints", f"there is no dataset {wanted}") from error
    if len(names) != found.num_joints or len(set(names)) != len(names):
        raise CheckpointError("joints", f"{len(set(names))} joints are named, the network has {found.num_joints}")
    return names


def _flip_pairs(names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """The left and the right one of each pair, by their names."""
    lefts = [name for name in names if name.startswith("left_")]
    return tuple((name, "right_" + name[5:]) for name in lefts if "right_" + name[5:] in names)


def _input_size(found: Recognised) -> tuple[int, int]:
    """(width, height): that of the listed variant with these joints, otherwise 256 x 256 for MPII's joints and the
    paper's for others."""
    card = registry.card(found.family)
    settings = card.variants.get(found.variant)
    if settings is not None and settings.get("joints", found.num_joints) == found.num_joints:
        return card.size(found.variant)
    return (256, 256) if found.num_joints == 16 else card.input_size
