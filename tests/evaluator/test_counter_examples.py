"""Every invariance that a metric does not declare has a counter-example: a change that does move its scores."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec

import numpy as np
import pytest

from evaluator import PredictionError, load_dataset
from evaluator.metrics import INVARIANCES, load_metric, metric_names
from tests.evaluator import space_changes, surface_cases
from tests.evaluator.changed_cases import Case, changed, scored, scored_after
from tests.evaluator.pose_cases import case


def seeded(dataset: str, word: str, seed: int = 1) -> tuple[str, Case, Case]:
    found = case(dataset, seed)
    return dataset, found, changed(word, dataset, found)


def freed_by_a_worse_joint(dataset: str) -> tuple[str, Case, Case]:
    """Two people of one labelled joint, 10 px apart, whose OKS is 1/2 at 6 px: a detection at 4 px takes the first and
    leaves a second one, at -3 px, with nobody. At 6 px it is worse for the first, takes the other, and both are hits.
    """
    joints = len(load_dataset(dataset).joints)
    sigma = float(load_dataset(dataset).sigmas[0])
    area = 36 / (2 * np.log(2) * (2 * sigma) ** 2) + 1  # exp(-36 / (2 area (2 sigma)^2)) = 1/2, and a little more
    people = [
        {
            "id": number, "image_id": 1, "iscrowd": 0, "area": area, "bbox": [0, 0, 1, 1], "num_keypoints": 1,
            "keypoints": [x, 0, 2] + [0] * 3 * (joints - 1),
        }
        for number, x in ((1, 0), (2, 10))
    ]  # fmt: skip
    truth = {"images": [{"id": 1}], "annotations": people}
    before, after = (
        [{"image_id": 1, "score": score, "keypoints": [x, 0, 1] * joints} for score, x in ((0.9, first), (0.8, -3))]
        for first in (4, 6)
    )
    return dataset, (truth, before), (truth, after)


def few(name: str, *people: dict[str, float]) -> list[list[float]]:
    """Keypoints of people of whom only some joints are labelled, all at y = 0, by their x."""
    joints = load_dataset(name).joints
    return [
        [v for joint in joints for v in ((person[joint], 0, 2) if joint in person else (0, 0, 0))] for person in people
    ]


def with_heads(people: list[list[float]], poses: list[tuple[float, list[float]]]) -> Case:
    """One image of PoseTrack, everybody's head size 12: a joint is found at most 6 px away."""
    truth = {
        "images": [{"id": 1}],
        "annotations": [
            {"id": number, "image_id": 1, "iscrowd": 0, "head_size": 12, "keypoints": keypoints}
            for number, keypoints in enumerate(people, start=1)
        ],
    }
    entries = [
        {
            "image_id": 1,
            "score": score,
            "keypoints": [
                v
                for x, y, flag in np.reshape(keypoints, (-1, 3)).tolist()
                for v in ((x, y, score) if flag else (None,) * 3)
            ],
        }
        for score, keypoints in poses
    ]
    return truth, entries


def freed_by_a_worse_pose() -> tuple[str, Case, Case]:
    """A pose at 4 px fits people at 0 and at 10: the first gets it, and another pose at -3 has nobody. At 7 px it is
    too far from the first, goes to the other, and both are found.
    """
    people = few("posetrack", {"nose": 0}, {"nose": 10})
    before, after = (
        with_heads(people, list(zip((0.9, 0.8), few("posetrack", {"nose": x}, {"nose": -3}), strict=True)))
        for x in (4, 7)
    )
    return "posetrack", before, after


def perfect_but_the_other_s() -> tuple[str, Case, Case]:
    """Of the first person the nose alone is labelled, near that of the second, of whom the neck is labelled too. The
    second's own pose fits both wholly and goes to the first, who prefers it for its score; far apart it does not.
    """
    cases = []
    for x in (2, 200):
        people = few("posetrack", {"nose": 0}, {"nose": x, "neck": 20 + x})
        cases.append(with_heads(people, list(zip((0.8, 0.9), people, strict=True))))
    return "posetrack", cases[1], cases[0]


def out_of_the_ignored_region() -> tuple[str, Case, Case]:
    """The neck of a pose lies in a region to ignore, in an image where nobody's neck is labelled; out of it, it is a
    false positive that is more confident than the neck found in another image.
    """
    cases = []
    for x in (150, 300):
        (first, second), (pose,) = (
            few("posetrack", {"nose": 0}, {"neck": 0}), few("posetrack", {"nose": 0, "neck": x})
        )  # fmt: skip
        truth, entries = with_heads([first, second], [(0.9, pose), (0.8, second)])
        truth["images"] = [
            {"id": 1, "ignore_regions_x": [[100, 200, 200, 100]], "ignore_regions_y": [[-50, -50, 50, 50]]},
            {"id": 2},
        ]
        truth["annotations"][1]["image_id"] = entries[1]["image_id"] = 2
        cases.append((truth, entries))
    return "posetrack", cases[0], cases[1]


def without_confidence_in_the_face(word: str) -> tuple[str, Case, Case]:
    """Faces of no confidence were not detected: with some, they are false positives or hits."""
    dataset = load_dataset("coco_wholebody")
    truth, entries = case(dataset.name, 1)
    for row in entries:
        for joint in map(dataset.joint, dataset.parts["face"]):
            row["keypoints"][3 * joint + 2] = 0
    return dataset.name, (truth, entries), changed(word, dataset.name, (truth, entries))


def rejected(dataset: str) -> tuple[str, Case, Case]:
    """Nobody predicted where everybody must be."""
    truth, entries = case(dataset, 1)
    return dataset, (truth, entries), (truth, [])


COUNTER_EXAMPLES: dict[tuple[str, str], Callable[[], tuple[str, Case, Case]]] = {
    ("pck", "mirror"): lambda: seeded("lsp", "mirror"),
    ("pdj", "mirror"): lambda: seeded("lsp", "mirror"),
    ("pdj", "rotation"): lambda: seeded("lsp", "rotation"),
    ("oks", "scale"): lambda: seeded("coco", "scale"),
    ("oks", "rotation"): lambda: seeded("crowdpose", "rotation"),
    ("oks", "confidence"): lambda: seeded("coco", "confidence"),
    ("oks", "unannotated"): lambda: seeded("coco", "unannotated"),
    ("oks", "farther"): lambda: freed_by_a_worse_joint("coco"),
    ("wholebody", "scale"): lambda: seeded("coco_wholebody", "scale"),
    ("wholebody", "mirror"): lambda: seeded("coco_wholebody", "mirror"),
    ("wholebody", "rotation"): lambda: seeded("coco_wholebody", "rotation"),
    ("wholebody", "confidence"): lambda: seeded("coco_wholebody", "confidence"),
    ("wholebody", "rank"): lambda: without_confidence_in_the_face("rank"),
    ("wholebody", "unannotated"): lambda: seeded("coco_wholebody", "unannotated"),
    ("wholebody", "farther"): lambda: freed_by_a_worse_joint("coco_wholebody"),
    ("multi_person_ap", "confidence"): lambda: seeded("posetrack", "confidence"),
    ("multi_person_ap", "unannotated"): out_of_the_ignored_region,
    ("multi_person_ap", "farther"): freed_by_a_worse_pose,
    ("multi_person_ap", "perfect"): perfect_but_the_other_s,
    ("gps", "translation"): lambda: surface_cases.out_of_the_image("translation"),
    ("gps", "mirror"): lambda: surface_cases.out_of_the_image("mirror"),
    ("gps", "rotation"): lambda: surface_cases.out_of_the_image("rotation"),
    ("gps", "scale"): surface_cases.larger,
    ("gps", "confidence"): lambda: seeded("densepose", "confidence"),
    ("gps", "unannotated"): surface_cases.where_nobody_looked,
    ("gps", "farther"): surface_cases.freed_by_a_worse_map,
    ("mpjpe", "scale"): lambda: seeded("human36m", "scale"),
    ("mpjpe", "farther"): lambda: space_changes.better_with_its_root_farther_away("human36m"),
    ("mpjpe", "nobody"): lambda: rejected("human36m"),
    ("pck3d", "scale"): lambda: seeded("mpi_inf_3dhp", "scale"),
    ("pck3d", "farther"): lambda: space_changes.better_with_its_root_farther_away("mpi_inf_3dhp"),
    ("pck3d", "nobody"): lambda: rejected("mpi_inf_3dhp"),
}


# A metric may bring its own in tests/evaluator/test_<metric>.py: {word: example}.
for _metric in metric_names():
    if find_spec(f"tests.evaluator.test_{_metric}"):
        _own = getattr(import_module(f"tests.evaluator.test_{_metric}"), "COUNTER_EXAMPLES", {})
        COUNTER_EXAMPLES |= {(_metric, word): example for word, example in _own.items()}


def test_a_metric_declares_each_word_or_has_a_counter_example() -> None:
    words = {(metric, word) for metric in metric_names() for word in INVARIANCES}
    held = {(metric, word) for metric in metric_names() for word in load_metric(metric).INVARIANCES}
    assert held <= words
    assert set(COUNTER_EXAMPLES) == words - held


@pytest.mark.parametrize(("metric", "word"), COUNTER_EXAMPLES)
def test_what_is_not_declared_does_fail(metric: str, word: str) -> None:
    dataset, found, after = COUNTER_EXAMPLES[metric, word]()
    before = scored(dataset, metric, found)
    if word == "nobody":
        try:
            then = scored(dataset, metric, after)
        except PredictionError as error:
            if error.code != "missing_person":
                raise
            return
    else:
        then = scored_after(word, dataset, metric, after)
    better = 1 if load_metric(metric).HIGHER_IS_BETTER else -1
    if word in ("farther", "nobody"):
        assert any(better * (then[key] - before[key]) > 1e-6 for key in before)
    else:
        assert then != pytest.approx(before, abs=1e-6)
