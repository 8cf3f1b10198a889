"""The store of hidden annotations and images, for workers and the operator: the web process has no such folder."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F

from evaluator import GroundTruthError, load_dataset, public_images, read_truth
from evaluator.surfaces import read_surface
from leaderboard import blobs, files
from leaderboard.models import Benchmark


def folder(benchmark: Benchmark) -> Path:
    return Path(settings.ANNOTATIONS_DIR) / benchmark.slug


def truth_path(benchmark: Benchmark, sha256: str) -> Path:
    """The annotations with that digest. Older ones stay, so that an evaluation can be repeated."""
    return folder(benchmark) / f"{sha256}.json"


def images_folder(benchmark: Benchmark) -> Path:
    return folder(benchmark) / "images"


def surface_path(benchmark: Benchmark) -> Path:
    """Where a DensePose benchmark's geodesic tables are: beside its annotations, put there by the operator."""
    return folder(benchmark) / "surface.npz"


def surface_of(benchmark: Benchmark) -> Path | None:
    """The tables to score with; None where the dataset needs none, or the annotations name a surface of ours."""
    file = surface_path(benchmark)
    return file if load_dataset(benchmark.dataset).entry == "uv" and file.is_file() else None


def put_surface(benchmark: Benchmark, source: Path) -> None:
    """Check geodesic tables and keep them. Raises `evaluator.GroundTruthError` when the file cannot serve."""
    read_surface(source)
    with source.open("rb") as tables, files.written(surface_path(benchmark)) as out:
        shutil.copyfileobj(tables, out, 1 << 20)


def put_into_force(benchmark: Benchmark, content: bytes) -> dict[str, Any]:
    """Check an annotation file in the one JSON form, keep it, and score new submissions against it from now on.

    Returns a summary that names no coordinate: images, people, people with each joint.
    Raises `evaluator.GroundTruthError` when the file cannot serve.
    """
    listing = public_images(content, boxes=benchmark.boxes_given, dataset=benchmark.dataset)
    _check_surface(benchmark, content)
    summary = summarise(content, benchmark.dataset)
    digest = hashlib.sha256(content).hexdigest()
    with files.written(truth_path(benchmark, digest)) as out:
        out.write(content)
    image_list = blobs.store([json.dumps(listing, separators=(",", ":")).encode()], limit=1 << 30)
    with transaction.atomic():
        Benchmark.objects.filter(pk=benchmark.pk).update(
            truth_sha256=digest,
            image_list_sha256=image_list.sha256,
            image_count=summary["images"],
            person_count=summary["people"],
            version=F("version") + 1,
        )
    benchmark.refresh_from_db()
    return summary


def _check_surface(benchmark: Benchmark, content: bytes) -> None:
    definition = load_dataset(benchmark.dataset)
    if definition.entry != "uv" or surface_of(benchmark) is not None:
        return
    if read_truth(content, definition).surface is None:
        raise GroundTruthError(
            "DensePose needs its geodesic tables before its annotations: the operator gives them with "
            "`manage.py import_benchmark --surface FILE.npz`"
        )


def put_images(benchmark: Benchmark, source: Path) -> int:
    """Copy the benchmark's images, by the file names of its image list, to where workers read them.

    Returns their number. Raises `FileNotFoundError` naming the first that is missing; then nothing changes.
    """
    listing = json.loads(blobs.path(benchmark.image_list_sha256).read_bytes())
    names = [image["file_name"] for image in listing["images"]]
    root = source.resolve()
    found = [(name, (root / name).resolve()) for name in names]
    for name, file in found:
        if not file.is_relative_to(root) or not file.is_file():
            raise FileNotFoundError(f"no image {name} in {source}")
    target = images_folder(benchmark)
    for name, file in found:
        # a baseline may be reading the image that was there
        with file.open("rb") as image, files.written(target / name, mode=0o644, durable=False) as out:
            shutil.copyfileobj(image, out, 1 << 20)
    Benchmark.objects.filter(pk=benchmark.pk).update(has_images=True, version=F("version") + 1)
    benchmark.refresh_from_db()
    return len(found)


def summarise(content: bytes, dataset: str) -> dict[str, Any]:
    """Counts to check an import by: images, people, and how often each joint is annotated and occluded.

    Raises `evaluator.GroundTruthError` as reading the annotations does.
    """
    document = json.loads(content)
    people = [each for each in document["annotations"] if not each.get("iscrowd")]
    definition = load_dataset(dataset)
    names = definition.joints
    if definition.entry == "keypoints":
        flags = [each["keypoints"][2::3] for each in people]
    else:
        flags = read_truth(document, definition).visibility.tolist()
    return {
        "images": len(document["images"]),
        "people": len(people),
        "joints": [
            {
                "joint": name,
                "annotated": sum(row[joint] > 0 for row in flags),
                "occluded": sum(row[joint] == 1 for row in flags),
            }
            for joint, name in enumerate(names)
        ],
    }
