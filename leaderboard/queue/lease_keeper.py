"""Work that takes longer than a lease: the claim is renewed from a thread beside it."""

from __future__ import annotations

import threading
import time
from typing import Any

from django.conf import settings
from django.db import Error as DatabaseUnavailable
from django.db import connection

from leaderboard.queue.leases import Claim


class LeaseLost(Exception):
    """Another worker has claimed the job, or it was cancelled."""


class LeaseKeeper:
    """Renews a claim from a thread of its own: a batch of a large network, or the check of a large annotation file, may
    outlast the lease.
    """

    def __init__(self, claim: Claim[Any]) -> None:
        self.claim = claim
        self.done = threading.Event()
        self.lost = threading.Event()
        self.noted = 0.0
        self.thread = threading.Thread(target=self._keep, daemon=True)

    def __enter__(self) -> LeaseKeeper:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.thread.join()

    def _keep(self) -> None:
        while not self.done.wait(settings.HEARTBEAT_SECONDS):
            try:
                held = self.claim.renew()
            except DatabaseUnavailable:
                connection.close()  # perhaps away for a moment: the lease outlasts two missed heartbeats
                continue
            if not held:
                self.lost.set()
                break
        connection.close()

    def progress(self, done: int, total: int) -> None:
        """Note how far the run is, once a second at most; stop it when its claim is gone."""
        if self.lost.is_set():
            raise LeaseLost
        if time.monotonic() - self.noted < 1 and done < total:
            return
        self.noted = time.monotonic()
        if not self.claim.note(images_done=done, images_total=total):
            raise LeaseLost
