"""How numbers are written: one decimal in tables, en dashes in ranges, `–` when missing.

Fractions are printed in percent without the sign, lengths in their unit, plain numbers as they are: a unit is "" for
fractions, `evaluator.dataset.NUMBER` for plain numbers, or "mm".
"""

from __future__ import annotations

import math

from evaluator.dataset import NUMBER, unit_name

MISSING = "–"
MINUS = "−"


def factor(unit: str) -> float:
    """What a value is multiplied by before it is printed: 100 for a fraction."""
    return 1.0 if unit else 100.0


def number(value: float | None, unit: str = "") -> str:
    """A value as tables print it: a fraction in percent, 0.7364 -> `73.6`; millimetres and numbers as they are."""
    if value is None or not math.isfinite(value):
        return MISSING
    return f"{factor(unit) * value:.{3 if unit == NUMBER else 1}f}".replace("-", MINUS)


def sign(unit: str) -> str:
    """What follows a number that is printed large."""
    return with_unit("", unit) if unit else "%"


def with_unit(printed: str, unit: str) -> str:
    """A printed number with its unit, where it has one: `45.3 mm`, `73.6`, `1.234`."""
    return f"{printed} {unit_name(unit)}" if unit_name(unit) else printed


def interval(low: float | None, high: float | None, unit: str = "") -> str:
    """A 95% interval as `72.1–75.0`, or nothing where there is none."""
    if low is None or high is None:
        return ""
    return f"{number(low, unit)}–{number(high, unit)}"


def interval_in_words(low: float | None, high: float | None, unit: str = "") -> str:
    """As `72.1 to 75.0`, for texts and labels."""
    if low is None or high is None:
        return ""
    return f"{number(low, unit)} to {number(high, unit)}"


def points(difference: float, unit: str = "") -> str:
    """A difference as printed, without its sign: one decimal, two where one would show 0.0."""
    size = abs(factor(unit) * difference)
    if unit == NUMBER:
        return f"{size:.3f}" if size >= 0.0005 else f"{size:.2g}"
    return f"{size:.1f}" if size >= 0.05 else f"{size:.2f}"


def apart(difference: float, unit: str = "") -> str:
    """Such a difference with what it is counted in: `1.2 points`, `3.4 mm`, `0.123`."""
    return with_unit(points(difference, unit), unit or "points")


def short(value: float) -> str:
    """An axis label: as few digits as it needs."""
    return (
        f"{value:.3f}".rstrip("0").rstrip(".").replace("-", MINUS) if value % 1 else f"{value:.0f}".replace("-", MINUS)
    )


def ordinal(number: int) -> str:
    """1 -> `1st`."""
    if 10 <= number % 100 <= 20:
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"
