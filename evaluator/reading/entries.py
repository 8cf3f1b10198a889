"""Reads the entries of an upload one by one: the keys and checks that all kinds of entries have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np

from evaluator.dataset import Dataset
from evaluator.errors import MOST_PROBLEMS, shown
from evaluator.poses import Floats, Integers, Predictions
from evaluator.reading.image_list import PublicImages
from evaluator.reading.json_documents import Problems, depth
from evaluator.reading.upload_rules import (
    LARGEST,
    MOST_DEPTH,
    MOST_PIXELS,
    SCORE,
    Names,
    NonFinite,
    expected_lists,
    problem,
)

NUMBERS = frozenset({int, float})


class Ids:
    """Image and person ids against the image list; without one, only repeated people are found."""

    def __init__(self, dataset: Dataset, images: PublicImages | None, problems: Problems) -> None:
        self.single = dataset.single_person
        self.images = images
        self.problems = problems
        self.entry_of: dict[tuple[int, int], int] = {}  # of the people found so far

    def person(self, image: int, given: int | None) -> int:
        """The person an entry is for: what it says, otherwise the only one of the image. 0 on multi-person datasets."""
        if not self.single:
            return 0
        if given is not None:
            return given
        return 0 if self.images is None else self.images.people_of(image)[0]

    def check(self, number: int, image: int, given: int | None) -> bool:
        if self.images is not None and image not in self.images.people:
            self.problems.broken("unknown_image", number, "/image_id", image=image)
            return False
        if not self.single:
            return True
        if self.images is not None:
            people = self.images.people_of(image)
            if given is None and len(people) != 1:
                self.problems.broken("missing_person_id", number, image=image, people=len(people))
                return False
            if given is not None and given not in people:
                self.problems.broken("unknown_person", number, "/person_id", image=image, person=given)
                return False
        person = self.person(image, given)
        other = self.entry_of.setdefault((image, person), number)
        if other != number:
            self.problems.broken("repeated_person", number, person=person, image=image, other=other)
        return other == number

    def everybody(self, problems: Problems) -> None:
        """Adds a problem for each person of the image list that no entry was for."""
        for image in () if self.images is None else self.images.people:
            for person in self.images.people_of(image) if self.images else ():
                if problems.full:
                    return
                if (image, person) not in self.entry_of:
                    problems.broken("missing_person", person=person, image=image)


class EntryReader(ABC):
    """Reads one entry after another; the problems of one do not stop the next.

    A kind of entry says in `keys` what it reads besides the ids and the score. `payload` reads it from an entry, and is
    None when something is wrong with it; `add` takes the payload of a good entry.
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
        self.expected = expected_lists(dataset)
        self.problems = problems
        self.entries = array("q")
        self.images = array("q")
        self.people = array("q")
        self.scores = array("d")
        self.too_far = 0  # how many of the problems are numbers of good entries
        self.most_pixels = MOST_PIXELS

    @abstractmethod
    def payload(self, number: int, entry: dict[str, Any]) -> Any:
        """The content of the entry; None, with its problems added, when it has any."""

    @abstractmethod
    def add(self, number: int, payload: Any) -> bool:
        """Add the payload of a good entry; False when it is not one after all."""

    @abstractmethod
    def finished(self, sha256: str) -> tuple[Predictions, Problems]:
        """The predictions, and what is wrong with the file as a whole."""

    def read(self, number: int, entry: Any) -> None:
        if type(entry) is not dict:
            self.problems.broken("not_an_object", number, value=entry)
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
        if not self.add(number, payload):
            return
        self.entries.append(number)
        self.images.append(image)
        self.people.append(self.ids.person(image, person))
        self.scores.append(score)
        self.in_range(number, SCORE, [score])

    def whole(self, number: int, entry: dict[str, Any], key: str, *, required: bool) -> int | None:
        if key not in entry:
            if required:
                self.problems.broken("missing_key", number, key=key)
            return None
        value = entry[key]
        if isinstance(value, NonFinite):
            rule = "id_not_finite"
        elif type(value) is not int:
            rule = "id_not_whole"
        elif not -(1 << 63) <= value < 1 << 63:
            rule = "id_too_large"
        else:
            return value
        self.problems.broken(rule, number, f"/{key}", key=key, value=value)
        return None

    def score(self, number: int, entry: dict[str, Any]) -> float | None:
        if "score" not in entry:
            self.problems.broken("missing_key", number, key="score")
            return None
        score = entry["score"]
        if self.is_number(number, SCORE, 0, score):
            try:
                return float(score)
            except OverflowError:
                self.problems.broken("out_of_range", number, "/score", what="score", value=score)
        return None

    def is_number(self, number: int, names: Names, index: int, value: Any) -> bool:
        if type(value) in NUMBERS:
            return True
        rule = "not_finite" if isinstance(value, NonFinite) else "not_a_number"
        self.problems.broken(rule, number, names.place(index), what=names.what(index), value=value)
        return False

    def numbers(self, number: int, entry: dict[str, Any], key: str, count: int) -> list[Any] | None:
        """The list of `count` values under a key, whatever the values are."""
        if key not in entry:
            self.problems.broken("missing_key", number, key=key)
            return None
        values = entry[key]
        if type(values) is list and len(values) == count:
            return values
        expected, path = self.expected[key], f"/{key}"
        if type(values) is list:
            self.problems.broken("list_wrong_count", number, path, key=key, count=len(values), expected=expected)
        else:
            self.problems.broken("list_wrong_type", number, path, key=key, value=values, expected=expected)
        return None

    def with_nulls(self, number: int, names: Names, values: list[Any], *, may_miss: bool) -> list[float] | None:
        """The numbers; a group of nulls becomes NaN, which is allowed where `may_miss`."""
        before, size = self.problems.total, len(names.axes)
        numbers: list[float] = []
        for start in range(0, len(values), size):
            group = values[start : start + size]
            missing = sum(value is None for value in group)
            if missing == size and may_miss:
                numbers += [np.nan] * size
            elif missing:
                rule = "missing_joint" if missing == size else "partly_null"
                self.problems.broken(rule, number, names.place(start), what=names.groups[start // size])
            else:
                for index, value in enumerate(group, start):
                    if self.is_number(number, names, index, value):
                        numbers.append(value)
        return numbers if self.problems.total == before else None

    def in_range(self, number: int, names: Names, values: Sequence[float]) -> None:
        """Adds a problem for each number of a good entry that is infinite or too large; NaN passes."""
        # a NaN that comes first makes these comparisons false, and is passed below
        if -LARGEST <= min(values) <= max(values) <= LARGEST:
            return
        before = self.problems.total
        for index, value in enumerate(values):
            self.check_range(number, names, index, value)
        self.too_far += self.problems.total - before

    def check_range(self, number: int, names: Names, index: int, value: float) -> None:
        if not abs(value) <= LARGEST and value == value:
            rule = "not_finite" if value in (np.inf, -np.inf) else "out_of_range"
            value = float(value) if abs(value) < 1e300 else value  # a whole number may be too large for a float
            self.problems.broken(rule, number, names.place(index), what=names.what(index), value=value)

    def extend(self, number: int, key: str, buffer: array[float], values: list[float]) -> bool:
        """Adds the values of an entry to a buffer; False where a number is too large for a float."""
        try:
            buffer.extend(values)
        except OverflowError:
            del buffer[len(self.entries) * len(values) :]
            self.problems.broken("far_too_large", number, f"/{key}", what=key)
            return False
        return True

    def columns(self) -> tuple[Integers, Integers, Floats]:
        """(image ids, person ids, scores) of the entries that could be read."""
        return (
            np.array(self.images, dtype=np.int64),
            np.array(self.people, dtype=np.int64),
            np.array(self.scores, dtype=np.float64),
        )


def out_of_range(values: Floats, names: Names, entries: Sequence[int]) -> Problems:
    """Problems for the numbers [N, M] that are infinite or too large, with the entry of each row; NaN passes."""
    problems = Problems()
    wrong = np.abs(values) > LARGEST
    problems.total = int(np.count_nonzero(wrong))
    rows = np.flatnonzero(wrong.any(axis=1))[:MOST_PROBLEMS]
    for at, column in np.argwhere(wrong[rows])[:MOST_PROBLEMS].tolist():
        row = int(rows[at])
        value = float(values[row, column])
        rule = "out_of_range" if np.isfinite(value) else "not_finite"
        what = names.what(column)
        problems.listed.append(problem(rule, entries[row], names.place(column), what=what, value=value))
    return problems
