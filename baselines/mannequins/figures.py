"""Dresses a skeleton and draws it: tapered limbs with round shading, clothes with patterns, hair and faces."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from baselines.mannequins.canvas import Canvas, Colour, capsule_points, ellipse_points, mix, shade
from baselines.mannequins.looks import Look
from baselines.mannequins.poses import JOINTS, SIDES, Body, Skeleton

# Owner codes of one person: PARTS consecutive numbers. Codes of person i start at 1 + PARTS * i.
PART_CODES = {
    "torso": 0,
    "head": 1,
    **{f"{side}_{part}": 2 + 5 * i + j for i, side in enumerate(SIDES) for j, part in enumerate(
        ("upper_arm", "forearm", "hand", "thigh", "shin"))},
}  # fmt: skip
PARTS = len(PART_CODES)

# A joint is visible when one of these parts (of the same person) is what shows at its place.
SHOWN_BY = {
    **dict.fromkeys(("nose", "left_eye", "right_eye", "left_ear", "right_ear"), ("head",)),
    **{f"{side}_shoulder": ("torso", f"{side}_upper_arm") for side in SIDES},
    **{f"{side}_elbow": (f"{side}_upper_arm", f"{side}_forearm") for side in SIDES},
    **{f"{side}_wrist": (f"{side}_forearm", f"{side}_hand") for side in SIDES},
    **{f"{side}_hip": ("torso", f"{side}_thigh") for side in SIDES},
    **{f"{side}_knee": (f"{side}_thigh", f"{side}_shin") for side in SIDES},
    **{f"{side}_ankle": (f"{side}_shin",) for side in SIDES},
}


def draw_person(
    canvas: Canvas,
    skeleton: Skeleton,
    body: Body,
    look: Look,
    hips: tuple[float, float],
    height: float,
    first_code: int,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Draw one person with the middle of the hips at pixel `hips`, `height` pixels tall when upright.

    Returns the joints [17, 2] in pixels, and which of them [17] face away: behind the head or the torso, so that they
    are hidden whatever else is in front.
    """
    flat = {name: np.array([hips[0] + p[0] * height, hips[1] - p[1] * height]) for name, p in skeleton.points.items()}
    depth = {name: float(p[2]) for name, p in skeleton.points.items()}
    code = {part: first_code + offset for part, offset in PART_CODES.items()}
    pen = _Pen(canvas, skeleton, flat, body, look, height, code)
    jobs: list[tuple[float, Callable[[], None]]] = []
    spine = 0.5 * depth["neck"]
    for side in SIDES:
        arm = 0.5 * (depth[f"{side}_shoulder"] + depth[f"{side}_elbow"]) - spine
        fore = 0.5 * (depth[f"{side}_elbow"] + depth[f"{side}_wrist"]) - spine
        leg = 0.5 * (depth[f"{side}_hip"] + depth[f"{side}_knee"])
        shin = 0.5 * (depth[f"{side}_knee"] + depth[f"{side}_ankle"])
        jobs.append((arm + 0.03, lambda s=side: pen.upper_arm(s)))  # type: ignore[misc]
        jobs.append((fore + 0.035, lambda s=side: pen.forearm(s)))  # type: ignore[misc]
        jobs.append((leg - 0.06, lambda s=side: pen.thigh(s)))  # type: ignore[misc]
        jobs.append((min(shin, leg) - 0.065 if shin < leg + 0.02 else shin - 0.05, lambda s=side: pen.shin(s)))  # type: ignore[misc]
    jobs.append((0.0, pen.torso))
    if look.hair_style == "long":  # falls behind the shoulders, or over them when viewed from behind
        jobs.append((-0.02 if skeleton.head[2, 2] > -0.2 else 0.5 + depth["head"], pen.long_hair))
    jobs.append((0.02 + 0.5 * (depth["head"] - depth["neck"]), pen.head))
    for _, job in sorted(jobs, key=lambda pair: pair[0]):
        job()
    away = np.zeros(len(JOINTS), bool)
    for k, name in enumerate(JOINTS):
        if k < 5:
            away[k] = depth[name] - depth["head"] < (-0.25 if "ear" in name else 0.05) * skeleton.head_radius
        elif name.endswith(("shoulder", "hip")):
            away[k] = depth[name] - (depth["neck"] if "shoulder" in name else 0.0) < -0.045
    return np.stack([flat[name] for name in JOINTS]), away


class _Pen:
    """The drawing of one person's parts; lengths in pixels."""

    def __init__(
        self,
        canvas: Canvas,
        skeleton: Skeleton,
        flat: dict[str, NDArray[np.float64]],
        body: Body,
        look: Look,
        height: float,
        code: dict[str, int],
    ) -> None:
        self.canvas, self.skeleton, self.flat, self.body, self.look, self.height, self.code = (
            canvas, skeleton, flat, body, look, height, code,
        )  # fmt: skip
        self.thick = height * (0.35 + 0.65 * body.girth)

    def limb(
        self, a: NDArray[np.float64], b: NDArray[np.float64], r1: float, r2: float, colour: Colour, code: int
    ) -> None:
        """A tapered limb, darker at the lower right, lighter at the upper left, where the light is."""
        r1, r2 = max(r1, 0.6), max(r2, 0.5)
        light = np.array([-0.28, -0.2])
        self.canvas.polygon(capsule_points(a, b, r1, r2), shade(colour, 0.74), code)
        self.canvas.polygon(
            capsule_points(a + light * r1 * 0.6, b + light * r2 * 0.6, r1 * 0.8, r2 * 0.8), colour, None
        )
        self.canvas.polygon(
            capsule_points(a + light * r1 * 1.1, b + light * r2 * 1.1, r1 * 0.4, r2 * 0.4), shade(colour, 1.13), None
        )

    def sleeve(
        self,
        a: NDArray[np.float64],
        b: NDArray[np.float64],
        r1: float,
        r2: float,
        share: float,
        colour: Colour,
        code: int,
    ) -> None:
        """Cloth over the first `share` of a limb, a little wider than the limb, with a hem."""
        end = a + (b - a) * share
        r = (r1 + (r2 - r1) * share) * 1.14
        self.limb(a, end, r1 * 1.1, r, colour, code)
        if share < 1.0:
            along = (b - a) / max(float(np.linalg.norm(b - a)), 1e-6)
            across = np.array([-along[1], along[0]]) * r * 0.95
            self.canvas.line([end + along * r * 0.3 - across, end + along * r * 0.3 + across], shade(colour, 0.62), 0.5)

    def ball(self, name: str, radius: float, code: int) -> None:
        """The ball joint of a wooden mannequin."""
        x, y = self.flat[name]
        wood = shade(self.look.skin, 0.7)
        self.canvas.ellipse(x, y, radius, radius, wood, code)
        self.canvas.ellipse(x - radius * 0.25, y - radius * 0.25, radius * 0.5, radius * 0.5, shade(wood, 1.25), None)

    def upper_arm(self, side: str) -> None:
        a, b = self.flat[f"{side}_shoulder"], self.flat[f"{side}_elbow"]
        code, r1, r2 = self.code[f"{side}_upper_arm"], 0.031 * self.thick, 0.025 * self.thick
        self.limb(a, b, r1, r2, self.look.skin, code)
        if self.look.wooden:
            self.ball(f"{side}_shoulder", r1, code)
            self.ball(f"{side}_elbow", r2, code)
        elif self.look.sleeve:
            self.sleeve(a, b, r1, r2, min(self.look.sleeve, 1.0), self.look.top, code)

    def forearm(self, side: str) -> None:
        a, b, hand = self.flat[f"{side}_elbow"], self.flat[f"{side}_wrist"], self.flat[f"{side}_hand"]
        code, r1, r2 = self.code[f"{side}_forearm"], 0.025 * self.thick, 0.018 * self.thick
        self.limb(b, hand, 0.02 * self.thick, 0.017 * self.thick, self.look.skin, self.code[f"{side}_hand"])
        self.limb(a, b, r1, r2, self.look.skin, code)
        if self.look.wooden:
            self.ball(f"{side}_wrist", r2 * 1.05, code)
        elif self.look.sleeve > 1.0:
            self.sleeve(a, b, r1, r2, 0.94, self.look.top, code)

    def thigh(self, side: str) -> None:
        a, b = self.flat[f"{side}_hip"], self.flat[f"{side}_knee"]
        code, r1, r2 = self.code[f"{side}_thigh"], 0.053 * self.thick, 0.038 * self.thick
        self.limb(a, b, r1, r2, self.look.skin, code)
        if self.look.wooden:
            self.ball(f"{side}_hip", r1 * 0.8, code)
            self.ball(f"{side}_knee", r2 * 0.95, code)
        elif self.look.leg:
            self.sleeve(a, b, r1, r2, min(self.look.leg, 1.0), self.look.bottom, code)

    def shin(self, side: str) -> None:
        a, b = self.flat[f"{side}_knee"], self.flat[f"{side}_ankle"]
        heel, toe = self.flat[f"{side}_heel"], self.flat[f"{side}_toe"]
        code, r1, r2 = self.code[f"{side}_shin"], 0.037 * self.thick, 0.023 * self.thick
        self.limb(a, b, r1, r2, self.look.skin, code)
        if self.look.wooden:
            self.ball(f"{side}_ankle", r2, code)
        elif self.look.leg > 1.0:
            self.sleeve(a, b, r1, r2 * 1.15, 0.97, self.look.bottom, code)
        self.limb(heel, toe, 0.025 * self.thick, 0.021 * self.thick, self.look.shoe, code)

    def section(self, share: float, width: float, deep: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Centre [2] and half width [2] (a vector across the spine) of the torso; `share`: hips 0, neck 1."""
        low, high = self.flat["pelvis"], self.flat["neck"]
        spine = high - low
        length = max(float(np.linalg.norm(spine)), 1e-6)
        across = np.array([-spine[1], spine[0]]) / length
        x, z = self.skeleton.torso[:2, 0] * [1, -1], self.skeleton.torso[:2, 2] * [1, -1]
        half = np.hypot(width * (x @ across), deep * (z @ across)) * self.height
        return low + spine * share, across * half

    def torso(self) -> None:
        g, s = self.body.girth, self.body.shoulders
        rows = np.array(
            [  # share of the spine, half width, half depth
                (-0.14, 0.078 * g, 0.062 * g),
                (0.02, 0.092 * g, 0.068 * g),
                (0.22, 0.086 * g, 0.062 * g),
                (0.42, 0.076 * g, 0.056 * g),
                (0.66, 0.090 * s, 0.062 * g),
                (0.84, 0.104 * s, 0.058 * g),
                (0.95, 0.098 * s, 0.044),
                (1.01, 0.050, 0.036),
            ]
        )
        sections = [self.section(*row) for row in rows]
        code = self.code["torso"]
        centres = np.array([c for c, _ in sections])
        halves = np.array([h for _, h in sections])
        if self.look.skirt:
            self.skirt(code)
        self.round(centres[:4], halves[:4], self.look.bottom, code)
        self.limb(
            self.flat["neck"],
            self.flat["chin"],
            0.026 * self.thick,
            0.025 * self.height,
            shade(self.look.skin, 0.88),
            self.code["head"],
        )
        hem = 1 if not self.look.wooden else 3
        self.round(centres[hem:], halves[hem:], self.look.top, code)
        if self.look.wooden:
            return
        self.decorate(centres[hem:], halves[hem:])
        a, b = centres[hem] + halves[hem] * 0.97, centres[hem] - halves[hem] * 0.97
        self.canvas.line([a, b], shade(self.look.top, 0.6), 0.5)

    def round(self, centres: NDArray[np.float64], halves: NDArray[np.float64], colour: Colour, code: int) -> None:
        """A body of sections with the same shading as a limb."""
        for share, shift, factor in ((1.0, 0.0, 0.74), (0.84, 0.1, 1.0), (0.42, 0.3, 1.1)):
            move = np.where(halves[:, :1] > 0, -1.0, 1.0) * shift * halves
            outline = np.concatenate([centres + move + halves * share, (centres + move - halves * share)[::-1]])
            self.canvas.polygon(outline, shade(colour, factor), code if share == 1.0 else None)

    def decorate(self, centres: NDArray[np.float64], halves: NDArray[np.float64]) -> None:
        """The pattern of the top."""
        look, canvas = self.look, self.canvas
        detail = look.top_detail
        at = np.linspace(0, len(centres) - 1, 25)
        rows = np.arange(len(centres))
        c = np.stack([np.interp(at, rows, centres[:, k]) for k in (0, 1)], axis=1)
        h = np.stack([np.interp(at, rows, halves[:, k]) for k in (0, 1)], axis=1)
        facing = self.skeleton.torso[2, 2]
        if look.pattern == "stripes":
            for i in range(2, 22, 4):
                strip = np.concatenate([(c + h)[i : i + 3], (c - h)[i : i + 3][::-1]])
                canvas.polygon(strip, detail, None)
        elif look.pattern == "pinstripes":
            for share in (-0.75, -0.45, -0.15, 0.15, 0.45, 0.75):
                canvas.line((c + h * share)[1:23], detail, 0.6)
        elif look.pattern == "blocks":
            canvas.polygon(np.concatenate([(c + h)[14:], (c - h)[14:][::-1]]), detail, None)
        elif look.pattern == "dots":
            for i in range(2, 21, 4):
                for share in (-0.7, -0.25, 0.25, 0.7) if i % 8 == 2 else (-0.5, 0.0, 0.5):
                    x, y = c[i] + h[i] * share
                    canvas.ellipse(x, y, 0.009 * self.height, 0.009 * self.height, detail, None)
        elif look.pattern == "number" and abs(facing) > 0.5:
            x, y = c[14]
            r = 0.034 * self.height
            canvas.ellipse(x, y, r * abs(facing), r, detail, None)
            canvas.ellipse(x, y, r * 0.5 * abs(facing), r * 0.5, look.top, None)

    def skirt(self, code: int) -> None:
        """A flared skirt from the waist down to `look.skirt` of the thighs."""
        share = self.look.skirt
        waist, across = self.section(0.22, 0.08 * self.body.girth, 0.06 * self.body.girth)
        hips, wide = self.section(-0.02, 0.1 * self.body.girth, 0.085 * self.body.girth)
        ends = [self.flat[f"{s}_hip"] + (self.flat[f"{s}_knee"] - self.flat[f"{s}_hip"]) * share for s in SIDES]
        left, right = sorted(ends, key=lambda p: float(p[0]))
        flare = np.array([0.05 * self.thick * (0.7 + 0.5 * share), 0.0])
        if across[0] > 0:
            across, wide = -across, -wide
        lower = np.array([0.0, 0.018 * self.thick])
        outline = [
            waist + across,
            hips + wide,
            left - flare,
            (left + right) / 2 + lower,
            right + flare,
            hips - wide,
            waist - across,
        ]
        self.canvas.polygon(np.array(outline), shade(self.look.bottom, 0.76), code)
        middle = np.mean(outline, axis=0)
        shift = np.array([-0.012 * self.height, 0.0])
        self.canvas.polygon(middle + (np.array(outline) - middle) * [0.82, 1.0] + shift, self.look.bottom, None)
        fold = [(waist - across * t, left * (1 - u) + right * u) for t, u in ((0.2, 0.65), (-0.45, 0.15))]
        for top, bottom in fold:
            self.canvas.line([top * 0.4 + bottom * 0.6, bottom], shade(self.look.bottom, 0.7), 0.6)

    def head(self) -> None:
        look, canvas, axes = self.look, self.canvas, self.skeleton.head
        code = self.code["head"]
        r = self.skeleton.head_radius * self.height
        x, y = self.flat["head"]
        up = axes[:2, 1] * [1, -1]
        ahead = axes[:2, 2] * [1, -1]
        turn = float(np.arctan2(up[0], -up[1]))
        tall = r * (0.6 + 0.4 * min(1.0, float(np.linalg.norm(up)))) * 1.14
        facing = float(axes[2, 2])
        covered = look.hair_style != "bald"
        skull = np.array([x, y]) + (up * r * 0.14 - ahead * r * 0.12 if covered else 0.0)
        grow = {"curly": 1.16, "bald": 0.97}.get(look.hair_style, 1.06)
        outer = look.hair if covered else look.skin
        canvas.ellipse(skull[0], skull[1], r * 0.94 * grow, tall * 0.96 * grow, shade(outer, 0.82), code, turn)
        canvas.ellipse(skull[0] - r * 0.1, skull[1] - r * 0.1, r * 0.76 * grow, tall * 0.8 * grow, outer, None, turn)
        if look.hair_style == "bun":
            knot = np.array([x, y]) + up * r * 1.05 - ahead * r * 0.55
            canvas.ellipse(knot[0], knot[1], r * 0.46, r * 0.46, shade(look.hair, 0.9), code)
        if facing > -0.75:
            self.face(np.array([x, y]), up, ahead, r, tall, turn, facing, code)
        if look.hair_style == "cap":
            crown = np.array([x, y]) + up * r * 0.5 - ahead * r * 0.05
            dome = ellipse_points(crown[0], crown[1], r * 1.02, tall * 0.62, turn)
            canvas.polygon(dome[(dome - crown) @ up > -0.1 * r], look.top_detail, code)
            peak = crown + ahead * r * 0.95 + up * r * 0.0
            canvas.polygon(
                capsule_points(crown + ahead * r * 0.3, peak, r * 0.26, r * 0.16), shade(look.top_detail, 0.75), code
            )

    def long_hair(self) -> None:
        r = self.skeleton.head_radius * self.height
        up, ahead = self.skeleton.head[:2, 1] * [1, -1], self.skeleton.head[:2, 2] * [1, -1]
        x, y = self.flat["head"] - up * r * 0.62 - ahead * r * 0.4
        turn, hair = float(np.arctan2(up[0], -up[1])), self.look.hair
        self.canvas.ellipse(x, y, r * 1.0, r * 1.38, shade(hair, 0.8), self.code["head"], turn)
        if self.skeleton.head[2, 2] < 0:
            self.canvas.ellipse(x - r * 0.2, y - r * 0.1, r * 0.5, r * 1.1, hair, None, turn)

    def face(
        self, centre: NDArray[np.float64], up: NDArray[np.float64], ahead: NDArray[np.float64],
        r: float, tall: float, turn: float, facing: float, code: int,
    ) -> None:  # fmt: skip
        look, canvas = self.look, self.canvas
        middle = centre + ahead * r * 0.22 - up * r * 0.16
        wide = r * (0.84 if facing > 0 else 0.84 + 0.4 * facing)
        canvas.ellipse(middle[0], middle[1], wide, tall * 0.84, shade(look.skin, 0.86), code, turn)
        canvas.ellipse(middle[0] - r * 0.06, middle[1] - r * 0.05, wide * 0.88, tall * 0.76, look.skin, None, turn)
        depth = {name: float(self.skeleton.points[name][2] - self.skeleton.points["head"][2]) for name in JOINTS[:5]}
        limit = 0.05 * self.skeleton.head_radius
        for side in SIDES:
            if depth[f"{side}_ear"] > -0.3 * self.skeleton.head_radius:
                ex, ey = self.flat[f"{side}_ear"]
                canvas.ellipse(ex, ey, r * 0.2, r * 0.28, shade(look.skin, 0.78), code, turn)
                canvas.ellipse(ex, ey, r * 0.1, r * 0.16, shade(look.skin, 0.92), None, turn)
        if look.wooden:
            return
        nx, ny = self.flat["nose"]
        if depth["nose"] > limit:
            mouth = centre + ahead * r * 0.84 - up * r * 0.55
            side_way = self.skeleton.head[:2, 0] * [1, -1] * r * 0.24
            canvas.line([mouth - side_way, mouth + side_way], (150, 62, 58), max(0.45, r * 0.11))
        if depth["nose"] > -limit * 6:
            canvas.ellipse(nx, ny, r * 0.17, r * 0.2, shade(look.skin, 0.76), code, turn)
            canvas.ellipse(nx - r * 0.05, ny - r * 0.07, r * 0.1, r * 0.1, shade(look.skin, 1.15), None, turn)
        for side in SIDES:
            if depth[f"{side}_eye"] > limit:
                ex, ey = self.flat[f"{side}_eye"]
                brow = np.array([ex, ey]) + up * r * 0.3
                canvas.ellipse(ex, ey, r * 0.2, r * 0.15, (250, 248, 244), None, turn)
                canvas.ellipse(ex + ahead[0] * r * 0.06, ey, r * 0.11, r * 0.13, (40, 32, 36), None, turn)
                canvas.ellipse(brow[0], brow[1], r * 0.2, r * 0.05, mix(look.hair, (40, 30, 30), 0.4), None, turn)
