"""How much an upload may hold: by the size of the benchmark that it is for, and never more than `archives.MOST_BYTES`.

The bounds are far above what predictions need. They are there so that no file can hold a worker for long: of what is
read entry by entry a value takes up to a microsecond or two, wherever it is.
"""

from __future__ import annotations

from dataclasses import dataclass

from evaluator.dataset import Dataset
from evaluator.reading.archives import MOST_BYTES
from evaluator.reading.image_list import PublicImages

ENTRIES_PER_IMAGE = 100
"""On average over the benchmark, of a multi-person dataset. Metrics look at the 20 best of an image, or at all."""
LEAST_ENTRIES = 10_000
NUMBER_BYTES = 25
"""A number with 17 digits, sign, exponent, comma and blanks."""
OTHER_BYTES = 512
OTHER_VALUES = 64
LEAST_BYTES = 64 << 20
LEAST_VALUES = 1_000_000
LEAST_OBJECTS = 500_000
PIXELS_PER_IMAGE = 1 << 20
"""Of surface maps, on average: more than two and a half times the largest image of COCO."""
LEAST_PIXELS = 1 << 27
MOST_PIXELS = 1 << 31


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
