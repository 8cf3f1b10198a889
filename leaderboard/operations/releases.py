"""Annotations come into force: a file is checked, stored, and named by its benchmark and a new release."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db.models import F

from evaluator import GroundTruthError, PredictionError, load_dataset, public_images, read_truth
from evaluator.dataset import Dataset
from evaluator.poses import Annotations
from evaluator.reading.archives import unpacked
from leaderboard.files import blobs, writing
from leaderboard.models import AnnotationImport, Benchmark, Release
from leaderboard.models.transactions import lock, retried
from leaderboard.operations import annotation_imports, annotation_store
from leaderboard.queue.leases import Claim


@dataclass(frozen=True)
class CheckedAnnotations:
    """An annotation file that can serve, stored with its public image list; no row names either yet."""

    truth_sha256: str
    image_list_sha256: str
    images: list[dict[str, Any]]  # of the public image list
    summary: dict[str, Any]  # names no coordinate: images, people, people with each joint


def check(benchmark: Benchmark, content: bytes, *, surface: Path | None = None) -> CheckedAnnotations:
    """Check an annotation file (JSON, perhaps gzipped or zipped) and store its JSON and image list. Changes no row.

    It is read once: what is counted and listed is what submissions are scored against. `surface`: tables that are
    about to be put beside it. Raises `evaluator.GroundTruthError` when the file cannot serve.
    """
    definition = load_dataset(benchmark.dataset)
    try:
        content = bytes(unpacked(content))
    except PredictionError as error:
        raise GroundTruthError(f"the annotation file cannot be unpacked: {error}") from None
    annotations = read_truth(content, definition)
    if definition.entry == "uv" and not (annotations.surface or surface or annotation_store.surface_of(benchmark)):
        raise GroundTruthError(
            "DensePose needs its geodesic tables before its annotations: the operator imports them with "
            "`manage.py import_benchmark --surface FILE.npz`"
        )
    listing = public_images(annotations, boxes=benchmark.boxes_given, dataset=benchmark.dataset)
    digest = hashlib.sha256(content).hexdigest()
    with writing.written(annotation_store.truth_path(benchmark, digest)) as out:
        out.write(content)
    image_list = blobs.store([json.dumps(listing, separators=(",", ":")).encode()], limit=1 << 30)
    return CheckedAnnotations(digest, image_list.sha256, listing["images"], summarise(annotations, definition))


def put_into_force(benchmark: Benchmark, content: bytes) -> dict[str, Any]:
    """Check an annotation file and score submissions against it from now on, in place of any import that waits.

    Returns a summary that names no coordinate: images, people, people with each joint.
    Raises `evaluator.GroundTruthError` when the file cannot serve.
    """
    checked = check(benchmark, content)

    @retried
    def write() -> list[AnnotationImport]:
        closed = annotation_imports.supersede(benchmark)
        take_effect(benchmark, checked)
        return closed

    for job in write():
        annotation_imports.forget(job)
    benchmark.refresh_from_db()
    return checked.summary


def put_claimed_into_force(claim: Claim[AnnotationImport], checked: CheckedAnnotations) -> bool:
    """The file of an import that a worker claimed. False, and nothing is written, when the claim was lost."""
    benchmark = claim.job.benchmark

    @retried
    def write() -> bool:
        lock(Benchmark.objects.filter(pk=benchmark.pk))
        if not annotation_imports.finish(claim, summary=checked.summary, truth_sha256=checked.truth_sha256):
            return False
        take_effect(benchmark, checked)
        return True

    written = write()
    if written:
        annotation_imports.forget(claim.job)
    return written


def take_effect(benchmark: Benchmark, checked: CheckedAnnotations) -> None:
    """Name the checked annotations as those in force, and note since when: in the caller's transaction."""
    named = {
        "truth_sha256": checked.truth_sha256,
        "image_list_sha256": checked.image_list_sha256,
        "image_count": checked.summary["images"],
        "person_count": checked.summary["people"],
    }
    Benchmark.objects.filter(pk=benchmark.pk).update(version=F("version") + 1, **named)
    Release.objects.create(benchmark=benchmark, **named)


def put_images(benchmark: Benchmark, source: Path) -> int:
    """Copy the benchmark's images, by the file names of its image list, to where workers read them.

    Returns their number. Raises `FileNotFoundError` naming the first that is missing; then nothing changes.
    """
    listing = json.loads(blobs.path(benchmark.image_list_sha256).read_bytes())
    copied = annotation_store.copy_images(benchmark, listing["images"], source)
    Benchmark.objects.filter(pk=benchmark.pk).update(has_images=True, version=F("version") + 1)
    benchmark.refresh_from_db()
    return copied


def summarise(annotations: Annotations, dataset: Dataset) -> dict[str, Any]:
    """Counts to check an import by: images, people, and how often each joint is annotated and occluded."""
    flags = annotations.visibility[~annotations.crowd]
    return {
        "images": len(annotations.image_ids),
        "people": len(flags),
        "joints": [
            {"joint": joint, "annotated": int(annotated), "occluded": int(occluded)}
            for joint, annotated, occluded in zip(
                dataset.joints, (flags > 0).sum(axis=0), (flags == 1).sum(axis=0), strict=True
            )
        ],
    }
