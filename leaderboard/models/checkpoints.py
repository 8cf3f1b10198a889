from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.db import models


class Checkpoint(models.Model):
    """A file of weights that the operator registered; it lies in CHECKPOINTS_DIR with its description beside it."""

    family = models.CharField(max_length=60)  # the baseline that it is for
    variant = models.CharField(max_length=60)
    sha256 = models.CharField(max_length=64, unique=True)
    file = models.CharField(max_length=100)
    size = models.PositiveBigIntegerField()  # bytes
    joints = models.JSONField()  # that the network predicts, in its order
    licence = models.CharField(max_length=200)
    source = models.CharField(max_length=500)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.family} {self.variant} {self.sha256[:12]}"

    @property
    def path(self) -> Path:
        """The description beside the weights, which `baselines.load(checkpoint=...)` takes."""
        return Path(settings.CHECKPOINTS_DIR) / f"{self.sha256}.json"
