from __future__ import annotations

from django.core.validators import MinValueValidator, URLValidator
from django.db import models
from django.urls import reverse

from leaderboard.models.accounts import Team

https_only = URLValidator(schemes=["https"])


class Method(models.Model):
    """What produced the predictions, as its team describes it."""

    class Approach(models.TextChoices):
        UNKNOWN = "", "Not stated"
        TOP_DOWN = "top-down", "Top-down"
        BOTTOM_UP = "bottom-up", "Bottom-up"
        ONE_STAGE = "one-stage", "One-stage"
        SINGLE_PERSON = "single-person", "Single-person"

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="methods")
    name = models.CharField(max_length=80)
    description = models.TextField(max_length=4000, blank=True)
    authors = models.CharField(max_length=200, blank=True)
    year = models.PositiveSmallIntegerField(null=True, blank=True, validators=[MinValueValidator(1970)])
    paper_title = models.CharField(max_length=250, blank=True)
    paper_url = models.URLField(max_length=300, blank=True, validators=[https_only])
    code_url = models.URLField(max_length=300, blank=True, validators=[https_only])
    approach = models.CharField(max_length=16, choices=Approach, blank=True, default="")
    backbone = models.CharField(max_length=80, blank=True)
    input_size = models.CharField(max_length=40, blank=True)
    parameters = models.PositiveBigIntegerField(null=True, blank=True)
    gflops = models.FloatField(null=True, blank=True, validators=[MinValueValidator(0.0)])
    extra_data = models.CharField(max_length=200, blank=True, help_text="Training data beyond the dataset's own.")
    is_baseline = models.BooleanField(default=False, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["team", "name"], name="one_method_per_team_and_name")]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("method", args=[self.pk])
