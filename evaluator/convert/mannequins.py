"""Mannequins, the rendered people of `python -m baselines.mannequins`: written as COCO keypoint JSON from the start."""

from __future__ import annotations

from evaluator.convert.coco import predictions, truth

__all__ = ["predictions", "truth"]
