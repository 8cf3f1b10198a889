"""The changes that metrics declare to be invariant under, made to a drawn case; and the scores before and after."""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from evaluator import Dataset, evaluate, load_dataset
from tests.evaluator import space_changes, surface_cases
from tests.evaluator.pose_cases import Document, Entries, scores_of

Case = tuple[Document, Entries]
Scores = dict[tuple[str, str], float]


def only(dataset: str, metric: str) -> Dataset:
    """The dataset with no other metric than this."""
    definition = load_dataset(dataset)
    specs = tuple(spec for spec in definition.metrics if spec.metric == metric)
    return dataclasses.replace(definition, metrics=specs)


def scored(dataset: str, metric: str, found: Case) -> Scores:
    truth, entries = found
    return scores_of(evaluate(only(dataset, metric), entries, truth))


SIDES = {"left": "right", "right": "left"}
OTHER_SIDE = re.compile("^(left|right)(?=_)")


def scored_after(word: str, dataset: str, metric: str, found: Case) -> Scores:
    """The scores of a changed case; in a mirror the left hand's is the right hand's."""
    scores = scored(dataset, metric, found)
    if word != "mirror":
        return scores
    return {(name, OTHER_SIDE.sub(lambda side: SIDES[side[0]], part)): value for (name, part), value in scores.items()}


def moved(found: Case, point: Callable[[Any, Any], Any], *, size: float = 1.0) -> Case:
    """Annotations and predictions with every point mapped by `point`, and every length multiplied by `size`."""
    truth, entries = copy.deepcopy(found)
    for row in (*truth["annotations"], *entries):
        values = row["keypoints"]
        for at in range(0, len(values), 3):
            if values[at] is not None:
                values[at], values[at + 1] = point(values[at], values[at + 1])
    for image in truth["images"]:
        corners = [
            [point(*corner) for corner in zip(*polygon, strict=True)]
            for polygon in zip(image.pop("ignore_regions_x", []), image.pop("ignore_regions_y", []), strict=True)
        ]
        if corners:
            image["ignore_regions_x"] = [[x for x, _ in polygon] for polygon in corners]
            image["ignore_regions_y"] = [[y for _, y in polygon] for polygon in corners]
    for row in truth["annotations"]:
        x, y, w, h = row["bbox"]
        corners = [point(*corner) for corner in ((x, y), (x + w, y), (x, y + h), (x + w, y + h))]
        low, high = np.min(corners, axis=0), np.max(corners, axis=0)
        row["bbox"] = [*low.tolist(), *(high - low).tolist()]
        for field in ("head_size", "area"):
            if field in row:
                row[field] = row[field] * (size**2 if field == "area" else size)
        if "torso_box" in row:
            row["torso_box"] = [size * v for v in row["torso_box"]]
    return truth, entries


def mirrored(dataset: str, found: Case) -> Case:
    definition = load_dataset(dataset)
    order = list(range(len(definition.joints)))
    for left, right in definition.flip_pairs:
        a, b = definition.joint(left), definition.joint(right)
        order[a], order[b] = b, a
    truth, entries = moved(found, lambda x, y: (1000 - x, y))
    for row in (*truth["annotations"], *entries):
        row["keypoints"] = [v for joint in order for v in row["keypoints"][3 * joint : 3 * joint + 3]]
    return truth, entries


def ranked(found: Case) -> Case:
    """Other scores and confidences in the same order: a rising function of them."""
    entries = copy.deepcopy(found[1])
    for row in entries:
        row["score"] = row["score"] ** 3 * 7 - 2
        row["keypoints"][2::3] = [v if v is None else v**3 * 7 + 2 for v in row["keypoints"][2::3]]
    return found[0], entries


def reassured(found: Case) -> Case:
    """Scores and confidences at random."""
    rng = np.random.default_rng(9)
    entries = copy.deepcopy(found[1])
    for row in entries:
        row["score"] = float(rng.random())
        row["keypoints"][2::3] = [v if v is None else float(rng.random()) for v in row["keypoints"][2::3]]
    return found[0], entries


def unannotated(dataset: str, found: Case) -> Case:
    """Predicted joints elsewhere where nobody of the image annotated them, or for single people, not this person."""
    rng = np.random.default_rng(3)
    truth, entries = found[0], copy.deepcopy(found[1])
    single, annotated = load_dataset(dataset).single_person, {}
    for row in truth["annotations"]:
        key = (row["image_id"], row["person_id"] if single else 0)
        flags = np.array(row["keypoints"][2::3]) > 0
        annotated[key] = annotated.get(key, False) | flags
    for row in entries:
        flags = annotated.get((row["image_id"], row["person_id"] if single else 0), np.zeros(1000, dtype=bool))
        for joint in range(len(row["keypoints"]) // 3):
            if not flags[joint] and row["keypoints"][3 * joint] is not None:
                row["keypoints"][3 * joint : 3 * joint + 2] = rng.uniform(-2000, 2000, 2).tolist()
    return truth, entries


def changed(word: str, dataset: str, found: Case) -> Case:
    if load_dataset(dataset).entry == "keypoints_3d":
        return space_changes.changed(word, dataset, found)
    if load_dataset(dataset).entry == "uv":
        return surface_cases.changed(word, found)
    match word:
        case "translation":
            return moved(found, lambda x, y: (x + 64, y - 1024))
        case "scale":
            return moved(found, lambda x, y: (4 * x, 4 * y), size=4)
        case "rotation":
            # By the angle of the triangle 3, 4, 5.
            return moved(found, lambda x, y: ((3 * x - 4 * y) / 5, (4 * x + 3 * y) / 5))
        case "mirror":
            return mirrored(dataset, found)
        case "rank":
            return ranked(found)
        case "confidence":
            return reassured(found)
        case "unannotated":
            return unannotated(dataset, found)
        case _:
            raise AssertionError(word)
