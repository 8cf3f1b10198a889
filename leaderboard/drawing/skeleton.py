"""A dataset's joints as a figure, from its definition file: the person's right on the viewer's left."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.safestring import SafeString

from leaderboard.drawing.numbers import interval, number
from leaderboard.drawing.svg import el, join

Point = tuple[float, float]

# how wide the silhouette is along a bone, as a share of the figure's height, by the word in its lower joint's name
_FLESH = {"elbow": 0.075, "wrist": 0.06, "knee": 0.1, "ankle": 0.075}


@dataclass(frozen=True)
class PartResult:
    """What a part scored, with its interval: a fraction, or where it has a unit an error in it."""

    part: str
    value: float
    low: float | None = None
    high: float | None = None
    unit: str = ""

    def error(self, best: float) -> float:
        """The distance to the best score."""
        return abs(best - self.value)


def side(joint: str) -> str:
    """`r`, `l` or `c` (on the axis), by the person's own left and right."""
    words = joint.lower().replace("-", "_").split("_")
    if "right" in words or words[0] == "r":
        return "r"
    return "l" if "left" in words or words[0] == "l" else "c"


def has_pose(dataset: Any) -> bool:
    """Whether the definition file gives a pose to draw."""
    pose = getattr(dataset, "pose", None)
    return pose is not None and len(pose) == len(dataset.joints) > 0


def placed(dataset: Any, *, height: float, turns: Mapping[str, float] | None = None) -> dict[str, Point]:
    """Every joint's place in a box of that height, centred on x = 0. `turns` bends limbs: joint -> degrees about it."""
    points = {name: (float(x), float(y)) for name, (x, y) in zip(dataset.joints, dataset.pose, strict=True)}
    if turns:
        points = _bent(dataset, points, turns)
    xs, ys = [x for x, _ in points.values()], [y for _, y in points.values()]
    extent = max(max(ys) - min(ys), 1e-6)
    factor, middle, top = height / extent, (min(xs) + max(xs)) / 2, min(ys)
    return {name: ((x - middle) * factor, (y - top) * factor) for name, (x, y) in points.items()}


_CHAINS = {"shoulder": ("elbow", "wrist"), "elbow": ("wrist",), "hip": ("knee", "ankle"), "knee": ("ankle",)}


def _bent(dataset: Any, points: dict[str, Point], turns: Mapping[str, float]) -> dict[str, Point]:
    """Rotate what hangs below a joint: the forearm below the elbow, the leg below the hip."""
    points = dict(points)
    for pivot, degrees in turns.items():
        word = pivot.split("_")[-1]
        below = [pivot.replace(word, lower) for lower in _CHAINS.get(word, ())]
        if pivot not in points:
            continue
        cx, cy = points[pivot]
        cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        for name in below:
            if name in points:
                x, y = points[name][0] - cx, points[name][1] - cy
                points[name] = (cx + cos * x - sin * y, cy + sin * x + cos * y)
    return points


# a gesture for each dataset's card, in degrees about the joint, so that not every figure has the same pose
GESTURES: dict[str, dict[str, float]] = {
    "coco": {"left_shoulder": -105, "left_elbow": -35, "right_elbow": -18, "left_hip": -6},
    "crowdpose": {"right_shoulder": 75, "left_shoulder": -75, "right_elbow": 40, "left_elbow": -40},
    "mpii": {
        "right_shoulder": 62, "right_elbow": -70, "left_shoulder": -55, "left_elbow": 55,
        "right_hip": 48, "right_knee": -62, "left_hip": -16, "left_knee": 4,
    },
    "lsp": {
        "right_shoulder": 95, "right_elbow": 35, "left_shoulder": -78, "left_elbow": 50,
        "right_hip": 26, "right_knee": -30, "left_hip": -24, "left_knee": 22,
    },
    "flic": {"right_shoulder": 18, "right_elbow": 65, "left_shoulder": -12, "left_elbow": 22},
    "mannequins": {
        "right_shoulder": 30, "right_elbow": 85, "left_shoulder": -60, "left_elbow": -75,
        "left_hip": -14, "right_hip": 10,
    },
}  # fmt: skip


def figure(dataset: Any, *, label: str) -> SafeString:
    """The small figure of a card. Nothing where the definition has no pose."""
    if not has_pose(dataset):
        return join([])
    points = placed(dataset, height=160, turns=GESTURES.get(dataset.name))
    pad = 16
    x0, x1 = min(x for x, _ in points.values()) - pad, max(x for x, _ in points.values()) + pad
    y0, y1 = min(y for _, y in points.values()) - pad, max(y for _, y in points.values()) + pad
    parts = [_silhouette(points, 160), *_bones(dataset, points)]
    parts += [
        el("circle", class_=f"j{side(name)} jt", cx=round(x, 1), cy=round(y, 1), r=_size(dataset, name, 3.4))
        for name, (x, y) in points.items()
    ]
    box = f"{x0:.0f} {y0:.0f} {x1 - x0:.0f} {y1 - y0:.0f}"
    return el("svg", *parts, class_="fig", viewBox=box, role="img", aria_label=label)


def named(dataset: Any) -> SafeString:
    """The figure with the joints' numbers and names on leader lines: for the dataset's page."""
    if not has_pose(dataset):
        return join([])
    points = _centred(placed(dataset, height=300), dataset)
    labels: dict[str, list[_Label]] = {"left": [], "right": []}
    for index, name in enumerate(dataset.joints):
        if name not in dataset.named_joints:
            continue
        x, y = points[name]
        where = "left" if side(name) == "r" or (side(name) == "c" and index % 2) else "right"
        words = name.replace("_", " ")
        for prefix in ("right ", "left "):
            words = words.removeprefix(prefix)
        labels[where].append(_Label(f"{index} {words}", "", (x, y), 0))
    parts = [_silhouette(points, 300), *_bones(dataset, points)]
    parts += [
        el("circle", class_=f"j{side(name)} jt", cx=round(x, 1), cy=round(y, 1), r=_size(dataset, name, 4.2))
        for name, (x, y) in points.items()
    ]
    return _labelled(
        parts, labels, f"The {len(dataset.joints)} joints of {dataset.title} with their numbers", gap=17, joints=points
    )


def with_results(
    dataset: Any, results: Sequence[PartResult], *, label: str, higher_is_better: bool | None = None
) -> SafeString:
    """Rings on the joints of each part: the larger the ring, the more is missed. Parts are labelled once.

    A part's number is the mean of its left and right joint, so both carry the same ring. A joint that is a part of its
    own has none where it is in another part too.
    """
    joints_of = {part: tuple(joints) for part, joints in getattr(dataset, "parts", {}).items()}
    shown = [
        result
        for result in results
        if result.part in joints_of and result.part != "all" and len(joints_of[result.part]) <= 4
    ]
    grouped = {name for result in shown for name in joints_of[result.part] if joints_of[result.part] != (result.part,)}
    shown = [result for result in shown if result.part not in grouped or len(joints_of[result.part]) > 1]
    if not has_pose(dataset) or not shown:
        return join([])
    points = _centred(placed(dataset, height=310), dataset)
    # a fraction that is nearly 1 everywhere has small rings everywhere
    if higher_is_better is None:
        higher_is_better = not shown[0].unit
    best = (max(result.value for result in shown) if shown[0].unit else 1.0) if higher_is_better else 0.0
    worst = max(max(result.error(best) for result in shown), 1e-9 if shown[0].unit else 0.18)
    parts = [_silhouette(points, 310), *_bones(dataset, points)]
    labels: dict[str, list[_Label]] = {"left": [], "right": []}
    drawn: set[str] = set()
    ordered = sorted(shown, key=lambda result: min(points[name][1] for name in joints_of[result.part]))
    for index, result in enumerate(ordered):
        radius = 5 + 14 * result.error(best) / worst
        for name in joints_of[result.part]:
            if name not in drawn:
                drawn.add(name)
                parts.append(_ring(name, points[name], radius))
        where, wanted = ("right", "l") if index % 2 == 0 else ("left", "r")
        members = joints_of[result.part]
        target = next(
            (name for name in members if side(name) == wanted), min(members, key=lambda name: points[name][1])
        )
        text = f"{result.part.replace('_', ' ').capitalize()} {number(result.value, result.unit)}"
        second = interval(result.low, result.high, result.unit)
        labels[where].append(_Label(text, second, points[target], radius))
    parts += [
        el("circle", class_=f"j{side(name)} jt", cx=round(x, 1), cy=round(y, 1), r=3)
        for name, (x, y) in points.items()
        if name not in drawn
    ]
    return _labelled(parts, labels, label, gap=34, joints=points)


@dataclass(frozen=True)
class _Label:
    text: str
    second: str
    target: Point
    radius: float


def _labelled(
    parts: list[SafeString],
    labels: Mapping[str, list[_Label]],
    label: str,
    *,
    gap: float,
    joints: Mapping[str, Point],
) -> SafeString:
    bottom = 346.0
    for where, items in labels.items():
        sign, edge, anchor = (-1, 12.0, "end") if where == "left" else (1, 308.0, "start")
        for item, y in zip(*_spread(items, gap, sign, joints), strict=True):
            bottom = max(bottom, y + 16)
            x0 = item.target[0] + sign * (item.radius + 1)
            end, bend = edge - sign * 6, edge - sign * 34
            bends = abs(y - item.target[1]) > 2 and sign * (bend - x0) > 4
            path = (
                f"M{x0:.1f} {item.target[1]:.1f}L{bend} {y:.1f}H{end:.1f}"
                if bends
                else f"M{x0:.1f} {item.target[1]:.1f}L{end:.1f} {y:.1f}"
            )
            parts.insert(1, el("path", class_="lead", d=path, fill="none"))
            parts.append(
                el(
                    "text",
                    item.text,
                    class_="lab",
                    x=edge,
                    y=round(y + (1 if item.second else 4), 1),
                    text_anchor=anchor,
                )
            )
            if item.second:
                parts.append(el("text", item.second, class_="ax", x=edge, y=round(y + 15, 1), text_anchor=anchor))
    parts.append(el("text", "Right", class_="sidelab", x=-96, y=12, fill="var(--right)"))
    parts.append(el("text", "Left", class_="sidelab", x=416, y=12, text_anchor="end", fill="var(--left)"))
    return el(
        "svg", *parts, class_="plot bodyfig", viewBox=f"-98 0 516 {bottom + 14:.0f}", role="img", aria_label=label
    )


def _spread(
    items: list[_Label], gap: float, sign: int, joints: Mapping[str, Point]
) -> tuple[list[_Label], list[float]]:
    """Labels beside their joints, below what is further out at the same height, pushed apart until none touches."""
    wanted = []
    for item in items:
        x, y = item.target
        outside = [other for ox, other in joints.values() if sign * (ox - x) > 12 and abs(other - y) < 24]
        wanted.append((max(outside) + 30 if outside and gap > 20 else y, item))
    wanted.sort(key=lambda pair: (pair[0], pair[1].target[0]))
    places: list[float] = []
    for y, _ in wanted:
        places.append(max(y, places[-1] + gap) if places else y)
    return [item for _, item in wanted], places


def _centred(points: dict[str, Point], dataset: Any) -> dict[str, Point]:
    widest = max(abs(x) for x, _ in points.values())
    # a short, wide figure (an upper body) must leave room for its labels
    factor = min(1.0, 105 / max(widest, 1e-6))
    return {name: (160 + x * factor, 34 + y * factor) for name, (x, y) in points.items()}


def _ring(name: str, point: Point, radius: float) -> SafeString:
    colour = {"r": "var(--right)", "l": "var(--left)", "c": "var(--axis)"}[side(name)]
    x, y = round(point[0], 1), round(point[1], 1)
    ring = el("circle", class_="ring", cx=x, cy=y, r=round(radius, 1), stroke=colour)
    return join([ring, el("circle", class_=f"j{side(name)}", cx=x, cy=y, r=2.6)])


def _bones(dataset: Any, points: Mapping[str, Point]) -> list[SafeString]:
    bones = []
    for a, b in dataset.skeleton:
        if a not in points or b not in points:
            continue
        sides = {side(a), side(b)} - {"c"}
        colour = sides.pop() if len(sides) == 1 else "c"
        (x1, y1), (x2, y2) = points[a], points[b]
        bones.append(el("path", class_=f"bone b{colour}", d=f"M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}"))
    return bones


def _silhouette(points: Mapping[str, Point], height: float) -> SafeString:
    """The soft body behind the bones, drawn only from joints that the dataset has."""
    height = _stature(points, height)
    parts: list[SafeString] = []
    torso = [points.get(name) for name in ("right_shoulder", "left_shoulder", "left_hip", "right_hip")]
    if all(torso):
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in (point for point in torso if point)) + "Z"
        parts.append(el("path", d=path, fill="currentColor", stroke_width=round(height * 0.09, 1)))
    for lower, width in _FLESH.items():
        upper = {"elbow": "shoulder", "wrist": "elbow", "knee": "hip", "ankle": "knee"}[lower]
        for which in ("right", "left"):
            a, b = points.get(f"{which}_{upper}"), points.get(f"{which}_{lower}")
            if a and b:
                parts.append(
                    el("path", d=f"M{a[0]:.1f} {a[1]:.1f}L{b[0]:.1f} {b[1]:.1f}", stroke_width=round(height * width, 1))
                )
    if head := _head(points, height):
        parts.append(head)
    return el("g", *parts, class_="ghost") if parts else join([])


def _stature(points: Mapping[str, Point], otherwise: float) -> float:
    """How tall the whole body would be, from its torso: of an upper body one sees the half."""
    if not {"left_shoulder", "left_hip"} <= points.keys():
        return otherwise
    (x1, y1), (x2, y2) = points["left_shoulder"], points["left_hip"]
    return math.hypot(x2 - x1, y2 - y1) * 2.9


def _head(points: Mapping[str, Point], height: float) -> SafeString | None:
    face = [points[name] for name in points if name.split("_")[-1] in {"nose", "eye", "ear"}]
    top = next((points[name] for name in points if name in {"head_top", "head", "top_head", "headtop"}), None)
    neck = next((points[name] for name in points if name in {"neck", "upper_neck", "thorax"}), None)
    size = height * 0.075
    if face:
        x, y = sum(p[0] for p in face) / len(face), sum(p[1] for p in face) / len(face)
    elif top and neck:
        x, y = (top[0] * 0.62 + neck[0] * 0.38), (top[1] * 0.62 + neck[1] * 0.38)
    else:
        return None
    return el(
        "ellipse",
        cx=round(x, 1),
        cy=round(y, 1),
        rx=round(size, 1),
        ry=round(size * 1.25, 1),
        fill="currentColor",
        stroke="none",
    )


def _size(dataset: Any, name: str, usual: float) -> float:
    """The radius of a joint's mark: smaller in the face, and where there are so many that not all are named."""
    if name not in dataset.named_joints:
        return usual * 0.3
    return usual * 0.62 if name.split("_")[-1] in {"nose", "eye", "ear"} else usual
