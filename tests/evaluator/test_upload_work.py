"""How much work an upload can cause: files made to be slow are rejected early, and reading in parts changes nothing."""

from __future__ import annotations

import gzip
import json
import random
import time
from typing import Any

import numpy as np
import pytest

from evaluator import CODES, PredictionError, Predictions, load_dataset, read_images, read_predictions, validate
from evaluator.errors import MOST_COUNTED, shown
from evaluator.native.engine import using
from evaluator.reading import json_documents, upload_rules
from evaluator.reading.entries import EntryReader
from evaluator.reading.upload_rules import NO_BENCHMARK, limits_of
from tests.evaluator import large_file_cases
from tests.evaluator.upload_entries import IMAGES, entry, text
from tests.evaluator.upload_mutations import IMAGES as SIZES
from tests.evaluator.upload_mutations import image_list, mutated, slow

SHAPES = tuple(slow(0))
# Without the C every entry is read carefully, as in any file of a dataset of one person per image.
READ_IN_C = {"one bad entry before good ones", "one text that is not ASCII", "an entry too many"}


class Work:
    """Counts what a check does: entries looked at, bytes decoded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.entries = self.decoded = 0
        read, fill = EntryReader.read, json_documents._Window._fill

        def counted_read(reader: EntryReader, number: int, entry: Any) -> None:
            self.entries += 1
            read(reader, number, entry)

        def counted_fill(window: Any, position: int, size: int) -> None:
            fill(window, position, size)
            self.decoded += window._end - window._base

        monkeypatch.setattr(EntryReader, "read", counted_read)
        monkeypatch.setattr(json_documents._Window, "_fill", counted_fill)


def code_of(dataset: str, content: bytes, images: Any) -> str:
    try:
        validate(dataset, content, images=images)
    except PredictionError as error:
        found = error
    else:
        return ""
    assert len(found.problems) <= 100
    assert str(found).isascii()
    assert {problem.code for problem in found.problems} <= set(CODES)
    return found.code


@pytest.mark.parametrize("name", SHAPES)
def test_a_file_made_to_be_slow_causes_little_work(name: str, engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # a tenth of the bounds, for files of a tenth of the size
    for bound in ("LEAST_VALUES", "LEAST_OBJECTS", "ENTRIES_PER_IMAGE"):
        monkeypatch.setattr(upload_rules, bound, getattr(upload_rules, bound) // 10)
    shape = slow(4)[name]
    content, images = shape.make(), read_images(image_list(shape.dataset))
    work, started = Work(monkeypatch), time.process_time()
    assert code_of(shape.dataset, content, images) == shape.code
    if engine == "native" or name not in READ_IN_C:
        assert work.entries <= shape.entries
    # an entry that goes on after its window is read again in a larger one
    assert work.decoded <= 2 * len(content) + 8 * json_documents.WINDOW
    # it takes some tenths of a second at most
    assert time.process_time() - started < 10


def test_the_reading_stops_after_a_thousand_problems_and_says_so() -> None:
    with pytest.raises(PredictionError) as caught:
        validate("coco", b"[" + b"[]," * 5000 + b"[]]", images=IMAGES["coco"])
    assert caught.value.total == MOST_COUNTED == 1000
    assert str(caught.value).startswith("at least 1000 problems, the first 100:\n")
    assert [problem.entry for problem in caught.value.problems] == list(range(100))
    with pytest.raises(PredictionError) as caught:
        validate("coco", b"[" + b"[]," * 998 + b"[]]", images=IMAGES["coco"])
    assert (caught.value.total, str(caught.value).partition(",")[0]) == (999, "999 problems")


def test_mutated_uploads_are_rejected_with_a_code_or_valid() -> None:
    """A small part of what benchmarks.fuzz_uploads does."""
    codes = set()
    for seed in range(150):
        upload = mutated(seed, largest=60_000)
        started = time.process_time()
        codes.add(code_of(upload.dataset, upload.content, read_images(image_list(upload.dataset))))
        assert time.process_time() - started < 10, upload
    assert len(codes) > 15


def outcome(content: bytes, dataset: Any = large_file_cases.SMALL, images: Any = large_file_cases.IMAGES) -> Any:
    try:
        return read_predictions(content, dataset, images)
    except PredictionError as error:
        return error.to_dict()


def same(left: Any, right: Any) -> bool:
    if not (isinstance(left, Predictions) and isinstance(right, Predictions)):
        return bool(left == right)
    names = ("image_ids", "person_ids", "keypoints", "scores", "limbs")
    return all(large_file_cases.same_bits(getattr(left, name), getattr(right, name)) for name in names)


def many(rng: random.Random) -> bytes:
    """A document of many entries, most of them good, some damaged, some that only the careful reader reads."""
    rows = []
    for _ in range(rng.randrange(1, 60)):
        row = large_file_cases.upload(rng).strip()[1:-1]
        if rng.random() < 0.1:
            row = row.replace(b'"score"', '"né\U0001f600": {"a": 1}, "score"'.encode())
        if rng.random() < 0.02:
            row = large_file_cases.damaged(rng, row or b"{}")
        if row.strip():
            rows.append(row)
    return b"[" + b",".join(rows) + b"]"


def test_entries_read_in_c_between_others_are_what_the_careful_reader_reads() -> None:
    rng, rejected, valid = random.Random(11), 0, 0
    for _ in range(200):
        content = many(rng)
        found = outcome(content)
        with using("numpy"):
            expected = outcome(content)
        assert same(found, expected), content
        rejected, valid = rejected + isinstance(found, dict), valid + isinstance(found, Predictions)
    assert min(rejected, valid) > 30


@pytest.mark.parametrize("window", [17, 64, 500])
def test_it_does_not_matter_in_which_parts_a_document_is_decoded(window: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(window)
    cases = [many(rng) for _ in range(150)]
    cases += [
        f"[{piece}]".encode() for piece in ("1" * 40 + "e-39", "12e5, 1.5E+30, -0.25", "NaN, Infinity, -Infinity")
    ]
    cases += [f'["{"é" * count}", {"1" * count}, tru]'.encode() for count in range(30)]
    with using("numpy"):
        expected = [outcome(content) for content in cases]
        monkeypatch.setattr(json_documents, "WINDOW", window)
        for content, whole in zip(cases, expected, strict=True):
            assert same(outcome(content), whole), content


def test_how_much_a_file_may_hold_follows_the_benchmark() -> None:
    images = read_images({"images": [{"id": number} for number in range(20_000)]})
    coco, lsp = load_dataset("coco"), load_dataset("lsp")
    large, small = limits_of(coco, images), limits_of(lsp, images)
    assert (large.size, large.entries) == (1 << 30, 2_000_000)
    assert small.size < 100 << 20
    assert small.entries is None
    assert limits_of(lsp, read_images(IMAGES["lsp"])).size == 64 << 20
    assert (NO_BENCHMARK.size, NO_BENCHMARK.entries, NO_BENCHMARK.values) == (1 << 30, None, None)
    # the largest file of each dataset that makes sense: 20 people per image, all digits of a float
    for name in SIZES:
        dataset, images = load_dataset(name), read_images(image_list(name))
        number = len(repr(-123.45678901234567)) + 2
        if dataset.entry != "uv":
            people = 1 if dataset.single_person else 20
            assert limits_of(dataset, images).size > len(images.people) * people * 3 * len(dataset.joints) * number


def test_a_file_larger_than_its_benchmark_can_need_is_rejected_while_it_inflates(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setattr(upload_rules, "LEAST_BYTES", 1 << 20)
    rng = np.random.default_rng(0)
    # of two people, two megabytes: what else there is in the entry has no end
    document = text(entry("lsp", notes=rng.random(120_000).tolist()), entry("lsp", image_id=1002, person_id=1))
    path = tmp_path / "upload"
    for content in (document, gzip.compress(document, 1)):
        path.write_bytes(content)
        for source in (content, path):
            with pytest.raises(PredictionError) as caught:
                validate("lsp", source, images=IMAGES["lsp"])
            assert caught.value.code == "too_large"
            assert "1 MiB" in str(caught.value)
            # without a benchmark only the file's owner waits for it
            assert validate("lsp", source).entries == 2


def test_what_is_shown_of_a_value_is_its_beginning() -> None:
    rng = random.Random(4)
    for _ in range(3000):
        value = json.loads(large_file_cases.value(rng))
        value = rng.choice([value, [value] * rng.randrange(40), {"k" * rng.randrange(70): value, "b": [value, {}]}])
        whole = json.dumps(value)
        assert shown(value) == (whole if len(whole) <= 60 else whole[:57] + "...")
    assert shown("é" * 100) == json.dumps("é" * 100)[:57] + "..."


def test_the_first_byte_that_is_not_utf8_is_named_wherever_a_part_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(9)
    monkeypatch.setattr(json_documents, "CHUNK", 5)
    for _ in range(400):
        content = bytearray('["aé€😀b"]'.encode() * rng.randrange(1, 4))
        content[rng.randrange(1, len(content))] = rng.choice([0x80, 0xC3, 0xE2, 0xF0, 0xFF, 0x41])
        start = first_undecodable(content)
        if start is not None:
            problem = outcome(bytes(content))["problems"][0]
            assert problem["message"] == f"byte {start} is not UTF-8", content


def first_undecodable(content: bytearray) -> int | None:
    try:
        content.decode()
    except UnicodeDecodeError as error:
        return error.start
    return None
