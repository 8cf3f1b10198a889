"""Check and turn the arrays of official files: order of axes, type of numbers, missing and absurd values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evaluator.convert.errors import ConversionError
from evaluator.convert.reading import OfficialFile
from evaluator.reading.upload_rules import LARGEST


def numbers(file: OfficialFile, name: str, array: NDArray[np.generic]) -> NDArray[np.float64]:
    """`array` as float64; ConversionError unless it holds real numbers."""
    if array.dtype.kind not in "buif":
        raise ConversionError(f"{file.path.name}: {name} has {array.dtype} values; expected real numbers")
    return array.astype(np.float64)


def oriented(
    file: OfficialFile, name: str, array: NDArray[np.generic], shapes: Sequence[tuple[int | None, ...]]
) -> NDArray[np.float64]:
    """`array` as float64 in the first of `shapes` (None: any size of at least 1) that it has, as it is or with its axes
    reversed (HDF5 files written by MATLAB-like programs that do not mark them). ConversionError when it has none."""
    values = numbers(file, name, array)
    for shape in shapes:
        for candidate in (values, values.transpose()):
            if _fits(candidate.shape, shape):
                return np.ascontiguousarray(candidate)
    expected = " or ".join("x".join("N" if size is None else str(size) for size in shape) for shape in shapes)
    found = "x".join(str(size) for size in values.shape) or "a single number"
    raise ConversionError(f"{file.path.name}: {name} is {found}; expected {expected}")


def _fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(shape) == len(wanted) and all(
        size > 0 if want is None else size == want for size, want in zip(shape, wanted, strict=True)
    )


def reject_infinite(file: OfficialFile, name: str, points: NDArray[np.float64]) -> None:
    """ConversionError for the first infinite or absurdly large coordinate of points [N, P, 2]; NaN passes."""
    wrong = np.argwhere(np.abs(np.nan_to_num(points, nan=0.0, posinf=np.inf, neginf=-np.inf)) > LARGEST)
    if len(wrong):
        row, point, axis = (int(index) for index in wrong[0])
        raise ConversionError(
            f"{file.path.name}: {name}: row {row + 1}, point {point + 1}: {'xy'[axis]} is {points[row, point, axis]}; "
            f"expected finite numbers of magnitude up to {LARGEST:.0f}, or NaN for a missing point"
        )


def reject_unfinite(file: OfficialFile, name: str, values: NDArray[np.float64]) -> None:
    """ConversionError for the first number of an annotation that is not finite."""
    wrong = np.argwhere(~np.isfinite(values))
    if len(wrong):
        where = ", ".join(str(int(index) + 1) for index in wrong[0])
        raise ConversionError(f"{file.path.name}: {name}[{where}] is {values[tuple(wrong[0])]}; expected a number")
