"""The page that evaluator_speed writes from what it measured."""

from __future__ import annotations

from typing import Any

INTRODUCTION = """\
# Speed of the evaluator

Written by `make bench` (`python -m benchmarks.evaluator_speed --docs`), which makes the files (seeded),
installs the peers into a virtual environment of their own and runs every tool in turn in processes of its
own, each on one thread. CPU seconds are those from the paths of the two files to the ten numbers, after the
imports and one warm-up call on small files. Digests, intervals and diagnosis are not included; nothing is
kept between runs. *In memory* is matching and accumulation alone, from what was loaded: for the peers
`evaluate()` and `accumulate()`, for PoseBoard `measure` and the ten numbers. Peak memory is that of the
whole process. *Without C* is PoseBoard with `POSEBOARD_PURE=1`: numpy and the standard library do the work.
"""

ENGINES = """\
## How it is done

`evaluator/native/` is C that is built when the package is installed; numpy is the fallback and the readable
reference, with the same bits (`tests/evaluator/test_large_files.py`). One
pass goes from the bytes of a file to arrays, without an object for a number: where numbers end is found 64
bytes at a time, their digits are converted side by side, by vector instructions on x86, and up to 15 digits
need one exact division, more the method of Eisel and Lemire. What the pass does not take is read again by the
careful reader, which is the only one that words errors. A pair of detection and person is compared by a bound
without exponentials first, and 19 of 20 go no further; the bound is below what can match, so nothing is lost.
"""

BOUNDS = """\
What bounds it, by the samples of `perf record` over 25 evaluations in one process: 38% is the conversion of
5.9 million numbers, 4 to 5 ns each (a third of that finds where a number ends, somewhat more makes sure that it is
one; leaving the division out changed nothing); 19% is the kernel's, which clears fresh memory for the arrays
(45 MB) and copies the files from the page cache; 15% is order, pruning and matching, much of it waiting for
keypoints that are read again in the order of the scores; the rest is array operations of numpy and the start
of the process. The kernel's part is the one that varies: in a virtual machine whose memory is not yet backed
by its host the same evaluation took 8 to 90 ms of system time beside 50 to 80 ms of its own.
"""


def taken(runs: int) -> str:
    """What a figure is, as one says it."""
    several = "one run of each" if runs == 1 else f"medians of {runs} runs of each"
    return f"{several}, and of three times as many where one takes less than a second"


def table(result: dict[str, Any]) -> str:
    """The tools of one size, the quickest first."""
    tools, sizes = result["tools"], result["bytes"]
    ours = tools["poseboard"]
    lines = [
        f"{sizes[0] / 1e6:.1f} MB of annotations, {sizes[1] / 1e6:.1f} MB of detections; {taken(result['runs'])}.",
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
    """Whole processes: what a command costs."""
    lines = [
        "## A process of its own",
        "",
        "From the start of Python to the ten numbers at val2017 size, imports included and nothing warmed up;",
        f"CPU seconds, {taken(result['runs'])}.",
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
        "Of the evaluator at val2017 size, in CPU seconds:",
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
        "From arrays in memory; the ways of others are written from their definition. Largest difference between the",
        f"rates: {single['largest_difference']:.0e}.",
        "",
        "| | CPU seconds |",
        "|---|---:|",
    ]
    lines += [f"| {name} | {seconds:.4f} |" for name, seconds in single["cpu_seconds"].items()]
    return "\n".join(lines) + "\n"
