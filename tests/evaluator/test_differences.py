"""Every known difference from pycocotools 2.0.11, both sides of it; docs/metrics/differences.md lists them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from evaluator import GroundTruthError, PredictionError
from tests.conftest import ROOT
from tests.evaluator.parity_cases import NAMES, difference, parity_case, reference, scored
from tests.evaluator.pose_cases import multi_person
from tests.evaluator.test_oks import annotation, entry, person

pytestmark = pytest.mark.usefixtures("engine")

AP = NAMES.index("ap")


@pytest.fixture
def both(tmp_path: Path) -> Any:
    """The ten numbers (pycocotools', ours) of two documents; an exception in the place of numbers."""

    def run(truth: Any, entries: Any) -> tuple[Any, Any]:
        files = tmp_path / "truth.json", tmp_path / "results.json"
        for file, document in zip(files, (truth, entries), strict=True):
            file.write_text(document if isinstance(document, str) else json.dumps(document))
        found: list[Any] = []
        for side in (reference, scored):
            try:
                found.append(side(*files))
            except Exception as error:
                found.append(error)
        return found[0], found[1]

    return run


def truth_of(*annotations: Any, images: int = 1) -> dict[str, Any]:
    return {
        "images": [{"id": number + 1} for number in range(images)],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [{"category_id": 1, **each} for each in annotations],
    }


def detected(points: Any, score: float, image: int = 1, **more: Any) -> dict[str, Any]:
    return {"category_id": 1, **entry(points, score, image, **more)}


HIT, ALARM = person(0, 0), person(4000, 0)


@pytest.mark.parametrize("block", range(5))
def test_whole_files_without_ties_are_equal(block: int, tmp_path: Path) -> None:
    """`python -m benchmarks.fuzz_parity` goes on from here."""
    found = [difference(seed, tmp_path) for seed in range(100 * block, 100 * block + 100)]
    compared = [each for each in found if each is not None]
    assert len(compared) > 70 and max(compared) <= 1e-12


def test_the_cases_have_what_they_promise() -> None:
    truths, entries = zip(*(parity_case(seed) for seed in range(300)), strict=True)
    people = [row for truth in truths for row in truth["annotations"]]
    assert any(row["area"] == 0 for row in people) and any(row["area"] > 1e10 for row in people)
    assert any(row["iscrowd"] and row["num_keypoints"] for row in people)
    assert any(not any(row["keypoints"][2::3]) for row in people)
    assert any(row["id"] < 0 for row in people) and not any(row["id"] == 0 for row in people)
    assert any(abs(value) > 1e5 for row in people for value in row["keypoints"])
    assert any(len({each["score"] for each in rows}) == len(rows) > 100 for rows in entries)
    exact = {tuple(row["keypoints"][::3]) for row in people}
    assert any(tuple(each["keypoints"][::3]) in exact for rows in entries for each in rows)


# --- Ties ------------------------------------------------------------------------------------------------------------


def test_tied_scores(both: Any) -> None:
    truth = truth_of(annotation(1, HIT))
    hit, alarm = detected(HIT, 0.5), detected(ALARM, 0.5)
    (there, here), (there_turned, here_turned) = both(truth, [hit, alarm]), both(truth, [alarm, hit])
    # the first of the file is the better one there: precision 1, or 1/2; here the smaller x comes first, the hit
    assert (there[AP], there_turned[AP]) == (pytest.approx(1), pytest.approx(0.5))
    assert here == here_turned and here[AP] == pytest.approx(1)


def test_equal_similarity(both: Any) -> None:
    # Two annotations in one place, one with all joints and one with the nose alone. The first detection is exact: its
    # OKS is 1 with both. The second has only the nose right. Both are found if the first takes the one with all joints.
    whole, nose = annotation(7, HIT), annotation(3, HIT, num_keypoints=1)
    nose["keypoints"][5::3] = [0] * 16
    second = HIT + 0
    second[1:] += 4000
    found = [detected(HIT, 0.9), detected(second, 0.8)]
    recall = NAMES.index("ar50")
    there, here = zip(*(both(truth_of(*order), found) for order in ((whole, nose), (nose, whole))), strict=True)
    # there the later one of the file is matched, here the larger id
    assert [each[recall] for each in there] == [0.5, 1.0]
    assert [each[recall] for each in here] == [1.0, 1.0]


def test_people_without_labels_who_count(both: Any) -> None:
    # Their num_keypoints says 17, their flags say none: OKS is 1 with whatever lies in their doubled box, so they tie.
    # The first detection lies in both boxes, the second in the large one alone (0 - 1000 to 0 + 2000 px).
    none = {"keypoints": [0] * 51, "area": 9000.0}
    large = annotation(7, HIT, **none | {"bbox": [0, 0, 1000, 1000]})
    small = annotation(9, HIT, **none | {"bbox": [0, 0, 200, 300]})
    found = [detected(HIT, 0.9), detected(HIT + 900, 0.8)]
    recall = NAMES.index("ar50")
    there, here = zip(*(both(truth_of(*order), found) for order in ((large, small), (small, large))), strict=True)
    assert [each[recall] for each in there] == [1.0, 0.5]
    assert [each[recall] for each in here] == [1.0, 1.0]


# --- What pycocotools loses or lets win ------------------------------------------------------------------------------


def test_an_annotation_with_the_id_zero(both: Any) -> None:
    there, here = both(truth_of(annotation(0, HIT)), [detected(HIT, 0.5)])
    assert there[AP] == 0 and here[AP] == pytest.approx(1)


def test_boxes_and_areas_of_the_results(both: Any) -> None:
    truth, entries = multi_person("coco", seed=11, images=40)
    truth["categories"] = [{"id": 1, "name": "person"}]
    plain = both(truth, entries)
    boxed = both(truth, [row | {"bbox": [0, 0, 1, 1]} for row in entries])
    large = NAMES.index("ap_large")
    assert plain[0] == pytest.approx(plain[1], abs=1e-12)
    assert boxed[1] == plain[1] and boxed[0][large] > plain[0][large] + 0.01


def test_a_coordinate_that_is_no_number(both: Any) -> None:
    spoiled = detected(ALARM, 0.5)
    spoiled["keypoints"][0] = float("nan")
    there, here = both(truth_of(annotation(1, HIT)), [spoiled])
    assert there[AP] == pytest.approx(1)  # a comparison with NaN is false, so the false alarm is a hit
    assert isinstance(here, PredictionError) and here.code == "not_finite"


def test_a_score_that_is_no_number(both: Any) -> None:
    there, here = both(truth_of(annotation(1, HIT)), [detected(HIT, float("nan")), detected(ALARM, 0.5)])
    assert there[AP] == pytest.approx(0.5)
    assert isinstance(here, PredictionError) and here.code == "not_finite"


def test_results_of_another_category(both: Any) -> None:
    there, here = both(truth_of(annotation(1, HIT)), [detected(HIT, 0.5), detected(ALARM, 0.9, category_id=2)])
    assert there[AP] == pytest.approx(1)  # dropped without a word
    assert here[AP] == pytest.approx(0.5)  # every entry is a person


def test_an_empty_list(both: Any) -> None:
    there, here = both(truth_of(annotation(1, HIT)), [])
    assert isinstance(there, IndexError) and set(here) <= {0.0, -1.0}


# --- What is accepted there and rejected here ------------------------------------------------------------------------


def test_ids_written_as_fractions(both: Any) -> None:
    there, here = both(truth_of(annotation(1, HIT)), [detected(HIT, 0.5) | {"image_id": 1.0}])
    assert there[AP] == pytest.approx(1)
    assert isinstance(here, PredictionError) and here.code == "wrong_type"


def test_coordinates_beyond_a_million(both: Any) -> None:
    there, here = both(truth_of(annotation(1, HIT)), [detected(HIT, 0.5), detected(HIT + 2e6, 0.9)])
    assert there[AP] == pytest.approx(0.5)
    assert isinstance(here, PredictionError) and here.code == "out_of_range"


def test_a_key_that_appears_twice(both: Any) -> None:
    text = json.dumps([detected(HIT, 0.5)]).replace('"score": 0.5', '"score": 0.1, "score": 0.5')
    there, here = both(truth_of(annotation(1, HIT)), text)
    assert there[AP] == pytest.approx(1)
    assert isinstance(here, PredictionError) and here.code == "duplicate_key"


def test_an_annotation_id_that_appears_twice(both: Any) -> None:
    there, here = both(truth_of(annotation(1, HIT), annotation(1, ALARM)), [detected(HIT, 0.5)])
    assert not isinstance(there, Exception)
    assert isinstance(here, GroundTruthError) and "twice" in str(here)


def test_one_point_for_all_joints(both: Any) -> None:
    # three numbers where 51 belong are read as every joint at one point, and a nose is found
    nose = annotation(1, HIT, num_keypoints=1)
    nose["keypoints"][5::3] = [0] * 16
    there, here = both(truth_of(nose), [detected(HIT, 0.5) | {"keypoints": [*HIT[0].tolist(), 1]}])
    assert there[AP] == pytest.approx(1)
    assert isinstance(here, PredictionError) and here.code == "wrong_count"


def test_flags_above_two(both: Any) -> None:
    odd = annotation(1, HIT)
    odd["keypoints"][2] = 3
    there, here = both(truth_of(odd), [detected(HIT, 0.5)])
    assert there[AP] == pytest.approx(1)
    assert isinstance(here, GroundTruthError) and "visibility flag" in str(here)


def test_a_truth_without_anybody(both: Any) -> None:
    there, here = both(truth_of(annotation(1, HIT, iscrowd=1)), [detected(HIT, 0.5)])
    assert set(there) == {-1.0}
    assert isinstance(here, GroundTruthError) and "contain no annotated people" in str(here)


# --- What ends in a traceback there ----------------------------------------------------------------------------------


def test_unknown_images(both: Any) -> None:
    there, here = both(truth_of(annotation(1, HIT)), [detected(HIT, 0.5), detected(HIT, 0.5, image=9)])
    assert isinstance(there, AssertionError)
    assert isinstance(here, PredictionError) and here.problems[0].pointer == "/1/image_id"


def test_missing_scores(both: Any) -> None:
    row = detected(HIT, 0.5)
    del row["score"]
    there, here = both(truth_of(annotation(1, HIT)), [row])
    assert isinstance(there, KeyError)
    assert isinstance(here, PredictionError) and here.code == "missing_key"


def test_annotations_without_num_keypoints_or_iscrowd(both: Any) -> None:
    bare = annotation(1, HIT)
    del bare["num_keypoints"]
    there, here = both(truth_of(bare), [detected(HIT, 0.5)])
    assert isinstance(there, KeyError) and here[AP] == pytest.approx(1)  # the labelled joints are counted


def test_the_page_lists_every_difference() -> None:
    page = (ROOT / "docs" / "metrics" / "differences.md").read_text()
    listed = set(re.findall(r"`(test_\w+)`", page))
    files = [Path(__file__), Path(__file__).with_name("test_cocoeval.py")]
    known = {name for file in files for name in re.findall(r"^def (test_\w+)\(", file.read_text(), re.MULTILINE)}
    here = {name for name in known if f"def {name}(both: Any)" in Path(__file__).read_text()}
    assert listed <= known and here <= listed
