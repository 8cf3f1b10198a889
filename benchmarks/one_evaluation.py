"""One evaluator on one pair of files, in this process: prints a line of JSON. Started by evaluator_speed.

python one_evaluation.py TOOL ANNOTATIONS DETECTIONS [SMALL_ANNOTATIONS SMALL_DETECTIONS]

`cpu` is the CPU time from the paths of the two files to the ten numbers, after the imports and one warm-up call on the
small files; `in_memory` that of matching and accumulation alone, from what was loaded. Without small files there is no
warm-up, and `process_cpu` tells the tale of a command: everything since the process began, imports and all. It must run
where only the tool itself is installed, so it uses the standard library alone.
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
ENGINES = {"poseboard": "native", "poseboard without C": "numpy"}


def named(place):
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


class Ours:
    """The evaluator on one of its engines."""

    def __init__(self, engine):
        from evaluator import evaluate
        from evaluator.native import engine as engines

        self.evaluate = evaluate
        self.within = engines.using(engine)
        self.within.__enter__()

    def numbers(self, truth, found):
        return [score.value for score in self.evaluate("coco", found, truth).scores]

    def in_memory(self, truth, found):
        from evaluator import load_dataset, measure, read_predictions, read_truth

        dataset = load_dataset("coco")
        annotated, detected = read_truth(truth, dataset), read_predictions(found, dataset)
        before = time.process_time()
        for tally in measure(dataset, detected, annotated):
            tally.scores()
        return time.process_time() - before


class Peer:
    """An evaluator with the interface of pycocotools."""

    def __init__(self, tool):
        self.coco, self.evaluation = (named(place) for place in PEERS[tool])
        self.seconds = 0.0

    def numbers(self, truth, found):
        annotated = self.coco(truth)
        load = getattr(annotated, "loadRes", None) or annotated.load_res
        run = self.evaluation(annotated, load(found), "keypoints")
        before = time.process_time()
        run.evaluate()
        run.accumulate()
        self.seconds = time.process_time() - before
        run.summarize()
        return [float(value) for value in run.stats][:10]

    def in_memory(self, truth, found):
        return self.seconds  # of the run before: some of them take minutes


def peak():
    """Megabytes of this program at its largest. Linux counts in ru_maxrss what the process was before it."""
    if sys.platform == "linux":
        with Path("/proc/self/status").open() as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1024**2 if sys.platform == "darwin" else 1024)


def main():
    tool, truth, found, *small = sys.argv[1:]
    evaluator = Ours(ENGINES[tool]) if tool in ENGINES else Peer(tool)
    with contextlib.redirect_stdout(io.StringIO()):
        if small:
            evaluator.numbers(*small)
        before, cpu = time.perf_counter(), time.process_time()
        numbers = evaluator.numbers(truth, found)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - before
        about = {"cpu": cpu, "wall": wall, "process_cpu": time.process_time(), "peak_mb": peak(), "numbers": numbers}
        if small:
            about["in_memory"] = evaluator.in_memory(truth, found)
    about["version"] = version("poseboard" if tool in ENGINES else tool)
    print("\n" + json.dumps(about))


if __name__ == "__main__":
    main()
