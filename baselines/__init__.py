"""Reference pose estimators: their networks, and how they run on the images of a benchmark.

>>> from baselines import load, names
>>> names()[:3]
['jain2014', 'cpm', 'deepercut']

One file a baseline; it has TITLE, SOURCE, VARIANTS, DEFAULT_VARIANT and `estimator(...)`. `architectures()` has those
without weights, too. Importing this package does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from baselines.estimators.protocol import Estimator

__all__ = ["architectures", "load", "module", "names"]

_ARCHITECTURES = (  # oldest paper first
    "jain2014",
    "cpm",
    "deepercut",
    "stacked_hourglass",
    "multi_context_attention",
    "pyranet",
    "rmpe",
    "simple_baseline",
    "hrnet",
    "blazepose",
)
_FETCHED = ("blazepose",)


def names() -> list[str]:
    """The baselines that can run, with weights that ship (checkpoints/NAME-VARIANT.json) or can be fetched, oldest
    paper first."""
    shipped = {file.stem.rpartition("-")[0] for file in (Path(__file__).parent / "checkpoints").glob("*-*.json")}
    return [name for name in _ARCHITECTURES if name in shipped or name in _FETCHED]


def architectures() -> list[str]:
    """All networks, with and without weights, oldest paper first; those without need a checkpoint to run."""
    return list(_ARCHITECTURES)


def module(name: str) -> ModuleType:
    """The module of an architecture. Raises BaselineFailed for an unknown name."""
    if name not in _ARCHITECTURES:
        from baselines.estimators.protocol import BaselineFailed

        raise BaselineFailed("unknown_baseline", f"there is no baseline {name!r}: one of {', '.join(_ARCHITECTURES)}")
    return import_module(f"baselines.models.{name}")


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
    weights; `device` a torch device (a GPU when there is one, else the CPU). Raises BaselineFailed.
    """
    from baselines.estimators.protocol import BaselineFailed
    from evaluator import load_dataset

    found = module(name)
    if not hasattr(found, "estimator"):
        raise BaselineFailed(
            "no_checkpoint", f"{name} is here as a network; there are no weights that it could run with"
        )
    chosen = variant or found.DEFAULT_VARIANT
    if chosen not in found.VARIANTS and checkpoint is None:  # a checkpoint says itself which network it is for
        known = ", ".join(found.VARIANTS)
        raise BaselineFailed("unknown_variant", f"{name} has no variant {chosen!r}: one of {known}")
    made: Estimator = found.estimator(
        chosen, load_dataset(dataset), checkpoint=checkpoint, checkpoints=checkpoints, device=device
    )
    return made
