"""PoseTrack: videos in the forms of 2018 and 2017, one file or a folder, to the one JSON form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluator import evaluate, load_dataset, read_truth
from evaluator.convert import ConversionError, convert_predictions, convert_truth

JOINTS = load_dataset("posetrack").joints
NAMES = [
    "nose", "head_bottom", "head_top", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
]  # fmt: skip


def new_video(video: int, *, shift: float = 0.0, **person: Any) -> dict[str, Any]:
    """Two frames, the second without people; in the first one person of whom all but the ankles is annotated."""
    keypoints = [v for place in range(17) for v in ((0, 0, 0) if place in (3, 4, 15, 16) else (place + shift, 2, 1))]
    first = 10_000_000_000 + video * 10_000
    row = {
        "id": first * 100, "image_id": first, "track_id": 3, "category_id": 1, "bbox": [0, 0, 30, 40],
        "bbox_head": [5, 5, 6, 8], "keypoints": keypoints, "scores": [0.25] * 17,
    } | person  # fmt: skip
    return {
        "images": [
            {
                "id": first + frame, "file_name": f"images/val/{video:06}_mpii_test/{frame:06}.jpg", "frame_id": frame,
                "vid_id": f"{video:06}", "nframes": 2, "is_labeled": frame == 0,
                "ignore_regions_x": [[100, 200, 200]] if frame == 0 else [],
                "ignore_regions_y": [[100, 100, 200]] if frame == 0 else [],
            }
            for frame in (0, 1)
        ],
        "annotations": [{key: value for key, value in row.items() if value is not ...}],
        "categories": [{"id": 1, "name": "person", "keypoints": NAMES}],
    }  # fmt: skip


def write(path: Path, document: Any) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(document))
    return path


def test_a_folder_of_videos_of_2018(tmp_path) -> None:
    for video in (2, 1):
        write(tmp_path / "truth" / f"{video:06}_mpii_test.json", new_video(video))
    document = convert_truth("posetrack", tmp_path / "truth")
    assert [image["id"] for image in document["images"]] == [
        10000010000, 10000010001, 10000020000, 10000020001,
    ]  # fmt: skip
    assert [image["group"] for image in document["images"]] == ["000001", "000001", "000002", "000002"]
    assert document["images"][0]["ignore_regions_x"] == [[100, 200, 200]]
    assert "ignore_regions_x" not in document["images"][1]
    one, _ = document["annotations"]
    assert (one["image_id"], one["head_size"], one["num_keypoints"]) == (10000010000, 6.0, 13)  # 0.6 x |(6, 8)|
    points = np.reshape(one["keypoints"], (15, 3))
    assert points[JOINTS.index("neck")].tolist() == [1, 2, 2]
    assert points[JOINTS.index("right_knee")].tolist() == [14, 2, 2]
    assert points[JOINTS.index("left_ankle")].tolist() == [0, 0, 0]
    # What is at (0, 0) and not visible is not annotated; what lies elsewhere is, whatever its flag (poseval).
    hidden = new_video(1)
    hidden["annotations"][0]["keypoints"][2] = 0
    hidden["annotations"][0]["keypoints"][0] = 4
    points = np.reshape(
        convert_truth("posetrack", write(tmp_path / "h.json", hidden))["annotations"][0]["keypoints"], (15, 3)
    )
    assert points[JOINTS.index("nose")].tolist() == [4, 2, 1]


def test_predictions_of_2018_score(tmp_path) -> None:
    for video in (1, 2):
        write(tmp_path / "truth" / f"{video}.json", new_video(video))
        # 3 px is 0.5 x head size: the first video's pose hits, the second's is 3.25 px away
        write(tmp_path / "poses" / f"{video}.json", new_video(video, shift=2.75 + 0.25 * video))
    document = convert_truth("posetrack", tmp_path / "truth", split="val-2018")
    entries = convert_predictions("posetrack", tmp_path / "poses")
    assert [entry["image_id"] for entry in entries] == [10000010000, 10000020000]
    assert entries[0]["keypoints"][:3] == [None] * 3  # an ankle
    assert entries[0]["keypoints"][3:6] == [17, 2, 0.25] and entries[0]["score"] == 0.25
    scores = {s.part: s.value for s in evaluate("posetrack", entries, document).scores}
    # One of two noses is found. Equal confidences: the smaller image id comes first, so precision is 1 at recall 1/2.
    assert scores["nose"] == 0.5 and scores["all"] == 0.5
    assert "right_ankle" not in scores


def old_video(*names: str, **person: Any) -> dict[str, Any]:
    point = {"id": [13], "x": [50], "y": [60.5], "is_visible": [1]}
    rectangle = {
        "x1": [10], "y1": [10], "x2": [13], "y2": [14], "track_id": [0], "annopoints": [{"point": [point]}],
    } | person  # fmt: skip
    rectangle = {key: value for key, value in rectangle.items() if value is not ...}
    return {
        "annolist": [
            {
                "image": [{"name": name}], "annorect": [rectangle],
                "ignore_regions": [{"point": [{"x": [x], "y": [y]} for x, y in ((0, 0), (9, 0), (9, 9))]}],
            }
            for name in names
        ]
    }  # fmt: skip


def test_videos_of_2017(tmp_path) -> None:
    write(tmp_path / "truth" / "a.json", old_video("a/1.jpg", "a/2.jpg"))
    write(tmp_path / "truth" / "b.json", old_video("b/1.jpg", annopoints=[]))
    document = convert_truth("posetrack", tmp_path / "truth")
    assert [(i["id"], i["file_name"], i["group"]) for i in document["images"]] == [
        (1, "a/1.jpg", "a"), (2, "a/2.jpg", "a"), (3, "b/1.jpg", "b"),
    ]  # fmt: skip
    assert [row["head_size"] for row in document["annotations"]] == [3, 3, 3]  # 0.6 x |(3, 4)|
    found = read_truth(document, load_dataset("posetrack"))
    assert found.keypoints[0, 13].tolist() == [50, 60.5]
    assert (found.visibility > 0).sum(axis=1).tolist() == [1, 1, 0]
    assert found.ignore_regions[2][0].tolist() == [[0, 0], [9, 0], [9, 9]]
    pose = [{"point": [{"id": [13], "x": [50], "y": [60], "score": [0.5]}, {"id": [0], "x": [1], "y": [2]}]}]
    write(tmp_path / "poses" / "a.json", old_video("a/2.jpg", annopoints=pose, score=[0.75]))
    (entry,) = convert_predictions("posetrack", tmp_path / "poses", truth=document)
    assert (entry["image_id"], entry["score"]) == (2, 0.75)
    assert entry["keypoints"][39:42] == [50, 60, 0.5]
    assert entry["keypoints"][:3] == [1, 2, -9999]  # no score: ranked last, as poseval does
    with pytest.raises(ConversionError, match="give the converted annotations, which number them: --truth"):
        convert_predictions("posetrack", tmp_path / "poses")
    write(tmp_path / "poses" / "a.json", old_video("a/3.jpg", annopoints=pose))
    with pytest.raises(ConversionError, match=r"the annotations have no image called a/3\.jpg"):
        convert_predictions("posetrack", tmp_path / "poses", truth=document)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (new_video(1, bbox_head=...), "annotation 1000001000000 has joints but no head box"),
        (new_video(1, bbox_head=[1, 1, 0, 0]), "empty head box"),
        (new_video(1, image_id=5), "annotations of image 5, which is not listed"),
        (new_video(1, keypoints=[1, 2, 3]), "3 numbers for 17 joints"),
        (new_video(1, keypoints=...), "not in PoseTrack's format of 2018 .KeyError..keypoints"),
        (new_video(1) | {"categories": []}, "does not name the joints"),
        (new_video(1) | {"categories": [{"keypoints": NAMES[1:]}]}, "do not list the joint nose"),
        (new_video(1) | {"images": [1]}, "not in PoseTrack's format of 2018"),
        (old_video("a.jpg", x2=[]), "not in PoseTrack's format of 2017"),
        (old_video("a.jpg", x1=...), "a person in a.jpg has joints but no head box"),
        ({"annolist": [{}]}, "not in PoseTrack's format of 2017"),
        ({}, "expected an object with images and annotations, or with annolist"),
        ([], "expected an object with images and annotations, or with annolist"),
    ],
)
def test_what_is_not_posetrack_is_rejected(tmp_path, document, message) -> None:
    with pytest.raises(ConversionError, match=message):
        convert_truth("posetrack", write(tmp_path / "video.json", document))


def test_an_empty_folder_and_scores_that_do_not_fit(tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConversionError, match=r"no \.json file in this folder"):
        convert_truth("posetrack", tmp_path / "empty")
    with pytest.raises(ConversionError, match="3 scores for 17 joints"):
        convert_predictions("posetrack", write(tmp_path / "p.json", new_video(1, scores=[1, 2, 3])))
    with pytest.raises(ConversionError, match="is not a file"):
        convert_truth("coco", tmp_path / "empty")
