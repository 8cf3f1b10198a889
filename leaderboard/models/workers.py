"""The worker processes that are running, as they report it themselves."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class Worker(models.Model):
    """A worker process. It writes `seen_at` every few seconds while it lives."""

    name = models.CharField(max_length=120, unique=True, help_text="Host and process id.")
    queue = models.CharField(max_length=40)
    # which defences its sandbox has, for those that score: `sandbox.defences.probe`
    isolation = models.JSONField(null=True, blank=True)
    started_at = models.DateTimeField(db_default=Now())
    seen_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"{self.queue} worker {self.name}"
