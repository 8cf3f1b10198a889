"""Queue reference models on a benchmark; the baseline worker runs them."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from leaderboard.boards.runnable import runnable
from leaderboard.models import BaselineRun, Benchmark, Checkpoint
from leaderboard.operations import baseline_runs
from leaderboard.operations.refusals import Refused


class Command(BaseCommand):
    help = (
        "Queue a run of a reference model on a benchmark's images: run_baseline blazepose lsp-test-pc --wait. "
        "All that have weights: run_baseline --all lsp-test-pc"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("baseline", nargs="?", help="omit with --all")
        parser.add_argument("benchmark")
        parser.add_argument("--all", action="store_true", help="every baseline and variant that has weights")
        parser.add_argument("--variant", default="", help="default: the model's default variant")
        parser.add_argument("--checkpoint", type=int, help="id of a registered checkpoint to run it with")
        parser.add_argument(
            "--boxes", type=Path, metavar="FILE", help="person detections in COCO format, to crop people by"
        )
        parser.add_argument("--wait", action="store_true", help="wait until it ends, and print its result")

    def handle(self, *args: Any, **options: Any) -> None:
        benchmark = Benchmark.objects.filter(slug=options["benchmark"]).first()
        if benchmark is None:
            raise CommandError(f"no benchmark {options['benchmark']}")
        if options["all"] == bool(options["baseline"]) or (options["all"] and self.is_narrowed(options)):
            raise CommandError("name a baseline, or use --all without one")
        try:
            runs = self.queue(benchmark, options)
        except Refused as refused:
            raise CommandError(refused.message) from refused
        for run in runs:
            self.stdout.write(f"run {run.pk}, {run}: {run.state}")
        if options["wait"]:
            failed = [run for run in runs if not self.wait(run)]
            if failed:
                raise CommandError(f"{len(failed)} of {len(runs)} runs produced no submission")

    def is_narrowed(self, options: dict[str, Any]) -> bool:
        return bool(options["variant"] or options["checkpoint"])

    def queue(self, benchmark: Benchmark, options: dict[str, Any]) -> list[BaselineRun]:
        """Queue the runs that were asked for, and say what cannot run."""
        if file := options["boxes"]:
            try:
                with file.open("rb") as stream:
                    chunks = iter(lambda: stream.read(1 << 20), b"")
                    with baseline_runs.stored_boxes(
                        benchmark=benchmark, chunks=chunks, name=file.name, limit=1 << 30
                    ) as boxes:
                        return self.request(benchmark, options, boxes)
            except OSError as error:
                raise CommandError(str(error)) from error
        return self.request(benchmark, options, None)

    def request(
        self, benchmark: Benchmark, options: dict[str, Any], boxes: baseline_runs.BoxFile | None
    ) -> list[BaselineRun]:
        if options["all"]:
            for each in runnable(benchmark):
                if each.why_not:
                    self.stdout.write(f"{each} is left out: {each.why_not}")
            return baseline_runs.request_all(benchmark=benchmark, by=None, boxes=boxes)[0]
        checkpoint = None
        if options["checkpoint"] is not None:
            checkpoint = Checkpoint.objects.filter(pk=options["checkpoint"]).first()
            if checkpoint is None:
                raise CommandError(f"no checkpoint {options['checkpoint']}: register_checkpoint prints its id")
        return [
            baseline_runs.request_run(
                baseline=options["baseline"], variant=options["variant"], checkpoint=checkpoint, benchmark=benchmark,
                by=None, boxes=boxes,
            )
        ]  # fmt: skip

    def wait(self, run: BaselineRun) -> bool:
        """Whether it ended with a submission."""
        while run.is_open:
            time.sleep(1)
            run.refresh_from_db()
        if run.submission is None:
            self.stderr.write(f"{run}: {run.state}: {run.error_message}")
            return False
        speed = run.record.get("images_per_second", 0)
        self.stdout.write(f"{run}: {run.state}: {run.submission}, {speed:.1f} images/s")
        return True
