"""What evaluations, baseline runs and annotation imports share: a row that workers lease."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models.functions import Now


class State(models.TextChoices):
    """Who may see something is never a state. REJECTED is for the submitter to fix, ERRORED for us."""

    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    SCORED = "scored", "Scored"
    DONE = "done", "Done"
    REJECTED = "rejected", "Rejected"
    ERRORED = "errored", "Errored"
    CANCELLED = "cancelled", "Cancelled"


OPEN_STATES = (State.QUEUED, State.RUNNING)


class Job(models.Model):
    """A leased row. A worker may write to it only while it is RUNNING with the worker's own fence."""

    state = models.CharField(max_length=10, choices=State, default=State.QUEUED)
    attempts = models.PositiveSmallIntegerField(default=0)
    fence = models.PositiveIntegerField(default=0)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    worker = models.CharField(max_length=120, blank=True)
    # how the last attempt died, when it did: the same death twice ends the job
    last_failure = models.CharField(max_length=40, blank=True)
    error_code = models.CharField(max_length=60, blank=True)
    error_message = models.TextField(blank=True)
    error_problems = models.JSONField(default=list, blank=True)
    queued_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        abstract = True

    def on_claim(self) -> dict[str, Any]:
        """What a claim writes to the row besides its lease, in the transaction that takes it."""
        return {}

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_STATES


def job_constraints(name: str) -> list[models.BaseConstraint]:
    """The invariants every leased table has: a lease while it runs and only then, at most three attempts."""
    return [
        models.CheckConstraint(
            name=f"{name}_lease_iff_running",
            condition=models.Q(state=State.RUNNING, lease_expires_at__isnull=False)
            | (~models.Q(state=State.RUNNING) & models.Q(lease_expires_at__isnull=True)),
        ),
        models.CheckConstraint(name=f"{name}_attempts_at_most_three", condition=models.Q(attempts__lte=3)),
        models.CheckConstraint(name=f"{name}_state_is_known", condition=models.Q(state__in=State.values)),
    ]
