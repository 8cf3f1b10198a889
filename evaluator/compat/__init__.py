"""The interfaces of other packages, computed by the evaluator: pycocotools. May import everything but convert."""
