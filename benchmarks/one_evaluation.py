"""One evaluator on one pair of files, in this process: prints a line of JSON. Started by evaluator_speed.

python one_evaluation.py TOOL ANNOTATIONS DETECTIONS SMALL_ANNOTATIONS SMALL_DETECTIONS

Counted is the CPU time from the paths of the two files to the ten numbers, after the imports and one warm-up call on
small files. It must run where only the tool itself is installed, so it uses the standard library alone.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import resource
import sys
import time
from importlib.metadata import version
from pathlib import Path

# name of the distribution: module, class of the evaluation
PEERS = {
    "pycocotools": ("pycocotools.coco:COCO", "pycocotools.cocoeval:COCOeval"),
    "xtcocotools": ("xtcocotools.coco:COCO", "xtcocotools.cocoeval:COCOeval"),
    "faster-coco-eval": ("faster_coco_eval:COCO", "faster_coco_eval:COCOeval_faster"),
    "ultrafast-pycocotools": ("ultrafast_pycocotools:COCO", "ultrafast_pycocotools:COCOeval"),
    "hotcoco": ("hotcoco:COCO", "hotcoco:COCOeval"),
}


def named(place):
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


def runner(tool):
    """A function from the two paths to the ten numbers."""
    if tool == "poseboard":
        from evaluator import evaluate

        return lambda truth, found: [score.value for score in evaluate("coco", found, truth).scores]
    coco, evaluation = (named(place) for place in PEERS[tool])

    def run(truth, found):
        annotated = coco(truth)
        load = getattr(annotated, "loadRes", None) or annotated.load_res
        run = evaluation(annotated, load(found), "keypoints")
        run.evaluate()
        run.accumulate()
        run.summarize()
        return [float(value) for value in run.stats][:10]

    return run


def peak():
    """Megabytes of this program at its largest. Linux counts in ru_maxrss what the process was before it."""
    if sys.platform == "linux":
        with Path("/proc/self/status").open() as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1024**2 if sys.platform == "darwin" else 1024)


def main():
    tool, truth, found, small_truth, small_found = sys.argv[1:]
    run = runner(tool)
    with contextlib.redirect_stdout(io.StringIO()):
        run(small_truth, small_found)
        before, cpu = time.perf_counter(), time.process_time()
        numbers = run(truth, found)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - before
    about = {"cpu": cpu, "wall": wall, "peak_mb": peak(), "numbers": numbers, "version": version(tool)}
    print("\n" + json.dumps(about))


if __name__ == "__main__":
    main()
