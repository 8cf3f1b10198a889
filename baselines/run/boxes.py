"""The regions that people are cut out by: the benchmark's boxes, those of a file, those of the person detector, or the
whole image."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from baselines.protocol import BaselineFailed
from baselines.run.images import UnreadableImage

BATCH = 16  # images per pass of the detector
LARGEST_FILE = 1 << 30  # bytes of a box file


@dataclass(frozen=True)
class PersonBox:
    """A person to cut out: x, y, w, h in continuous coordinates of the image, or None for the whole image.

    `person_id` is None where the boxes are not the benchmark's: the metric then matches predictions with people.
    """

    box: tuple[float, float, float, float] | None
    person_id: int | None = None
    score: float = 1.0


@dataclass(frozen=True)
class Boxes:
    """People by image id, and a description of where the boxes come from."""

    people: dict[int, tuple[PersonBox, ...]]
    source: str

    @property
    def digest(self) -> str:
        """Digest of all boxes; runs with the same digest crop the same regions."""
        rows = [(i, p.box, p.person_id, p.score) for i, people in sorted(self.people.items()) for p in people]
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def given(images: list[dict[str, Any]]) -> Boxes:
    """The boxes of a public image list; the whole image where it has none."""
    people = {
        image["id"]: tuple(
            PersonBox(tuple(each["box"]) if each.get("box") else None, each["person_id"])
            for each in image.get("people", [{"person_id": 0}])
        )
        for image in images
    }
    boxed = any(person.box for each in people.values() for person in each)
    return Boxes(people, "given" if boxed else "whole image")


def from_file(path: Path, images: list[dict[str, Any]], *, name: str = "") -> Boxes:
    """The boxes of a file of detections in COCO's form: a list of {"image_id", "bbox": [x, y, w, h], "score"}.

    Boxes of other images and of categories other than 1 (people) are ignored. `name` is the name of the file in
    messages, if it differs from the path's. Raises BaselineFailed with the code `boxes`.
    """
    name = name or path.name
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise ValueError(f"more than {LARGEST_FILE >> 20} MiB")
        content = path.read_bytes()
        rows = json.loads(content)
        if not isinstance(rows, list):
            raise ValueError("not a list")
    except (OSError, ValueError, RecursionError) as error:
        raise BaselineFailed("boxes", f"{name} cannot be read as a list of boxes: {error}") from error
    found: dict[int, list[PersonBox]] = {image["id"]: [] for image in images}
    for number, row in enumerate(rows):
        try:
            x, y, w, h = (float(value) for value in row["bbox"])
            image, score = row["image_id"], float(row.get("score", 1.0))
            wanted = row.get("category_id", 1) == 1 and image in found
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            problem = "expected image_id, bbox [x, y, w, h] and score"
            raise BaselineFailed("boxes", f"{name}, entry {number}: {problem}") from error
        if not all(map(math.isfinite, (x, y, w, h, score))) or max(map(abs, (x, y, w, h))) > 1e6 or min(w, h) <= 0:
            raise BaselineFailed("boxes", f"{name}, entry {number}: the box has no finite size above 0")
        if wanted:
            found[image].append(PersonBox((x, y, w, h), None, score))
    if not any(found.values()):
        raise BaselineFailed("boxes", f"{name} has no box of a person in these images")
    digest = hashlib.sha256(content).hexdigest()
    return Boxes({image: tuple(people) for image, people in found.items()}, f"file {digest[:12]}")


def detected(
    images: list[dict[str, Any]],
    read: Callable[[dict[str, Any]], Any],
    device: str,
    after_each: Callable[[], object],
) -> Boxes:
    """The boxes of the person detector. `read` opens an image or raises `UnreadableImage`; that image then has none.

    `after_each` is called after each batch; an exception it raises ends the detection. Raises BaselineFailed.
    """
    from baselines.run import person_detector

    detector = person_detector.load(device)
    people: dict[int, tuple[PersonBox, ...]] = {}

    def opened(image: dict[str, Any]) -> Any:
        try:
            return read(image)
        except UnreadableImage:
            return None

    with ThreadPoolExecutor(2) as pool:
        batches = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
        ahead = [pool.submit(opened, image) for image in batches[0]] if batches else []
        for number, batch in enumerate(batches):
            pictures = [each.result() for each in ahead]
            following = batches[number + 1] if number + 1 < len(batches) else []
            ahead = [pool.submit(opened, image) for image in following]
            readable = [(i, p) for i, p in zip(batch, pictures, strict=True) if p is not None]
            for (image, _), found in zip(readable, detector([p for _, p in readable]), strict=True):
                people[image["id"]] = tuple(
                    PersonBox((float(x), float(y), float(w), float(h)), None, float(score))
                    for (x, y, w, h), score in zip(found.boxes, found.scores, strict=True)
                )
            after_each()
    return Boxes(people, f"person detector {detector.sha256[:12]}")
