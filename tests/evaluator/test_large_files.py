"""Large files: the C reads what the careful reader reads, and both engines give the same bits of every score."""

from __future__ import annotations

import dataclasses
import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluator import evaluate, load_dataset, measure, read_predictions, read_truth
from evaluator.matching import accumulate
from evaluator.native import compiled
from evaluator.native.engine import using
from evaluator.reading import large_files
from tests.evaluator.large_file_cases import (
    IDS,
    SMALL,
    annotations,
    check_annotations,
    check_upload,
    damaged,
    number,
    same_bits,
    upload,
)
from tests.evaluator.pose_cases import multi_person
from tests.evaluator.test_pycocotools_parity import reference
from tests.evaluator.upload_corpus import CORPUS

COCO = load_dataset("coco")


@pytest.fixture
def in_c() -> Iterator[None]:
    with using("native"):
        yield


def using_the_other(engine: str) -> Any:
    return using("numpy" if engine == "native" else "native")


# --- Reading, in C ---------------------------------------------------------------------------------------------------


def readers() -> Iterator[None]:
    """Once with each reader of numbers: there is one for processors with vector instructions."""
    try:
        for wide in [False, True]:
            assert compiled.prepare(wide) <= wide
            yield
    finally:
        compiled.prepare()


def entries_of(texts: list[str]) -> bytes:
    padded = texts + ["0"] * (-len(texts) % 6)
    rows = [", ".join(padded[start : start + 6]) for start in range(0, len(padded), 6)]
    return ("[" + ",".join(f'{{"image_id": 1, "keypoints": [{row}], "score": 1}}' for row in rows) + "]").encode()


@pytest.mark.usefixtures("in_c")
def test_numbers_become_what_float_makes_of_them() -> None:
    rng = random.Random(5)
    texts = [number(rng) for _ in range(60_000)]
    texts = [text for text in texts if abs(float(text)) <= 1e6]
    texts += ["5e-324", "2.2250738585072014e-308", "2.2250738585072011e-308", "1e-400", "123456.7890123456789e-1"]
    texts += ["9007199254740993e-10", "0.1000000000000000055511151231257827021181583404541015625", "999999.99999999994"]
    # every number of digits before and after the point: each takes another path through the C
    for before in range(1, 8):
        for after in range(20):
            for first in "019":
                digits = "".join(rng.choices("0123456789", k=before + after))
                whole = "0" if before == 1 else first.replace("0", "1") + digits[1:before]
                texts.append(f"{rng.choice(['', '-'])}{whole}{'.' * (after > 0)}{digits[before:]}")
    texts = [text for text in texts if abs(float(text)) <= 1e6]
    assert len(texts) > 50_000
    # A whole number has no negative zero: json reads -0 as an int.
    expected = np.array([float(json.loads(text)) for text in texts])
    for _ in readers():
        found = large_files.read_large_predictions(entries_of(texts), SMALL, IDS)
        assert found is not None
        assert same_bits(found.keypoints.reshape(-1)[: len(texts)], expected)


@pytest.mark.usefixtures("in_c")
def test_well_formed_uploads_are_read_in_c_with_the_same_result() -> None:
    rng = random.Random(1)
    read_in_c = sum(check_upload(upload(rng)) for _ in range(2000))
    assert read_in_c > 1200


@pytest.mark.usefixtures("in_c")
def test_damaged_uploads_are_never_accepted() -> None:
    rng = random.Random(2)
    for _ in readers():
        read_in_c = sum(check_upload(damaged(rng, upload(rng))) for _ in range(4000))
        assert 130 < read_in_c < 2700


@pytest.mark.usefixtures("in_c")
def test_nothing_of_the_hostile_corpus_is_accepted() -> None:
    for name, (dataset, content, _, _) in CORPUS.items():
        if dataset == "coco" and not content.startswith((b"\x1f\x8b", b"PK")):
            assert large_files.read_large_predictions(content, COCO, np.array([785, 40083])) is None, name


@pytest.mark.usefixtures("in_c")
def test_annotation_files_are_read_with_the_same_result_or_left_to_the_careful_reader() -> None:
    rng = random.Random(3)
    assert sum(check_annotations(annotations(rng)) for _ in range(1500)) > 600
    assert 100 < sum(check_annotations(damaged(rng, annotations(rng))) for _ in range(3000)) < 2500


@pytest.mark.usefixtures("in_c")
@pytest.mark.parametrize("chunk", [110, 128, 333, 1000])
def test_an_entry_may_lie_across_the_parts_in_which_a_file_is_read(
    chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large_files, "CHUNK", chunk)
    rng = random.Random(chunk)
    read_in_c = sum(check_upload(upload(rng)) for _ in range(300))
    rows = [f'{{"image_id":1,"keypoints":[{row},2,3,4,5,6],"score":1}}' for row in range(200)]
    for gap in ("", " ", "\n" * 50):
        text = f",{gap}".join(rows)
        path = tmp_path / "upload.json"
        path.write_text(f"[{text}]")
        found = large_files.read_large_predictions(path, SMALL, IDS)
        assert found is not None
        assert found.keypoints[:, 0, 0].tolist() == list(range(200))
        assert large_files.read_large_predictions(f"[{text}] x".encode(), SMALL, IDS) is None
        assert large_files.read_large_predictions(f"[{text}".encode(), SMALL, IDS) is None
    assert read_in_c > (30 if chunk > 300 else 3)


# --- Scores, on both engines -----------------------------------------------------------------------------------------


def case(tmp_path: Path, seed: int, **sizes: Any) -> tuple[Path, Path]:
    truth, entries = multi_person("coco", seed, **sizes)
    paths = tmp_path / "truth.json", tmp_path / "predictions.json"
    for path, content in zip(paths, (truth, entries), strict=True):
        path.write_text(json.dumps(content))
    return paths


@pytest.mark.parametrize("seed", range(8))
def test_a_report_has_the_same_bits_on_both_engines(seed: int, engine: str, tmp_path: Path) -> None:
    truth, predictions = case(tmp_path, seed, images=250, most_people=6, most_detections=30)
    found = evaluate("coco", predictions, truth, intervals=seed == 0)
    with using_the_other(engine):
        expected = evaluate("coco", predictions, truth, intervals=seed == 0)
    assert found == expected
    assert [score.value.hex() for score in found.scores] == [score.value.hex() for score in expected.scores]
    packed = gzip.compress(predictions.read_bytes())
    assert (
        evaluate("coco", packed, gzip.compress(truth.read_bytes())).scores
        == evaluate("coco", predictions, truth).scores
    )


def test_ties_and_overfull_images_give_one_score_in_any_order(engine: str) -> None:
    truth, entries = multi_person("coco", seed=4, images=8, most_people=4, most_detections=60)
    for index, row in enumerate(entries):
        row["score"] = 0.5 if index % 3 else -0.25
    entries += [dict(entries[0], score=0.001 * index) for index in range(300)]  # more than are sorted by insertion
    entries += entries[:50]
    truth["annotations"] += [dict(a, id=a["id"] + 20_000) for a in truth["annotations"][::2]]
    text = json.dumps(truth).encode()
    found = set()
    for shuffle in range(20):
        random.Random(shuffle).shuffle(entries)
        found.add(tuple(score.value.hex() for score in evaluate("coco", json.dumps(entries).encode(), text).scores))
        with using_the_other(engine):
            found.add(tuple(score.value.hex() for score in evaluate("coco", entries, truth).scores))
    assert len(found) == 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e308])
def test_what_is_not_finite_in_arrays_gives_the_same_on_both_engines(value: float, engine: str) -> None:
    truth, entries = multi_person("coco", seed=3, images=20)
    annotated = read_truth(truth, COCO)
    clean = read_predictions(entries, COCO)
    spoiled = clean.keypoints.copy()
    spoiled[::3, 0, 0] = value
    for predictions in (
        dataclasses.replace(clean, keypoints=spoiled),
        dataclasses.replace(clean, scores=clean.scores * value),
    ):
        found = measure(COCO, predictions, annotated)[0].scores()
        with using_the_other(engine):
            assert measure(COCO, predictions, annotated)[0].scores() == found


def test_weighted_accumulation_has_the_same_bits_on_both_engines(engine: str) -> None:
    truth, entries = multi_person("coco", seed=9, images=60, most_people=5, most_detections=12)
    (tally,) = measure(COCO, read_predictions(entries, COCO), read_truth(truth, COCO))
    rng = np.random.default_rng(0)
    weights = rng.integers(0, 4, (50, tally.images)).astype(float)
    weights[0] = 0
    found = tally.values(weights)  # type: ignore[attr-defined]
    precision, recall = accumulate(tally.matches, weights[1])  # type: ignore[attr-defined]
    with using_the_other(engine):
        assert same_bits(tally.values(weights), found)  # type: ignore[attr-defined]
        assert same_bits(accumulate(tally.matches, weights[1])[0], precision)  # type: ignore[attr-defined]
    assert precision.shape == (3, 10, 101)
    assert np.isnan(found[0]).all()
    assert found[1, 0] == precision[0].mean()
    assert found[1, 5] == recall[0].mean()


def test_a_tie_among_people_who_do_not_count_goes_by_the_file(engine: str) -> None:
    # The best detection is inside a crowd and an unlabelled person alike (both exactly 1), the second only inside the
    # person. As in pycocotools the later of the file takes the first: if that is the crowd, the person is free for the
    # second; otherwise the second is a false alarm before the hit, and precision is 1/2.
    pose = COCO.pose * [100, 200]
    far = pose + np.array([3000, 0])
    bare = {"image_id": 1, "category_id": 1, "keypoints": [0] * 51, "num_keypoints": 0, "area": 12_000.0}
    crowd = {**bare, "id": 1, "iscrowd": 1, "bbox": [0, 0, 100, 200]}
    person = {**bare, "id": 2, "iscrowd": 0, "bbox": [0, 0, 400, 200]}
    labelled = {
        **bare, "id": 3, "num_keypoints": 17, "bbox": [3000, 0, 100, 200], "iscrowd": 0,
        "keypoints": [v for x, y in far.tolist() for v in (x, y, 2)],
    }  # fmt: skip
    places = (pose, 0.9), (pose + np.array([350, 0]), 0.8), (far, 0.1)
    entries = [
        {"image_id": 1, "category_id": 1, "keypoints": [v for x, y in p.tolist() for v in (x, y, 1)], "score": score}
        for p, score in places
    ]
    for order, expected in (([person, crowd], 1.0), ([crowd, person], 0.5)):
        document = {"images": [{"id": 1}], "annotations": [*order, labelled]}
        annotated = read_truth(document, COCO)
        assert annotated.positions.tolist() == [order.index(crowd), order.index(person), 2]
        found = evaluate("coco", entries, document).scores
        with using_the_other(engine):
            assert evaluate("coco", entries, document).scores == found
        assert found[0].value == pytest.approx(expected, abs=1e-12)
        assert found[0].value == pytest.approx(reference(document, entries, "coco")[0], abs=1e-12)


@pytest.mark.usefixtures("in_c")
def test_a_digest_of_a_file_that_has_changed_is_an_error(tmp_path: Path) -> None:
    truth, predictions = case(tmp_path, 1, images=40)
    report = evaluate("coco", predictions, truth)
    predictions.write_bytes(predictions.read_bytes() + b" ")
    assert len(report.truth_sha256) == 64
    with pytest.raises(RuntimeError, match="has changed since it was read"):
        report.to_dict()
