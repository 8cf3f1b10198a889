"""The evaluator beside its peers, from files to COCO's ten numbers: python -m benchmarks.evaluator_speed [--help]

Makes seeded files, installs the peers into a virtual environment of their own, runs every tool in processes of its own,
in turn, each on one thread, and writes a table as Markdown and JSON to benchmarks/results (and docs/benchmarks.md with
--docs). CPU seconds are those of the process from the two paths to the ten numbers, after the imports and one warm-up
call on small files; digests, intervals and diagnosis are not included, and nothing is kept between runs.
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
from benchmarks.one_evaluation import PEERS
from evaluator import compiled, load_dataset, measure, read_predictions, read_truth, warm_up
from evaluator.uncertainty import resamples, with_intervals

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
VENV = RESULTS / "peers"
VERSIONS = {"pycocotools": "==2.0.11", "hotcoco": "==1.3.0"}
REFERENCE = "pycocotools"
CURVE = ("1000", "10000", "100000")
SINGLE_THREAD = dict.fromkeys(
    [f"{library}_NUM_THREADS" for library in ("OMP", "OPENBLAS", "MKL", "NUMBA", "RAYON")],
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
    missing = {}
    for peer in PEERS:
        have = subprocess.run([str(python), "-m", "pip", "show", "-q", peer], capture_output=True, check=False)
        if have.returncode == 0:
            continue
        say(f"Installing {peer}")
        command = [
            str(python),
            "-m",
            "pip",
            "install",
            "-q",
            "--disable-pip-version-check",
            peer + VERSIONS.get(peer, ""),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            missing[peer] = (done.stderr.strip().splitlines() or ["pip failed"])[-1][:120]
    return missing


def one(tool: str, files: tuple[Path, Path], small: tuple[Path, Path]) -> dict[str, Any] | str:
    """One run in a process of its own: what it measured, or why it failed."""
    python = sys.executable if tool == "poseboard" else str(VENV / "bin" / "python")
    environment = {**os.environ, **SINGLE_THREAD}
    if tool == "poseboard":
        environment["PYTHONPATH"] = str(ROOT)
    else:
        environment.pop("PYTHONPATH", None)
    command = [python, str(ROOT / "benchmarks" / "one_evaluation.py"), tool, *map(str, (*files, *small))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=RESULTS)
    if done.returncode:
        return (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1][:160]
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def side_by_side(scale: str, tools: list[str], runs: int, small: tuple[Path, Path]) -> dict[str, Any]:
    """Every tool in turn, `runs` times over: medians, peaks, and the largest difference from the reference."""
    files = coco_files.write(RESULTS / "files", scale)
    found: dict[str, list[dict[str, Any]]] = {tool: [] for tool in tools}
    failed: dict[str, str] = {}
    for turn in range(runs):
        for tool in tools:
            if tool in failed:
                continue
            say(f"{scale}, run {turn + 1} of {runs}: {tool}")
            result = one(tool, files, small)
            if isinstance(result, str):
                failed[tool] = result
            else:
                found[tool].append(result)
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
            "wall_seconds": median(result["wall"] for result in results),
            "peak_mb": max(result["peak_mb"] for result in results),
            "largest_difference": difference,
        }
    sizes = [path.stat().st_size for path in files]
    return {"scale": scale, "bytes": sizes, "runs": runs, "tools": rows, "failed": failed}


def in_memory(files: tuple[Path, Path], runs: int) -> dict[str, float]:
    """Median CPU seconds of the evaluator's own parts."""
    warm_up()
    dataset = load_dataset("coco")
    parts: dict[str, list[float]] = {}

    def timed(name: str, run: Any) -> Any:
        start = time.process_time()
        value = run()
        parts.setdefault(name, []).append(time.process_time() - start)
        return value

    for _ in range(runs):
        truth = timed("read the annotations", lambda: read_truth(files[0], dataset))
        found = timed("read the detections", lambda: read_predictions(files[1], dataset))
        (tally,) = timed("measure", lambda truth=truth, found=found: measure(dataset, found, truth))
        timed("the ten numbers", tally.scores)
        timed(
            "1,000 resamples",
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
    import numba
    import numpy

    return {
        "processor": model,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "numba": numba.__version__,
        "date": datetime.now(UTC).date().isoformat(),
    }


def table(result: dict[str, Any]) -> str:
    tools, sizes = result["tools"], result["bytes"]
    ours = tools["poseboard"]["cpu_seconds"]
    lines = [
        f"{sizes[0] / 1e6:.1f} MB of annotations, {sizes[1] / 1e6:.1f} MB of detections; medians of {result['runs']}.",
        "",
        "| | version | CPU seconds | times PoseBoard | peak memory (MB) | largest difference from pycocotools |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for tool, row in sorted(tools.items(), key=lambda item: item[1]["cpu_seconds"]):
        difference = "" if row["largest_difference"] is None else f"{row['largest_difference']:.1e}"
        lines.append(
            f"| {tool} | {row['version']} | {row['cpu_seconds']:.3f} | {row['cpu_seconds'] / ours:.1f} "
            f"| {row['peak_mb']:.0f} | {difference} |"
        )
    lines += [f"\n{tool} is not in the table: {why}" for tool, why in result["failed"].items()]
    return "\n".join(lines)


def page(results: dict[str, Any]) -> str:
    about = results["machine"]
    lines = [
        "# Speed of the evaluator",
        "",
        "Written by `make bench` (`python -m benchmarks.evaluator_speed --docs`), which makes the files (seeded),",
        "installs the peers into a virtual environment of their own and runs every tool in turn in processes of its",
        "own, each on one thread. CPU seconds are those from the paths of the two files to the ten numbers, after the",
        "imports and one warm-up call on small files. Digests, intervals and diagnosis are not included; nothing is",
        "kept between runs. Peak memory is that of the whole process.",
        "",
        f"{about['processor']}, {about['cores']} cores, {about['system']}, Python {about['python']},",
        f"numpy {about['numpy']}, numba {about['numba']}, {about['date']}.",
    ]
    for result in results["scales"]:
        lines += ["", f"## COCO keypoints, {result['scale']} size", "", table(result)]
    lines += [
        "",
        "## Where the time goes",
        "",
        "Of the evaluator at val2017 size, in CPU seconds:",
        "",
        "| | |",
        "|---|---:|",
    ]
    lines += [f"| {name} | {seconds:.3f} |" for name, seconds in results["parts"].items()]
    if results["curve"]:
        tools = list(results["curve"][0]["tools"])
        lines += ["", "## From few detections to many", "", "CPU seconds.", "", f"| detections | {' | '.join(tools)} |"]
        lines += ["|---:" * (len(tools) + 1) + "|"]
        for result in results["curve"]:
            cells = [f"{result['tools'][t]['cpu_seconds']:.3f}" if t in result["tools"] else "" for t in tools]
            lines += [f"| {int(result['scale']):,} | {' | '.join(cells)} |"]
    single = results["single_person"]
    lines += [
        "",
        f"## PCKh of {single['people']:,} people, the size of MPII's test set",
        "",
        "From arrays in memory; the ways of others are written from their definition. Largest difference between the",
        f"rates: {single['largest_difference']:.0e}.",
        "",
        "| | CPU seconds |",
        "|---|---:|",
    ]
    lines += [f"| {name} | {seconds:.4f} |" for name, seconds in single["cpu_seconds"].items()]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="The evaluator beside its peers")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--scale", action="append", help="val2017, test-dev2017 or a number of detections; repeatable")
    parser.add_argument("--million", action="store_true", help="a million detections in the curve as well")
    parser.add_argument("--no-curve", action="store_true")
    parser.add_argument("--docs", action="store_true", help="write docs/benchmarks.md")
    options = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    missing = install()
    tools = ["poseboard", *(peer for peer in PEERS if peer not in missing)]
    if not compiled.available():
        sys.exit("numba is missing: the figures would be those of the array code")
    warm_up(say)
    small = coco_files.write(RESULTS / "files", "1000")
    scales = [side_by_side(scale, tools, options.runs, small) for scale in options.scale or ["val2017"]]
    for scale in scales:
        scale["failed"] |= {peer: f"it could not be installed ({why})" for peer, why in missing.items()}
    quick = [tool for tool in ("poseboard", "hotcoco", "pycocotools") if tool in tools]
    points = [] if options.no_curve else [*CURVE, *(["1000000"] if options.million else [])]
    results = {
        "machine": machine(),
        "scales": scales,
        "parts": in_memory(coco_files.write(RESULTS / "files", "val2017"), options.runs),
        "curve": [side_by_side(point, quick, 1 if int(point) > 50_000 else 3, small) for point in points],
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
