"""Seeded files of COCO's size and form: python -m benchmarks.coco_files FOLDER [--scale val2017] [--seed 0]

Scales: val2017 (5,000 images, 11,004 annotations, 104,000 detections), test-dev2017 (20,288 images, 44,000
annotations, 300,000 detections), or a number of detections, for which the rest is in proportion to val2017.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evaluator import load_dataset

COCO = load_dataset("coco")
WIDTH, HEIGHT = 640, 480


@dataclass(frozen=True)
class Scale:
    """How much of everything."""

    images: int
    images_with_people: int
    labelled: int
    unlabelled: int
    crowds: int
    detections: int


SCALES = {
    "val2017": Scale(5000, 2693, 6352, 4452, 200, 104_000),
    "test-dev2017": Scale(20_288, 10_900, 25_600, 17_600, 800, 300_000),
}


def scale_of(name: str) -> Scale:
    if name in SCALES:
        return SCALES[name]
    full, detections = SCALES["val2017"], int(name)
    share = detections / full.detections
    parts = (full.images, full.images_with_people, full.labelled, full.unlabelled, full.crowds)
    return Scale(*(max(2, round(part * share)) for part in parts), detections)


def document(scale: Scale, rng: np.random.Generator) -> tuple[dict[str, Any], Iterator[dict[str, Any]]]:
    """(annotations, detections). Most people are found, some twice, some not; the rest are false alarms."""
    image_ids = np.sort(rng.choice(600_000, scale.images, replace=False) + 1)
    images = [
        {
            "license": int(rng.integers(1, 9)),
            "file_name": f"{number:012d}.jpg",
            "coco_url": f"http://images.cocodataset.org/val2017/{number:012d}.jpg",
            "height": HEIGHT,
            "width": WIDTH,
            "date_captured": "2013-11-15 14:00:00",
            "flickr_url": f"http://farm{number % 9}.staticflickr.com/{number % 9973}/{number * 7907:011d}_z.jpg",
            "id": number,
        }
        for number in image_ids.tolist()
    ]
    crowded = rng.choice(image_ids, scale.images_with_people, replace=False)
    kinds = np.repeat([0, 1, 2], [scale.labelled, scale.unlabelled, scale.crowds])
    rng.shuffle(kinds)
    # Few images have many people.
    chance = rng.exponential(1, len(crowded)) ** 2 + 0.2
    extra = rng.choice(crowded, max(0, len(kinds) - len(crowded)), p=chance / chance.sum())
    whose = np.concatenate([crowded, extra])[: len(kinds)]
    annotations: list[dict[str, Any]] = []
    found: list[tuple[int, Any, float]] = []
    for number, (kind, image) in enumerate(zip(kinds.tolist(), whose.tolist(), strict=True)):
        annotation, points = person(kind, image, number, rng)
        annotations.append(annotation)
        found += detections_of(kind, annotation, points, rng)
    for _ in range(scale.detections - len(found)):
        image = int(rng.choice(crowded) if rng.random() < 0.6 else rng.choice(image_ids))
        height = float(np.exp(rng.normal(4.3, 0.8)))
        points = (
            COCO.pose * [height / 2, height] + rng.uniform(0, [WIDTH, HEIGHT]) + rng.normal(0, height / 15, (17, 2))
        )
        found.append((image, points, float(rng.beta(1, 14))))
    found = found[: scale.detections]
    found.sort(key=lambda detection: detection[0])
    results = (
        {
            "image_id": image,
            "category_id": 1,
            "keypoints": np.column_stack([points, rng.random(17)]).round(3).ravel().tolist(),
            "score": round(score, 8),
        }
        for image, points, score in found
    )
    truth = {
        "info": {"description": "seeded people of COCO's size and form", "year": 2017},
        "licenses": [{"id": number, "name": str(number)} for number in range(1, 9)],
        "images": images,
        "annotations": annotations,
        "categories": [{"supercategory": "person", "id": 1, "name": "person", "keypoints": list(COCO.joints)}],
    }
    return truth, results


def person(kind: int, image: int, number: int, rng: np.random.Generator) -> tuple[dict[str, Any], Any]:
    """An annotation, labelled (0), unlabelled (1) or a crowd (2), and the places of all its joints."""
    height = float(np.clip(np.exp(rng.normal(4.7 if kind == 0 else 3.8, 0.75)), 8, HEIGHT - 10))
    size = np.array([height / 2, height]) * ([4.0, 1.0] if kind == 2 else [1.0, 1.0])
    corner = rng.uniform(0, np.maximum(1, [WIDTH, HEIGHT] - size))
    points = COCO.pose * size + corner + rng.normal(0, 0.05, (17, 2)) * size
    flags = np.where(rng.random(17) < 0.62, 2, rng.integers(0, 2, 17))
    if rng.random() < 0.3:
        flags[11:] = 0  # legs outside the image
    flags[5] = max(flags[5], 1)
    if kind:
        flags[:] = 0
    whole = np.rint(points).clip(0, [WIDTH - 1, HEIGHT - 1]).astype(int) * (flags > 0)[:, None]
    outline = (corner + rng.uniform(0, 1, (int(rng.integers(8, 40)), 2)) * size).round(2)
    counts = {"counts": rng.integers(1, 400, 250).tolist(), "size": [HEIGHT, WIDTH]}
    annotation = {
        "segmentation": counts if kind == 2 else [outline.ravel().tolist()],
        "num_keypoints": int((flags > 0).sum()),
        "area": round(float(size.prod() * rng.uniform(0.4, 0.7)), 4),
        "iscrowd": int(kind == 2),
        "keypoints": np.column_stack([whole, flags]).ravel().tolist(),
        "image_id": image,
        "bbox": [*corner.round(2).tolist(), *size.round(2).tolist()],
        "category_id": 1,
        "id": (900_000_000_000 if kind == 2 else 170_000) + 3 * number,
    }
    return annotation, points


def detections_of(
    kind: int, annotation: dict[str, Any], points: Any, rng: np.random.Generator
) -> list[tuple[int, Any, float]]:
    image, size = annotation["image_id"], np.sqrt(annotation["area"])
    if kind:
        chance = 0.9 if kind == 2 else 0.55
        return [
            (image, points + rng.normal(0, 0.06, (17, 2)) * size, float(rng.beta(2, 3)))
            for _ in range(3 if kind == 2 else 1)
            if rng.random() < chance
        ]
    if rng.random() < 0.06:
        return []
    difficulty = float(np.exp(rng.normal(-0.6, 0.75)))
    moved = points + rng.normal(0, 1, (17, 2)) * COCO.sigmas[:, None] * size * difficulty
    astray = rng.random(17) < 0.05
    moved[astray] += rng.normal(0, 0.6, (int(astray.sum()), 2)) * size
    score = float(np.clip(rng.uniform(0.75, 1.02) / (1 + 0.35 * difficulty**1.5), 0, 0.9999))
    again = [
        (image, moved + rng.normal(0, 0.05, (17, 2)) * size, score * float(rng.uniform(0.1, 0.8)))
        for _ in range(int(rng.poisson(0.35)))
    ]
    return [(image, moved, score), *again]


def write(folder: Path, name: str, seed: int = 0) -> tuple[Path, Path]:
    """The two files of a scale, (annotations, detections), made unless they are there."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / f"{name}-{seed}-annotations.json", folder / f"{name}-{seed}-detections.json"
    if not all(path.exists() for path in paths):
        truth, detections = document(scale_of(name), np.random.default_rng(seed))
        paths[0].write_text(json.dumps(truth))
        # One after the other: a million of them would fill the memory.
        with paths[1].open("w") as file:
            for index, detection in enumerate(detections):
                file.write(("[" if index == 0 else ", ") + json.dumps(detection))
            file.write("]")
    return paths


def main() -> None:
    parser = argparse.ArgumentParser(description="Seeded files of COCO's size and form")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scale", default="val2017")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for path in write(options.folder, options.scale, options.seed):
        print(path, f"{path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
