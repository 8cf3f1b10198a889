"""Broken documents and entries, built here: name -> (dataset, bytes, expected code, fragment of the message)."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from typing import Any

from evaluator import load_dataset

JOINTS = {name: len(load_dataset(name).joints) for name in ("coco", "lsp", "posetrack", "coco_wholebody")}
IMAGES: dict[str, dict[str, Any]] = {
    "coco": {"dataset": "coco", "split": "test", "images": [{"id": 785}, {"id": 40083}]},
    "posetrack": {"dataset": "posetrack", "split": "test", "images": [{"id": 785}]},
    "coco_wholebody": {"dataset": "coco_wholebody", "split": "test", "images": [{"id": 785}]},
    "lsp": {
        "dataset": "lsp",
        "split": "test",
        "images": [
            {"id": 1001, "people": [{"person_id": 0}]},
            {"id": 1002, "people": [{"person_id": 0}, {"person_id": 1}]},
        ],
    },
    "human36m": {
        "dataset": "human36m",
        "split": "test",
        "images": [{"id": 1, "people": [{"person_id": 0}]}, {"id": 2, "people": [{"person_id": 0}]}],
    },
}

Case = tuple[str, bytes, str, str]


def entry(dataset: str = "coco", **changes: Any) -> dict[str, Any]:
    """A valid entry, changed; a value of `...` removes the key."""
    image = 1001 if dataset == "lsp" else 785
    made = {"image_id": image, "keypoints": [10.5, 20, 0.9] * JOINTS[dataset], "score": 0.5}
    made |= changes
    return {key: value for key, value in made.items() if value is not ...}


def space(**changes: Any) -> dict[str, Any]:
    """A valid entry of a pose in space, changed; a value of `...` removes the key."""
    made: dict[str, Any] = {"image_id": 1, "person_id": 0, "keypoints_3d": [100.5, -20, 3000] * 17}
    return {key: value for key, value in (made | changes).items() if value is not ...}


def text(*entries: Any) -> bytes:
    return json.dumps(list(entries)).encode()


VALID = text(entry())


def with_keypoint(index: int, raw: str, dataset: str = "coco") -> bytes:
    """A valid file in which one number of the keypoints is the given raw text."""
    made = entry(dataset)
    made["keypoints"] = [*made["keypoints"]]
    made["keypoints"][index] = "@"
    return text(made).replace(b'"@"', raw.encode())


def raw(key: str, value: str) -> bytes:
    return text(entry(**{key: "@"})).replace(b'"@"', value.encode())


COCO, LSP, POSETRACK, WHOLEBODY = "coco", "lsp", "posetrack", "coco_wholebody"
# What COCO-WholeBody's own files have: the body's 17 joints, and keys of their own for the rest
PARTS: dict[str, list[float]] = {
    "keypoints": [1.0] * 51, "foot_kpts": [1.0] * 18, "face_kpts": [1.0] * 204, "lefthand_kpts": [1.0] * 63,
    "righthand_kpts": [1.0] * 63,
}  # fmt: skip

DOCUMENTS: dict[str, Case] = {
    "nothing at all": (COCO, b"", "empty_file", "empty"),
    "blanks": (COCO, b" \n\t ", "empty_file", "empty"),
    "an object": (COCO, b'{"annotations": []}', "not_a_list", "annotations"),
    "a number": (COCO, b"3", "not_a_list", "the file contains 3"),
    "null": (COCO, b"null", "not_a_list", "null"),
    "a string": (COCO, b'"[]"', "not_a_list", "[]"),
    "NaN alone": (COCO, b"NaN", "not_a_list", "NaN"),
    "a word": (COCO, b"hello", "not_json", "line 1, column 1"),
    "an unclosed list": (COCO, b"[", "not_json", "truncated?"),
    "a truncated entry": (COCO, VALID[:-30], "not_json", "in entry 0"),
    "a truncated string": (COCO, b'[{"image_i', "not_json", "not valid JSON"),
    "a missing comma": (COCO, text(entry())[:-1] + b" {}]", "not_json", "expected a comma"),
    "a trailing comma": (COCO, VALID[:-1] + b",]", "not_json", "in entry 1"),
    "single quotes": (COCO, b"[{'image_id': 785}]", "not_json", "not valid JSON"),
    "a comment": (COCO, b"[ /* none */ ]", "not_json", "not valid JSON"),
    "a leading zero": (COCO, raw("image_id", "0785"), "not_json", "not valid JSON"),
    "a plus sign": (COCO, with_keypoint(0, "+1.0"), "not_json", "not valid JSON"),
    "a hexadecimal number": (COCO, with_keypoint(0, "0x10"), "not_json", "not valid JSON"),
    "a control character": (COCO, b'[{"a\x00b": 1}]', "not_json", "not valid JSON"),
    "trailing text": (COCO, VALID + b"x", "trailing_data", "something follows"),
    "two documents": (COCO, VALID + b"\n" + VALID, "trailing_data", "something follows"),
    "text after an empty list": (COCO, b"[] []", "trailing_data", "something follows"),
    "a trailing NUL": (COCO, VALID + b"\x00", "trailing_data", "something follows"),
    "a byte order mark": (COCO, b"\xef\xbb\xbf" + VALID, "byte_order_mark", "byte order mark"),
    "UTF-16": (COCO, VALID.decode().encode("utf-16"), "byte_order_mark", "byte order mark"),
    "invalid UTF-8": (COCO, b'[{"name": "\xff\xfe"}]', "not_utf8", "byte 11"),
    "an overlong encoding": (COCO, b'[{"name": "\xc0\xaf"}]', "not_utf8", "is not UTF-8"),
    "a surrogate in UTF-8": (COCO, b'[{"name": "\xed\xa0\x80"}]', "not_utf8", "is not UTF-8"),
    "a pickle": (COCO, b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00.", "not_utf8", "byte 0"),
    "a MATLAB file": (COCO, b"MATLAB 5.0 MAT-file" + bytes(200), "not_json", "not valid JSON"),
    "100,000 open lists": (COCO, b"[" * 100_000, "too_deep", "nested too deep"),
    "100,000 open objects": (COCO, b'[{"a":' * 100_000, "too_deep", "nested too deep"),
    "nine levels in an extra key": (COCO, raw("extra", "[[[[[[[1]]]]]]]"), "too_deep", "extra"),
    "levels hidden in person_id": (COCO, raw("person_id", "[[[[[[[1]]]]]]]"), "too_deep", "person_id"),
    "an integer of 5,000 digits": (COCO, raw("image_id", "9" * 5000), "number_too_long", "thousands of digits"),
    "an id of 200 digits": (COCO, raw("image_id", "9" * 200), "invalid_id", "64-bit"),
    "an id of 2^63": (COCO, raw("image_id", str(1 << 63)), "invalid_id", "64-bit"),
    "a coordinate of 200 digits": (COCO, with_keypoint(0, "9" * 200), "out_of_range", "/0/keypoints/0"),
    "a coordinate of 400 digits": (COCO, with_keypoint(0, "9" * 400), "out_of_range", "/0/keypoints"),
    "a score of 400 digits": (COCO, raw("score", "9" * 400), "out_of_range", "score"),
    "a key twice": (COCO, b'[{"image_id": 785, ' + text(entry())[2:], "duplicate_key", '"image_id" appears twice'),
    "an extra key twice": (COCO, raw("extra", '{"a": 1, "a": 2}'), "duplicate_key", '"a" appears twice'),
    "NaN": (COCO, with_keypoint(4, "NaN"), "not_finite", "/0/keypoints/4"),
    "Infinity": (COCO, with_keypoint(4, "Infinity"), "not_finite", "left eye, y is Infinity"),
    "minus Infinity": (COCO, with_keypoint(4, "-Infinity"), "not_finite", "left eye, y is -Infinity"),
    "1e999": (COCO, with_keypoint(4, "1e999"), "not_finite", "/0/keypoints/4"),
    "a NaN score": (COCO, raw("score", "NaN"), "not_finite", "score is NaN"),
    "an infinite score": (COCO, raw("score", "1e400"), "not_finite", "/0/score"),
    "a NaN id": (COCO, raw("image_id", "NaN"), "not_finite", "image_id is NaN"),
    "NaN in an extra key": (COCO, raw("extra", "NaN"), "not_finite", "entry 0"),
    "a confidence of NaN": (COCO, with_keypoint(5, "NaN"), "not_finite", "/0/keypoints/5"),
    "a coordinate of 1e7": (COCO, with_keypoint(0, "1e7"), "out_of_range", "10000000.0"),
    "a coordinate just above 1e6": (COCO, with_keypoint(0, "-1000000.0001"), "out_of_range", "magnitude up to 1e6"),
    "a number as a string": (COCO, with_keypoint(0, '"10"'), "wrong_type", 'nose, x is "10"'),
    "a boolean coordinate": (COCO, with_keypoint(0, "true"), "wrong_type", "nose, x is true"),
    "a nested coordinate": (COCO, with_keypoint(0, "[1]"), "wrong_type", "nose, x is [1]"),
}

ENTRIES: dict[str, Case] = {
    "an entry that is a list": (COCO, b"[[]]", "not_an_object", "the entry is []"),
    "an entry that is null": (COCO, b"[null]", "not_an_object", "null"),
    "an empty object": (COCO, b"[{}]", "missing_key", "no image_id"),
    "no image id": (COCO, text(entry(image_id=...)), "missing_key", "no image_id"),
    "no keypoints": (COCO, text(entry(keypoints=...)), "missing_key", "no keypoints"),
    "no score": (COCO, text(entry(score=...)), "missing_key", "no score"),
    "an id of 785.0": (COCO, text(entry(image_id=785.0)), "wrong_type", "image_id is 785.0"),
    "an id of true": (COCO, text(entry(image_id=True)), "wrong_type", "image_id is true"),
    "an id as a string": (COCO, text(entry(image_id="785")), "wrong_type", 'image_id is "785"'),
    "an id of null": (COCO, text(entry(image_id=None)), "wrong_type", "image_id is null"),
    "an unknown image": (COCO, text(entry(image_id=786)), "unknown_image", "no image 786"),
    "the second entry is wrong": (COCO, text(entry(), entry(image_id=-1)), "unknown_image", "entry 1, /1/image_id"),
    "50 numbers": (COCO, text(entry(keypoints=[1.0] * 50)), "wrong_count", "has 50 values"),
    "only x and y": (COCO, text(entry(keypoints=[1.0] * 34)), "wrong_count", "x, y, confidence"),
    "no numbers": (COCO, text(entry(keypoints=[])), "wrong_count", "has 0 values"),
    "nested keypoints": (COCO, text(entry(keypoints=[[1, 2, 3]] * 17)), "wrong_count", "has 17 values"),
    "keypoints as an object": (COCO, text(entry(keypoints={"nose": 1})), "wrong_type", "keypoints is"),
    "keypoints of null": (COCO, text(entry(keypoints=None)), "wrong_type", "keypoints is null"),
    "a score as a string": (COCO, text(entry(score="0.5")), "wrong_type", 'score is "0.5"'),
    "a score of true": (COCO, text(entry(score=True)), "wrong_type", "score is true"),
    "a score of null": (COCO, text(entry(score=None)), "wrong_type", "score is null"),
    "a missing joint with many people": (
        COCO,
        text(entry(keypoints=[None] * 3 + [1.0] * 48)),
        "missing_joint",
        "nose is missing",
    ),
    "half a joint with many people": (
        COCO,
        text(entry(keypoints=[1.0, None, 1.0] + [1.0] * 48)),
        "incomplete_joint",
        "nose is partly null",
    ),
    "half a joint where joints may be missing": (
        POSETRACK,
        text(entry(POSETRACK, keypoints=[1.0] * 42 + [None, 1.0, 0.5])),
        "incomplete_joint",
        "entry 0, /0/keypoints/42: head top is partly null",
    ),
    "a confidence of null": (
        POSETRACK,
        text(entry(POSETRACK, keypoints=[1.0, 2.0, None] + [1.0] * 42)),
        "incomplete_joint",
        "/0/keypoints/0",
    ),
    "a confidence of NaN where joints may be missing": (
        POSETRACK,
        with_keypoint(44, "NaN", POSETRACK),
        "not_finite",
        "/0/keypoints/44",
    ),
    "a place of 1e7 beside a missing joint": (
        POSETRACK,
        text(entry(POSETRACK, keypoints=[None] * 3 + [1.0, 1e7] + [1.0] * 40)),
        "out_of_range",
        "/0/keypoints/4",
    ),
    "17 joints for 15": (POSETRACK, text(entry(POSETRACK, keypoints=[1.0] * 51)), "wrong_count", "each of 15 joints"),
    "an entry too many": (POSETRACK, text(*[entry(POSETRACK)] * 10_001), "too_many_entries", "more than 10000 entries"),
    "the body alone": (WHOLEBODY, text(entry(WHOLEBODY, keypoints=[1.0] * 51)), "wrong_count", "each of 133 joints"),
    "parts under keys of their own": (
        WHOLEBODY,
        text(entry(WHOLEBODY, **PARTS)),
        "wrong_count",
        "`poseboard convert predictions coco_wholebody` puts keypoints, foot_kpts, face_kpts, lefthand_kpts, "
        "righthand_kpts together",
    ),
    "a missing hand": (
        WHOLEBODY,
        text(entry(WHOLEBODY, keypoints=[1.0] * 273 + [None] * 63 + [1.0] * 63)),
        "missing_joint",
        "/0/keypoints/273",
    ),
    "an infinite last finger": (WHOLEBODY, with_keypoint(398, "1e999", WHOLEBODY), "not_finite", "/0/keypoints/398"),
    "a finger as text": (WHOLEBODY, with_keypoint(396, '"left"', WHOLEBODY), "wrong_type", "/0/keypoints/396"),
    "half a joint": (
        LSP,
        text(entry("lsp", keypoints=[1.0] * 3 + [None, None, 0.5] + [1.0] * 36)),
        "incomplete_joint",
        "/0/keypoints/3",
    ),
    "the same person twice": (LSP, text(entry("lsp"), entry("lsp", person_id=0)), "repeated_person", "entry 1"),
    "no person id where there are two": (LSP, text(entry("lsp", image_id=1002)), "missing_person_id", "has 2 people"),
    "a person who is not there": (LSP, text(entry("lsp", person_id=1)), "unknown_person", "no person 1"),
    "person -1": (LSP, text(entry("lsp", person_id=-1)), "unknown_person", "no person -1"),
    "person 0.0": (LSP, text(entry("lsp", person_id=0.0)), "wrong_type", "person_id is 0.0"),
    "person false": (LSP, text(entry("lsp", person_id=False)), "wrong_type", "person_id is false"),
    "person null": (LSP, text(entry("lsp", person_id=None)), "wrong_type", "person_id is null"),
    "nine limbs": (LSP, text(entry("lsp", limbs=[[0, 0, 1, 1]] * 9)), "wrong_count", "limbs has 9 values"),
    "a limb of three": (LSP, text(entry("lsp", limbs=[[0, 0, 1]] * 10)), "wrong_count", "/0/limbs/0"),
    "half a limb": (LSP, text(entry("lsp", limbs=[[None, 0, 1, 1]] * 10)), "incomplete_joint", "right lower leg"),
    "limbs as an object": (LSP, text(entry("lsp", limbs={})), "wrong_type", "limbs is {}"),
    "a limb too far": (LSP, text(entry("lsp", limbs=[[0, 0, 1, 2e6]] * 10)), "out_of_range", "/0/limbs/0/3"),
}

H36M = "human36m"
OTHER = space(image_id=2)


def with_space(index: int, raw: str) -> bytes:
    """A file of two poses in space in which one number of the first is the given raw text."""
    made = space()
    made["keypoints_3d"] = [*made["keypoints_3d"]]
    made["keypoints_3d"][index] = "@"
    return text(made, OTHER).replace(b'"@"', raw.encode())


IN_SPACE: dict[str, Case] = {
    "a pose for one of two": (H36M, text(OTHER), "missing_person", "person 0 of image 1 has no entry"),
    "no poses at all": (H36M, b"[]", "missing_person", "person 0 of image 2"),
    "no keypoints_3d": (H36M, text(space(keypoints_3d=...), OTHER), "missing_key", "no keypoints_3d"),
    "pixels where millimetres are due": (
        H36M,
        text(space(keypoints_3d=..., keypoints=[1.0] * 51), OTHER),
        "missing_key",
        "no keypoints_3d",
    ),
    "x and y only": (H36M, text(space(keypoints_3d=[1.0] * 34), OTHER), "wrong_count", "has 34 values"),
    "17 lists of three": (H36M, text(space(keypoints_3d=[[1, 2, 3]] * 17), OTHER), "wrong_count", "x, y, z"),
    "keypoints_3d as text": (H36M, text(space(keypoints_3d="far"), OTHER), "wrong_type", "keypoints_3d is"),
    "keypoints_3d of null": (H36M, text(space(keypoints_3d=None), OTHER), "wrong_type", "keypoints_3d is null"),
    "a joint in space missing": (
        H36M,
        text(space(keypoints_3d=[1.0] * 48 + [None] * 3), OTHER),
        "missing_joint",
        "/0/keypoints_3d/48",
    ),
    "half a joint in space": (
        H36M,
        text(space(keypoints_3d=[None, 1.0, 2.0] + [1.0] * 48), OTHER),
        "incomplete_joint",
        "/0/keypoints_3d/0",
    ),
    "NaN in space": (H36M, with_space(7, "NaN"), "not_finite", "/0/keypoints_3d/7"),
    "1e999 in space": (H36M, with_space(7, "1e999"), "not_finite", "/0/keypoints_3d/7"),
    "a joint 10 kilometres away": (H36M, with_space(7, "1e7"), "out_of_range", "/0/keypoints_3d/7"),
    "a place of 400 digits": (H36M, with_space(7, "9" * 400), "out_of_range", "/0/keypoints_3d"),
    "a place in quotes": (H36M, with_space(7, '"1"'), "wrong_type", "right knee, y is"),
    "a place that is true": (H36M, with_space(7, "true"), "wrong_type", "right knee, y is true"),
    "one person in space twice": (H36M, text(space(), OTHER, space()), "repeated_person", "entry 2"),
    "a stranger in space": (H36M, text(space(person_id=1), OTHER), "unknown_person", "no person 1"),
    "an image that is not of the split": (H36M, text(space(image_id=3), OTHER), "unknown_image", "no image 3"),
}

DENSE = "densepose"
IMAGES[DENSE] = {"dataset": DENSE, "split": "test", "images": [{"id": 785}, {"id": 40083}]}


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(
    width: int = 6, height: int = 4, *, depth: int = 8, colour: int = 2, interlace: int = 0, pixels: bytes | None = None
) -> bytes:
    """An image of part 3 everywhere, or of the given rows, each with its filter."""
    header = struct.pack(">II5B", width, height, depth, colour, 0, 0, interlace)
    rows = (b"\x00" + b"\x03\x80\x40" * width) * height if pixels is None else pixels
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def dense(image: bytes | str | None = None, **changes: Any) -> bytes:
    """A file of one map of 6 x 4 pixels, changed; a value of `...` removes the key."""
    data = image if isinstance(image, str) else base64.b64encode(png() if image is None else image).decode()
    made = {"image_id": 785, "score": 0.5, "bbox": [1, 2, 6.5, 4], "uv_shape": [3, 4, 6], "uv_data": data} | changes
    return text({key: value for key, value in made.items() if value is not ...})


def png_bomb() -> bytes:
    """A header of 6 x 4, and 64 MiB of zeros behind it."""
    return png(pixels=bytes(1 << 26))


ON_SURFACE: dict[str, Case] = {
    "no box": (DENSE, dense(bbox=...), "missing_key", "no bbox"),
    "no uv_shape": (DENSE, dense(uv_shape=...), "missing_key", "no uv_shape"),
    "no uv_data": (DENSE, dense(uv_data=...), "missing_key", "no uv_data"),
    "no score of a map": (DENSE, dense(score=...), "missing_key", "no score"),
    "keypoints where a map is due": (DENSE, text(entry()), "missing_key", "no bbox"),
    "a box of three": (DENSE, dense(bbox=[1, 2, 6]), "wrong_count", "bbox has 3 values"),
    "a box of text": (DENSE, dense(bbox="1 2 6 4"), "wrong_type", "bbox is"),
    "a box with null": (DENSE, dense(bbox=[None, 2, 6, 4]), "wrong_type", "/0/bbox/0"),
    "a box with true": (DENSE, dense(bbox=[True, 2, 6, 4]), "wrong_type", "bbox, x is true"),
    "a box with NaN": (DENSE, dense(bbox=["@", 2, 6, 4]).replace(b'"@"', b"NaN"), "not_finite", "/0/bbox/0"),
    "a box with 1e999": (DENSE, dense(bbox=["@", 2, 6, 4]).replace(b'"@"', b"1e999"), "not_finite", "/0/bbox/0"),
    "a box far away": (DENSE, dense(bbox=[1e7, 2, 6, 4]), "out_of_range", "/0/bbox/0"),
    "a box of 400 digits": (DENSE, dense(bbox=["@", 2, 6, 4]).replace(b'"@"', b"9" * 400), "out_of_range", "/0/bbox/0"),
    "a box without width": (DENSE, dense(bbox=[1, 2, 0, 4]), "invalid_box", "/0/bbox/2"),
    "a box of negative height": (DENSE, dense(bbox=[1, 2, 6, -4]), "invalid_box", "/0/bbox/3"),
    "a shape of two": (DENSE, dense(uv_shape=[4, 6]), "wrong_count", "uv_shape has 2 values"),
    "a shape of text": (DENSE, dense(uv_shape="3x4x6"), "wrong_type", "uv_shape is"),
    "a shape of floats": (DENSE, dense(uv_shape=[3, 4.0, 6]), "wrong_type", "three whole numbers"),
    "a shape with true": (DENSE, dense(uv_shape=[3, True, 6]), "wrong_type", "three whole numbers"),
    "four channels": (DENSE, dense(uv_shape=[4, 4, 6]), "image_size", "[3, height, width]"),
    "a shape of nothing": (DENSE, dense(uv_shape=[3, 0, 6]), "image_size", "[3, height, width]"),
    "a shape that is not the box's": (DENSE, dense(uv_shape=[3, 6, 4]), "image_size", "the box has 6 x 4"),
    "a huge shape": (
        DENSE,
        dense(bbox=[0, 0, 90_000, 90_000], uv_shape=[3, 90_000, 90_000]),
        "image_size",
        "8100000000 pixels",
    ),
    "a picture of another size": (DENSE, dense(png(4, 6)), "image_size", "the image is 4 x 6"),
    "a picture that says 2^31": (DENSE, dense(png(1 << 31, 1 << 31, pixels=b"")), "image_size", "2147483648 x"),
    "a bomb in a picture": (DENSE, dense(png_bomb()), "invalid_image", "more or fewer pixels"),
    "too few pixels": (DENSE, dense(png(pixels=bytes(75))), "invalid_image", "more or fewer pixels"),
    "an unknown filter": (DENSE, dense(png(pixels=(b"\x09" + bytes(18)) * 4)), "invalid_image", "cannot be read"),
    "pixels that are no zlib": (
        DENSE,
        dense(png()[:33] + chunk(b"IDAT", b"\xff" * 40) + chunk(b"IEND", b"")),
        "invalid_image",
        "cannot be unpacked",
    ),
    "a truncated picture": (DENSE, dense(png()[:-20]), "invalid_image", "ends early"),
    "a picture without an end": (DENSE, dense(png()[:-12]), "invalid_image", "ends early"),
    "a damaged picture": (
        DENSE,
        dense(png()[:50] + b"\x00\xff" + png()[52:]),
        "invalid_image",
        'chunk "IDAT" is damaged',
    ),
    "a grey picture": (DENSE, dense(png(colour=0)), "invalid_image", "colour type 0"),
    "a palette": (DENSE, dense(png(colour=3)), "invalid_image", "colour type 3"),
    "a picture with alpha": (DENSE, dense(png(colour=6)), "invalid_image", "colour type 6"),
    "sixteen bits": (DENSE, dense(png(depth=16)), "invalid_image", "bit depth 16"),
    "an interlaced picture": (DENSE, dense(png(interlace=1)), "invalid_image", "interlacing 1"),
    "a JPEG": (DENSE, dense(b"\xff\xd8\xff\xe0" + bytes(100)), "invalid_image", "not a PNG"),
    "an empty picture": (DENSE, dense(b""), "invalid_image", "not a PNG"),
    "part 25": (DENSE, dense(png(pixels=(b"\x00" + b"\x19\x00\x00" * 6) * 4)), "invalid_part", "part 25"),
    "no base64": (DENSE, dense("not base64!"), "invalid_image", "not base64"),
    "base64 in another alphabet": (DENSE, dense("-_-_" * 40), "invalid_image", "not base64"),
    "letters beyond ASCII": (DENSE, dense("é" * 40), "invalid_image", "not base64"),
    "uv_data of null": (DENSE, dense(uv_data=None), "wrong_type", "uv_data is null"),
    "uv_data as a list": (DENSE, dense(uv_data=[1, 2]), "wrong_type", "uv_data is"),
    "a map of an unknown image": (DENSE, dense(image_id=7), "unknown_image", "no image 7"),
}
