"""Queue a reference model on a benchmark; the baseline worker runs it."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from leaderboard import baselines
from leaderboard.models import BaselineRun, Benchmark
from leaderboard.refusals import Refused


class Command(BaseCommand):
    help = "Queue a run of a reference model on a benchmark's images: run_baseline blazepose lsp-test-pc --wait"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("baseline")
        parser.add_argument("benchmark")
        parser.add_argument("--variant", default="")
        parser.add_argument("--wait", action="store_true", help="wait for its end and say how it ended")

    def handle(self, *args: Any, **options: Any) -> None:
        benchmark = Benchmark.objects.filter(slug=options["benchmark"]).first()
        if benchmark is None:
            raise CommandError(f"no benchmark {options['benchmark']}")
        try:
            run = baselines.request_run(
                baseline=options["baseline"], variant=options["variant"], benchmark=benchmark, by=None
            )
        except Refused as refused:
            raise CommandError(refused.message) from refused
        self.stdout.write(f"run {run.pk} of {run.baseline} on {benchmark}: {run.state}")
        if options["wait"]:
            self.wait(run)

    def wait(self, run: BaselineRun) -> None:
        while run.is_open:
            time.sleep(1)
            run.refresh_from_db()
        if run.submission is None:
            raise CommandError(f"{run.state}: {run.error_message}")
        self.stdout.write(
            f"{run.state}: {run.submission}, {run.record.get('images_per_second', 0):.1f} images a second"
        )
