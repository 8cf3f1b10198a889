"""Grouping detections into people: the objective, its search, and the path from maps to poses."""

import json
import math

import numpy as np
import pytest
import torch

from baselines.decode import grouping
from baselines.decode.grouping import JointDetections, Model
from baselines.estimators import bottom_up
from baselines.estimators.bottom_up import Findings
from baselines.models.deepercut import OFFSET_SCALE, STRIDE, DeeperCut, Maps
from baselines.protocol import Poses


def test_the_objective_by_hand():
    # p = 0.8: log(0.2 / 0.8) = -1.3863; p = 0.4: log(0.6 / 0.4) = 0.4055; q = 0.9: -2.1972; q = 0.1: 2.1972
    unary, pairwise = grouping.costs(np.array([0.8, 0.4, 0.8]), np.array([[0, 0.9, 0.1], [0.9, 0, 0.5], [0.1, 0.5, 0]]))
    assert unary == pytest.approx([-1.3863, 0.4055, -1.3863], abs=1e-4)
    assert grouping.objective(np.array([0, 0, 1]), unary, pairwise) == pytest.approx(
        -1.3863 * 2 + 0.4055 - 2.1972, abs=1e-3
    )
    assert grouping.objective(np.array([0, 0, 0]), unary, pairwise) == pytest.approx(-1.3863 * 2 + 0.4055, abs=1e-3)
    assert grouping.objective(np.array([-1, -1, -1]), unary, pairwise) == 0.0
    # the weak second detection stays, because the first one supports it; alone it is dropped
    assert grouping.partition(unary, pairwise).tolist() == [0, 0, 1]
    assert grouping.partition(unary[1:2], pairwise[1:2, 1:2]).tolist() == [-1]
    assert grouping.partition(unary[:0], pairwise[:0, :0]).tolist() == []


def _least(unary, pairwise):
    """The lowest cost of all subsets and partitions, by trying them all."""
    n, labels, best = len(unary), np.full(len(unary), -1), 0.0

    def tried(i, people, cost):
        nonlocal best
        if i == n:
            best = min(best, cost)
            return
        labels[i] = -1
        tried(i + 1, people, cost)
        for person in range(people + 1):
            more = unary[i] + pairwise[i, :i][labels[:i] == person].sum()
            labels[i] = person
            tried(i + 1, max(people, person + 1), cost + more)
        labels[i] = -1

    tried(0, 0, 0.0)
    return best


def test_the_search_finds_the_lowest_cost_in_small_cases():
    """60 cases of 2 to 7 detections (877 partitions of 7, and all their subsets), probabilities drawn at random."""
    draw = np.random.default_rng(1)
    for _ in range(60):
        n = int(draw.integers(2, 8))
        q = np.triu(draw.uniform(0.01, 0.99, (n, n)), 1)
        unary, pairwise = grouping.costs(draw.uniform(0.2, 0.99, n), q + q.T)
        found = grouping.objective(grouping.partition(unary, pairwise), unary, pairwise)
        assert found == pytest.approx(_least(unary, pairwise), abs=1e-9)


def test_the_search_finds_hidden_people_among_many():
    """300 detections of 15 people, each pair more likely of one person when it is."""
    draw = np.random.default_rng(2)
    owner = draw.integers(0, 15, 300)
    same = owner[:, None] == owner
    q = np.triu(np.where(same, draw.uniform(0.6, 0.99, same.shape), draw.uniform(0.01, 0.3, same.shape)), 1)
    labels = grouping.partition(*grouping.costs(draw.uniform(0.5, 0.99, 300), q + q.T))
    assert ((labels[:, None] == labels) == same).all()


def test_detections_near_a_better_one_of_their_class_are_dropped():
    scores = np.zeros((2, 2, 4))
    scores[0, 0] = [0.9, 0.8, 0.7, 0.19]
    scores[1, 1, 0] = 0.2
    positions = np.zeros((2, 2, 2, 4))
    positions[0, 0, 0] = [10.0, 14.9, 15.1, 30.0]  # the second is 4.9 pixels from the first, the third 5.1
    positions[1, :, 1, 0] = [10.0, 0.0]  # another class
    targets = np.full((2, 2, 2, 2, 4), 1e3)
    targets[0, 1, :, 0, 2] = [18.0, 4.0]  # the other part of the person whose first one is in the third cell
    found = grouping.detect(scores, positions, targets)
    assert found.ways[1].tolist() == [[0.0, 0.0], [pytest.approx(2.9), 4.0]]
    double = found.resized(2.0)
    assert double.places[1, 0] == pytest.approx(30.2) and double.ways[1, 1, 1] == 8.0
    assert len(grouping.detect(scores, positions, radius=5.2).scores) == 2
    assert found.places.tolist() == [[10.0, 0.0], [15.1, 0.0], [10.0, 0.0]]
    assert found.classes.tolist() == [0, 0, 1] and found.scores.tolist() == [0.9, 0.7, 0.2]
    assert found.cells.tolist() == [[0, 0], [2, 0], [0, 1]]
    nothing = grouping.detect(np.zeros((2, 2, 4)), positions)
    assert nothing.places.shape == (0, 2) and nothing.cells.shape == (0, 2) and nothing.ways.shape == (0, 2, 2)


def test_pair_features_by_hand():
    # from (0, 0) the second is expected at (3, 4), it is at (0, 5): sqrt(9 + 1) away, acos(4 / 5) aside;
    # from there the first is expected at (0, -5), where it is: 0 and 0
    ways = np.array([[[0.0, 0.0], [3.0, 4.0]], [[0.0, -5.0], [0.0, 0.0]]])
    found = JointDetections(
        np.array([[0.0, 0.0], [0.0, 5.0]]), np.array([0, 1]), np.ones(2), np.zeros((2, 2), int), ways
    )
    features = grouping.pair_features(found, np.array([0]), np.array([1]))[0]
    away, aside = math.sqrt(10), math.acos(0.8)
    assert features == pytest.approx([away, aside, 0, 0, math.exp(-away), math.exp(-aside), 1, 1, 1])
    weights = np.zeros((2, 2, 9))
    weights[0, 1, 0], weights[0, 1, 8] = -1.0, 3.0
    q = grouping.probabilities(found, Model(np.ones((2, 2)), weights))
    assert q[0, 1] == q[1, 0] == pytest.approx(1 / (1 + math.exp(away - 3)))


def test_nearby_detections_of_one_class_belong_to_one_person():
    """q = 1 / (1 + exp(0.2 d - 7.5)): a half at 37.5 pixels, 1 / (1 + exp(2.5)) = 0.0759 at 50."""
    found = JointDetections(
        np.array([[0.0, 0.0], [37.5, 0.0], [0.0, 50.0]]), np.zeros(3, int), np.ones(3), np.zeros((3, 2), int),
        np.zeros((3, 1, 2)),
    )  # fmt: skip
    q = grouping.probabilities(found, Model.prior(1))
    assert q[0, 1] == pytest.approx(0.5) and q[0, 2] == pytest.approx(0.0759, abs=1e-4)


def test_scores_become_probabilities_by_their_log_odds():
    """0.8 has the log-odds log 4, 0.5 has 0: 1 / (1 + exp(-(2 log 4 - 1))) = 16 / (16 + e), and 1 / (1 + e)."""
    found = JointDetections(
        np.zeros((2, 2)), np.array([0, 0]), np.array([0.8, 0.5]), np.zeros((2, 2), int), np.zeros((2, 1, 2))
    )
    model = Model(np.array([[2.0, -1.0]]), np.zeros((1, 1, 9)))
    assert grouping.calibrated(found, model).scores == pytest.approx([16 / (16 + math.e), 1 / (1 + math.e)])
    assert grouping.calibrated(found, Model.prior(1)).scores == pytest.approx([0.8, 0.5])


def test_a_model_survives_json_and_an_invalid_one_is_rejected():
    draw = np.random.default_rng(0)
    pairs, ways = np.zeros((3, 3, 9)), np.zeros((3, 3, 2))
    for a, b in ((0, 1), (0, 2), (1, 2)):
        pairs[a, b], ways[a, b] = draw.normal(size=9), draw.normal(size=2)
        ways[b, a] = -ways[a, b]
    written = Model(draw.normal(size=(3, 2)), pairs, ways)
    read = Model.from_json(json.loads(json.dumps(written.to_json())), 3)
    assert read.scores == pytest.approx(written.scores, rel=1e-4)
    assert read.pairs == pytest.approx(pairs, rel=1e-4) and read.ways == pytest.approx(ways, rel=1e-4)
    assert Model.from_json(Model.prior(3).to_json(), 3).ways is None
    for change in ({"pairs": []}, {"scores": "x"}, {"scores": [[1, 2]] * 2}, {"ways": [[0, float("nan")]] * 3}):
        with pytest.raises(ValueError, match=f"table {next(iter(change))}"):
            Model.from_json({**written.to_json(), **change}, 3)


def test_the_logistic_is_recovered_from_examples():
    draw = np.random.default_rng(3)
    plain = draw.uniform(0, 3, (20_000, 4))
    features = np.concatenate([plain, np.exp(-plain), np.ones((len(plain), 1))], axis=1)
    weights = np.array([-1.0, -0.5, 0.3, 0.0, 1.0, 0.0, 0.5, -0.4, 0.8])
    same = draw.random(len(features)) < 1 / (1 + np.exp(-features @ weights))
    fitted = grouping.fit_logistic(features, same)
    # 20,000 examples tell the probabilities well, if not each weight (x and exp(-x) are nearly the same)
    assert np.abs(1 / (1 + np.exp(-features @ fitted)) - 1 / (1 + np.exp(-features @ weights))).max() < 0.06
    assert grouping.fit_logistic(features[:0], same[:0]) == pytest.approx(grouping.PRIOR)


def test_a_joint_is_the_mean_of_its_detections_weighted_by_their_scores():
    found = JointDetections(
        np.array([[0.0, 0.0], [4.0, 8.0], [10.0, 10.0], [50.0, 50.0]]),
        np.array([0, 0, 1, 1]), np.array([0.9, 0.3, 0.6, 0.8]), np.zeros((4, 2), int), np.zeros((4, 3, 2)),
    )  # fmt: skip
    joints, confidence, score = grouping.people(found, np.array([0, 0, 0, 1]), 3)
    # (0.9 * 0 + 0.3 * 4) / 1.2 = 1, (0.3 * 8) / 1.2 = 2; scores (0.9 + 0.6) / 3 = 0.5 and 0.8 / 3
    assert joints[0, :2].tolist() == [[pytest.approx(1.0), pytest.approx(2.0)], [10.0, 10.0]]
    assert joints[1, 1].tolist() == [50.0, 50.0]
    assert confidence.tolist() == [[0.9, 0.6, 0.0], [0.0, 0.8, 0.0]]
    assert score == pytest.approx([0.5, 0.8 / 3])
    # what was not found is where the others expect it: (0.9 (0 + 1) + 0.3 (4 + 1) + 0.6 (10 + 7)) / 1.8 = 7
    found.ways[:, 2, 0] = [1.0, 1.0, 7.0, 0.0]
    joints, confidence, _ = grouping.people(found, np.array([0, 0, 0, 1]), 3)
    assert joints[0, 2, 0] == pytest.approx(7.0) and confidence[0, 2] == 0.0
    assert joints[0, 0].tolist() == [pytest.approx(1.0), pytest.approx(2.0)]


class Ideal:
    """A network that detects people exactly as annotated: in cells within 12 pixels of a part."""

    positions = staticmethod(DeeperCut.positions)

    def __init__(self, joints: np.ndarray, *, pairwise: bool = True, noise: float = 0.0) -> None:
        self.joints, self.num_joints, self.pairwise, self.noise = joints, joints.shape[1], pairwise, noise

    def maps(self, images: torch.Tensor) -> Maps:
        draw = np.random.default_rng(0)
        k, height, width = self.num_joints, images.shape[2] // STRIDE, images.shape[3] // STRIDE
        scores = np.full((k, height, width), 0.05)
        offsets = np.zeros((k, 2, height, width))
        pairs = np.zeros((k * (k - 1), 2, height, width))
        for v in range(height):
            for u in range(width):
                middle = np.array([u, v]) * STRIDE + STRIDE / 2
                for part in range(k):
                    apart = np.linalg.norm(self.joints[:, part] - middle, axis=1)
                    person = int(np.nanargmin(apart))
                    if apart[person] > 12:
                        continue
                    scores[part, v, u] = 0.95 - apart[person] / 100
                    offsets[part, :, v, u] = (self.joints[person, part] - middle) / OFFSET_SCALE
                    for other in range(k):
                        if other != part:
                            way = self.joints[person, other] - middle + draw.normal(0, self.noise + 1e-9, 2)
                            row = part * (k - 1) + other - (other > part)  # by source, then target, without itself
                            pairs[row, :, v, u] = np.nan_to_num(way)
        as_tensor = [torch.from_numpy(a)[None] for a in (scores, offsets, pairs)]
        return Maps(as_tensor[0], as_tensor[1], as_tensor[2] if self.pairwise else None)

    def pair_pixels(self, pairs: torch.Tensor) -> torch.Tensor:
        return pairs


def _crowd() -> np.ndarray:
    """Three people [3, 6, 2] side by side, 30 pixels apart: nearer to each other than their own joints."""
    body = np.array([[0.0, 0], [10, 12], [-9, 14], [2, 45], [8, 80], [-8, 82]])
    return body + np.array([[[40.0, 30]], [[70, 36]], [[102, 26]]])


def _sorted(joints: np.ndarray) -> np.ndarray:
    return joints[np.argsort(np.nanmean(joints[..., 0], axis=1))]


def _people(network: Ideal, model: Model | None, image: torch.Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The people in one image [1, 3, H, W] as found by a network for people 340 pixels tall."""
    (found,) = bottom_up.detections(bottom_up.look(network, image), grouping.PERSON_HEIGHT)
    return bottom_up.people(found, network.num_joints, model)


def test_people_close_together_are_told_apart():
    crowd = _crowd()
    for noise in (0.0, 5.0):
        joints, confidence, score = _people(Ideal(crowd, noise=noise), Model.prior(6), torch.zeros(1, 3, 128, 160))
        assert joints.shape == (3, 6, 2) and (confidence > 0.8).all() and (np.diff(score) <= 0).all()
        assert _sorted(joints) == pytest.approx(crowd, abs=1e-4)
    one, confidence, _ = _people(Ideal(crowd, pairwise=False), None, torch.zeros(1, 3, 128, 160))
    assert one.shape == (1, 6, 2) and (confidence > 0.8).all()


def test_maps_of_a_mirror_image_are_mirrored_back():
    """A mirrored crowd, its parts of the left and the right exchanged, turned back is the crowd: the mean is both."""
    crowd, order = _crowd(), [0, 2, 1, 3, 5, 4]
    mirrored = crowd[:, order].copy()
    mirrored[..., 0] = 160 - mirrored[..., 0]
    image = torch.zeros(1, 3, 128, 160)
    direct, other = (bottom_up.look(Ideal(people), image) for people in (crowd, mirrored))
    mean = bottom_up.averaged(direct, other, order, 160)
    there = direct.scores > 0.5
    assert there.sum() > 30 and np.array_equal(mean.scores > 0.5, there)
    assert mean.scores == pytest.approx(direct.scores, abs=1e-5)
    for k, v, u in np.argwhere(there[0]).tolist():
        assert mean.points[0, k, :, v, u] == pytest.approx(direct.points[0, k, :, v, u], abs=1e-3)
        others = [p for p in range(6) if p != k]
        assert mean.targets[0, k, others, :, v, u] == pytest.approx(direct.targets[0, k, others, :, v, u], abs=1e-3)


def test_a_missing_joint_goes_to_the_likeliest_place_near_its_expected_position():
    """Expected at (100, 100): 0.1 at (117, 100) counts 0.1 exp(-1 / 8) = 0.088, 0.15 at (168, 100) 0.15 exp(-2) = 0.02;
    17 is half of NEARBY, 68 twice."""
    scores, points = np.array([[[0.1, 0.15]]]), np.array([[[[117.0, 168.0]], [[100.0, 100.0]]]])
    joints = np.array([[[100.0, 100.0]]])
    moved = bottom_up.settled(joints, np.zeros((1, 1)), scores, points)
    assert moved.tolist() == [[[117.0, 100.0]]] and joints.tolist() == [[[100.0, 100.0]]]
    assert bottom_up.settled(joints, np.ones((1, 1)), scores, points).tolist() == joints.tolist()  # it was found
    assert bottom_up.settled(joints, np.zeros((1, 1)), 0 * scores, points).tolist() == joints.tolist()


def _viewed(network: Ideal, pixels: np.ndarray) -> Findings:
    return bottom_up.look(network, torch.from_numpy(pixels).permute(0, 3, 1, 2).float())


class Scaled(Ideal):
    """People of one size only: it detects those of the image that are `height` pixels tall."""

    def __init__(self, joints: np.ndarray, image_height: int, height: float) -> None:
        super().__init__(joints)
        self.own, self.image_height, self.height = joints, image_height, height

    def maps(self, images: torch.Tensor) -> Maps:
        # 16 pixels of black are above and left of the image; below are as many, and up to 15 more
        tallest = images.shape[2] - 2 * bottom_up.FRAME
        heights = [round(self.height / share) for share in bottom_up.HEIGHTS]
        scale = max(each for each in heights if each <= tallest) / self.image_height
        tall = (self.own[:, :, 1].max(axis=1) - self.own[:, :, 1].min(axis=1)) * scale
        self.joints = self.own * scale + bottom_up.FRAME
        fits = np.abs(np.log(tall / self.height)) < 0.1
        self.joints = np.where(fits[:, None, None], self.joints, 1e6)
        return super().maps(images)


def test_people_of_any_size_come_back_in_image_coordinates():
    crowd = _crowd() * 2.0  # 164 pixels tall
    height = round(164 / 0.5)  # half of the image: one of the sizes that are tried
    image = np.zeros((height, 400, 3), np.uint8)
    sizes = []

    def view(pixels: np.ndarray) -> Findings:
        sizes.append(pixels.shape)
        return _viewed(network, pixels)

    network = Scaled(crowd, height, 96.0)
    poses = bottom_up.poses_from(view, image, classes=6, person_height=96.0, model=Model.prior(6))
    assert len(sizes) == 5 and all(h % 16 == 0 and w % 16 == 0 for _, h, w, _ in sizes)
    assert poses.joints.shape == (3, 6, 2)
    assert _sorted(poses.joints) == pytest.approx(crowd, abs=1.5)
    assert (poses.confidence > 0.8).all() and (np.diff(poses.score) <= 0).all()


def test_nobody_and_people_with_missing_joints():
    def poses(network: Ideal, image: np.ndarray, person_height: float) -> Poses:
        return bottom_up.poses_from(
            lambda pixels: _viewed(network, pixels), image, classes=6, person_height=person_height, model=Model.prior(6)
        )

    image = np.zeros((128, 160, 3), np.uint8)
    nobody = poses(Ideal(np.full((1, 6, 2), 1e6)), image, 128)
    assert nobody.joints.shape == (0, 6, 2) and nobody.score.shape == (0,)
    person = _crowd()[:1].copy()
    person[0, 4:] = 1e6  # its ankles are out of the picture
    found, confidence, _ = _people(Ideal(person), Model.prior(6), torch.zeros(1, 3, 128, 160))
    assert found[0, 4:] == pytest.approx(1e6, rel=1e-3)  # where the other joints expect them
    assert (confidence[0, 4:] == 0).all() and (confidence[0, :4] > 0).all()
    dot = poses(Ideal(person), np.zeros((1, 400, 3), np.uint8), 3)  # 12 pixels high at most: too small to process
    assert dot.joints.shape == (0, 6, 2)
    few = poses(Scaled(person, 128, 1.0), image, 128)
    assert len(few.score) == 0
