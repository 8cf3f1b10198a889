"""Reference pose estimators: their networks, and how they run on the images of a benchmark.

>>> from baselines import load, names
>>> names()[:3]
['jain2014', 'cpm', 'deepercut']

One file per baseline, in `baselines/models/`: the registry reads its MODEL card. The package imports the evaluator, and
nothing of the site; importing it does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from baselines.registry import architectures, module, names
    from baselines.run.loading import load

__all__ = ["architectures", "load", "module", "names"]

_HOMES = {"architectures": "registry", "load": "run.loading", "module": "registry", "names": "registry"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
