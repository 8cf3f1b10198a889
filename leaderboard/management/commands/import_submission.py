"""The organiser submits a file for a team that cannot: a published method's released predictions, say."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from leaderboard.files import blobs
from leaderboard.models import Benchmark, Membership
from leaderboard.operations import uploads
from leaderboard.operations.refusals import Refused
from leaderboard.operations.teams import METHOD_FIELDS


class Command(BaseCommand):
    help = (
        "Submit a predictions file on behalf of a team. It is scored like any other, and published unless the team has "
        "members, who then decide."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("benchmark")
        parser.add_argument("file", type=Path)
        parser.add_argument("--method", required=True)
        parser.add_argument("--team", required=True)
        for field in sorted(METHOD_FIELDS):
            parser.add_argument(f"--{field.replace('_', '-')}", default=None)
        parser.add_argument("--private", action="store_true", help="do not publish it when it is scored")

    def handle(self, *args: Any, **options: Any) -> None:
        benchmark = Benchmark.objects.filter(slug=options["benchmark"]).first()
        if benchmark is None:
            raise CommandError(f"no benchmark {options['benchmark']}")
        file: Path = options["file"]
        if not file.is_file():
            raise CommandError(f"no file {file}")

        theirs = Membership.objects.filter(team__name=options["team"]).exists()
        fields = {field: options[field] for field in METHOD_FIELDS if options[field] is not None}
        if "year" in fields:
            fields["year"] = int(fields["year"])
        try:
            submission, created = uploads.accept_import(
                file=file,
                team=options["team"],
                benchmark=benchmark,
                method=options["method"],
                described=fields,
                publish=not options["private"] and not theirs,
            )
        except (Refused, OSError, blobs.TooLarge) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{submission}: {'queued' if created else 'already submitted'}")
        if created and theirs and not options["private"]:
            self.stdout.write(f"It stays private until a member of {options['team']} publishes it.")
