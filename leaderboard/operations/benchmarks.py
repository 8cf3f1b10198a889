"""Benchmarks: made and changed here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from django.db.models import F

from leaderboard.models import AnnotationImport, Benchmark, User
from leaderboard.models.transactions import retried
from leaderboard.operations import annotation_imports, annotation_store, releases, reported_results


@retried
def create(*, organisers: Iterable[User] = (), **fields: Any) -> Benchmark:
    """A new benchmark. Raises ValidationError for fields that cannot be, IntegrityError where another was faster."""
    benchmark = Benchmark(**fields)
    benchmark.full_clean()
    benchmark.save(force_insert=True)
    benchmark.organisers.add(*organisers)
    return benchmark


@retried
def update(*, benchmark: Benchmark, changes: Mapping[str, Any]) -> None:
    """Write these fields and nothing else: a worker may be writing the rest of the row."""
    if changes:
        Benchmark.objects.filter(pk=benchmark.pk).update(version=F("version") + 1, **changes)


@retried
def import_annotations(
    *,
    benchmark: Benchmark,
    changes: Mapping[str, Any],
    organisers: Iterable[User],
    checked: releases.CheckedAnnotations,
    surface: Path | None = None,
) -> list[AnnotationImport]:
    """Everything that `import_benchmark` does to the database, in one transaction: a new benchmark, or `changes` of one
    that exists, and its annotations last. Returns the imports that were open, and are closed now.

    Raises IntegrityError and OSError; then nothing has changed.
    """
    if not Benchmark.objects.filter(pk=benchmark.pk).exists():  # also where an earlier attempt was rolled back
        benchmark.save(force_insert=True)
    closed = annotation_imports.supersede(benchmark)
    update(benchmark=benchmark, changes=changes)
    benchmark.organisers.add(*organisers)
    releases.take_effect(benchmark, checked)
    reported_results.load(only=benchmark)
    if surface:
        annotation_store.store_surface(benchmark, surface)
    return closed
