"""Compiled scanners: the bytes of COCO results straight into arrays; `scan_annotations` has those of annotation files.

They accept a part of what the careful readers (`documents`, `predictions`, `ground_truth`) accept, with the same
values to the last bit, and refuse the rest without saying why: the careful reader then reads the file again and words
the error. So refusing too much costs time only. Text is ASCII here; escapes are for strings that nobody reads.

Buffers are uint8 arrays with `scan_codes.PADDING` zero bytes after the text: a zero byte ends every token, and is none.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from evaluator.decimals import NONE, byte, integer, load64, number
from evaluator.scan_codes import BEFORE, BETWEEN, DONE, FAILED, FIRST, FULL, MOST_EXTRAS, STOPPED

BLANK, QUOTE, COMMA, COLON, BACKSLASH = 32, 34, 44, 58, 92
OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT = 91, 93, 123, 125
NINE, ZERO, MINUS = 57, 48, 45

LARGEST = 1e6
MOST_DIGITS = 4000  # json refuses whole numbers of more than 4,300
DEEP, SHALLOW = 30, 4  # levels in what is skipped: of an annotation file, of an upload


def word_of(text: str) -> Any:
    """The first eight bytes of a text as `load64` reads them."""
    return np.uint64(int.from_bytes(text.encode()[:8].ljust(8, b"\0"), "little"))


W_IMAGE_ID, W_KEYPOINT, W_SCORE, W_CATEGORY = (
    word_of("image_id"),
    word_of("keypoint"),
    word_of('score"'),
    word_of("category"),
)
W_TEGORY_I, W_LIMBS = word_of("tegory_i"), word_of("limbs")
W_TRUE, W_NULL, W_FALSE = word_of("true"), word_of("null"), word_of("false")
SIX_BYTES, FIVE_BYTES, FOUR_BYTES = np.uint64((1 << 48) - 1), np.uint64((1 << 40) - 1), np.uint64((1 << 32) - 1)
ONES, HIGHS = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)
QUOTES, BACKSLASHES = np.uint64(0x2222222222222222), np.uint64(0x5C5C5C5C5C5C5C5C)
SPACES = np.uint64(0x2020202020202020)


@njit(cache=True, error_model="numpy", forceinline=True)
def blank(buffer: Any, place: int) -> int:
    """The next place that is no white space."""
    while True:
        character = byte(buffer, place)
        if character > BLANK:
            return place
        if character != BLANK and character != 10 and character != 13 and character != 9:
            return place
        place += 1


@njit(cache=True, error_model="numpy", forceinline=True)
def plain_key(buffer: Any, place: int) -> int:
    """The end of a string of printable ASCII without escapes that starts at a place, or FAILED."""
    while True:
        character = byte(buffer, place)
        if character == QUOTE:
            return place
        if character < BLANK or character == BACKSLASH or character > 126:
            return FAILED
        place += 1


@njit(cache=True, error_model="numpy")
def skip_string(buffer: Any, place: int) -> int:
    """The place after a string whose opening quote is before `place`, or FAILED."""
    while True:
        word = load64(buffer, place)
        quotes, slashes = word ^ QUOTES, word ^ BACKSLASHES
        special = ((quotes - ONES) & ~quotes) | ((slashes - ONES) & ~slashes) | ((word - SPACES) & ~word) | word
        if special & HIGHS == NONE:
            place += 8
            continue
        for _ in range(8):
            character = byte(buffer, place)
            if character == QUOTE:
                return place + 1
            if character < BLANK or character > 126:
                return FAILED
            place += 1
            if character == BACKSLASH:
                escape = byte(buffer, place)
                place += 1
                if escape == 117:
                    for _ in range(4):
                        digit = byte(buffer, place)
                        lower = digit | 32
                        if not (ZERO <= digit <= NINE or 97 <= lower <= 102):
                            return FAILED
                        place += 1
                elif escape not in (QUOTE, BACKSLASH, 47, 98, 102, 110, 114, 116):
                    return FAILED


@njit(cache=True, error_model="numpy")
def skip(buffer: Any, place: int, objects: bool, most_depth: int) -> int:
    """The place after any JSON value, or FAILED."""
    depth, kinds = 0, 0  # one bit a level: 1 for an object
    while True:
        character = byte(buffer, place)
        closed = True
        if character == MINUS or ZERO <= character <= NINE:
            start = place
            _, place, _ = number(buffer, place)
            if place == FAILED or place - start > MOST_DIGITS:
                return FAILED
        elif character == QUOTE:
            place = skip_string(buffer, place + 1)
            if place == FAILED:
                return FAILED
        elif character in (OPEN_LIST, OPEN_OBJECT):
            if depth == most_depth or (character == OPEN_OBJECT and not objects):
                return FAILED
            depth += 1
            kinds = kinds << 1 | (character == OPEN_OBJECT)
            place = blank(buffer, place + 1)
            # ']' and '}' come two after '[' and '{'
            if byte(buffer, place) == character + 2:
                place += 1
                depth -= 1
                kinds = kinds >> 1
            else:
                closed = False
                # A list of numbers, and the first that is followed by something else
                while character == OPEN_LIST and ZERO <= byte(buffer, place) <= NINE:
                    _, after, _ = number(buffer, place)
                    if after == FAILED or after - place > MOST_DIGITS or byte(buffer, after) != COMMA:
                        break
                    place = blank(buffer, after + 1)
        else:
            word = load64(buffer, place)
            if word & FOUR_BYTES in (W_TRUE, W_NULL):
                place += 4
            elif word & FIVE_BYTES == W_FALSE:
                place += 5
            else:
                return FAILED
        while closed:
            if depth == 0:
                return place
            place = blank(buffer, place)
            character = byte(buffer, place)
            place += 1
            if character == COMMA:
                place = blank(buffer, place)
                closed = False
            elif character == (CLOSE_OBJECT if kinds & 1 else CLOSE_LIST):
                depth -= 1
                kinds = kinds >> 1
            else:
                return FAILED
        if kinds & 1:
            if byte(buffer, place) != QUOTE:
                return FAILED
            place = skip_string(buffer, place + 1)
            if place == FAILED:
                return FAILED
            place = blank(buffer, place)
            if byte(buffer, place) != COLON:
                return FAILED
            place = blank(buffer, place + 1)


@njit(cache=True, error_model="numpy")
def entry(
    buffer: Any, place: int, row: int, images: Any, scores: Any, keypoints: Any, unsure: Any, unsures: int, extras: Any
) -> tuple[int, int]:
    """One entry of an upload into its row: (the place after it or FAILED, numbers that are undecided so far)."""
    if byte(buffer, place) != OPEN_OBJECT:
        return FAILED, unsures
    place = blank(buffer, place + 1)
    numbers = keypoints.shape[1]
    seen, others, far = 0, 0, False
    line = keypoints[row]
    while True:
        if byte(buffer, place) != QUOTE:
            return FAILED, unsures
        start = place + 1
        word = load64(buffer, start)
        field = 0
        if word == W_IMAGE_ID and byte(buffer, place + 9) == QUOTE:
            field, place = 1, place + 10
        elif word == W_KEYPOINT and byte(buffer, place + 9) == 115 and byte(buffer, place + 10) == QUOTE:
            field, place = 2, place + 11
        elif word & SIX_BYTES == W_SCORE:
            field, place = 4, place + 7
        elif word == W_CATEGORY and load64(buffer, start + 2) == W_TEGORY_I and byte(buffer, place + 11) == 100 \
                and byte(buffer, place + 12) == QUOTE:  # fmt: skip
            field, place = 8, place + 13
        else:
            place = plain_key(buffer, start)
            if place == FAILED or others == MOST_EXTRAS or (place - start == 5 and word & FIVE_BYTES == W_LIMBS):
                return FAILED, unsures
            for other in range(others):
                if extras[other, 1] == place - start:
                    same = True
                    for at in range(place - start):
                        same &= byte(buffer, start + at) == byte(buffer, extras[other, 0] + at)
                    if same:
                        return FAILED, unsures
            extras[others, 0], extras[others, 1] = start, place - start
            others += 1
            place += 1
        if seen & field:
            return FAILED, unsures
        seen |= field
        place = blank(buffer, place)
        if byte(buffer, place) != COLON:
            return FAILED, unsures
        place = blank(buffer, place + 1)
        if field == 2:
            if byte(buffer, place) != OPEN_LIST:
                return FAILED, unsures
            place += 1
            for index in range(numbers):
                place = blank(buffer, place)
                before = place
                value, place, undecided = number(buffer, place)
                if place == FAILED:
                    return FAILED, unsures
                far |= not abs(value) <= LARGEST
                line[index] = value
                if undecided:
                    if unsures == len(unsure):
                        return FAILED, unsures
                    unsure[unsures, 0], unsure[unsures, 1], unsure[unsures, 2] = row * numbers + index, before, place
                    unsures += 1
                if byte(buffer, place) <= BLANK:
                    place = blank(buffer, place)
                if byte(buffer, place) != (COMMA if index + 1 < numbers else CLOSE_LIST):
                    return FAILED, unsures
                place += 1
        elif field == 1:
            images[row], place = integer(buffer, place)
        elif field == 4:
            before = place
            value, place, undecided = number(buffer, place)
            far |= not abs(value) <= LARGEST
            scores[row] = value
            if undecided and place != FAILED:
                if unsures == len(unsure):
                    return FAILED, unsures
                unsure[unsures, 0], unsure[unsures, 1], unsure[unsures, 2] = -1 - row, before, place
                unsures += 1
        else:
            place = skip(buffer, place, False, SHALLOW)
        if place == FAILED:
            return FAILED, unsures
        place = blank(buffer, place)
        mark = byte(buffer, place)
        place += 1
        if mark == CLOSE_OBJECT:
            break
        if mark != COMMA:
            return FAILED, unsures
        place = blank(buffer, place)
    if seen & 7 != 7 or far:
        return FAILED, unsures
    return place, unsures


@njit(cache=True, error_model="numpy")
def entries(
    buffer: Any, place: int, end: int, state: int, row: int, images: Any, scores: Any, keypoints: Any, unsure: Any,
    extras: Any,
) -> tuple[int, int, int, int, int]:  # fmt: skip
    """Entries of an upload from a place on, until the list ends, the rows are full or something does not fit.

    The text ends at `end`, where the zero bytes begin.

    Returns (place, state, rows, undecided numbers, STOPPED or FULL). A stop is an error, or the end of a buffer
    that does not hold the whole text: the place is then where the next call starts with more of it.
    """
    unsures = 0
    if state == BEFORE:
        place = blank(buffer, place)
        if byte(buffer, place) != OPEN_LIST:
            return place, state, row, unsures, STOPPED
        place += 1
        state = FIRST
    while True:
        at = blank(buffer, place)
        if byte(buffer, at) == CLOSE_LIST:
            return at + 1, DONE, row, unsures, STOPPED
        if state == BETWEEN:
            if byte(buffer, at) != COMMA:
                return place, state, row, unsures, STOPPED
            at = blank(buffer, at + 1)
        if row == len(images) or len(unsure) - unsures <= keypoints.shape[1]:
            return place, state, row, unsures, FULL
        at, found = entry(buffer, at, row, images, scores, keypoints, unsure, unsures, extras)
        if at == FAILED:
            return place, state, row, unsures, STOPPED
        unsures = found
        place, state = at, BETWEEN
        row += 1


@njit(cache=True, error_model="numpy")
def blanks(buffer: Any, place: int, end: int) -> bool:
    """Whether nothing but white space stands between two places."""
    return place <= end and blank(buffer, place) >= end
