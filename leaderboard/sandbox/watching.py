"""While a child scores: its lease, time and memory, and what the kernel knows about its process."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from leaderboard.sandbox.defences import Limits

WATCH_SECONDS = 0.25


class Lease:
    """Calls the heartbeat when it is due."""

    def __init__(self, heartbeat: Callable[[], bool], every: float) -> None:
        self._heartbeat, self._every, self._next = heartbeat, every, time.monotonic() + every

    def due(self) -> float:
        return self._next

    def renewed(self) -> bool:
        if time.monotonic() < self._next:
            return True
        self._next = time.monotonic() + self._every
        return bool(self._heartbeat())


class Watch:
    """Wall-clock time, and the resident size where RLIMIT_AS does not hold. A kill is to work within `end_seconds`."""

    def __init__(self, limits: Limits, *, memory_limited: bool, end_seconds: float) -> None:
        self._end_seconds = end_seconds
        self._limits, self._watch_memory = limits, not memory_limited
        self._deadline = time.monotonic() + limits.wall_seconds
        self._last = math.inf
        self._child = 0
        self._at_start = 0

    def started(self, child: int) -> None:
        self._child = child
        self._deadline = time.monotonic() + self._limits.wall_seconds
        if self._watch_memory:
            self._at_start = resident_bytes(child)

    def due(self) -> float:
        if self._last != math.inf:
            return self._last
        if self._watch_memory and self._child:
            return min(self._deadline, time.monotonic() + WATCH_SECONDS)
        return self._deadline

    def exceeded(self) -> str:
        """The code of the limit that was exceeded, or an empty string.

        Time is the file's only when its process ran: not while annotations are read, nor when it was stopped.
        """
        if time.monotonic() >= self._deadline:
            if not self._child:
                return "ground_truth"
            return "crashed" if is_stopped(self._child) else "time"
        if self._watch_memory and self._child:
            grown = resident_bytes(self._child) - self._at_start
            if grown > self._limits.memory_bytes:
                return "memory"
        return ""

    def kill_asked(self) -> bool:
        """True once: the first time a reason to kill is there."""
        if self._last == math.inf:
            self._last = time.monotonic() + self._end_seconds
            return True
        return False

    def overdue(self) -> bool:
        return time.monotonic() >= self._last


def is_stopped(process: int) -> bool:
    """Whether somebody stopped a process (SIGSTOP, a debugger); it cannot stop itself (Linux)."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] in "Tt"
    except (OSError, IndexError):
        return False


def oom_kills() -> int:
    """How many processes the kernel has killed for want of memory since it started (Linux 4.13), in any cgroup."""
    try:
        lines = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def resident_bytes(process: int) -> int:
    """Resident size of a process; 0 when it has ended."""
    try:
        if sys.platform.startswith("linux"):
            return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        shown = subprocess.run(["ps", "-o", "rss=", "-p", str(process)], capture_output=True, text=True, check=False)
        return int(shown.stdout) * 1024
    except (OSError, ValueError, IndexError):
        return 0
