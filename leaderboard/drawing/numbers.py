"""How numbers are written: percent without the sign, one decimal in tables, en dashes in ranges, `–` when missing."""

from __future__ import annotations

import math

MISSING = "–"
MINUS = "−"


def percent(value: float | None, *, decimals: int = 1) -> str:
    """A fraction as percent without the sign: 0.7364 -> `73.6`."""
    if value is None or not math.isfinite(value):
        return MISSING
    return f"{100 * value:.{decimals}f}".replace("-", MINUS)


def interval(low: float | None, high: float | None) -> str:
    """A 95 % interval of fractions as `72.1–75.0`, or nothing where there is none."""
    if low is None or high is None:
        return ""
    return f"{percent(low)}–{percent(high)}"


def interval_in_words(low: float | None, high: float | None) -> str:
    """As `72.1 to 75.0`, for sentences and labels."""
    if low is None or high is None:
        return ""
    return f"{percent(low)} to {percent(high)}"


def points(difference: float) -> str:
    """A difference of fractions in points: one decimal, two where one would show 0.0."""
    size = abs(100 * difference)
    return f"{size:.1f}" if size >= 0.05 else f"{size:.2f}"


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
