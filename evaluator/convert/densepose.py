"""DensePose-COCO: the official JSON files are read as they are, annotations and results; they pass through, checked."""

from __future__ import annotations

from evaluator.convert.coco import predictions, truth

__all__ = ["predictions", "truth"]
