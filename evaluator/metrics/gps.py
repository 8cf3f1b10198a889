"""GPS and GPSm average precision: COCO's, over the geodesic distance of predicted surface points. DensePose."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from evaluator.dataset import Dataset
from evaluator.errors import GroundTruthError, PredictionError, Problem
from evaluator.matching import THRESHOLDS, Candidates, Detections, Matches, assigned, bits, ordered, pairs
from evaluator.metrics.oks import MOST_DETECTIONS, RANGES, STATISTICS, MatchTally, outside
from evaluator.poses import Annotations, Booleans, Floats, Integers, Predictions
from evaluator.surface.maps import Maps, UvMaps, decoded
from evaluator.surface.surface_points import SurfacePoints, enlarged
from evaluator.surface.surfaces import PART_KAPPA, Surface
from evaluator.tally import Evidence, Score, defined_scores

TITLE = "Average precision and recall by geodesic point similarity"
SOURCE = (
    "Guler, Neverova and Kokkinos, DensePose, CVPR 2018; kappa by part and GPSm as in the COCO DensePose challenge of "
    "2019; matching as Detectron2's DensePoseCocoEval does it on input without ties"
)
HIGHER_IS_BETTER = True
ENTRY = "uv"
PARTS = "none"
# Masks end where the image does, so moving, turning or mirroring people out of it changes them; a mask is compared
# where nobody annotated a point, too; and for scaling and moving a point away, as in OKS.
INVARIANCES = frozenset({"rank", "perfect", "nobody"})

SCORES = tuple(
    f"{similarity}_{name}{kappa}" for similarity in ("gpsm", "gps") for kappa in ("", "@*") for name in STATISTICS
)
SAME_BOX = 0.8  # the overlap from which a detection may be of a person whose surface nobody annotated


@dataclass(frozen=True)
class Family:
    """One similarity: GPS or, `masked`, GPSm; with one kappa for all parts, or each part's own."""

    masked: bool
    kappa: float | None  # metres


@dataclass(frozen=True, eq=False)
class GpsTally:
    """The tallies of the families, side by side."""

    tallies: tuple[MatchTally, ...]

    @property
    def columns(self) -> tuple[tuple[str, str], ...]:
        return tuple(column for tally in self.tallies for column in tally.columns)

    @property
    def images(self) -> int:
        return self.tallies[0].images

    def scores(self, weights: Floats | None = None) -> list[Score]:
        return defined_scores(self, weights)

    def values(self, weights: Floats) -> Floats:
        return np.concatenate([tally.values(weights) for tally in self.tallies], axis=1)

    def evidence(self) -> list[Evidence]:
        return [each for tally in self.tallies for each in tally.evidence()]


def family_of(name: str) -> tuple[Family, str]:
    """What a score's name says: `gpsm_ap50` is GPSm and the statistic ap50, `gps_ap@0.255` GPS with that kappa."""
    head, _, kappa = name.partition("@")
    similarity, _, statistic = head.partition("_")
    return Family(similarity == "gpsm", float(kappa) if kappa else None), statistic


def measure(annotations: Annotations, predictions: Predictions, dataset: Dataset, *, names: Sequence[str]) -> GpsTally:
    """The ten numbers of COCO over GPS or GPSm, for each family that the names ask for.

    GPS is the mean over a person's annotated points of exp(-g^2 / (2 kappa^2)), g the geodesic distance in metres
    between the annotated and the predicted point of the surface at that pixel; a point outside the predicted box, or on
    predicted background, is infinitely far. GPSm is the root of GPS x IoU of the two masks. People whose surface nobody
    annotated, whom the file says to ignore, and crowds do not count: a detection without a match whose box
    overlaps theirs by 0.8 or more is left out, and so is every detection of an image in which nobody counts.
    GroundTruthError without a surface, sizes of images or boxes.
    """
    points, surface, maps = annotations.surface_points, annotations.surface, predictions.uv
    if points is None:
        raise GroundTruthError("the annotations have no surface points (dp_I, dp_U, dp_V, dp_x, dp_y)")
    if surface is None:
        raise GroundTruthError("no surface: DensePose needs its geodesic tables (surface=, --surface FILE)")
    if maps is None:
        raise PredictionError([Problem("missing_key", None, "", "no surface maps", "bbox, uv_shape and uv_data")])
    wrong = np.flatnonzero(~np.isfinite(maps.boxes).all(axis=1)).tolist()
    if wrong:
        problem = Problem("not_finite", wrong[0], f"/{wrong[0]}/bbox", "a box is not finite", "finite numbers")
        raise PredictionError([problem], len(wrong))
    families: dict[Family, list[tuple[str, str]]] = {}
    for name in names:
        family, statistic = family_of(name)
        families.setdefault(family, []).append((name, statistic))
    people = _people(annotations, points)
    detections = _detections(annotations, predictions, maps)
    found = _compared(annotations, people, points, surface, detections, maps)
    tallies = []
    for family, scores in families.items():
        candidates = found.similarity(family)
        matches = _matches(candidates, people, detections, maps, len(annotations.image_ids))
        tallies.append(MatchTally(tuple(n for n, _ in scores), matches, tuple(s for _, s in scores)))
    return GpsTally(tuple(tallies))


@dataclass(frozen=True, eq=False)
class _People:
    """The annotated people by image; ids ascend within an image."""

    rows: Integers  # [P], into the annotations
    image: Integers  # [P], ascending
    boxes: Floats  # [P, 4]
    away: Booleans  # [A, P] who does not count in a range
    bare: Booleans  # [P] whose surface is not compared
    crowd: Booleans  # [P]
    position: Integers  # [P]


def _people(annotations: Annotations, points: SurfacePoints) -> _People:
    order = np.argsort(annotations.image, kind="stable")
    some = np.diff(points.start) > 0
    counts = annotations.people
    for field, values in (("area", annotations.areas[:, None]), ("bbox", annotations.boxes)):
        lacks = (counts | (field == "bbox")) & np.isnan(values).any(axis=1)
        if lacks.any():
            raise GroundTruthError(f"annotation {annotations.ids[lacks][0]} has no {field}, which GPS needs")
    return _People(
        rows=order,
        image=annotations.image[order],
        boxes=annotations.boxes[order],
        away=~counts[order] | outside(annotations.areas[order], RANGES),
        bare=~(some & counts)[order],
        crowd=annotations.crowd[order],
        position=annotations.positions[order],
    )


def _detections(annotations: Annotations, predictions: Predictions, maps: UvMaps) -> Detections:
    """The best twenty of each image. Equal scores are ordered by their boxes and then by a digest of their maps."""
    digests = [np.frombuffer(hashlib.sha256(png).digest(), dtype=">u4") for png in maps.images]
    content = np.concatenate([maps.boxes, np.array(digests, dtype=np.float64).reshape(-1, 8)], axis=1)
    image = np.searchsorted(annotations.image_ids, predictions.image_ids)
    return ordered(image, predictions.scores, content.reshape(-1, 4, 3), MOST_DETECTIONS)


@dataclass(frozen=True, eq=False)
class _Compared:
    """C pairs of a detection and a person with annotated points in its box."""

    detection: Integers  # [C]
    person: Integers  # [C]
    overlap: Floats  # [C] of their masks
    start: Integers  # [C + 1] where the points of each pair begin
    distance: Floats  # [M] geodesic, metres
    part: Integers  # [M] annotated chart

    def similarity(self, family: Family) -> Candidates:
        """The pairs that are similar enough to match at the loosest threshold."""
        kappa = PART_KAPPA[self.part] if family.kappa is None else np.full(len(self.part), family.kappa)
        each = np.exp(-(self.distance**2) / (2 * kappa**2))
        total = np.add.reduceat(each, self.start[:-1]) if len(each) else each
        similarity = total / np.diff(self.start)
        if family.masked:
            similarity = np.sqrt(similarity * self.overlap)
        near = similarity >= THRESHOLDS[0]
        return Candidates(self.detection[near], self.person[near], similarity[near])


def _compared(
    annotations: Annotations,
    people: _People,
    points: SurfacePoints,
    surface: Surface,
    detections: Detections,
    maps: UvMaps,
) -> _Compared:
    true = surface.nearest(points.part, points.u, points.v)  # [M]
    if (true < 0).any():
        raise GroundTruthError(f"the surface has no vertices in part {points.part[true < 0][0]}")
    detection, person = pairs(detections.image, people.image, len(annotations.image_ids))
    wanted = ~people.bare[person]
    compared: list[tuple[int, int, float]] = []
    codes: list[NDArray[np.uint32]] = []
    targets: list[Integers] = []
    bodies: dict[int, _Mask] = {}  # of the people of one image
    for d, those in _grouped(detection[wanted], person[wanted]):
        row, image = int(detections.rows[d]), int(detections.image[d])
        box = maps.boxes[row]
        places = {p: _places(points, int(people.rows[p]), people.boxes[p], box) for p in those}
        places = {p: place for p, place in places.items() if place[0].any()}
        if not places:
            continue
        size = _image_size(annotations, image)
        uv = decoded(maps.images[row])
        mask = _Mask.of(uv[0] > 0, box, size)
        bodies = {p: body for p, body in bodies.items() if people.image[p] == image}
        for p, (inside, x, y) in places.items():
            of = int(people.rows[p])
            if p not in bodies:
                bodies[p] = _body(points.mask(of), people.boxes[p], size)
            code = np.zeros(len(x), dtype=np.uint32)
            code[inside] = _codes(uv[:, y[inside], x[inside]])
            compared.append((d, p, mask.overlap(bodies[p])))
            codes.append(code)
            targets.append(np.arange(points.start[of], points.start[of + 1]))
    lengths = np.array([len(code) for code in codes], dtype=np.int64)
    all_codes = np.concatenate(codes) if codes else np.zeros(0, dtype=np.uint32)
    target = np.concatenate(targets) if targets else np.zeros(0, dtype=np.int64)
    distinct, place = np.unique(all_codes, return_inverse=True)
    part = (distinct >> 16).astype(np.int64)
    vertex = surface.nearest(part, (distinct >> 8 & 255) / 255.0, (distinct & 255) / 255.0)
    columns = list(zip(*compared, strict=True)) if compared else [(), (), ()]
    return _Compared(
        detection=np.array(columns[0], dtype=np.int64),
        person=np.array(columns[1], dtype=np.int64),
        overlap=np.array(columns[2], dtype=np.float64),
        start=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        distance=surface.between(true[target], vertex[place]),
        part=points.part[target],
    )


def _grouped(detection: Integers, person: Integers) -> Iterator[tuple[int, list[int]]]:
    """(detection, its people) of pairs in ascending order of detections."""
    first = np.flatnonzero(np.diff(detection, prepend=-1)).tolist()
    for start, end in pairwise([*first, len(detection)]):
        yield int(detection[start]), person[start:end].tolist()


def _codes(pixels: Maps) -> NDArray[np.uint32]:
    """[n] chart, u and v of pixels [3, n] as one number; 0 for background, wherever its u and v are."""
    chart, u, v = pixels.astype(np.uint32)
    return np.where(chart > 0, chart << 16 | u << 8 | v, 0).astype(np.uint32)


def _places(points: SurfacePoints, of: int, box: Floats, predicted: Floats) -> tuple[Booleans, Integers, Integers]:
    """(inside, x, y): whether each point of a person lies in a predicted box, and its pixel there.

    As the official evaluation has it: a point at 255 is at the far edge of the annotated box, pixels are cut off
    towards zero, and the box ends at its size without fraction.
    """
    some = slice(int(points.start[of]), int(points.start[of + 1]))
    x = np.trunc(points.x[some] * box[2] / 255.0 + box[0] - predicted[0]).astype(np.int64)
    y = np.trunc(points.y[some] * box[3] / 255.0 + box[1] - predicted[1]).astype(np.int64)
    inside = (x >= 0) & (y >= 0) & (x < int(predicted[2])) & (y < int(predicted[3]))
    return inside, x, y


def _image_size(annotations: Annotations, image: int) -> tuple[int, int]:
    """(height, width)"""
    record = annotations.images[image] if image < len(annotations.images) else {}
    height, width = record.get("height"), record.get("width")
    if not isinstance(height, int) or not isinstance(width, int):
        raise GroundTruthError(f"image {annotations.image_ids[image]} has no height and width, which GPSm needs")
    return height, width


@dataclass(frozen=True, eq=False)
class _Mask:
    """A mask in the pixels of its image: where it begins, and only what lies within the image."""

    left: int
    top: int
    pixels: Booleans  # [h, w]
    area: int

    @classmethod
    def of(cls, pixels: Booleans, box: Floats, size: tuple[int, int]) -> _Mask:
        """A mask [h, w] laid into an image at the corner of its box without fraction, cut at both's ends."""
        left, top = int(box[0]), int(box[1])
        right = min(int(box[0] + box[2]), size[1], left + pixels.shape[1])
        bottom = min(int(box[1] + box[3]), size[0], top + pixels.shape[0])
        x, y = max(left, 0), max(top, 0)
        within = pixels[y - top : max(bottom - top, 0), x - left : max(right - left, 0)]
        return cls(x, y, within, int(within.sum()))

    def overlap(self, other: _Mask) -> float:
        """Intersection over union, 0 where both are empty."""
        left, top = max(self.left, other.left), max(self.top, other.top)
        right = min(self.left + self.pixels.shape[1], other.left + other.pixels.shape[1])
        bottom = min(self.top + self.pixels.shape[0], other.top + other.pixels.shape[0])
        both = 0
        if right > left and bottom > top:
            mine, theirs = (
                mask.pixels[top - mask.top : bottom - mask.top, left - mask.left : right - mask.left]
                for mask in (self, other)
            )
            both = int((mine & theirs).sum())
        union = self.area + other.area - both
        return both / union if union else 0.0


def _body(mask: Booleans, box: Floats, size: tuple[int, int]) -> _Mask:
    """An annotated mask of 256 x 256 stretched over its box."""
    return _Mask.of(enlarged(mask, round(max(box[3], 1.0)), round(max(box[2], 1.0))), box, size)


def _matches(candidates: Candidates, people: _People, detections: Detections, maps: UvMaps, images: int) -> Matches:
    person = assigned(detections, candidates, people.away, people.crowd, people.position, THRESHOLDS)  # [A, T, D]
    matched = person >= 0
    area = np.arange(len(RANGES))[:, None, None]
    absorbed = matched & people.away[area, person] if people.away.size else matched
    free = np.ones(people.away.shape, dtype=bool)
    for range_, who in enumerate(person[:, -1]):
        free[range_, who[who >= 0]] = people.crowd[who[who >= 0]]
    ignored = absorbed | _nobody_counts(people, images)[:, None, detections.image]
    _ignore_same_boxes(matched, ignored, free, people, detections, maps, images)
    sizes = maps.boxes[detections.rows]
    ignored |= ~matched & outside(sizes[:, 2] * sizes[:, 3], RANGES)[:, None, :]
    best_first = np.lexsort((np.arange(len(detections.rows)), -detections.scores))
    return Matches(
        images=images,
        image=detections.image[best_first],
        hit_bits=bits((matched & ~ignored)[..., best_first]),
        false_bits=bits((~matched & ~ignored)[..., best_first]),
        people_image=people.image,
        counts=~people.away,
    )


def _nobody_counts(people: _People, images: int) -> Booleans:
    """[A, I] images in which nobody counts in a range."""
    return np.stack([np.bincount(people.image[~away], minlength=images) == 0 for away in people.away])


def _ignore_same_boxes(
    matched: Booleans,
    ignored: Booleans,
    free: Booleans,
    people: _People,
    detections: Detections,
    maps: UvMaps,
    images: int,
) -> None:
    """Ignores detections of people who do not count: those without a match at the strictest threshold, by their boxes.

    Best first, each is compared with the person, free at that threshold, whose box overlaps its own most, by 0.8 or
    more; of equal ones somebody who does not count, then the larger id. If that person does not count, the detection is
    ignored at every threshold and the person is no longer free; if the person counts, the detection is ignored at none.
    Changes `ignored` and `free`.
    """
    detection, person = pairs(detections.image, people.image, images)
    overlap = box_overlap(maps.boxes[detections.rows][detection], people.boxes[person], people.crowd[person])
    same = overlap >= SAME_BOX
    detection, person, overlap = detection[same], person[same], overlap[same]
    for area, away in enumerate(people.away):
        order = np.lexsort((person, away[person], overlap, detection))
        for d, those in _grouped(detection[order], person[order]):
            able = [p for p in those if free[area, p]]
            if matched[area, -1, d] or not able:
                continue
            best = able[-1]
            ignored[area, :, d] = away[best]
            if away[best]:
                free[area, best] = people.crowd[best]


def box_overlap(a: Floats, b: Floats, crowd: Booleans) -> Floats:
    """[n] intersection over union of boxes [n, 4] of x, y, width, height; over the first box's area where `crowd`."""
    low = np.maximum(a[:, :2], b[:, :2])
    high = np.minimum(a[:, :2] + a[:, 2:], b[:, :2] + b[:, 2:])
    both = np.maximum(high - low, 0.0).prod(axis=1)
    area = a[:, 2] * a[:, 3]
    union = np.where(crowd, area, area + b[:, 2] * b[:, 3] - both)
    return np.asarray(both / np.where(union > 0, union, 1.0))
