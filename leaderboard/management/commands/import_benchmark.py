"""Make a benchmark, or give an existing one new annotations, from the operator's shell."""

from __future__ import annotations

import json
from argparse import ArgumentParser, BooleanOptionalAction
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import IntegrityError

from evaluator import GroundTruthError, dataset_names, load_dataset, read_truth
from evaluator.reading.archives import unpacked
from evaluator.surface.surfaces import read_surface
from leaderboard.models import Benchmark, User
from leaderboard.operations import annotation_imports, annotation_store, benchmarks, releases

JSON_ENDINGS = (".json", ".gz", ".zip")


class Command(BaseCommand):
    help = (
        "Create a benchmark from an annotation file: import_benchmark lsp LSP-joints-PC.mat --split test-pc. "
        "On an existing benchmark, replace the annotations and change only the options given."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("dataset", help="one of the evaluator's datasets")
        parser.add_argument(
            "truth", type=Path, help="annotations: PoseBoard's JSON (.json, .json.gz, .zip) or an official file"
        )
        parser.add_argument("--split", default=None, help="the benchmark's split, such as test-pc; default: test")
        parser.add_argument("--file-split", default=None, help="part of an official file to import; default: test")
        parser.add_argument("--slug", default=None, help="the benchmark's address; default: DATASET-SPLIT")
        parser.add_argument("--title", default=None)
        parser.add_argument("--summary", default=None)
        parser.add_argument("--images", type=Path, default=None, help="folder with the images, for baselines")
        parser.add_argument(
            "--surface", type=Path, default=None, help="DensePose: the geodesic tables (.npz, see docs/metrics/gps.md)"
        )
        for flag, said in (
            ("boxes", "include people's boxes in the public image list"),
            ("public-elsewhere", "show that the annotations are public elsewhere"),
            ("publish-all", "publish every submission when it is scored"),
        ):
            parser.add_argument(f"--{flag}", action=BooleanOptionalAction, default=None, help=said)
        visibility = parser.add_mutually_exclusive_group()
        visibility.add_argument(
            "--private", dest="is_public", action="store_false", default=None, help="show it to its teams only"
        )
        visibility.add_argument(
            "--public", dest="is_public", action="store_true", default=None, help="show it to everyone"
        )
        parser.add_argument("--organiser", action="append", default=[], help="user name; can be repeated")
        parser.add_argument("--daily-limit", type=int, default=None)
        parser.add_argument("--total-limit", type=int, default=None)
        parser.add_argument("--running-limit", type=int, default=None)

    def handle(self, *args: Any, **options: Any) -> None:
        benchmark, given = self.described(options)
        organisers = [self.person(name) for name in options["organiser"]]
        try:
            content = annotation_json(benchmark.dataset, options["truth"], options["file_split"])
        except (OSError, ValueError) as error:
            raise CommandError(f"{options['truth']}: {error}") from error
        try:
            if options["surface"]:
                read_surface(options["surface"])
            checked = releases.check(benchmark, content, surface=options["surface"])
            images = (
                annotation_store.copy_images(benchmark, checked.images, options["images"]) if options["images"] else 0
            )
        except (GroundTruthError, OSError) as error:
            raise CommandError(str(error)) from error
        try:
            closed = benchmarks.import_annotations(
                benchmark=benchmark,
                changes={**given, "has_images": True} if options["images"] else given,
                organisers=organisers,
                checked=checked,
                surface=options["surface"],
            )
        except (IntegrityError, OSError) as error:
            raise CommandError(f"{benchmark} was not changed: {error}") from error
        for job in closed:
            annotation_imports.forget(job)
            self.stdout.write(f"{job.file_name}, waiting to be checked for {benchmark}, was cancelled")
        self.stdout.write(
            f"{benchmark}: {checked.summary['images']} images, {checked.summary['people']} people"
            + (f", {images} images for baselines" if images else "")
        )

    def described(self, options: dict[str, Any]) -> tuple[Benchmark, dict[str, Any]]:
        """The benchmark as it would be, checked and not saved, and the fields that were given."""
        dataset, split = options["dataset"], options["split"]
        if dataset not in dataset_names():
            raise CommandError(f"no dataset {dataset}: choose one of {', '.join(dataset_names())}")
        slug = options["slug"] or f"{dataset}-{'test' if split is None else split}"
        fields = {
            "title": options["title"],
            "summary": options["summary"],
            "boxes_given": options["boxes"],
            "public_elsewhere": options["public_elsewhere"],
            "is_public": options["is_public"],
            "publishes_all": options["publish_all"],
            "daily_limit": options["daily_limit"],
            "total_limit": options["total_limit"],
            "running_limit": options["running_limit"],
        }
        given = {key: value for key, value in fields.items() if value is not None}
        benchmark = Benchmark.objects.filter(slug=slug).first()
        if benchmark is None:
            definition = load_dataset(dataset)
            split = "test" if split is None else split
            usual = {"title": f"{definition.title}, {split}", "public_elsewhere": definition.public_elsewhere}
            benchmark = Benchmark(slug=slug, dataset=dataset, split=split, **(usual | given))
        elif (benchmark.dataset, benchmark.split) != (dataset, benchmark.split if split is None else split):
            raise CommandError(
                f"{slug} is the benchmark of {benchmark.dataset}, split {benchmark.split}, which cannot be changed: "
                "give these, or another --slug for a new benchmark"
            )
        else:
            for key, value in given.items():
                setattr(benchmark, key, value)
        # a benchmark whose address is older than a rule may still get new annotations
        unchecked = {"slug", "split"} if benchmark.pk else set()
        try:
            benchmark.full_clean(exclude=unchecked | {"teams", "organisers"})
        except ValidationError as error:
            said = [f"{field}: {' '.join(texts)}" for field, texts in error.message_dict.items()]
            raise CommandError(f"{slug}: {' '.join(said).replace('__all__: ', '')}") from error
        return benchmark, given

    def person(self, name: str) -> User:
        try:
            return User.objects.get(username=name)
        except User.DoesNotExist as error:
            raise CommandError(f"no user {name}: create the account first") from error


def annotation_json(dataset: str, file: Path, split: str | None) -> bytes:
    """The annotations in the one JSON form, perhaps compressed; converted when the file is an official one.

    Official files are read here, in the operator's shell, and never by the web server or a worker.
    """
    if file.name.lower().endswith(JSON_ENDINGS):
        content = bytes(unpacked(file.read_bytes()))
        try:
            read_truth(content, load_dataset(dataset))
        except GroundTruthError as other_form:
            # datasets have JSON forms of their own, too
            try:
                return _converted(dataset, file, split)
            except ValueError:
                raise other_form from None
        return content
    return _converted(dataset, file, split)


def _converted(dataset: str, file: Path, split: str | None) -> bytes:
    from evaluator.convert import convert_truth

    return json.dumps(convert_truth(dataset, file, split=split), allow_nan=False).encode()
