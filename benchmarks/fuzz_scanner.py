"""Fuzzes the compiled scanners against the careful reader: python -m benchmarks.fuzz_scanner [--cases N] [--seed S]

Every text that a scanner takes must be read by the careful reader, with the same bits in every array. Stops at the
first text for which that is not so, and prints it.
"""

from __future__ import annotations

import argparse
import random
import sys
import time

from evaluator import warm_up
from tests.evaluator.scanner_cases import annotations, check_annotations, check_upload, damaged, upload


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if not warm_up(print):
        sys.exit("numba is missing: there is nothing to fuzz")
    rng = random.Random(options.seed)
    taken, started, said = 0, time.monotonic(), time.monotonic()
    for case in range(options.cases):
        make, check = (upload, check_upload) if rng.random() < 0.8 else (annotations, check_annotations)
        text = make(rng)
        if rng.random() < 0.7:
            text = damaged(rng, text)
        taken += check(text)
        if time.monotonic() - said > 20:
            said = time.monotonic()
            print(f"{case + 1:,} cases, {taken:,} taken, {said - started:.0f} s", file=sys.stderr, flush=True)
    print(
        f"{options.cases:,} cases, {taken:,} taken by the scanner and read alike, 0 differences (seed {options.seed})"
    )


if __name__ == "__main__":
    main()
