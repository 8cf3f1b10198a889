"""OKS average precision equals pycocotools 2.0.11 to 1e-12 on input without ties."""

from __future__ import annotations

import contextlib
import copy
import io
import json
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from evaluator import evaluate, load_dataset
from tests.evaluator.pose_cases import multi_person

FIXTURES = {
    "fce_kp": (
        "coco",
        "fce_kp_dt_dataset.json",
        "fce_kp_gt_dataset.json",
        "0.5048844884488449 0.7227722772277227 0.6336633663366337 0.46633663366336636 0.7504950495049505 "
        "0.5181818181818182 0.7272727272727273 0.6363636363636364 0.4666666666666666 0.75",
    ),
    "xt_coco": (
        "coco",
        "xt_example_coco_preds.json",
        "xt_example_coco_val.json",
        "0.8608896054440609 0.993145468392993 0.9108910891089109 0.7755775577557756 0.9372524752475248 "
        "0.875 1.0 0.9166666666666666 0.78 0.9428571428571428",
    ),
}
NAMES = [f"{kind}{suffix}" for kind in ("ap", "ar") for suffix in ("", "50", "75", "_medium", "_large")]


def reference(truth: dict[str, Any], entries: list[dict[str, Any]], dataset: str) -> list[float]:
    """pycocotools' ten numbers, -1 where nothing was annotated."""
    definition = load_dataset(dataset)
    truth, entries = copy.deepcopy(truth), copy.deepcopy(entries)
    truth["categories"] = [{"id": 1, "name": "person"}]
    for annotation in truth["annotations"]:
        if dataset == "crowdpose":
            annotation["area"] = 0.53 * annotation["bbox"][2] * annotation["bbox"][3]
    for entry in entries:
        entry.pop("bbox", None)
    with contextlib.redirect_stdout(io.StringIO()):
        ground = COCO()
        ground.dataset = truth
        ground.createIndex()
        run = COCOeval(ground, ground.loadRes(entries), "keypoints")
        run.params.kpt_oks_sigmas = definition.sigmas
        run.evaluate()
        run.accumulate()
        run.summarize()
    return list(run.stats)


@pytest.mark.real_data
@pytest.mark.parametrize("fixture", FIXTURES)
@pytest.mark.parametrize("shuffled", [False, True])
def test_the_shared_fixtures_give_their_ten_numbers(real_data: Path, fixture: str, shuffled: bool) -> None:
    dataset, predictions, truth, expected = FIXTURES[fixture]
    entries = json.loads((real_data / "coco" / predictions).read_text())
    document = json.loads((real_data / "coco" / truth).read_text())
    if shuffled:
        rng = np.random.default_rng(7)
        rng.shuffle(entries)
        rng.shuffle(document["annotations"])
        rng.shuffle(document["images"])
    report = evaluate(dataset, entries, document)
    assert [score.metric for score in report.scores] == NAMES
    assert [score.value for score in report.scores] == pytest.approx(
        [float(value) for value in expected.split()], abs=1e-12
    )


@pytest.mark.real_data
def test_crowdpose_uses_its_own_sigmas_and_a_share_of_the_box(real_data: Path) -> None:
    folder = real_data / "coco"
    report = evaluate("crowdpose", folder / "xt_example_crowdpose_preds.json", folder / "xt_example_crowdpose_val.json")
    scores = {score.metric: score.value for score in report.scores}
    assert scores["ap"] == pytest.approx(0.7877215935879303, abs=1e-12)
    assert scores["ap50"] == pytest.approx(0.9881188118811886, abs=1e-12)
    assert scores["ap75"] == pytest.approx(0.7314356435643564, abs=1e-12)
    assert scores["ar"] == pytest.approx(0.8222222222222223, abs=1e-12)


@pytest.mark.real_data
def test_the_fixtures_equal_pycocotools_run_here(real_data: Path) -> None:
    for dataset, predictions, truth, _ in FIXTURES.values():
        entries = json.loads((real_data / "coco" / predictions).read_text())
        document = json.loads((real_data / "coco" / truth).read_text())
        ours = {score.metric: score.value for score in evaluate(dataset, entries, document).scores}
        assert [ours[name] for name in NAMES] == pytest.approx(reference(document, entries, dataset), abs=1e-12)


@pytest.mark.parametrize("block", range(10))
def test_random_cases_equal_pycocotools(block: int) -> None:
    rng = np.random.default_rng(block)
    compared = 0
    for number in count():
        dataset = ("coco", "crowdpose", "mannequins")[number % 3]
        truth, entries = multi_person(
            dataset,
            seed=10_000 * block + number,
            images=int(rng.integers(1, 4)),
            most_people=int(rng.integers(1, 5)),
            # more than the twenty that count, now and then
            most_detections=40 if number % 25 == 0 else 5,
        )
        if not entries or not any(a["num_keypoints"] and not a["iscrowd"] for a in truth["annotations"]):
            continue
        extremes(truth, rng)
        expected = reference(truth, entries, dataset)
        found = {score.metric: score.value for score in evaluate(dataset, entries, truth).scores}
        for name, value in zip(NAMES, expected, strict=True):
            assert found.get(name, -1) == pytest.approx(value, abs=1e-12), (block, number, name)
        compared += 1
        if compared == 250:
            break


def extremes(truth: dict[str, Any], rng: np.random.Generator) -> None:
    """Areas at and beyond the bounds of the ranges."""
    for annotation in truth["annotations"]:
        if rng.random() < 0.1:
            area = float(rng.choice([1e-3, 32.0**2, 96.0**2, np.nextafter(96.0**2, 0), 1e10, 2e10]))
            annotation["area"] = area
            annotation["bbox"][2:] = [area / 0.53 / 16, 16.0]


def test_a_larger_case_equals_pycocotools() -> None:
    truth, entries = multi_person("coco", seed=5, images=120, most_people=8, most_detections=30)
    found = [score.value for score in evaluate("coco", entries, truth).scores]
    assert found == pytest.approx(reference(truth, entries, "coco"), abs=1e-12)
