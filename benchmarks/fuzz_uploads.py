"""How long it takes to check hostile files: python -m benchmarks.fuzz_uploads [--files N] [--seed S] [--engine E]

Half of the files are mutations of the structure of good ones, half of their bytes; JSON, gzip and zip, most of them
small, two in a hundred of 8 to 40 MB. Then the shapes that were made to be slow, of --mega MB each. Ends with 1 when a
file ends in anything but a report or a PredictionError, or when the 99th percentile is a second or more.
"""

from __future__ import annotations

import argparse
import collections
import statistics
import sys
import time
from typing import NamedTuple

from evaluator import CODES, PredictionError, read_images, validate
from evaluator.native import engine as engines
from tests.evaluator.upload_mutations import image_list, mutated, slow

SLOWEST = 10
MOST_SECONDS = 1.0


class Checked(NamedTuple):
    seconds: float
    size: int
    name: str
    code: str


def check(dataset: str, content: bytes, name: str) -> Checked:
    """The time one file takes, and what it gets."""
    images = read_images(image_list(dataset))
    started, code = time.perf_counter(), "valid"
    try:
        validate(dataset, content, images=images)
    except PredictionError as error:
        code = error.code
        assert code in CODES, code
    return Checked(time.perf_counter() - started, len(content), name, code)


def show(found: list[Checked], title: str) -> float:
    """A line of percentiles; returns the 99th."""
    times = sorted(each.seconds for each in found)
    p99 = times[min(len(times) - 1, int(0.99 * len(times)))]
    print(f"{title:24} {len(times):6,} files  p50 {1000 * statistics.median(times):8.1f} ms"
          f"  p99 {1000 * p99:8.1f} ms  max {1000 * times[-1]:8.1f} ms")  # fmt: skip
    return p99


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--engine", choices=engines.ENGINES, default=engines.engine())
    parser.add_argument("--mega", type=float, default=20.0, help="megabytes of each slow shape; 0 leaves them out")
    options = parser.parse_args()
    by_kind: dict[str, list[Checked]] = collections.defaultdict(list)
    with engines.using(options.engine):
        for number in range(options.files):
            upload = mutated(options.seed * 1_000_003 + number)
            name = f"{upload.kind}, {upload.wrapping}, {upload.dataset}, {upload.what} (seed {options.seed}, {number})"
            by_kind[f"{upload.kind}, {upload.wrapping}"].append(check(upload.dataset, upload.content, name))
            if sys.stderr.isatty() and number % 200 == 0:
                print(f"{number:,} files", end="\r", file=sys.stderr, flush=True)
        shapes = []
        if options.mega:
            shapes = [check(shape.dataset, shape.make(), name) for name, shape in slow(options.mega).items()]
    everything = [each for found in by_kind.values() for each in found]
    p99 = show(everything, f"all, {options.engine}") if everything else 0.0
    for kind, found in sorted(by_kind.items()):
        show(found, kind)
    counts = collections.Counter(each.code for each in everything)
    print("outcomes:", ", ".join(f"{code} {count:,}" for code, count in counts.most_common()))
    print("slowest files:")
    for each in sorted(everything, reverse=True)[:SLOWEST]:
        print(f"  {each.seconds:7.3f} s  {each.size / 1e6:7.2f} MB  {each.code:18} {each.name}")
    print(f"shapes made to be slow, {options.mega:g} MB each:")
    for each in sorted(shapes, reverse=True):
        print(f"  {each.seconds:7.3f} s  {each.size / 1e6:7.2f} MB  {each.code:18} {each.name}")
    sys.exit(p99 >= MOST_SECONDS)


if __name__ == "__main__":
    main()
