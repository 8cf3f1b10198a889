"""The powers of five to 128 bits, by which decimal text becomes binary (Lemire, "Number parsing at a gigabyte per
second", Software: Practice and Experience 2021)."""

from __future__ import annotations

from typing import Any

import numpy as np

LOWEST_POWER, HIGHEST_POWER = -290, 60


def _powers_of_five() -> tuple[Any, Any]:
    """The leading 128 bits of 5^q (rounded down), of 1 / 5^-q (rounded up), as high and low words."""
    high, low = [], []
    for q in range(LOWEST_POWER, HIGHEST_POWER + 1):
        if q >= 0:
            power = 5**q
            shift = power.bit_length() - 128
            power = power >> shift if shift > 0 else power << -shift
        else:
            divisor = 5**-q
            bits = (divisor - 1).bit_length()
            power = (1 << (bits + 127 if q >= -27 else 2 * bits + 128)) // divisor + 1
            power >>= max(0, power.bit_length() - 128)
        high.append(power >> 64)
        low.append(power & (1 << 64) - 1)
    return np.array(high, dtype=np.uint64), np.array(low, dtype=np.uint64)


FIVES_HIGH, FIVES_LOW = _powers_of_five()
