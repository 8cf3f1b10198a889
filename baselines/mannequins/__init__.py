"""Mannequins: a synthetic dataset of rendered people with the 17 joints of COCO.

Every image depends only on the seed, the split and its number, so that a longer dataset starts with the shorter one.
Annotations have the form of COCO keypoint files: flag 2 visible, 1 hidden by something or by the person's own body, 0
outside the image; `area` is the visible silhouette in pixels and `bbox` its box. The room draws bodies, clothes and
scenes with numpy and Pillow alone; it imports nothing of the rest of the package.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from baselines.mannequins.canvas import Canvas
from baselines.mannequins.figures import PART_CODES, PARTS, SHOWN_BY, draw_person
from baselines.mannequins.looks import draw_look
from baselines.mannequins.poses import JOINTS, draw_body, draw_pose, pose_skeleton
from baselines.mannequins.scenes import draw_object, draw_scene, draw_stool

__all__ = ["JOINTS", "SKELETON", "SPLITS", "Person", "generate", "render"]

SPLITS = ("train", "val", "test")
SIZES = ((256, 192), (192, 256), (224, 224), (256, 224), (320, 256), (256, 320))
SKELETON = (
    (16, 14), (14, 12), (17, 15), (15, 13), (12, 13), (6, 12), (7, 13), (6, 7), (6, 8), (7, 9), (8, 10), (9, 11),
    (2, 3), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7),
)  # fmt: skip
SMALLEST_SHARE = 0.4  # of a silhouette that must remain visible


@dataclass(frozen=True)
class Person:
    """One person: `joints` [17, 2] in pixels (pixel centres at whole numbers), `flags` [17], `box` x, y, w, h."""

    joints: NDArray[np.float64]
    flags: NDArray[np.int64]
    box: tuple[float, float, float, float]
    area: float


def render(seed: int, split: str, number: int) -> tuple[Image.Image, list[Person]]:
    """Image `number` (from 1) of a split, and its people from left to right."""
    attempt = 0
    while True:
        rng = np.random.default_rng([seed, SPLITS.index(split), number, attempt])
        image, people, worst = _draw(rng)
        if people and worst >= SMALLEST_SHARE:
            return image, people
        attempt += 1


def generate(
    folder: Path, *, split: str, images: int, seed: int, progress: Callable[[int, int], None] | None = None
) -> dict[str, object]:
    """Write `images` images to `folder`/images and their annotations to `folder`/annotations.json; return the latter.

    Raises ValueError for an unknown split or a number of images below 1.
    """
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}: one of {', '.join(SPLITS)}")
    if images < 1:
        raise ValueError("at least one image")
    (folder / "images").mkdir(parents=True, exist_ok=True)
    entries: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for number in range(1, images + 1):
        image, people = render(seed, split, number)
        name = f"{number:06d}.jpg"
        image.save(folder / "images" / name, quality=92, subsampling=0)
        entries.append({"id": number, "file_name": name, "width": image.width, "height": image.height})
        for index, person in enumerate(people):
            annotations.append(_annotation(len(annotations) + 1, number, index, person))
        if progress is not None:
            progress(number, images)
    truth: dict[str, object] = {
        "info": {"dataset": "mannequins", "split": split, "seed": seed, "description": "Mannequins, rendered people"},
        "images": entries,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person", "keypoints": list(JOINTS), "skeleton": [list(e) for e in SKELETON]}],
    }
    (folder / "annotations.json").write_text(json.dumps(truth))
    return truth


def _annotation(identity: int, image: int, index: int, person: Person) -> dict[str, object]:
    triples = np.column_stack([person.joints.round(2), person.flags])
    triples[person.flags == 0] = 0.0
    return {
        "id": identity,
        "image_id": image,
        "person_id": index,
        "category_id": 1,
        "keypoints": [int(v) if v == int(v) else v for v in triples.ravel().tolist()],
        "num_keypoints": int((person.flags > 0).sum()),
        "bbox": list(person.box),
        "area": person.area,
        "iscrowd": 0,
    }


def _draw(rng: np.random.Generator) -> tuple[Image.Image, list[Person], float]:
    """One try at an image: the image, its people, and the smallest share of a silhouette that is still visible."""
    width, height = SIZES[rng.integers(len(SIZES))]
    canvas = Canvas(width, height)
    horizon = height * rng.uniform(0.26, 0.46)
    draw_scene(canvas, rng, horizon)
    # a camera at `eye` body heights: people lower in the image are nearer and larger
    eye = rng.uniform(0.58, 0.9)
    count = int(rng.choice([1, 2, 3, 4, 5], p=[0.34, 0.3, 0.2, 0.11, 0.05]))
    largest = height * (0.98 if count == 1 else 0.86 if count == 2 else 0.74)
    tall = np.sort(rng.uniform(0.4 * height, largest, size=count))
    floors = horizon + eye * tall
    places = _places(rng, count, width)
    props = [(float(horizon + eye * t), float(t)) for t in rng.uniform(0.35, 0.95, size=rng.integers(0, 3)) * height]
    order = sorted([(f, False, i) for i, f in enumerate(floors)] + [(p[0], True, i) for i, p in enumerate(props)])
    drawn: list[tuple[int, NDArray[np.float64], NDArray[np.bool_], int]] = []
    for floor, is_prop, i in order:
        if is_prop:
            draw_object(
                canvas, rng, float(rng.uniform(0.05, 0.95) * width), min(float(floor), height * 1.05), props[i][1]
            )
            continue
        size = float(tall[i])
        body, pose, look = draw_body(rng), draw_pose(rng), draw_look(rng)
        skeleton = pose_skeleton(body, pose, _yaw(rng))
        x, y = float(places[i]), float(floor) + skeleton.lowest * size
        canvas.shadow(x, float(floor), 0.22 * size, 0.045 * size, 0.7)
        if pose.seated:
            draw_stool(canvas, rng, x, y + 0.035 * size, float(floor), size)
        first = 1 + PARTS * i
        joints, away = draw_person(canvas, skeleton, body, look, (x, y), size, first)
        drawn.append((first, joints, away, sum(canvas.owner.histogram()[first : first + PARTS])))
    shown = canvas.owner.histogram()
    worst = min(sum(shown[first : first + PARTS]) / max(full, 1) for first, _, _, full in drawn)
    image, owner = canvas.finished()
    people = [_person(owner, first, joints, away) for first, joints, away, _ in drawn]
    if any(p is None for p in people):
        return image, [], 0.0
    whole = sorted((p for p in people if p is not None), key=lambda p: p.box[0])
    return _finish(image, rng), whole, worst


def _person(
    owner: NDArray[np.uint8], first: int, joints: NDArray[np.float64], away: NDArray[np.bool_]
) -> Person | None:
    """Flags, box and area from the map of owners [height, width]; None when hardly anything is visible."""
    height, width = owner.shape
    mask = (owner >= first) & (owner < first + PARTS)
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    flags = np.zeros(len(JOINTS), np.int64)
    for k, name in enumerate(JOINTS):
        u, v = np.floor(joints[k] + 0.5).astype(int)
        if 0 <= u < width and 0 <= v < height:
            visible = owner[v, u] in {first + PART_CODES[part] for part in SHOWN_BY[name]}
            flags[k] = 2 if visible and not away[k] else 1
    if (flags == 2).sum() < 4 or len(rows) < 12:
        return None
    box = (float(columns[0]), float(rows[0]), float(columns[-1] - columns[0] + 1), float(rows[-1] - rows[0] + 1))
    return Person(joints, flags, box, float(mask.sum()))


def _yaw(rng: np.random.Generator) -> float:
    """Most people face the camera, some stand sideways, some turn their back."""
    kind = rng.random()
    if kind < 0.58:
        degrees = rng.normal(0.0, 26.0)
    elif kind < 0.8:
        degrees = rng.choice([-1.0, 1.0]) * rng.uniform(50.0, 110.0)
    else:
        degrees = 180.0 + rng.normal(0.0, 30.0)
    return float(np.radians(degrees))


def _places(rng: np.random.Generator, count: int, width: int) -> NDArray[np.float64]:
    """Where people stand, [count] pixel columns: the widest spaced of three random draws, so that some overlap."""
    draws = rng.uniform(0.14, 0.86, size=(3, count)) * width
    if count == 1:
        return (0.25 + 0.5 * draws[0] / width) * width
    gaps = np.diff(np.sort(draws, axis=1), axis=1).min(axis=1)
    return draws[int(gaps.argmax())]


def _finish(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Light and grain of a camera: exposure, colour of the light, a darker border, noise."""
    pixels = np.asarray(image).astype(np.float32)
    height, width = pixels.shape[:2]
    light = rng.uniform(0.92, 1.06) * (1.0 + rng.normal(0.0, 0.025, size=3))
    v, u = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None, :]
    border = 1.0 - rng.uniform(0.0, 0.16) * (u**2 + v**2) + rng.uniform(-0.06, 0.06) * u
    grain = rng.normal(0.0, rng.uniform(1.0, 5.0), size=(height, width)).astype(np.float32)
    pixels = pixels * (border[..., None] * light).astype(np.float32) + grain[..., None]
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
