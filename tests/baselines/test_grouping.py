"""Detections become people: the objective, its search, and the way from maps to poses."""

import math

import numpy as np
import pytest
import torch

from baselines import bottom_up, grouping
from baselines.deepercut import OFFSET_SCALE, STRIDE, Maps
from baselines.grouping import Detections


def test_the_objective_by_hand():
    # p = 0.8: log(0.2 / 0.8) = -1.3863; p = 0.4: log(0.6 / 0.4) = 0.4055; q = 0.9: -2.1972; q = 0.1: 2.1972
    unary, pairwise = grouping.costs(np.array([0.8, 0.4, 0.8]), np.array([[0, 0.9, 0.1], [0.9, 0, 0.5], [0.1, 0.5, 0]]))
    assert unary == pytest.approx([-1.3863, 0.4055, -1.3863], abs=1e-4)
    assert grouping.objective(np.array([0, 0, 1]), unary, pairwise) == pytest.approx(
        -1.3863 * 2 + 0.4055 - 2.1972, abs=1e-3
    )
    assert grouping.objective(np.array([0, 0, 0]), unary, pairwise) == pytest.approx(-1.3863 * 2 + 0.4055, abs=1e-3)
    assert grouping.objective(np.array([-1, -1, -1]), unary, pairwise) == 0.0
    # the weak second detection stays, because the first one vouches for it; alone it is left out
    assert grouping.partition(unary, pairwise).tolist() == [0, 0, 1]
    assert grouping.partition(unary[1:2], pairwise[1:2, 1:2]).tolist() == [-1]
    assert grouping.partition(unary[:0], pairwise[:0, :0]).tolist() == []


def _least(unary, pairwise):
    """The least cost of all subsets and partitions, by trying them all."""
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


def test_the_search_finds_the_least_cost_of_small_cases():
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
    found = grouping.detect(scores, positions)
    assert found.places.tolist() == [[10.0, 0.0], [15.1, 0.0], [10.0, 0.0]]
    assert found.classes.tolist() == [0, 0, 1] and found.scores.tolist() == [0.9, 0.7, 0.2]
    assert found.cells.tolist() == [[0, 0], [2, 0], [0, 1]]
    nothing = grouping.detect(np.zeros((2, 2, 4)), positions)
    assert nothing.places.shape == (0, 2) and nothing.cells.shape == (0, 2)


def test_pair_features_by_hand():
    # from (0, 0) the second is expected at (3, 4), it is at (0, 5): sqrt(9 + 1) away, acos(4 / 5) aside;
    # seen from there the first is expected at (0, -5), where it is: 0 and 0
    found = Detections(np.array([[0.0, 0.0], [0.0, 5.0]]), np.array([0, 1]), np.ones(2), np.zeros((2, 2), int))
    ways = np.array([[[0.0, 0.0], [3.0, 4.0]], [[0.0, -5.0], [0.0, 0.0]]])
    features = grouping.pair_features(found, ways, np.array([0]), np.array([1]))[0]
    away, aside = math.sqrt(10), math.acos(0.8)
    assert features == pytest.approx([away, aside, 0, 0, math.exp(-away), math.exp(-aside), 1, 1, 1])
    weights = np.zeros((2, 2, 9))
    weights[0, 1, 0], weights[0, 1, 8] = -1.0, 3.0
    q = grouping.probabilities(found, ways, weights)
    assert q[0, 1] == q[1, 0] == pytest.approx(1 / (1 + math.exp(away - 3)))


def test_detections_of_one_class_are_one_persons_when_they_are_near():
    """q = 1 / (1 + exp(0.2 d - 7.5)): a half at 37.5 pixels, 1 / (1 + exp(2.5)) = 0.0759 at 50."""
    found = Detections(
        np.array([[0.0, 0.0], [37.5, 0.0], [0.0, 50.0]]), np.zeros(3, int), np.ones(3), np.zeros((3, 2), int)
    )
    q = grouping.probabilities(found, np.zeros((3, 1, 2)), np.zeros((1, 1, 9)))
    assert q[0, 1] == pytest.approx(0.5) and q[0, 2] == pytest.approx(0.0759, abs=1e-4)


def test_rows_of_pairs_are_by_source_then_target():
    every = [grouping.pair_row(np.array(a), np.array(b), 3).item() for a in range(3) for b in range(3) if a != b]
    assert every == [0, 1, 2, 3, 4, 5]


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
    found = Detections(
        np.array([[0.0, 0.0], [4.0, 8.0], [10.0, 10.0], [50.0, 50.0]]),
        np.array([0, 0, 1, 1]), np.array([0.9, 0.3, 0.6, 0.8]), np.zeros((4, 2), int),
    )  # fmt: skip
    joints, confidence, score = grouping.people(found, np.array([0, 0, 0, 1]), 3)
    # (0.9 * 0 + 0.3 * 4) / 1.2 = 1, (0.3 * 8) / 1.2 = 2; scores (0.9 + 0.6) / 3 = 0.5 and 0.8 / 3
    assert joints[0, :2].tolist() == [[pytest.approx(1.0), pytest.approx(2.0)], [10.0, 10.0]]
    assert np.isnan(joints[0, 2]).all() and np.isnan(joints[1, 0]).all() and joints[1, 1].tolist() == [50.0, 50.0]
    assert confidence.tolist() == [[0.9, 0.6, 0.0], [0.0, 0.8, 0.0]]
    assert score == pytest.approx([0.5, 0.8 / 3])
    # what was not found is where the others expect it: (0.9 (0 + 1) + 0.3 (4 + 1) + 0.6 (10 + 7)) / 1.8 = 7
    ways = np.zeros((4, 3, 2))
    ways[:, 2, 0] = [1.0, 1.0, 7.0, 0.0]
    joints, confidence, _ = grouping.people(found, np.array([0, 0, 0, 1]), 3, ways)
    assert joints[0, 2, 0] == pytest.approx(7.0) and confidence[0, 2] == 0.0
    assert joints[0, 0].tolist() == [pytest.approx(1.0), pytest.approx(2.0)]


class Ideal:
    """A network that sees people as they are annotated: in cells within 12 pixels of a part."""

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
                            pairs[grouping.pair_row(np.array(part), np.array(other), k), :, v, u] = np.nan_to_num(way)
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


def test_people_who_stand_close_are_told_apart():
    crowd = _crowd()
    for noise in (0.0, 5.0):
        joints, confidence, score = bottom_up.people(Ideal(crowd, noise=noise), torch.zeros(1, 3, 128, 160))
        assert joints.shape == (3, 6, 2) and (confidence > 0.8).all() and (np.diff(score) <= 0).all()
        assert _sorted(joints) == pytest.approx(crowd, abs=1e-4)
    one, confidence, _ = bottom_up.people(Ideal(crowd, pairwise=False), torch.zeros(1, 3, 128, 160))
    assert one.shape == (1, 6, 2) and (confidence > 0.8).all()


def test_a_fitted_logistic_tells_people_apart_as_well_as_the_prior_or_better():
    crowd = _crowd()
    weights = bottom_up.fit(Ideal(crowd, noise=8.0), [(torch.zeros(1, 3, 128, 160), crowd)], reach=4.0)
    joints, _, _ = bottom_up.people(Ideal(crowd, noise=8.0), torch.zeros(1, 3, 128, 160), weights)
    assert _sorted(joints) == pytest.approx(crowd, abs=1e-4)
    with pytest.raises(ValueError, match="no pairwise terms"):
        bottom_up.fit(Ideal(crowd, pairwise=False), [(torch.zeros(1, 3, 128, 160), crowd)], reach=4.0)


class Scaled(Ideal):
    """People of one size only: it sees those of the image when they are `height` pixels tall."""

    def __init__(self, joints: np.ndarray, image_height: int, height: float) -> None:
        super().__init__(joints)
        self.own, self.image_height, self.height = joints, image_height, height

    def maps(self, images: torch.Tensor) -> Maps:
        scale = images.shape[2] / self.image_height  # the padding is at most 15 pixels, and this image needs none
        tall = (self.own[:, :, 1].max(axis=1) - self.own[:, :, 1].min(axis=1)) * scale
        self.joints = self.own * scale
        fits = np.abs(np.log(tall / self.height)) < 0.1
        self.joints = np.where(fits[:, None, None], self.joints, 1e6)
        return super().maps(images)


def test_people_of_an_image_at_any_size_come_back_in_its_coordinates():
    crowd = _crowd() * 2.0  # 164 pixels tall
    height = round(164 / 0.5)  # half of the image: one of the sizes that are looked at
    image = np.zeros((height, 400, 3), np.uint8)
    seen = []

    def prepare(pixels: np.ndarray) -> torch.Tensor:
        seen.append(pixels.shape)
        return torch.from_numpy(pixels).permute(0, 3, 1, 2).float()

    network = Scaled(crowd, height, 96.0)
    poses = bottom_up.poses_from(network, image, prepare, person_height=96.0)
    assert len(seen) == 5 and all(h % 16 == 0 and w % 16 == 0 for _, h, w, _ in seen)
    assert poses.joints.shape == (3, 6, 2)
    assert _sorted(poses.joints) == pytest.approx(crowd, abs=1.5)
    assert (poses.confidence > 0.8).all() and (np.diff(poses.score) <= 0).all()


def test_nobody_and_people_with_missing_joints():
    def prepare(pixels: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(pixels).permute(0, 3, 1, 2).float()

    image = np.zeros((128, 160, 3), np.uint8)
    nobody = bottom_up.poses_from(Ideal(np.full((1, 6, 2), 1e6)), image, prepare, person_height=128)
    assert nobody.joints.shape == (0, 6, 2) and nobody.score.shape == (0,)
    person = _crowd()[:1].copy()
    person[0, 4:] = 1e6  # its ankles are out of the picture
    found, confidence, _ = bottom_up.people(Ideal(person), torch.zeros(1, 3, 128, 160))
    assert found[0, 4:] == pytest.approx(1e6, rel=1e-3)  # where the other joints expect them
    assert (confidence[0, 4:] == 0).all() and (confidence[0, :4] > 0).all()
    dot = bottom_up.poses_from(Ideal(person), np.zeros((1, 400, 3), np.uint8), prepare, person_height=5)
    assert dot.joints.shape == (0, 6, 2)
    few = bottom_up.poses_from(Scaled(person, 128, 1.0), image, prepare, person_height=128)
    assert len(few.score) == 0
