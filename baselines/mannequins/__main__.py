"""python -m baselines.mannequins OUT --split test --images 300 --seed 7"""

import argparse
import sys
from pathlib import Path

from baselines.mannequins import SPLITS, generate


def make_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(prog="python -m baselines.mannequins", description="Render a split of Mannequins.")
    parser.add_argument("out", type=Path, help="folder for images/ and annotations.json")
    parser.add_argument("--split", choices=SPLITS, default="train", help="default: train")
    parser.add_argument("--images", type=int, default=300, help="number of images (default: 300)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the dataset (default: 0)")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Write a split of Mannequins; the exit status."""
    parser = make_parser()
    chosen = parser.parse_args(arguments)
    if chosen.images < 1 or chosen.seed < 0:
        parser.error("--images must be at least 1, --seed at least 0")
    truth = generate(chosen.out, split=chosen.split, images=chosen.images, seed=chosen.seed)
    people = len(truth["annotations"])  # type: ignore[arg-type]
    print(f"{chosen.images} images with {people} people in {chosen.out}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
