"""Waiting for another process to get somewhere."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(true: Callable[[], object], seconds: float = 5.0) -> bool:
    """Whether it comes true within so many seconds. Once is enough: of two web processes one may know it sooner."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.02)
    return True
