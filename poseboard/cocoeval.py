"""`from poseboard.cocoeval import COCO, COCOeval`: pycocotools' names for keypoints; see docs/migration.md."""

from evaluator.compat.cocoeval import COCO, COCOeval, Params

__all__ = ["COCO", "COCOeval", "Params"]
