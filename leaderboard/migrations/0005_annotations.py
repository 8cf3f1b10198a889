from __future__ import annotations

from typing import Any

import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models
from django.db.models.functions import Now

import leaderboard.models.addresses

OPEN = ("queued", "running")


def close_all_but_the_last_open_import(apps: Any, schema_editor: Any) -> None:
    """A later import wins over an earlier one, and a benchmark has one open import at most from now on."""
    imports = apps.get_model("leaderboard", "AnnotationImport").objects
    waiting: dict[int, int] = {}
    for pk, benchmark in imports.filter(state__in=OPEN).order_by("-pk").values_list("pk", "benchmark"):
        if waiting.setdefault(benchmark, pk) != pk:
            imports.filter(pk=pk).update(
                state="cancelled", lease_expires_at=None, finished_at=Now(), error_code="superseded",
                error_message="Cancelled: a later annotation file was uploaded.",
            )  # fmt: skip


def note_what_is_in_force(apps: Any, schema_editor: Any) -> None:
    """The annotations in force at this moment, and their image list for the evaluations that have these annotations."""
    releases = apps.get_model("leaderboard", "Release").objects
    evaluations = apps.get_model("leaderboard", "Evaluation").objects
    for benchmark in apps.get_model("leaderboard", "Benchmark").objects.exclude(truth_sha256=""):
        releases.create(
            benchmark=benchmark,
            truth_sha256=benchmark.truth_sha256,
            image_list_sha256=benchmark.image_list_sha256,
            image_count=benchmark.image_count,
            person_count=benchmark.person_count,
        )
        evaluations.filter(submission__benchmark=benchmark, truth_sha256=benchmark.truth_sha256).update(
            image_list_sha256=benchmark.image_list_sha256
        )


class Migration(migrations.Migration):

    dependencies = [
        ("leaderboard", "0004_box_file"),
    ]

    operations = [
        migrations.CreateModel(
            name="Release",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("truth_sha256", models.CharField(max_length=64)),
                ("image_list_sha256", models.CharField(max_length=64)),
                ("image_count", models.PositiveIntegerField(default=0)),
                ("person_count", models.PositiveIntegerField(default=0)),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "benchmark",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="releases",
                        to="leaderboard.benchmark",
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
            },
        ),
        migrations.AddIndex(
            model_name="release",
            index=models.Index(fields=["benchmark", "at"], name="release_benchmark_at"),
        ),
        migrations.AddField(
            model_name="evaluation",
            name="image_list_sha256",
            field=models.CharField(blank=True, max_length=64),
        ),
        migrations.AddField(
            model_name="annotationimport",
            name="truth_sha256",
            field=models.CharField(blank=True, max_length=64),
        ),
        migrations.AlterField(
            model_name="benchmark",
            name="slug",
            field=models.SlugField(
                help_text="Its address, such as lsp-test-pc.",
                max_length=60,
                unique=True,
                validators=[leaderboard.models.addresses.validate_slug_is_free],
            ),
        ),
        migrations.AlterField(
            model_name="benchmark",
            name="dataset",
            field=models.CharField(max_length=40, validators=[leaderboard.models.addresses.validate_dataset]),
        ),
        migrations.AlterField(
            model_name="benchmark",
            name="split",
            field=models.CharField(max_length=40, validators=[leaderboard.models.addresses.split_validator]),
        ),
        migrations.RunPython(close_all_but_the_last_open_import, migrations.RunPython.noop),
        migrations.AddConstraint(
            model_name="annotationimport",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state__in", ("queued", "running"))),
                fields=("benchmark",),
                name="one_open_import_per_benchmark",
            ),
        ),
        migrations.RunPython(note_what_is_in_force, migrations.RunPython.noop),
    ]
