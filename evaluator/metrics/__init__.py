"""The metrics, one file each, and nothing else. The folder is the registry: a file's name is the metric's.

A metric is a module with `TITLE`, `SOURCE`, `HIGHER_IS_BETTER`, `PARTS`, `INVARIANCES` and
`measure(annotations, predictions, dataset, *, names, ...) -> Tally`, whose further keywords a dataset's TOML passes.
Five more names where they differ:

- `UNIT`: the unit of its scores ("mm", "px"). Default "".
- `RANGE`: the lowest and the highest possible score, None where there is none. Default (0.0, 1.0), with a unit
  (None, None). A score without a unit is a fraction, shown in percent, if its range is (0.0, 1.0); otherwise it is a
  plain number.
- `ENTRY`: what a prediction holds (see `evaluator.dataset.ENTRIES`). Default "keypoints".
- `SCORES`: the names its scores may have, `*` for a positive number. By default it gives one score, of any name.
- `check(dataset, ...)`, with the further keywords of `measure`: what the loader calls once a dataset is read. It raises
  ValueError, "keyword: what is wrong", or DatasetDefinitionError for what the dataset lacks.

May import `evaluator.dataset`, `evaluator.poses`, the mathematics, `evaluator.surface`, `evaluator.reading` and
`evaluator.native`.
"""

from __future__ import annotations

import pkgutil
import re
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
    """What every file of this folder defines."""

    TITLE: str
    SOURCE: str
    HIGHER_IS_BETTER: bool
    PARTS: str  # what the parts consist of: a key of `PARTS`
    INVARIANCES: frozenset[str]  # keys of `INVARIANCES`
    SCORES: tuple[str, ...]  # left out by a metric of one score
    measure: Measure


PARTS: dict[str, str] = {
    "joints": "the dataset's `parts`",
    "joints and actions": "its `parts` and `actions`",
    "limbs": "its `limb_parts`",
    "none": "none: the metric scores `all` alone",
}

# Whatever does not hold for a metric has a counter-example in the tests.
INVARIANCES: dict[str, str] = {
    "translation": "moving annotations and predictions together changes nothing",
    "scale": "scaling annotations and predictions together changes nothing",
    "rotation": "rotating annotations and predictions together, by any angle, changes nothing",
    "mirror": "mirroring annotations and predictions, with left and right joints exchanged, changes nothing",
    "confidence": "the predicted confidences and scores do not matter",
    "rank": "only the order of the confidences and scores matters",
    "unannotated": "the position of a predicted joint that is not annotated in its image does not matter",
    "farther": "moving one predicted joint away from its annotation never improves a score",
    "perfect": "predicting the annotations themselves gives the best possible score",
    "nobody": "predicting no people gives the worst possible score",
}


def metric_names() -> list[str]:
    """The names of all metrics, in alphabetical order."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load_metric(name: str) -> Metric:
    """The metric of this name; KeyError with the known names when there is none."""
    if name not in metric_names():
        raise KeyError(f"no metric {name!r}: one of {', '.join(metric_names())}")
    module: Any = import_module(f"{__name__}.{name}")
    return module


def offers(metric: Metric, score: str) -> bool:
    """Whether a metric may be asked for a score of this name."""
    names = getattr(metric, "SCORES", None)
    patterns = [re.escape(name).replace(r"\*", r"(?!0+\.?0*$)\d+(\.\d+)?") for name in names or ()]
    return names is None or any(re.fullmatch(pattern, score) for pattern in patterns)
