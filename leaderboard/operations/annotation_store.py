"""The store of hidden annotations, images and surface tables, for workers and the operator: files, and no rows.

The web process has no such folder.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from django.conf import settings

from evaluator import load_dataset
from leaderboard.files import writing
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


def store_surface(benchmark: Benchmark, source: Path) -> None:
    """Store geodesic tables that were checked."""
    with source.open("rb") as tables, writing.written(surface_path(benchmark)) as out:
        shutil.copyfileobj(tables, out)


def copy_images(benchmark: Benchmark, images: list[dict[str, Any]], source: Path) -> int:
    """Copy the listed images to where workers read them: all of them, or `FileNotFoundError` and none."""
    root = source.resolve()
    found = [(image["file_name"], (root / image["file_name"]).resolve()) for image in images]
    for name, file in found:
        if not file.is_relative_to(root) or not file.is_file():
            raise FileNotFoundError(f"no image {name} in {source}")
    target = images_folder(benchmark)
    for name, file in found:
        # a baseline may be reading the image that was there
        with file.open("rb") as image, writing.written(target / name, mode=0o644, durable=False) as out:
            shutil.copyfileobj(image, out)
    return len(found)
