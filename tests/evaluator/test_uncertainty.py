"""Bootstrap intervals: their seed, what they equal, when there are none."""

from __future__ import annotations

import numpy as np
import pytest

from evaluator import evaluate, load_dataset, measure, read_predictions, read_truth
from evaluator.tally import Evidence, RateTally
from evaluator.uncertainty import RESAMPLES, enough, resamples, with_intervals
from tests.evaluator.pose_cases import case

DIGEST = "ab" * 32


def test_each_resample_draws_as_many_images_as_there_are() -> None:
    weights = resamples(DIGEST, 50)
    assert weights.shape == (RESAMPLES, 50)
    assert RESAMPLES == 1000
    assert (weights.sum(axis=1) == 50).all()
    assert weights.mean(axis=0) == pytest.approx(np.ones(50), abs=0.2)
    assert weights.var() == pytest.approx(1 - 1 / 50, abs=0.05)  # multinomial


def test_the_digest_of_the_truth_is_the_seed() -> None:
    assert (resamples(DIGEST, 20) == resamples(DIGEST, 20)).all()
    assert (resamples(DIGEST, 20) != resamples("cd" * 32, 20)).any()


def rate(hits: int, images: int, each: int = 1) -> RateTally:
    found = np.zeros((images, 1))
    found[:hits] = each
    return RateTally("pck@0.2", found, np.full((images, 1), float(each)), {"knee": (0,)})


def test_the_interval_of_a_proportion_is_the_one_that_statistics_expect() -> None:
    # 120 hits in 400 images: standard error sqrt(.3 x .7 / 400) = 0.0229, the interval 0.3 +- 1.96 x 0.0229.
    (knee, whole) = with_intervals(rate(120, 400), resamples(DIGEST, 400))
    assert knee.value == whole.value == 0.3
    assert knee.low == pytest.approx(0.3 - 1.96 * 0.0229, abs=0.006)
    assert knee.high == pytest.approx(0.3 + 1.96 * 0.0229, abs=0.006)


@pytest.mark.parametrize(
    ("hits", "images", "given"),
    [(100, 199, False), (100, 200, True), (9, 400, False), (10, 400, True), (390, 400, True), (391, 400, False)],
)
def test_no_interval_where_it_would_mislead(hits: int, images: int, given: bool) -> None:
    scores = with_intervals(rate(hits, images), resamples(DIGEST, images))
    assert {(score.low is not None, score.high is not None) for score in scores} == {(given, given)}


def test_enough_counts_images_hits_and_misses() -> None:
    assert enough(Evidence(images=200, hits=10, misses=10))
    assert not enough(Evidence(images=199, hits=10, misses=10))
    assert not enough(Evidence(images=200, hits=9.5, misses=10))
    assert not enough(Evidence(images=200, hits=10, misses=9.5))


@pytest.mark.parametrize("dataset", ["lsp", "mpii", "coco"])
def test_intervals_are_percentiles_of_the_weighted_scores(dataset: str) -> None:
    truth, entries = case(dataset, 6, images=260)
    definition = load_dataset(dataset)
    report = evaluate(dataset, entries, truth, intervals=True)
    plain = evaluate(dataset, entries, truth)
    assert [(s.metric, s.part, s.value) for s in report.scores] == [(s.metric, s.part, s.value) for s in plain.scores]
    assert {score.low for score in plain.scores} == {None}
    assert all(score.low <= score.value <= score.high for score in report.scores if score.low is not None)
    primary = report.scores[0] if dataset == "coco" else next(s for s in report.scores if s.part == "all")
    annotations = read_truth(truth, definition)
    tally = measure(definition, read_predictions(entries, definition), annotations)[0]
    weights = resamples(annotations.sha256, len(annotations.image_ids))
    each = [
        next(s.value for s in tally.scores(row) if (s.metric, s.part) == (primary.metric, primary.part))
        for row in weights[:200]
    ]
    values = tally.values(weights)[:, tally.columns.index((primary.metric, primary.part))]
    assert each == pytest.approx(values[:200].tolist(), abs=1e-12)
    if primary.low is not None:
        assert [primary.low, primary.high] == pytest.approx(np.percentile(values, [2.5, 97.5]).tolist(), abs=1e-12)


def test_intervals_are_the_same_each_time() -> None:
    truth, entries = case("lsp", 6, images=220)
    once, again = (evaluate("lsp", rows, truth, intervals=True) for rows in (entries, entries[::-1]))
    assert once.scores == again.scores
    assert any(score.low is not None for score in once.scores)


def test_a_resample_without_a_single_annotation_of_a_part_is_left_out() -> None:
    tally = RateTally("m", np.array([[1.0], [0.0]]), np.array([[1.0], [0.0]]), {"knee": (0,)})
    values = tally.values(np.array([[1.0, 0.0], [0.0, 1.0]]))
    assert values[0].tolist() == [1.0, 1.0]
    assert np.isnan(values[1]).all()
    assert [score.metric for score in tally.scores(np.array([0.0, 1.0]))] == []
