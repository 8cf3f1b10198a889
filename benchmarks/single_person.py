"""PCKh at the size of MPII's test set, beside the ways of HRNet and mmpose, written from the definition.

All three are given the same arrays in memory, and must find the same numbers.
"""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import numpy as np

from evaluator import Annotations, Predictions, load_dataset, measure
from evaluator.metrics import load_metric

PEOPLE = 11_731  # annotated people of MPII's test images
THRESHOLD = 0.5
UNSCORED = ("pelvis", "thorax")


def people(count: int, seed: int = 0) -> tuple[Annotations, Predictions]:
    """One person per image, with errors of about half a head."""
    dataset, rng = load_dataset("mpii"), np.random.default_rng(seed)
    joints = len(dataset.joints)
    true = dataset.pose * [120, 240] + rng.normal(0, 8, (count, joints, 2))
    flags = np.where(rng.random((count, joints)) < 0.12, 0, 2).astype(np.int8)
    numbers, none = np.arange(count), np.full((count, 4), np.nan)
    annotations = Annotations(
        image_ids=numbers + 1,
        image=numbers,
        ids=numbers + 1,
        person_ids=np.zeros(count, dtype=np.int64),
        keypoints=np.where(flags[..., None] > 0, true, np.nan),
        visibility=flags,
        num_keypoints=(flags > 0).sum(axis=1),
        areas=none[:, 0],
        boxes=none,
        crowd=np.zeros(count, dtype=bool),
        head_sizes=rng.uniform(20, 40, count),
        torso_boxes=none[:, :2],
        sha256="0" * 64,
    )
    found = np.concatenate([true + rng.normal(0, 9, true.shape), rng.random((count, joints, 1))], axis=2)
    predictions = Predictions(
        image_ids=numbers + 1, person_ids=np.zeros(count, dtype=np.int64), keypoints=found, scores=np.ones(count)
    )
    return annotations, predictions


def as_hrnet(true: Any, found: Any, labelled: Any, sizes: Any) -> Any:
    """Rates of all joints: arrays of [joints, 2, people], the rate at the threshold, then again at 51 thresholds."""
    true, found = true.transpose(1, 2, 0), found.transpose(1, 2, 0)
    visible = labelled.T
    distance = np.linalg.norm(found - true, axis=1)
    scaled = distance / (np.ones((len(distance), 1)) * sizes) * visible
    rates = 100.0 * ((scaled <= THRESHOLD) * visible).sum(axis=1) / visible.sum(axis=1)
    steps = np.arange(0, THRESHOLD + 0.01, 0.01)
    curve = np.zeros((len(steps), len(distance)))
    for row, step in enumerate(steps):
        curve[row] = 100.0 * ((scaled <= step) * visible).sum(axis=1) / visible.sum(axis=1)
    return rates / 100, curve


def as_mmpose(true: Any, found: Any, labelled: Any, sizes: Any) -> Any:
    """Rates of all joints: distances of what is labelled, -1 elsewhere, then joint by joint."""
    distance = np.full(labelled.shape, -1.0)
    scale = np.repeat(sizes[:, None], 2, axis=1)
    distance[labelled] = np.linalg.norm(((found - true) / scale[:, None, :])[labelled], axis=-1)
    rates = []
    for of_joint in distance.T:
        valid = of_joint != -1
        rates.append((of_joint[valid] <= THRESHOLD).sum() / valid.sum() if valid.any() else -1.0)
    return np.array(rates), None


def cpu_of(run: Any, runs: int) -> float:
    times = []
    for _ in range(runs):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return median(times)


def compare(runs: int = 5) -> dict[str, Any]:
    """Median CPU seconds of each, and the largest difference of any joint's rate."""
    dataset = load_dataset("mpii")
    annotations, predictions = people(PEOPLE)
    labelled = annotations.visibility > 0
    true = np.where(labelled[..., None], annotations.keypoints, 0.0)
    arguments = true, predictions.keypoints[..., :2], labelled, annotations.head_sizes
    tally = next(tally for tally in measure(dataset, predictions, annotations) if tally.columns[0][0] == "pckh@0.5")
    ours = {part: value for (_, part), value in zip(tally.columns, tally.values(np.ones((1, PEOPLE)))[0], strict=True)}
    theirs, _ = as_hrnet(*arguments)
    others, _ = as_mmpose(*arguments)
    differences = [float(np.abs(theirs - others).max())]
    for part, joints in dataset.parts.items():
        places = [dataset.joints.index(joint) for joint in joints if joint not in UNSCORED]
        if part in ours and places:
            differences.append(abs(float(theirs[places].mean()) - float(ours[part])))
    assert len(differences) > 3
    metric, parameters, names = dataset.measurements[0]
    first = load_metric(metric)
    seconds = {
        f"poseboard ({', '.join(names)} with its parts)": cpu_of(
            lambda: first.measure(annotations, predictions, dataset, names=names, **parameters).scores(), runs
        ),
        "poseboard (every metric and part of MPII)": cpu_of(
            lambda: [tally.scores() for tally in measure(dataset, predictions, annotations)], runs
        ),
        "HRNet's way (PCKh@0.5 and its curve)": cpu_of(lambda: as_hrnet(*arguments), runs),
        "mmpose's way (PCKh@0.5)": cpu_of(lambda: as_mmpose(*arguments), runs),
    }
    return {"people": PEOPLE, "cpu_seconds": seconds, "largest_difference": max(differences)}
