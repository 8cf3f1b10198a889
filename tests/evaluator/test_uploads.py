"""The reader: hostile files get their code and message, good files are read in every wrapping, a hundred at once."""

from __future__ import annotations

import copy
import gzip
import io
import json
import pickle
import random
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluator import CODES, PredictionError, Predictions, evaluate, load_dataset, read_predictions, validate
from evaluator.reading.archives import unpacked
from tests.evaluator.upload_corpus import CORPUS, zipped
from tests.evaluator.upload_entries import IMAGES, VALID, entry, text


def problem_of(dataset: str, content: Any) -> PredictionError:
    with pytest.raises(PredictionError) as caught:
        validate(dataset, content, images=IMAGES[dataset])
    return caught.value


@pytest.mark.parametrize("name", CORPUS)
def test_a_hostile_file_gets_its_code_and_message(name: str) -> None:
    dataset, content, code, fragment = CORPUS[name]
    started = time.process_time()
    error = problem_of(dataset, content)
    assert error.code == code
    assert fragment in str(error)
    assert str(error).isascii()
    assert len(error.problems) <= 100
    assert all(problem.code in CODES for problem in error.problems)
    assert time.process_time() - started < 2
    assert PredictionError.from_dict(json.loads(json.dumps(error.to_dict()))).to_dict() == error.to_dict()
    assert pickle.loads(pickle.dumps(error)).to_dict() == error.to_dict()


def test_the_corpus_is_large_and_shows_every_code() -> None:
    assert len(CORPUS) >= 60
    assert {case[2] for case in CORPUS.values()} == set(CODES)


def test_a_file_of_more_than_a_gigabyte_is_rejected_while_it_inflates(monkeypatch: pytest.MonkeyPatch) -> None:
    import evaluator.reading.archives as archives

    monkeypatch.setattr(archives, "MOST_BYTES", 1000)
    noise = random.Random(1).randbytes(5000)
    for content in (noise, gzip.compress(noise), zipped(noise)):
        with pytest.raises(PredictionError) as caught:
            unpacked(archives.read_upload(content))
        assert caught.value.code == "too_large"


@pytest.mark.parametrize("wrap", ["plain", "gzip", "stored", "deflated", "streamed", "gzip in zip"])
def test_a_good_file_is_read_in_every_wrapping(wrap: str, tmp_path: Path) -> None:
    streamed = io.BytesIO()
    with zipfile.ZipFile(Unseekable(streamed), "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[type-var]
        archive.writestr("p.json", VALID)
    content = {
        "plain": VALID,
        "gzip": gzip.compress(VALID),
        "stored": zipped(method=zipfile.ZIP_STORED),
        "deflated": zipped(mode=0o100644),
        "streamed": streamed.getvalue(),
        "gzip in zip": zipped(gzip.compress(VALID), "p.json.gz"),
    }[wrap]
    path = tmp_path / "upload"
    path.write_bytes(content)
    for source in (content, path, str(path)):
        checked = validate("coco", source, images=IMAGES["coco"])
        assert (checked.entries, checked.images_covered, checked.images_total, checked.most_detections) == (1, 1, 2, 1)


class Unseekable:
    """A pipe: zipfile writes data descriptors after the member."""

    def __init__(self, target: io.BytesIO) -> None:
        self.target = target

    def write(self, data: bytes) -> int:
        return self.target.write(data)

    def flush(self) -> None:
        self.target.flush()


def test_the_numbers_arrive_as_json_reads_them() -> None:
    content = b'[{"image_id": 785, "score": 1e-3, "keypoints": [%s]}]' % b",".join(
        [b"-0.1", b"12345.678901234567890", b"3"] * 17
    )
    found = read_predictions(content, load_dataset("coco"))
    assert found.keypoints[0, 0].tolist() == [-0.1, 12345.678901234567890, 3.0]
    assert found.scores.tolist() == [0.001]
    assert found.keypoints.shape == (1, 17, 3)


def test_values_that_are_odd_but_allowed() -> None:
    odd = entry(
        keypoints=[-1e6, 1e6, 0] * 17,
        score=-3,
        extra={"nested": [1, {"a": None}]},
        category_id="person",
        limbs="ignored: COCO has none",
        person_id="ignored",
    )
    checked = validate("coco", text(odd, odd, odd), images=IMAGES["coco"])
    assert checked.entries == 3
    digits = b'"score": 0.' + b"3" * 200
    assert validate("coco", VALID.replace(b'"score": 0.5', digits), images=IMAGES["coco"]).entries == 1


def test_an_empty_list_is_a_valid_upload() -> None:
    checked = validate("coco", b" [ ] ", images=IMAGES["coco"])
    assert (checked.entries, checked.images_covered, checked.mean_detections) == (0, 0, 0.0)


def test_missing_joints_are_allowed_where_there_is_one_person() -> None:
    found = read_predictions(text(entry("lsp", keypoints=[None] * 3 + [1, 2, 3] * 13)), load_dataset("lsp"))
    assert np.isnan(found.keypoints[0, 0]).all()
    assert found.keypoints[0, 1].tolist() == [1, 2, 3]


def test_missing_joints_are_allowed_where_the_dataset_says_so() -> None:
    # Of many people, too: a pose of PoseTrack may lack joints, or all of them.
    missing = [entry("posetrack", keypoints=[None] * 3 + [1, 2, 3] * 14), entry("posetrack", keypoints=[None] * 45)]
    found = read_predictions(text(*missing), load_dataset("posetrack"))
    assert np.isnan(found.keypoints[0, 0]).all() and not np.isnan(found.keypoints[0, 1:]).any()
    assert np.isnan(found.keypoints[1]).all()
    assert validate("posetrack", found, images=IMAGES["posetrack"]).entries == 2
    with pytest.raises(PredictionError) as caught:
        validate("coco", [entry(keypoints=[None] * 51)], images=IMAGES["coco"])
    assert {problem.code for problem in caught.value.problems} == {"missing_joint"}


def test_a_person_alone_in_the_image_need_not_be_named() -> None:
    images = copy.deepcopy(IMAGES["lsp"])
    images["images"][0]["people"] = [{"person_id": 4}]
    from evaluator import read_images

    found = read_predictions(text(entry("lsp")), load_dataset("lsp"), read_images(images))
    assert found.person_ids.tolist() == [4]


def test_the_first_hundred_problems_come_at_once_and_in_order() -> None:
    wrong = [entry(image_id=1) if n % 2 else entry(keypoints=[1e9] + [0] * 50) for n in range(300)]
    error = problem_of("coco", text(*wrong))
    assert error.total == 300
    assert [problem.entry for problem in error.problems] == list(range(100))
    assert [problem.code for problem in error.problems[:2]] == ["out_of_range", "unknown_image"]
    assert "300 problems, the first 100" in str(error)


def test_one_entry_may_have_several_problems() -> None:
    error = problem_of("coco", text(entry(image_id=1, score="high", keypoints=[])))
    assert {problem.code for problem in error.problems} == {"unknown_image", "wrong_type", "wrong_count"}


def test_an_error_depends_on_the_upload_and_the_image_list_only() -> None:
    from tests.evaluator.pose_cases import single_person

    messages = set()
    for seed in (1, 2):
        truth, _ = single_person("lsp", 1, images=5)
        moved, _ = single_person("lsp", seed, images=5)
        for row, other in zip(truth["annotations"], moved["annotations"], strict=False):
            row["keypoints"] = other["keypoints"]
        bad = [{"image_id": image["id"], "score": "x", "keypoints": []} for image in truth["images"]]
        with pytest.raises(PredictionError) as caught:
            evaluate("lsp", bad, truth)
        messages.add(str(caught.value))
    assert len(messages) == 1


def test_entries_in_memory_follow_the_rules_of_a_file() -> None:
    array = np.full((14, 3), 5.0)
    array[2] = np.nan
    found = read_predictions([entry("lsp", keypoints=array, image_id=np.int64(7))], load_dataset("lsp"))
    assert np.isnan(found.keypoints[0, 2]).all()
    assert not np.isnan(found.keypoints[0, 3]).any()
    array[3, 0] = np.nan
    for bad, code in (
        (entry("lsp", keypoints=array), "incomplete_joint"),
        (entry("lsp", score=float("nan")), "not_finite"),
        (entry("lsp", keypoints=[float("nan")] * 42), "not_finite"),
        (entry("lsp", keypoints=(1.0,) * 41), "wrong_count"),
    ):
        with pytest.raises(PredictionError) as caught:
            read_predictions([bad], load_dataset("lsp"))
        assert caught.value.code == code


def arrays(**changes: Any) -> Predictions:
    made: dict[str, Any] = {
        "image_ids": np.array([1001]),
        "person_ids": np.array([0]),
        "keypoints": np.ones((1, 14, 3)),
        "scores": np.ones(1),
    }
    return Predictions(**(made | changes))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"keypoints": np.ones((1, 13, 3))}, "wrong_count"),
        ({"limbs": np.ones((1, 9, 2, 2))}, "wrong_count"),
        ({"image_ids": np.array([5])}, "unknown_image"),
        ({"person_ids": np.array([5])}, "unknown_person"),
        ({"scores": np.array([np.nan])}, "not_finite"),
        ({"keypoints": np.full((1, 14, 3), np.inf)}, "not_finite"),
        ({"keypoints": np.full((1, 14, 3), 2e6)}, "out_of_range"),
        ({"keypoints": np.where(np.arange(3) == 1, np.nan, np.ones((1, 14, 3)))}, "incomplete_joint"),
    ],
)
def test_arrays_follow_the_rules_of_a_file(changes: dict[str, Any], code: str) -> None:
    assert validate("lsp", arrays(), images=IMAGES["lsp"]).entries == 1
    assert problem_of("lsp", arrays(**changes)).code == code


def test_random_damage_never_escapes_the_enumeration() -> None:
    rng = random.Random(3)
    good = text(*(entry(score=n / 10) for n in range(5)))
    seeds = [good, gzip.compress(good), zipped(good)]
    codes = []
    for _ in range(3000):
        damaged = bytearray(rng.choice(seeds))
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(damaged))
            kind = rng.random()
            if kind < 0.5:
                damaged[at] = rng.randrange(256)
            elif kind < 0.75:
                del damaged[at : at + rng.randint(1, 30)]
            else:
                damaged[at:at] = rng.choice(
                    [b"[", b"{", b'"', b",", b"NaN", b"-", b"1e999", b"\x00", b"null", b"9" * 30]
                )
            if not damaged:
                break
        try:
            validate("coco", bytes(damaged), images=IMAGES["coco"])
        except PredictionError as error:
            codes.append(error.code)
    assert len(codes) > 2000
    assert set(codes) <= set(CODES)


def test_reading_does_not_depend_on_the_limit_for_digits() -> None:
    assert sys.get_int_max_str_digits() == 4300
    assert problem_of("coco", CORPUS["an integer of 5,000 digits"][1]).code == "number_too_long"


def test_a_problem_that_repeats_is_one_line_with_a_count() -> None:
    text = {"keypoints": [1.0, 2.0, 0.5] * 14, "score": "0.9"}
    found = [{"image_id": number, **text} for number in range(1, 8)] + [{"image_id": 8, "keypoints": 3, "score": 1}]
    with pytest.raises(PredictionError) as caught:
        read_predictions(json.dumps(found).encode(), load_dataset("lsp"))
    first, *lines = str(caught.value).splitlines()
    assert first.startswith("8 problems")
    assert len(lines) == 2 and lines[0].startswith("- in 7 entries, first in entry 0, /0/score: score is ")
    assert lines[1].startswith("- entry 7, /7/keypoints")
    # the list for programs has them all
    assert [each.entry for each in caught.value.problems] == list(range(8))
