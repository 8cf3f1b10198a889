"""What can be run on a benchmark: the reference models, their weights, and why some cannot. Imports no torch."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from django.conf import settings

from evaluator import load_dataset
from leaderboard.models import Benchmark, Checkpoint


def available() -> list[str]:
    """The names of the reference models. Does not import torch, so the web process may ask."""
    import baselines

    return list(baselines.names())


def catalogue() -> dict[str, Any]:
    """Every architecture by name (`baselines.registry.Architecture`), those without weights, too. Imports no torch."""
    from baselines.registry import catalogue as read

    return dict(read())


def title_of(name: str, variant: str) -> str:
    """What people call a baseline of that name; the name in words where there is none any more."""
    about = catalogue().get(name)
    title = about.title if about else name.replace("_", " ").capitalize()
    return f"{title}, {variant}" if variant else title


def weights_of(name: str) -> list[dict[str, Any]]:
    """The weights of a baseline that ship, are fetched, or were registered, as `registry.weights` has them."""
    from baselines.registry import weights

    registered = [
        {
            "variant": each.variant,
            "sha256": each.sha256,
            "licence": each.licence,
            "source": each.source,
            "how": f"registered here as checkpoint {each.pk}",
            "claim": {},
        }
        for each in Checkpoint.objects.filter(family=name)
    ]
    return [*weights(name), *registered]


def can_run_here() -> bool:
    """Whether this machine has torch; a site without it has no baseline worker."""
    return importlib.util.find_spec("torch") is not None


@dataclass(frozen=True)
class Choice:
    """Weights that could be run: `why_not` is empty when they can. `checkpoint`: those that the operator registered."""

    baseline: str
    variant: str
    checkpoint: Checkpoint | None = None
    why_not: str = ""

    def __str__(self) -> str:
        which = f" with checkpoint {self.checkpoint.pk}" if self.checkpoint else ""
        return f"{self.baseline} {self.variant}{which}"

    @property
    def key(self) -> str:
        """What a form calls it."""
        return f"checkpoint {self.checkpoint.pk}" if self.checkpoint else f"{self.baseline} {self.variant}"

    @property
    def title(self) -> str:
        """What people call it."""
        title = title_of(self.baseline, self.variant)
        return (
            f"{title}, weights {self.checkpoint.sha256[:8]} (checkpoint {self.checkpoint.pk})"
            if self.checkpoint
            else title
        )


def choices(benchmark: Benchmark) -> list[Choice]:
    """All weights on this machine: those that ship, were fetched or registered."""
    from baselines import registry

    dataset = load_dataset(benchmark.dataset)
    joints = dataset.joints
    found = [
        Choice(each.baseline, each.variant, why_not=each.why_not)
        for each in registry.choices(joints, Path(settings.CHECKPOINTS_DIR))
    ]
    for checkpoint in Checkpoint.objects.all():
        gone = "" if checkpoint.path.is_file() else "its file is not in the folder of checkpoints"
        why_not = registry.untrained(joints, checkpoint.joints) or gone
        found.append(Choice(checkpoint.family, checkpoint.variant, checkpoint, why_not))
    if dataset.entry != "keypoints":
        return [replace(each, why_not=f"it predicts keypoints, not {dataset.entry}") for each in found]
    return found
