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
    """The names of the reference models that can run."""
    from baselines import registry

    return registry.names()


def cards() -> dict[str, Any]:
    """Every model's card by name (`baselines.registry.Card`), including those without weights."""
    from baselines import registry

    return registry.cards()


def variants_of(name: str) -> tuple[Any, ...]:
    """The variants of a baseline (`baselines.registry.Variant`), with what they cost once a baseline worker counted."""
    from baselines import registry

    return registry.variants(name, Path(settings.CHECKPOINTS_DIR))


def title_of(name: str, variant: str) -> str:
    """What people call a baseline of that name; the name in words where there is none any more."""
    about = cards().get(name)
    title = about.title if about else name.replace("_", " ").capitalize()
    return f"{title}, {variant}" if variant else title


def weights_of(name: str) -> list[dict[str, Any]]:
    """The weights of a baseline that ship, are fetched, or were registered, as `registry.weights` has them."""
    from baselines import registry

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
    return [*registry.weights(name), *registered]


def can_run_here() -> bool:
    """Whether this machine has torch; a site without it has no baseline worker."""
    return importlib.util.find_spec("torch") is not None


@dataclass(frozen=True)
class Runnable:
    """A baseline's variant, or with `checkpoint` weights that the operator registered. `why_not`: empty if it runs."""

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


def runnable(benchmark: Benchmark) -> list[Runnable]:
    """All weights on this machine, shipped, fetched or registered, and models that need none."""
    from baselines import registry

    dataset = load_dataset(benchmark.dataset)
    joints = dataset.joints
    found = [
        Runnable(each.baseline, each.variant, why_not=each.why_not)
        for each in registry.runnable(joints, Path(settings.CHECKPOINTS_DIR))
    ]
    for checkpoint in Checkpoint.objects.all():
        missing = "" if checkpoint.path.is_file() else "its file is missing from the checkpoints folder"
        why_not = registry.untrained(joints, checkpoint.joints) or missing
        found.append(Runnable(checkpoint.family, checkpoint.variant, checkpoint, why_not))
    if dataset.entry != "keypoints":
        return [replace(each, why_not=f"it predicts keypoints, not {dataset.entry}") for each in found]
    return found
