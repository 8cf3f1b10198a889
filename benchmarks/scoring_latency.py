"""How long one submission takes in the sandbox, beside the evaluator in this process.

`python benchmarks/scoring_latency.py`, with invented people of the LSP form: medians of wall seconds, after one run
that is not counted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from evaluator import evaluate, load_dataset
from leaderboard.sandbox.defences import Limits
from leaderboard.sandbox.scorer import Scorer


def files(folder: Path, people: int) -> tuple[Path, Path]:
    """Annotations and predictions of `people` images with one person each."""
    random = np.random.default_rng(1)
    joints = load_dataset("lsp").joints
    truth_points = random.uniform(10, 170, (people, len(joints), 2))
    guesses = truth_points + random.normal(0, 8, truth_points.shape)
    truth = {
        "info": {"dataset": "lsp", "split": "test"},
        "images": [
            {"id": 1001 + i, "file_name": f"im{1001 + i}.jpg", "width": 180, "height": 180} for i in range(people)
        ],
        "annotations": [
            {
                "id": i + 1, "image_id": 1001 + i, "person_id": 0, "category_id": 1, "iscrowd": 0,
                "num_keypoints": len(joints), "bbox": [10, 10, 160, 160], "area": 13_568,
                "keypoints": np.column_stack([truth_points[i], np.full(len(joints), 2)]).ravel().tolist(),
            }
            for i in range(people)
        ],
        "categories": [{"id": 1, "name": "person", "keypoints": list(joints), "skeleton": []}],
    }  # fmt: skip
    predictions = [
        {
            "image_id": 1001 + i,
            "person_id": 0,
            "score": 1.0,
            "keypoints": np.column_stack([guesses[i], np.ones(len(joints))]).ravel().tolist(),
        }
        for i in range(people)
    ]
    paths = folder / f"truth-{people}.json", folder / f"predictions-{people}.json"
    for path, content in zip(paths, (truth, predictions), strict=True):
        path.write_text(json.dumps(content))
    return paths


def median_seconds(act: Callable[[], object], runs: int) -> float:
    act()
    seconds = []
    for _ in range(runs):
        started = time.perf_counter()
        act()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    limits = Limits(memory_bytes=2 << 30, cpu_seconds=60, wall_seconds=60)
    print("people  sandbox  in process  ratio")
    with tempfile.TemporaryDirectory() as folder, Scorer(limits) as scorer:
        for people in (10, 100, 1000):
            truth, predictions = files(Path(folder), people)
            sandboxed = median_seconds(
                lambda t=truth, p=predictions: scorer.run(dataset="lsp", predictions=p, truth=t), runs
            )
            alone = median_seconds(lambda t=truth, p=predictions: evaluate("lsp", p, t, intervals=True), runs)
            print(f"{people:6d}  {sandboxed:6.3f}s  {alone:9.3f}s  {sandboxed / alone:5.2f}")


if __name__ == "__main__":
    main()
