"""Queue reference models on a benchmark; the baseline worker runs them."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from leaderboard import baselines
from leaderboard.models import BaselineRun, Benchmark
from leaderboard.refusals import Refused


class Command(BaseCommand):
    help = (
        "Queue a run of a reference model on a benchmark's images: run_baseline blazepose lsp-test-pc --wait. "
        "All that have weights here: run_baseline --all lsp-test-pc"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("baseline", nargs="?", help="left out with --all")
        parser.add_argument("benchmark")
        parser.add_argument("--all", action="store_true", help="every baseline and variant that has weights here")
        parser.add_argument("--variant", default="", help="its usual one when left out")
        parser.add_argument("--wait", action="store_true", help="wait for the end and say how it ended")

    def handle(self, *args: Any, **options: Any) -> None:
        benchmark = Benchmark.objects.filter(slug=options["benchmark"]).first()
        if benchmark is None:
            raise CommandError(f"no benchmark {options['benchmark']}")
        if options["all"] == bool(options["baseline"]) or (options["all"] and options["variant"]):
            raise CommandError("name one baseline, or --all and none")
        wanted = [(options["baseline"], options["variant"])]
        if options["all"]:
            found = baselines.choices(benchmark)
            wanted = [(name, variant) for name, variant, why_not in found if not why_not]
            for name, variant, why_not in found:
                if why_not:
                    self.stdout.write(f"{name} {variant} is left out: {why_not}")
            if not wanted:
                raise CommandError(f"no baseline can run on {benchmark}")
        runs = []
        for name, variant in wanted:
            try:
                runs.append(baselines.request_run(baseline=name, variant=variant, benchmark=benchmark, by=None))
            except Refused as refused:
                raise CommandError(refused.message) from refused
            self.stdout.write(f"run {runs[-1].pk}, {runs[-1]}: {runs[-1].state}")
        if options["wait"]:
            failed = [run for run in runs if not self.wait(run)]
            if failed:
                raise CommandError(f"{len(failed)} of {len(runs)} runs gave no submission")

    def wait(self, run: BaselineRun) -> bool:
        """Whether it ended with a submission."""
        while run.is_open:
            time.sleep(1)
            run.refresh_from_db()
        if run.submission is None:
            self.stderr.write(f"{run}: {run.state}: {run.error_message}")
            return False
        speed = run.record.get("images_per_second", 0)
        self.stdout.write(f"{run}: {run.state}: {run.submission}, {speed:.1f} images a second")
        return True
