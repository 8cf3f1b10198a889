"""How far a run is: noted once a second at most, and at its end."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from leaderboard.queue import lease_keeper
from leaderboard.queue.lease_keeper import LeaseKeeper, LeaseLost


class NotedClaim:
    """A claim that writes down what is noted."""

    def __init__(self) -> None:
        self.noted: list[tuple[int, int]] = []
        self.held = True

    def note(self, *, images_done: int, images_total: int) -> bool:
        self.noted.append((images_done, images_total))
        return self.held


def test_progress_is_noted_once_a_second_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(lease_keeper, "time", SimpleNamespace(monotonic=lambda: now))
    claim: Any = NotedClaim()
    keeper = LeaseKeeper(claim)
    for second, done in ((100.0, 1), (100.5, 2), (100.999, 3), (101.0, 4), (101.5, 5), (101.6, 9), (101.7, 10)):
        now = second
        keeper.progress(done, 10)
    assert claim.noted == [(1, 10), (4, 10), (10, 10)]


def test_a_run_whose_claim_is_gone_stops() -> None:
    claim: Any = NotedClaim()
    claim.held = False
    keeper = LeaseKeeper(claim)
    with pytest.raises(LeaseLost):
        keeper.progress(1, 10)
    keeper.lost.set()
    with pytest.raises(LeaseLost):
        keeper.progress(2, 10)
    assert claim.noted == [(1, 10)]  # nothing is written where the loss is known
