"""What the evaluator's metric modules say about themselves."""

from __future__ import annotations

import importlib
import inspect
from dataclasses import dataclass

from evaluator.metrics import INVARIANCES


@dataclass(frozen=True)
class MetricCard:
    """A metric as its file in the evaluator describes it."""

    metric: str
    title: str
    source: str
    text: str
    higher_is_better: bool
    invariances: tuple[tuple[str, bool], ...]  # what could hold, and whether it does


def card_of(metric: str) -> MetricCard:
    """The title, source and docstring of a metric's module."""
    module = importlib.import_module(f"evaluator.metrics.{metric}")
    text = inspect.getdoc(module) or ""
    return MetricCard(
        metric=metric,
        title=str(getattr(module, "TITLE", metric)),
        source=str(getattr(module, "SOURCE", "")),
        text=text,
        higher_is_better=bool(getattr(module, "HIGHER_IS_BETTER", True)),
        invariances=tuple((meaning, word in module.INVARIANCES) for word, meaning in INVARIANCES.items()),
    )
