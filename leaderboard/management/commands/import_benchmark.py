"""Make a benchmark, or give an existing one new annotations, from the operator's shell."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from evaluator import DatasetDefinitionError, GroundTruthError, dataset_names, load_dataset
from leaderboard import ground_truth, reported
from leaderboard.models import Benchmark, User


class Command(BaseCommand):
    help = "Make a hidden test board from an annotation file: import_benchmark lsp LSP-joints-PC.mat --split test-pc"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("dataset", help="one of the evaluator's datasets")
        parser.add_argument("truth", type=Path, help="annotations: the one JSON form, or an official file (.mat, .h5)")
        parser.add_argument("--split", default="test", help="the benchmark's split, such as test-pc")
        parser.add_argument(
            "--file-split", default=None, help="the part of an official file to take; default: its test part"
        )
        parser.add_argument("--slug", default=None, help="its address; default: DATASET-SPLIT")
        parser.add_argument("--title", default=None)
        parser.add_argument("--summary", default=None)
        parser.add_argument("--images", type=Path, default=None, help="folder with the images, for baselines")
        parser.add_argument(
            "--surface", type=Path, default=None, help="DensePose: the geodesic tables (.npz, see docs/metrics/gps.md)"
        )
        parser.add_argument("--boxes", action="store_true", help="give the people's boxes in the public image list")
        parser.add_argument(
            "--public-elsewhere", action="store_true", help="say that the annotations can be had elsewhere"
        )
        parser.add_argument("--private", action="store_true", help="show it to its teams only")
        parser.add_argument(
            "--publish-all", action="store_true", help="every scored submission goes to the board at once"
        )
        parser.add_argument("--organiser", action="append", default=[], help="user name; may be given again")
        parser.add_argument("--daily-limit", type=int, default=None)
        parser.add_argument("--total-limit", type=int, default=None)
        parser.add_argument("--running-limit", type=int, default=None)

    def handle(self, *args: Any, **options: Any) -> None:
        dataset = options["dataset"]
        if dataset not in dataset_names():
            raise CommandError(f"no dataset {dataset}: choose one of {', '.join(dataset_names())}")
        try:
            definition = load_dataset(dataset)
            content = annotation_json(dataset, options["truth"], options["file_split"])
        except (OSError, DatasetDefinitionError, GroundTruthError, ValueError) as error:
            raise CommandError(f"{options['truth']}: {error}") from error
        slug = options["slug"] or f"{dataset}-{options['split']}"
        described = {
            "title": options["title"] or f"{definition.title}, {options['split']}",
            "summary": options["summary"],
            "boxes_given": options["boxes"],
            "public_elsewhere": options["public_elsewhere"] or definition.public_elsewhere,
            "is_public": not options["private"],
            "publishes_all": options["publish_all"],
            "daily_limit": options["daily_limit"],
            "total_limit": options["total_limit"],
            "running_limit": options["running_limit"],
        }
        benchmark, made = Benchmark.objects.update_or_create(
            slug=slug,
            defaults={key: value for key, value in described.items() if value is not None},
            create_defaults={
                "dataset": dataset,
                "split": options["split"],
                **{key: value for key, value in described.items() if value is not None},
            },
        )
        for name in options["organiser"]:
            try:
                benchmark.organisers.add(User.objects.get(username=name))
            except User.DoesNotExist as error:
                raise CommandError(f"no user {name}: create the account first") from error
        try:
            if options["surface"]:
                ground_truth.put_surface(benchmark, options["surface"])
            summary = ground_truth.put_into_force(benchmark, content)
            images = ground_truth.put_images(benchmark, options["images"]) if options["images"] else 0
        except (GroundTruthError, FileNotFoundError) as error:
            if made:
                benchmark.delete()
            raise CommandError(str(error)) from error
        reported.load()
        self.stdout.write(
            f"{benchmark}: {summary['images']} images, {summary['people']} people"
            + (f", {images} images for baselines" if images else "")
        )


def annotation_json(dataset: str, file: Path, split: str | None) -> bytes:
    """The annotations in the one JSON form, converted when the file is an official one.

    Official files are read here, in the operator's shell, and never by the web server or a worker.
    """
    if file.suffix == ".json":
        return file.read_bytes()
    from evaluator.convert import convert_truth

    return json.dumps(convert_truth(dataset, file, split=split), allow_nan=False).encode()
