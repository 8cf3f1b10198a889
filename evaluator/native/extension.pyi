from typing import Any

def prepare(fives_high: Any, fives_low: Any, wide: bool, /) -> bool: ...
def entries(
    buffer: Any, place: int, end: int, state: int, row: int, images: Any, scores: Any, keypoints: Any, pending: Any,
    extras: Any, /,
) -> tuple[int, int, int, int, int]: ...  # fmt: skip
def annotation_file(
    buffer: Any, end: int, image_ids: Any, whole: Any, present: Any, areas: Any, boxes: Any, points: Any, flags: Any,
    spans: Any, /,
) -> tuple[int, int, int]: ...  # fmt: skip
def places(known: Any, wanted: Any, found: Any, /) -> None: ...
def ordered(image: Any, scores: Any, keypoints: Any, images: int, most: int, rows: Any, of_image: Any, /) -> int: ...
def descending(scores: Any, order: Any, /) -> None: ...
def exponents(
    first: int, image: Any, rows: Any, keypoints: Any, start: Any, points: Any, labelled: Any, count: Any, boxes: Any,
    areas: Any, variances: Any, ranges: Any, out: Any, detection: Any, person: Any, exponent: Any, /,
) -> tuple[int, int]: ...  # fmt: skip
def similar(detection: Any, person: Any, exponential: Any, labelled: Any, count: Any, similarity: Any, /) -> int: ...
def greedy(
    detection: Any, person: Any, similarity: Any, ignored: Any, crowd: Any, position: Any, limits: Any, matched: Any,
    absorbed: Any, /,
) -> None: ...  # fmt: skip
def accumulate(
    hits: Any, false: Any, image: Any, people_image: Any, counts: Any, weights: Any, recalls: Any, precision: Any,
    recall: Any, /,
) -> None: ...  # fmt: skip
