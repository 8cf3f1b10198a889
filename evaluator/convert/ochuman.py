"""OCHuman (Zhang et al., CVPR 2019), as COCO keypoint JSON: what its own programs write for evaluation."""

from __future__ import annotations

from evaluator.convert.coco import predictions, truth

__all__ = ["predictions", "truth"]
