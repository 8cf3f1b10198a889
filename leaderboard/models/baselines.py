from __future__ import annotations

from django.conf import settings
from django.db import models

from leaderboard.models.benchmarks import Benchmark
from leaderboard.models.checkpoints import Checkpoint
from leaderboard.models.jobs import Job, job_constraints
from leaderboard.models.submissions import Submission


class BaselineRun(Job):
    """A reference model's run on a benchmark's images. It ends in a file that is submitted like any other."""

    baseline = models.CharField(max_length=60)
    variant = models.CharField(max_length=60, blank=True)
    # the weights that the operator registered, where the run is not of those that ship or are fetched
    checkpoint = models.ForeignKey(Checkpoint, null=True, blank=True, on_delete=models.PROTECT)
    benchmark = models.ForeignKey(Benchmark, on_delete=models.CASCADE, related_name="baseline_runs")
    # a file of people's boxes to cut out, a blob, where the run is not to take the benchmark's or the detector's
    boxes_sha256 = models.CharField(max_length=64, blank=True)
    boxes_name = models.CharField(max_length=255, blank=True)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL)
    submission = models.OneToOneField(
        Submission, null=True, blank=True, on_delete=models.SET_NULL, related_name="baseline_run"
    )
    images_done = models.PositiveIntegerField(default=0)
    images_total = models.PositiveIntegerField(default=0)
    # device, batch, precision, images_per_second, parameters, gmacs, input_size, checkpoint sha256
    record = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [*job_constraints("baseline_run")]

    def __str__(self) -> str:
        return f"{self.baseline} {self.variant}".strip() + f" on {self.benchmark}"
