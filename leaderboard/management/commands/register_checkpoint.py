"""Register a public file of weights, so that baselines run with it."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from leaderboard.operations import checkpoints
from leaderboard.operations.refusals import Refused


class Command(BaseCommand):
    help = (
        "Recognise, check and register a public file of weights: register_checkpoint pose_hrnet_w32_256x192.pth "
        "--licence MIT --source https://... --sha256 ..."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--licence", required=True, help="licence of the weights")
        parser.add_argument("--source", required=True, help="where the weights are from: a URL")
        parser.add_argument("--sha256", default="", help="the digest stated by the source")
        parser.add_argument(
            "--joints", default="", help="a dataset with these joints, or joint names separated by commas"
        )
        parser.add_argument("--input-size", type=_size, help="WIDTHxHEIGHT, if not the paper's")

    def handle(self, *args: Any, **options: Any) -> None:
        names = ("file", "licence", "source", "sha256", "joints", "input_size")
        try:
            row, new = checkpoints.register(**{name: options[name] for name in names})
        except Refused as refused:
            raise CommandError(f"{refused.code}: {refused.message}") from refused
        self.stdout.write(f"checkpoint {row.pk}, {row}: {'registered' if new else 'already registered'}")


def _size(text: str) -> tuple[int, int]:
    try:
        width, height = (int(part) for part in text.lower().split("x"))
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is not WIDTHxHEIGHT") from error
    return width, height
