"""CrowdPose (Li et al., CVPR 2019): 14 joints, distributed as COCO keypoint JSON."""

from __future__ import annotations

from evaluator.convert.coco import predictions, truth

__all__ = ["predictions", "truth"]
