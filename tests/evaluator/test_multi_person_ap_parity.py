"""Multi-person mAP against a second implementation by loops and the official toolkit, and in any order of a file."""

from __future__ import annotations

import copy
from itertools import count
from typing import Any

import numpy as np
import pytest

from evaluator import evaluate, load_dataset
from tests.evaluator.pose_cases import Document, Entries, multi_person, scores_of

POSETRACK = load_dataset("posetrack")


def by_loops(truth: Document, entries: Entries) -> dict[str, float]:
    """The definition in the plainest way: one image, one pose, one joint at a time. No ties."""
    found: dict[int, list[tuple[float, bool]]] = {joint: [] for joint in range(15)}
    annotated = [0] * 15
    for image in truth["images"]:
        rows = [row for row in truth["annotations"] if row["image_id"] == image["id"]]
        if not rows:
            continue
        regions = list(zip(image.get("ignore_regions_x", []), image.get("ignore_regions_y", []), strict=True))

        def evaluated(x: float, y: float, regions: Any = regions) -> bool:
            return not any(min(xs) < x < max(xs) and min(ys) < y < max(ys) for xs, ys in regions)

        people = []
        for row in sorted(rows, key=lambda row: row["id"]):
            points = np.reshape(row["keypoints"], (15, 3)).tolist()
            joints = {
                j: (x, y) for j, (x, y, flag) in enumerate(points) if flag and not row["iscrowd"] and evaluated(x, y)
            }
            people.append((row["head_size"], joints))
            for joint in joints:
                annotated[joint] += 1
        poses = []
        for row in sorted(entries, key=lambda row: -row["score"]):
            points = np.reshape(np.array(row["keypoints"], dtype=object), (15, 3)).tolist()
            if row["image_id"] == image["id"]:
                poses.append({j: (x, y, s) for j, (x, y, s) in enumerate(points) if x is not None and evaluated(x, y)})
        hits = [
            [
                {
                    j
                    for j in joints
                    if j in each and np.hypot(joints[j][0] - each[j][0], joints[j][1] - each[j][1]) <= head / 2
                }
                for head, joints in people
            ]
            for each in poses
        ]
        share = [[len(hit) / max(len(people[p][1]), 1) for p, hit in enumerate(row)] for row in hits]
        favourite = [max(range(len(people)), key=lambda p: (row[p], -p)) for row in share]
        for p in range(len(people)):
            near = [d for d in range(len(poses)) if favourite[d] == p and share[d][p] > 0]
            winner = max(near, key=lambda d: (share[d][p], -d), default=None)
            for d in (d for d in range(len(poses)) if favourite[d] == p):
                for joint, (_, _, confidence) in poses[d].items():
                    found[joint].append((confidence, d == winner and joint in hits[d][p]))
    averages = {}
    for joint, rows in found.items():
        if not annotated[joint]:
            continue
        rows.sort(reverse=True)
        precision = [sum(hit for _, hit in rows[: n + 1]) / (n + 1) for n in range(len(rows))]
        area = sum(max(precision[n:]) for n, (_, hit) in enumerate(rows) if hit)
        averages[POSETRACK.joints[joint]] = area / annotated[joint]
    return averages


def test_random_cases_equal_the_definition_by_loops() -> None:
    compared = 0
    for seed in count():
        truth, entries = multi_person("posetrack", seed, images=1 + seed % 7, most_people=1 + seed % 5)
        if not any(row["num_keypoints"] and not row["iscrowd"] for row in truth["annotations"]):
            continue
        found = scores_of(evaluate("posetrack", entries, truth))
        expected = by_loops(truth, entries)
        assert {part for _, part in found if part in POSETRACK.joints} <= set(expected)
        for joint, value in expected.items():
            assert found["map@0.5", joint] == pytest.approx(value, abs=1e-12), (seed, joint)
        assert found["map@0.5", "all"] == pytest.approx(np.mean(list(expected.values())), abs=1e-12)
        compared += 1
        if compared == 60:
            break


def test_random_cases_equal_the_official_toolkit() -> None:
    # AP of each joint, in the order of the file, by poseval (commit 1ebce28, its assignment and AP brought to Python 3
    # with shapely 2) on `multi_person("posetrack", seed, images=12)` with nobody a crowd and poses by falling score.
    pinned: dict[int, list[float]] = {
        1: [
            0.12142857142857143,
            0.039999999999999994,
            0.0038461538461538464,
            0.144,
            0.08333333333333334,
            0.05333333333333333,
            0.07864357864357864,
            0.22683760683760684,
            0.10714285714285714,
            0.07655502392344497,
            0.09722222222222222,
            0.11688311688311688,
            0.11952380952380952,
            0.09237472766884532,
            0.13292589763177998,
        ],
        2: [
            0.09143518518518519,
            0.12481203007518796,
            0.19487105186902348,
            0.08928571428571429,
            0.10007985094490286,
            0.11221428571428572,
            0.09951923076923078,
            0.19610814022578726,
            0.14017094017094017,
            0.2271524771524772,
            0.1918843608498781,
            0.18716006216006217,
            0.19123376623376626,
            0.2245614035087719,
            0.17999999999999997,
        ],
        3: [
            0.10714285714285712,
            0.1746031746031746,
            0.057072829131652666,
            0.17486631016042783,
            0.5351583467525497,
            0.12265366212734634,
            0.2652564102564102,
            0.19151002506265663,
            0.08680555555555557,
            0.12962962962962965,
            0.09615384615384616,
            0.06926406926406925,
            0.1183862433862434,
            0.15557894736842104,
            0.09641387419165195,
        ],
    }
    for seed, expected in pinned.items():
        truth, entries = multi_person("posetrack", seed, images=12)
        for row in truth["annotations"]:
            row["iscrowd"] = 0
        found = scores_of(evaluate("posetrack", entries, truth))
        assert [found["map@0.5", joint] for joint in POSETRACK.joints] == pytest.approx(expected, abs=1e-12)


def test_a_hundred_shuffles_give_identical_bits() -> None:
    truth, entries = multi_person("posetrack", 3, images=10)
    for number, row in enumerate(entries):
        row["score"] = 0.5 if number % 3 else 0.25
        row["keypoints"][2::3] = [None if v is None else 0.5 for v in row["keypoints"][2::3]]
    truth["annotations"] += [dict(row, id=row["id"] + 20_000) for row in truth["annotations"][::2]]
    reports = set()
    rng = np.random.default_rng(0)
    for _ in range(100):
        shuffled, found = copy.deepcopy(truth), list(entries)
        for rows in (found, shuffled["annotations"], shuffled["images"]):
            rng.shuffle(rows)
        reports.add(tuple(score.value.hex() for score in evaluate("posetrack", found, shuffled).scores))
    assert len(reports) == 1
