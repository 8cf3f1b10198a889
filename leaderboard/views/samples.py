"""A valid predictions file, made of public things only: the benchmark's image list and the dataset's typical pose."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from evaluator.surface.maps import uniform_entry


def sample(dataset: Any, images: dict[str, Any]) -> Iterator[str]:
    """The JSON text, one entry at a time. The pose is placed in each given box, or in the middle of the image."""
    pose = [(float(x), float(y)) for x, y in dataset.pose] or [(0.5, 0.5)] * len(dataset.joints)
    # upright, 1,700 mm tall, five metres before the camera, whose y points down
    in_space = [number for x, y in pose for number in (round(800 * x - 400), round(1700 * y - 850), 5000)]
    first = True
    yield "["
    for image in images["images"]:
        for person, box in _people(dataset, image):
            x0, y0, width, height = box
            keypoints = [
                number for x, y in pose for number in (round(x0 + x * width, 1), round(y0 + y * height, 1), 0.5)
            ]
            entry: dict[str, Any] = {"image_id": image["id"], "keypoints": keypoints, "score": 0.5}
            if dataset.entry == "keypoints_3d":
                entry = {"image_id": image["id"], "keypoints_3d": in_space}
            elif dataset.entry == "uv":
                entry = _on_surface(image["id"], box)
            if dataset.single_person:
                entry["person_id"] = person
            yield ("" if first else ",") + "\n" + json.dumps(entry)
            first = False
    yield "\n]\n"


def _on_surface(image_id: int, box: tuple[float, float, float, float]) -> dict[str, Any]:
    """The middle of the torso's first chart in every pixel of a box of at most 32 x 32 pixels."""
    size = [min(max(1, int(side)), 32) for side in box[2:]]
    return uniform_entry(image_id, [*box[:2], *size], (1, 128, 128), 0.5)


def _people(dataset: Any, image: dict[str, Any]) -> Iterator[tuple[int, tuple[float, float, float, float]]]:
    listed = image.get("people")
    if listed == [] and dataset.entry == "keypoints_3d":
        return
    if not listed:
        # one pose per image; on a single-person dataset an image without a list of people has person 0
        listed = [{"person_id": 0}]
    share = 1 / len(listed)
    width, height = float(image.get("width") or 200), float(image.get("height") or 200)
    for index, person in enumerate(listed):
        box = person.get("box")
        if box:
            yield person["person_id"], (box[0], box[1], box[2], box[3])
        else:
            side = min(width * share, height)
            yield (
                person["person_id"],
                (width * share * index + (width * share - side) / 2, (height - side) / 2, side, side),
            )


def excerpt(dataset: Any, joints: int = 2) -> str:
    """An entry as the format's example shows it: the first joints, then dots."""
    pose = [(float(x), float(y)) for x, y in dataset.pose][:joints] or [(0.5, 0.1)] * joints
    numbers = ", ".join(f"{20 + 100 * x:.1f}, {20 + 160 * y:.1f}, 0.9" for x, y in pose)
    person = '\n  "person_id": 0,' if dataset.single_person else ""
    if dataset.entry == "uv":
        return (
            '[{"image_id": 1001,\n  "bbox": [278.7, 42.6, 215, 342],\n  "uv_shape": [3, 342, 215],\n'
            '  "uv_data": "iVBORw0KGgo…",\n  "score": 0.97}, …]'
        )
    if dataset.entry == "keypoints_3d":
        space = ", ".join(f"{800 * x - 400:.0f}, {1700 * y - 850:.0f}, 5000" for x, y in pose)
        return f'[{{"image_id": 1001,{person}\n  "keypoints_3d": [{space}, …]}}, …]'
    return f'[{{"image_id": 1001,{person}\n  "keypoints": [{numbers}, …],\n  "score": 0.97}}, …]'
