"""An upload and a run are two things: a re-score is a second evaluation of the same submission."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.urls import reverse

import evaluator
from leaderboard.models.accounts import Team
from leaderboard.models.benchmarks import Benchmark
from leaderboard.models.jobs import Job, job_constraints
from leaderboard.models.methods import Method


class Submission(models.Model):
    """One uploaded file for one method on one benchmark. Immutable but for `live`."""

    class Source(models.TextChoices):
        WEB = "web", "Browser"
        API = "api", "API"
        BASELINE = "baseline", "Baseline run here"
        IMPORT = "import", "Imported by the organiser"

    benchmark = models.ForeignKey(Benchmark, on_delete=models.PROTECT, related_name="submissions")
    method = models.ForeignKey(Method, on_delete=models.PROTECT, related_name="submissions")
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="submissions")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="submissions")
    sha256 = models.CharField(max_length=64)
    size = models.PositiveBigIntegerField()
    file_name = models.CharField(max_length=255, blank=True)
    source = models.CharField(max_length=10, choices=Source)
    idempotency_key = models.CharField(max_length=80, null=True, blank=True)  # noqa: DJ001  unique only where given
    publish_when_scored = models.BooleanField(default=False)
    # the UTC day and whether it was charged, so that a refund goes where the charge came from
    quota_day = models.DateField(null=True, blank=True)
    # false once it was rejected, errored or cancelled: then the same file may be sent again
    live = models.BooleanField(default=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["benchmark", "method", "sha256"], condition=Q(live=True), name="one_live_submission_per_file"
            ),
            models.UniqueConstraint(fields=["user", "idempotency_key"], name="one_submission_per_idempotency_key"),
        ]
        indexes = [models.Index(fields=["team", "-id"])]

    def __str__(self) -> str:
        return f"S-{self.pk}"

    def get_absolute_url(self) -> str:
        return reverse("submission", args=[self.pk])

    @property
    def evaluation(self) -> Evaluation:
        """The current run of the evaluator on it. Uses `prefetch_related("evaluations")` where it was asked for."""
        return next(each for each in self.evaluations.all() if each.current)


class Evaluation(Job):
    """One run of the evaluator on one submission."""

    submission = models.ForeignKey(Submission, on_delete=models.CASCADE, related_name="evaluations")
    # repeated from the submission, so that a fair claim needs no join
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="+")
    evaluator_version = models.CharField(max_length=40)
    # the annotations and their image list: those in force when it was queued, then those when it was claimed
    truth_sha256 = models.CharField(max_length=64)
    image_list_sha256 = models.CharField(max_length=64, blank=True)
    current = models.BooleanField(default=True)
    # counts and protocol of the report; the scores are rows of their own
    report = models.JSONField(default=dict, blank=True)
    seconds = models.FloatField(null=True, blank=True, help_text="Of the scoring itself.")

    class Meta:
        constraints = [
            *job_constraints("evaluation"),
            models.UniqueConstraint(
                fields=["submission", "evaluator_version", "truth_sha256"],
                name="one_evaluation_per_evaluator_and_truth",
            ),
            models.UniqueConstraint(
                fields=["submission"], condition=Q(current=True), name="one_current_evaluation_per_submission"
            ),
        ]
        indexes = [models.Index(fields=["state", "id"])]

    def __str__(self) -> str:
        return f"evaluation {self.pk} of {self.submission_id} ({self.state})"

    def on_claim(self) -> dict[str, Any]:
        """The annotations in force now, with the image list that belongs to them, and the evaluator that will run.

        Where the submission has another evaluation of just these, this one keeps what it was queued for.
        """
        benchmark = Benchmark.objects.get(submissions=self.submission_id)
        wanted = {"evaluator_version": evaluator.__version__, "truth_sha256": benchmark.truth_sha256}
        others = Evaluation.objects.filter(submission=self.submission_id, **wanted).exclude(pk=self.pk)
        if not benchmark.truth_sha256 or others.exists():
            return {}
        return {**wanted, "image_list_sha256": benchmark.image_list_sha256}


class Score(models.Model):
    """One number. A fraction where `bounded`; NaN and infinities cannot be stored."""

    evaluation = models.ForeignKey(Evaluation, on_delete=models.CASCADE, related_name="scores")
    metric = models.CharField(max_length=40)
    part = models.CharField(max_length=40)
    value = models.FloatField()
    low = models.FloatField(null=True, blank=True)
    high = models.FloatField(null=True, blank=True)
    bounded = models.BooleanField(default=True)
    # as the metric's definition has it: "" for a fraction, "number" for a plain number, otherwise "mm" and the like
    unit = models.CharField(max_length=20, blank=True, default="", db_default="")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["evaluation", "metric", "part"], name="one_score_per_metric_and_part"),
            models.CheckConstraint(
                name="score_is_a_fraction_where_bounded",
                condition=Q(bounded=False) | Q(value__gte=0.0, value__lte=1.0),
            ),
            # NaN is larger than every number in PostgreSQL and NULL in SQLite: neither passes
            models.CheckConstraint(name="score_is_finite", condition=Q(value__gt=-1e300, value__lt=1e300)),
        ]
        indexes = [models.Index(fields=["metric", "part", "value"])]

    def __str__(self) -> str:
        return f"{self.metric} {self.part} {self.value}"


class Quota(models.Model):
    """A conditional counter: it rises only while it is under the limit, in the statement that raises it."""

    class Kind(models.TextChoices):
        DAY = "day", "per day"
        TOTAL = "total", "in total"
        RUNNING = "running", "at once"
        REJECTS = "rejects", "rejected files per day"

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="quotas")
    benchmark = models.ForeignKey(Benchmark, on_delete=models.CASCADE, related_name="quotas")
    kind = models.CharField(max_length=8, choices=Kind)
    # the UTC day as 2026-05-01, or empty
    window = models.CharField(max_length=10, blank=True)
    used = models.IntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["team", "benchmark", "kind", "window"], name="one_quota_counter"),
            models.CheckConstraint(name="quota_used_is_not_negative", condition=Q(used__gte=0)),
        ]

    def __str__(self) -> str:
        return f"{self.team}: {self.used} {self.get_kind_display()} on {self.benchmark}"
