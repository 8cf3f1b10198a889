"""GPS and GPSm worked by hand on the cylinder, and against the reference that goes entry by entry."""

from __future__ import annotations

import copy
import dataclasses
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluator import GroundTruthError, PredictionError, evaluate, load_dataset, measure, read_predictions, read_truth
from evaluator.metrics import gps, offers
from evaluator.metrics.gps import box_overlap
from evaluator.surface.maps import UvMaps, uv_entry
from evaluator.surface.surfaces import PART_KAPPA
from tests.evaluator import densepose_reference as reference
from tests.evaluator.pose_cases import scores_of
from tests.evaluator.surface_cases import SURFACE, on_surface, one, perfect, simple, true_map

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools

DENSEPOSE = load_dataset("densepose")
FAMILIES = [(True, None), (False, None), (False, 0.255)]
ROWS = sorted({float(SURFACE.v[vertex]) for vertex in SURFACE.charts[1]})  # 15 rows of 1.7 m / 15


def scores(truth: Any, entries: Any) -> dict[str, float]:
    return {metric: value for (metric, _), value in scores_of(evaluate("densepose", entries, truth)).items()}


def at(chart: int, *rows: int) -> dict[str, Any]:
    """A person with a point at each of these rows of a chart, in the middle of it."""
    person = simple()
    person |= {"dp_I": [float(chart)] * len(rows), "dp_U": [0.5] * len(rows), "dp_V": [ROWS[row] for row in rows]}
    return person | {key: person[key][: len(rows)] for key in ("dp_x", "dp_y")}


def saying(person: dict[str, Any], chart: int, row: int, **changes: Any) -> dict[str, Any]:
    """A map of the person's own mask that says one place of the surface everywhere."""
    uv = true_map(person)
    body = uv[0] > 0
    uv[:, body] = np.array([[chart], [128], [round(255 * ROWS[row])]], dtype=np.uint8)
    return uv_entry(1, person["bbox"], uv, 0.5) | changes


def test_two_rows_up_the_torso_by_hand() -> None:
    # g = 2 x 1.7 / 15 = 0.22667 m. Torso, kappa 0.351: exp(-g^2 / (2 kappa^2)) = exp(-0.20851) = 0.8118, seven of the
    # ten thresholds 0.50 .. 0.95. With 0.255 for all parts: exp(-0.39506) = 0.6736, four. The masks are the same: the
    # root of 0.8118 is 0.9010, nine.
    person = at(1, 4)
    found = scores(*one(person, saying(person, 1, 6)))
    assert (found["gps_ap"], found["gpsm_ap"]) == (pytest.approx(0.7, abs=1e-12), pytest.approx(0.9, abs=1e-12))
    assert found["gps_ap@0.255"] == pytest.approx(0.4, abs=1e-12)
    assert (found["gps_ap50"], found["gps_ap75"], found["gps_ap75@0.255"]) == (pytest.approx(1), pytest.approx(1), 0)


def test_each_coarse_part_has_its_own_kappa() -> None:
    # Hands, kappa 0.107: three rows of 0.1133 m are 0.34 m, exp(-5.05) < 0.01. Upper legs, 0.237: exp(-1.029) = 0.357.
    # The torso, 0.351: exp(-0.4692) = 0.6255: 0.50, 0.55 and 0.60.
    for chart, expected in ((3, 0.0), (7, 0.0), (1, 0.3)):
        person = at(chart, 4)
        assert scores(*one(person, saying(person, chart, 7)))["gps_ap"] == pytest.approx(expected, abs=1e-12)
    assert PART_KAPPA.tolist()[1:] == pytest.approx(
        [0.351] * 2 + [0.107] * 2 + [0.126] * 2 + [0.237] * 4 + [0.173] * 4 + [0.142] * 4 + [0.128] * 4 + [0.150] * 2
    )


def test_distances_go_around_the_body_and_not_through_it() -> None:
    # Chart 1 and chart 13 are half a turn apart: pi x 0.25 m. Chart 1 and 24 are neighbours, 2 pi x 0.25 / 24.
    table = [SURFACE.nearest(np.array([chart]), np.array([0.5]), np.array([0.5])) for chart in (1, 13, 24)]
    assert SURFACE.between(table[0], table[1])[0] == pytest.approx(np.pi * 0.25)
    assert SURFACE.between(table[0], table[2])[0] == pytest.approx(2 * np.pi * 0.25 / 24)
    assert SURFACE.between(table[0], table[0])[0] == 0
    assert SURFACE.between(np.array([-1]), table[0])[0] == np.inf


def test_overlap_of_the_masks_by_hand() -> None:
    # Every second row of the person's pixels is called background. The point's own pixel is not: GPS is 1, and the
    # overlap is the share of pixels that is left.
    person = at(1, 4)
    uv = true_map(person)
    body = uv[0] > 0
    row = int(person["dp_y"][0] * person["bbox"][3] / 255)
    uv[:, [y for y in range(uv.shape[1]) if (y - row) % 2]] = 0
    overlap = (uv[0] > 0).sum() / body.sum()
    found = scores(*one(person, uv_entry(1, person["bbox"], uv, 0.5)))
    assert found["gps_ap"] == pytest.approx(1, abs=1e-12)
    levels = sum(np.sqrt(overlap) >= level for level in np.linspace(0.5, 0.95, 10))
    assert 0.4 < overlap < 0.6 and levels in (4, 5)  # the root of one half is 0.7071: 0.50 .. 0.70
    assert found["gpsm_ap"] == pytest.approx(levels / 10, abs=1e-12)


@pytest.mark.parametrize(
    ("corner", "area"),
    [
        ((5.7, 5.2), 16), ((-1.5, 0.0), 8), ((0.0, -3.0), 4), ((8.0, 0.0), 8), ((9.0, 9.0), 1),
        # nothing of it lies in the image of 10 x 10
        ((10.0, 0.0), 0), ((30.0, 0.0), 0), ((-4.0, 0.0), 0), ((-30.0, 0.0), 0), ((0.0, 10.0), 0), ((0.0, 30.0), 0),
        ((0.0, -4.0), 0), ((0.0, -30.0), 0),
    ],
)  # fmt: skip
def test_a_mask_counts_only_in_its_image(corner: tuple[float, float], area: int) -> None:
    mask = gps._Mask.of(np.ones((4, 4), dtype=bool), np.array([*corner, 4.0, 4.0]), (10, 10))
    everywhere = gps._Mask.of(np.ones((10, 10), dtype=bool), np.array([0.0, 0.0, 10.0, 10.0]), (10, 10))
    assert mask.area == area
    assert mask.overlap(everywhere) == pytest.approx(area / 100, abs=1e-12)


def test_a_point_outside_the_box_or_on_background_is_infinitely_far() -> None:
    # Of two points one is exact and one is lost: GPS = 1/2, which only the threshold 0.50 takes.
    person = at(1, 4, 4)
    person |= {"dp_x": [20.0, 230.0], "dp_y": [128.0, 128.0]}
    whole = true_map(person)
    whole[:] = np.array([1, 128, round(255 * ROWS[4])], dtype=np.uint8)[:, None, None]
    x, y, width, height = person["bbox"]
    narrow = uv_entry(1, [x, y, width // 2, height], whole[:, :, : int(width) // 2], 0.5)
    background = whole.copy()
    background[0, :, 40:] = 0
    for entry in (narrow, uv_entry(1, person["bbox"], background, 0.5)):
        assert scores(*one(person, entry))["gps_ap"] == pytest.approx(0.1, abs=1e-12)
    assert scores(*one(person, uv_entry(1, person["bbox"], whole, 0.5)))["gps_ap"] == pytest.approx(1, abs=1e-12)


def test_detections_where_nobody_counts_are_left_out() -> None:
    # An image without annotated surfaces holds a more confident false alarm: it does not count, unlike under OKS.
    person = at(1, 4)
    truth, entries = one(person, saying(person, 1, 4))
    truth["images"].append({"id": 2, "height": 200, "width": 240})
    elsewhere = saying(person, 1, 4, image_id=2, score=0.9)
    assert scores(truth, [*entries, elsewhere])["gps_ap"] == pytest.approx(1, abs=1e-12)
    # In the same image it does: precision one half.
    alarm = saying(person, 1, 14, score=0.9)
    assert scores(truth, [*entries, alarm])["gps_ap"] == pytest.approx(0.5, abs=1e-12)


@pytest.mark.parametrize("change", [{}, {"iscrowd": 1}, {"ignore": 1}])
def test_a_detection_in_the_box_of_a_person_without_surface_is_left_out(change: dict[str, Any]) -> None:
    # The more confident detection has no match. Its box is that of a person who does not count, to 0.9 of their union.
    person, bare = at(1, 4), simple(1, (150, 20, 80, 60)) | {"id": 2} | change
    if not change:
        bare = {key: value for key, value in bare.items() if not key.startswith("dp_")}
    where = np.full((3, 60, 72), 5, dtype=np.uint8)
    found = [saying(person, 1, 4), uv_entry(1, [150, 20, 72, 60], where, 0.9)]
    assert scores(*one(person, *found, others=(bare,)))["gps_ap"] == pytest.approx(1, abs=1e-12)
    # To 0.7 of their union it is a false alarm before the hit, unless a crowd: its share is of the detection alone.
    narrow = [found[0], uv_entry(1, [150, 20, 56, 60], where[:, :, :56], 0.9)]
    expected = 1 if change == {"iscrowd": 1} else 0.5
    assert scores(*one(person, *narrow, others=(bare,)))["gps_ap"] == pytest.approx(expected, abs=1e-12)


def test_a_person_without_surface_leaves_one_detection_out_and_a_crowd_any_number() -> None:
    person, bare = at(1, 4), simple(1, (150, 20, 80, 60)) | {"id": 2, "ignore": 1}
    where = np.full((3, 60, 80), 5, dtype=np.uint8)
    twice = [uv_entry(1, [150, 20, 80, 60], where, score) for score in (0.9, 0.8)]
    found = [saying(person, 1, 4), *twice]
    assert scores(*one(person, *found, others=(bare,)))["gps_ap"] == pytest.approx(0.5, abs=1e-12)
    crowd = bare | {"iscrowd": 1}
    assert scores(*one(person, *found, others=(crowd,)))["gps_ap"] == pytest.approx(1, abs=1e-12)


def test_overlap_of_boxes_by_hand() -> None:
    # 10 x 10 and the same moved by 5: 50 of 150. Of the first alone under a crowd: 50 of 100. Apart: nothing.
    a = np.array([[0.0, 0, 10, 10]] * 3)
    b = np.array([[5.0, 0, 10, 10], [5, 0, 10, 10], [20, 0, 10, 10]])
    assert box_overlap(a, b, np.array([False, True, False])).tolist() == pytest.approx([1 / 3, 1 / 2, 0])


@pytest.mark.parametrize("seed", range(12))
def test_all_thirty_numbers_are_those_of_the_reference(seed: int) -> None:
    truth, entries = on_surface("densepose", seed, images=8, most_people=4, most_detections=7)
    expected = reference.scores(copy.deepcopy(truth), entries, SURFACE, FAMILIES)
    found = scores(truth, entries)
    assert found == pytest.approx(expected, abs=1e-12)
    assert len(found) >= 18 and found["gps_ap"] > 0.01


def test_ties_are_settled_by_content() -> None:
    truth, entries = on_surface("densepose", 4, images=6, most_people=4, most_detections=12)
    for number, entry in enumerate(entries):
        entry["score"] = 0.5 if number % 3 else 0.25
    reports = set()
    rng = np.random.default_rng(0)
    for _ in range(30):
        shuffled_truth, shuffled = copy.deepcopy(truth), list(entries)
        for rows in (shuffled, shuffled_truth["annotations"], shuffled_truth["images"]):
            rng.shuffle(rows)
        reports.add(tuple(score.value.hex() for score in evaluate("densepose", shuffled, shuffled_truth).scores))
    assert len(reports) == 1


def test_files_give_what_documents_give(tmp_path: Path) -> None:
    truth, entries = on_surface("densepose", 2, images=6)
    expected = evaluate("densepose", entries, truth).scores
    (tmp_path / "p.json.gz").write_bytes(gzip.compress(json.dumps(entries).encode()))
    (tmp_path / "t.json").write_text(json.dumps(truth))
    assert evaluate("densepose", tmp_path / "p.json.gz", tmp_path / "t.json").scores == expected


def test_the_surface_is_the_operators_file_or_named_by_the_truth(tmp_path: Path) -> None:
    truth, entries = on_surface("densepose", 2, images=6)
    expected = evaluate("densepose", entries, truth).scores
    del truth["info"]["surface"]
    with pytest.raises(GroundTruthError, match="geodesic tables"):
        evaluate("densepose", entries, truth)
    file = tmp_path / "surface.npz"
    np.savez(file, part=SURFACE.part, u=SURFACE.u, v=SURFACE.v, vertex=SURFACE.vertex, distances=SURFACE.distances)
    for surface in (SURFACE, file, str(file)):
        assert evaluate("densepose", entries, truth, surface=surface).scores == expected
    truth["info"]["surface"] = "sphere"
    with pytest.raises(GroundTruthError, match=r"info\.surface is 'sphere': expected one of cylinder"):
        evaluate("densepose", entries, truth)


def test_intervals_where_there_is_enough() -> None:
    rng = np.random.default_rng(0)
    person = at(1, 4)
    truth: Any = {"info": {"surface": "cylinder"}, "images": [], "annotations": []}
    entries = []
    for image in range(1, 221):
        truth["images"].append({"id": image, "height": 200, "width": 240})
        truth["annotations"].append(person | {"id": image, "image_id": image})
        entries.append(saying(person, 1, 4 + 5 * int(rng.random() < 0.3), image_id=image, score=float(rng.random())))
    whole = {s.metric: s for s in evaluate("densepose", entries, truth, intervals=True).scores}
    for name in ("gps_ap", "gpsm_ar", "gps_ap50@0.255"):
        assert whole[name].low < whole[name].value < whole[name].high  # type: ignore[operator]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dp_I": [1.0]}, "not lists of one length"),
        ({"dp_x": None}, "not lists of one length"),
        ({"dp_U": ["left"] * 8}, "are not numbers"),
        ({"dp_U": [float("nan")] * 8}, "not finite"),
        ({"dp_I": [25.0] * 8}, "whole number from 1 to 24"),
        ({"dp_I": [1.5] * 8}, "whole number from 1 to 24"),
        ({"dp_masks": None}, "points without dp_masks"),
        ({"dp_masks": [{"size": [256, 256], "counts": "04"}]}, "a mask is not 256 x 256 run lengths"),
        ({"dp_masks": [{"size": [2, 2], "counts": [4]}]}, "a mask is not 256 x 256 run lengths"),
        ({"dp_masks": [{"counts": [65536]}]}, "a mask is not 256 x 256 run lengths"),
        ({"dp_masks": ["all"]}, "a mask is not 256 x 256 run lengths"),
        ({"area": None}, "has no area, which GPS needs"),
        ({"bbox": None}, "has no bbox, which GPS needs"),
        ({"ignore": 1}, "contain no annotated people"),
    ],
)
def test_annotations_that_cannot_be_scored_against_are_the_operators_fault(change: Any, message: str) -> None:
    person = simple()
    with pytest.raises(GroundTruthError, match=message):
        evaluate("densepose", [uv_entry(1, person["bbox"], true_map(person), 0.5)], one(person | change)[0])


def test_masks_need_the_size_of_the_image_and_points_a_chart_with_vertices() -> None:
    person = simple()
    truth, entries = one(person, uv_entry(1, person["bbox"], true_map(person), 0.5))
    del truth["images"][0]["height"]
    with pytest.raises(GroundTruthError, match="image 1 has no height and width"):
        evaluate("densepose", entries, truth)
    others = SURFACE.part != int(person["dp_I"][0])
    part = dataclasses.replace(
        SURFACE, part=SURFACE.part[others], u=SURFACE.u[others], v=SURFACE.v[others], vertex=SURFACE.vertex[others]
    )
    with pytest.raises(GroundTruthError, match=f"no vertices in part {int(person['dp_I'][0])}"):
        evaluate("densepose", entries, one(person)[0], surface=part)
    # A map may say such a part: it is infinitely far.
    other = person | {"dp_I": [2.0] * 8}
    assert (
        scores_of(evaluate("densepose", [saying(other, int(person["dp_I"][0]), 4)], one(other)[0], surface=part))[
            "gps_ar", "all"
        ]
        == 0
    )


def test_the_core_lets_nothing_win_that_is_no_number() -> None:
    truth, entries = on_surface("densepose", 3, images=6)
    annotations, predictions = read_truth(truth, DENSEPOSE), read_predictions(entries, DENSEPOSE)
    assert predictions.uv is not None
    maps = predictions.uv
    for column, value in ((0, np.inf), (1, -np.inf), (2, np.nan), (3, np.inf)):
        boxes = maps.boxes.copy()
        boxes[:, column] = value
        wrong = dataclasses.replace(predictions, uv=UvMaps(boxes, maps.images))
        with pytest.raises(PredictionError) as caught:
            evaluate(DENSEPOSE, wrong, annotations)
        assert caught.value.code == "not_finite"
        with pytest.raises(PredictionError) as caught:
            measure(DENSEPOSE, wrong, annotations)
        assert caught.value.code == "not_finite"
    worthless = dataclasses.replace(predictions, scores=np.full(len(entries), np.nan))
    (tally,) = measure(DENSEPOSE, worthless, annotations)
    assert all(0 <= score.value <= 1 for score in tally.scores())


def test_arrays_follow_the_rules_of_a_file() -> None:
    truth, entries = on_surface("densepose", 3, images=6)
    predictions = read_predictions(entries, DENSEPOSE)
    assert predictions.uv is not None
    images, boxes = predictions.uv.images, predictions.uv.boxes
    for maps, code in (
        (None, "wrong_count"),
        (UvMaps(boxes[:-1], images), "wrong_count"),
        (UvMaps(boxes, images[:-1]), "wrong_count"),
        (UvMaps(boxes + np.array([0, 0, 5, 0]), images), "image_size"),
        (UvMaps(boxes, tuple(image[:-9] for image in images)), "invalid_image"),
    ):
        with pytest.raises(PredictionError) as caught:
            evaluate("densepose", dataclasses.replace(predictions, uv=maps), truth)
        assert caught.value.code == code


def test_perfect_maps_are_perfect_for_every_size() -> None:
    for seed in range(3):
        truth, _ = on_surface("densepose", seed, images=10)
        found = list(scores(truth, perfect(truth)).values())
        assert len(found) >= 24 and found == pytest.approx([1.0] * len(found), abs=1e-12)


@pytest.mark.parametrize("name", ["ap", "gps", "oks_ap", "gps_ap@far", "gpsm_ap51", "gps_ap@", "gps_ap@0", "gps_ap@-1"])
def test_names_say_similarity_statistic_and_kappa(name: str) -> None:
    assert not offers(gps, name)
    assert all(offers(gps, known) for known in ("gps_ap", "gpsm_ar50", "gps_ap_medium@0.255", "gps_ap@1"))


def test_neither_keypoints_nor_maps_are_accepted_for_the_other() -> None:
    truth, entries = on_surface("densepose", 3, images=6)
    annotations, predictions = read_truth(truth, DENSEPOSE), read_predictions(entries, DENSEPOSE)
    with pytest.raises(PredictionError, match="no surface maps"):
        measure(DENSEPOSE, dataclasses.replace(predictions, uv=None), annotations)
    with pytest.raises(GroundTruthError, match="no surface points"):
        measure(DENSEPOSE, predictions, dataclasses.replace(annotations, surface_points=None))
    with pytest.raises(PredictionError) as caught:
        evaluate("densepose", [{"image_id": entries[0]["image_id"], "score": 1, "keypoints": [1.0] * 51}], truth)
    assert {problem.message for problem in caught.value.problems} == {"no bbox", "no uv_shape", "no uv_data"}
