"""Fuzzes the readers in C against the careful reader: python -m benchmarks.fuzz_large_files [--cases N] [--seed S]

Every text that the C accepts must be read by the careful reader, with the same bits in every array. Stops at the first
text for which that is not so, and prints it. With --sanitize the C is first built anew with the compiler's
address and undefined-behaviour sanitizers, which end the process at the first access outside an array.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import random
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent / "evaluator" / "native" / "module.c"
SANITIZED = "POSEBOARD_SANITIZED_EXTENSION"


def run_sanitized(arguments: list[str]) -> int:
    """This program again, in a process with the sanitizers' library and an extension that was built for it."""
    compiler = str(sysconfig.get_config_var("CC") or "cc").split()[0]
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "extension.abi3.so"
        flags = ["-g", "-O1", "-std=c11", "-ffp-contract=off", "-fno-omit-frame-pointer", "-shared", "-fPIC"]
        flags += ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
        include = f"-I{sysconfig.get_paths()['include']}"
        subprocess.run([compiler, *flags, include, "-o", str(library), str(SOURCE)], check=True)
        runtime = subprocess.run([compiler, "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
        environment = {
            **os.environ,
            SANITIZED: str(library),
            "LD_PRELOAD": runtime.stdout.strip(),
            # every array by the allocator that the sanitizer watches; Python itself leaves much behind
            "PYTHONMALLOC": "malloc",
            "ASAN_OPTIONS": "detect_leaks=0",
        }
        return subprocess.run(
            [sys.executable, "-m", "benchmarks.fuzz_large_files", *arguments], env=environment
        ).returncode


def use_sanitized(path: str) -> None:
    specification = importlib.util.spec_from_file_location("evaluator.native.extension", path)
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    sys.modules["evaluator.native.extension"] = module
    print("with the address and undefined-behaviour sanitizers", file=sys.stderr)


def fuzz(cases: int, seed: int) -> int:
    """How many texts were read in C, with the same result."""
    from evaluator.native import compiled
    from evaluator.reading import large_files
    from tests.evaluator.large_file_cases import annotations, check_annotations, check_upload, damaged, upload

    rng = random.Random(seed)
    accepted, started, said = 0, time.monotonic(), time.monotonic()
    for case in range(cases):
        make, check = (upload, check_upload) if rng.random() < 0.8 else (annotations, check_annotations)
        text = make(rng)
        if rng.random() < 0.7:
            text = damaged(rng, text)
        # Nothing behind the zero bytes, so that reading there is noticed; or several parts with an entry across them.
        large_files.CHUNK = len(text) + 1 if rng.random() < 0.8 else rng.randrange(60, 300)
        compiled.prepare(wide=rng.random() < 0.5)
        accepted += check(text)
        if time.monotonic() - said > 20:
            said = time.monotonic()
            print(f"{case + 1:,} cases, {accepted:,} accepted, {said - started:.0f} s", file=sys.stderr, flush=True)
    return accepted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sanitize", action="store_true", help="build the C with sanitizers (gcc on Linux)")
    options = parser.parse_args()
    if options.sanitize:
        sys.exit(run_sanitized(["--cases", str(options.cases), "--seed", str(options.seed)]))
    if SANITIZED in os.environ:
        use_sanitized(os.environ[SANITIZED])
    from evaluator.native.engine import using

    with using("native"):
        accepted = fuzz(options.cases, options.seed)
    print(f"{options.cases:,} cases, {accepted:,} accepted and read alike, 0 differences"
          f" (seed {options.seed})")  # fmt: skip


if __name__ == "__main__":
    main()
