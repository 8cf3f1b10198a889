"""COCO annotation and result files behind the names of pycocotools, for code that was written for it.

The interface is that of pycocotools 2.0.11 as its documentation and its behaviour show it, for keypoints: an index of
images, annotations and categories. Masks, drawing and downloads are not here.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from evaluator.dataset import Dataset
from evaluator.datasets import load_dataset
from evaluator.errors import GroundTruthError, PredictionError, Problem
from evaluator.poses import Floats
from evaluator.reading.entries import NUMBERS
from evaluator.reading.image_list import PublicImages
from evaluator.reading.predictions import read_predictions
from evaluator.reading.upload_rules import LARGEST, LIST

Entry = dict[str, Any]
Ids = int | Iterable[int]

ELSEWHERE = {
    "annToMask": "masks", "annToRLE": "masks", "showAnns": "drawing", "download": "downloads", "info": "printing",
    "loadNumpyAnnotations": "boxes as arrays",
}  # fmt: skip


class COCO:
    """An annotation file and its index.

    `dataset` is the parsed file; `imgs`, `anns` and `cats` are its objects by id, `imgToAnns` the annotations of an
    image in the order of the file, `catToImgs` the images of a category.
    """

    def __init__(self, annotation_file: str | Path | None = None) -> None:
        self.dataset: dict[str, Any] = {}
        self.anns: dict[int, Entry] = {}
        self.imgs: dict[int, Entry] = {}
        self.cats: dict[int, Entry] = {}
        self.imgToAnns: dict[int, list[Entry]] = defaultdict(list)
        self.catToImgs: dict[int, list[int]] = defaultdict(list)
        if annotation_file is not None:
            print("loading annotations into memory...")
            started = time.time()
            self.dataset = _parsed(annotation_file)
            print(f"Done (t={time.time() - started:0.2f}s)")
            self.createIndex()

    def createIndex(self) -> None:
        """Makes the index from `dataset`, for code that sets it directly."""
        print("creating index...")
        data = self.dataset
        self.imgs = {image["id"]: image for image in data.get("images", ())}
        self.cats = {category["id"]: category for category in data.get("categories", ())}
        self.anns = {}
        self.imgToAnns, self.catToImgs = defaultdict(list), defaultdict(list)
        for annotation in data.get("annotations", ()):
            self.anns[annotation["id"]] = annotation
            self.imgToAnns[annotation["image_id"]].append(annotation)
            if "categories" in data:
                self.catToImgs[annotation["category_id"]].append(annotation["image_id"])
        print("index created!")

    def getAnnIds(
        self, imgIds: Ids = (), catIds: Ids = (), areaRng: Sequence[float] = (), iscrowd: bool | None = None
    ) -> list[int]:
        """Ids of the annotations of some images and categories (all when empty), of an area between two bounds."""
        images, categories = _listed(imgIds), set(_listed(catIds))
        found = (
            chain.from_iterable(self.imgToAnns.get(image, ()) for image in images)
            if images
            else self.dataset.get("annotations", ())
        )
        return [
            row["id"]
            for row in found
            if (not categories or row["category_id"] in categories)
            and (not len(areaRng) or areaRng[0] < row["area"] < areaRng[1])
            and (iscrowd is None or row["iscrowd"] == iscrowd)
        ]

    def getCatIds(self, catNms: Any = (), supNms: Any = (), catIds: Ids = ()) -> list[int]:
        """Ids of the categories with some names, supercategories or ids (all when empty)."""
        names, above, ids = ([each] if isinstance(each, str) else _listed(each) for each in (catNms, supNms, catIds))
        return [
            row["id"]
            for row in self.dataset.get("categories", ())
            if (not names or row["name"] in names)
            and (not above or row["supercategory"] in above)
            and (not ids or row["id"] in ids)
        ]

    def getImgIds(self, imgIds: Ids = (), catIds: Ids = ()) -> list[int]:
        """Ids of the images among some ids that show every one of some categories (all when empty)."""
        ids, categories = _listed(imgIds), _listed(catIds)
        if not ids and not categories:
            return list(self.imgs)
        sets = [set(self.catToImgs.get(category, ())) for category in categories]
        return list(set.intersection(*([set(ids)] if ids else []), *sets))

    def loadAnns(self, ids: Ids = ()) -> list[Entry]:
        """The annotations of these ids."""
        return [self.anns[each] for each in _listed(ids)]

    def loadCats(self, ids: Ids = ()) -> list[Entry]:
        """The categories of these ids."""
        return [self.cats[each] for each in _listed(ids)]

    def loadImgs(self, ids: Ids = ()) -> list[Entry]:
        """The images of these ids."""
        return [self.imgs[each] for each in _listed(ids)]

    def loadRes(self, resFile: str | Path | list[Entry]) -> COCO:
        """The detections of a file or a list, as an index of their own; the list and its entries are left as they are.

        Each gets an id, from 1, and the box and area of its keypoints. The box and area of an entry are not read;
        in pycocotools they move detections between the ranges of areas. PredictionError names every entry that
        has no score, an unknown image, or not a finite number for every joint.
        """
        print("Loading and preparing results...")
        started = time.time()
        if isinstance(resFile, np.ndarray):
            _not_here("loadRes of an array", "boxes as arrays")
        rows: Any = _parsed(resFile) if isinstance(resFile, str | Path) else resFile
        joints = self._joints()
        places = self._checked(rows, joints).reshape(len(rows), joints, 3)[..., :2]
        low = places.min(axis=1)
        size = places.max(axis=1) - low
        only = list(self.cats) if len(self.cats) == 1 else []
        found = COCO()
        found.dataset = {key: self.dataset[key] for key in ("info", "images", "categories") if key in self.dataset}
        found.dataset["annotations"] = [
            {
                "category_id": only[0] if only else row.get("category_id"),
                **row,
                "id": number,
                "area": area,
                "bbox": box,
            }
            for number, (row, area, box) in enumerate(
                zip(
                    rows,
                    (size[:, 0] * size[:, 1]).tolist(),
                    np.concatenate([low, size], axis=1).tolist(),
                    strict=True,
                ),
                1,
            )
        ]
        print(f"DONE (t={time.time() - started:0.2f}s)")
        found.createIndex()
        return found

    def _checked(self, rows: Any, joints: int) -> Floats:
        """[N, 3K] the keypoints of a list of entries that are as `evaluate` wants them; PredictionError otherwise."""
        try:
            keypoints = np.array([row["keypoints"] for row in rows]).reshape(len(rows), -1 if len(rows) else 3 * joints)
            scores = [row["score"] for row in rows]
            images = {row["image_id"] for row in rows}
            kinds = set(map(type, chain(chain.from_iterable(row["keypoints"] for row in rows), scores)))
            plain = (
                isinstance(rows, list)
                and keypoints.shape == (len(rows), 3 * joints)
                and kinds <= NUMBERS
                and set(map(type, images)) <= {int}
                and images <= self.imgs.keys()
                and bool((np.abs(keypoints.astype(np.float64)) <= LARGEST).all())
                and all(abs(score) <= LARGEST for score in scores)
            )
        except (KeyError, TypeError, ValueError, OverflowError):
            plain = False
        if plain:
            return keypoints.astype(np.float64)
        if not isinstance(rows, list):
            raise PredictionError([Problem("not_a_list", None, "", "the results are not a list", LIST)])
        images_of = PublicImages("coco", "", dict.fromkeys(self.imgs, ()))
        return read_predictions(rows, _dataset(joints), images_of).keypoints.reshape(-1, 3 * joints)

    def _joints(self) -> int:
        for annotation in self.anns.values():
            if isinstance(annotation.get("keypoints"), list):
                return len(annotation["keypoints"]) // 3
        raise GroundTruthError("no annotation has keypoints: only keypoints can be evaluated here")

    def __getattr__(self, name: str) -> Any:
        if name in ELSEWHERE:
            _not_here(name, ELSEWHERE[name])
        raise AttributeError(f"'COCO' object has no attribute {name!r}")


def _dataset(joints: int) -> Dataset:
    """What the reader has to know of a multi-person dataset with so many joints."""
    return replace(load_dataset("coco"), joints=tuple(str(joint) for joint in range(joints)))


def _listed(ids: Any) -> list[Any]:
    return list(ids) if isinstance(ids, Iterable) else [ids]


def _parsed(path: str | Path) -> Any:
    try:
        with Path(path).open(encoding="utf-8") as file:
            data = json.load(file)
    except (ValueError, RecursionError) as error:
        raise GroundTruthError(f"{path}: is not JSON: {error}") from None
    if not isinstance(data, list | Mapping):
        raise GroundTruthError(f"{path}: neither a list nor an object")
    return data


def _not_here(name: str, what: str) -> NoReturn:
    raise NotImplementedError(f"{name}: {what} are not part of PoseBoard, which scores keypoints; pycocotools has them")
