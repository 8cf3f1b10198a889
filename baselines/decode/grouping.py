"""Detections of joints become people: the subset and the partition of detections with the least cost.

DeepCut's objective (Pishchulin et al., CVPR 2016, arXiv 1511.06645, equations 1 to 7) with the pairwise terms and the
incremental search of DeeperCut (Insafutdinov et al., ECCV 2016, arXiv 1605.03170, sections 4 and 5). Every detection
has one class here, that of the map it was found in. A selected detection costs log((1 - p) / p), two selected ones in
the same person cost log((1 - q) / q); p is how sure the detector is, q the probability that both are of one person. The
number of people is part of the solution.

Units: radians, and pixels of an image in which a person is PERSON_HEIGHT tall, as in the paper: detections are scaled
to that size, whatever the size of the network's input.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

PERSON_HEIGHT = 340.0  # pixels
NMS_RADIUS = 5.0  # pixels: of two detections of one class this close together the better one remains
LEAST_SCORE = 0.2  # of a detection
MOST_PER_CLASS = 30  # detections per image: the best ones
SURE = 1e-4  # probabilities stay this far from 0 and 1, so that no cost is infinite
# For two detections of one class at distance d: q = 1 / (1 + exp(0.2 d - 7.5)), a half at 37.5 pixels.
SAME_CLASS_SLOPE, SAME_CLASS_OFFSET = 0.2, 7.5
FEATURES = 9
PATIENCE = 40  # moves of a sequence without a new best point
FEW, DRAWN = 40, 640  # up to FEW detections are also searched from DRAWN / N random starts
SMALL = 1e-9  # savings below are rounding
# The logistic of a pair of classes until it is fitted: likely where each is where the other one expects it.
PRIOR = np.array([-0.08, -0.5, -0.08, -0.5, 1.0, 0.5, 1.0, 0.5, 1.0])


@dataclass(frozen=True)
class JointDetections:
    """Places [N, 2] of joints of class [N] with probability score [N], found in the grid cell [N, 2] (u, v), and the
    offsets `ways` [N, K, 2] at which each class of the same person is expected."""

    places: Floats
    classes: Integers
    scores: Floats
    cells: Integers
    ways: Floats

    def resized(self, factor: float) -> "JointDetections":
        """The same in an image `factor` times as large."""
        return replace(self, places=self.places * factor, ways=self.ways * factor)


@dataclass(frozen=True)
class Model:
    """The statistics that grouping uses: fitted to annotated people (`fit_grouping`), or the prior.

    `scores` [K, 2]: slope and offset of the logistic that makes a probability of the log-odds of a class's score;
    `pairs` [K, K, 9]: weights of the logistic of a pair of classes a < b at [a, b]; `ways` [K, K, 2]: the mean
    offset from one class to another, for networks that do not predict it themselves.
    """

    scores: Floats
    pairs: Floats
    ways: Floats | None = None

    @classmethod
    def prior(cls, classes: int) -> "Model":
        """Scores are probabilities, every pair has the weights PRIOR."""
        return cls(np.tile([1.0, 0.0], (classes, 1)), np.tile(PRIOR, (classes, classes, 1)))

    def to_json(self) -> dict[str, Any]:
        """Tables; rows are classes, or pairs in the order of `numpy.triu_indices(K, 1)`. Five significant digits."""
        upper = np.triu_indices(len(self.scores), 1)
        tables = {"scores": self.scores, "pairs": self.pairs[upper]}
        if self.ways is not None:
            tables["ways"] = self.ways[upper]
        return {name: [[float(f"{v:.5g}") for v in row] for row in table.tolist()] for name, table in tables.items()}

    @classmethod
    def from_json(cls, values: dict[str, Any], classes: int) -> "Model":
        """Raises ValueError where the tables are not those of so many classes."""
        upper = np.triu_indices(classes, 1)
        scores = _table(values, "scores", (classes, 2))
        pairs = np.zeros((classes, classes, FEATURES))
        pairs[upper] = _table(values, "pairs", (len(upper[0]), FEATURES))
        if "ways" not in values:
            return cls(scores, pairs)
        ways = np.zeros((classes, classes, 2))
        ways[upper] = _table(values, "ways", (len(upper[0]), 2))
        return cls(scores, pairs, ways - ways.transpose(1, 0, 2))


def _table(values: dict[str, Any], name: str, shape: tuple[int, int]) -> Floats:
    try:
        table = np.array(values[name], float)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"the grouping's table {name} cannot be read ({error!r})") from error
    if table.shape != shape or not np.isfinite(table).all():
        raise ValueError(f"the grouping's table {name} is not {shape[0]} x {shape[1]} finite numbers")
    return table


def detect(
    scores: NDArray[np.floating],
    positions: NDArray[np.floating],
    targets: NDArray[np.floating] | None = None,
    radius: float = NMS_RADIUS,
) -> JointDetections:
    """The detections in score maps [K, H, W] whose cells lead to positions [K, 2, H, W] (x, y), and to the other parts
    of the same person at `targets` [K, K, 2, H, W], by class of the cell and of the part; ways are zero without them.

    Pixels are those of the network's input. Cells need at least LEAST_SCORE and come best first; those within `radius`
    of a better one of their class are dropped.
    """
    rows: list[tuple[int, int, int]] = []
    for k in range(len(scores)):
        v, u = np.nonzero(scores[k] >= LEAST_SCORE)
        order = np.argsort(-scores[k, v, u], kind="stable")
        near = positions[k][:, v, u].T[order]  # [n, 2]
        left = np.arange(len(order))
        for _ in range(MOST_PER_CLASS):
            if not len(left):
                break
            best = left[0]
            rows.append((k, int(v[order[best]]), int(u[order[best]])))
            left = left[np.linalg.norm(near[left] - near[best], axis=1) > radius]
    of, v, u = np.array(rows, np.int64).reshape(-1, 3).T
    places = positions[of, :, v, u].reshape(-1, 2).astype(np.float64)
    ways = np.zeros((len(of), len(scores), 2))
    if targets is not None:
        ways = targets[of, :, :, v, u].astype(np.float64) - places[:, None]
        ways[np.arange(len(of)), of] = 0.0
    return JointDetections(places, of, scores[of, v, u].astype(np.float64), np.stack([u, v], axis=1), ways)


def pair_features(found: JointDetections, first: Integers, second: Integers) -> Floats:
    """Features [M, 9] of the pairs (first, second) [M], of different classes (DeeperCut, section 4).

    Forward: the distance of the second one from where the first expects it, and the angle between the offset and the
    expected offset. Backward: the same with both exchanged. Then exp(-x) of the four, and 1.
    """
    between = found.places[second] - found.places[first]  # [M, 2]
    features = []
    for expected, actual in (
        (found.ways[first, found.classes[second]], between),
        (found.ways[second, found.classes[first]], -between),
    ):
        cross = expected[:, 0] * actual[:, 1] - expected[:, 1] * actual[:, 0]
        features += [
            np.linalg.norm(actual - expected, axis=1),
            np.abs(np.arctan2(cross, (expected * actual).sum(axis=1))),
        ]
    plain = np.stack(features, axis=1)  # [M, 4]
    return np.concatenate([plain, np.exp(-plain), np.ones((len(plain), 1))], axis=1)


def fit_logistic(features: Floats, same: NDArray[np.bool_], prior: Floats = PRIOR, strength: float = 1.0) -> Floats:
    """Weights [9] of the probability that pairs with these features [M, 9] are `same` [M], 1 / (1 + exp(-w f)).

    Newton's method on the log-likelihood less `strength` / 2 times the squared distance from `prior`, so that few
    examples leave the prior nearly as it is. Features are brought to comparable sizes first.
    """
    if not len(features):
        return prior
    size = np.maximum(np.abs(features).mean(axis=0), 1e-3)
    scaled, weights, centre = features / size, prior * size, prior * size
    for _ in range(50):
        probability = _logistic(scaled @ weights)
        slope = scaled.T @ (probability - same) + strength * (weights - centre)
        curvature = (scaled * (probability * (1 - probability))[:, None]).T @ scaled + strength * np.eye(len(size))
        step = np.linalg.solve(curvature, slope)
        longest = np.abs(step).max()
        weights = weights - step * min(1.0, 2.0 / max(longest, 1e-12))
        if longest < 1e-8:
            break
    return weights / size


def log_odds(probability: Floats) -> Floats:
    """log(p / (1 - p)) of probabilities, limited to between SURE and 1 - SURE."""
    p = np.clip(probability, SURE, 1 - SURE)
    odds: Floats = np.log(p / (1 - p))
    return odds


def calibrated(found: JointDetections, model: Model) -> JointDetections:
    """With the probability that each is a part of its class for its score."""
    slope, offset = model.scores[found.classes].T
    return replace(found, scores=_logistic(slope * log_odds(found.scores) + offset))


def grouped(found: JointDetections, model: Model) -> Integers:
    """The person of each calibrated detection, labels [N]; -1 where it is left out."""
    return partition(*costs(found.scores, probabilities(found, model)))


def probabilities(found: JointDetections, model: Model) -> Floats:
    """q [N, N]: how likely two detections are of one person."""
    n = len(found.scores)
    first, second = np.triu_indices(n, 1)
    turned = found.classes[first] > found.classes[second]
    first, second = np.where(turned, second, first), np.where(turned, first, second)
    q = np.zeros((n, n))
    same = found.classes[first] == found.classes[second]
    distance = np.linalg.norm(found.places[first] - found.places[second], axis=1)
    other = ~same
    values = _logistic(SAME_CLASS_OFFSET - SAME_CLASS_SLOPE * distance)
    features = pair_features(found, first[other], second[other])
    weights = model.pairs[found.classes[first[other]], found.classes[second[other]]]  # [M, 9]
    values[other] = _logistic((features * weights).sum(axis=1))
    q[first, second] = q[second, first] = values
    return q


def _logistic(x: Floats) -> Floats:
    return 1.0 / (1.0 + np.exp(-np.clip(x, -60.0, 60.0)))


def costs(scores: Floats, q: Floats) -> tuple[Floats, Floats]:
    """Unary [N] and pairwise [N, N] costs of probabilities, the diagonal 0."""
    p, q = np.clip(scores, SURE, 1 - SURE), np.clip(q, SURE, 1 - SURE)
    pairwise = np.log((1 - q) / q)
    np.fill_diagonal(pairwise, 0.0)
    return np.log((1 - p) / p), pairwise


def objective(labels: Integers, unary: Floats, pairwise: Floats) -> float:
    """What a solution costs: labels [N], the person of each detection, -1 where it is left out."""
    chosen = labels >= 0
    together = (labels[:, None] == labels[None, :]) & chosen[:, None]
    return float(unary[chosen].sum() + pairwise[together].sum() / 2)


def partition(unary: Floats, pairwise: Floats) -> Integers:
    """Labels [N] of little cost: the person of each detection, -1 where it is left out.

    Local search from three starts: each detection on its own, all in one person, and all left out. From each, the
    people whose union saves most are merged; then follow sequences of moves (Kernighan and Lin 1970), in which every
    detection moves once to where it costs least, even if that is more than before, and the search continues from the
    best point of the sequence, until neither helps. Few detections are also searched from random starts.
    """
    n = len(unary)
    starts = [np.arange(n), np.zeros(n), np.full(n, -1)]
    if n <= FEW:
        draw = np.random.default_rng(0)
        starts += [draw.integers(-1, 1 + n // 2, n) for _ in range(DRAWN // max(n, 1))]
    found = [_improved(start.astype(np.int64), unary, pairwise) for start in starts]
    return _renumbered(min(found, key=lambda labels: objective(labels, unary, pairwise)))


def _improved(labels: Integers, unary: Floats, pairwise: Floats) -> Integers:
    """The local optimum that search reaches from `labels`."""
    better: Integers | None = labels
    while better is not None:
        labels = _renumbered(_merged(_renumbered(better), pairwise))
        better = _sequence(labels, unary, pairwise)
    return labels


def _renumbered(labels: Integers) -> Integers:
    """The same people, numbered from 0."""
    numbers = np.unique(labels[labels >= 0])
    return np.where(labels >= 0, np.searchsorted(numbers, labels), -1)


def _merged(labels: Integers, pairwise: Floats) -> Integers:
    """With the two people as one whose union saves most, again and again, until no union saves."""
    people = int(labels.max(initial=-1)) + 1
    if people < 2:
        return labels
    members = (labels[None, :] == np.arange(people)[:, None]).astype(np.float64)  # [people, N]
    between = members @ pairwise @ members.T
    np.fill_diagonal(between, np.inf)
    labels = labels.copy()
    while True:
        a, b = np.unravel_index(int(between.argmin()), between.shape)
        if not between[a, b] < -SMALL:
            return labels
        labels[labels == b] = a
        between[a] += between[b]
        between[:, a] = between[a]
        between[a, a] = np.inf
        between[b] = between[:, b] = np.inf


def _sequence(labels: Integers, unary: Floats, pairwise: Floats) -> Integers | None:
    """The best point of a sequence in which every detection moves once; None when that is where it began."""
    n, people = len(labels), int(labels.max(initial=-1)) + 1
    # columns: each person, room for new ones, and being left out
    room = people + min(n, 2 * people + 8)
    members = (labels[:, None] == np.arange(room)[None, :]).astype(np.float64)  # [N, room]
    prices = np.concatenate([unary[:, None] + pairwise @ members, np.zeros((n, 1))], axis=1)  # [N, room + 1]
    sizes = members.sum(axis=0)
    where = np.where(labels >= 0, labels, room)
    row = np.arange(n)
    free = np.ones(n, bool)
    now, best, moved, idle = 0.0, -SMALL, None, 0
    for _ in range(n):
        gains = prices - prices[row, where][:, None]
        gains[row, where] = np.inf
        gains[~free] = np.inf
        empty = np.flatnonzero(sizes == 0)
        gains[:, empty[1:]] = np.inf  # one empty person is like another
        who, to = (int(i) for i in np.unravel_index(int(gains.argmin()), gains.shape))
        if not np.isfinite(gains[who, to]):
            break
        now += gains[who, to]
        if where[who] < room:
            prices[:, where[who]] -= pairwise[:, who]
            sizes[where[who]] -= 1
        if to < room:
            prices[:, to] += pairwise[:, who]
            sizes[to] += 1
        where[who], free[who] = to, False
        idle += 1
        if now < best:
            best, moved, idle = now, where.copy(), 0
        if idle > PATIENCE:
            break
    return None if moved is None else np.where(moved < room, moved, -1)


def people(found: JointDetections, labels: Integers, classes: int) -> tuple[Floats, Floats, Floats]:
    """Joints [P, K, 2], confidence [P, K] and score [P] of the people, best score first.

    A joint is the mean of its class's detections in the person, weighted by their scores (DeeperCut, section 5); its
    confidence is the best of theirs; a person's score is the mean confidence over all classes. A joint without a
    detection has confidence 0, and is at the mean of where the person's detections expect it, weighted by their scores.
    """
    count = int(labels.max(initial=-1)) + 1
    weight, sums, confidence = np.zeros((count, classes)), np.zeros((count, classes, 2)), np.zeros((count, classes))
    expected, total = np.zeros((count, classes, 2)), np.zeros(count)
    rows = np.flatnonzero(labels >= 0)
    who, scores, places = labels[rows], found.scores[rows], found.places[rows]
    at = who, found.classes[rows]
    np.add.at(weight, at, scores)
    np.add.at(sums, at, scores[:, None] * places)
    np.maximum.at(confidence, at, scores)
    np.add.at(expected, who, scores[:, None, None] * (places[:, None] + found.ways[rows]))
    np.add.at(total, who, scores)
    with np.errstate(invalid="ignore", divide="ignore"):
        joints = np.where(confidence[..., None] > 0, sums / weight[..., None], expected / total[:, None, None])
    score = confidence.mean(axis=1)
    order = np.argsort(-score, kind="stable")
    return joints[order], confidence[order], score[order]
