"""The compiled half of `matching` and `metrics.oks`: the same decisions, bit for bit, without arrays in between.

Everything here is exact arithmetic or comparison, or the same IEEE operations in the same order as the array code.
Exponentials are left to numpy in both, so that the two agree wherever numpy does with itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from evaluator.scan_codes import FAILED

EPSILON = float(np.spacing(1))
MOST_IN_IMAGE = 256  # above it sorting by insertion would be slow, and the array code sorts
RADIX, DIGITS = 11, 6
LOOSEST = 0.5
MARGIN = 1e-9  # far above what rounding can do to a sum of exponentials


@njit(cache=True, error_model="numpy")
def places(known: Any, wanted: Any) -> Any:
    """np.searchsorted(known, wanted), quick where equal values follow one another."""
    found = np.empty(len(wanted), dtype=np.int64)
    last, place = np.int64(0), -1
    for index in range(len(wanted)):
        value = wanted[index]
        if place < 0 or value != last:
            low, high = 0, len(known)
            if place >= 0 and place + 1 < len(known) and known[place + 1] >= value and known[place] < value:
                low = high = place + 1
            while low < high:
                middle = (low + high) >> 1
                if known[middle] < value:
                    low = middle + 1
                else:
                    high = middle
            last, place = value, low
        found[index] = place
    return found


@njit(cache=True, error_model="numpy")
def ordered(image: Any, scores: Any, keypoints: Any, images: int, most: int) -> tuple[Any, Any, bool]:
    """`matching.ordered` for scores that are numbers: (rows, image of each, whether no image has too many)."""
    total = len(image)
    start = np.zeros(images + 1, dtype=np.int64)
    for row in range(total):
        start[image[row] + 1] += 1
    kept = 0
    for index in range(images):
        if start[index + 1] > MOST_IN_IMAGE:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), False
        kept += min(start[index + 1], most)
        start[index + 1] += start[index]
    order = np.empty(total, dtype=np.int64)
    filled = start.copy()
    width = keypoints.shape[1]
    for row in range(total):
        # Insertion: by score, then by keypoints; equal ones stay in the order of the rows.
        first = start[image[row]]
        at = filled[image[row]]
        filled[image[row]] += 1
        score = scores[row]
        while at > first:
            other = order[at - 1]
            if scores[other] > score:
                break
            if scores[other] == score:
                before = False
                for index in range(width):
                    if keypoints[row, index] != keypoints[other, index]:
                        before = keypoints[row, index] < keypoints[other, index]
                        break
                if not before:
                    break
            order[at] = other
            at -= 1
        order[at] = row
    rows, of_image = np.empty(kept, dtype=np.int64), np.empty(kept, dtype=np.int64)
    count = 0
    for index in range(images):
        for at in range(start[index], min(start[index + 1], start[index] + most)):
            rows[count], of_image[count] = order[at], index
            count += 1
    return rows, of_image, True


@njit(cache=True, error_model="numpy")
def descending(scores: Any) -> Any:
    """The stable order of scores, largest first: a radix sort of their bits."""
    total = len(scores)
    keys = (scores + 0.0).view(np.uint64)  # no negative zero
    sign = np.uint64(1) << np.uint64(63)
    for index in range(total):
        if not keys[index] & sign:
            keys[index] = ~(keys[index] | sign)
    order, spare = np.arange(total), np.empty(total, dtype=np.int64)
    mask = np.uint64((1 << RADIX) - 1)
    for digit in range(DIGITS):
        shift = np.uint64(digit * RADIX)
        count = np.zeros((1 << RADIX) + 1, dtype=np.int64)
        for index in range(total):
            count[((keys[index] >> shift) & mask) + np.uint64(1)] += 1
        if count.max() == total:
            continue
        for value in range(1 << RADIX):
            count[value + 1] += count[value]
        for index in range(total):
            value = (keys[order[index]] >> shift) & mask
            spare[count[value]] = order[index]
            count[value] += 1
        order, spare = spare, order
    return order


@njit(cache=True, error_model="numpy", fastmath={"reassoc"})
def all_finite(x: Any, y: Any) -> bool:
    nothing = 0.0
    for joint in range(len(x)):
        nothing += x[joint] * 0.0 + y[joint] * 0.0
    return nothing == 0.0


@njit(cache=True, error_model="numpy", fastmath={"reassoc", "nnan", "nsz"})
def extent(x: Any) -> float:
    """From the least to the greatest of finite numbers."""
    low, high = x[0], x[0]
    for joint in range(len(x)):
        low, high = (x[joint] if x[joint] < low else low), (x[joint] if x[joint] > high else high)
    return high - low


@njit(cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def bound(x: Any, y: Any, true_x: Any, true_y: Any, labelled: Any, scales: Any, scale: float) -> float:
    """At least the sum of exp(-e) over labelled joints, in any order: exp(-e) <= 1 / (1 + e + e^2 / 2)."""
    total = 0.0
    for joint in range(len(x)):
        dx, dy = x[joint] - true_x[joint], y[joint] - true_y[joint]
        e = (dx * dx + dy * dy) * scales[joint] * scale
        total += labelled[joint] / (1.0 + e + 0.5 * e * e)
    return total


@njit(cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def bound_outside(x: Any, y: Any, box: Any, scales: Any, scale: float) -> float:
    """The same for the distances to a box of left, top, right and bottom."""
    total = 0.0
    for joint in range(len(x)):
        dx = max(0.0, box[0] - x[joint]) + max(0.0, x[joint] - box[2])
        dy = max(0.0, box[1] - y[joint]) + max(0.0, y[joint] - box[3])
        e = (dx * dx + dy * dy) * scales[joint] * scale
        total += 1.0 / (1.0 + e + 0.5 * e * e)
    return total


@njit(cache=True, error_model="numpy")
def exact(x: Any, y: Any, true_x: Any, true_y: Any, labelled: Any, variances: Any, area: float, out: Any) -> None:
    """The negated exponents as `oks` computes them; 0 where not labelled."""
    for joint in range(len(x)):
        dx, dy = x[joint] - true_x[joint], y[joint] - true_y[joint]
        value = -((dx * dx + dy * dy) / variances[joint] / area / 2)
        out[joint] = value if labelled[joint] else 0.0


@njit(cache=True, error_model="numpy")
def exact_outside(x: Any, y: Any, box: Any, variances: Any, area: float, out: Any) -> None:
    for joint in range(len(x)):
        dx = max(0.0, box[0] - x[joint]) + max(0.0, x[joint] - box[2])
        dy = max(0.0, box[1] - y[joint]) + max(0.0, y[joint] - box[3])
        out[joint] = -((dx * dx + dy * dy) / variances[joint] / area / 2)


@njit(cache=True, error_model="numpy")
def exponents(
    first: int, image: Any, rows: Any, keypoints: Any, start: Any, points: Any, labelled: Any, count: Any, boxes: Any,
    areas: Any, variances: Any, ranges: Any, out: Any, detection: Any, person: Any, exponent: Any,
) -> tuple[int, int]:  # fmt: skip
    """The negated exponents of pairs that may be similar enough, for detections from `first` on.

    People are sorted by image and start[i] is the first of image i; `count` [P] are the sums of `labelled` [P, K].
    A pair is left out when a bound of its OKS is below the loosest threshold. `out` [A, D] tells whether the extent of
    a detection's keypoints is outside each range. Returns (next detection, pairs): it stops when the next detection's
    pairs might not fit; pairs is FAILED when one is not finite.
    """
    joints = labelled.shape[1]
    inverse, xs, ys = 1.0 / variances, np.empty(joints), np.empty(joints)
    true_x, true_y, counts = np.empty(labelled.shape), np.empty(labelled.shape), np.empty(labelled.shape)
    nearest, pairs = -1, 0
    for index in range(first, len(rows)):
        begin, end = start[image[index]], start[image[index] + 1]
        if pairs + end - begin > len(detection):
            return index, pairs
        row = keypoints[rows[index]]
        for joint in range(joints):
            xs[joint], ys[joint] = row[3 * joint], row[3 * joint + 1]
        if not all_finite(xs, ys):
            return index, FAILED
        area = extent(xs) * extent(ys)
        for which in range(len(ranges)):
            out[which, index] = area < ranges[which, 0] or area > ranges[which, 1]
        if nearest != image[index]:
            nearest = image[index]
            for other in range(begin, end):
                for joint in range(joints):
                    known = labelled[other, joint]
                    counts[other, joint] = 1.0 if known else 0.0
                    true_x[other, joint] = points[other, joint, 0] if known else 0.0
                    true_y[other, joint] = points[other, joint, 1] if known else 0.0
        for other in range(begin, end):
            scale = 0.5 / (areas[other] + EPSILON)
            box = boxes[other]
            if count[other] == 0:
                most, among = bound_outside(xs, ys, box, inverse, scale), joints
            else:
                most = bound(xs, ys, true_x[other], true_y[other], counts[other], inverse, scale)
                among = count[other]
            if most < (LOOSEST - MARGIN) * among:
                continue
            detection[pairs], person[pairs] = index, other
            if count[other] == 0:
                exact_outside(xs, ys, box, variances, areas[other] + EPSILON, exponent[pairs])
            else:
                exact(xs, ys, true_x[other], true_y[other], labelled[other], variances, areas[other] + EPSILON,
                      exponent[pairs])  # fmt: skip
            pairs += 1
    return len(rows), pairs


@njit(cache=True, error_model="numpy")
def similar(detection: Any, person: Any, exponential: Any, labelled: Any, count: Any, similarity: Any) -> int:
    """Keeps the pairs that are similar enough, at the front of the three arrays; returns how many."""
    kept = 0
    joints = labelled.shape[1]
    for pair in range(len(detection)):
        who = person[pair]
        total = 0.0
        for joint in range(joints):
            if count[who] == 0 or labelled[who, joint]:
                total += exponential[pair, joint]
        value = total / (count[who] if count[who] > 0 else joints)
        if value >= LOOSEST:  # false for NaN; an OKS is never infinite
            detection[kept], person[kept], similarity[kept] = detection[pair], person[pair], value
            kept += 1
    return kept


@njit(cache=True, error_model="numpy")
def greedy(
    total: int, detection: Any, person: Any, similarity: Any, ignored: Any, crowd: Any, position: Any, limits: Any
) -> tuple[Any, Any]:
    """`matching.greedy` for pairs in the order of detections, persons ascending: (matched, absorbed), bits [A, D]."""
    areas, people = ignored.shape
    thresholds = len(limits)
    matched, absorbed = np.zeros((areas, total), dtype=np.uint16), np.zeros((areas, total), dtype=np.uint16)
    free = np.full((people, areas), (1 << thresholds) - 1, dtype=np.uint16)
    first = 0
    while first < len(detection):
        index = detection[first]
        last = first
        highest = 0.0
        while last < len(detection) and detection[last] == index:
            highest = max(highest, similarity[last])
            last += 1
        for area in range(areas):
            for threshold in range(thresholds):
                if highest < limits[threshold]:
                    break
                bit = np.uint16(1 << threshold)
                best, second = -1, -1
                for pair in range(first, last):
                    who, value = person[pair], similarity[pair]
                    if value < limits[threshold] or not free[who, area] & bit:
                        continue
                    if not ignored[area, who]:
                        if best < 0 or value >= similarity[best]:
                            best = pair
                    elif (
                        second < 0
                        or value > similarity[second]
                        or (value == similarity[second] and position[who] > position[person[second]])
                    ):
                        second = pair
                chosen = best if best >= 0 else second
                if chosen < 0:
                    continue
                matched[area, index] |= bit
                if best < 0:
                    absorbed[area, index] |= bit
                if not crowd[person[chosen]]:
                    free[person[chosen], area] &= ~bit
        first = last
    return matched, absorbed


@njit(cache=True, error_model="numpy")
def accumulate(
    hits: Any, false: Any, image: Any, people_image: Any, counts: Any, weights: Any, recalls: Any, thresholds: int
) -> tuple[Any, Any]:
    """`matching.accumulate` for whole weights [B, I]: precision [B, A, T, R] and recall [B, A, T].

    hits and false [A, D]: bits by threshold, detections in descending score. Precision falls at a false positive, so
    its envelope is found at the hits alone.
    """
    areas, total = hits.shape
    precision = np.full((len(weights), areas, thresholds, len(recalls)), np.nan)
    recall = np.full((len(weights), areas, thresholds), np.nan)
    every = np.uint16((1 << thresholds) - 1)
    one = np.uint16(1)
    needed = np.empty(len(recalls))
    for area in range(areas):
        # Detections that change state with the threshold, or are hits; between them, false at every threshold.
        changing, constant = 0, 0
        for index in range(total):
            if false[area, index] == every:
                constant += 1
            elif hits[area, index] | false[area, index]:
                changing += 1
        hit, miss = np.empty(changing, dtype=np.uint16), np.empty(changing, dtype=np.uint16)
        at = np.empty(changing, dtype=np.int64)
        before = np.empty(changing, dtype=np.int64)
        false_at = np.empty(constant, dtype=np.int64)
        changing, constant = 0, 0
        for index in range(total):
            if false[area, index] == every:
                false_at[constant] = image[index]
                constant += 1
            elif hits[area, index] | false[area, index]:
                hit[changing], miss[changing] = hits[area, index], false[area, index]
                at[changing], before[changing] = image[index], constant
                changing += 1
        weight, base = np.empty(changing), np.empty(changing)
        found, wrong = np.empty(changing + 1), np.empty(changing + 1)
        for sample in range(len(weights)):
            row = weights[sample]
            people = 0.0
            for index in range(len(people_image)):
                if counts[area, index]:
                    people += row[people_image[index]]
            if people <= 0:
                continue
            for which in range(len(recalls)):
                need = np.ceil(recalls[which] * people)
                while need / people < recalls[which]:
                    need += 1
                while need > 0 and (need - 1) / people >= recalls[which]:
                    need -= 1
                needed[which] = need
            so_far, gone = 0.0, 0
            for index in range(changing):
                while gone < before[index]:
                    so_far += row[false_at[gone]]
                    gone += 1
                base[index], weight[index] = so_far, row[at[index]]
            for threshold in range(thresholds):
                shift = np.uint16(threshold)
                number, total_hits, extra = 0, 0.0, 0.0
                for index in range(changing):
                    is_hit = (hit[index] >> shift) & one
                    total_hits += weight[index] * is_hit
                    extra += weight[index] * ((miss[index] >> shift) & one)
                    found[number], wrong[number] = total_hits, extra + base[index]
                    number += is_hit
                recall[sample, area, threshold] = total_hits / people
                envelope, which = 0.0, len(recalls) - 1
                while which >= 0 and needed[which] > total_hits:
                    precision[sample, area, threshold, which] = 0.0
                    which -= 1
                for index in range(number - 1, -1, -1):
                    envelope = max(envelope, found[index] / (wrong[index] + found[index] + EPSILON))
                    reached = found[index - 1] if index > 0 else -1.0
                    while which >= 0 and needed[which] > reached:
                        precision[sample, area, threshold, which] = envelope
                        which -= 1
                while which >= 0:
                    precision[sample, area, threshold, which] = envelope
                    which -= 1
    return precision, recall
