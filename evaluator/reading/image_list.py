"""The public image list of a benchmark: what anyone may know of a split, and what uploads are checked against."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluator.errors import GroundTruthError


@dataclass(frozen=True)
class PublicImages:
    """Image ids of a split, and the person ids of each image where the dataset has them."""

    dataset: str
    split: str
    people: Mapping[int, tuple[int, ...] | None]  # image id -> person ids; None: not said, one person with id 0

    def people_of(self, image_id: int) -> tuple[int, ...]:
        """The person ids of an image of a single-person dataset."""
        people = self.people[image_id]
        return (0,) if people is None else people

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> PublicImages:
        """From the JSON form `{"dataset", "split", "images": [{"id", "people": [{"person_id"}]}]}`."""
        people: dict[int, tuple[int, ...] | None] = {}
        try:
            for image in data["images"]:
                listed = image.get("people")
                people[_id(image["id"])] = (
                    None if listed is None else tuple(_id(person["person_id"]) for person in listed)
                )
        except (KeyError, TypeError, AttributeError) as error:
            raise GroundTruthError(f"the image list is malformed: {error!r}") from None
        if len(people) != len(data["images"]):
            raise GroundTruthError("the image list names an image twice")
        return cls(str(data.get("dataset", "")), str(data.get("split", "")), people)


def _id(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(f"{value!r} is not an id")
    return value


def read_images(source: PublicImages | Mapping[str, Any] | str | Path | bytes) -> PublicImages:
    """The image list from its JSON: a path, bytes, or what they hold."""
    if isinstance(source, PublicImages):
        return source
    if isinstance(source, Mapping):
        return PublicImages.from_dict(source)
    content = source if isinstance(source, bytes) else Path(source).read_bytes()
    try:
        data = json.loads(content)
    except ValueError as error:
        raise GroundTruthError(f"the image list is not JSON: {error}") from None
    return PublicImages.from_dict(data)
