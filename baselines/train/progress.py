"""The progress of a training: a moving bar in a terminal, otherwise one line per epoch."""

import sys
import time
from types import TracebackType
from typing import Self

WIDTH = 24
SECONDS = 0.2  # between two drawings of the bar


class Progress:
    """A bar on standard error, if that is a terminal; `finish` prints one line on standard output in any case."""

    def __init__(self, title: str, steps: int, *, done: int = 0) -> None:
        self.title, self.steps = title, steps
        self._first, self._started, self._drawn = done, time.monotonic(), 0.0
        self._bar = sys.stderr.isatty()

    def step(self, done: int, **figures: float) -> None:
        """Draw the bar at `done` steps."""
        now = time.monotonic()
        if not self._bar or (now - self._drawn < SECONDS and done < self.steps):
            return
        self._drawn = now
        left = (now - self._started) / max(done - self._first, 1) * (self.steps - done)
        filled = round(WIDTH * done / self.steps)
        words = " ".join(f"{name} {value:.4f}" for name, value in figures.items())
        bar = "#" * filled + "." * (WIDTH - filled)
        print(f"\r{self.title} [{bar}] {done}/{self.steps} {words} {left:.0f} s left\033[K", end="", file=sys.stderr)

    def finish(self, words: str) -> None:
        """Clear the bar, and print how the epoch ended."""
        self._clear()
        print(f"{self.title}: {words}", flush=True)

    def _clear(self) -> None:
        if self._bar and self._drawn:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
            self._drawn = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._clear()
