"""Slices of the people: by hand, against pycocotools, adding up, and what a hidden split shows of them."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from evaluator import (
    Slice,
    annotations_from_arrays,
    diagnose,
    evaluate,
    load_dataset,
    read_predictions,
    read_truth,
    shown_on_a_hidden_split,
)
from evaluator.metrics.multi_person_ap import assign
from evaluator.slices import crowding, groupings
from tests.evaluator.pose_cases import case


def slices_of(dataset: str, truth: Any, entries: Any) -> dict[str, dict[str, Slice]]:
    definition = load_dataset(dataset)
    annotations = read_truth(truth, definition)
    found: dict[str, dict[str, Slice]] = {}
    for each in diagnose(definition, read_predictions(entries, definition), annotations).slices:
        found.setdefault(each.by, {})[each.name] = each
    return found


@pytest.mark.real_data
def test_the_shared_fixture_by_hand(real_data: Path) -> None:
    """One image of COCO, 14 annotations, of which three do not count (a crowd, two without labels).

    labelled (of which hidden), area: 185707 11 (0) 7,356; 188069 14 (3) 1,869; 190600 7 (0) 1,881; 194707 9 (2) 2,763;
    199831 14 (2) 27,385; 253389 15 (0) 4,690; 254273 10 (0) 40,145; 1217589 2 (1) 2,085; 1686038 7 (2) 1,827;
    1692293 6 (4) 1,389; 2157575 9 (1) 2,676.
    """
    folder = real_data / "coco"
    truth, entries = (json.loads((folder / f"fce_kp_{kind}_dataset.json").read_text()) for kind in ("gt", "dt"))
    found = slices_of("coco", truth, entries)
    assert {by: {name: each.people for name, each in names.items()} for by, names in found.items()} == {
        # 32^2 = 1,024 and 96^2 = 9,216 px: only 199831 and 254273 are larger, and nobody is smaller
        "size": {"32 x 32 to 96 x 96": 9, "above 96 x 96": 2},
        # hidden / labelled: 0 four times; 3/14, 2/9, 2/14, 1/9 are up to 1/4; 1/2 and 2/7 up to 1/2; 4/6 is more
        "occlusion": {"none": 4, "up to a quarter": 4, "up to half": 2, "more than half": 1},
        # visible joints: 11 11 7 7 12 15 10 1 5 2 8, and a quarter of 17 is 4.25, a half 8.5, three quarters 12.75
        "visible_joints": {"0 to 4": 2, "5 to 8": 4, "9 to 12": 4, "13 to 17": 1},
        # below, from the definition in plain loops
        "crowding": {"up to 0.1": 4, "up to 0.8": 3, "above 0.8": 4},
    }
    # AR(M) and AR(L) of COCO's own ten numbers
    assert found["size"]["32 x 32 to 96 x 96"].score == pytest.approx(0.4666666666666666, abs=1e-12)
    assert found["size"]["above 96 x 96"].score == pytest.approx(0.75, abs=1e-12)
    assert {each.metric for names in found.values() for each in names.values()} == {"ar"}
    recall = reference_recall(truth, entries)
    hidden = {}
    for row in truth["annotations"]:
        flags = row["keypoints"][2::3]
        if row["num_keypoints"] and not row["iscrowd"]:
            hidden[row["id"]] = flags.count(1) / (flags.count(1) + flags.count(2))
    for name, low, high in (("none", -1, 0), ("up to a quarter", 0, 0.25), ("up to half", 0.25, 0.5)):
        people = [each for each, share in hidden.items() if low < share <= high]
        assert found["occlusion"][name].score == pytest.approx(np.mean([recall[each] for each in people]), abs=1e-12)
    # 54 good, 26 jitter, 7 misses of 87 (test_diagnosis), now by size: every joint in exactly one slice
    counted = [each.errors.counted for each in found["size"].values()]
    assert sum(counted) == 87
    good = sum(each.errors.good * each.errors.counted for each in found["size"].values())
    assert good == pytest.approx(54, abs=1e-9)


def reference_recall(truth: Any, entries: Any) -> dict[int, float]:
    """By annotation id, at how many of the ten thresholds pycocotools finds it, as a share."""
    with contextlib.redirect_stdout(io.StringIO()):
        ground = COCO()
        ground.dataset = truth | {"categories": [{"id": 1, "name": "person"}]}
        ground.createIndex()
        run = COCOeval(ground, ground.loadRes([dict(row) for row in entries]), "keypoints")
        run.evaluate()
    whole = [each for each in run.evalImgs[: len(run.params.imgIds)] if each is not None]
    return {
        name: float((matches > 0).mean())
        for each in whole
        for name, matches in zip(each["gtIds"], each["gtMatches"].T, strict=True)
    }


@pytest.mark.real_data
@pytest.mark.parametrize("fixture", ["fce_kp_gt_dataset.json", "xt_example_coco_val.json"])
def test_crowding_equals_plain_loops(real_data: Path, fixture: str) -> None:
    truth = json.loads((real_data / "coco" / fixture).read_text())
    annotations = read_truth(truth, load_dataset("coco"))
    people = {row["id"]: row for row in truth["annotations"] if row["num_keypoints"] and not row["iscrowd"]}

    def inside(box: Any, person: Any) -> int:
        x, y, w, h = box
        triples = zip(*[iter(person["keypoints"])] * 3, strict=True)
        return sum(flag > 0 and x <= a <= x + w and y <= b <= y + h for a, b, flag in triples)

    found = dict(zip(annotations.ids.tolist(), crowding(annotations).tolist(), strict=True))
    for name, person in people.items():
        others = [each for each in people.values() if each["image_id"] == person["image_id"] and each is not person]
        of_others = sum(inside(person["bbox"], each) for each in others)
        assert found[name] == of_others / max(1, inside(person["bbox"], person))
    assert any(found.values())


def test_crowding_by_hand() -> None:
    # Two LSP people without boxes: the first spans x 0 to 13, y 0; the second is at x 10 to 23: four of its joints
    # (10, 11, 12, 13) are within the first one's box and as many of the first within the second's. 4 / 14. A third,
    # far away, has nobody in its box.
    line = np.stack([np.arange(14.0), np.zeros(14)], axis=1)
    people = annotations_from_arrays([line, np.add(line, [10, 0]), np.add(line, [500, 0])], image_ids=[1, 1, 1])
    assert crowding(people).tolist() == [4 / 14, 4 / 14, 0]
    (cut,) = [each for each in groupings(people, load_dataset("lsp"), None) if each.by == "crowding"]
    assert cut.member.tolist() == [1, 1, 0]
    assert crowding(annotations_from_arrays([line, line], image_ids=[1, 2])).tolist() == [0, 0]


def test_the_bounds_of_every_slice() -> None:
    coco = load_dataset("coco")
    flags = np.zeros((6, 17))
    for row, (hidden, visible) in enumerate([(0, 4), (1, 4), (2, 5), (4, 4), (5, 4), (0, 17)]):
        flags[row, :hidden], flags[row, hidden : hidden + visible] = 1, 2
    areas = np.array([1023.9, 1024, 9216, 9216.1, 1e10, 5])
    people = annotations_from_arrays(np.zeros((6, 17, 2)), visibility=flags, areas=areas)
    member = {each.by: [each.names[place] for place in each.member] for each in groupings(people, coco, areas)}
    small, medium, large = "under 32 x 32", "32 x 32 to 96 x 96", "above 96 x 96"
    assert member["size"] == [small, medium, medium, large, large, small]  # COCO counts the ends to both sides
    # 0, 1/5, 2/7, 4/8, 5/9, 0
    assert member["occlusion"] == ["none", "up to a quarter", "up to half", "up to half", "more than half", "none"]
    assert member["visible_joints"] == ["0 to 4", "0 to 4", "5 to 8", "0 to 4", "0 to 4", "13 to 17"]
    lsp = load_dataset("lsp")
    thirds = annotations_from_arrays([np.arange(28.0).reshape(14, 2) * size for size in (3, 1, 2, 6, 5, 4)])
    (sizes, *_) = groupings(thirds, lsp, None)
    assert [sizes.names[place] for place in sizes.member] == [
        f"{name} third" for name in ("middle", "smallest", "smallest", "largest", "largest", "middle")
    ]


@pytest.mark.parametrize("dataset", ["lsp", "mpii", "flic", "coco", "crowdpose"])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_slices_of_a_grouping_average_to_the_score(dataset: str, seed: int) -> None:
    truth, entries = case(dataset, seed, images=60)
    scores = {(s.metric, s.part): s.value for s in evaluate(dataset, entries, truth).scores}
    found = slices_of(dataset, truth, entries)
    assert list(found) == ["size", "occlusion", "visible_joints", "crowding"]
    for names in found.values():
        slices = list(names.values())
        oks = slices[0].metric == "ar"
        weights = [each.people if oks else each.errors.counted for each in slices]
        mean = np.average([each.score for each in slices], weights=weights)
        assert mean == pytest.approx(scores[slices[0].metric, "all"], abs=1e-12)
        assert all(0 < each.images <= each.people for each in slices)
        for each in slices:
            if not oks:
                assert each.errors.good + each.errors.jitter == pytest.approx(each.score, abs=1e-12)
    assert len({sum(each.people for each in names.values()) for names in found.values()}) == 1


@pytest.mark.parametrize("dataset", ["posetrack", "mpii_multi"])
def test_slices_of_people_who_are_given_poses(dataset: str) -> None:
    truth, entries = case(dataset, 1, images=40)
    definition = load_dataset(dataset)
    annotations, predictions = read_truth(truth, definition), read_predictions(entries, definition)
    spec = definition.metrics[0]
    assert spec.metric == "multi_person_ap"
    poses = assign(annotations, predictions, definition, spec.parameters["threshold"])
    joints = poses.annotated.sum(axis=1)
    found = slices_of(dataset, truth, entries)
    assert list(found) == ["size", "occlusion", "visible_joints", "crowding"]
    for cut in groupings(annotations, definition, None):
        # the joints that were found, slice by slice, are all that were found
        hits = [each.score * joints[cut.member == cut.names.index(name)].sum() for name, each in found[cut.by].items()]
        assert sum(hits) == pytest.approx(poses.hit[poses.person >= 0].sum(), abs=1e-9) and sum(hits) > 50
        assert {each.metric for each in found[cut.by].values()} == {"recall@0.5"}
        assert sum(each.people for each in found[cut.by].values()) == (joints > 0).sum()


@dataclass(frozen=True)
class Made:
    by: str
    people: int


@pytest.mark.parametrize(
    ("people", "shown"),
    [
        ([50, 51, 200], [50, 51, 200]),
        ([49, 60, 200], [200]),  # 49 would follow from the total; with the 60 it is 109 that are left out
        ([49, 10, 60], [60]),  # 59 people left out, of whom nothing else is known
        ([49, 60], []),
        ([10, 20, 30, 400], [400]),
        ([7], []),
        ([50], [50]),
        ([0, 80, 90], [80, 90]),
    ],
)
def test_a_hidden_split_shows_nothing_of_fewer_than_fifty_people(people: list[int], shown: list[int]) -> None:
    slices = [Made("size", each) for each in people] + [Made("crowding", 500)]
    found = shown_on_a_hidden_split(slices)
    assert [each.people for each in found if each.by == "size"] == shown
    assert [each.people for each in found if each.by == "crowding"] == [500]
    left_out = sum(people) - sum(shown)
    assert left_out == 0 or left_out >= 50 or not shown


def test_slices_as_json() -> None:
    truth, entries = case("lsp", 3)
    definition = load_dataset("lsp")
    diagnosis = diagnose(definition, read_predictions(entries, definition), read_truth(truth, definition))
    first = json.loads(json.dumps(diagnosis.to_dict(), allow_nan=False))["slices"][0]
    assert list(first) == ["by", "name", "people", "images", "metric", "score", "errors"]
    assert (first["by"], first["name"], first["metric"]) == ("size", "smallest third", "pck@0.2")
