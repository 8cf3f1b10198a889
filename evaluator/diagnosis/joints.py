"""What goes wrong with each joint: jitter, inversion, swap or miss; and the curves behind the scores.

The classes are those of Ronchi and Perona, "Benchmarking and error diagnosis in multi-instance pose estimation", ICCV
2017, for OKS; for the rate metrics of single people the same questions are asked with the metric's own threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluator.dataset import Dataset, MetricSpec
from evaluator.diagnosis.oks_errors import (
    RECALLS,
    DetectionErrors,
    ScoreErrors,
    detection_errors,
    object_areas,
    pair,
    precision_recall,
    recalls,
    score_errors,
)
from evaluator.distances import NORMALISERS, euclidean, within
from evaluator.errors import DatasetDefinitionError
from evaluator.matching import EPSILON, THRESHOLDS
from evaluator.metrics import load_metric
from evaluator.metrics.multi_person_ap import assign
from evaluator.metrics.pdj import STRICT
from evaluator.poses import Annotations, Booleans, Floats, Integers, Predictions, aligned
from evaluator.slices import Grouping, groupings

CLASSES = ("good", "jitter", "inversion", "swap", "miss")
GOOD_SIMILARITY = 0.85
NEAR_SIMILARITY = 0.5
CURVE_STEPS = 50  # from 0 to twice the threshold, which is the one in the middle

# (points [n, K, 2], true places [n, K, 2], whose size decides [n]) -> good, near: [n, K] each
Closeness = Callable[[Floats, Floats, Integers], tuple[Booleans, Booleans]]


@dataclass(frozen=True)
class ErrorShares:
    """The five classes of a joint or a part, fractions that add up to one. `counted`: the joints behind them."""

    name: str
    counted: int
    good: float
    jitter: float
    inversion: float
    swap: float
    miss: float

    @property
    def shares(self) -> tuple[float, ...]:
        """In the order of `CLASSES`."""
        return (self.good, self.jitter, self.inversion, self.swap, self.miss)


@dataclass(frozen=True)
class Curve:
    """A line of a plot: a score against thresholds, or precision against recall."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True)
class Slice:
    """A score and the errors among some of the people, such as those of a size. A person is in one slice per grouping.

    `score` is a fraction: under OKS the mean recall of these people over its thresholds, in the matching of everybody;
    under multi-person mAP the share of their joints that were found, including joints of people without a pose;
    elsewhere the metric's pooled rate over their joints. Weighted by people, or by `errors.counted`, the slices of a
    grouping average to the score of everybody.
    """

    by: str  # "size", "occlusion", "visible_joints", "crowding"
    name: str
    people: int
    images: int
    metric: str  # of the score: "ar", "pck@0.2", "recall@0.5"
    score: float
    errors: ErrorShares


@dataclass(frozen=True)
class Diagnosis:
    """Why the scores are what they are. Shares are fractions; joints that nobody annotated are left out.

    A part's shares are the mean of its joints', as a part's rate is; `total` is pooled over all joints that count.
    """

    dataset: str
    metric: str  # whose threshold decides: "pck@0.2"; "oks" for object keypoint similarity
    people: int  # whose joints were classified: annotated people, or matched ones under OKS
    swaps_possible: bool  # whether anybody shares an image with another annotated person
    total: ErrorShares
    parts: tuple[ErrorShares, ...]
    joints: tuple[ErrorShares, ...]
    curves: tuple[Curve, ...]
    slices: tuple[Slice, ...] = ()
    detections: tuple[DetectionErrors, ...] = ()  # OKS only, one per threshold
    scores: ScoreErrors | None = None  # OKS only

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON: the fields by name."""
        return asdict(self)


def diagnosable(dataset: Dataset) -> bool:
    """Whether there is a diagnosis: of keypoints in the image, not of poses in space or on the surface."""
    return dataset.entry == "keypoints"


def diagnose(dataset: Dataset, predictions: Predictions, annotations: Annotations) -> Diagnosis:
    """Classifies every joint by the rule of the dataset's OKS metric or, without one, of its first PCK, PCKh or PDJ.

    Under multi-person mAP the joints are those of the people who were given a pose, near meaning a hit there.

    >>> from evaluator import annotations_from_arrays, load_dataset, predictions_from_arrays
    >>> line = np.stack([100.0 * np.arange(14), np.zeros(14)], axis=1)  # one LSP person, all joints in a row
    >>> wrong = line.copy()
    >>> wrong[[6, 11]] = line[[11, 6]]  # the wrists are confused with each other
    >>> why = diagnose(load_dataset("lsp"), predictions_from_arrays([wrong]), annotations_from_arrays([line]))
    >>> why.total.inversion * 14
    2.0
    """
    for spec in dataset.metrics:
        if spec.metric in ("oks", "wholebody"):
            return _by_similarity(dataset, predictions, annotations, spec.parameters.get("box_share"))
        if spec.metric == "multi_person_ap":
            return _by_assignment(dataset, predictions, annotations, spec)
        if spec.metric in _RATES and "step" not in spec.parameters:
            return _by_distance(dataset, predictions, annotations, spec)
    raise DatasetDefinitionError(f"{dataset.name}.toml: metrics: a diagnosis needs OKS or a PCK")


def _by_similarity(
    dataset: Dataset, predictions: Predictions, annotations: Annotations, box_share: float | None
) -> Diagnosis:
    pairing = pair(annotations, predictions, dataset, box_share)
    loosest = pairing.person[0]
    matched = (loosest >= 0) & pairing.counts[loosest]
    person = loosest[matched]
    points = predictions.keypoints[pairing.rows[matched], :, :2]
    areas = object_areas(annotations, box_share)
    classes = error_classes(points, person, annotations, dataset, similarity_closeness(areas, dataset.sigmas))
    counted = (annotations.visibility[person] > 0) & dataset.scored
    curves = tuple(
        Curve(f"OKS {threshold:.2f}", tuple(RECALLS.tolist()), tuple(precision_recall(pairing, person_at).tolist()))
        for threshold, person_at in zip(THRESHOLDS.tolist(), pairing.person[1:], strict=True)
    )
    everybody = np.flatnonzero(pairing.counts)
    recall = recalls(pairing)[everybody]

    def mean_recall(mine: Booleans, _: Booleans) -> float:
        return float(recall[mine].mean())

    cuts = groupings(annotations, dataset, areas)
    slices = _slices(cuts, everybody, person, classes, counted, annotations, dataset, metric="ar", score=mean_recall)
    return _diagnosed(
        dataset, annotations, person, classes, counted,
        metric="oks",
        curves=curves,
        slices=slices,
        detections=detection_errors(pairing),
        scores=score_errors(pairing, annotations, predictions, dataset, box_share),
    )  # fmt: skip


_RATES: dict[str, Callable[[Mapping[str, Any]], tuple[str, bool]]] = {
    # metric -> from its parameters, the normaliser and whether the threshold itself is a miss
    "pck": lambda parameters: (parameters["normaliser"], parameters.get("strict", False)),
    "pckh": lambda parameters: ("head", False),
    "pdj": lambda parameters: (parameters["base"], STRICT[parameters["base"]]),
}


def _by_distance(dataset: Dataset, predictions: Predictions, annotations: Annotations, spec: MetricSpec) -> Diagnosis:
    normaliser, strict = _RATES[spec.metric](spec.parameters)
    threshold = float(spec.parameters["threshold"])
    lengths = NORMALISERS[normaliser](annotations, dataset)
    person = np.flatnonzero(annotations.people & ~np.isnan(lengths))
    points = aligned(annotations, predictions).keypoints[person]
    closeness = distance_closeness(lengths, threshold, strict=strict)
    classes = error_classes(points, person, annotations, dataset, closeness)
    counted = (annotations.visibility[person] > 0) & dataset.scored
    hits = (classes <= CLASSES.index("jitter")) & counted

    def rate(_: Booleans, rows: Booleans) -> float | None:
        return float(hits[rows].sum() / counted[rows].sum()) if counted[rows].any() else None

    cuts = groupings(annotations, dataset, None)
    slices = _slices(cuts, person, person, classes, counted, annotations, dataset, metric=spec.name, score=rate)
    return _diagnosed(
        dataset, annotations, person, classes, counted,
        metric=spec.name,
        curves=threshold_curves(dataset, predictions, annotations, spec),
        slices=slices,
    )  # fmt: skip


def _by_assignment(dataset: Dataset, predictions: Predictions, annotations: Annotations, spec: MetricSpec) -> Diagnosis:
    threshold = float(spec.parameters["threshold"])
    poses = assign(annotations, predictions, dataset, threshold)
    given = np.flatnonzero(poses.person >= 0)
    person = poses.person[given]
    points = np.where(
        poses.predicted[given, :, None], predictions.keypoints[poses.detections.rows[given], :, :2], np.nan
    )
    closeness = distance_closeness(annotations.head_sizes, threshold)
    classes = error_classes(points, person, annotations, dataset, closeness)
    counted = poses.annotated[person]
    everybody = np.flatnonzero(poses.annotated.any(axis=1))
    annotated, hits = poses.annotated[everybody].sum(axis=1), poses.hit[given].sum(axis=1)

    def recall(mine: Booleans, rows: Booleans) -> float:
        return float(hits[rows].sum() / annotated[mine].sum())

    cuts = groupings(annotations, dataset, None)
    name = spec.name.replace("map", "recall")
    slices = _slices(cuts, everybody, person, classes, counted, annotations, dataset, metric=name, score=recall)
    return _diagnosed(
        dataset, annotations, person, classes, counted,
        metric=spec.name,
        curves=threshold_curves(dataset, predictions, annotations, spec),
        slices=slices,
    )  # fmt: skip


def _diagnosed(
    dataset: Dataset,
    annotations: Annotations,
    person: Integers,
    classes: NDArray[np.int64],
    counted: Booleans,
    **rest: Any,
) -> Diagnosis:
    """A diagnosis with what all three kinds share: the classes' shares, and whether swaps are possible."""
    total, parts, joints = shares(classes, counted, dataset)
    return Diagnosis(
        dataset=dataset.name,
        people=len(person),
        swaps_possible=bool(len(neighbours(person, annotations)[0])),
        total=total,
        parts=parts,
        joints=joints,
        **rest,
    )


def _slices(
    cuts: tuple[Grouping, ...],
    everybody: Integers,
    person: Integers,
    classes: NDArray[np.int64],
    counted: Booleans,
    annotations: Annotations,
    dataset: Dataset,
    *,
    metric: str,
    score: Callable[[Booleans, Booleans], float | None],
) -> tuple[Slice, ...]:
    """Every slice that has a score. `score` computes it from two masks: who of `everybody` and of `person` is in it."""
    found = []
    for cut in cuts:
        for place, name in enumerate(cut.names):
            mine, rows = cut.member[everybody] == place, cut.member[person] == place
            value = score(mine, rows) if mine.any() else None
            if value is None:
                continue
            errors, _, _ = shares(classes[rows], counted[rows], dataset)
            images = len(np.unique(annotations.image[everybody[mine]]))
            found.append(Slice(cut.by, name, int(mine.sum()), images, metric, float(value), errors))
    return tuple(found)


def similarity_closeness(areas: Floats, sigmas: Floats) -> Closeness:
    """Keypoint similarity s = exp(-d^2 / ((2 sigma)^2 x 2 x area)): good from 0.85, near from 0.5.

    areas [P] in square pixels are those of the person whose joint the true place is; sigmas [K].
    """
    variances = (sigmas * 2) ** 2

    def close(points: Floats, true: Floats, people: Integers) -> tuple[Booleans, Booleans]:
        with np.errstate(invalid="ignore", over="ignore"):
            squares = (points[..., 0] - true[..., 0]) ** 2 + (points[..., 1] - true[..., 1]) ** 2
            similarity = np.exp(-(squares / variances / (areas[people, None] + EPSILON) / 2))
            return np.asarray(similarity >= GOOD_SIMILARITY), np.asarray(similarity >= NEAR_SIMILARITY)

    return close


def distance_closeness(lengths: Floats, threshold: float, *, strict: bool = False) -> Closeness:
    """Good within half the threshold, near within it, times the length [P] of the person whose joint it is."""

    def close(points: Floats, true: Floats, people: Integers) -> tuple[Booleans, Booleans]:
        distances, sizes = euclidean(points, true), lengths[people, None]
        near = within(distances, sizes, threshold, strict=strict)
        return within(distances, sizes, threshold / 2, strict=strict) & near, near

    return close


def error_classes(
    points: Floats, person: Integers, annotations: Annotations, dataset: Dataset, close: Closeness
) -> NDArray[np.int64]:
    """[M, K] the class of each predicted joint, an index into `CLASSES`, the first that applies.

    points [M, K, 2], NaN where not predicted; person [M], whose prediction it is. Inversion: near the same person's
    joint of the other side. Swap: near the same joint, or that of the other side, of another annotated person.
    """
    flip = flipped(dataset)
    true = annotations.keypoints
    good, near = close(points, true[person], person)
    _, mirrored = close(points, true[person][:, flip], person)
    mirrored = mirrored & (flip != np.arange(len(flip)))
    swapped = np.zeros_like(near)
    row, other = neighbours(person, annotations)
    for arrangement in (np.arange(len(flip)), flip):
        _, near_other = close(points[row], true[other][:, arrangement], other)
        np.logical_or.at(swapped, row, near_other)
    return np.select([good, near, mirrored, swapped], [0, 1, 2, 3], 4)


def flipped(dataset: Dataset) -> Integers:
    """[K] the joint of the other side, itself for a joint on the axis."""
    flip = np.arange(len(dataset.joints))
    for a, b in dataset.flip_pairs:
        flip[dataset.joint(a)], flip[dataset.joint(b)] = dataset.joint(b), dataset.joint(a)
    return flip


def neighbours(person: Integers, annotations: Annotations) -> tuple[Integers, Integers]:
    """(row, other): for each row of person [M] the other annotated people of the image, crowd regions left out."""
    people = np.flatnonzero(annotations.people)
    people = people[np.argsort(annotations.image[people], kind="stable")]
    first = np.searchsorted(annotations.image[people], annotations.image[person], side="left")
    last = np.searchsorted(annotations.image[people], annotations.image[person], side="right")
    many = last - first
    row = np.repeat(np.arange(len(person)), many)
    before = np.repeat(np.cumsum(many) - many, many)
    other = people[np.repeat(first, many) + np.arange(len(row)) - before]
    apart = other != person[row]
    return row[apart], other[apart]


def shares(
    classes: NDArray[np.int64], counted: Booleans, dataset: Dataset
) -> tuple[ErrorShares, tuple[ErrorShares, ...], tuple[ErrorShares, ...]]:
    """(total, parts, joints) of the classes [M, K] of those joints that count: counted [M, K]."""
    counts = np.stack([((classes == each) & counted).sum(axis=0) for each in range(len(CLASSES))], axis=1)  # [K, 5]
    known = counts.sum(axis=1)
    rates = counts / np.maximum(known, 1)[:, None]
    joints = tuple(
        _shares(name, int(known[index]), rates[index]) for index, name in enumerate(dataset.joints) if known[index]
    )
    parts = []
    for part, members in dataset.parts.items():
        places = [index for index in map(dataset.joint, members) if known[index]]
        if places:
            parts.append(_shares(part, int(known[places].sum()), rates[places].mean(axis=0)))
    pooled = counts.sum(axis=0) / max(int(known.sum()), 1)
    return _shares("all", int(known.sum()), pooled), tuple(parts), joints


def _shares(name: str, counted: int, values: Floats) -> ErrorShares:
    return ErrorShares(name, counted, **dict(zip(CLASSES, map(float, values), strict=True)))


def threshold_curves(
    dataset: Dataset, predictions: Predictions, annotations: Annotations, spec: MetricSpec
) -> tuple[Curve, ...]:
    """A rate metric against its threshold, from 0 to twice the metric's own, for each part and `all`."""
    metric = load_metric(spec.metric)
    steps = [round(k * 2 * float(spec.parameters["threshold"]) / CURVE_STEPS, 12) for k in range(CURVE_STEPS + 1)]
    found: dict[str, list[float]] = {}
    for step in steps:
        parameters = {**spec.parameters, "threshold": step}
        for score in metric.measure(annotations, predictions, dataset, names=(spec.name,), **parameters).scores():
            found.setdefault(score.part, []).append(score.value)
    return tuple(Curve(part, tuple(steps), tuple(values)) for part, values in found.items())
