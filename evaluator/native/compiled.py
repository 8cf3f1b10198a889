"""The functions in C, with the arrays that they fill. Each header says what its functions do and what they take.

ImportError where the extension was not built, which is not a fault: `evaluator.native.engine` then picks numpy.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from evaluator.native import extension
from evaluator.native.extension import annotation_file, entries, exponents, similar
from evaluator.native.powers_of_five import FIVES_HIGH, FIVES_LOW

__all__ = [
    "accumulate",
    "annotation_file",
    "descending",
    "entries",
    "exponents",
    "greedy",
    "ordered",
    "places",
    "prepare",
    "similar",
]


def prepare(wide: bool = True) -> bool:
    """Chooses the reader of numbers: with vector instructions where the processor has them. Whether it has."""
    return bool(extension.prepare(FIVES_HIGH.view(np.int64), FIVES_LOW.view(np.int64), wide))


prepare()


def places(known: Any, wanted: Any) -> Any:
    found = np.empty(len(wanted), dtype=np.int64)
    extension.places(known, wanted, found)
    return found


def ordered(image: Any, scores: Any, keypoints: Any, images: int, most: int) -> tuple[Any, Any, bool]:
    rows, of_image = np.empty(len(image), dtype=np.int64), np.empty(len(image), dtype=np.int64)
    count = extension.ordered(image, scores, keypoints, images, most, rows, of_image)
    return rows[: max(count, 0)], of_image[: max(count, 0)], count >= 0


def descending(scores: Any) -> Any:
    order = np.empty(len(scores), dtype=np.int64)
    extension.descending(scores, order)
    return order


def greedy(
    total: int, detection: Any, person: Any, similarity: Any, ignored: Any, crowd: Any, position: Any, limits: Any
) -> tuple[Any, Any]:
    matched = np.zeros((len(ignored), total), dtype=np.uint16)
    absorbed = np.zeros_like(matched)
    extension.greedy(detection, person, similarity, ignored, crowd, position, limits, matched, absorbed)
    return matched, absorbed


def accumulate(
    hits: Any, false: Any, image: Any, people_image: Any, counts: Any, weights: Any, recalls: Any, thresholds: int
) -> tuple[Any, Any]:
    precision = np.full((len(weights), len(hits), thresholds, len(recalls)), np.nan)
    recall = np.full(precision.shape[:3], np.nan)
    hits, false, counts = (np.ascontiguousarray(bits) for bits in (hits, false, counts))
    weights = np.ascontiguousarray(weights, dtype=np.float64)
    extension.accumulate(hits, false, image, people_image, counts, weights, recalls, precision, recall)
    return precision, recall
