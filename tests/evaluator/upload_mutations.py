"""Uploads that somebody may send: seeded mutations of good files, and a table of those made to be slow to reject.

A mutation is of the structure (entries, keys and values) or of the bytes, of JSON, gzip and zip; most files are small,
some have tens of megabytes.
"""

from __future__ import annotations

import gzip
import io
import json
import random
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from evaluator import load_dataset
from evaluator.reading import upload_rules
from evaluator.surface.maps import uniform_entry
from tests.evaluator import large_file_cases

MEGA = 1 << 20
KINDS = ("structure", "bytes")
WRAPPINGS = ("json", "gz", "zip")
IMAGES = {"coco": 5000, "lsp": 1000, "posetrack": 2500, "human36m": 2000, "densepose": 1500, "coco_wholebody": 5000}
LARGE_SHARE = 0.02


@dataclass(frozen=True)
class Upload:
    """One file, with words about how it was made."""

    kind: str
    wrapping: str
    dataset: str
    what: str
    content: bytes


@cache
def image_list(dataset: str) -> dict[str, Any]:
    """A public image list: ids from 1, one person in each image where the dataset names people."""
    people = {"people": [{"person_id": 0}]} if load_dataset(dataset).single_person else {}
    images = [{"id": number + 1} | people for number in range(IMAGES[dataset])]
    return {"dataset": dataset, "split": "test", "images": images}


def good_entry(dataset: str, number: int) -> str:
    """The text of a valid entry; the numbers of one are those of every other, so that large files are made quickly."""
    image = number % IMAGES[dataset] + 1
    return _tail(dataset).replace("@", str(image), 1)


@cache
def _tail(dataset: str) -> str:
    definition = load_dataset(dataset)
    rng = np.random.default_rng(len(dataset))
    if definition.entry == "uv":
        made: dict[str, Any] = uniform_entry(0, [10.0, 20.0, 64.0, 128.0], (3, 40, 200), 0.75)
    else:
        points = rng.uniform(0, 640, 3 * len(definition.joints)).round(3).tolist()
        made = {"image_id": 0, "category_id": 1, "score": 0.875}
        made["keypoints_3d" if definition.entry == "keypoints_3d" else "keypoints"] = points
    made["image_id"] = "@"
    return json.dumps(made).replace('"@"', "@")


def good_entries(dataset: str, size: int) -> list[str]:
    """Valid entries of about so many bytes together; of a single-person dataset no more than there are people."""
    count = max(1, size // len(_tail(dataset)))
    if load_dataset(dataset).single_person:
        count = min(count, IMAGES[dataset])
    return [good_entry(dataset, number) for number in range(count)]


def wrapped(document: bytes, wrapping: str) -> bytes:
    if wrapping == "json":
        return document
    if wrapping == "gz":
        return gzip.compress(document, 1, mtime=0)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(zipfile.ZipInfo("predictions.json"), document, zipfile.ZIP_DEFLATED, 1)
    return out.getvalue()


def _value(rng: random.Random) -> str:
    """A value in the place of another: of the wrong type, far out of range, or long."""
    length = int(10 ** rng.uniform(0, 5))
    return rng.choice(
        [
            "null", "true", "NaN", "-Infinity", '"text"', '"\u00e9\U0001f600"', "{}", "[]", "1e999", "-0", "1e-400",
            "785.0", "9" * length, "0." + "3" * length, "1" + "0" * length + f"e-{length}", '"' + "a" * length + '"',
            '"' + "\\u0041" * length + '"', '"' + '\\"' * length + '"', "[" * min(length, 50) + "]" * min(length, 50),
            "[" + "1," * length + "1]", "[" + "{}," * length + "{}]", "[" + "[]," * length + "[]]",
            '{"a":' * min(length, 2000) + "1" + "}" * min(length, 2000), '{"a":1' + ',"a":1' * length + "}",
            "{" + ",".join(f'"{number}":1' for number in range(length)) + "}",
        ]
    )  # fmt: skip


def _changed_entry(rng: random.Random, text: str) -> str:
    """One entry with a key or value dropped, repeated, renamed or replaced."""
    entry = json.loads(text)
    keys = list(entry)
    key = rng.choice(keys)
    kind = rng.randrange(8)
    if kind == 0:
        del entry[key]
    elif kind == 1:
        return text[:-1] + f', "{key}": {json.dumps(entry[key])}}}'
    elif kind == 2:
        entry[rng.choice(["imageid", "Keypoints", "", "\u00e9", "limbs", "person_id"])] = entry.pop(key)
    elif kind == 3 and isinstance(entry[key], list):
        entry[key] = [*entry[key][: rng.randrange(len(entry[key]))], "@", *entry[key][1:]]
        return json.dumps(entry).replace('"@"', _value(rng), 1)
    elif kind == 4:
        entry["image_id"] = rng.choice([-1, 0, 10**9, 1 << 63, IMAGES["coco"] + 1])
    elif kind == 5:
        return text[:-1] + f', "extra": {_value(rng)}}}'
    elif kind == 6:
        entry[rng.choice(["limbs", "person_id", "bbox", "uv_shape"])] = "@"
        return json.dumps(entry).replace('"@"', _value(rng), 1)
    else:
        entry[key] = "@"
        return json.dumps(entry).replace('"@"', _value(rng), 1)
    return json.dumps(entry)


def _structure(rng: random.Random, dataset: str, size: int) -> tuple[str, bytes]:
    entries = good_entries(dataset, size)
    kind = rng.choice(
        ["some", "some", "some", "all", "inserted", "one image", "unknown images", "again", "blanks", "alone", "end",
         "escaped"]
    )  # fmt: skip
    if kind == "some":
        for _ in range(int(10 ** rng.uniform(0, 3))):
            at = rng.randrange(len(entries))
            entries[at] = _changed_entry(rng, good_entry(dataset, at))
    elif kind == "all":
        changed = _changed_entry(rng, entries[0])
        entries = [changed] * max(1, min(len(entries), size // max(len(changed), 1)))
    elif kind == "inserted":
        entries[rng.randrange(len(entries)) :] = [rng.choice(["[]", "{}", "0", "null", '""', "NaN"])] * (size // 4)
    elif kind == "one image":
        entries = [good_entry(dataset, 7)] * len(entries)
    elif kind == "unknown images":
        entries = [good_entry(dataset, 7).replace('"image_id": 8', f'"image_id": {number + 10**6}') for number in
                   range(len(entries))]  # fmt: skip
    elif kind == "again":
        entries *= 2
    elif kind == "alone":
        return kind, _value(rng).encode() * (1 if rng.random() < 0.5 else 3)
    elif kind == "escaped":
        entries = [text.replace("score", "scor\\u0065") for text in entries]
    text = (rng.choice([",", ", ", ",\n", ",\r\n\t"]) if kind != "blanks" else "," + " " * rng.randrange(2000)).join(
        entries
    )
    document = f"[{text}]".encode()[: max(size * 2, 1000)] if kind == "blanks" else f"[{text}]".encode()
    if kind == "end":
        document = rng.choice(
            [document[:-1], document[: rng.randrange(len(document))], document + b"x", document + document,
             b"\xef\xbb\xbf" + document, document[1:], document[:-1] + b",]",
             document.decode().encode("utf-16"), document[:-1] + b",\xff]"]
        )  # fmt: skip
    return kind, document


def _bytes(rng: random.Random, content: bytes) -> tuple[str, bytes]:
    kind = rng.choice(["damaged", "damaged", "damaged", "cut", "repeated", "shuffled", "noise"])
    if kind == "damaged":
        return kind, large_file_cases.damaged(rng, content)
    at = rng.randrange(len(content))
    if kind == "cut":
        return kind, content[:at]
    length = int(10 ** rng.uniform(0, 4))
    if kind == "repeated":
        return kind, content[:at] + content[at : at + length] * int(10 ** rng.uniform(0, 2)) + content[at:]
    if kind == "shuffled":
        return kind, content[at:] + content[:at]
    return kind, content[:at] + rng.randbytes(length) + content[at + length :]


def mutated(seed: int, *, largest: int = 1 << 30) -> Upload:
    """The upload of a number: the same number gives the same file. `largest` is of the file that is mutated."""
    rng = random.Random(seed)
    kind, wrapping = KINDS[seed % 2], rng.choice(WRAPPINGS)
    dataset = rng.choice([*IMAGES, "coco", "lsp"])
    size = int(10 ** rng.uniform(6.9, 7.6)) if rng.random() < LARGE_SHARE else int(10 ** rng.uniform(3, 6.3))
    size = min(size, largest)
    if kind == "structure":
        what, document = _structure(rng, dataset, size)
        content = wrapped(document, wrapping)
    else:
        document = f"[{', '.join(good_entries(dataset, size))}]".encode()
        what, content = _bytes(rng, wrapped(document, wrapping))
    return Upload(kind, wrapping, dataset, what, content)


@dataclass(frozen=True)
class Slow:
    """A file made to take long: the code it gets, and how many entries may be looked at before it does."""

    dataset: str
    code: str  # "" where the file is valid
    entries: int
    make: Callable[[], bytes]


def _of(dataset: str, count: int, change: Callable[[str, int], str]) -> bytes:
    return f"[{','.join(change(good_entry(dataset, number), number) for number in range(count))}]".encode()


def _first(dataset: str, first: str, size: int) -> bytes:
    return f"[{first},{','.join(good_entries(dataset, size))}]".encode()


def slow(mega: float) -> dict[str, Slow]:
    """Files of about so many megabytes, each of a shape that took long to reject, or might have."""
    size = int(mega * MEGA)
    few = 1000  # problems, and then no more is read
    too_many = upload_rules.ENTRIES_PER_IMAGE * IMAGES["posetrack"]
    return {
        "empty lists": Slow("coco", "not_an_object", few, lambda: b"[" + b"[]," * (size // 3) + b"[]]"),
        "empty objects": Slow("coco", "missing_key", few, lambda: b"[" + b"{}," * (size // 3) + b"{}]"),
        "zeros": Slow("lsp", "not_an_object", few, lambda: b"[" + b"0," * (size // 2) + b"0]"),
        "empty lists, gzipped": Slow("lsp", "not_an_object", few, lambda: gzip.compress(b"[" + b"[]," * size + b"[]]")),
        "lists before a damaged end": Slow("coco", "not_an_object", few, lambda: b"[" + b"[]," * (size // 3)),
        "nothing but entries of unknown images": Slow(
            "coco", "unknown_image", few,
            lambda: _of("coco", size // 500, lambda e, n: e.replace('"image_id": ', '"image_id": 9999')),
        ),
        "one bad entry before good ones": Slow("coco", "missing_key", 5, lambda: _first("coco", "{}", size)),
        "NaN in every entry": Slow(
            "coco", "not_finite", few, lambda: _of("coco", size // 500, lambda e, n: e.replace("0.875", "NaN"))
        ),
        "a number too large in every entry": Slow(
            "coco", "out_of_range", few, lambda: _of("coco", size // 500, lambda e, n: e.replace("0.875", "1e7"))
        ),
        "a key twice in every entry": Slow(
            "coco", "duplicate_key", few, lambda: _of("coco", size // 500, lambda e, n: e[:-1] + ',"score":0}')
        ),
        "the same person again and again": Slow(
            "lsp", "repeated_person", few + 1, lambda: _of("lsp", size // 500, lambda e, n: good_entry("lsp", 3))
        ),
        "one key of an entry again and again": Slow(
            "lsp", "too_large", 0, lambda: b"[{" + b'"a":1,' * (size // 6) + b'"b":1}]'
        ),
        "a million keys": Slow(
            "lsp", "too_large", 0, lambda: ("[{" + ",".join(f'"{n}":1' for n in range(size // 10)) + "}]").encode()
        ),
        "an entry that is a long list": Slow("lsp", "too_large", 0, lambda: b"[[" + b"1," * (size // 2) + b"1]]"),
        "empty objects in an entry": Slow("lsp", "too_large", 0, lambda: b'[{"a":[' + b"{}," * (size // 3) + b"{}]}]"),
        "empty lists in keypoints": Slow(
            "lsp", "too_large", 0, lambda: b'[{"keypoints":[' + b"[]," * (size // 3) + b"1]}]"
        ),
        "open lists": Slow("coco", "too_deep", 0, lambda: b"[" * size),
        "lists closed at the end": Slow("coco", "too_deep", 0, lambda: b"[" * (size // 2) + b"]" * (size // 2)),
        "nested keys": Slow("coco", "too_deep", 0, lambda: b'[{"a":' * (size // 6)),
        "one digit after the other": Slow("coco", "number_too_long", 0, lambda: b"[" + b"9" * size + b"]"),
        "a fraction without end": Slow("coco", "not_an_object", 1, lambda: b"[0." + b"3" * size + b"]"),
        "integers of 4,200 digits": Slow(
            "coco", "not_an_object", few, lambda: b"[" + b",".join([b"9" * 4200] * (size // 4200)) + b"]"
        ),
        "blanks": Slow("coco", "", 0, lambda: b"[" + b" " * size + b"]"),
        "lines before a syntax error": Slow("coco", "not_json", 0, lambda: b"[" + b"\n" * size + b"x]"),
        "a long text": Slow("coco", "not_an_object", 1, lambda: b'["' + b"a" * size + b'"]'),
        "a text without end": Slow("coco", "not_json", 0, lambda: b'["' + b'\\"' * (size // 2)),
        "escapes": Slow("coco", "not_an_object", 1, lambda: b'["' + b"\\u0041" * (size // 6) + b'"]'),
        "surrogates": Slow("coco", "not_an_object", 1, lambda: b'["' + b"\\ud83d\\ude00" * (size // 12) + b'"]'),
        "a long key": Slow("coco", "missing_key", 1, lambda: b'[{"' + b"k" * size + b'":1}]'),
        "texts that are not ASCII": Slow(
            "coco", "", size // 500,
            lambda: _of("coco", size // 500, lambda e, n: e[:-1] + ',"name":"\u00e9\U0001f600"}'),
        ),
        "one text that is not ASCII": Slow(
            "coco", "", 3, lambda: _first("coco", good_entry("coco", 0)[:-1] + ',"name":"\u00e9"}', size)
        ),
        "an entry too many": Slow(
            "posetrack", "too_many_entries", 3,
            lambda: _first("posetrack", good_entry("posetrack", 0), 0)[:-1] + b"," + b",".join(
                [b'{"image_id":1,"keypoints":[' + b"0," * 44 + b'0],"score":0}'] * too_many) + b"]",
        ),
    }  # fmt: skip
