"""The metrics: one file each. The folder is the registry and the file name the slug.

A metric is a module with `TITLE`, `SOURCE`, `HIGHER_IS_BETTER`, `PARTS`, `INVARIANCES` and
`measure(annotations, predictions, dataset, *, names, ...) -> Tally`, whose further keywords a dataset's TOML passes.
Three more where they differ: `ENTRY`, what an entry must give of a person ("keypoints" unless said, see
`evaluator.dataset.ENTRIES`); `UNIT`, that of the scores ("mm", "px"; "" unless said); and `RANGE`, the lowest and
the highest score that there can be, None where there is none: (0.0, 1.0) unless said, and (None, None) with a unit.
Without a unit a score in the range (0.0, 1.0) is a fraction, which is shown in percent, and any other a plain number,
which is shown as it is.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evaluator.dataset import Dataset
    from evaluator.poses import Annotations, Predictions
    from evaluator.tally import Tally


class Measure(Protocol):
    def __call__(
        self,
        annotations: Annotations,
        predictions: Predictions,
        dataset: Dataset,
        *,
        names: Sequence[str],
        **parameters: Any,
    ) -> Tally: ...


class Metric(Protocol):
    """What a file of this folder defines. `INVARIANCES` are words of `evaluator.metrics.INVARIANCES`."""

    TITLE: str
    SOURCE: str
    HIGHER_IS_BETTER: bool
    PARTS: str  # of what the dataset's parts consist: "joints", "limbs", "joints and actions" or "none"
    INVARIANCES: frozenset[str]
    measure: Measure


# What does not hold for a metric has a counter-example in tests/evaluator/test_counter_examples.py.
INVARIANCES: dict[str, str] = {
    "translation": "moving annotations and predictions together changes nothing",
    "scale": "scaling annotations and predictions together changes nothing",
    "rotation": "turning annotations and predictions together, by any angle, changes nothing",
    "mirror": "mirroring annotations and predictions, left and right joints exchanged, changes nothing",
    "confidence": "the predicted confidences and scores do not matter",
    "rank": "only the order of the confidences and scores matters",
    "unannotated": "where a predicted joint lies that nobody annotated in its image does not matter",
    "farther": "moving one predicted joint away from its annotation never improves a score",
    "perfect": "predicting the annotations themselves gives the best score that there is",
    "nobody": "predicting nobody gives the worst score that there is",
}


def metric_names() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load_metric(name: str) -> Metric:
    """The metric of this name; KeyError with the known names when there is none."""
    if name not in metric_names():
        raise KeyError(f"no metric {name!r}: one of {', '.join(metric_names())}")
    module: Any = import_module(f"{__name__}.{name}")
    return module
