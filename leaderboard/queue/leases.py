"""Claiming leased rows: compare-and-swap with a fence. Executions may repeat; effects may not."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, TypeVar

from django.conf import settings
from django.db.models import Count, F, IntegerField, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce, Now

from leaderboard.models import Evaluation, Job, State
from leaderboard.models.transactions import retried

J = TypeVar("J", bound=Job)

WORKER = f"{socket.gethostname()[:80]}:{os.getpid()}"


@dataclass(frozen=True)
class Claim(Generic[J]):
    """The right to write to a job, as long as its fence is still this one."""

    job: J
    fence: int

    @property
    def _rows(self) -> QuerySet[Any]:
        return type(self.job)._default_manager.filter(pk=self.job.pk, state=State.RUNNING, fence=self.fence)

    def renew(self) -> bool:
        """Prolong the lease by the database's clock. False: it was lost, and the work must stop."""
        return bool(self._rows.update(lease_expires_at=Now() + timedelta(seconds=settings.LEASE_SECONDS)))

    def move(self, state: State, **fields: Any) -> bool:
        """Leave RUNNING. False, and nothing is written, when the fence is no longer ours."""
        if state != State.QUEUED:
            fields.setdefault("finished_at", Now())
        return bool(self._rows.update(state=state, lease_expires_at=None, **fields))

    def note(self, **fields: Any) -> bool:
        """Write down progress. False when the fence is no longer ours."""
        return bool(self._rows.update(**fields))


def claimable(model: type[J]) -> QuerySet[J]:
    """What a worker may take: queued, or running with an expired lease and attempts left."""
    return model._default_manager.filter(
        Q(state=State.QUEUED) | Q(state=State.RUNNING, lease_expires_at__lt=Now()),
        attempts__lt=settings.MAX_ATTEMPTS,
    )


@retried
def claim_next(model: type[J]) -> Claim[J] | None:
    """Take the next job, fairest first: of the team with the fewest running, then the oldest. None: nothing to do."""
    rows: QuerySet[Any] = claimable(model)
    if model is Evaluation:
        running = (
            Evaluation.objects.filter(team=OuterRef("team"), state=State.RUNNING)
            .order_by()
            .values("team")
            .annotate(n=Count("pk"))
            .values("n")
        )
        rows = rows.annotate(teams_running=Coalesce(Subquery(running, output_field=IntegerField()), Value(0))).order_by(
            "teams_running", "pk"
        )
    else:
        rows = rows.order_by("pk")
    # PostgreSQL skips rows that another worker is claiming; SQLite's immediate transactions run one at a time
    job = rows.select_for_update(skip_locked=True, of=("self",), no_key=True).first()
    if job is None:
        return None
    fence = job.fence + 1
    claimed = model._default_manager.filter(pk=job.pk, fence=job.fence, state=job.state).update(
        state=State.RUNNING,
        fence=fence,
        attempts=F("attempts") + 1,
        lease_expires_at=Now() + timedelta(seconds=settings.LEASE_SECONDS),
        worker=WORKER,
        started_at=Now(),
        **job.on_claim(),
    )
    if not claimed:
        return None
    job.refresh_from_db()
    return Claim(job, fence)


def exhausted(model: type[J]) -> QuerySet[J]:
    """Jobs whose last allowed attempt was lost with its worker."""
    return model._default_manager.filter(
        state=State.RUNNING, lease_expires_at__lt=Now(), attempts__gte=settings.MAX_ATTEMPTS
    )
