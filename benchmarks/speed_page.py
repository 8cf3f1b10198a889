"""The page that evaluator_speed writes from what it measured."""

from __future__ import annotations

from typing import Any

INTRODUCTION = """\
# Speed of the evaluator

Written by `make bench` (`python -m benchmarks.evaluator_speed --docs`), which generates the files from a seed,
installs the other packages into a separate virtual environment and runs each tool in its own processes, on
one thread. CPU seconds are measured from the paths of the two files to the ten numbers, after the imports
and one warm-up call on small files. Digests, intervals and diagnosis are not included; nothing is cached
between runs. *In memory* is matching and accumulation only, from loaded data: `evaluate()` and
`accumulate()` of the other packages, `measure` and the ten numbers of PoseBoard. Peak memory is that of the
whole process. *Without C* is PoseBoard with `POSEBOARD_PURE=1`: numpy and the standard library do the work.
"""

ENGINES = """\
## How it is done

`evaluator/native/` contains C code that is built when the package is installed. numpy is the fallback and the readable
reference, with the same bits (`tests/evaluator/test_large_files.py`). One pass converts the bytes of a file to arrays,
without creating an object per number: it finds the ends of numbers 64 bytes at a time and converts their digits in
parallel, with vector instructions on x86; up to 15 digits need one exact division, and longer numbers use the method
of Eisel and Lemire. A file that this pass does not accept is read again by the careful reader, which alone reports
errors. Each pair of detection and person is first compared with a bound that needs no exponentials, and 19 of 20
pairs need nothing more; the bound is below any similarity that can match, so no match is lost.
"""

BOUNDS = """\
According to `perf record` over 25 evaluations in one process, 38% of the time is the conversion of 5.9 million
numbers, 4 to 5 ns each (a third of that finds the end of a number, and somewhat more validates it; removing the
division changed nothing). 19% is the kernel, which clears new memory for the arrays (45 MB) and copies the files
from the page cache. 15% is ordering, pruning and matching, much of it waiting for keypoints that are read again in
the order of the scores. The rest is numpy's array operations and the start of the process. Only the kernel's share
varies: in a virtual machine whose memory was not yet backed by its host, the same evaluation took 8 to 90 ms of
system time in addition to 50 to 80 ms of user time.
"""


def repeats(runs: int) -> str:
    several = "one run per tool" if runs == 1 else f"medians of {runs} runs per tool"
    return f"{several}, or {3 * runs} where a run takes less than a second"


def table(result: dict[str, Any]) -> str:
    """The tools of one size, the quickest first."""
    tools, sizes = result["tools"], result["bytes"]
    ours = tools["poseboard"]
    lines = [
        f"{sizes[0] / 1e6:.1f} MB of annotations, {sizes[1] / 1e6:.1f} MB of detections; {repeats(result['runs'])}.",
        "",
        "| | version | CPU seconds | times PoseBoard | in memory | times | peak memory (MB) | from pycocotools |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for tool, row in sorted(tools.items(), key=lambda item: item[1]["cpu_seconds"]):
        difference = "" if row["largest_difference"] is None else f"{row['largest_difference']:.1e}"
        lines.append(
            f"| {tool} | {row['version']} | {row['cpu_seconds']:.3f} | {row['cpu_seconds'] / ours['cpu_seconds']:.1f} "
            f"| {row['in_memory_seconds']:.3f} | {row['in_memory_seconds'] / ours['in_memory_seconds']:.1f} "
            f"| {row['peak_mb']:.0f} | {difference} |"
        )
    lines += [f"\n{tool} is not in the table: {why}" for tool, why in result["failed"].items()]
    return "\n".join(lines)


def fresh(result: dict[str, Any]) -> list[str]:
    """Complete processes: the cost of a command."""
    lines = [
        "## Complete processes",
        "",
        "From the start of Python to the ten numbers at val2017 size, including imports and without warm-up;",
        f"CPU seconds, {repeats(result['runs'])}.",
        "",
        "| | CPU seconds | peak memory (MB) |",
        "|---|---:|---:|",
    ]
    for tool, row in sorted(result["tools"].items(), key=lambda item: item[1]["process_cpu_seconds"]):
        lines.append(f"| {tool} | {row['process_cpu_seconds']:.2f} | {row['peak_mb']:.0f} |")
    return lines


def curve(points: list[dict[str, Any]]) -> list[str]:
    tools = list(points[0]["tools"])
    explained = "CPU seconds; images and people grow in proportion. pycocotools was not run on a million."
    lines = ["## From few detections to many", "", explained]
    lines += ["", f"| detections | {' | '.join(tools)} | PoseBoard's memory (MB) |", "|---:" * (len(tools) + 2) + "|"]
    for result in points:
        rows = result["tools"]
        cells = [f"{rows[tool]['cpu_seconds']:.3f}" if tool in rows else "" for tool in tools]
        lines.append(f"| {int(result['scale']):,} | {' | '.join(cells)} | {rows['poseboard']['peak_mb']:.0f} |")
    return lines


def page(results: dict[str, Any]) -> str:
    about = results["machine"]
    lines = [
        INTRODUCTION,
        f"{about['processor']}, {about['cores']} cores, {about['system']}, Python {about['python']},",
        f"numpy {about['numpy']}, {about['date']}.",
    ]
    for result in results["scales"]:
        lines += ["", f"## COCO keypoints, {result['scale']} size", "", table(result)]
    lines += ["", *fresh(results["fresh"]), "", ENGINES]
    lines += [
        "## Where the time goes",
        "",
        "CPU seconds of the evaluator at val2017 size:",
        "",
        "| | |",
        "|---|---:|",
    ]
    lines += [f"| {name} | {seconds:.4f} |" for name, seconds in results["parts"].items()]
    lines += ["", BOUNDS.rstrip()]
    if results["curve"]:
        lines += ["", *curve(results["curve"])]
    single = results["single_person"]
    lines += [
        "",
        f"## PCKh of {single['people']:,} people, the size of MPII's test set",
        "",
        "From arrays in memory; other methods are implemented from their definitions. Largest difference between the",
        f"rates: {single['largest_difference']:.0e}.",
        "",
        "| | CPU seconds |",
        "|---|---:|",
    ]
    lines += [f"| {name} | {seconds:.4f} |" for name, seconds in single["cpu_seconds"].items()]
    return "\n".join(lines) + "\n"
