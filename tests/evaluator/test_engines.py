"""Which engine is used, what it needs and what it costs: in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from evaluator import evaluate
from evaluator.native import compiled, engine
from tests.evaluator.pose_cases import multi_person

WITHOUT_C = "import sys; sys.modules['evaluator.native.extension'] = None\n"


def case(tmp_path: Path, images: int) -> tuple[Path, Path]:
    truth, entries = multi_person("coco", 1, images=images)
    paths = tmp_path / "truth.json", tmp_path / "predictions.json"
    for path, content in zip(paths, (truth, entries), strict=True):
        path.write_text(json.dumps(content))
    return paths


def fresh(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )


def test_the_c_was_built() -> None:
    """Everywhere but where it was asked not to be: the build brings a compiler where there is none."""
    assert engine.has("native"), "make setup builds it"


def test_c_is_preferred_and_what_is_missing_is_not_used() -> None:
    code = "import evaluator; from evaluator.native import engine; print(engine.engine(), evaluator.warm_up())"
    assert fresh(code).stdout == "native True\n"
    assert fresh(WITHOUT_C + code).stdout == "numpy False\n"
    with pytest.raises(RuntimeError, match="no engine fortran"), engine.using("fortran"):
        pass


def test_without_the_c_the_scores_are_the_same_and_it_is_said_once(tmp_path: Path) -> None:
    truth, predictions = case(tmp_path, 300)
    expected = [score.value.hex() for score in evaluate("coco", predictions, truth).scores]
    code = (
        f"{WITHOUT_C}import evaluator\n"
        f"for _ in range(2): report = evaluator.evaluate('coco', {str(predictions)!r}, {str(truth)!r})\n"
        "print(*[score.value.hex() for score in report.scores])"
    )
    done = fresh(code)
    assert done.stdout.split() == expected
    assert done.stderr == "The evaluator's C was not built at installation: numpy gives the same scores, more slowly.\n"


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = (
        "import sys; before = set(sys.modules); import evaluator; new = sorted(set(sys.modules) - before)\n"
        "print(*[name for name in new if not name.startswith('_')])"
    )
    names = set(fresh(code).stdout.split())
    assert names & {"numpy", "asyncio", "importlib.metadata", "tomllib"} == set()
    assert {name for name in names if name.startswith("evaluator")} == {"evaluator", "evaluator.errors"}
    assert len(names) < 40


def read_in_c(buffer: object, end: int, rows: int = 4, **changes: object) -> object:
    arguments = {
        "images": np.empty(rows, np.int64),
        "scores": np.empty(rows),
        "keypoints": np.empty((rows, 6)),
        "pending": np.empty((9, 3), np.int64),
        "extras": np.empty((16, 2), np.int64),
        **changes,
    }
    return compiled.entries(buffer, 0, end, 0, 0, *arguments.values())


def test_the_extension_rejects_arrays_that_it_would_read_or_write_beyond() -> None:
    text = np.frombuffer(b"[]" + bytes(64), np.uint8)
    assert read_in_c(text, 2) == (2, 3, 0, 0, 0)  # done, no rows
    for buffer, end in ((text, 3), (text, -1), (text[:-1], 2), (text[1:], 1 << 62)):
        with pytest.raises(ValueError, match="does not end with zero bytes"):
            read_in_c(buffer, end)
    read_only = np.empty(4, np.int64)
    read_only.flags.writeable = False
    wrong = {
        "images": [np.empty(3, np.int64), np.empty(4, np.int32), np.empty((4, 1), np.int64), read_only, None],
        "scores": [np.empty(5), np.empty(8)[::2], np.empty(4, np.float32), np.empty(4, ">f8")],
        "keypoints": [np.empty((3, 6)), np.empty(24), np.empty((6, 4)).T],
        "pending": [np.empty((9, 2), np.int64)],
        "extras": [np.empty((15, 2), np.int64)],
    }
    for name, values in wrong.items():
        for value in values:
            with pytest.raises((TypeError, ValueError, BufferError)):
                read_in_c(text, 2, **{name: value})
    with pytest.raises(IndexError):
        compiled.entries(text, 3, 2, 0, 0, *(np.empty(s, t) for s, t in (
            (1, np.int64), (1, float), ((1, 6), float), ((9, 3), np.int64), ((16, 2), np.int64))))  # fmt: skip
    ones = np.ones((1, 3))
    with pytest.raises(IndexError):
        compiled.ordered(np.array([0, 2]), np.ones(2), np.ones((2, 6)), 2, 20)
    with pytest.raises(IndexError):
        compiled.greedy(1, np.array([0]), np.array([7]), np.ones(1), ones > 0, ones[0] > 0, np.arange(3), np.ones(10))
    bits = np.ones((1, 2), np.uint16)
    with pytest.raises(IndexError):
        compiled.accumulate(bits, bits, np.array([0, 3]), np.array([0]), np.ones((1, 1), bool), ones, np.ones(101), 10)
