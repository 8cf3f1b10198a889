"""Seeded people on a surface for tests: annotations in the official form, predicted maps, the cylinder below them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from evaluator.surface.maps import uv_entry
from evaluator.surface.surface_points import GRID, enlarged
from evaluator.surface.surface_points import run_lengths as unpacked
from evaluator.surface.surfaces import cylinder

Document = dict[str, Any]
Entries = list[dict[str, Any]]
Case = tuple[Document, Entries]

HEIGHT, WIDTH = 200, 240
SURFACE = cylinder()


def run_lengths(mask: Any) -> dict[str, Any]:
    """COCO's compressed run lengths, as the official files have them."""
    packed = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [int(size) for size in packed["size"]], "counts": packed["counts"].decode()}


def person(rng: np.random.Generator, number: int, image: int, box: list[int], points: int = 8) -> dict[str, Any]:
    """An annotated person whose body is an ellipse in the box, in two body parts, with points in it."""
    width, height = box[2:]
    across, down = np.meshgrid(np.arange(GRID), np.arange(GRID))
    a, b = rng.uniform(80, 125, 2)
    body = ((across - 127.5) / a) ** 2 + ((down - 127.5) / b) ** 2 <= 1
    pixels = np.argwhere(enlarged(body, height, width))
    chosen = pixels[rng.choice(len(pixels), min(points, len(pixels)), replace=False)]
    parts: list[Any] = [[] for _ in range(14)]
    parts[3], parts[9] = run_lengths(body & (down < 128)), run_lengths(body & (down >= 128))
    return {
        "id": number,
        "image_id": image,
        "person_id": 0,
        "category_id": 1,
        "bbox": [float(value) for value in box],
        "area": float(rng.uniform(0.4, 0.8)) * width * height,
        "iscrowd": 0,
        "num_keypoints": 0,
        "dp_I": rng.integers(1, 25, len(chosen)).astype(float).tolist(),
        "dp_U": (rng.integers(0, 256, len(chosen)) / 255).tolist(),
        "dp_V": (rng.integers(0, 256, len(chosen)) / 255).tolist(),
        "dp_x": ((chosen[:, 1] + 0.5) * 255 / width).tolist(),
        "dp_y": ((chosen[:, 0] + 0.5) * 255 / height).tolist(),
        "dp_masks": parts,
    }


def true_map(row: dict[str, Any]) -> Any:
    """[3, h, w] the person's own body; each pixel has the place of the nearest annotated point."""
    _, _, width, height = (int(value) for value in row["bbox"])
    body = np.zeros((GRID, GRID), dtype=bool)
    for part in row["dp_masks"]:
        if part:
            body |= unpacked(part["counts"], part["size"])
    x, y = (np.trunc(np.array(row[key]) * size / 255) for key, size in (("dp_x", width), ("dp_y", height)))
    down, across = np.mgrid[0:height, 0:width]
    nearest = ((across[..., None] - x) ** 2 + (down[..., None] - y) ** 2).argmin(axis=2)
    values = np.array([row["dp_I"], np.round(np.array(row["dp_U"]) * 255), np.round(np.array(row["dp_V"]) * 255)])
    return (values[:, nearest] * enlarged(body, height, width)).astype(np.uint8)


def on_surface(
    name: str, seed: int, *, images: int = 24, most_people: int = 3, most_detections: int = 5, noise: float = 25.0
) -> Case:
    """A truth and maps: crowds, people without points, people to ignore, empty images, no ties."""
    rng = np.random.default_rng(seed)
    info = {"dataset": name, "split": "test", "surface": "cylinder"}
    truth: Document = {"info": info, "images": [], "annotations": []}
    entries: Entries = []
    ids = (rng.choice(10_000, images * most_people + 1, replace=False) + 1).tolist()
    for image in (rng.choice(100_000, images, replace=False) + 1).tolist():
        truth["images"].append({"id": image, "file_name": f"{image}.jpg", "width": WIDTH, "height": HEIGHT})
        people = []
        for _ in range(int(rng.integers(0, most_people + 1))):
            width, height = (4 * int(size) for size in rng.integers(7, 30, 2))
            box = [int(rng.integers(0, WIDTH - width)), int(rng.integers(0, HEIGHT - height)), width, height]
            row = person(rng, ids.pop(), image, box)
            kind = rng.random()
            if kind < 0.2:
                row = {key: value for key, value in row.items() if not key.startswith("dp_")}
            row |= {"iscrowd": 1} if kind > 0.93 else {"ignore": 1} if kind > 0.88 else {}
            truth["annotations"].append(row)
            people.append(row)
        for _ in range(int(rng.integers(0, most_detections + 1))):
            entries.append(detection(rng, image, people, noise))
    return truth, entries


def detection(rng: np.random.Generator, image: int, people: list[dict[str, Any]], noise: float) -> dict[str, Any]:
    known = [row for row in people if "dp_I" in row]
    if not people or rng.random() < 0.15:
        uv = rng.integers(1, 25, (3, 40, 30)).astype(np.uint8)
        return uv_entry(image, [rng.uniform(0, 200), rng.uniform(0, 150), 30.5, 40.25], uv, float(rng.random()))
    row = people[int(rng.integers(len(people)))]
    x, y, width, height = row["bbox"]
    if row not in known:
        uv = rng.integers(1, 25, (3, int(height), int(width))).astype(np.uint8)
        return uv_entry(image, [x, y, width + 0.5, height], uv, float(rng.random()))
    uv = true_map(row).astype(np.int64)
    moved = np.clip(uv + np.round(rng.normal(0, noise * rng.random(), uv.shape)).astype(np.int64), 0, 255)
    moved[0] = np.where(rng.random(uv.shape[1:]) < 0.1 * rng.random(), rng.integers(0, 25, uv.shape[1:]), uv[0])
    dx, dy = rng.uniform(-3, 3, 2)
    return uv_entry(image, [x + dx, y + dy, width + 0.75, height + 0.5], moved.astype(np.uint8), float(rng.random()))


def perfect(truth: Document) -> Entries:
    """Everybody's own map, where somebody has one and counts."""
    rows = [row for row in truth["annotations"] if "dp_I" in row and not row["iscrowd"] and not row.get("ignore")]
    return [uv_entry(row["image_id"], row["bbox"], true_map(row), 0.5 + row["id"] / 100_000) for row in rows]


def one(row: dict[str, Any], *entries: dict[str, Any], others: tuple[dict[str, Any], ...] = ()) -> Case:
    truth = {
        "info": {"surface": "cylinder"},
        "images": [{"id": 1, "height": HEIGHT, "width": WIDTH}],
        "annotations": [row, *others],
    }
    return truth, list(entries)


def simple(seed: int = 0, box: tuple[int, int, int, int] = (40, 40, 60, 100)) -> dict[str, Any]:
    return person(np.random.default_rng(seed), 1, 1, list(box))


def boxes_mapped(found: Case, box: Callable[[list[float]], list[float]]) -> Case:
    """People and predictions with other boxes, the maps turned with them where width and height change places."""
    truth, entries = copy.deepcopy(found)
    for row in truth["annotations"]:
        row["bbox"] = box(row["bbox"])
    for entry in entries:
        entry["bbox"] = box(entry["bbox"])
    return truth, entries


def changed(word: str, found: Case) -> Case:
    truth, entries = found
    match word:
        case "rank":
            return truth, [row | {"score": row["score"] ** 3 * 7 - 2} for row in entries]
        case "confidence":
            scores = np.random.default_rng(9).random(len(entries)).tolist()
            return truth, [row | {"score": score} for row, score in zip(entries, scores, strict=True)]
        case _:
            raise AssertionError(word)


def out_of_the_image(word: str) -> tuple[str, Case, Case]:
    """A person and a map of the same box. Moved, mirrored or turned out of the image nothing is left of their masks."""
    row = simple()
    found = one(row, uv_entry(1, row["bbox"], true_map(row), 0.5))
    moves: dict[str, Callable[[list[float]], list[float]]] = {
        "translation": lambda b: [b[0] + 512, *b[1:]],
        "mirror": lambda b: [-b[0] - b[2], *b[1:]],
        "rotation": lambda b: [-b[0] - b[2], -b[1] - b[3], b[2], b[3]],  # by half a turn
    }
    return "densepose", found, boxes_mapped(found, moves[word])


def larger() -> tuple[str, Case, Case]:
    """A medium person who is found; four times as large in each direction the person is a large one."""
    row = simple(box=(2, 2, 40, 40))
    found = one(row, uv_entry(1, row["bbox"], true_map(row), 0.5))
    truth, _ = boxes_mapped(found, lambda b: [4 * v for v in b])
    truth["annotations"][0]["area"] *= 16
    uv = true_map(row).repeat(4, axis=1).repeat(4, axis=2)
    return "densepose", found, (truth, [uv_entry(1, truth["annotations"][0]["bbox"], uv, 0.5)])


def where_nobody_looked() -> tuple[str, Case, Case]:
    """Pixels far from every annotated point, called body: the masks overlap less."""
    row = simple()
    uv = true_map(row)
    wider = np.where(uv[:1] > 0, uv, np.array([1, 0, 0])[:, None, None]).astype(np.uint8)
    cases = [one(row, uv_entry(1, row["bbox"], each, 0.5)) for each in (uv, wider)]
    return "densepose", cases[0], cases[1]


def freed_by_a_worse_map() -> tuple[str, Case, Case]:
    """Two people in one box with one point each at one pixel, at rows 0 and 6 of a chart whose rows are 1.7 m / 15 =
    0.113 m apart. With kappa 0.351 m GPS is 1/2 at 0.413 m: three rows match, four do not.

    The first map says row 2 and takes the person at row 0, which leaves nobody for a second map at row 0. Moved to row
    4, farther from row 0, it takes the person at row 6, and both are hits.
    """
    rows = sorted({float(SURFACE.v[vertex]) for vertex in SURFACE.charts[1]})
    people = []
    for number, at in ((1, 0), (2, 6)):
        row = simple(3)
        row |= {"id": number, "dp_I": [1.0], "dp_U": [0.5], "dp_V": [rows[at]]}
        row |= {"dp_x": row["dp_x"][:1], "dp_y": row["dp_y"][:1]}
        people.append(row)
    cases = []
    for first in (2, 4):
        maps = []
        for score, at in ((0.9, first), (0.8, 0)):
            uv = true_map(people[0])
            uv[2][uv[0] > 0] = round(255 * rows[at])
            maps.append(uv_entry(1, people[0]["bbox"], uv, score))
        cases.append(one(people[0], *maps, others=(people[1],)))
    return "densepose", cases[0], cases[1]
