"""Fits the statistics that grouping uses to annotated training images, and stores them with a checkpoint.

DeeperCut (arXiv 1605.03170), section 4: a logistic for every pair of classes, learned from the pairs of detections that
a trained network has on the training images. Every class also gets a logistic of its own, which turns its scores into
the probabilities that the multicut needs.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from baselines.decode import grouping
from baselines.decode.grouping import JointDetections, Model
from baselines.estimators import crop_grouping
from baselines.estimators.heatmap import HeatmapEstimator
from baselines.protocol import BaselineFailed
from baselines.run.loading import load
from baselines.train import data as annotated
from baselines.train.data import TrainingPeople
from baselines.weights.checkpoints import Checkpoint, CheckpointError
from evaluator import load_dataset

Floats = NDArray[np.float64]
REACH = 0.1 * grouping.PERSON_HEIGHT  # pixels: how near a detection of a joint is to the joint

PEOPLE = 600  # to learn from, unless another number is asked for
HELD_OUT, SEED = 0.2, 0  # share of the images that the fit is checked on, and the seed that draws them
MARGIN = 0.01  # share of all joints that grouping must find beyond those found without it; less may be chance


@dataclass(frozen=True)
class Example:
    """The detections of an image, and the number of the person that each belongs to [N], -1 for none."""

    found: JointDetections
    owner: NDArray[np.int64]


def example(found: JointDetections, joints: Floats) -> Example:
    """Detections, each assigned to the one of people [P, K, 2] whose joint of its class is nearest; joints that are not
    annotated are NaN."""
    away = np.linalg.norm(joints[:, found.classes] - found.places, axis=2)  # [P, N]
    away = np.where(np.isnan(away), np.inf, away)
    return Example(found, np.where(away.min(axis=0) <= REACH, away.argmin(axis=0), -1))


def mean_ways(joints: Floats) -> Floats:
    """The mean offset [K, K, 2] from one joint to another, of people [N, K, 2]; zero where nobody has both."""
    between = joints[:, None, :] - joints[:, :, None]  # [N, K, K, 2]: at [a, b] from a to b
    there = ~np.isnan(between[..., :1])
    ways: Floats = np.where(there, between, 0.0).sum(axis=0) / np.maximum(there.sum(axis=0), 1)
    return ways


def fit(examples: Iterable[Example], classes: int, ways: Floats | None = None) -> Model:
    """The model fitted to examples. Pairs in which neither detection is a person's joint are left out."""
    drawn = list(examples)
    scores, pairs = np.zeros((classes, 2)), np.tile(grouping.PRIOR, (classes, classes, 1))
    rows, same = _pairs(drawn, classes)
    for a in range(classes):
        odds = np.concatenate([grouping.log_odds(e.found.scores[e.found.classes == a]) for e in drawn])
        right = np.concatenate([e.owner[e.found.classes == a] >= 0 for e in drawn])
        features = np.stack([odds, np.ones(len(odds))], axis=1)
        scores[a] = grouping.fit_logistic(features, right, np.array([1.0, 0.0]))
        for b in range(a + 1, classes):
            pairs[a, b] = grouping.fit_logistic(rows[a, b], same[a, b])
    return Model(scores, pairs, ways)


def log_likelihood(examples: Iterable[Example], model: Model) -> float:
    """Mean log-likelihood of whether the pairs of detections of different classes belong to one person."""
    rows, same = _pairs(list(examples), len(model.scores))
    total = count = 0.0
    for (a, b), features in rows.items():
        sign = np.where(same[a, b], 1.0, -1.0)
        total -= np.logaddexp(0.0, -sign * (features @ model.pairs[a, b])).sum()
        count += len(sign)
    return total / max(count, 1.0)


def _pairs(
    examples: list[Example], classes: int
) -> tuple[dict[tuple[int, int], Floats], dict[tuple[int, int], NDArray[np.bool_]]]:
    """Features [M, 9] of the pairs of detections of classes a < b, by (a, b), and whether both belong to one person
    [M]."""
    features, same, of = [np.zeros((0, grouping.FEATURES))], [np.zeros(0, bool)], [np.zeros((0, 2), np.int64)]
    for each in examples:
        first, second = np.triu_indices(len(each.owner), 1)
        kinds = np.stack([each.found.classes[first], each.found.classes[second]], axis=1)
        known = (kinds[:, 0] < kinds[:, 1]) & ((each.owner[first] >= 0) | (each.owner[second] >= 0))
        first, second = first[known], second[known]
        features.append(grouping.pair_features(each.found, first, second))
        same.append(each.owner[first] == each.owner[second])
        of.append(kinds[known])
    number = np.concatenate(of) @ [classes, 1]
    order = np.argsort(number, kind="stable")
    ends = np.cumsum(np.bincount(number, minlength=classes**2))[:-1]
    every, whether = np.split(np.concatenate(features)[order], ends), np.split(np.concatenate(same)[order], ends)
    pairs = [(a, b) for a in range(classes) for b in range(a + 1, classes)]
    return {(a, b): every[a * classes + b] for a, b in pairs}, {(a, b): whether[a * classes + b] for a, b in pairs}


@dataclass(frozen=True)
class Crop:
    """A training crop: its detections, the most likely place of every joint on its own [K, 2], and the joints of
    everyone in it [P, K, 2], first those of the person it was cut out for; NaN where one is not annotated."""

    found: JointDetections
    alone: Floats
    joints: Floats

    @property
    def example(self) -> Example:
        return example(self.found, self.joints)


def crops_of(estimator: HeatmapEstimator, people: TrainingPeople, rows: NDArray[np.int64]) -> Iterator[Crop]:
    """The crops of the annotated people of `rows`, through an estimator."""
    factor, mean, std = (
        grouping.PERSON_HEIGHT / estimator.person_height,
        np.array(annotated.MEAN),
        np.array(annotated.STD),
    )
    for batch in annotated.batches(
        people, rows, size=estimator.input_size, batch=16, mirrored=[], augmentation=None, seed=0, epoch=0,
        everyone=True,
    ):  # fmt: skip
        pixels = np.rint((batch.images.transpose(0, 2, 3, 1) * std + mean) * 255).astype(np.uint8)  # [B, H, W, 3]
        output = estimator.forward(pixels)
        alone = estimator.best(output)[0] * factor
        joints = np.where(batch.weights[..., None] > 0, batch.joints * factor, np.nan)
        for found, each, own in zip(estimator.detections(output), alone, joints, strict=True):
            yield Crop(found, each, own)


def joints_found(crops: Iterable[Crop], model: Model, size: Floats) -> dict[str, float]:
    """The share of joints, of the people at the centres of crops of `size` [2], that are found within REACH: each on
    its own (`alone`) and by grouping (`grouped`)."""
    near = {"alone": 0, "grouped": 0}
    there = 0
    for crop in crops:
        joints, confidence = crop_grouping.person(crop.found, model, size)
        grouped = np.where(confidence[:, None] > 0, joints, crop.alone)
        there += int((~np.isnan(crop.joints[0, :, 0])).sum())
        for name, output in (("alone", crop.alone), ("grouped", grouped)):
            near[name] += int((np.linalg.norm(output - crop.joints[0], axis=1) <= REACH).sum())
    return {name: count / max(there, 1) for name, count in near.items()}


def fit_checkpoint(
    path: Path,
    dataset: str,
    annotations: Path,
    folder: Path,
    *,
    people: int = PEOPLE,
    device: str | None = None,
    command: str = "",
) -> Checkpoint:
    """Fit the grouping of a checkpoint to annotated training images, and rewrite its description at `path`.

    The fit uses at most `people` people. Half as many, on other images, decide whether crops are grouped from now on
    (`grouped`): only if grouping finds more joints by more than MARGIN. Raises BaselineFailed.
    """
    started = time.process_time()
    definition = load_dataset(dataset)
    try:
        checkpoint = Checkpoint.read(path)
    except CheckpointError as error:
        raise BaselineFailed(f"checkpoint_{error.code}", str(error)) from error
    estimator = load(checkpoint.baseline, dataset, checkpoint=path, device=device)
    if not isinstance(estimator, HeatmapEstimator):
        raise BaselineFailed("no_grouping", f"{checkpoint.baseline} has no maps: there is nothing to group")
    if checkpoint.joints != tuple(definition.joints):
        raise BaselineFailed("other_joints", f"{path.name} has joints other than those of {dataset}")
    everyone = annotated.read_people(definition, annotations, folder, padding=checkpoint.padding)
    learned, held = (
        list(crops_of(estimator, part, annotated.order(len(part), SEED, 0)[:most]))
        for part, most in zip(annotated.split(everyone, HELD_OUT, SEED), (people, people // 2), strict=True)
    )
    ways = None
    if not estimator.predicts_ways:
        ways = mean_ways(np.stack([crop.joints[0] for crop in learned]))
        learned, held = (
            [replace(crop, found=replace(crop.found, ways=ways[crop.found.classes])) for crop in crops]
            for crops in (learned, held)
        )
    classes, checking = len(checkpoint.joints), [crop.example for crop in held]
    model = fit([crop.example for crop in learned], classes, ways)
    shares = joints_found(
        held, model, np.array(estimator.input_size) * grouping.PERSON_HEIGHT / estimator.person_height
    )
    likelihood = {"prior": Model.prior(classes), "fitted": model}
    record = {
        "command": command,
        "people": len(learned),
        "held_out_people": len(held),
        "log_likelihood": {name: round(log_likelihood(checking, each), 4) for name, each in likelihood.items()},
        "joints_found": {name: round(share, 4) for name, share in shares.items()},
        "cpu_seconds": round(time.process_time() - started),
    }
    made = replace(
        checkpoint,
        grouping=model.to_json(),
        grouped=shares["grouped"] > shares["alone"] + MARGIN,
        training={**checkpoint.training, "grouping": record},
    )
    made.write(path)
    return made
