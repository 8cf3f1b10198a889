"""Compiled scanner of COCO annotation files, with the promise of `scan`: nothing that the careful reader refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, uint64

from evaluator.decimals import byte, integer, load64, number
from evaluator.scan import (
    CLOSE_LIST,
    CLOSE_OBJECT,
    COLON,
    COMMA,
    DEEP,
    OPEN_LIST,
    OPEN_OBJECT,
    QUOTE,
    SIX_BYTES,
    W_IMAGE_ID,
    W_KEYPOINT,
    W_LIMBS,
    blank,
    blanks,
    plain_key,
    skip,
    word_of,
)
from evaluator.scan_codes import AREA, BOX, CROWD, FAILED, ID, IMAGE, KEYPOINTS, NUM_KEYPOINTS, PERSON

W_ID, W_BBOX, W_AREA, W_ISCROWD = word_of("id"), word_of("bbox"), word_of("area"), word_of("iscrowd")
W_PERSON_I, W_HEAD_SIZ, W_TORSO_BO = word_of("person_i"), word_of("head_siz"), word_of("torso_bo")
W_NUM_KEYP, W_EYPOINTS, W_IMAGES = word_of("num_keyp"), word_of("eypoints"), word_of("images")
W_ANNOTATI, W_OTATIONS = word_of("annotati"), word_of("otations")


@njit(cache=True, error_model="numpy")
def image(buffer: Any, place: int) -> tuple[int, int]:
    """(id, place after it or FAILED) of an image object."""
    if byte(buffer, place) != OPEN_OBJECT:
        return 0, FAILED
    place = blank(buffer, place + 1)
    number_of, found = 0, False
    while True:
        if byte(buffer, place) != QUOTE:
            return 0, FAILED
        start = place + 1
        place = plain_key(buffer, start)
        if place == FAILED:
            return 0, FAILED
        its_id = place - start == 2 and load64(buffer, start) & uint64(0xFFFF) == W_ID
        place = blank(buffer, place + 1)
        if byte(buffer, place) != COLON:
            return 0, FAILED
        place = blank(buffer, place + 1)
        if its_id:
            if found:
                return 0, FAILED
            found = True
            number_of, place = integer(buffer, place)
        else:
            place = skip(buffer, place, True, DEEP)
        if place == FAILED:
            return 0, FAILED
        place = blank(buffer, place)
        mark = byte(buffer, place)
        place += 1
        if mark == CLOSE_OBJECT:
            return number_of, (place if found else FAILED)
        if mark != COMMA:
            return 0, FAILED
        place = blank(buffer, place)


@njit(cache=True, error_model="numpy")
def field_of(buffer: Any, start: int, length: int) -> int:
    """The bit of an annotation's field; 0 for one that nobody reads, FAILED for one left to the careful reader."""
    word = load64(buffer, start)
    if length < 8:
        word &= (uint64(1) << uint64(8 * length)) - uint64(1)
    last = byte(buffer, start + length - 1)
    if length == 2 and word == W_ID:
        return ID
    if length == 4 and word == W_BBOX:
        return BOX
    if length == 4 and word == W_AREA:
        return AREA
    if length == 5 and word == W_LIMBS:
        return FAILED
    if length == 7 and word == W_ISCROWD:
        return CROWD
    if length == 8 and word == W_IMAGE_ID:
        return IMAGE
    if length == 9:
        if word == W_KEYPOINT and last == 115:
            return KEYPOINTS
        if word == W_PERSON_I and last == 100:
            return PERSON
        if (word == W_HEAD_SIZ and last == 101) or (word == W_TORSO_BO and last == 120):
            return FAILED
    if length == 13 and word == W_NUM_KEYP and load64(buffer, start + 5) == W_EYPOINTS:
        return NUM_KEYPOINTS
    return 0


@njit(cache=True, error_model="numpy")
def annotation(
    buffer: Any, place: int, row: int, whole: Any, present: Any, areas: Any, boxes: Any, points: Any, flags: Any
) -> int:
    """One annotation into its row: the place after it, or FAILED. `whole`: id, image, num_keypoints, crowd, person."""
    if byte(buffer, place) != OPEN_OBJECT:
        return FAILED
    place = blank(buffer, place + 1)
    joints = flags.shape[1]
    seen = 0
    areas[row] = np.nan
    for index in range(4):
        boxes[row, index] = np.nan
    for index in range(5):
        whole[row, index] = 0
    while True:
        if byte(buffer, place) != QUOTE:
            return FAILED
        start = place + 1
        place = plain_key(buffer, start)
        if place == FAILED:
            return FAILED
        field = field_of(buffer, start, place - start)
        if field == FAILED or seen & field:
            return FAILED
        seen |= field
        place = blank(buffer, place + 1)
        if byte(buffer, place) != COLON:
            return FAILED
        place = blank(buffer, place + 1)
        if field == 0:
            place = skip(buffer, place, True, DEEP)
        elif field == KEYPOINTS:
            if byte(buffer, place) != OPEN_LIST:
                return FAILED
            place += 1
            for joint in range(joints):
                x, y, flag = 0.0, 0.0, 0.0
                for index in range(3):
                    place = blank(buffer, place)
                    value, place, undecided = number(buffer, place)
                    if place == FAILED or undecided:
                        return FAILED
                    if index == 0:
                        x = value
                    elif index == 1:
                        y = value
                    else:
                        flag = value
                    place = blank(buffer, place)
                    if byte(buffer, place) != (COMMA if joint + 1 < joints or index < 2 else CLOSE_LIST):
                        return FAILED
                    place += 1
                if flag != 0.0 and flag != 1.0 and flag != 2.0:
                    return FAILED
                flags[row, joint] = np.int8(flag)
                points[row, joint, 0] = x if flag > 0 else np.nan
                points[row, joint, 1] = y if flag > 0 else np.nan
        elif field == BOX:
            if byte(buffer, place) != OPEN_LIST:
                return FAILED
            place += 1
            for index in range(4):
                place = blank(buffer, place)
                value, place, undecided = number(buffer, place)
                if place == FAILED or undecided:
                    return FAILED
                boxes[row, index] = value
                place = blank(buffer, place)
                if byte(buffer, place) != (COMMA if index < 3 else CLOSE_LIST):
                    return FAILED
                place += 1
        elif field == AREA:
            value, place, undecided = number(buffer, place)
            if place == FAILED or undecided or value < 0.0:
                return FAILED
            areas[row] = value
        else:
            value, place = integer(buffer, place)
            if field == ID:
                whole[row, 0] = value
            elif field == IMAGE:
                whole[row, 1] = value
            elif field == NUM_KEYPOINTS:
                whole[row, 2] = value
            elif field == CROWD:
                whole[row, 3] = value
            else:
                whole[row, 4] = value
        if place == FAILED:
            return FAILED
        place = blank(buffer, place)
        mark = byte(buffer, place)
        place += 1
        if mark == CLOSE_OBJECT:
            break
        if mark != COMMA:
            return FAILED
        place = blank(buffer, place)
    present[row] = seen
    if seen & (ID | IMAGE | KEYPOINTS) != (ID | IMAGE | KEYPOINTS):
        return FAILED
    return place


@njit(cache=True, error_model="numpy")
def annotation_file(
    buffer: Any, end: int, image_ids: Any, whole: Any, present: Any, areas: Any, boxes: Any, points: Any, flags: Any,
    spans: Any,
) -> tuple[int, int, int]:  # fmt: skip
    """A whole annotation file: (images, annotations, spans), images FAILED when it does not fit.

    Each span is (start of the key, its end, start of the value, its end) of a top-level field.
    """
    place = blank(buffer, 0)
    fields, images, rows = 0, -1, -1
    if byte(buffer, place) != OPEN_OBJECT:
        return FAILED, 0, 0
    place = blank(buffer, place + 1)
    while True:
        if byte(buffer, place) != QUOTE or fields == len(spans):
            return FAILED, 0, 0
        start = place + 1
        place = plain_key(buffer, start)
        if place == FAILED:
            return FAILED, 0, 0
        length, word = place - start, load64(buffer, start)
        of_images = length == 6 and word & SIX_BYTES == W_IMAGES
        of_people = length == 11 and word == W_ANNOTATI and load64(buffer, start + 3) == W_OTATIONS
        spans[fields, 0], spans[fields, 1] = start, place
        place = blank(buffer, place + 1)
        if byte(buffer, place) != COLON:
            return FAILED, 0, 0
        place = blank(buffer, place + 1)
        spans[fields, 2] = place
        if of_images or of_people:
            count = 0
            if byte(buffer, place) != OPEN_LIST or (of_images and images >= 0) or (of_people and rows >= 0):
                return FAILED, 0, 0
            place = blank(buffer, place + 1)
            if byte(buffer, place) == CLOSE_LIST:
                place += 1
            else:
                while True:
                    if count == (len(image_ids) if of_images else len(areas)):
                        return FAILED, 0, 0
                    if of_images:
                        image_ids[count], place = image(buffer, place)
                    else:
                        place = annotation(buffer, place, count, whole, present, areas, boxes, points, flags)
                    if place == FAILED:
                        return FAILED, 0, 0
                    count += 1
                    place = blank(buffer, place)
                    mark = byte(buffer, place)
                    place += 1
                    if mark == CLOSE_LIST:
                        break
                    if mark != COMMA:
                        return FAILED, 0, 0
                    place = blank(buffer, place)
            if of_images:
                images = count
            else:
                rows = count
        else:
            place = skip(buffer, place, True, DEEP)
            if place == FAILED:
                return FAILED, 0, 0
        spans[fields, 3] = place
        fields += 1
        place = blank(buffer, place)
        mark = byte(buffer, place)
        place += 1
        if mark == CLOSE_OBJECT:
            break
        if mark != COMMA:
            return FAILED, 0, 0
        place = blank(buffer, place)
    if images < 0 or rows < 0 or not blanks(buffer, place, end):
        return FAILED, 0, 0
    return images, rows, fields
