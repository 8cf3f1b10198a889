"""What a metric measured, image by image, and the scores it gives for any weighting of the images."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from evaluator.poses import Floats, Integers


@dataclass(frozen=True)
class Score:
    """One number of a report, a fraction unless its metric has a unit; `low` and `high` bound its 95% interval where
    there is one."""

    metric: str
    part: str
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Evidence:
    """The amount of data behind a score, of which an interval needs enough."""

    images: float
    hits: float
    misses: float


class Tally(Protocol):
    """What every metric returns. `columns` names the scores; a value is NaN where nothing was annotated for it."""

    @property
    def images(self) -> int:
        """I, the images that can be weighted, in the order of the annotations' image ids."""
        ...

    @property
    def columns(self) -> tuple[tuple[str, str], ...]:
        """(metric, part) of each of the S scores."""
        ...

    def values(self, weights: Floats) -> Floats:
        """[B, S] scores for B weightings of the images, weights of shape [B, I]."""
        ...

    def evidence(self) -> list[Evidence]:
        """For each of the S scores."""
        ...

    def scores(self, weights: Floats | None = None) -> list[Score]:
        """The defined scores for one weighting of the images, of shape [I]; all equal when not given."""
        ...


def defined_scores(tally: Tally, weights: Floats | None) -> list[Score]:
    """A tally's scores from its values: those that are defined."""
    row = np.ones(tally.images) if weights is None else np.asarray(weights, dtype=np.float64)
    values = tally.values(row[None])[0]
    return [
        Score(metric, part, float(value))
        for (metric, part), value in zip(tally.columns, values, strict=True)
        if np.isfinite(value)
    ]


class _OfElements(ABC):
    """What rates and means have in common: a score for each part, the mean of its elements', and `all`, pooled."""

    metric: str
    counts: Floats
    parts: Mapping[str, tuple[int, ...]]
    whole: int | None

    @property
    def columns(self) -> tuple[tuple[str, str], ...]:
        return tuple((self.metric, part) for part in (*self.parts, "all"))

    @property
    def images(self) -> int:
        return len(self.counts)

    def scores(self, weights: Floats | None = None) -> list[Score]:
        return defined_scores(self, weights)

    @abstractmethod
    def values(self, weights: Floats) -> Floats: ...

    def evidence(self) -> list[Evidence]:
        found = []
        for elements in _groups(self.parts, self.counts.shape[1], self.whole):
            columns = list(elements)
            hits, misses = self._hits_and_misses(columns)
            images = float((self.counts[:, columns].sum(axis=1) > 0).sum())
            found.append(Evidence(images, hits, misses))
        return found

    @abstractmethod
    def _hits_and_misses(self, elements: list[int]) -> tuple[float, float]: ...


@dataclass(frozen=True, eq=False)
class RateTally(_OfElements):
    """Hits and counts of E elements (joints or limbs) in I images; a part is the mean of its elements' rates.

    `all` is pooled: all hits over all counts. Parts and elements that nobody annotated are left out.
    """

    metric: str
    hits: Floats  # [I, E]
    counts: Floats  # [I, E]
    parts: Mapping[str, tuple[int, ...]]  # part -> elements
    unit: int = 1  # what one hit counts (area under a curve counts half steps)
    whole: int | None = None  # `all` is pooled over this many of the first elements, over all of them when not given

    def values(self, weights: Floats) -> Floats:
        return _means(weights @ self.hits, weights @ self.counts, self.parts, self.whole)

    def _hits_and_misses(self, elements: list[int]) -> tuple[float, float]:
        total = float(self.counts[:, elements].sum()) / self.unit
        hit = float(self.hits[:, elements].sum()) / self.unit
        return hit, total - hit


@dataclass(frozen=True, eq=False)
class MeanTally(_OfElements):
    """Sums of lengths and their number for E elements in I images; a part is the mean of its elements' means.

    `all` is pooled: the sum over all lengths over their number. Parts and elements without any are left out.
    """

    metric: str
    sums: Floats  # [I, E], in the metric's unit
    counts: Floats  # [I, E]
    parts: Mapping[str, tuple[int, ...]]  # part -> elements
    whole: int | None = None  # `all` is pooled over this many of the first elements, over all of them when not given

    def values(self, weights: Floats) -> Floats:
        return _means(_weighted(weights, self.sums), weights @ self.counts, self.parts, self.whole)

    def _hits_and_misses(self, elements: list[int]) -> tuple[float, float]:
        """A mean has no hits and misses: each length counts as both."""
        total = float(self.counts[:, elements].sum())
        return total, total


def _groups(parts: Mapping[str, tuple[int, ...]], elements: int, whole: int | None) -> list[Sequence[int]]:
    """The elements of each part, and last those of `all`."""
    return [*parts.values(), range(elements if whole is None else whole)]


def _weighted(weights: Floats, sums: Floats) -> Floats:
    """[B, E] sums over the images [I, E] for weights [B, I].

    One weighting is added up image by image: the last bits of a matrix product of fractions depend on the machine's
    BLAS and on where the arrays lie in memory, and a score must be the same in the server and at home.
    """
    if len(weights) == 1:
        return (weights[0][:, None] * sums).sum(axis=0)[None]
    return weights @ sums


def _means(sums: Floats, counts: Floats, parts: Mapping[str, tuple[int, ...]], whole: int | None) -> Floats:
    """[B, parts + 1] for sums and counts [B, E]: the mean of each part's elements' means, and last the pooled one."""
    means = _ratio(sums, counts)
    values = np.empty((len(sums), len(parts) + 1))
    for column, elements in enumerate(parts.values()):
        of_part = means[:, list(elements)]
        known = ~np.isnan(of_part)
        values[:, column] = _ratio(np.where(known, of_part, 0.0).sum(axis=1), known.sum(axis=1))
    values[:, -1] = _ratio(sums[:, :whole].sum(axis=1), counts[:, :whole].sum(axis=1))
    return values


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Numerator over denominator, NaN where there is nothing to divide by."""
    safe = np.where(denominator > 0, denominator, 1.0)
    return np.where(denominator > 0, numerator / safe, np.nan)


def by_image(values: Floats, image: Integers, images: int) -> Floats:
    """[I, E] sums over the people of each image of values [P, E], in the order of the people, who ascend by id."""
    columns = [np.bincount(image, weights=column, minlength=images) for column in values.T]
    return np.stack(columns, axis=1) if columns else np.zeros((images, 0))
