"""Entry by entry through an upload: the keys and checks that every kind of entry has, whatever it gives of a person."""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np

from evaluator.dataset import Dataset
from evaluator.errors import MOST_PROBLEMS, Problem, shown
from evaluator.poses import Floats, Integers, Predictions
from evaluator.reading.image_list import PublicImages
from evaluator.reading.json_documents import MOST_DEPTH, NonFinite, Problems, depth
from evaluator.reading.upload_limits import MOST_PIXELS

LARGEST = 1e6
NUMBER = "a finite number of magnitude up to 1e6"
WHOLE_NUMBER = "a whole number"
NUMBERS = frozenset({int, float})


class Ids:
    """Image and person ids against the image list; without one, only repeated people are found."""

    def __init__(self, dataset: Dataset, images: PublicImages | None, problems: Problems) -> None:
        self.single = dataset.single_person
        self.images = images
        self.problems = problems
        self.seen: set[tuple[int, int]] = set()

    def person(self, image: int, given: int | None) -> int:
        """The person an entry is for: what it says, else the only one of the image. 0 on multi-person datasets."""
        if not self.single:
            return 0
        if given is not None:
            return given
        return 0 if self.images is None else self.images.people_of(image)[0]

    def check(self, number: int, image: int, given: int | None) -> bool:
        if self.images is not None and image not in self.images.people:
            message = f"the benchmark has no image {image}"
            self.problems.add("unknown_image", number, "/image_id", message, "an id of its image list")
            return False
        if not self.single:
            return True
        if self.images is not None:
            people = self.images.people_of(image)
            if given is None and len(people) != 1:
                message = f"image {image} has {len(people)} people and the entry has no person_id"
                self.problems.add("missing_person_id", number, "", message, "a person_id")
                return False
            if given is not None and given not in people:
                message = f"image {image} has no person {given}"
                self.problems.add("unknown_person", number, "/person_id", message, "a person of the image list")
                return False
        key = (image, self.person(image, given))
        if key in self.seen:
            message = f"person {key[1]} of image {image} has an entry already"
            self.problems.add("repeated_person", number, "", message, "one entry per person")
            return False
        self.seen.add(key)
        return True

    def everybody(self, problems: Problems) -> None:
        """Adds a problem for each person of the image list that no entry was for."""
        for image in () if self.images is None else self.images.people:
            for person in self.images.people_of(image) if self.images else ():
                if problems.full:
                    return
                if (image, person) not in self.seen:
                    message = f"person {person} of image {image} has no entry"
                    problems.add("missing_person", None, "", message, "one entry per person")


class EntryReader(ABC):
    """Takes one entry after another apart; what is wrong with one does not stop the next.

    A kind of entry says in `keys` what it reads besides the ids and the score, takes it out of an entry in `payload`,
    None when something is wrong with it, and keeps that of a good entry in `keep`.
    """

    keys: frozenset[str] = frozenset()
    has_score = True

    def __init__(self, dataset: Dataset, images: PublicImages | None, problems: Problems) -> None:
        self.dataset = dataset
        self.single = dataset.single_person
        self.ids = Ids(dataset, images, problems)
        self.read_keys = self.keys | {"image_id"} | ({"person_id"} if self.single else set())
        if self.has_score:
            self.read_keys |= {"score"}
        self.problems = problems
        self.entries = array("q")
        self.images = array("q")
        self.people = array("q")
        self.scores = array("d")
        self.too_far = 0  # how many of the problems are numbers of good entries
        self.most_pixels = MOST_PIXELS

    @abstractmethod
    def payload(self, number: int, entry: dict[str, Any]) -> Any:
        """What the entry brings; None, with the problems noted, when something is wrong with it."""

    @abstractmethod
    def keep(self, number: int, payload: Any) -> bool:
        """Take the payload of a good entry; False when it is not one after all."""

    @abstractmethod
    def finished(self, sha256: str) -> tuple[Predictions, Problems]:
        """What has been read, and what is wrong with it as a whole."""

    def read(self, number: int, entry: Any) -> None:
        if type(entry) is not dict:
            self.problems.add("not_an_object", number, "", f"the entry is {shown(entry)}", "an object")
            return
        before = self.problems.total
        image = self.whole(number, entry, "image_id", required=True)
        person = self.whole(number, entry, "person_id", required=False) if self.single else None
        score = self.score(number, entry) if self.has_score else 1.0
        payload = self.payload(number, entry)
        for key, value in entry.items():
            if isinstance(value, list | dict) and key not in self.read_keys and depth(value) > MOST_DEPTH - 2:
                if self.problems.full:
                    return
                self.problems.add("too_deep", number, "", f"{shown(key)} is nested too deep", f"{MOST_DEPTH} levels")
        if image is None or (self.single and person is None and "person_id" in entry):
            return
        known = self.ids.check(number, image, person)
        if self.problems.total != before or not known or payload is None or score is None:
            return
        if not self.keep(number, payload):
            return
        self.entries.append(number)
        self.images.append(image)
        self.people.append(self.ids.person(image, person))
        self.scores.append(score)
        self.in_range(number, "/score", [score])

    def whole(self, number: int, entry: dict[str, Any], key: str, *, required: bool) -> int | None:
        if key not in entry:
            if required:
                self.problems.add("missing_key", number, "", f"no {key}", f"a {key}")
            return None
        value = entry[key]
        if isinstance(value, NonFinite):
            self.problems.add("not_finite", number, f"/{key}", f"{key} is {value.text}", WHOLE_NUMBER)
        elif type(value) is not int:
            self.problems.add("wrong_type", number, f"/{key}", f"{key} is {shown(value)}", WHOLE_NUMBER)
        elif not -(1 << 63) <= value < 1 << 63:
            self.problems.add("invalid_id", number, f"/{key}", f"{key} is {shown(value)}", "a 64-bit whole number")
        else:
            return value
        return None

    def score(self, number: int, entry: dict[str, Any]) -> float | None:
        if "score" not in entry:
            self.problems.add("missing_key", number, "", "no score", "a score")
            return None
        score = entry["score"]
        if self.is_number(number, "/score", "score", score):
            try:
                return float(score)
            except OverflowError:
                self.problems.add("out_of_range", number, "/score", f"score is {shown(score)}", NUMBER)
        return None

    def is_number(self, number: int, path: str, what: str, value: Any) -> bool:
        if type(value) in NUMBERS:
            return True
        if isinstance(value, NonFinite):
            self.problems.add("not_finite", number, path, f"{what} is {value.text}", NUMBER)
        else:
            self.problems.add("wrong_type", number, path, f"{what} is {shown(value)}", NUMBER)
        return False

    def numbers(self, number: int, entry: dict[str, Any], key: str, count: int, expected: str) -> list[Any] | None:
        """The list of `count` values under a key, whatever the values are."""
        if key not in entry:
            self.problems.add("missing_key", number, "", f"no {key}", key)
            return None
        values = entry[key]
        if type(values) is not list:
            self.problems.add("wrong_type", number, f"/{key}", f"{key} is {shown(values)}", expected)
            return None
        if len(values) != count:
            self.problems.add("wrong_count", number, f"/{key}", f"{key} has {len(values)} values", expected)
            return None
        return values

    def with_nulls(
        self, number: int, path: str, what: str, values: list[Any], size: int, unit: str, *, may_miss: bool
    ) -> list[float] | None:
        """Numbers of which each whole group of `size` may be null where `may_miss`, which becomes NaN."""
        before = self.problems.total
        numbers: list[float] = []
        for start in range(0, len(values), size):
            group = values[start : start + size]
            missing = sum(value is None for value in group)
            if missing == size and may_miss:
                numbers += [np.nan] * size
            elif missing == size:
                message = f"{unit} {start // size} is missing"
                self.problems.add("missing_joint", number, f"{path}/{start}", message, "a place for every joint")
            elif missing:
                message = f"{unit} {start // size} is partly null"
                self.problems.add("incomplete_joint", number, f"{path}/{start}", message, "all null, or none")
            else:
                for index, value in enumerate(group, start):
                    if self.is_number(number, f"{path}/{index}", f"{what}[{index}]", value):
                        numbers.append(value)
        return numbers if self.problems.total == before else None

    def in_range(self, number: int, path: str, values: Sequence[float]) -> None:
        """Adds a problem for each number of a good entry that is infinite or too large; NaN passes."""
        # NaN before the others makes these comparisons false, and is looked at below
        if -LARGEST <= min(values) <= max(values) <= LARGEST:
            return
        for index, value in enumerate(values):
            if not abs(value) <= LARGEST and value == value:
                code = "not_finite" if abs(value) == np.inf else "out_of_range"
                message = f"a number is {shown(float(value))}"
                self.problems.add(code, number, path.format(index), message, NUMBER)
                self.too_far += 1

    def kept(self, number: int, path: str, buffer: array[float], values: list[float], rows: int) -> bool:
        """Whether the values could be added to a buffer of `rows` rows: a number may be too large for a float."""
        try:
            buffer.extend(values)
        except OverflowError:
            del buffer[rows * len(values) :]
            self.problems.add("out_of_range", number, path, "a number is far too large", NUMBER)
            return False
        return True

    def columns(self) -> tuple[Integers, Integers, Floats]:
        """(image ids, person ids, scores) of the entries that could be read."""
        return (
            np.array(self.images, dtype=np.int64),
            np.array(self.people, dtype=np.int64),
            np.array(self.scores, dtype=np.float64),
        )


def out_of_range(values: Floats, entries: Any, path: str) -> Problems:
    """Problems for the numbers [N, M] that are infinite or too large, with the entry of each row; NaN passes."""
    problems = Problems()
    wrong = np.abs(values) > LARGEST
    problems.total = int(np.count_nonzero(wrong))
    rows = np.flatnonzero(wrong.any(axis=1))[:MOST_PROBLEMS]
    for at, column in np.argwhere(wrong[rows])[:MOST_PROBLEMS].tolist():
        row = int(rows[at])
        value = float(values[row, column])
        code = "out_of_range" if np.isfinite(value) else "not_finite"
        found = f"a number is {shown(value)}"
        problems.kept.append(Problem(code, entries[row], f"/{entries[row]}{path.format(column)}", found, NUMBER))
    return problems
