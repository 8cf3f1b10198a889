"""The evaluator beside its peers, from files to COCO's ten numbers: python -m benchmarks.evaluator_speed [--help]

Makes seeded files, installs the peers into a virtual environment of their own, runs every tool in processes of its own,
in turn, each on one thread, and writes a table as Markdown and JSON to benchmarks/results (and docs/benchmarks.md with
--docs). What is measured stands on the page that it writes.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import coco_files, single_person
from benchmarks.one_evaluation import ENGINES, PEERS
from benchmarks.speed_page import page
from evaluator import load_dataset, measure, read_predictions, read_truth
from evaluator.native import engine as engines
from evaluator.uncertainty import resamples, with_intervals

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
VENV = RESULTS / "peers"
VERSIONS = {"pycocotools": "==2.0.11", "hotcoco": "==1.3.0"}
# Its wheels are for numpy before 2; built here, it is for the numpy that is there.
FROM_SOURCE = ("xtcocotools",)
REFERENCE = "pycocotools"
SCALES = ("val2017", "test-dev2017")
CURVE = ("1000", "10000", "100000", "1000000")
CURVE_TOOLS = ("poseboard", "hotcoco", "pycocotools")
FRESH_TOOLS = (*ENGINES, "hotcoco", "pycocotools")
# What takes less than a second of CPU is run three times in its turn: a disturbance is a larger part of it.
QUICK, QUICK_TIMES = 1.0, 3
SINGLE_THREAD = dict.fromkeys(
    [f"{library}_NUM_THREADS" for library in ("OMP", "OPENBLAS", "MKL", "RAYON")],
    "1",
)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def install() -> dict[str, str]:
    """Installs every peer; returns why for those that could not be."""
    python = VENV / "bin" / "python"
    if not python.exists():
        say(f"Making {VENV.relative_to(ROOT)}")
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
    pip = [str(python), "-m", "pip"]
    missing = {}
    for peer in PEERS:
        if subprocess.run([*pip, "show", "-q", peer], capture_output=True, check=False).returncode == 0:
            continue
        say(f"Installing {peer}")
        wanted = [*pip, "install", "-q", "--disable-pip-version-check", peer + VERSIONS.get(peer, "")]
        if peer in FROM_SOURCE:
            subprocess.run([*wanted[:-1], "numpy", "cython", "setuptools>=77"], capture_output=True, check=False)
            wanted += ["--no-binary", peer, "--no-build-isolation"]
        done = subprocess.run(wanted, capture_output=True, text=True, check=False)
        if done.returncode:
            missing[peer] = (done.stderr.strip().splitlines() or ["pip failed"])[-1][:120]
    return missing


def one(tool: str, files: tuple[Path, Path], small: tuple[Path, ...]) -> dict[str, Any] | str:
    """One run in a process of its own, after a warm-up on small files if any: what it measured, or why it failed."""
    python = sys.executable if tool in ENGINES else str(VENV / "bin" / "python")
    environment = {**os.environ, **SINGLE_THREAD}
    if tool in ENGINES:
        environment["PYTHONPATH"] = str(ROOT)
    else:
        environment.pop("PYTHONPATH", None)
    command = [python, str(ROOT / "benchmarks" / "one_evaluation.py"), tool, *map(str, (*files, *small))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=RESULTS)
    if done.returncode:
        return (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1][:160]
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def side_by_side(name: str, scale: str, tools: list[str], runs: int, small: tuple[Path, ...]) -> dict[str, Any]:
    """Every tool in turn, `runs` times over, quick ones more often: medians, peaks, the largest difference from the
    reference. Every process's result is kept under `name`, and none is repeated that is there.
    """
    files = coco_files.write(RESULTS / "files", scale)
    kept = RESULTS / "measured" / f"{name}.json"
    turns: dict[str, list[list[dict[str, Any]]]] = json.loads(kept.read_text()) if kept.exists() else {}
    failed: dict[str, str] = {}
    for turn in range(runs):
        for tool in tools:
            if tool in failed or turn < len(turns.setdefault(tool, [])):
                continue
            say(f"{name}, run {turn + 1} of {runs}: {tool}")
            results: list[dict[str, Any]] = []
            while len(results) < QUICK_TIMES and (not results or results[-1]["cpu"] < QUICK):
                result = one(tool, files, small)
                if isinstance(result, str):
                    failed[tool] = result
                    break
                results.append(result)
            else:
                turns[tool].append(results)
                kept.write_text(json.dumps(turns))
    found = {tool: [result for results in turns[tool][:runs] for result in results] for tool in tools}
    rows: dict[str, Any] = {}
    expected = found[REFERENCE][0]["numbers"] if found.get(REFERENCE) else None
    for tool, results in found.items():
        if tool in failed:
            continue
        difference = None
        if expected:
            difference = max(abs(a - b) for a, b in zip(results[0]["numbers"], expected, strict=True))
        rows[tool] = {
            "version": results[0]["version"],
            "cpu_seconds": median(result["cpu"] for result in results),
            "cpu_seconds_of_runs": [result["cpu"] for result in results],
            "process_cpu_seconds": median(result["process_cpu"] for result in results),
            "in_memory_seconds": median(result.get("in_memory", 0.0) for result in results),
            "wall_seconds": median(result["wall"] for result in results),
            "peak_mb": max(result["peak_mb"] for result in results),
            "largest_difference": difference,
        }
    sizes = [path.stat().st_size for path in files]
    return {"scale": scale, "bytes": sizes, "runs": runs, "tools": rows, "failed": failed}


def parts_of(files: tuple[Path, Path], runs: int) -> dict[str, float]:
    """Median CPU seconds of the evaluator's own parts."""
    dataset = load_dataset("coco")
    parts: dict[str, list[float]] = {}

    def timed(name: str, run: Any) -> Any:
        start = time.process_time()
        value = run()
        parts.setdefault(name, []).append(time.process_time() - start)
        return value

    def read_alone() -> None:
        buffer = bytearray(1 << 17)
        for path in files:
            with path.open("rb", buffering=0) as file:
                while file.readinto(buffer):
                    pass

    for _ in range(runs):
        timed("the bytes of both files from the page cache, and nothing else", read_alone)
        truth = timed("read the annotations", lambda: read_truth(files[0], dataset))
        found = timed("read the detections", lambda: read_predictions(files[1], dataset))
        (tally,) = timed("measure: order, prune, OKS, match", lambda t=truth, f=found: measure(dataset, f, t))
        timed("the ten numbers", tally.scores)
        timed(
            "1,000 resamples of the ten numbers",
            lambda tally=tally, truth=truth: with_intervals(tally, resamples("0" * 64, len(truth.image_ids))),
        )
    return {name: median(times) for name, times in parts.items()}


def machine() -> dict[str, Any]:
    model = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        names = [
            line.partition(":")[2].strip() for line in information.read_text().splitlines() if "model name" in line
        ]
        model = names[0] if names else model
    import numpy

    return {
        "processor": model,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "date": datetime.now(UTC).date().isoformat(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare the evaluator with other packages")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--scale", action="append", help="val2017, test-dev2017 or a number of detections; repeatable")
    parser.add_argument("--no-curve", action="store_true", help="leave out 1,000 to a million detections")
    parser.add_argument("--resume", action="store_true", help="keep what an interrupted run has measured")
    parser.add_argument("--docs", action="store_true", help="write docs/benchmarks.md")
    options = parser.parse_args()
    for engine in ENGINES.values():
        if not engines.has(engine):
            sys.exit(f"The engine {engine} is missing: make setup builds it")
    (RESULTS / "measured").mkdir(parents=True, exist_ok=True)
    if not options.resume:
        for path in (RESULTS / "measured").glob("*.json"):
            path.unlink()
    missing = install()
    tools = [*ENGINES, *(peer for peer in PEERS if peer not in missing)]
    small = coco_files.write(RESULTS / "files", "1000")
    scales = []
    for scale in options.scale or SCALES:
        runs = options.runs if scale == "val2017" else (options.runs + 1) // 2  # it takes three times as long
        scales.append(side_by_side(scale, scale, tools, runs, small))
    for scale in scales:
        scale["failed"] |= {peer: f"it could not be installed ({why})" for peer, why in missing.items()}
    curve = []
    for point in () if options.no_curve else CURVE:
        # pycocotools takes minutes, and five gigabytes, for a million
        quick = [tool for tool in CURVE_TOOLS if tool in tools and (tool != REFERENCE or int(point) < 1_000_000)]
        curve.append(side_by_side(f"curve-{point}", point, quick, 1, small))
    results = {
        "machine": machine(),
        "scales": scales,
        "fresh": side_by_side("fresh", "val2017", [tool for tool in FRESH_TOOLS if tool in tools], 1, ()),
        "parts": parts_of(coco_files.write(RESULTS / "files", "val2017"), options.runs),
        "curve": curve,
        "single_person": single_person.compare(),
    }
    text = page(results)
    (RESULTS / "evaluator_speed.json").write_text(json.dumps(results, indent=1) + "\n")
    (RESULTS / "evaluator_speed.md").write_text(text)
    if options.docs:
        (ROOT / "docs" / "benchmarks.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
