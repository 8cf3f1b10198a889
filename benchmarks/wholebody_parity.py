"""WholeBody AP against xtcocotools on random cases: python -m benchmarks.wholebody_parity [CASES]

xtcocotools has no wheel for every numpy; in an environment of its own it is built from source:

    pip install numpy scipy setuptools cython matplotlib
    pip install --no-build-isolation --no-binary xtcocotools xtcocotools
"""

from __future__ import annotations

import contextlib
import copy
import io
import sys
import warnings
from typing import Any

from evaluator import GroundTruthError, evaluate, load_dataset
from evaluator.metrics.oks import STATISTICS
from tests.evaluator.pose_cases import multi_person

# Part -> the iouType of xtcocotools' COCOeval
KINDS = {
    "body": "keypoints", "feet": "keypoints_foot", "face": "keypoints_face", "left_hand": "keypoints_lefthand",
    "right_hand": "keypoints_righthand", "all": "keypoints_wholebody",
}  # fmt: skip


def reference(truth: dict[str, Any], entries: list[dict[str, Any]]) -> dict[str, list[float]]:
    """xtcocotools' ten numbers of each part, -1 where nobody has it."""
    from xtcocotools.coco import COCO
    from xtcocotools.cocoeval import COCOeval

    whole = load_dataset("coco_wholebody")
    rows = copy.deepcopy([*truth["annotations"], *entries])
    for row in rows:
        keypoints = row["keypoints"]
        for field, joints in whole.keypoint_fields.items():
            row[field], keypoints = keypoints[: 3 * joints], keypoints[3 * joints :]
    people, poses = rows[: len(truth["annotations"])], rows[len(truth["annotations"]) :]
    found = {}
    for part, kind in KINDS.items():
        joints = whole.joints if part == "all" else whole.parts[part]
        sigmas = whole.sigmas[[whole.joint(joint) for joint in joints]]
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a part has no score of its own
            ground = COCO()
            ground.dataset = {
                **truth,
                "annotations": copy.deepcopy(people),
                "categories": [{"id": 1, "name": "person"}],
            }
            ground.createIndex()
            run = COCOeval(ground, ground.loadRes(copy.deepcopy(poses)), kind, sigmas)
            run.evaluate()
            run.accumulate()
            run.summarize()
        found[part] = [float(value) for value in run.stats]
    return found


def main(cases: int) -> int:
    compared, differing, worst = 0, 0, 0.0
    for seed in range(cases):
        sizes = {"images": 1 + seed % 9, "most_people": 1 + seed % 5, "most_detections": 30 if seed % 10 == 0 else 6}
        truth, entries = multi_person("coco_wholebody", seed, **sizes)
        if not entries:
            continue
        try:
            scores = evaluate("coco_wholebody", entries, truth).scores
        except GroundTruthError:  # no annotated people
            continue
        ours = {(score.metric, score.part): score.value for score in scores}
        for part, expected in reference(truth, entries).items():
            for name, value in zip(STATISTICS, expected, strict=True):
                difference = abs(ours.get((name, part), -1) - value)
                compared, worst, differing = compared + 1, max(worst, difference), differing + (difference > 1e-12)
    print(f"{compared} numbers compared, {differing} differ by more than 1e-12; the largest difference is {worst:.3g}")
    return int(differing > 0)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100))
