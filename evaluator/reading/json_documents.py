"""Uploaded JSON, entry by entry, with the checks that the standard library lacks."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np

from evaluator.errors import MOST_COUNTED, MOST_PROBLEMS, PredictionError, Problem, shown
from evaluator.reading.archives import reject
from evaluator.reading.upload_rules import LIST, MOST_DEPTH, NO_BENCHMARK, NUMBER, NonFinite, UploadLimits, problem

SPACE = re.compile(rb"[ \t\n\r]*")
WINDOW = 1 << 16  # bytes that are decoded at a time; most entries are much shorter
CHUNK = 1 << 20
LONGEST_WORD = 16  # -Infinity, \uD800\uDC00: an error so near to the end may be due to where the text was cut
AFTER = (" ", "\t", "\n", "\r", ",", "]")
NUMERIC = frozenset("0123456789+-.eE")
MOST_WAIT = 64
BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


@dataclass
class Problems:
    """Collects what is wrong; lists the first hundred and counts the rest, until it is `full`."""

    listed: list[Problem] = field(default_factory=list)
    total: int = 0

    def broken(self, rule: str, entry: int | None = None, path: str = "", **values: Any) -> None:
        """Adds the problem of a broken rule of `upload_rules.RULES`."""
        self.total += 1
        if len(self.listed) < MOST_PROBLEMS:
            self.listed.append(problem(rule, entry, path, **values))

    def add(self, code: str, entry: int | None, path: str, message: str, expected: str) -> None:
        """Adds a problem that is described at one place only."""
        self.total += 1
        if len(self.listed) < MOST_PROBLEMS:
            pointer = "" if entry is None else f"/{entry}{path}"
            self.listed.append(Problem(code, entry, pointer, message, expected))

    @property
    def full(self) -> bool:
        """Whether there are as many as are counted, so that reading stops."""
        return self.total >= MOST_COUNTED

    def merged(self, other: Problems) -> Problems:
        """Both, in the order of the entries."""
        both = sorted(self.listed + other.listed, key=lambda each: -1 if each.entry is None else each.entry)
        return Problems(both[:MOST_PROBLEMS], self.total + other.total)

    def raise_any(self) -> None:
        if self.total:
            raise PredictionError(self.listed, self.total)


class _Parser:
    """The standard library's decoder with hooks that note repeated keys and constants that JSON does not have."""

    def __init__(self) -> None:
        self.repeated: list[str] = []
        self.constants = 0
        self.decoder = json.JSONDecoder(object_pairs_hook=self._object, parse_constant=self._constant)

    def forget(self) -> None:
        """Drops what was noted of a value that has to be read again."""
        self.repeated.clear()
        self.constants = 0

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            earlier: set[str] = set()
            for key, _ in pairs:
                if key in earlier:
                    self.repeated.append(key)
                    break
                earlier.add(key)
        return found

    def _constant(self, text: str) -> NonFinite:
        self.constants += 1
        return NonFinite(text)


def entries(
    document: bytes | bytearray,
    problems: Problems,
    *,
    limits: UploadLimits = NO_BENCHMARK,
    read_clean: Callable[[int, int], tuple[int, int]] | None = None,
) -> Iterator[tuple[int, Any]]:
    """The entries of a document that is one JSON list, each with its number, counted from 0.

    PredictionError when the rest of the text cannot be read, or when it holds more than `limits`; repeated keys go to
    `problems`.
    read_clean: called with the place after an entry, in bytes, and the number of the next; it may read entries that
    need no careful reading, and returns (the place after the last of them, their number). They are not yielded.
    """
    _check_text(document)
    reader = _Window(document, limits)
    position = _skip(document, 0)
    if document[position : position + 1] != b"[":
        # Read it, to tell valid JSON that is no list from invalid JSON.
        value, _ = reader.value(position, None)
        raise PredictionError([problem("not_a_list", value=value)])
    position = _skip(document, position + 1)
    number = 0
    if document[position : position + 1] == b"]":
        _check_end(document, position + 1)
        return
    parser = reader.parser
    wait, waited = 1, 0  # after how many entries to call `read_clean` again, and how many have passed
    while True:
        value, position = reader.value(position, number)
        if parser.repeated:
            for key in parser.repeated:
                problems.add("duplicate_key", number, "", f"the key {shown(key)} appears twice", "each key once")
            parser.repeated.clear()
        before = problems.total
        yield number, value
        if parser.constants:
            # A constant in a field that is read has been reported with its place.
            if problems.total == before:
                problems.add("not_finite", number, "", "NaN or Infinity is not JSON", "finite numbers")
            parser.constants = 0
        if problems.full:
            return
        waited += 1
        if read_clean and waited >= wait:
            position, count = read_clean(position, number + 1)
            number += count
            wait, waited = (1 if count else min(2 * wait, MOST_WAIT)), 0
        if limits.entries is not None and number >= limits.entries:
            problems.broken("too_many_entries", most=limits.entries)
            return
        position = _skip(document, position)
        mark = document[position : position + 1]
        if mark == b"]":
            break
        if mark != b",":
            _not_json(document, position, number, "expected a comma or the end of the list")
        position = _skip(document, position + 1)
        number += 1
    _check_end(document, position + 1)


class _Window:
    """Reads the values of a document one after the other, of which it decodes only a part at a time.

    So nothing is decoded that is not read, and values can be counted before they are read.
    """

    def __init__(self, document: bytes | bytearray, limits: UploadLimits) -> None:
        self.parser = _Parser()
        self._document, self._limits = document, limits
        self._base, self._end = 0, 0  # in the document, of what is decoded
        self._text = ""
        self._place, self._at = 0, 0  # the same place in the document, and in the text
        self._counted_to = 0
        self._values = self._objects = 0

    def value(self, position: int, entry: int | None) -> tuple[Any, int]:
        """The value at a place, and the place after it. Places are in bytes."""
        size = WINDOW
        if position >= self._end:
            self._fill(position, size)
        while True:
            start = self._local(position)
            try:
                value, end = self.parser.decoder.raw_decode(self._text, start)
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated string") or error.pos + LONGEST_WORD > len(self._text)
                if self._is_whole() or not cut:
                    _not_json(self._document, self._global(error.pos), entry, error.msg)
            except RecursionError:
                reject("too_deep", "the JSON is nested too deep", f"at most {MOST_DEPTH} levels")
            except ValueError:
                # Python converts a few thousand digits at most; a number that is cut may still be a float.
                if self._is_whole() or self._text[-1] not in NUMERIC:
                    reject("number_too_long", "a number has thousands of digits", NUMBER)
            else:
                # A number may continue after the end of the text, also one that ends in "e" or "."
                if self._is_whole() or isinstance(value, dict | list | str) or self._text[end : end + 1] in AFTER:
                    self._place, self._at = self._global(end), end
                    return value, self._place
            # The value continues after what is decoded.
            self.parser.forget()
            if position == self._base:
                size *= 8
            self._fill(position, size)

    def _fill(self, position: int, size: int) -> None:
        # a rest of the document that is no longer than this is decoded as well
        end = position + size if len(self._document) - position > 2 * size else len(self._document)
        if self._limits.values is not None and end > self._counted_to:
            self._count(max(position, self._counted_to), end)
        text, used = codecs.utf_8_decode(self._document[position:end], "strict", end == len(self._document))
        self._text, self._base, self._end = text, position, position + used
        self._place, self._at = position, 0

    def _count(self, start: int, end: int) -> None:
        self._values += self._document.count(b",", start, end)
        self._objects += self._document.count(b"{", start, end)
        self._counted_to = end
        for found, most, what in (
            (self._values, self._limits.values, "values"),
            (self._objects, self._limits.objects, "objects"),
        ):
            if most is not None and found > most:
                reject("too_large", f"the file holds more than {most} {what}", f"at most {most} for this benchmark")

    def _is_whole(self) -> bool:
        return self._end == len(self._document)

    def _local(self, position: int) -> int:
        """The place in the text; never one before the last that was asked for."""
        if self._text.isascii():
            return position - self._base
        self._at += len(str(self._document[self._place : position], "utf-8"))
        self._place = position
        return self._at

    def _global(self, at: int) -> int:
        if self._text.isascii():
            return self._base + at
        return self._place + len(self._text[self._at : at].encode())


def _check_text(document: bytes | bytearray) -> None:
    if document.startswith(BYTE_ORDER_MARKS):
        reject("byte_order_mark", "the text starts with a byte order mark", "UTF-8 without a byte order mark")
    if not document.isascii():
        decoder = codecs.getincrementaldecoder("utf-8")()
        for start in range(0, len(document), CHUNK):
            before = len(decoder.getstate()[0])
            try:
                decoder.decode(document[start : start + CHUNK], start + CHUNK >= len(document))
            except UnicodeDecodeError as error:
                reject("not_utf8", f"byte {start - before + error.start} is not UTF-8", "UTF-8 text")
    if _skip(document, 0) == len(document):
        reject("empty_file", "the file is empty", LIST)


def _skip(document: bytes | bytearray, position: int) -> int:
    match = SPACE.match(document, position)
    return match.end() if match else position


def _not_json(document: bytes | bytearray, position: int, entry: int | None, reason: str) -> NoReturn:
    line = document.count(b"\n", 0, position) + 1
    column = 1 + len(str(document[document.rfind(b"\n", 0, position) + 1 : position], "utf-8"))
    where = f"at line {line}, column {column}" + ("" if entry is None else f", in entry {entry}")
    # in two steps: the rest may be most of the file
    ends = all(not str(document[position:end], "utf-8", "ignore").strip() for end in (position + 256, len(document)))
    early = " (the text ends early: truncated?)" if ends else ""
    reject("not_json", f"not valid JSON {where}: {reason}{early}", LIST)


def _check_end(document: bytes | bytearray, position: int) -> None:
    position = _skip(document, position)
    if position != len(document):
        rest = str(document[position : position + 80], "utf-8", "ignore")[:20]
        reject("trailing_data", f"something follows the list: {shown(rest)}", "nothing after it")


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
