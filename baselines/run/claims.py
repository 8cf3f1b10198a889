"""The scores that shipped checkpoints claim, on a public split of Mannequins; a test computes them again."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from baselines.mannequins import generate
from baselines.run.predict import predict
from baselines.weights.checkpoints import Checkpoint
from evaluator import evaluate, public_images

CLAIM: dict[str, Any] = {"dataset": "mannequins", "split": "test", "seed": 7, "images": 200}


def with_claim(checkpoint: Checkpoint, path: Path) -> Checkpoint:
    """A new checkpoint with the score that it reaches; its description at `path` is rewritten."""
    claim = {**CLAIM, "metric": "ap", "value": round(score(checkpoint.baseline, path), 4)}
    claimed = replace(checkpoint, claim=claim)
    claimed.write(path)
    return claimed


def with_grouping_claim(checkpoint: Checkpoint, path: Path) -> Checkpoint:
    """A checkpoint whose grouping has been fitted, with its score with and without grouping; rewritten at `path`.

    It claims the score of its default, which the training images have decided.
    """
    ap = {
        "alone": round(score(checkpoint.baseline, path, grouping=False), 4),
        "grouped": round(score(checkpoint.baseline, path, grouping=True), 4),
    }
    claim = {**checkpoint.claim, **CLAIM, "metric": "ap", "value": ap["grouped" if checkpoint.grouped else "alone"]}
    record = {**checkpoint.training["grouping"], "ap": ap}
    claimed = replace(checkpoint, claim=claim, training={**checkpoint.training, "grouping": record})
    claimed.write(path)
    return claimed


def score(name: str, checkpoint: Path, *, grouping: bool | None = None) -> float:
    """AP of a checkpoint on the split of CLAIM; `grouping` as for `predict`. Raises BaselineFailed."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        truth = generate(folder, split=CLAIM["split"], images=CLAIM["images"], seed=CLAIM["seed"])
        found = predictions(name, checkpoint, truth, folder / "images", grouping=grouping)
    return next(s.value for s in evaluate("mannequins", found, truth).scores if (s.metric, s.part) == ("ap", "all"))


def predictions(
    name: str, checkpoint: Path, truth: dict[str, Any], folder: Path, *, grouping: bool | None = None
) -> list[dict[str, Any]]:
    """The predictions that a claim is about, for the annotated images in `folder`."""
    listed = public_images(truth, boxes=True)
    found, _ = predict(name, listed, folder, "mannequins", checkpoint=checkpoint, device="cpu", grouping=grouping)
    return found
