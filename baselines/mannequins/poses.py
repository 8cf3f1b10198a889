"""Articulated bodies: proportions, pose families, and forward kinematics to three-dimensional joints.

Body frame: x towards the person's left, y up, z the way the person faces; unit: the standing height of the person.
Viewed with yaw 0 the person faces the camera, so that the person's right is on the viewer's left.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

DOWN = np.array([0.0, -1.0, 0.0])
SIDES = ("left", "right")

JOINTS = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
)


@dataclass(frozen=True)
class Body:
    """Lengths as fractions of the standing height; `girth` and `shoulders` scale the widths."""

    girth: float
    shoulders: float
    head: float
    torso: float
    upper_arm: float
    forearm: float
    thigh: float
    shin: float


@dataclass(frozen=True)
class Pose:
    """Angles in radians. Arm and leg rows are (left, right); an elbow bends towards its target."""

    lean: tuple[float, float]  # forward, sideways (towards the person's left)
    head: tuple[float, float, float]  # turn, nod, tilt
    arm: NDArray[np.float64]  # [2, 2] raise forward, raise sideways
    elbow: NDArray[np.float64]  # [2]
    elbow_target: NDArray[np.float64]  # [2, 3]
    leg: NDArray[np.float64]  # [2, 2]
    knee: NDArray[np.float64]  # [2]
    seated: bool = False


@dataclass(frozen=True)
class Skeleton:
    """Points [3] by name in the camera frame (x right, y up, z towards the viewer), origin between the hips."""

    points: dict[str, Vector]
    torso: NDArray[np.float64]  # [3, 3], columns: the torso's axes
    head: NDArray[np.float64]  # [3, 3], columns: the head's axes
    head_radius: float
    lowest: float


def rotation(axis: int, angle: float) -> NDArray[np.float64]:
    """Right-handed rotation [3, 3] by `angle` radians about coordinate axis 0, 1 or 2."""
    c, s = np.cos(angle), np.sin(angle)
    i, j = [(1, 2), (2, 0), (0, 1)][axis]
    matrix = np.eye(3)
    matrix[i, i] = matrix[j, j] = c
    matrix[i, j], matrix[j, i] = -s, s
    return matrix


def draw_body(rng: np.random.Generator) -> Body:
    """A random body: adults, and now and then a child with a larger head."""
    child = rng.random() < 0.15
    return Body(
        girth=float(np.clip(rng.normal(1.0, 0.13), 0.78, 1.4)),
        shoulders=float(np.clip(rng.normal(1.0, 0.08), 0.82, 1.2)),
        head=float(rng.uniform(1.35, 1.55) if child else rng.uniform(1.02, 1.2)),
        torso=float(rng.normal(0.285, 0.008)),
        upper_arm=float(rng.normal(0.165, 0.006)),
        forearm=float(rng.normal(0.15, 0.006)),
        thigh=float(rng.normal(0.235, 0.008)),
        shin=float(rng.normal(0.235, 0.008)),
    )


def draw_pose(rng: np.random.Generator) -> Pose:
    """A random pose from one of the families below, jittered in every angle."""
    family = rng.choice(len(FAMILIES), p=WEIGHTS)
    degrees = FAMILIES[family](rng)
    if rng.random() < 0.5:
        degrees = _mirrored(degrees)
    jitter = rng.normal(0.0, 7.0, size=14)
    lean, arm, elbow, target, leg, knee, seated = degrees
    targets = target + rng.normal(0.0, 0.25, size=(2, 3))
    return Pose(
        lean=(float(np.radians(lean[0] + jitter[0] * 0.5)), float(np.radians(lean[1] + jitter[1] * 0.5))),
        head=tuple(np.radians(rng.normal(0.0, [22.0, 8.0, 7.0])).tolist()),
        arm=np.radians(arm + jitter[2:6].reshape(2, 2)),
        elbow=np.radians(np.clip(elbow + jitter[6:8] * 1.5, 2.0, 145.0)),
        elbow_target=targets,
        leg=np.radians(leg + jitter[8:12].reshape(2, 2) * 0.6),
        knee=np.radians(np.clip(knee + jitter[12:14] * 0.6, 0.0, 140.0)),
        seated=seated,
    )


def pose_skeleton(body: Body, pose: Pose, yaw: float) -> Skeleton:
    """Forward kinematics: the joints of `body` in `pose`, turned by `yaw` radians about the vertical."""
    view = rotation(1, yaw)
    torso = rotation(2, -pose.lean[1]) @ rotation(0, pose.lean[0])
    points: dict[str, Vector] = {"pelvis": np.zeros(3)}
    points["neck"] = torso @ np.array([0.0, body.torso, 0.0])
    turn, nod, tilt = pose.head
    head = torso @ rotation(1, turn) @ rotation(0, nod - 0.6 * pose.lean[0]) @ rotation(2, tilt)
    radius = 0.058 * body.head
    centre = points["neck"] + head @ np.array([0.0, 0.045 + radius, 0.012])
    points["head"] = centre
    points["chin"] = centre + head @ np.array([0.0, -radius * 0.9, radius * 0.2])
    points["nose"] = centre + head @ (radius * np.array([0.0, -0.12, 1.02]))
    for index, side in enumerate(SIDES):
        sign = 1.0 if side == "left" else -1.0
        points[f"{side}_eye"] = centre + head @ (radius * np.array([0.36 * sign, 0.14, 0.84]))
        points[f"{side}_ear"] = centre + head @ (radius * np.array([0.92 * sign, -0.04, 0.0]))
        shoulder = torso @ np.array([0.098 * body.shoulders * sign, body.torso - 0.022, 0.0])
        upper = torso @ _turned(pose.arm[index], sign) @ DOWN
        bend = torso @ (pose.elbow_target[index] * np.array([sign, 1.0, 1.0]))
        fore = _bent(upper, pose.elbow[index], bend)
        points[f"{side}_shoulder"] = shoulder
        points[f"{side}_elbow"] = shoulder + body.upper_arm * upper
        points[f"{side}_wrist"] = points[f"{side}_elbow"] + body.forearm * fore
        points[f"{side}_hand"] = points[f"{side}_wrist"] + 0.052 * fore
        hip = np.array([0.055 * sign * (0.5 + 0.5 * body.girth), -0.005, 0.0])
        turned = _turned(pose.leg[index], sign)
        thigh = turned @ DOWN
        turned = turned @ rotation(0, pose.knee[index])  # the knee is a hinge: the shin goes back
        shin = turned @ DOWN
        points[f"{side}_hip"] = hip
        points[f"{side}_knee"] = hip + body.thigh * thigh
        ankle = points[f"{side}_knee"] + body.shin * shin
        points[f"{side}_ankle"] = ankle
        points[f"{side}_heel"] = ankle + 0.03 * shin
        points[f"{side}_toe"] = points[f"{side}_heel"] + 0.085 * (turned @ np.array([0.2 * sign, 0.0, 0.98]))
    lowest = min(points[f"{side}_{part}"][1] for side in SIDES for part in ("heel", "toe", "knee"))
    return Skeleton({name: view @ p for name, p in points.items()}, view @ torso, view @ head, radius, lowest - 0.016)


def _turned(raised: Vector, sign: float) -> NDArray[np.float64]:
    """Rotation [3, 3] of a hanging limb that is `raised` [2] forward and then away from the body."""
    return rotation(2, sign * float(raised[1])) @ rotation(0, -float(raised[0]))


def _bent(limb: Vector, angle: float, target: Vector) -> Vector:
    """The direction of the next limb: bent by `angle` from `limb` towards `target`."""
    across = target - limb * (target @ limb)
    length = np.linalg.norm(across)
    return limb if length < 1e-6 else np.cos(angle) * limb + np.sin(angle) * across / length


# A family returns degrees: lean (2), arm (2x2: forward, sideways), elbow (2), elbow target (2x3: outwards, up,
# forward), leg (2x2), knee (2), seated. Row 0 is the left limb. The elbow target is outwards for both sides.
_Family = tuple[Vector, Vector, Vector, Vector, Vector, Vector, bool]


def _family(lean, arm, elbow, target, leg, knee, seated=False) -> _Family:  # type: ignore[no-untyped-def]
    return (
        np.array(lean, float),
        np.array(arm, float),
        np.array(elbow, float),
        np.array(target, float),
        np.array(leg, float),
        np.array(knee, float),
        seated,
    )


AHEAD, INWARDS, UPWARDS = (0.0, 0.4, 1.0), (-1.0, 0.0, 0.4), (-0.25, 1.0, 0.25)


def _mirrored(pose: _Family) -> _Family:
    lean, arm, elbow, target, leg, knee, seated = pose
    return (lean * np.array([1.0, -1.0]), arm[::-1], elbow[::-1], target[::-1], leg[::-1], knee[::-1], seated)


def _standing(rng: np.random.Generator) -> _Family:
    s = rng.uniform(5, 20)
    return _family((2, 0), ((0, s), (0, s)), (14, 14), (AHEAD, AHEAD), ((0, 5), (0, 5)), (4, 4))


def _contrapposto(rng: np.random.Generator) -> _Family:
    return _family((0, 6), ((-8, 42), (5, 10)), (95, 18), (INWARDS, AHEAD), ((0, 3), (14, 12)), (3, 26))


def _hands_on_hips(rng: np.random.Generator) -> _Family:
    return _family((0, 0), ((-12, 44), (-12, 44)), (98, 98), (INWARDS, INWARDS), ((0, 9), (0, 9)), (4, 4))


def _walking(rng: np.random.Generator) -> _Family:
    a = rng.uniform(14, 32)
    return _family((4, 0), ((a, 8), (-a, 8)), (26, 18), (AHEAD, AHEAD), ((-a, 2), (a, 2)), (22, 10))


def _running(rng: np.random.Generator) -> _Family:
    a = rng.uniform(38, 62)
    return _family((14, 0), ((a, 10), (-a, 16)), (88, 88), (AHEAD, AHEAD), ((-a * 0.6, 3), (a, 3)), (62, 68))


def _waving(rng: np.random.Generator) -> _Family:
    return _family((0, 3), ((5, 12), (10, 118)), (16, 62), (AHEAD, UPWARDS), ((0, 5), (0, 6)), (4, 4))


def _arms_up(rng: np.random.Generator) -> _Family:
    a = rng.uniform(128, 165)
    return _family((-2, 0), ((6, a), (6, a)), (25, 25), (UPWARDS, UPWARDS), ((0, 8), (0, 8)), (5, 5))


def _spread(rng: np.random.Generator) -> _Family:
    a = rng.uniform(74, 100)
    return _family((0, rng.normal(0, 7)), ((0, a), (0, a)), (10, 10), (AHEAD, AHEAD), ((0, 16), (0, 16)), (4, 4))


def _star_jump(rng: np.random.Generator) -> _Family:
    return _family((0, 0), ((0, 132), (0, 132)), (12, 12), (UPWARDS, UPWARDS), ((4, 32), (4, 32)), (14, 14))


def _lunge(rng: np.random.Generator) -> _Family:
    return _family((10, 0), ((70, 20), (-20, 40)), (30, 35), (AHEAD, AHEAD), ((68, 6), (-26, 6)), (66, 30))


def _side_lunge(rng: np.random.Generator) -> _Family:
    return _family((10, 16), ((20, 70), (10, 60)), (40, 95), (AHEAD, INWARDS), ((30, 40), (0, 38)), (66, 6))


def _squat(rng: np.random.Generator) -> _Family:
    a = rng.uniform(60, 84)
    return _family((26, 0), ((78, 12), (78, 12)), (22, 22), (INWARDS, INWARDS), ((a, 22), (a, 22)), (a + 28, a + 28))


def _kick(rng: np.random.Generator) -> _Family:
    return _family((-8, -6), ((30, 62), (-20, 52)), (40, 45), (AHEAD, AHEAD), ((-6, 4), (72, 16)), (10, 22))


def _balance(rng: np.random.Generator) -> _Family:
    return _family((0, 0), ((4, 148), (4, 148)), (52, 52), (UPWARDS, UPWARDS), ((2, 2), (34, 52)), (3, 128))


def _sitting(rng: np.random.Generator) -> _Family:
    return _family((6, 0), ((30, 10), (34, 12)), (48, 52), (AHEAD, INWARDS), ((84, 8), (84, 8)), (86, 80), True)


def _reading(rng: np.random.Generator) -> _Family:
    return _family((4, 0), ((26, 14), (26, 14)), (96, 96), ((-0.6, 0.8, 1), (-0.6, 0.8, 1)), ((0, 5), (4, 5)), (4, 8))


def _throwing(rng: np.random.Generator) -> _Family:
    return _family((6, -10), ((62, 42), (-20, 104)), (24, 84), (AHEAD, (0, 1, 0.2)), ((34, 8), (-16, 12)), (30, 14))


def _pointing(rng: np.random.Generator) -> _Family:
    return _family((0, 0), ((0, 14), (62, 48)), (18, 8), (AHEAD, AHEAD), ((0, 5), (8, 7)), (4, 10))


def _dancing(rng: np.random.Generator) -> _Family:
    return _family((4, 14), ((20, 138), (10, 56)), (66, 82), (UPWARDS, UPWARDS), ((6, 8), (26, 22)), (8, 52))


FAMILIES = (
    _standing,
    _contrapposto,
    _hands_on_hips,
    _walking,
    _running,
    _waving,
    _arms_up,
    _spread,
    _star_jump,
    _lunge,
    _side_lunge,
    _squat,
    _kick,
    _balance,
    _sitting,
    _reading,
    _throwing,
    _pointing,
    _dancing,
)
WEIGHTS = np.array([10, 7, 6, 12, 8, 6, 5, 4, 4, 5, 4, 3, 4, 3, 8, 5, 4, 5, 6], float)
WEIGHTS /= WEIGHTS.sum()
