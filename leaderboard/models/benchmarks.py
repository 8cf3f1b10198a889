"""What is measured: a dataset's split with its limits, dates and hidden annotations."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.urls import reverse

from evaluator import DatasetDefinitionError, load_dataset
from evaluator.dataset import Dataset
from leaderboard.models.accounts import Team, User
from leaderboard.models.addresses import split_validator, validate_dataset, validate_slug_is_free
from leaderboard.models.jobs import OPEN_STATES, Job, job_constraints


class Phase(models.TextChoices):
    """Where a benchmark is between its dates. Computed, never stored."""

    NO_ANNOTATIONS = "no_annotations", "No annotations yet"
    NOT_OPEN = "not_open", "Not open yet"
    OPEN = "open", "Open"
    CLOSED = "closed", "Closed"


class Benchmark(models.Model):
    """A dataset's split that people submit to. The dataset itself is a file of the evaluator."""

    slug = models.SlugField(
        unique=True,
        max_length=60,
        validators=[validate_slug_is_free],
        help_text="Its address, such as lsp-test-pc.",
    )
    dataset = models.CharField(max_length=40, validators=[validate_dataset])
    split = models.CharField(max_length=40, validators=[split_validator])
    title = models.CharField(max_length=120)
    summary = models.CharField(max_length=300, blank=True)
    hidden = models.BooleanField(default=True, help_text="Participants do not have the annotations.")
    public_elsewhere = models.BooleanField(default=False, help_text="The annotations are public elsewhere.")
    boxes_given = models.BooleanField(default=False, help_text="The public image list carries the people's boxes.")
    is_public = models.BooleanField(default=True, help_text="Visible to everyone; otherwise to its teams only.")
    teams = models.ManyToManyField(Team, blank=True, related_name="private_benchmarks")
    organisers = models.ManyToManyField(User, blank=True, related_name="organised")
    publishes_all = models.BooleanField(default=False, help_text="Every scored submission goes to the board at once.")
    opens_at = models.DateTimeField(null=True, blank=True)
    closes_at = models.DateTimeField(null=True, blank=True)
    daily_limit = models.PositiveIntegerField(default=5, validators=[MinValueValidator(1)])
    total_limit = models.PositiveIntegerField(default=200, validators=[MinValueValidator(1)])
    running_limit = models.PositiveIntegerField(default=3, validators=[MinValueValidator(1)])
    reject_limit = models.PositiveIntegerField(default=20, validators=[MinValueValidator(1)])
    # of the annotations now in force; empty while there are none, and then nothing can be submitted
    truth_sha256 = models.CharField(
        max_length=64, blank=True, validators=[RegexValidator(r"^([0-9a-f]{64})?$", "a sha256 digest")]
    )
    # the blob of the public image list: ids, names, sizes, people, boxes where given
    image_list_sha256 = models.CharField(max_length=64, blank=True)
    image_count = models.PositiveIntegerField(default=0)
    person_count = models.PositiveIntegerField(default=0)
    has_images = models.BooleanField(default=False, help_text="Workers have its images, so baselines can run.")
    # rises with every change a reader of the board can see
    version = models.PositiveIntegerField(default=1)
    position = models.PositiveSmallIntegerField(default=100, help_text="Order on the front page.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["position", "slug"]
        constraints = [
            models.UniqueConstraint(fields=["dataset", "split"], name="one_benchmark_per_dataset_and_split"),
        ]

    def __str__(self) -> str:
        return self.slug

    def save(self, **options: Any) -> None:
        """What names a new benchmark is checked here too, so that no way of making one can leave it out."""
        if self._state.adding:
            self.clean_fields(exclude={field.name for field in self._meta.fields} - {"slug", "dataset", "split"})
        super().save(**options)

    def get_absolute_url(self) -> str:
        return reverse("board", args=[self.slug])

    @property
    def definition(self) -> Dataset | None:
        """Its dataset; None where the definition is gone or cannot be read. Lists then show less instead of failing."""
        try:
            return load_dataset(self.dataset)
        except (DatasetDefinitionError, OSError):
            return None

    @property
    def accepts_submissions(self) -> bool:
        """Whether there are annotations to score against; dates are checked where a submission is accepted."""
        return bool(self.truth_sha256)

    def phase(self, now: datetime) -> str:
        """Whether it takes submissions at a moment of the database's clock: a value of `Phase`."""
        if self.closes_at and now >= self.closes_at:
            return Phase.CLOSED
        if not self.truth_sha256:
            return Phase.NO_ANNOTATIONS
        return Phase.NOT_OPEN if self.opens_at and now < self.opens_at else Phase.OPEN

    def is_organiser(self, user: object) -> bool:
        if not isinstance(user, User):
            return False
        return user.is_staff or self.organisers.filter(pk=user.pk).exists()


class Release(models.Model):
    """Annotations that came into force on a benchmark, and when. Append-only: the last one is in force."""

    benchmark = models.ForeignKey(Benchmark, on_delete=models.CASCADE, related_name="releases")
    truth_sha256 = models.CharField(max_length=64)
    image_list_sha256 = models.CharField(max_length=64)
    image_count = models.PositiveIntegerField(default=0)
    person_count = models.PositiveIntegerField(default=0)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["benchmark", "at"], name="release_benchmark_at")]

    def __str__(self) -> str:
        return f"{self.truth_sha256[:12]} on {self.benchmark}"


class AnnotationImport(Job):
    """An organiser's annotation file on its way: a worker checks it and puts it into force."""

    benchmark = models.ForeignKey(Benchmark, on_delete=models.CASCADE, related_name="imports")
    uploaded_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL)
    # its name in the drop, where the web process can write and not read
    drop_name = models.CharField(max_length=80, unique=True)
    file_name = models.CharField(max_length=255)
    # of the annotations that it put into force
    truth_sha256 = models.CharField(max_length=64, blank=True)
    # what the worker found: people, images, people with each joint
    summary = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            *job_constraints("annotation_import"),
            models.UniqueConstraint(
                fields=["benchmark"],
                condition=Q(state__in=OPEN_STATES),
                name="one_open_import_per_benchmark",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.file_name} for {self.benchmark}"
