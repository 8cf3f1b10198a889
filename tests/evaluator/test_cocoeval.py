"""COCO and COCOeval under pycocotools' names: the same arrays, objects and printed lines as pycocotools 2.0.11."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.coco
import pycocotools.cocoeval
import pytest

from evaluator import GroundTruthError, PredictionError, evaluate
from evaluator.matching import THRESHOLDS
from poseboard import cocoeval
from tests.evaluator.pose_cases import multi_person

NAMES = [f"{kind}{suffix}" for kind in ("ap", "ar") for suffix in ("", "50", "75", "_medium", "_large")]


def run(library: Any, truth: Any, entries: Any, change: Any = None, again: Any = None) -> tuple[Any, str]:
    """An evaluation by either library with parameters changed by `change`, and what it printed, times left out."""
    printed = io.StringIO()
    coco, coco_eval = (
        (cocoeval.COCO, cocoeval.COCOeval)
        if library is cocoeval
        else (pycocotools.coco.COCO, pycocotools.cocoeval.COCOeval)
    )
    with contextlib.redirect_stdout(printed):
        ground = coco()
        ground.dataset = copy.deepcopy(truth)
        ground.createIndex()
        done = coco_eval(ground, ground.loadRes(copy.deepcopy(entries)), "keypoints")
        if change is not None:
            change(done.params)
        done.evaluate()
        if again is not None:
            p = copy.deepcopy(done.params)
            again(p)
            done.accumulate(p)
        else:
            done.accumulate()
            done.summarize()
    return done, re.sub(r"t=[\d.]+s", "t=", printed.getvalue())


def same(truth: Any, entries: Any, change: Any = None, again: Any = None) -> Any:
    """Both evaluations, compared in everything that pycocotools shows."""
    reference, expected_lines = run(pycocotools, truth, entries, change, again)
    ours, lines = run(cocoeval, truth, entries, change, again)
    assert lines == expected_lines
    assert list(ours.eval) == list(reference.eval) and ours.eval["counts"] == reference.eval["counts"]
    for key in ("precision", "recall", "scores"):
        assert ours.eval[key].shape == reference.eval[key].shape
        assert np.abs(ours.eval[key] - reference.eval[key]).max(initial=0) <= 1e-12, key
    assert list(ours.stats) == pytest.approx(list(reference.stats), abs=1e-12)
    assert len(ours.evalImgs) == len(reference.evalImgs)
    for one, other in zip(ours.evalImgs, reference.evalImgs, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            assert one.keys() == other.keys()
            for key, value in one.items():
                assert np.array_equal(np.asarray(value), np.asarray(other[key])), key
    assert ours.ious.keys() == reference.ious.keys()
    for key, value in ours.ious.items():
        assert np.shape(value) == np.shape(reference.ious[key])
        if np.size(value):
            assert np.abs(np.asarray(value) - reference.ious[key]).max() <= 1e-12
    return ours


def case(seed: int, **sizes: Any) -> tuple[Any, Any]:
    truth, entries = multi_person("coco", seed, **sizes)
    truth["categories"] = [{"id": 1, "name": "person", "supercategory": "person"}]
    return truth, entries


@pytest.mark.real_data
@pytest.mark.parametrize("fixture", ["fce_kp_{}_dataset.json", "xt_example_coco"])
def test_the_shared_fixtures(real_data: Path, fixture: str) -> None:
    files = ("xt_example_coco_val.json", "xt_example_coco_preds.json")
    if fixture != "xt_example_coco":
        files = (fixture.format("gt"), fixture.format("dt"))
    truth, entries = (json.loads((real_data / "coco" / name).read_text()) for name in files)
    for entry in entries:
        entry.pop("bbox", None)  # pycocotools would take the area of it
    ours = same(truth, entries)
    scores = {score.metric: score.value for score in evaluate("coco", entries, truth).scores}
    assert ours.stats.tolist() == pytest.approx([scores[name] for name in NAMES], abs=1e-12)


CHANGES: dict[str, Any] = {
    "as they are": lambda p: None,
    "three numbers of detections": lambda p: setattr(p, "maxDets", [20, 1, 5]),
    "twenty is not among them": lambda p: setattr(p, "maxDets", [3]),
    "one threshold": lambda p: setattr(p, "iouThrs", np.array([0.5])),
    "loose thresholds": lambda p: setattr(p, "iouThrs", np.array([0.05, 0.3, 0.75, 1.0])),
    "eleven recalls": lambda p: setattr(p, "recThrs", np.linspace(0, 1, 11)),
    "half of the images": lambda p: setattr(p, "imgIds", p.imgIds[::2]),
    "images twice and unordered": lambda p: setattr(p, "imgIds", p.imgIds[::-3] * 2),
    "other sigmas": lambda p: setattr(p, "kpt_oks_sigmas", np.linspace(0.02, 0.2, 17)),
    "other areas": lambda p: (
        setattr(p, "areaRng", [[0, 1e10], [0, 64.0**2], [64.0**2, 500.0**2], [1e9, 1e10]]),
        setattr(p, "areaRngLbl", ["all", "small", "medium", "large"]),
    ),
}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("seed", range(3))
def test_parameters(name: str, seed: int) -> None:
    same(*case(seed, images=25, most_people=5, most_detections=26 if seed else 6), CHANGES[name])


def test_several_categories() -> None:
    truth, entries = case(5, images=30)
    truth["categories"].append({"id": 4, "name": "robot", "supercategory": "person"})
    rng = np.random.default_rng(0)
    for row in (*truth["annotations"], *entries):
        row["category_id"] = int(rng.choice([1, 4]))
    assert same(truth, entries).eval["precision"].shape[2] == 2
    same(truth, entries, lambda p: setattr(p, "catIds", [4]))


def test_tied_scores_and_tied_similarities_follow_the_file_as_there() -> None:
    truth, entries = case(8, images=20, most_people=4, most_detections=12)
    for number, row in enumerate(entries):
        row["score"] = (number % 3) / 3
    truth["annotations"] += [dict(row, id=row["id"] + 20_000) for row in truth["annotations"][::2]]
    truth["annotations"].sort(key=lambda row: -row["id"])
    same(truth, entries)


def test_without_categories_all_are_one() -> None:
    # pycocotools looks for keypoints under a category of its own then, finds none, and gives 0.000 ten times
    truth, entries = case(5, images=30)
    whole, _ = run(cocoeval, truth, entries)
    for number, row in enumerate((*truth["annotations"], *entries)):
        row["category_id"] = 1 + number % 2
    pooled, _ = run(cocoeval, truth, entries, lambda p: setattr(p, "useCats", 0))
    assert pooled.stats.tolist() == whole.stats.tolist() and whole.stats[0] > 0.01
    assert run(pycocotools, truth, entries, lambda p: setattr(p, "useCats", 0))[0].stats[0] == 0


def part(p: Any, images: slice, areas: slice) -> None:
    p.imgIds, p.areaRng, p.areaRngLbl, p.maxDets = p.imgIds[images], p.areaRng[areas], p.areaRngLbl[areas], [5]
    p.recThrs = np.linspace(0, 1, 21)


def test_accumulating_a_part_of_what_was_evaluated() -> None:
    truth, entries = case(3, images=30, most_detections=25)
    more = lambda p: setattr(p, "maxDets", [5, 20])  # noqa: E731
    ours = same(truth, entries, more, lambda p: part(p, slice(20), slice(2)))
    assert ours.eval["precision"].shape == (10, 21, 1, 2, 1)
    # pycocotools takes as many of the first images and ranges instead, where others are asked for
    wanted = slice(5, 20), slice(1, 3)
    some, _ = run(cocoeval, truth, entries, more, lambda p: part(p, *wanted))
    alone, _ = run(cocoeval, truth, entries, lambda p: part(p, *wanted))
    assert np.array_equal(some.eval["precision"], alone.eval["precision"])
    assert np.array_equal(
        alone.eval["precision"], run(pycocotools, truth, entries, lambda p: part(p, *wanted))[0].eval["precision"]
    )
    p = copy.deepcopy(ours.params)
    p.areaRng = [[1, 2]]
    with pytest.raises(ValueError, match="not evaluated"):
        ours.accumulate(p)


def test_images_evaluated_by_several_processes_are_put_together() -> None:
    """As detectors in training do it: each process its images, `evalImgs` joined, one accumulate."""
    truth, entries = case(4, images=24)
    whole, _ = run(cocoeval, truth, entries)
    ids = sorted(image["id"] for image in truth["images"])
    parts = [
        run(cocoeval, truth, entries, lambda p, some=some: setattr(p, "imgIds", some))[0]
        for some in (ids[:10], ids[10:])
    ]
    grids = [np.array(part.evalImgs, dtype=object).reshape(-1, 3, len(part.params.imgIds)) for part in parts]
    joined = cocoeval.COCOeval(whole.cocoGt, whole.cocoDt, "keypoints")
    joined.evalImgs = np.concatenate(grids, axis=2).ravel().tolist()
    joined._paramsEval = copy.deepcopy(joined.params)
    joined.accumulate()
    assert np.array_equal(joined.eval["precision"], whole.eval["precision"])


def test_files_and_the_index(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth, entries = case(6, images=12)
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    (tmp_path / "results.json").write_text(json.dumps(entries))
    outputs, indices = [], []
    for coco in (pycocotools.coco.COCO, cocoeval.COCO):
        ground = coco(str(tmp_path / "truth.json"))
        found = ground.loadRes(str(tmp_path / "results.json"))
        outputs.append(re.sub(r"t=[\d.]+s", "t=", capsys.readouterr().out))
        indices.append((ground, found))
    assert outputs[0] == outputs[1]
    (reference, _), (ours, _) = indices
    image = truth["annotations"][0]["image_id"]
    for query in (
        lambda c: sorted(c.getAnnIds()),
        lambda c: c.getAnnIds(imgIds=image),
        lambda c: c.getAnnIds(imgIds=[image], catIds=1, areaRng=[100, 1e6], iscrowd=0),
        lambda c: sorted(c.getImgIds()),
        lambda c: sorted(c.getImgIds(catIds=[1])),
        lambda c: c.getImgIds(imgIds=[image], catIds=[1]),
        lambda c: (
            c.getCatIds(),
            c.getCatIds(catNms="person"),
            c.getCatIds(supNms=["animal"]),
            c.getCatIds(catIds=[1]),
        ),
        lambda c: (c.loadImgs(image), c.loadCats([1]), c.loadAnns(c.getAnnIds(imgIds=image))),
        lambda c: (c.imgToAnns[image], sorted(c.catToImgs[1])),
    ):
        assert query(ours) == query(reference)
    for one, other in zip(indices[1][1].loadAnns([1, 2]), indices[0][1].loadAnns([1, 2]), strict=True):
        assert one["bbox"] == list(other["bbox"]) and one["area"] == other["area"] and one["id"] == other["id"]


def test_files_that_are_no_json(tmp_path: Path) -> None:
    for content in (b"", b"{", b"[" * 100_000, b"\xff", b"3"):
        (tmp_path / "broken.json").write_bytes(content)
        with pytest.raises(GroundTruthError, match=r"broken\.json"):
            cocoeval.COCO(tmp_path / "broken.json")


def test_the_given_list_stays_as_it_was() -> None:
    truth, entries = case(6, images=5)
    before = copy.deepcopy((truth, entries))
    run_on = cocoeval.COCO()
    run_on.dataset = truth
    run_on.createIndex()
    run_on.loadRes(entries)
    assert (truth, entries) == before


def test_a_submitted_box_moves_nothing() -> None:
    truth, entries = case(11, images=40)
    plain, _ = run(cocoeval, truth, entries)
    boxed, _ = run(cocoeval, truth, [row | {"bbox": [0, 0, 1, 1], "area": 1.0, "id": 7} for row in entries])
    assert np.array_equal(plain.eval["precision"], boxed.eval["precision"])
    attacked, _ = run(pycocotools, truth, [row | {"bbox": [0, 0, 1, 1]} for row in entries])
    assert attacked.stats[4] != pytest.approx(plain.stats[4], abs=1e-3)  # AP(L) there


def test_an_annotation_with_id_zero_counts() -> None:
    truth, entries = case(6, images=12)
    renumbered = copy.deepcopy(truth)
    renumbered["annotations"].sort(key=lambda row: row["id"])
    renumbered["annotations"][0]["id"] = 0
    expected, _ = run(pycocotools, truth, entries)
    found, _ = run(cocoeval, renumbered, entries)
    assert list(found.stats) == pytest.approx(list(expected.stats), abs=1e-12)


def test_no_detections_and_nobody() -> None:
    truth, _ = case(6, images=6)
    done, lines = run(cocoeval, truth, [])
    assert done.stats.tolist() == [0.0] * 10 and lines.count("= 0.000") == 10
    nobody = truth | {"annotations": truth["annotations"][:1]}
    nobody["annotations"][0] |= {"iscrowd": 1}
    done, _ = run(cocoeval, nobody, [])
    assert done.stats.tolist() == [-1.0] * 10


def test_what_is_wrong_is_said() -> None:
    truth, entries = case(6, images=6)
    nan = copy.deepcopy(entries)
    nan[2]["keypoints"][4] = float("nan")
    for bad, code in (
        (nan, "not_finite"),
        ([entries[0] | {"image_id": -5}], "unknown_image"),
        ([entries[0] | {"keypoints": [1, 2, 3]}], "wrong_count"),
        ([{key: value for key, value in entries[0].items() if key != "score"}], "missing_key"),
        ([entries[0] | {"score": "0.5"}], "wrong_type"),
        ([entries[0] | {"keypoints": [True] * 51}], "wrong_type"),
        ({"annotations": []}, "not_a_list"),
    ):
        with pytest.raises(PredictionError) as caught:
            run(cocoeval, truth, bad)
        assert caught.value.code == code
    with pytest.raises(NotImplementedError, match="keypoints only"):
        cocoeval.COCOeval(None, None, "bbox")
    with pytest.raises(NotImplementedError, match="keypoints only"):
        cocoeval.COCOeval()  # pycocotools' own default is masks
    with pytest.raises(NotImplementedError, match="masks"):
        cocoeval.COCO().annToMask({})
    with pytest.raises(NotImplementedError, match="arrays"):
        cocoeval.COCO().loadRes(np.zeros((1, 7)))
    with pytest.raises(AttributeError, match="nothing"):
        _ = cocoeval.COCO().nothing
    with pytest.raises(ValueError, match="kpt_oks_sigmas has 14 numbers"):
        run(cocoeval, truth, entries, lambda p: setattr(p, "kpt_oks_sigmas", np.ones(14)))
    with pytest.raises(ValueError, match=r"evaluate\(\) first"):
        cocoeval.COCOeval(None, None, "keypoints").accumulate()
    with pytest.raises(ValueError, match=r"accumulate\(\) first"):
        cocoeval.COCOeval(None, None, "keypoints").summarize()
    empty = cocoeval.COCOeval(None, None, "keypoints")
    empty.params.catIds = [1]
    with pytest.raises(ValueError, match="needs annotations and detections"):
        empty.evaluate()
    endless = copy.deepcopy(truth)
    endless["annotations"][0]["area"] = float("inf")
    with pytest.raises(GroundTruthError, match="not finite"):
        run(cocoeval, endless, entries)


def test_the_defaults_are_pycocotools() -> None:
    ours, reference = cocoeval.Params("keypoints"), pycocotools.cocoeval.Params("keypoints")
    for name in ("imgIds", "catIds", "maxDets", "areaRng", "areaRngLbl", "useCats"):
        assert getattr(ours, name) == getattr(reference, name)
    for name in ("iouThrs", "recThrs"):
        assert np.array_equal(getattr(ours, name), getattr(reference, name))
    assert ours.kpt_oks_sigmas == pytest.approx(reference.kpt_oks_sigmas, abs=1e-16)  # 1.07 / 10 there, 0.107 here
    ours.iouThrs[0] = 0.1  # one's own, not everybody's
    assert THRESHOLDS[0] == 0.5 == cocoeval.Params("keypoints").iouThrs[0]
