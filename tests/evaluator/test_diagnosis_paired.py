"""Paired differences: nothing between equals, something between unequals, coverage, what statistics expect."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from evaluator import load_dataset, measure, read_predictions, read_truth
from evaluator.tally import RateTally
from evaluator.uncertainty import Difference, paired_differences, resamples
from tests.evaluator.pose_cases import case, multi_person

DIGEST = "ab" * 32


def differences(dataset: str, a: Any, b: Any, truth: Any) -> dict[tuple[str, str], Difference]:
    definition = load_dataset(dataset)
    annotations = read_truth(truth, definition)
    one, other = (measure(definition, read_predictions(rows, definition), annotations) for rows in (a, b))
    weights = resamples(annotations.sha256, len(annotations.image_ids))
    return {
        (each.metric, each.part): each
        for x, y in zip(one, other, strict=True)
        for each in paired_differences(x, y, weights)
    }


@pytest.mark.parametrize("dataset", ["lsp", "coco"])
def test_identical_results_do_not_differ(dataset: str) -> None:
    truth, entries = case(dataset, 6, images=320)
    found = differences(dataset, entries, entries[::-1], truth)
    given = [each for each in found.values() if each.p is not None]
    assert len(given) >= 4
    assert {(each.difference, each.low, each.high, each.p) for each in given} == {(0.0, 0.0, 0.0, 1.0)}
    assert {each.difference for each in found.values()} == {0.0}


def test_a_clearly_better_result_leaves_zero_out() -> None:
    truth, better = case("lsp", 6, images=320, noise=6.0)
    rng = np.random.default_rng(1)
    worse = [dict(entry) for entry in better]
    for entry in worse:
        offsets = rng.normal(0, 20, 42) * ([1, 1, 0] * 14)
        entry["keypoints"] = [
            None if v is None else v + o for v, o in zip(entry["keypoints"], offsets.tolist(), strict=True)
        ]
    found = differences("lsp", better, worse, truth)
    back = differences("lsp", worse, better, truth)
    for part in ("all", "wrist", "ankle"):
        each, other = found["pck@0.2", part], back["pck@0.2", part]
        assert each.low is not None and each.high is not None and each.p is not None
        assert 0 < each.low < each.difference < each.high
        assert each.p == pytest.approx(2 / 1001)
        # A and B exchanged: the same with the other sign
        assert (other.a, other.b, other.difference, other.p) == (each.b, each.a, -each.difference, each.p)
        assert [other.low, other.high] == pytest.approx([-each.high, -each.low], abs=1e-12)


def test_average_precision_of_unequal_detectors() -> None:
    truth, better = multi_person("coco", 2, images=420, most_people=4)
    worse = [entry for index, entry in enumerate(better) if index % 3]
    found = differences("coco", better, worse, truth)["ar50", "all"]
    assert found.low is not None and 0 < found.low < found.difference < found.high
    assert found.p is not None and found.p < 0.01


def rates(hits: Any) -> RateTally:
    hits = np.asarray(hits, dtype=float)[:, None]
    return RateTally("pck@0.2", hits, np.ones_like(hits), {"knee": (0,)})


def test_the_interval_is_that_of_paired_proportions() -> None:
    # 400 images: both right 200, only A 70, only B 40, neither 90. The difference is 30 / 400 = 0.075 and its standard
    # error sqrt((70 + 40) / 400 - 0.075^2) / sqrt(400) = 0.02595; unpaired it would be 0.0345.
    a = [1] * 200 + [1] * 70 + [0] * 40 + [0] * 90
    b = [1] * 200 + [0] * 70 + [1] * 40 + [0] * 90
    (knee, whole) = paired_differences(rates(a), rates(b), resamples(DIGEST, 400))
    assert (knee.a, knee.b) == (0.675, 0.6) and knee.difference == pytest.approx(0.075)
    assert knee.low == pytest.approx(0.075 - 1.96 * 0.02595, abs=0.007)
    assert knee.high == pytest.approx(0.075 + 1.96 * 0.02595, abs=0.007)
    # z = 0.075 / 0.02595 = 2.89: p = 0.0039
    assert knee.p == pytest.approx(0.0039, abs=0.006)
    assert (whole.difference, whole.low, whole.p) == (knee.difference, knee.low, knee.p)


def test_no_interval_and_no_p_where_they_would_mislead() -> None:
    for hits_a, hits_b, images, given in ((150, 100, 199, False), (150, 100, 200, True), (4, 5, 300, False)):
        a, b = ([1] * hits + [0] * (images - hits) for hits in (hits_a, hits_b))
        (knee, _) = paired_differences(rates(a), rates(b), resamples(DIGEST, images))
        assert (knee.low is not None, knee.p is not None) == (given, given)
        assert knee.difference == pytest.approx((hits_a - hits_b) / images)
    # a perfect result against half of it: the misses of the other are enough
    (knee, _) = paired_differences(rates([1] * 300), rates([1] * 150 + [0] * 150), resamples(DIGEST, 300))
    assert knee.low is not None and knee.low > 0.4


def test_only_the_same_images_are_paired() -> None:
    with pytest.raises(ValueError, match="same images"):
        paired_differences(rates([1] * 200), rates([1] * 201), resamples(DIGEST, 200))


def test_coverage_and_false_alarms() -> None:
    """The interval holds the true difference, 0.1, in 95 of 100 samples; equal methods rarely look different."""
    rng = np.random.default_rng(3)
    weights = resamples(DIGEST, 300)
    held = alarms = 0
    for _ in range(300):
        common = rng.random(300)
        a = np.where(common < 0.5, rng.random(300) < 0.8, rng.random(300) < 0.5)
        b = np.where(common < 0.5, rng.random(300) < 0.7, rng.random(300) < 0.4)
        again = np.where(common < 0.5, rng.random(300) < 0.8, rng.random(300) < 0.5)
        (knee, _) = paired_differences(rates(a), rates(b), weights)
        assert knee.low is not None and knee.high is not None
        held += knee.low <= 0.1 <= knee.high
        (same, _) = paired_differences(rates(a), rates(again), weights)
        assert same.p is not None
        alarms += same.p < 0.05
    assert 0.92 <= held / 300 <= 0.98
    assert alarms / 300 <= 0.08
