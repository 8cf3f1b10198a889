"""Whole files through pycocotools and PoseBoard: python -m benchmarks.fuzz_parity [--cases N] [--seed S]

Every case is a pair of JSON files without ties, seeded by its number. Stops at the first case of which one of the ten
numbers differs by more than 1e-12, and keeps its files.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from tests.evaluator.parity_cases import difference, parity_case

TOLERANCE = 1e-12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0, help="the number of the first case")
    options = parser.parse_args()
    compared, largest, said = 0, 0.0, time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(options.seed, options.seed + options.cases):
            found = difference(seed, Path(folder))
            if found is None:
                continue
            compared += 1
            largest = max(largest, found)
            if found > TOLERANCE:
                for name, document in zip(("truth", "results"), parity_case(seed), strict=True):
                    Path(f"parity-{seed}-{name}.json").write_text(json.dumps(document))
                sys.exit(f"case {seed}: {found:.3g} apart; its files are parity-{seed}-*.json")
            if time.monotonic() - said > 20:
                said = time.monotonic()
                print(f"case {seed}: {compared:,} compared", file=sys.stderr, flush=True)
    print(f"{compared:,} pairs of files, largest difference {largest:.1e}, none above {TOLERANCE:g}")


if __name__ == "__main__":
    main()
