"""GPS and GPSm average precision once more, entry by entry and pixel by pixel, from the parsed files themselves.

Written from the description in docs/metrics/gps.md with Pillow, SciPy and pycocotools for images, stretching, run
lengths and overlaps, to compare the evaluator with. Slow, and only for input without ties.
"""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask
from scipy.ndimage import zoom

from evaluator.surface.surfaces import Surface

KAPPA = [0.351, 0.107, 0.126, 0.237, 0.173, 0.142, 0.128, 0.150]
CHARTS = [2, 2, 2, 4, 4, 4, 4, 2]  # how many charts each coarse part has
PART_KAPPA = [0.0, *(kappa for kappa, many in zip(KAPPA, CHARTS, strict=True) for _ in range(many))]
AREAS = {"": (0, 1e10), "_medium": (32**2, 96**2), "_large": (96**2, 1e10)}
LEVELS = [0.5 + 0.05 * step for step in range(10)]


def vertex(surface: Surface, chart: int, u: float, v: float) -> int:
    best, found = np.inf, -1
    for number in range(len(surface.part)):
        if surface.part[number] == chart:
            apart = (surface.u[number] - u) ** 2 + (surface.v[number] - v) ** 2
            if apart < best:
                best, found = apart, int(surface.vertex[number])
    return found


def geodesic(surface: Surface, a: int, b: int) -> float:
    if a == b:
        return 0.0
    low, high = sorted((a, b))
    return float(surface.distances[high * (high - 1) // 2 + low])


def on_image(mask: Any, box: Any, image: dict[str, Any]) -> Any:
    canvas = np.zeros((image["height"], image["width"]), dtype=np.uint8)
    left, top = int(box[0]), int(box[1])
    for down in range(mask.shape[0]):
        for across in range(mask.shape[1]):
            y, x = top + down, left + across
            if 0 <= y < canvas.shape[0] and 0 <= x < canvas.shape[1]:
                canvas[y, x] = mask[down, across]
    return coco_mask.encode(np.asfortranarray(canvas))


def gps(person: dict[str, Any], entry: dict[str, Any], uv: Any, surface: Surface, kappa: float | None) -> float:
    px, py, pw, ph = person["bbox"]
    x, y, w, h = entry["bbox"]
    values = []
    for chart, u, v, dx, dy in zip(*(person[f"dp_{key}"] for key in "IUVxy"), strict=True):
        across, down = int(dx * pw / 255 + px - x), int(dy * ph / 255 + py - y)
        found = -1
        if 0 <= across < int(w) and 0 <= down < int(h) and uv[0, down, across]:
            found = vertex(surface, int(uv[0, down, across]), uv[1, down, across] / 255, uv[2, down, across] / 255)
        if found < 0:
            values.append(0.0)
            continue
        apart = geodesic(surface, vertex(surface, int(chart), u, v), found)
        values.append(float(np.exp(-(apart**2) / (2 * (kappa or PART_KAPPA[int(chart)]) ** 2))))
    return sum(values) / len(values)


def body(person: dict[str, Any], image: dict[str, Any]) -> Any:
    whole = np.zeros((256, 256))
    for part in person["dp_masks"]:
        if part:
            whole[coco_mask.decode(part) > 0] = 1.0
    _, _, w, h = person["bbox"]
    stretched = zoom(whole, (max(h, 1) / 256, max(w, 1) / 256), order=1, prefilter=False)
    return on_image((stretched > 0.5).astype(np.uint8), person["bbox"], image)


def scores(truth: dict[str, Any], entries: list[dict[str, Any]], surface: Surface, families: Any) -> dict[str, float]:
    """{(masked, kappa), statistic: value}, as names of the evaluator."""
    found = {}
    similar = compared(truth, entries, surface, families)
    for masked, kappa in families:
        for suffix, area in AREAS.items():
            hits, alarms, order, people = [], [], [], 0
            for image in sorted(truth["images"], key=lambda image: image["id"]):
                result = one_image(similar[image["id"]], (masked, kappa), area)
                people += result[0]
                order += result[1]
                hits.append(result[2])
                alarms.append(result[3])
            if not people:
                continue
            ranking = np.argsort([-score for score in order], kind="stable")
            hit, alarm = (np.concatenate(each, axis=1)[:, ranking] for each in (hits, alarms))
            precision, recall = zip(*(curve(hit[t], alarm[t], people) for t in range(10)), strict=True)
            head, tail = "gpsm" if masked else "gps", "" if kappa is None else f"@{kappa}"
            for kind, values in (("ap", precision), ("ar", recall)):
                found[f"{head}_{kind}{suffix}{tail}"] = float(np.mean(values))
                if not suffix:
                    found[f"{head}_{kind}50{tail}"] = float(values[0])
                    found[f"{head}_{kind}75{tail}"] = float(values[5])
    return found


def compared(truth: dict[str, Any], entries: list[dict[str, Any]], surface: Surface, families: Any) -> dict[int, Any]:
    found = {}
    for image in truth["images"]:
        people = [row for row in truth["annotations"] if row["image_id"] == image["id"]]
        for row in people:
            row["_out"] = bool("dp_x" not in row or row.get("ignore") or row["iscrowd"])
        shown = sorted((row for row in entries if row["image_id"] == image["id"]), key=lambda row: -row["score"])[:20]
        maps = [np.moveaxis(np.array(Image.open(io.BytesIO(base64.b64decode(row["uv_data"])))), 2, 0) for row in shown]
        table = {family: np.zeros((len(shown), len(people))) for family in families}
        for i, (entry, uv) in enumerate(zip(shown, maps, strict=True)):
            for j, row in enumerate(people):
                if row["_out"]:
                    continue
                mask = on_image((uv[0] > 0).astype(np.uint8), entry["bbox"], image)
                overlap = float(coco_mask.iou([mask], [body(row, image)], [0])[0, 0])
                for masked, kappa in families:
                    value = gps(row, entry, uv, surface, kappa)
                    table[masked, kappa][i, j] = np.sqrt(value * overlap) if masked else value
        boxes = [np.array([row["bbox"] for row in rows], dtype=float).reshape(-1, 4) for rows in (shown, people)]
        same = np.zeros((len(shown), len(people)))
        if shown and people:
            same = coco_mask.iou(boxes[0], boxes[1], [row["iscrowd"] for row in people])
        found[image["id"]] = (people, shown, table, same)
    return found


def one_image(image: Any, family: Any, area: Any) -> tuple[int, list[float], Any, Any]:
    people, shown, table, same = image
    away = [row["_out"] or not area[0] <= row["area"] <= area[1] for row in people]
    line = sorted(range(len(people)), key=lambda j: (away[j], people[j]["id"]))
    got = np.zeros((10, len(shown)), dtype=bool)
    ignored = np.full((10, len(shown)), all(away))
    matched_people = [dict[int, bool]() for _ in LEVELS]
    for t, level in enumerate(LEVELS):
        for i in range(len(shown)):
            best, chosen = min(level, 1 - 1e-10), None
            for j in line:
                if j in matched_people[t] and not people[j]["iscrowd"]:
                    continue
                if chosen is not None and not away[chosen] and away[j]:
                    break
                if table[family][i, j] >= best and table[family][i, j] > 0:
                    best, chosen = table[family][i, j], j
            if chosen is not None:
                got[t, i], ignored[t, i], matched_people[t][chosen] = True, away[chosen], True
    for i in range(len(shown)):
        if got[9, i]:
            continue
        free = [j for j in line if (j not in matched_people[9] or people[j]["iscrowd"]) and same[i, j] >= 0.8]
        if free:
            chosen = max(free, key=lambda j: (same[i, j], line.index(j)))
            ignored[:, i] = away[chosen]
            if away[chosen]:
                got[9, i], matched_people[9][chosen] = True, True
    sizes = [row["bbox"][2] * row["bbox"][3] for row in shown]
    out = np.array([not area[0] <= size <= area[1] for size in sizes], dtype=bool)
    ignored |= ~got & out
    return len(away) - sum(away), [row["score"] for row in shown], got & ~ignored, ~got & ~ignored


def curve(hit: Any, alarm: Any, people: int) -> tuple[float, float]:
    """(average precision over 101 recalls, last recall)"""
    found, wrong = np.cumsum(hit), np.cumsum(alarm)
    precision = found / (found + wrong + np.spacing(1))
    recall = found / people
    points = [
        max((precision[k] for k in range(len(recall)) if recall[k] >= level), default=0.0)
        for level in np.linspace(0, 1, 101)
    ]
    return float(np.mean(points)), float(recall[-1]) if len(recall) else 0.0
