"""A job of two small files, scorers that call a hostile function, and what the tests ask of processes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from leaderboard.sandbox.scorer import Limits, Scorer

HERE = Path(__file__).resolve().parent
LINUX = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="LINUX ONLY: this part of the sandbox is the kernel's"
)
LIMITS = Limits(memory_bytes=256 << 20, cpu_seconds=10, wall_seconds=20)


@pytest.fixture
def job(tmp_path: Path) -> dict[str, object]:
    (tmp_path / "predictions.json").write_text("[]")
    (tmp_path / "truth.json").write_text("{}")
    return {"dataset": "lsp", "predictions": tmp_path / "predictions.json", "truth": tmp_path / "truth.json"}


@pytest.fixture
def scorer() -> Iterator[Callable[..., Scorer]]:
    made: list[Scorer] = []

    def make(target: str, limits: Limits = LIMITS, **options: object) -> Scorer:
        made.append(Scorer(limits, evaluate_target=f"hostile:{target}", search_path=[HERE], **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


def told(report: dict) -> dict:
    return json.loads(report["protocol"])


def children_of(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def alive(process: int) -> bool:
    """Whether it runs: a zombie that its reaper has not got round to does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def need(runner: Scorer, *names: str) -> None:
    missing = {name: why for name, why in runner.isolation()["missing"].items() if name in names}
    if missing:
        pytest.skip(f"THE SANDBOX LACKS {missing}")
