"""What a board lists: an append-only record of events, and the numbers that papers report."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from leaderboard.models.benchmarks import Benchmark
from leaderboard.models.methods import Method
from leaderboard.models.submissions import Evaluation, Submission


class BoardEvent(models.Model):
    """Something that changed a board. A board at any date is a fold over its events; only `current` ever changes."""

    class Kind(models.TextChoices):
        PUBLISHED = "published", "Published"
        WITHDRAWN = "withdrawn", "Withdrawn"
        RENAMED = "renamed", "Renamed"
        RESCORED = "rescored", "Re-scored"
        DISQUALIFIED = "disqualified", "Disqualified"
        FROZEN = "frozen", "Frozen"
        REVEALED = "revealed", "Revealed"

    # those after which the board lists a row
    ON_BOARD = (Kind.PUBLISHED, Kind.RESCORED)
    # those that decide whether a row is listed
    PLACING = (Kind.PUBLISHED, Kind.RESCORED, Kind.WITHDRAWN, Kind.DISQUALIFIED)

    kind = models.CharField(max_length=14, choices=Kind)
    benchmark = models.ForeignKey(Benchmark, on_delete=models.PROTECT, related_name="events")
    method = models.ForeignKey(Method, null=True, blank=True, on_delete=models.PROTECT, related_name="events")
    submission = models.ForeignKey(Submission, null=True, blank=True, on_delete=models.PROTECT, related_name="events")
    evaluation = models.ForeignKey(Evaluation, null=True, blank=True, on_delete=models.PROTECT, related_name="events")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL)
    note = models.CharField(max_length=300, blank=True)
    # the last placing event of this method on this benchmark
    current = models.BooleanField(default=False)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["benchmark", "method"], condition=Q(current=True), name="one_current_row_per_method"
            ),
            models.CheckConstraint(
                name="placing_event_names_its_evaluation",
                condition=~Q(kind__in=("published", "rescored")) | Q(evaluation__isnull=False, method__isnull=False),
            ),
        ]
        indexes = [models.Index(fields=["benchmark", "at"])]

    def __str__(self) -> str:
        return f"{self.kind} {self.submission or self.method or ''} on {self.benchmark}"


class ReportedResult(models.Model):
    """A number printed in a paper, shown apart from measured ones, without a rank."""

    benchmark = models.ForeignKey(Benchmark, on_delete=models.CASCADE, related_name="reported")
    # the record's own key, so that reading the file again changes nothing
    key = models.CharField(max_length=80)
    method = models.CharField(max_length=120)
    authors = models.CharField(max_length=200, blank=True)
    year = models.PositiveSmallIntegerField(null=True, blank=True)
    paper_title = models.CharField(max_length=250, blank=True)
    paper_url = models.URLField(max_length=300, blank=True)
    source = models.CharField(max_length=300)
    backbone = models.CharField(max_length=80, blank=True)
    input_size = models.CharField(max_length=40, blank=True)
    parameters = models.PositiveBigIntegerField(null=True, blank=True)
    gflops = models.FloatField(null=True, blank=True)
    extra_data = models.CharField(max_length=200, blank=True)
    # [{"metric": "pck@0.2", "part": "all", "value": 0.905}, ...]
    scores = models.JSONField(default=list)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["benchmark", "key"], name="one_reported_result_per_key")]

    def __str__(self) -> str:
        return f"{self.method} ({self.source})"

    @property
    def numbers(self) -> list[tuple[str, str, float]]:
        """(metric, part, value) of each score. What an operator mistyped is left out, and its board still shown."""
        rows = self.scores if isinstance(self.scores, list) else []
        found = [(row.get("metric"), row.get("part"), row.get("value")) for row in rows if isinstance(row, dict)]
        return [
            (metric, part, float(value))
            for metric, part, value in found
            if isinstance(metric, str) and isinstance(part, str)
            if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300
        ]
