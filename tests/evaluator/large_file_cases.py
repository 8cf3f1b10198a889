"""Texts for the readers in C: well-formed in many ways, broken in many ways, and seeded."""

from __future__ import annotations

import dataclasses
import json
import random
import struct
from fractions import Fraction
from typing import Any

import numpy as np

from evaluator import GroundTruthError, PredictionError, load_dataset, read_predictions, read_truth
from evaluator.dataset import Dataset
from evaluator.native.engine import using
from evaluator.reading.image_list import PublicImages
from evaluator.reading.large_files import read_large_annotations, read_large_predictions

JOINTS = 2
# All that the C knows of a dataset is its number of joints, and that an image may have many people.
SMALL: Dataset = dataclasses.replace(load_dataset("coco"), joints=load_dataset("coco").joints[:JOINTS])
IMAGES = PublicImages("coco", "test", dict.fromkeys((-3, 0, 1, 42, 785, 10**17), ()))
IDS = np.array(sorted(IMAGES.people), dtype=np.int64)

FRAGMENTS = [
    *b'[]{}:,"\\-+.eE0123456789 \n\t\r\x00\x1f\x7f\x80\xc3\xff/u',
    b"null", b"true", b"false", b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-0", b"-0.0", b"00", b"1e", b"0x1",
    b"1_0", b"\xef\xbb\xbf", b"\xc3\xa9", b"\xed\xa0\x80", b"\\u0061", b"\\ud800", b'"a"', b"[[[[[[[[1]]]]]]]]",
    b'{"a": {"a": 1}}', b"9" * 25, b"0." + b"3" * 40, b'"image_id": 1,', b'"score": 0.5,', b'"keypoints"',
    b'"limbs": []', b"1000000", b"1000000.0000000001", b"-1000001", b"1e6", b"1.0", b"785.0", b'{"id": 1}',
    b",,", b"/*", b"'",
]  # fmt: skip


def number(rng: random.Random) -> str:
    """A JSON number of magnitude up to about 1e6, written in one of many ways."""
    kind = rng.randrange(12)
    if kind == 0:
        return str(rng.randint(-1000, 1000))
    if kind == 1:
        return rng.choice(
            ["0", "-0", "0.0", "-0.0", "0e5", "-0e-7", "0.000", "1E5", "1e+5", "1000000", "-1000000.0", "1e6"]
        )
    if kind == 2:
        return repr(rng.uniform(-1e6, 1e6))
    if kind == 3:
        return repr(rng.random() * 10.0 ** -rng.randrange(320))
    if kind == 4:
        return f"{rng.uniform(-999, 999):.{rng.randrange(1, 30)}f}"
    if kind == 5:
        return halfway(rng)
    if kind == 6:
        return f"{rng.randrange(10 ** rng.randrange(1, 25))}e{rng.randrange(-330, 1)}"
    if kind == 7:
        digits = "".join(rng.choices("0123456789", k=rng.randrange(1, 60)))
        return f"{rng.choice(['', '-'])}{rng.randrange(1000)}.{'0' * rng.randrange(30)}{digits}"
    if kind == 8:
        return f"{rng.uniform(0, 1):.8f}"
    return f"{rng.uniform(-9, 2000):.{rng.randrange(1, 5)}f}"


def halfway(rng: random.Random) -> str:
    """Exactly, or all but, in the middle between two neighbouring doubles."""
    low = rng.uniform(1e-3, 1e6)
    (bits,) = struct.unpack("<q", struct.pack("<d", low))
    (high,) = struct.unpack("<d", struct.pack("<q", bits + 1))
    middle = (Fraction(low) + Fraction(high)) / 2
    whole, rest = divmod(middle.numerator * 10**60, middle.denominator)
    assert rest == 0
    text = str(whole).rjust(61, "0")
    text = f"{text[:-60]}.{text[-60:]}".rstrip("0")
    return text + rng.choice(["", "", "0", "1", "0000000000001"])


def blanks(rng: random.Random) -> str:
    return rng.choice(["", "", " ", " ", "  ", "\n", "\t", "\r\n  "])


def value(rng: random.Random, depth: int = 0) -> str:
    """Any JSON value."""
    kind = rng.randrange(9 if depth < 3 else 6)
    if kind < 3:
        return number(rng)
    if kind == 3:
        return rng.choice(["true", "false", "null"])
    if kind < 6:
        return rng.choice(
            ['""', '"a b"', '"\\n"', '"\\u00e9"', '"/"', '"\\\\"', '"a\\"b"', '"%s"' % ("x" * rng.randrange(40))]
        )
    if kind < 8:
        return "[" + ",".join(blanks(rng) + value(rng, depth + 1) for _ in range(rng.randrange(4))) + "]"
    return "{" + ",".join(f'"{key}":{value(rng, depth + 1)}' for key in "abc"[: rng.randrange(4)]) + "}"


def numbers(rng: random.Random, count: int) -> str:
    return "[" + ",".join(blanks(rng) + number(rng) + blanks(rng) for _ in range(count)) + "]"


def an_object(rng: random.Random, fields: dict[str, str]) -> str:
    keys = list(fields)
    if rng.random() < 0.3:
        rng.shuffle(keys)
    inner = ",".join(f'{blanks(rng)}"{key}"{blanks(rng)}:{blanks(rng)}{fields[key]}{blanks(rng)}' for key in keys)
    return "{" + inner + "}"


def upload(rng: random.Random) -> bytes:
    """A document of some entries, nearly always well-formed."""
    entries = []
    for _ in range(rng.randrange(4)):
        fields = {
            "image_id": str(rng.choice(IDS.tolist())),
            "keypoints": numbers(rng, 3 * JOINTS),
            "score": number(rng),
        }
        for key in ("category_id", "bbox", "id", "a"):
            if rng.random() < 0.2:
                fields[key] = value(rng)
        entries.append(an_object(rng, fields))
    return (
        blanks(rng) + "[" + ",".join(blanks(rng) + entry + blanks(rng) for entry in entries) + "]" + blanks(rng)
    ).encode()


def annotations(rng: random.Random) -> bytes:
    """An annotation file, nearly always well-formed."""
    images = [
        {"id": image, "file_name": f"{image}.jpg", "width": 4, "note": [1, {"a": None}]} for image in IDS.tolist()
    ]
    rng.shuffle(images)
    people = []
    for row in rng.sample(range(100), rng.randrange(1, 5)):
        flags = [rng.randrange(3) for _ in range(JOINTS)]
        points = ",".join(f"{blanks(rng)}{number(rng)},{rng.randint(0, 640)}, {flag}" for flag in flags)
        fields = {"id": str(row), "image_id": str(rng.choice(IDS.tolist())), "keypoints": f"[{points}]"}
        if rng.random() < 0.8:
            fields["num_keypoints"] = str(rng.choice([1, 2, sum(flag > 0 for flag in flags)]))
            fields["bbox"] = f"[{rng.randint(0, 9)}, 2.25, {rng.random()}, 1e1]"
            fields["area"] = number(rng).lstrip("-")
            fields["iscrowd"] = rng.choice(["0", "0", "0", "1"])
            fields["segmentation"] = f"[{numbers(rng, rng.randrange(6))}]"
        if rng.random() < 0.1:
            fields[rng.choice(["person_id", "limbs", "head_size", "x"])] = value(rng)
        people.append(an_object(rng, fields))
    fields = {
        "info": rng.choice(['{"dataset": "coco", "split": "test"}', "{}", "null"]),
        "images": json.dumps(images),
        "annotations": "[" + ",".join(people) + "]",
    }
    if rng.random() < 0.5:
        fields["categories"] = rng.choice(
            ["[]", '[{"id": 1}]', '[{"keypoints": ["nose", "left_eye"]}]', '[{"keypoints": [1]}]', "3"]
        )
    return an_object(rng, fields).encode()


def damaged(rng: random.Random, text: bytes) -> bytes:
    """The text with a few bytes changed, removed or added."""
    made = bytearray(text)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(made) + 1)
        kind = rng.random()
        fragment = rng.choice(FRAGMENTS)
        piece = bytes([fragment]) if isinstance(fragment, int) else fragment
        if kind < 0.4:
            made[at : at + len(piece)] = piece
        elif kind < 0.7:
            made[at:at] = piece
        elif kind < 0.9:
            del made[at : at + rng.choice([1, 1, 1, 2, 5, 30])]
        else:
            other = rng.randrange(len(made) + 1)
            made[at:at] = made[min(at, other) : max(at, other)]
    return bytes(made)


def same_bits(left: Any, right: Any) -> bool:
    """Whether two arrays are equal to the last bit; NaN equals NaN."""
    if left is None or right is None:
        return left is right
    return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()


def check_upload(text: bytes) -> bool:
    """Whether the C reads it; AssertionError when the careful reader does not find the same in it."""
    found = read_large_predictions(text, SMALL, IDS)
    if found is None:
        return False
    with using("numpy"):
        try:
            expected = read_predictions(text, SMALL, IMAGES)
        except PredictionError as error:
            raise AssertionError(f"the C accepts what the careful reader rejects ({error}): {text!r}") from None
    for name in ("image_ids", "person_ids", "keypoints", "scores", "limbs"):
        assert same_bits(getattr(found, name), getattr(expected, name)), (name, text)
    return True


def check_annotations(text: bytes) -> bool:
    """The same for an annotation file."""
    if read_large_annotations(text, SMALL) is None:
        return False
    try:
        found: Any = read_truth(text, SMALL)
    except GroundTruthError as error:
        found = str(error)
    with using("numpy"):
        try:
            expected: Any = read_truth(text, SMALL)
        except GroundTruthError as error:
            expected = str(error)
    if isinstance(found, str) or isinstance(expected, str):
        assert found == expected, text
        return True
    for name in (
        "image_ids", "image", "ids", "person_ids", "keypoints", "visibility", "num_keypoints", "areas", "boxes",
        "crowd", "head_sizes", "torso_boxes", "limbs", "position",
    ):  # fmt: skip
        assert same_bits(getattr(found, name), getattr(expected, name)), (name, text)
    assert (found.dataset, found.split, found.warnings) == (expected.dataset, expected.split, expected.warnings)
    assert tuple(found.images) == tuple(expected.images)
    return True
