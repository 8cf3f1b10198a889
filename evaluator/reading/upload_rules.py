"""The rules of an upload in one table: its limits, the code of each problem, and the words for it.

The readers of entries, the checks of arrays and the submit page take their numbers and texts from here: the page
contains `page_rules`. The C repeats LARGEST in `native/predictions.h`, and a test compares the two. Problems that only
an archive, a JSON text or a PNG can have are described where they are found: in `archives`, `json_documents` and
`surface.maps`.

How much a file may hold depends on the size of its benchmark, and is never more than MOST_BYTES. These bounds are far
above what predictions need. They keep a file from occupying a worker for long: reading a value carefully takes up to a
microsecond or two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from evaluator.dataset import Dataset, in_words
from evaluator.errors import MOST_COUNTED, MOST_PROBLEMS, Problem, shown
from evaluator.reading.image_list import PublicImages
from evaluator.surface.maps import PNG

LARGEST = 1e6
"""The largest magnitude of a number that is read."""
MOST_BYTES = 1 << 30
MOST_DEPTH = 8
ENTRIES_PER_IMAGE = 100
"""On average over the benchmark, of a multi-person dataset. Metrics use the 20 best of an image, or all of them."""
LEAST_ENTRIES = 10_000
NUMBER_BYTES = 25
"""A number with 17 digits, sign, exponent, comma and blanks."""
OTHER_BYTES = 512
OTHER_VALUES = 64
LEAST_BYTES = 64 << 20
LEAST_VALUES = 1_000_000
LEAST_OBJECTS = 500_000
MAP_PIXELS = 1 << 22
"""Of the surface map of one person. COCO's largest images have a tenth of it."""
PIXELS_PER_IMAGE = 1 << 20
"""Of surface maps, on average: more than two and a half times the largest image of COCO."""
LEAST_PIXELS = 1 << 27
MOST_PIXELS = 1 << 31
"""Of the surface maps of a file, whatever the benchmark: they are all decoded twice."""

CODES: dict[str, str] = {
    "empty_file": "The file holds nothing.",
    "too_large": "The file, or what it inflates to, is larger than 1 GiB or than predictions for the benchmark can be.",
    "compression_ratio": "The archive inflates to more than 100 times its size: a bomb, or the wrong file.",
    "gzip_damaged": "The gzip data is truncated or fails its checksum.",
    "gzip_members": "Something follows the one gzip member.",
    "zip_damaged": "The zip's structure contradicts itself, or its data fails its checksum.",
    "zip_members": "The zip does not hold exactly one file.",
    "zip_member_name": "The zip's member is not a plain file name that ends in .json or .json.gz.",
    "zip_member_kind": "The zip's member is a link, a folder or a device.",
    "zip_encrypted": "The zip is encrypted.",
    "zip_method": "The zip uses a compression method or an extension other than stored and deflate.",
    "nested_archive": "An archive inside an archive.",
    "not_utf8": "The text is not UTF-8.",
    "byte_order_mark": "The text starts with a byte order mark.",
    "not_json": "The text is not JSON as RFC 8259 defines it.",
    "trailing_data": "Something follows the JSON document.",
    "too_deep": "The JSON is nested deeper than eight levels.",
    "number_too_long": "A number has thousands of digits.",
    "duplicate_key": "A key appears twice in one object.",
    "not_a_list": "The file does not contain a list of entries.",
    "too_many_entries": f"The file has more than {ENTRIES_PER_IMAGE} entries per image of the benchmark.",
    "not_an_object": "An entry is not an object.",
    "missing_key": "An entry lacks a required key.",
    "wrong_type": "A value has the wrong type, such as a number written as a string.",
    "wrong_count": "A list has the wrong number of values.",
    "not_finite": "A number is NaN or infinite.",
    "out_of_range": "A number's magnitude is above 1e6.",
    "invalid_id": "An id is not a whole number of at most 64 bits.",
    "unknown_image": "The benchmark has no image of this id.",
    "unknown_person": "The image has no person of this id.",
    "missing_person_id": "The image has several people and the entry does not say which it means.",
    "repeated_person": "Two entries are for the same person of the same image.",
    "missing_person": "A person of the benchmark has no entry, where everybody must have one.",
    "missing_joint": "A missing joint where the benchmark allows none.",
    "invalid_box": "A box whose width or height is not above zero.",
    "invalid_image": "A surface map is not a whole RGB PNG of eight bits in base64.",
    "image_size": "A surface map has another size than its box or shape, or is too large.",
    "invalid_part": "A pixel of a surface map has a part above 24.",
    "incomplete_joint": "Some but not all numbers of a joint or a limb are null.",
}


class Rule(NamedTuple):
    """What is said where a rule is broken; `{value}` in a text becomes the start of the value as JSON."""

    code: str  # a key of CODES
    found: str
    expected: str


LIST = "a JSON list of entries"
NUMBER = "a finite number of magnitude up to 1e6"
WHOLE_NUMBER = "a whole number"
_SHAPE = "[3, height, width]"
_ONE_ENTRY = "one entry per person"

RULES: dict[str, Rule] = {
    # the file
    "file_too_large": Rule("too_large", "the file is larger than {size}", "at most {size}"),
    "inflates_too_large": Rule("too_large", "the file inflates to more than {size}", "at most {size} inflated"),
    "not_a_list": Rule("not_a_list", "the file contains {value}", LIST),
    "too_many_entries": Rule(
        "too_many_entries", "the file has more than {most} entries", "at most {most} for this benchmark"
    ),
    # an entry, its image and its person
    "not_an_object": Rule("not_an_object", "the entry is {value}", "an object"),
    "missing_key": Rule("missing_key", "no {key}", "the key {key}"),
    "id_not_finite": Rule("not_finite", "{key} is {value}", WHOLE_NUMBER),
    "id_not_whole": Rule("wrong_type", "{key} is {value}", WHOLE_NUMBER),
    "id_too_large": Rule("invalid_id", "{key} is {value}", "a 64-bit whole number"),
    "unknown_image": Rule("unknown_image", "the benchmark has no image {image}", "an id of its image list"),
    "missing_person_id": Rule(
        "missing_person_id", "image {image} has {people} people and the entry has no person_id", "a person_id"
    ),
    "unknown_person": Rule("unknown_person", "image {image} has no person {person}", "a person of the image list"),
    "repeated_person": Rule(
        "repeated_person", "person {person} of image {image} already has entry {other}", _ONE_ENTRY
    ),
    "missing_person": Rule("missing_person", "person {person} of image {image} has no entry", _ONE_ENTRY),
    # a list of numbers; `what` names one of them: "left shoulder, y"
    "list_wrong_type": Rule("wrong_type", "{key} is {value}", "{expected}"),
    "list_wrong_count": Rule("wrong_count", "{key} has {count} values", "{expected}"),
    "not_a_number": Rule("wrong_type", "{what} is {value}", NUMBER),
    "not_finite": Rule("not_finite", "{what} is {value}", NUMBER),
    "out_of_range": Rule("out_of_range", "{what} is {value}", NUMBER),
    "far_too_large": Rule("out_of_range", "{what} has a number that is far too large", NUMBER),
    "missing_joint": Rule("missing_joint", "{what} is missing", "a place for every joint"),
    "partly_null": Rule("incomplete_joint", "{what} is partly null", "all of its numbers, or null for each"),
    "partly_nan": Rule("incomplete_joint", "{what} is partly NaN", "all of its numbers, or NaN for each"),
    "limb_wrong_count": Rule("wrong_count", "{what} is {value}", "four numbers [x1, y1, x2, y2]"),
    # a surface map
    "box_without_size": Rule("invalid_box", "{what} is {value}", "a width and a height above 0"),
    "shape_not_whole": Rule("wrong_type", "uv_shape is {value}", "three whole numbers"),
    "shape_wrong": Rule("image_size", "uv_shape is {value}", _SHAPE),
    "shape_not_of_box": Rule(
        "image_size",
        "uv_shape is for {width} x {height} pixels, the box has {box_width} x {box_height}",
        "the size of bbox, rounded down",
    ),
    "map_too_large": Rule("image_size", "the map has {pixels} pixels", f"at most {MAP_PIXELS}"),
    "maps_too_large": Rule("image_size", "the maps up to here have too many pixels together", "at most {most}"),
    "map_not_text": Rule("wrong_type", "uv_data is {value}", PNG),
}


@dataclass(frozen=True)
class NonFinite:
    """A NaN or Infinity that a JSON text contains; not a float, so it cannot pass for one."""

    text: str

    def __str__(self) -> str:
        return self.text


def problem(rule: str, entry: int | None = None, path: str = "", **values: Any) -> Problem:
    """The problem of a broken rule: `path` points into the entry, `values` fill the texts."""
    code, found, expected = RULES[rule]
    if "value" in values:
        value = values["value"]
        values["value"] = value.text if isinstance(value, NonFinite) else shown(value)
    pointer = "" if entry is None else f"/{entry}{path}"
    return Problem(code, entry, pointer, found.format(**values), expected.format(**values))


@dataclass(frozen=True)
class Names:
    """The numbers of a list by their meaning: a few for each of its joints, its limb or its box."""

    path: str  # of the list, in its entry
    groups: tuple[str, ...]
    axes: tuple[str, ...] = ()  # none where the path is that of a single number

    def place(self, index: int) -> str:
        """Where in the entry a number is: "/keypoints/16"."""
        return f"{self.path}/{index}" if self.axes else self.path

    def what(self, index: int) -> str:
        """What a number is: "left shoulder, y"."""
        if not self.axes:
            return self.groups[0]
        group, axis = divmod(index, len(self.axes))
        return f"{self.groups[group]}, {self.axes[axis]}"


SCORE = Names("/score", ("score",))
BOX = Names("/bbox", ("bbox",), ("x", "y", "width", "height"))
LIMB_AXES = ("x1", "y1", "x2", "y2")


def keypoint_names(dataset: Dataset) -> Names:
    """Of `keypoints`, or of `keypoints_3d` where the dataset's poses are in space."""
    axes = ("x", "y", "z") if dataset.entry == "keypoints_3d" else ("x", "y", "confidence")
    return Names(f"/{dataset.entry}", tuple(map(in_words, dataset.joints)), axes)


def limb_names(dataset: Dataset) -> list[Names]:
    """Of each limb in `limbs`."""
    return [Names(f"/limbs/{index}", (in_words(limb),), LIMB_AXES) for index, limb in enumerate(dataset.limbs)]


def expected_lists(dataset: Dataset) -> dict[str, str]:
    """What each list of an entry should be, by its key."""
    joints = len(dataset.joints)
    of_each = "x, y, z in millimetres" if dataset.entry == "keypoints_3d" else "x, y, confidence"
    expected = f"{3 * joints} numbers: {of_each} for each of {joints} joints"
    if len(dataset.keypoint_fields) > 1:
        fields = ", ".join(dataset.keypoint_fields)
        expected += f"; `poseboard convert predictions {dataset.name}` puts {fields} together"
    return {
        dataset.entry: expected,
        "limbs": f"a list of {len(dataset.limbs)} limbs, each [x1, y1, x2, y2]",
        "bbox": "four numbers: x, y, width, height",
        "uv_shape": _SHAPE,
    }


@dataclass(frozen=True)
class UploadLimits:
    """What a file may hold; None where there is no bound."""

    size: int = MOST_BYTES  # bytes of the document, inflated
    entries: int | None = None
    values: int | None = None  # commas in what is read entry by entry
    objects: int | None = None  # opening braces in the same
    pixels: int = MOST_PIXELS  # of surface maps


NO_BENCHMARK = UploadLimits()


def limits_of(dataset: Dataset, images: PublicImages) -> UploadLimits:
    """The bounds for a benchmark with this image list.

    >>> from evaluator import load_dataset
    >>> images = PublicImages("coco", "val2017", dict.fromkeys(range(5000)))
    >>> found = limits_of(load_dataset("coco"), images)
    >>> found.size >> 20, found.entries
    (853, 500000)
    """
    numbers = 3 * len(dataset.joints) + 4 * len(dataset.limbs)
    if dataset.single_person:
        expected = 2 * sum(1 if people is None else len(people) for people in images.people.values())
    else:
        expected = max(LEAST_ENTRIES, ENTRIES_PER_IMAGE * len(images.people))
    pixels = min(MOST_PIXELS, max(LEAST_PIXELS, PIXELS_PER_IMAGE * len(images.people)))
    # a pixel of a surface map that cannot be compressed takes four characters of base64
    size = 4 * pixels if dataset.entry == "uv" else expected * (numbers * NUMBER_BYTES + OTHER_BYTES)
    return UploadLimits(
        size=min(MOST_BYTES, max(LEAST_BYTES, -(-size >> 20) << 20)),
        entries=None if dataset.single_person else expected,
        values=max(LEAST_VALUES, expected * (numbers + OTHER_VALUES)),
        objects=max(LEAST_OBJECTS, 2 * expected),
        pixels=pixels,
    )


def page_rules(dataset: Dataset) -> dict[str, Any]:
    """The rules for a dataset's files as the page on which they are submitted applies them, ready for JSON."""
    keypoints = keypoint_names(dataset)
    return {
        "entry": dataset.entry,
        "single": dataset.single_person,
        "missing_joints": dataset.missing_joints,
        "joints": keypoints.groups,
        "axes": {"keypoints": keypoints.axes, "limbs": LIMB_AXES, "bbox": BOX.axes},
        "limbs": [names.groups[0] for names in limb_names(dataset)],
        "expected": expected_lists(dataset),
        "texts": RULES,
        "limits": {
            "problems": MOST_PROBLEMS,
            "counted": MOST_COUNTED,
            "largest": LARGEST,
            "size": MOST_BYTES,
            "least_size": LEAST_BYTES,
            "entries_per_image": ENTRIES_PER_IMAGE,
            "least_entries": LEAST_ENTRIES,
            "number_bytes": NUMBER_BYTES,
            "other_bytes": OTHER_BYTES,
            "map_pixels": MAP_PIXELS,
            "pixels_per_image": PIXELS_PER_IMAGE,
            "least_pixels": LEAST_PIXELS,
            "pixels": MOST_PIXELS,
        },
    }
