"""Groups of images drawn as one, coverage of the intervals, and weights that equal images repeated literally."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from evaluator import GroundTruthError, evaluate, load_dataset, public_images, read_truth
from evaluator.reading.large_files import read_large_annotations
from evaluator.tally import RateTally
from evaluator.uncertainty import (
    FEWEST_OUTCOMES,
    groups_of,
    image_weights,
    paired_differences,
    resamples,
    with_intervals,
)
from poseboard.cli import app
from tests.evaluator.pose_cases import multi_person, single_person

DIGEST = "ab" * 32
LSP = load_dataset("lsp")


def of_videos(images: int, frames: int) -> tuple[Any, Any]:
    """LSP people of which every `frames` images in a row are a video."""
    truth, entries = single_person("lsp", 6, images=images, most_people=1)
    truth["images"].sort(key=lambda image: image["id"])
    for number, image in enumerate(truth["images"]):
        image["group"] = f"video {number // frames}"
    return truth, entries


def test_groups_come_from_the_truth_or_from_the_benchmark() -> None:
    truth, _ = of_videos(6, 2)
    annotations = read_truth(truth, LSP)
    assert groups_of(annotations).tolist() == [0, 0, 1, 1, 2, 2]
    ids = annotations.image_ids.tolist()
    # one's own grouping comes before the truth's; a number and the same number as text are two groups
    given = dict(zip(ids, [7, "7", 7, None, None, 3], strict=True))
    assert groups_of(annotations, given).tolist() == [0, 1, 0, 2, 2, 3]
    for image in truth["images"]:
        del image["group"]
    assert groups_of(read_truth(truth, LSP)).tolist() == [0, 1, 2, 3, 4, 5]


def test_a_grouping_that_leaves_images_out_is_rejected() -> None:
    truth, entries = of_videos(6, 2)
    del truth["images"][3]["group"]
    with pytest.raises(GroundTruthError, match=f"image {truth['images'][3]['id']} has no group"):
        read_truth(truth, LSP)
    truth["images"][3]["group"] = ["a", "list"]
    with pytest.raises(GroundTruthError, match="a list or an object"):
        read_truth(truth, LSP)
    truth["images"][3]["group"] = "video 1"
    with pytest.raises(GroundTruthError, match="has no group"):
        evaluate("lsp", entries, truth, intervals=True, groups={})


def test_groups_of_a_large_file_are_checked_as_well() -> None:
    truth, _ = multi_person("coco", 1, images=900, most_people=3)
    expected = [number % 7 for number in range(900)]
    truth["images"].sort(key=lambda image: image["id"])
    for image, group in zip(truth["images"], expected, strict=True):
        image["group"] = group
    coco, text = load_dataset("coco"), json.dumps(truth).encode()
    assert read_large_annotations(text, coco) is not None  # otherwise the careful reader reads it
    assert groups_of(read_truth(text, coco)).tolist() == expected
    with pytest.raises(GroundTruthError, match="has no group"):
        read_truth(text.replace(b'"group": 0', b'"grape": 0', 1), coco)


def test_groups_are_nobodys_business_but_the_bootstraps() -> None:
    truth, _ = of_videos(6, 2)
    assert not any("group" in image for image in public_images(truth, boxes=True)["images"])


def test_whole_groups_are_drawn() -> None:
    truth, _ = of_videos(12, 3)
    annotations = read_truth(truth, LSP)
    weights = image_weights(annotations, groups_of(annotations))
    assert weights.shape == (1000, 12) and (weights.sum(axis=1) == 12).all()
    assert (weights.reshape(1000, 4, 3) == resamples(annotations.sha256, 4)[:, :, None]).all()


def test_two_hundred_groups_are_needed_not_two_hundred_images() -> None:
    for images, frames, given in ((600, 2, True), (398, 2, False), (398, 1, True), (600, 600, False)):
        report = evaluate("lsp", *reversed(of_videos(images, frames)), intervals=True)
        whole = next(score for score in report.scores if (score.metric, score.part) == ("pck@0.2", "all"))
        assert (whole.low is not None) == given


def test_a_part_is_counted_in_the_groups_that_have_it() -> None:
    # 600 images in 300 groups of two; the knee is annotated in both images of 150 groups, 300 images: too few groups.
    hits, counts = np.zeros((600, 2)), np.ones((600, 2))
    hits[::3] = 1
    counts[300:, 0] = hits[300:, 0] = 0
    tally = RateTally("pck@0.2", hits, counts, {"knee": (0,), "hip": (1,)})
    groups = np.arange(600) // 2
    weights = resamples(DIGEST, 300)[:, groups]
    assert [score.low is not None for score in with_intervals(tally, weights, groups)] == [False, True, True]
    assert [score.low is not None for score in with_intervals(tally, resamples(DIGEST, 600))] == [True, True, True]
    differences = paired_differences(tally, tally, weights, groups)
    assert [each.p is not None for each in differences] == [False, True, True]


@pytest.mark.parametrize("cells", [200, 1000])
def test_intervals_cover_the_true_rate_95_times_in_a_hundred(cells: int) -> None:
    """6,000 or 2,000 samples a rate: the standard error of a coverage of 95% is 0.3 or 0.5 points. With 1,000 images
    also rates of 2 and 98%; with 200 those have fewer than ten hits or misses too often to say anything."""
    samples = 6000 if cells == 200 else 2000
    rng = np.random.default_rng(cells)
    weights = resamples(DIGEST, cells).astype(np.float64)
    rates = (0.1, 0.25, 0.5, 0.75, 0.9, *((0.02, 0.05, 0.95, 0.98) if cells == 1000 else ()))
    for rate in rates:
        for joints in (1, 14) if cells == 200 or rate in (0.1, 0.5, 0.98) else (1,):
            # alike within an image: how easy it is varies from image to image
            easy = (
                np.full((cells, samples), rate) if joints == 1 else rng.beta(3 * rate, 3 - 3 * rate, (cells, samples))
            )
            hits = rng.binomial(joints, easy)
            enough = np.minimum(hits.sum(axis=0), cells * joints - hits.sum(axis=0)) >= FEWEST_OUTCOMES
            low, high = np.percentile(weights @ hits / cells / joints, [2.5, 97.5], axis=0)
            held = ((low <= rate) & (rate <= high))[enough].mean()
            assert enough.mean() > 0.97
            assert 0.93 <= held <= 0.97, (rate, joints)


def test_images_of_a_video_drawn_one_by_one_would_promise_too_much() -> None:
    """300 videos of 10 frames that are all hits or all misses: the information is that of 300."""
    rng = np.random.default_rng(5)
    hits = np.repeat(rng.random((300, 1000)) < 0.6, 10, axis=0).astype(np.float64)
    groups = np.arange(3000) // 10
    held = []
    for weights in (resamples(DIGEST, 300)[:, groups], resamples(DIGEST, 3000)):
        low, high = np.percentile(weights.astype(np.float64) @ hits / 3000, [2.5, 97.5], axis=0)
        held.append(np.logical_and(low <= 0.6, high >= 0.6).mean())
    assert 0.93 <= held[0] <= 0.97
    # the interval is shorter by sqrt(10): 1.96 / sqrt(10) = 0.62 standard errors hold the truth 46 times in a hundred
    assert 0.38 <= held[1] <= 0.54


def test_the_command_says_over_how_many_groups(tmp_path: Any) -> None:
    truth, entries = of_videos(600, 2)
    worse = copy.deepcopy(entries)
    for entry in worse[::2]:
        entry["keypoints"] = [None if v is None else v + 90 for v in entry["keypoints"]]
    for name, document in (("truth", truth), ("a", entries), ("b", worse)):
        (tmp_path / f"{name}.json").write_text(json.dumps(document))
    files = [str(tmp_path / f"{name}.json") for name in ("a", "b", "truth")]
    done = CliRunner().invoke(app, ["compare", *files[:2], "--truth", files[2], "--json"], catch_exceptions=False)
    document = json.loads(done.stdout)
    assert (document["images"], document["groups"]) == (600, 300)
    names = {(each["metric"], each["part"]) for each in document["differences"]}
    assert names == {(spec.name, part) for spec in LSP.metrics for part in spec.parts}
    assert all(each["p"] is not None and each["low"] < each["high"] for each in document["differences"])
