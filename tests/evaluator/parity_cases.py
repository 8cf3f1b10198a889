"""Whole files of COCO's form, seeded, with the oddities that evaluators should agree on; pycocotools' ten numbers."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from evaluator import evaluate, load_dataset
from tests.evaluator.pose_cases import box_of, triples

NAMES = [f"{kind}{suffix}" for kind in ("ap", "ar") for suffix in ("", "50", "75", "_medium", "_large")]
AREAS = (0.0, 1e-300, 1e-3, 32.0**2, 96.0**2, 1e10, 2e10)
COCO_DATASET = load_dataset("coco")


def parity_case(seed: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A truth and results without tied scores in an image and without two equal annotations.

    Among what comes up: ids that are negative, large and unordered; images without anybody; people without labels, with
    boxes of no size; crowds with and without labels; num_keypoints that contradicts the flags; areas at, beside and
    beyond the bounds of the ranges, and zero; joints that are exact while others are far away, so that OKS is a
    fraction such as 9/15, at a threshold to the last bit; detections that equal an annotation; more than twenty in an
    image; coordinates up to a million; scores that differ in the last bit; whole numbers beside fractions.
    """
    rng = np.random.default_rng(seed)
    joints = len(COCO_DATASET.joints)
    most_people, most_detections = int(rng.integers(1, 7)), int(rng.choice([2, 5, 12, 30]))
    images = ids(rng, int(rng.integers(1, 6)))
    numbers = ids(rng, len(images) * most_people)
    truth: dict[str, Any] = {
        "images": [{"id": image, "file_name": f"{image}.jpg", "width": 640, "height": 480} for image in images],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [],
    }
    entries: list[dict[str, Any]] = []
    for image in images:
        people = []
        for _ in range(int(rng.integers(0, most_people + 1))):
            height = float(np.exp(rng.uniform(np.log(4), np.log(700))))
            where = rng.uniform(-100, 600, 2) * (1 if rng.random() < 0.97 else 900)
            points = rounded(rng, COCO_DATASET.pose * [height / 2, height] + where + rng.normal(0, 3, (joints, 2)))
            flags = np.where(rng.random(joints) < rng.choice([0.0, 0.3, 0.9]), 0, rng.integers(1, 3, joints))
            bare = rng.random() < 0.12
            if bare:
                flags[:] = 0
            box = box_of(points) if rng.random() < 0.9 else [*points[0].tolist(), 0, 0]
            area = float(rng.uniform(0.3, 0.8)) * box[2] * box[3]
            if rng.random() < 0.15:
                area = beside(rng, float(rng.choice(AREAS)))
            labelled = int((flags > 0).sum())
            if not bare:
                people.append((points, flags, area))
            truth["annotations"].append(
                {
                    "id": numbers.pop(),
                    "image_id": image,
                    "category_id": 1,
                    "keypoints": triples(points * (flags > 0)[:, None], flags),
                    # without labels nobody counts here: two who do are equally similar to what lies in both boxes
                    "num_keypoints": labelled if bare or rng.random() < 0.9 else int(rng.choice([0, 1, 17])),
                    "bbox": box,
                    "area": area,
                    "iscrowd": int(rng.random() < 0.1),
                }
            )
        for _ in range(int(rng.integers(0, most_detections + 1))):
            found, spread = COCO_DATASET.pose * rng.uniform(10, 400, 2) + rng.uniform(-300, 900, 2), 5.0
            kind = rng.random()
            if people and kind < 0.8:
                points, flags, area = people[int(rng.integers(len(people)))]
                found, spread = points.copy(), float(np.exp(rng.normal(-3, 1))) * np.ptp(points[:, 1])
                if kind < 0.2:  # some joints exact and some far away
                    spread = 0.0
                    found[rng.random(joints) < rng.choice([0.0, 0.1, 0.3, 0.5])] += 9000
            found = rounded(rng, found + rng.normal(0, spread, found.shape)) if spread else found
            entries.append(
                {"image_id": image, "category_id": 1, "keypoints": triples(found, rng.random(joints).round(3))}
            )
    scores = rng.permutation(len(entries)) - len(entries) // 2
    kind = rng.random()
    for entry, place in zip(entries, scores.tolist(), strict=True):
        # whole numbers, neighbours in the last bit, or anything
        entry["score"] = place if kind < 0.2 else float(1 + place * 2**-52) if kind < 0.4 else place / len(entries)
    for rows in (truth["images"], truth["annotations"], entries):
        rng.shuffle(rows)  # type: ignore[arg-type]
    return truth, entries


def ids(rng: np.random.Generator, many: int) -> list[int]:
    """Different ids, never 0, which pycocotools takes for nobody."""
    spread = int(rng.choice([100, 10**6, 2**53]))
    found = rng.choice(np.unique(rng.integers(-spread, spread, 4 * many + 8)), many, replace=False)
    return [each or spread for each in found.tolist()]


def rounded(rng: np.random.Generator, points: Any) -> Any:
    return np.round(points, int(rng.choice([0, 1, 14])))


def beside(rng: np.random.Generator, area: float) -> float:
    """The area, or one of its neighbours."""
    return float(rng.choice([area, np.nextafter(area, 0), np.nextafter(area, np.inf)]))


def written(value: Any) -> str:
    """JSON with whole numbers written as such now and then: 3 for 3.0."""
    return json.dumps(value).replace(".0,", ",").replace(".0]", "]")


def reference(truth: Path, results: Path) -> list[float]:
    """pycocotools' ten numbers from two files, -1 where there are no annotated people."""
    with contextlib.redirect_stdout(io.StringIO()):
        ground = COCO(str(truth))
        run = COCOeval(ground, ground.loadRes(str(results)), "keypoints")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return [float(value) for value in run.stats]


def scored(truth: Path, results: Path) -> list[float]:
    """Ours, in the same form."""
    found = {score.metric: score.value for score in evaluate("coco", results, truth).scores}
    return [found.get(name, -1.0) for name in NAMES]


def difference(seed: int, folder: Path) -> float | None:
    """The largest difference of the ten numbers of a case; None when there is nothing that pycocotools could read."""
    truth, entries = parity_case(seed)
    counted = [row for row in truth["annotations"] if row["num_keypoints"] and not row["iscrowd"]]
    if not entries or not counted:
        return None
    files = folder / "truth.json", folder / "results.json"
    for file, document in zip(files, (truth, entries), strict=True):
        file.write_text(written(document) if seed % 2 else json.dumps(document))
    return float(np.abs(np.subtract(scored(*files), reference(*files))).max())
