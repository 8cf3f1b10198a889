"""Rescoring and suppression of top-down people."""

import math

import numpy as np
import pytest

from baselines.decode.oks_nms import person_scores, suppress
from benchmarks.decoding_parity import crowd
from evaluator import load_dataset
from evaluator.metrics.oks import oks

SIGMAS = np.array([0.05, 0.1])


def test_scores_by_hand():
    # joints above 0.2: 0.9 and 0.5, mean 0.7, times 0.8; a joint of exactly 0.2 does not count; none: 0
    confidence = np.array([[0.9, 0.5, 0.2], [0.1, 0.0, 0.2]])
    assert person_scores(confidence, np.array([0.8, 0.9])) == pytest.approx([0.56, 0.0])


def test_suppression_by_hand():
    # area 100, sigma 0.05: 2 (0.1)^2 100 = 2, sigma 0.1: 8. Moved by 0.4: (exp(-0.16 / 2) + exp(-0.16 / 8)) / 2 =
    # 0.9516; by 0.6: (exp(-0.18) + exp(-0.045)) / 2 = 0.8956, below 0.9
    body = np.array([[5.0, 5.0], [9.0, 9.0]])
    people = np.stack([body, body + np.array([0.4, 0.0]), body + np.array([0.0, 0.6])])
    areas = np.full(3, 100.0)
    assert (math.exp(-0.08) + math.exp(-0.02)) / 2 == pytest.approx(0.9516, abs=1e-4)
    assert suppress(people, np.array([0.9, 0.8, 0.7]), areas, SIGMAS) == [0, 2]
    # the best one is not always the first, and a dropped person suppresses nobody
    assert suppress(people, np.array([0.7, 0.8, 0.9]), areas, SIGMAS) == [2, 1]
    assert suppress(people, np.array([0.9, 0.8, 0.7]), areas, SIGMAS, threshold=0.99) == [0, 1, 2]
    assert suppress(people[:0], areas[:0], areas[:0], SIGMAS) == []


def test_the_similarity_equals_the_evaluators():
    draw = np.random.default_rng(0)
    people, areas = draw.uniform(0, 1.5, (2, 2, 2)), np.array([30.0, 50.0])
    value = float(oks((people[1] - people[0])[None], np.ones((1, 2), bool), np.array([40.0]), SIGMAS)[0])
    scores = np.array([0.9, 0.8])
    assert 0.05 < value < 0.95
    assert suppress(people, scores, areas, SIGMAS, threshold=value + 1e-9) == [0, 1]
    assert suppress(people, scores, areas, SIGMAS, threshold=value - 1e-9) == [0]


# The people of random crowds that remain with mmpose 1.3.2, and the scores that AlphaPose 1.1 gives them:
# python -m benchmarks.decoding_parity
REMAINING = {
    0: {0.9: [8, 9, 3, 2, 10, 7, 4, 5], 0.7: [8, 9, 3, 2], 0.5: [8, 9, 3, 2]},
    1: {0.9: [1, 8, 11, 6, 5, 9, 4, 10], 0.7: [1, 8, 11, 5], 0.5: [1, 8, 11, 5]},
    2: {0.9: [4, 2, 11, 7, 3, 10, 6, 9], 0.7: [4, 2, 11, 7], 0.5: [4, 2, 11, 7]},
}
SCORES = {
    0: [0.428092, 0.368914, 0.365707, 0.311863, 0.252255, 0.176753, 0.161585, 0.138898],
    1: [0.450035, 0.448714, 0.39842, 0.362759, 0.275636, 0.274327, 0.216556, 0.212243],
    2: [0.479837, 0.385838, 0.352919, 0.308561, 0.248124, 0.217793, 0.211716, 0.090312],
}


@pytest.mark.parametrize("seed", REMAINING)
def test_the_toolkits_select_and_score_the_same_people(seed):
    people, sigmas = crowd(seed), np.asarray(load_dataset("coco").sigmas, float)
    areas = people["boxes"][:, 2] * people["boxes"][:, 3]
    for threshold, remaining in REMAINING[seed].items():
        assert suppress(people["joints"], people["scores"], areas, sigmas, threshold) == remaining
    scores = person_scores(people["confidence"], people["scores"])
    left = suppress(people["joints"], scores, areas, sigmas)
    assert scores[left] == pytest.approx(SCORES[seed], abs=1e-6)
