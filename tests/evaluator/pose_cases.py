"""Seeded people for tests: annotation documents and predictions of every dataset, in the one JSON form."""

from __future__ import annotations

from typing import Any

import numpy as np

from evaluator import load_dataset

Document = dict[str, Any]
Entries = list[dict[str, Any]]


def single_person(
    name: str, seed: int, *, images: int = 30, most_people: int = 2, noise: float = 12.0
) -> tuple[Document, Entries]:
    """A truth and predictions of LSP, FLIC or MPII. Coordinates are multiples of 1/4, so moving them is exact."""
    dataset, rng = load_dataset(name), np.random.default_rng(seed)
    pose = dataset.pose * [120, 240]
    truth: Document = {"info": {"dataset": name, "split": "test"}, "images": [], "annotations": []}
    entries: Entries = []
    for image in (rng.choice(10_000, images, replace=False) + 1).tolist():
        truth["images"].append({"id": image, "file_name": f"{image}.jpg", "width": 640, "height": 480})
        for person in range(int(rng.integers(1, most_people + 1))):
            points = quarter(pose + rng.normal(0, 8, pose.shape) + rng.uniform(0, 300, 2))
            flags = np.where(rng.random(len(points)) < 0.12, 0, rng.integers(1, 3, len(points)))
            truth["annotations"].append(
                {
                    "id": len(truth["annotations"]) + 1,
                    "image_id": image,
                    "person_id": person,
                    "category_id": 1,
                    "keypoints": triples(points, flags),
                    "num_keypoints": int((flags > 0).sum()),
                    "bbox": box_of(points),
                    "iscrowd": 0,
                    "head_size": float(quarter(rng.uniform(20, 40))),
                    "torso_box": quarter(rng.uniform(40, 90, 2)).tolist(),
                }
            )
            found = quarter(points + rng.normal(0, noise, points.shape))
            keypoints: list[Any] = triples(found, rng.random(len(points)).round(3))
            for joint in np.flatnonzero(rng.random(len(points)) < 0.06):
                keypoints[3 * joint : 3 * joint + 3] = [None] * 3
            entries.append(
                {"image_id": image, "person_id": person, "keypoints": keypoints, "score": float(rng.random())}
            )
    return truth, entries


def multi_person(
    name: str, seed: int, *, images: int = 30, most_people: int = 4, most_detections: int = 6
) -> tuple[Document, Entries]:
    """A truth and detections of many people an image: crowds, unlabelled people, empty images, no ties.

    Where joints may be missing, some are, and images have regions to ignore and people head sizes; where the metric has
    parts of the whole body, some have no confidence.
    """
    dataset, rng = load_dataset(name), np.random.default_rng(seed)
    joints = len(dataset.joints)
    metrics = {spec.metric for spec in dataset.metrics}
    truth: Document = {"info": {"dataset": name, "split": "test"}, "images": [], "annotations": []}
    entries: Entries = []
    ids = (rng.choice(10_000, images * most_people + 1, replace=False) + 1).tolist()
    for image in (rng.choice(100_000, images, replace=False) + 1).tolist():
        truth["images"].append({"id": image, "file_name": f"{image}.jpg", "width": 640, "height": 480})
        people = []
        for person in range(int(rng.integers(0, most_people + 1))):
            height = float(np.exp(rng.uniform(np.log(12), np.log(500))))
            points = quarter(dataset.pose * [height / 2, height] + rng.uniform(-50, 500, 2))
            flags = np.where(rng.random(joints) < 0.3, 0, rng.integers(1, 3, joints))
            if rng.random() < 0.15:
                flags[:] = 0
            box = box_of(points)
            share, labelled = float(rng.uniform(0.4, 0.7)), int((flags > 0).sum())
            people.append(points)
            truth["annotations"].append(
                {
                    "id": ids.pop(),
                    "image_id": image,
                    "person_id": person,
                    "category_id": 1,
                    "keypoints": triples(points * (flags > 0)[:, None], flags),
                    # the field is believed under OKS, also where it contradicts the flags
                    "num_keypoints": 0 if rng.random() < 0.05 and "oks" in metrics else labelled,
                    "bbox": box,
                    "area": share * box[2] * box[3],
                    "iscrowd": int(rng.random() < 0.1),
                }
            )
            if dataset.missing_joints:
                truth["annotations"][-1]["head_size"] = float(quarter(height / 8)) + 0.25
        if dataset.missing_joints and rng.random() < 0.3:
            x, y, w, h = quarter(rng.uniform([0, 0, 40, 40], [500, 500, 300, 300])).tolist()
            truth["images"][-1] |= {
                "ignore_regions_x": [[x, x + w, x + w, x]],
                "ignore_regions_y": [[y, y, y + h, y + h]],
            }
        for _ in range(int(rng.integers(0, most_detections + 1))):
            if people and rng.random() < 0.75:
                points = people[int(rng.integers(len(people)))]
                spread = float(
                    np.exp(rng.normal(-3 if dataset.missing_joints or "wholebody" not in metrics else -5, 1))
                ) * (points[:, 1].max() - points[:, 1].min())
            else:
                points, spread = dataset.pose * rng.uniform(10, 400, 2) + rng.uniform(-300, 900, 2), 5.0
            found = quarter(points + rng.normal(0, spread, points.shape))
            confidence = rng.random(joints).round(3)
            if "wholebody" in metrics:
                confidence = np.maximum(confidence, 0.001)
                for members in dataset.parts.values():
                    if rng.random() < 0.15:
                        confidence[[dataset.joint(joint) for joint in members]] = 0
            entry: dict[str, Any] = {
                "image_id": image,
                "category_id": 1,
                "keypoints": triples(found, confidence),
                "score": float(rng.random()),
            }
            if dataset.missing_joints:
                entry["keypoints"][2::3] = rng.random(joints).tolist()
                for joint in np.flatnonzero(rng.random(joints) < 0.1):
                    entry["keypoints"][3 * joint : 3 * joint + 3] = [None] * 3
            entries.append(entry)
    return truth, entries


def in_space(
    name: str, seed: int, *, images: int = 30, most_people: int = 2, noise: float = 80.0
) -> tuple[Document, Entries]:
    """A truth and predictions of Human3.6M or MPI-INF-3DHP in millimetres, multiples of 1/4; everybody is predicted."""
    dataset, rng = load_dataset(name), np.random.default_rng(seed)
    flat = dataset.pose * [800, 1700]
    truth: Document = {"info": {"dataset": name, "split": "test"}, "images": [], "annotations": []}
    entries: Entries = []
    for image in (rng.choice(10_000, images, replace=False) + 1).tolist():
        truth["images"].append({"id": image, "file_name": f"{image}.jpg", "width": 1000, "height": 1000})
        for person in range(int(rng.integers(1, most_people + 1))):
            pose = np.concatenate([flat, rng.normal(0, 150, (len(flat), 1))], axis=1)
            points = quarter(pose + rng.normal(0, 60, pose.shape) + rng.uniform(-2000, 5000, 3))
            known = rng.random(len(points)) > 0.12
            known[dataset.joint("pelvis")] = True
            keypoints: list[Any] = points.ravel().tolist()
            for joint in np.flatnonzero(~known):
                keypoints[3 * joint : 3 * joint + 3] = [None] * 3
            truth["annotations"].append(
                {
                    "id": len(truth["annotations"]) + 1,
                    "image_id": image,
                    "person_id": person,
                    "keypoints_3d": keypoints,
                    "action": str(rng.choice(dataset.actions)),
                    "num_keypoints": int(known.sum()),
                    "iscrowd": 0,
                }
            )
            found = quarter(points + rng.normal(0, noise, points.shape) + rng.uniform(-500, 500, 3))
            entries.append({"image_id": image, "person_id": person, "keypoints_3d": found.ravel().tolist()})
    return truth, entries


def case(name: str, seed: int, **sizes: Any) -> tuple[Document, Entries]:
    """One of them, by the kind of the dataset."""
    dataset = load_dataset(name)
    if dataset.entry == "keypoints_3d":
        return in_space(name, seed, **sizes)
    if dataset.entry == "uv":
        from tests.evaluator.surface_cases import on_surface

        return on_surface(name, seed, **sizes)
    return (single_person if dataset.single_person else multi_person)(name, seed, **sizes)


def quarter(values: Any) -> Any:
    return np.round(np.asarray(values) * 4) / 4


def triples(points: Any, third: Any) -> list[Any]:
    return np.concatenate([points, np.asarray(third)[:, None]], axis=1).ravel().tolist()


def box_of(points: Any) -> list[float]:
    low, high = points.min(axis=0), points.max(axis=0)
    return [*low.tolist(), *(high - low).tolist()]


def scores_of(report: Any) -> dict[tuple[str, str], float]:
    return {(score.metric, score.part): score.value for score in report.scores}
