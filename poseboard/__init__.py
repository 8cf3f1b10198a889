"""What a researcher installs: the `poseboard` command, the client of a server, and the server's own `evaluate`.

from poseboard import evaluate
evaluate("coco", "results.json", "annotations.json").scores

The commands are grouped in one file each. May import the evaluator; needs neither Django nor torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evaluator import (
        Annotations,
        Diagnosis,
        GroundTruthError,
        PredictionError,
        Predictions,
        Report,
        Score,
        annotations_from_arrays,
        diagnose,
        evaluate,
        load_dataset,
        predictions_from_arrays,
        read_predictions,
        read_truth,
        validate,
    )
    from poseboard.client import Client

__all__ = [
    "Annotations",
    "Client",
    "Diagnosis",
    "GroundTruthError",
    "PredictionError",
    "Predictions",
    "Report",
    "Score",
    "annotations_from_arrays",
    "diagnose",
    "evaluate",
    "load_dataset",
    "predictions_from_arrays",
    "read_predictions",
    "read_truth",
    "validate",
]


def __getattr__(name: str) -> Any:
    """The public names, imported when they are first asked for: the command line starts without numpy and httpx."""
    if name == "Client":
        from poseboard.client import Client

        return Client
    if name in __all__:
        import evaluator

        return getattr(evaluator, name)
    raise AttributeError(f"module 'poseboard' has no attribute {name!r}")
