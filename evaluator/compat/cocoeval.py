"""COCO's keypoint evaluation behind the names of pycocotools' `COCOeval`, for a change of one import.

The interface, the shapes and the numbers are those of pycocotools 2.0.11; where it differs, docs/migration.md says so.
The matching and the similarity are the evaluator's own. `evaluate` of this package is faster and safer: it does not
build an object per person, and ties do not depend on the order of a file.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluator.compat.coco_index import COCO, Entry
from evaluator.datasets import load_dataset
from evaluator.errors import GroundTruthError
from evaluator.matching import (
    EPSILON,
    HIGHEST_THRESHOLD,
    RECALLS,
    THRESHOLDS,
    Candidates,
    Detections,
    assigned,
    pairs,
)
from evaluator.metrics.oks import AREAS, MOST_DETECTIONS, PAIRS_AT_ONCE, oks
from evaluator.poses import Booleans, Floats, Integers

__all__ = ["COCO", "COCOeval", "Params"]

LINE = " {:<18} {} @[ IoU={:<9} | area={:>6s} | maxDets={:>3d} ] = {:0.3f}"


class Params:
    """The parameters of an evaluation. Every field may be changed before `evaluate()`."""

    def __init__(self, iouType: str = "keypoints") -> None:
        if iouType != "keypoints":
            raise NotImplementedError(
                f"COCOeval for {iouType!r}: PoseBoard scores keypoints only. "
                'Give iouType="keypoints", or use pycocotools for boxes and masks'
            )
        self.iouType = iouType
        self.imgIds: Any = []
        self.catIds: Any = []
        self.iouThrs: Floats = THRESHOLDS.copy()
        self.recThrs: Floats = RECALLS.copy()
        self.maxDets: list[int] = [MOST_DETECTIONS]
        self.areaRng: list[list[float]] = [list(bounds) for bounds in AREAS.values()]
        self.areaRngLbl: list[str] = list(AREAS)
        self.useCats = 1
        self.kpt_oks_sigmas: Floats = load_dataset("coco").sigmas.copy()


@dataclass(frozen=True, eq=False)
class _Rows:
    """Annotations or detections of some images and one category, image after image."""

    entries: list[Entry]
    image: Integers  # [N], ascending: place in params.imgIds
    keypoints: Floats  # [N, K, 3]
    areas: Floats  # [N]
    ids: Integers  # [N]


class COCOeval:
    """`COCOeval(gt, dt, "keypoints")`, then `evaluate()`, `accumulate()`, `summarize()`.

    `eval["precision"]` [T, R, C, A, M] and `eval["scores"]` alike, `eval["recall"]` [T, C, A, M]: thresholds, recalls,
    categories, area ranges, numbers of detections; -1 without annotated people. `stats` [10]: the ten numbers.
    `evalImgs`: an object, or None, for each category, area range and image, the image running fastest; in it
    `dtMatches` [T, detections] names annotations, 0 for nobody, so an annotation with the id 0 is -1 there. `ious`: OKS
    [detections, annotations] by (image id, category id).
    """

    def __init__(self, cocoGt: COCO | None = None, cocoDt: COCO | None = None, iouType: str = "segm") -> None:
        self.params = Params(iouType)
        self.cocoGt = cocoGt
        self.cocoDt = cocoDt
        self.evalImgs: list[Entry | None] = []
        self.eval: dict[str, Any] = {}
        self.stats: Any = []
        self.ious: dict[tuple[int, int], Any] = {}
        self._paramsEval: Params | None = None  # those of the last evaluate()
        if cocoGt is not None:
            self.params.imgIds = sorted(cocoGt.getImgIds())
            self.params.catIds = sorted(cocoGt.getCatIds())

    def evaluate(self) -> None:
        """Matches the detections of every image: fills `ious` and `evalImgs`."""
        started = time.time()
        print("Running per image evaluation...")
        p = self.params
        print(f"Evaluate annotation type *{p.iouType}*")
        p.imgIds = np.unique(p.imgIds).tolist()
        if p.useCats:
            p.catIds = np.unique(p.catIds).tolist()
        p.maxDets = sorted(p.maxDets)
        p.iouThrs, p.recThrs = np.asarray(p.iouThrs, np.float64), np.asarray(p.recThrs, np.float64)
        self.ious, self.evalImgs = {}, []
        for category in p.catIds if p.useCats else [-1]:
            self._evaluate_category(category)
        self._paramsEval = copy.deepcopy(p)
        print(f"DONE (t={time.time() - started:0.2f}s).")

    def _evaluate_category(self, category: int) -> None:
        p = self.params
        if self.cocoGt is None or self.cocoDt is None:
            raise ValueError("COCOeval needs annotations and detections: COCOeval(cocoGt, cocoDt, 'keypoints')")
        sigmas = np.asarray(p.kpt_oks_sigmas, np.float64)
        true = _rows(self.cocoGt, p.imgIds, category if p.useCats else None, len(sigmas), "annotation")
        found = _rows(self.cocoDt, p.imgIds, category if p.useCats else None, len(sigmas), "detection")
        scores = np.array([row["score"] for row in found.entries], dtype=np.float64)
        order = np.lexsort((-scores, found.image))
        starts = np.searchsorted(found.image[order], found.image[order])
        rank = np.arange(len(order)) - starts
        ranked = rank < p.maxDets[-1]
        rows = order[ranked]
        detections = Detections(rows, found.image[rows], rank[ranked], scores[rows])
        # those of each image, in the order of the file: of equal similarity the later one is matched
        detection, person = pairs(detections.image, true.image, len(p.imgIds))
        similarity = _similarities(found.keypoints[rows], true, detection, person, sigmas)
        crowd = np.array([bool(row.get("iscrowd")) for row in true.entries], dtype=bool)
        labelled = (true.keypoints[..., 2] > 0).sum(axis=1)
        unlabelled = [row.get("num_keypoints", n) == 0 for row, n in zip(true.entries, labelled.tolist(), strict=True)]
        ranges = np.array(p.areaRng, dtype=np.float64)
        away = (crowd | np.array(unlabelled, dtype=bool)) | _outside(true.areas, ranges)
        near = similarity >= np.minimum(p.iouThrs, HIGHEST_THRESHOLD).min(initial=np.inf)
        candidates = Candidates(detection[near], person[near], similarity[near])
        matches = assigned(detections, candidates, away, crowd, np.arange(len(true.ids)), p.iouThrs)
        self._keep(category, true, detections, found.ids[rows], matches, away, crowd, similarity, found.areas[rows])

    def _keep(
        self,
        category: int,
        true: _Rows,
        detections: Detections,
        ids: Integers,
        matches: NDArray[np.int32],
        away: Booleans,
        crowd: Booleans,
        similarity: Floats,
        areas: Floats,
    ) -> None:
        """Writes the matches of each image into `evalImgs`, as pycocotools does."""
        p = self.params
        images = np.arange(len(p.imgIds) + 1)
        first_true, first = np.searchsorted(true.image, images), np.searchsorted(detections.image, images)
        sizes = np.diff(first) * np.diff(first_true)
        blocks = np.split(similarity, np.cumsum(sizes)[:-1]) if len(sizes) else []
        out = _outside(areas, np.array(p.areaRng, dtype=np.float64))
        hit = matches >= 0
        named = np.append(np.where(true.ids == 0, -1, true.ids), 0)  # the last: nobody
        matched_ids = named[matches].astype(np.float64)  # [A, T, D]
        absorbed = (
            hit
            & np.append(away, np.zeros((len(away), 1), dtype=bool), axis=1)[
                np.arange(len(away))[:, None, None], matches
            ]
        )
        dropped = absorbed | (~hit & out[:, None, :])
        for number, image in enumerate(p.imgIds):
            t, d = slice(*first_true[number : number + 2]), slice(*first[number : number + 2])
            shape = d.stop - d.start, t.stop - t.start
            self.ious[image, category] = blocks[number].reshape(shape) if 0 not in shape else []
        for area, bounds in enumerate(p.areaRng):
            for number, image in enumerate(p.imgIds):
                t, d = slice(*first_true[number : number + 2]), slice(*first[number : number + 2])
                if t.start == t.stop and d.start == d.stop:
                    self.evalImgs.append(None)
                    continue
                # those who count come first, in the order of the file
                people = t.start + np.argsort(away[area, t], kind="stable")
                place = np.empty(len(people), dtype=np.int64)
                place[people - t.start] = np.arange(len(people))
                matched_by = np.zeros((len(p.iouThrs), len(people)))
                threshold, rank = np.nonzero(hit[area, :, d])
                matched_by[threshold, place[matches[area, :, d][threshold, rank] - t.start]] = ids[d][rank]
                self.evalImgs.append(
                    {
                        "image_id": image,
                        "category_id": category,
                        "aRng": bounds,
                        "maxDet": p.maxDets[-1],
                        "dtIds": ids[d].tolist(),
                        "gtIds": true.ids[people].tolist(),
                        "dtMatches": matched_ids[area, :, d],
                        "gtMatches": matched_by,
                        "dtScores": detections.scores[d].tolist(),
                        "gtIgnore": away[area, people].astype(np.int64),
                        "dtIgnore": dropped[area, :, d],
                    }
                )

    def accumulate(self, p: Params | None = None) -> None:
        """Precision and recall from `evalImgs`, into `eval`; `p` may ask for fewer images, ranges or detections."""
        print("Accumulating evaluation results...")
        started = time.time()
        if self._paramsEval is None:
            raise ValueError("Please run evaluate() first")
        p, done = self.params if p is None else p, self._paramsEval
        categories = list(p.catIds) if p.useCats == 1 else [-1]
        evaluated = list(done.catIds) if done.useCats else [-1]
        shape = len(p.iouThrs), len(p.recThrs), len(categories), len(p.areaRng), len(p.maxDets)
        precision, scores = -np.ones(shape), -np.ones(shape)
        recall = -np.ones((shape[0], *shape[2:]))
        images = set(np.asarray(p.imgIds).tolist())
        areas = [tuple(bounds) for bounds in done.areaRng]
        for k, category in enumerate(categories):
            for a, bounds in enumerate(p.areaRng):
                if category not in evaluated or tuple(bounds) not in areas:
                    raise ValueError("accumulate(p): a category or a range of areas that was not evaluated")
                start = (evaluated.index(category) * len(areas) + areas.index(tuple(bounds))) * len(done.imgIds)
                block = self.evalImgs[start : start + len(done.imgIds)]
                chosen = [each for each in block if each is not None and each["image_id"] in images]
                people = sum(int((np.asarray(each["gtIgnore"]) == 0).sum()) for each in chosen)
                if not people:
                    continue
                for m, most in enumerate(p.maxDets):
                    recall[:, k, a, m], precision[:, :, k, a, m], scores[:, :, k, a, m] = _curves(
                        chosen, people, most, np.asarray(p.recThrs), len(p.iouThrs)
                    )
        self.eval = {
            "params": p,
            "counts": [shape[0], shape[1], shape[2], shape[3], shape[4]],
            "date": time.strftime("%Y-%m-%d %H:%M:%S"),
            "precision": precision,
            "recall": recall,
            "scores": scores,
        }
        print(f"DONE (t={time.time() - started:0.2f}s).")

    def summarize(self) -> None:
        """Prints the ten numbers and stores them in `stats`; -1 where there are no annotated people."""
        if not self.eval:
            raise ValueError("Please run accumulate() first")
        self.stats = np.array(
            [
                self._summary(kind, threshold, area)
                for kind in ("precision", "recall")
                for threshold, area in ((None, "all"), (0.5, "all"), (0.75, "all"), (None, "medium"), (None, "large"))
            ]
        )

    def _summary(self, kind: str, threshold: float | None, area: str) -> float:
        p = self.params
        values = self.eval[kind]  # the thresholds first, area and detections last
        values = values[..., [i for i, label in enumerate(p.areaRngLbl) if label == area], :]
        values = values[..., [i for i, most in enumerate(p.maxDets) if most == MOST_DETECTIONS]]
        if threshold is not None:
            values = values[np.flatnonzero(np.asarray(p.iouThrs) == threshold)]
        values = values[values > -1]
        mean = float(values.mean()) if values.size else -1.0
        title, short = ("Average Precision", "(AP)") if kind == "precision" else ("Average Recall", "(AR)")
        shown = f"{p.iouThrs[0]:0.2f}:{p.iouThrs[-1]:0.2f}" if threshold is None else f"{threshold:0.2f}"
        print(LINE.format(title, short, shown, area, MOST_DETECTIONS, mean))
        return mean

    def __str__(self) -> str:
        self.summarize()
        return ""


def _rows(index: COCO, images: Iterable[int], category: int | None, joints: int, what: str) -> _Rows:
    """The annotations or detections of the images, in the order of the images and then of the file."""
    entries, image = [], []
    for number, image_id in enumerate(images):
        for row in index.imgToAnns.get(image_id, ()):
            if category is None or row["category_id"] == category:
                entries.append(row)
                image.append(number)
    try:
        keypoints = np.array([row["keypoints"] for row in entries], dtype=np.float64)
        areas = np.array([row["area"] for row in entries], dtype=np.float64)
        ids = np.array([row["id"] for row in entries], dtype=np.int64)
    except (KeyError, TypeError, ValueError) as error:
        raise GroundTruthError(f"one {what} lacks something or has lists of unequal length: {error!r}") from None
    if not entries:
        keypoints = np.zeros((0, 3 * joints))
    if keypoints.shape != (len(entries), 3 * joints):
        message = (
            f"kpt_oks_sigmas has {joints} numbers, and the {what}s have {len(entries[0]['keypoints']) / 3:g} joints"
        )
        raise ValueError(f"{message}: set params.kpt_oks_sigmas")
    broken: Booleans = ~(np.isfinite(keypoints).all(axis=1) & np.isfinite(areas))
    if broken.any():
        raise GroundTruthError(f"{what} {ids[broken][0]}: a coordinate or the area is not finite")
    return _Rows(entries, np.array(image, dtype=np.int64), keypoints.reshape(-1, joints, 3), areas, ids)


def _similarities(found: Floats, true: _Rows, detection: Integers, person: Integers, sigmas: Floats) -> Floats:
    """[pairs] OKS of detections [D, K, 3] and people; somebody without labels is the doubled box."""
    labelled = true.keypoints[..., 2] > 0
    bare: Booleans = np.asarray(~labelled.any(axis=1))
    boxes = np.zeros((len(bare), 4))
    for row in np.flatnonzero(bare).tolist():
        if len(true.entries[row].get("bbox", ())) != 4:
            raise GroundTruthError(f"annotation {true.ids[row]} has neither labelled joints nor a bbox")
        boxes[row] = true.entries[row]["bbox"]
    low, high = boxes[:, :2] - boxes[:, 2:], boxes[:, :2] + boxes[:, 2:] * 2
    similarity = np.empty(len(detection))
    for start in range(0, len(detection), PAIRS_AT_ONCE):
        some = slice(start, start + PAIRS_AT_ONCE)
        d, p = detection[some], person[some]
        points = found[d][..., :2]
        beyond = np.maximum(0.0, low[p, None] - points) + np.maximum(0.0, points - high[p, None])
        apart = np.where(labelled[p][..., None], points - true.keypoints[p][..., :2], 0.0)
        offsets = np.where(bare[p][:, None, None], beyond, apart)
        similarity[some] = oks(offsets, labelled[p] | bare[p][:, None], true.areas[p], sigmas)
    return similarity


def _outside(areas: Floats, ranges: Floats) -> Booleans:
    """[A, N] whether areas [N] lie outside the ranges [A, 2], whose ends belong to them."""
    return np.asarray((areas < ranges[:, :1]) | (areas > ranges[:, 1:]))


def _curves(
    images: list[Entry], people: int, most: int, recalls: Floats, thresholds: int
) -> tuple[Floats, Floats, Floats]:
    """(recall [T], precision [T, R], scores [T, R]) of the `most` best detections of each image."""
    scores = np.concatenate([np.asarray(each["dtScores"][:most], dtype=np.float64) for each in images])
    order = np.argsort(-scores, kind="stable")
    scores = scores[order]
    joined = {
        key: np.concatenate([each[key][:, :most] for each in images], axis=1) for key in ("dtMatches", "dtIgnore")
    }
    matched: Booleans = joined["dtMatches"][:, order] != 0
    ignored: Booleans = joined["dtIgnore"][:, order] != 0
    hits: Floats = np.cumsum(matched & ~ignored, axis=1, dtype=np.float64)
    false = np.cumsum(~matched & ~ignored, axis=1, dtype=np.float64)
    precision, at = np.zeros((thresholds, len(recalls))), np.zeros((thresholds, len(recalls)))
    if not len(order):
        return np.zeros(thresholds), precision, at
    recalled = hits / people
    precise = hits / (false + hits + EPSILON)
    envelope = np.maximum.accumulate(precise[:, ::-1], axis=1)[:, ::-1]
    for threshold in range(thresholds):
        reached = np.searchsorted(recalled[threshold], recalls, side="left")
        inside = reached < len(order)
        precision[threshold, inside] = envelope[threshold, reached[inside]]
        at[threshold, inside] = scores[reached[inside]]
    return recalled[:, -1], precision, at
