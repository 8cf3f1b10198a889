"""Properties of every metric of every dataset, and the invariances that each metric's file declares.

The table is the registry: each metric on each dataset that names it. A word of `evaluator.metrics.INVARIANCES` is
either declared by a metric, and then tested on all of its datasets, or it has a counter-example here.
"""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from evaluator import (
    Dataset,
    PredictionError,
    dataset_names,
    evaluate,
    load_dataset,
    measure,
    read_predictions,
    read_truth,
)
from evaluator.metrics import INVARIANCES, load_metric, metric_names
from evaluator.uv import UvMaps
from tests.evaluator import space_changes, surface_cases
from tests.evaluator.pose_cases import Document, Entries, case, scores_of

SEEDS = (1, 2, 3)
DATASETS = dataset_names()
TABLE = sorted({(name, spec.metric) for name in DATASETS for spec in load_dataset(name).metrics})

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


def test_every_metric_is_in_the_table() -> None:
    assert sorted({metric for _, metric in TABLE}) == metric_names()


# What holds for all


@pytest.mark.parametrize(("dataset", "metric"), TABLE)
def test_scores_are_in_range_and_something_between(dataset: str, metric: str) -> None:
    scores = [score for seed in SEEDS for score in scored(dataset, metric, case(dataset, seed)).items()]
    assert all(np.isfinite(value) and value >= 0 for _, value in scores)
    if load_metric(metric).HIGHER_IS_BETTER:
        assert all(value <= 1 for _, value in scores)
    first = next(spec.name for spec in load_dataset(dataset).metrics if spec.metric == metric)
    assert all(value > 0.02 for (name, part), value in scores if (name, part) == (first, "all"))
    assert all(value != 1 for (name, part), value in scores if (name, part) == (first, "all"))


@pytest.mark.parametrize(("dataset", "metric"), TABLE)
def test_the_order_of_entries_annotations_and_images_does_not_matter(dataset: str, metric: str) -> None:
    definition = only(dataset, metric)
    truth, entries = case(dataset, 1)
    expected = [(score, score.value.hex()) for score in evaluate(definition, entries, truth).scores]
    rng = np.random.default_rng(0)
    for _ in range(10):
        truth, entries = copy.deepcopy(truth), list(entries)
        for rows in (entries, truth["annotations"], truth["images"]):
            rng.shuffle(rows)
        assert [(score, score.value.hex()) for score in evaluate(definition, entries, truth).scores] == expected


@pytest.mark.parametrize(("dataset", "metric"), [row for row in TABLE if load_dataset(row[0]).entry == "keypoints"])
def test_the_place_of_a_joint_that_is_not_annotated_does_not_matter(dataset: str, metric: str) -> None:
    truth, entries = case(dataset, 2)
    before = scored(dataset, metric, (truth, entries))
    truth = copy.deepcopy(truth)
    changes = 0
    for row in truth["annotations"]:
        for at in range(0, len(row["keypoints"]), 3):
            if not row["keypoints"][at + 2]:
                row["keypoints"][at : at + 2] = [row["id"] + 1.5, 977.25]
                changes += 1
    assert changes > 10
    assert scored(dataset, metric, (truth, entries)) == before


@pytest.mark.parametrize(("dataset", "metric"), TABLE)
def test_inputs_are_not_changed(dataset: str, metric: str) -> None:
    definition = only(dataset, metric)
    truth, entries = case(dataset, 1)
    before = copy.deepcopy((truth, entries))
    evaluate(definition, entries, truth, intervals=True)
    assert (truth, entries) == before
    annotations, predictions = read_truth(truth, definition), read_predictions(entries, definition)
    arrays = [
        value for value in (*vars(annotations).values(), *vars(predictions).values()) if hasattr(value, "setflags")
    ]
    for array in arrays:
        array.setflags(write=False)
    measure(definition, predictions, annotations)


@pytest.mark.parametrize(("dataset", "metric"), TABLE)
def test_the_same_input_gives_the_same_bits(dataset: str, metric: str) -> None:
    found = case(dataset, 3)
    first = {key: value.hex() for key, value in scored(dataset, metric, found).items()}
    assert {key: value.hex() for key, value in scored(dataset, metric, copy.deepcopy(found)).items()} == first


@pytest.mark.parametrize(("dataset", "metric"), TABLE)
def test_whole_weights_equal_images_repeated_literally(dataset: str, metric: str) -> None:
    definition = only(dataset, metric)
    truth, entries = case(dataset, 2, images=12)
    weights = np.random.default_rng(1).integers(0, 4, 12).astype(float)
    annotations = read_truth(truth, definition)
    tallies = measure(definition, read_predictions(entries, definition), annotations)
    weighted = [score for tally in tallies for score in tally.scores(weights)]
    repeated: dict[str, Any] = {"info": truth["info"], "images": [], "annotations": []}
    found = []
    for image, weight in zip(annotations.image_ids.tolist(), weights.astype(int).tolist(), strict=True):
        (record,) = (row for row in truth["images"] if row["id"] == image)
        for number in range(weight):
            shift = 1_000_000 * number
            repeated["images"].append(record | {"id": image + shift})
            repeated["annotations"] += [
                row | {"image_id": image + shift, "id": row["id"] + shift}
                for row in truth["annotations"]
                if row["image_id"] == image
            ]
            found += [row | {"image_id": image + shift} for row in entries if row["image_id"] == image]
    literal = evaluate(definition, found, repeated).scores
    assert [(s.metric, s.part) for s in weighted] == [(s.metric, s.part) for s in literal]
    assert [s.value for s in weighted] == pytest.approx([s.value for s in literal], abs=1e-12)


@pytest.mark.parametrize("dataset", DATASETS)
def test_arrays_and_documents_score_alike(dataset: str) -> None:
    truth, entries = case(dataset, 1)
    definition = load_dataset(dataset)
    annotations, predictions = read_truth(truth, definition), read_predictions(entries, definition)
    assert evaluate(definition, predictions, annotations).scores == evaluate(dataset, entries, truth).scores
    columns = {field.name: getattr(predictions, field.name) for field in dataclasses.fields(predictions)}
    turned = dataclasses.replace(predictions, **{k: v[::-1] for k, v in columns.items() if isinstance(v, np.ndarray)})
    if predictions.uv is not None:
        turned = dataclasses.replace(turned, uv=UvMaps(predictions.uv.boxes[::-1], predictions.uv.images[::-1]))
    assert evaluate(dataset, turned, annotations).scores == evaluate(dataset, entries, truth).scores


# What some declare: for each word, the case after the change


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


SIDES = {"left": "right", "right": "left"}
OTHER_SIDE = re.compile("^(left|right)(?=_)")


def scored_after(word: str, dataset: str, metric: str, found: Case) -> Scores:
    """The scores of a changed case; in a mirror the left hand's is the right hand's."""
    scores = scored(dataset, metric, found)
    if word != "mirror":
        return scores
    return {(name, OTHER_SIDE.sub(lambda side: SIDES[side[0]], part)): value for (name, part), value in scores.items()}


EXTREMES = frozenset({"farther", "perfect", "nobody"})


def declared(word: str) -> list[tuple[str, str]]:
    return [(dataset, metric) for dataset, metric in TABLE if word in load_metric(metric).INVARIANCES]


@pytest.mark.parametrize(
    ("dataset", "metric", "word"),
    [(dataset, metric, word) for word in sorted(set(INVARIANCES) - EXTREMES) for dataset, metric in declared(word)],
)
def test_a_declared_invariance_holds(dataset: str, metric: str, word: str) -> None:
    for seed in SEEDS:
        found = case(dataset, seed)
        after = changed(word, dataset, found)
        assert after != found
        then = scored_after(word, dataset, metric, after)
        # relative for millimetres; fractions are at most 1
        assert then == pytest.approx(scored(dataset, metric, found), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize(("dataset", "metric"), declared("farther"))
def test_a_joint_farther_away_never_improves_a_score(dataset: str, metric: str) -> None:
    truth, entries = case(dataset, 4)
    before = scored(dataset, metric, (truth, entries))
    places = {(row["image_id"], row["person_id"]): row["keypoints"] for row in truth["annotations"]}
    rng = np.random.default_rng(2)
    entries = copy.deepcopy(entries)
    for row in entries:
        joint = 3 * int(rng.integers(len(row["keypoints"]) // 3))
        if row["keypoints"][joint] is not None:
            true = places[row["image_id"], row["person_id"]][joint : joint + 2]
            row["keypoints"][joint : joint + 2] = [
                p + 3 * (p - t) for p, t in zip(row["keypoints"][joint : joint + 2], true, strict=True)
            ]
    after = scored(dataset, metric, (truth, entries))
    worse = -1 if load_metric(metric).HIGHER_IS_BETTER else 1
    assert all(worse * (after[key] - before[key]) >= 0 for key in before)
    assert any(after[key] != before[key] for key in before)


# Nothing is nearer than the first of the 31 thresholds, 0.
BEST = {"pck3d_auc": 30 / 31}


def perfect(dataset: str, truth: Document) -> Entries:
    if load_dataset(dataset).entry == "keypoints_3d":
        return space_changes.perfect(truth)
    if load_dataset(dataset).entry == "uv":
        return surface_cases.perfect(truth)
    entries = []
    for row in truth["annotations"]:
        if row["iscrowd"] or not row["num_keypoints"]:
            continue
        entries.append(
            {
                "image_id": row["image_id"],
                "person_id": row["person_id"],
                "keypoints": list(row["keypoints"]),
                "score": 0.5 + row["id"] / 100_000,
            }
        )
    return entries


@pytest.mark.parametrize(("dataset", "metric"), declared("perfect"))
@pytest.mark.parametrize("seed", SEEDS)
def test_perfect_predictions_get_the_best_score(dataset: str, metric: str, seed: int) -> None:
    truth, _ = case(dataset, seed)
    scores = scored(dataset, metric, (truth, perfect(dataset, truth)))
    best = 1.0 if load_metric(metric).HIGHER_IS_BETTER else 0.0
    assert scores
    # millimetres of people thousands of millimetres away
    tolerance = 1e-12 if load_metric(metric).HIGHER_IS_BETTER else 1e-9
    assert all(value == pytest.approx(BEST.get(name, best), abs=tolerance) for (name, _), value in scores.items())


@pytest.mark.parametrize(("dataset", "metric"), declared("nobody"))
def test_nobody_gets_the_worst_score(dataset: str, metric: str) -> None:
    truth, entries = case(dataset, 1)
    scores = scored(dataset, metric, (truth, []))
    assert load_metric(metric).HIGHER_IS_BETTER
    assert set(scores.values()) == {0.0}
    assert list(scores) == list(scored(dataset, metric, (truth, entries)))


# What a metric does not declare: (metric, word) -> dataset, and the case before and after the change


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


def refused(dataset: str) -> tuple[str, Case, Case]:
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
    ("mpjpe", "nobody"): lambda: refused("human36m"),
    ("pck3d", "scale"): lambda: seeded("mpi_inf_3dhp", "scale"),
    ("pck3d", "farther"): lambda: space_changes.better_with_its_root_farther_away("mpi_inf_3dhp"),
    ("pck3d", "nobody"): lambda: refused("mpi_inf_3dhp"),
}


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
        with pytest.raises(PredictionError) as caught:
            scored(dataset, metric, after)
        assert caught.value.code == "missing_person"
        return
    then = scored_after(word, dataset, metric, after)
    better = 1 if load_metric(metric).HIGHER_IS_BETTER else -1
    if word == "farther":
        assert any(better * (then[key] - before[key]) > 1e-6 for key in before)
    else:
        assert then != pytest.approx(before, abs=1e-6)
