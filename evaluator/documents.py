"""JSON documents of strangers, entry by entry: what the standard library lets pass and we do not is caught here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np

from evaluator.archives import refuse
from evaluator.errors import MOST_PROBLEMS, PredictionError, Problem, shown

MOST_DEPTH = 8
SPACE = re.compile(r"[ \t\n\r]*")
BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
LIST = "a JSON list of entries"


@dataclass(frozen=True)
class NonFinite:
    """A NaN or Infinity that stood in a document; not a float, so it cannot pass for one."""

    text: str

    def __str__(self) -> str:
        return self.text


@dataclass
class Problems:
    """Collects what is wrong; keeps the first hundred and counts the rest."""

    kept: list[Problem] = field(default_factory=list)
    total: int = 0

    def add(self, code: str, entry: int | None, path: str, message: str, expected: str) -> None:
        self.total += 1
        if len(self.kept) < MOST_PROBLEMS:
            pointer = "" if entry is None else f"/{entry}{path}"
            self.kept.append(Problem(code, entry, pointer, message, expected))

    def merged(self, other: Problems) -> Problems:
        """Both, in the order of the entries."""
        kept = sorted(self.kept + other.kept, key=lambda problem: -1 if problem.entry is None else problem.entry)
        return Problems(kept[:MOST_PROBLEMS], self.total + other.total)

    def raise_any(self) -> None:
        if self.total:
            raise PredictionError(self.kept, self.total)


class _Parser:
    """The standard library's scanner with hooks that note repeated keys and constants that JSON does not have."""

    def __init__(self) -> None:
        self.repeated: list[str] = []
        self.constants = 0
        self.decoder = json.JSONDecoder(object_pairs_hook=self._object, parse_constant=self._constant)

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            seen: set[str] = set()
            for key, _ in pairs:
                if key in seen:
                    self.repeated.append(key)
                    break
                seen.add(key)
        return found

    def _constant(self, text: str) -> NonFinite:
        self.constants += 1
        return NonFinite(text)


def entries(document: bytes | bytearray, problems: Problems) -> Iterator[tuple[int, Any]]:
    """The entries of a document that is one JSON list, each with its number, counted from 0.

    PredictionError when the text cannot be read on; repeated keys go to `problems`.
    """
    text = _text(document)
    parser = _Parser()
    position = _skip(text, 0)
    if text[position : position + 1] != "[":
        # Read it, to tell valid JSON that is no list from what is no JSON.
        value, _ = _value(parser, text, position, None)
        refuse("not_a_list", f"the document is {shown(value)}", LIST)
    position = _skip(text, position + 1)
    number = 0
    if text[position : position + 1] == "]":
        _check_end(text, position + 1)
        return
    while True:
        value, position = _value(parser, text, position, number)
        if parser.repeated:
            for key in parser.repeated:
                problems.add("duplicate_key", number, "", f"the key {shown(key)} appears twice", "each key once")
            parser.repeated.clear()
        before = problems.total
        yield number, value
        if parser.constants:
            # A constant in a field that is read has been reported where it stands.
            if problems.total == before:
                problems.add("not_finite", number, "", "NaN or Infinity is not JSON", "finite numbers")
            parser.constants = 0
        position = _skip(text, position)
        mark = text[position : position + 1]
        if mark == "]":
            break
        if mark != ",":
            _not_json(text, position, number, "expected a comma or the end of the list")
        position = _skip(text, position + 1)
        number += 1
    _check_end(text, position + 1)


def _text(document: bytes | bytearray) -> str:
    if document.startswith(BYTE_ORDER_MARKS):
        refuse("byte_order_mark", "the text starts with a byte order mark", "UTF-8 without a byte order mark")
    try:
        text = str(document, "utf-8")
    except UnicodeDecodeError as error:
        refuse("not_utf8", f"byte {error.start} is not UTF-8", "UTF-8 text")
    if not text.strip(" \t\n\r"):
        refuse("empty_file", "the file is empty", LIST)
    return text


def _skip(text: str, position: int) -> int:
    match = SPACE.match(text, position)
    return match.end() if match else position


def _value(parser: _Parser, text: str, position: int, entry: int | None) -> tuple[Any, int]:
    try:
        return parser.decoder.raw_decode(text, position)
    except json.JSONDecodeError as error:
        _not_json(text, error.pos, entry, error.msg)
    except RecursionError:
        refuse("too_deep", "the JSON is nested too deep", f"at most {MOST_DEPTH} levels")
    except ValueError:
        # Python converts at most some thousands of digits.
        refuse("number_too_long", "a number has thousands of digits", "numbers of magnitude up to 1e6")


def _not_json(text: str, position: int, entry: int | None, reason: str) -> NoReturn:
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    where = f"at line {line}, column {column}" + ("" if entry is None else f", in entry {entry}")
    early = " (the text ends early: truncated?)" if position >= len(text.rstrip()) else ""
    refuse("not_json", f"not valid JSON {where}: {reason}{early}", LIST)


def _check_end(text: str, position: int) -> None:
    position = _skip(text, position)
    if position != len(text):
        refuse(
            "trailing_data", f"something follows the list: {shown(text[position : position + 20])}", "nothing after it"
        )


def depth(value: Any) -> int:
    """How deep lists and objects are nested in a value; 0 for a plain one. Stops counting at the limit."""
    level, layer = 0, [value]
    while level <= MOST_DEPTH:
        layer = [outer for outer in layer if isinstance(outer, dict | list)]
        if not layer:
            break
        level += 1
        layer = [inner for outer in layer for inner in (outer.values() if isinstance(outer, dict) else outer)]
    return level


def plain(value: Any) -> Any:
    """A value of an in-memory entry as JSON would have it: arrays as lists, their NaN as null, NaN as no number."""
    if type(value) is float:
        return value if np.isfinite(value) else NonFinite(str(value))
    if isinstance(value, np.ndarray):
        return [None if isinstance(v, float) and v != v else v for v in value.ravel().tolist()]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value
