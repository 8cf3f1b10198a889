"""The reply of a scoring process, checked word by word: the process has read an untrusted file.

A reply is a report with finite numbers, the submitter's errors, or a failure of ours. Only numbers and words of public
definitions are accepted from it: a text that the process made up could carry annotations. No Django here.
"""

from __future__ import annotations

import builtins
import errno
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import evaluator
from evaluator import CODES as PROBLEM_CODES
from evaluator import errors
from evaluator.dataset import Dataset
from evaluator.errors import MOST_PROBLEMS, PredictionError, Problem
from leaderboard.sandbox.system_calls import FATAL_SIGNALS

CODES = {
    "memory": "the evaluation needed more memory than is allowed",
    "time": "the evaluation took longer than is allowed",
    "killed_<SIGNAL>": "the scoring process died by this signal",
    "crashed": "the evaluator raised an error of its own, or the scoring process or its zygote ended without a reply",
    "protocol": "the scoring process replied with something that is not a report",
    "ground_truth": "the annotations or the dataset definition could not be read",
    "score_range": "a metric gave a score outside the range that it declares",
    "lease_lost": "another worker has taken the job over",
}

BY_FILE = frozenset({"memory", "time", *(f"killed_{number.name}" for number in FATAL_SIGNALS)})
"""Failures that a file can cause. A death by any other signal, such as SIGKILL, is somebody else's doing: the process
can neither send itself one nor be sent one by its file; the kernel's OOM killer and operators can."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_@.+-]{0,63}\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_TEXT = re.compile(r"[^\x00-\x08\x0b-\x1f\x7f]*\Z")
_REPORT = {
    "dataset": str,
    "protocol": str,
    "evaluator_version": str,
    "truth_sha256": str,
    "predictions_sha256": str,
    "scores": list,
    "images": int,
    "people": int,
    "entries": int,
}
_SCORE_KEYS = {"metric", "part", "value", "low", "high"}
_PROBLEM_KEYS = {"code", "entry", "pointer", "message", "expected"}
MAX_SCORES = 10_000
MAX_TEXT = 2000
MAX_PROBLEM_TEXT = 400
_PROBLEM_TEXT = re.compile(rf"[ -~]{{0,{MAX_PROBLEM_TEXT}}}\Z")
_POINTER = re.compile(r"(/[0-9]{1,19}(/[a-z0-9_]{1,40}){0,4})?\Z")
_ERRORS = {
    name
    for module in (builtins, errors)
    for name, kind in vars(module).items()
    if isinstance(kind, type) and issubclass(kind, BaseException)
} | {"Unavailable"}
MOST_FRAMES = 8


class ScoringFailed(Exception):
    """Our fault, or nobody's: the file was not scored. `code` is one of `CODES`, `detail` is for the operator's log."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code, self.detail = code, detail


class _NotAReply(ValueError):
    """What is wrong with a reply, in words of ours."""


def read_reply(reply: bytes, dataset: str, sources: Sequence[Path] = ()) -> dict[str, Any] | None:
    """The checked report in the reply of a child that has read annotations; None where it says that the file is wrong.

    Raises:
        ScoringFailed: `crashed` or `memory` when the reply says so, `protocol` when it is malformed.
    """
    try:
        kind, content = _only(_parsed(reply))
        if kind == "report":
            return _checked_report(content, dataset)
        if kind == "prediction_error":
            _require(content is True, "words about the file from a process that has read annotations")
            return None
        failure = _checked_failure(kind, content, sources)
    except _MALFORMED as error:
        raise _malformed(error) from None
    raise failure


def read_problems(reply: bytes, sources: Sequence[Path] = ()) -> PredictionError:
    """What is wrong with a file, in the reply of a child that never read annotations.

    Raises:
        ScoringFailed: `crashed` or `memory` when the reply says so, `protocol` when it is malformed, or when nothing
            is wrong with the file.
    """
    try:
        parsed = _parsed(reply)
        if parsed.keys() == {"problems", "total"}:
            return _checked_prediction_error(parsed["problems"], parsed["total"])
        kind, content = _only(parsed)
        _require(kind != "valid", "the evaluation rejects a file that the check accepts")
        failure = _checked_failure(kind, content, sources)
    except _MALFORMED as error:
        raise _malformed(error) from None
    raise failure


_MALFORMED = (ValueError, TypeError, AttributeError, KeyError, RecursionError)


def _malformed(error: Exception) -> ScoringFailed:
    # only our own words: Python's may quote what the child wrote
    return ScoringFailed("protocol", str(error) if isinstance(error, _NotAReply) else type(error).__name__)


def _parsed(reply: bytes) -> dict[str, Any]:
    parsed = json.loads(reply, parse_constant=_refuse_constant)
    _require(isinstance(parsed, dict), "not an object")
    return dict(parsed)


def _only(parsed: dict[str, Any]) -> tuple[str, Any]:
    _require(len(parsed) == 1, "not exactly one kind of reply")
    return next(iter(parsed.items()))


def _checked_failure(kind: str, content: Any, sources: Sequence[Path]) -> ScoringFailed:
    _require(kind == "failed", "unknown kind of reply")
    code, error = content
    _require(code in {"memory", "crashed"}, "unknown failure")
    return ScoringFailed(code, where(error, sources))


def where(error: Any, sources: Sequence[Path]) -> str:
    """One line for the operator's log, from `zygote.located`: the kind of error and the lines of our own code.

    What is not a known name or an existing line is left out, so it cannot carry anything.
    """
    kind, number, frames = error["type"], error["errno"], error["frames"]
    words = [kind if kind in _ERRORS else "an error"]
    if type(number) is int and number in errno.errorcode:
        words.append(errno.errorcode[number])
    for file, line in list(frames)[-MOST_FRAMES:]:
        if isinstance(file, str) and type(line) is int and (found := _known_line(file, line, sources)):
            words.append(found)
    return " ".join(words)


def _known_line(file: str, line: int, sources: Sequence[Path]) -> str:
    for folder in sources:
        for path in folder.rglob("*.py"):
            if str(path) == file and 0 < line <= len(path.read_bytes().splitlines()):
                return f"{path.relative_to(folder.parent)}:{line}"
    return ""


def check_named(report: dict[str, Any], dataset: Dataset) -> None:
    """ScoringFailed unless every word of a checked report is one of the dataset's definition."""
    parts = {metric.name: set(metric.parts) for metric in dataset.metrics}
    known = report["protocol"] == dataset.protocol and report["evaluator_version"] == evaluator.__version__
    if not known or any(score["part"] not in parts.get(score["metric"], ()) for score in report["scores"]):
        raise ScoringFailed("protocol", "the report has words that are not in the dataset's definition")


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise _NotAReply(what)


def _refuse_constant(constant: str) -> None:
    raise _NotAReply(f"{constant} in a reply")


def _is_number(value: object) -> bool:
    # an integer of JSON may be too large for a float, which math.isfinite does not forgive
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e300 < value < 1e300


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= MAX_TEXT and _TEXT.match(value) is not None


def _checked_report(report: Any, dataset: str) -> dict[str, Any]:
    _require(isinstance(report, dict) and report.keys() == _REPORT.keys(), "the keys of the report")
    for key, kind in _REPORT.items():
        value = report[key]
        _require(type(value) is kind, f"the type of {key}")
        _require(kind is not str or _is_text(value), f"the text of {key}")
        _require(kind is not int or 0 <= value < 1 << 53, f"the size of {key}")
    _require(report["dataset"] == dataset, "the report is of another dataset")
    for key in ("truth_sha256", "predictions_sha256"):
        _require(_SHA256.match(report[key]) is not None, key)
    scores = report["scores"]
    _require(0 < len(scores) <= MAX_SCORES, "the number of scores")
    names = set()
    for score in scores:
        _require(isinstance(score, dict) and score.keys() == _SCORE_KEYS, "the keys of a score")
        name = (score["metric"], score["part"])
        _require(all(isinstance(word, str) and _NAME.match(word) for word in name), "the name of a score")
        _require(name not in names, "the same score twice")
        names.add(name)
        _require(_is_number(score["value"]), "the value of a score")
        _require(all(score[end] is None or _is_number(score[end]) for end in ("low", "high")), "an interval")
    return report


def _checked_prediction_error(problems: Any, total: Any) -> PredictionError:
    _require(isinstance(problems, list) and 0 < len(problems) <= MOST_PROBLEMS, "the number of problems")
    _require(type(total) is int and len(problems) <= total < 1 << 53, "the total of problems")
    for problem in problems:
        _require(isinstance(problem, dict) and problem.keys() == _PROBLEM_KEYS, "the keys of a problem")
        _require(problem["code"] in PROBLEM_CODES, "the code of a problem")
        entry = problem["entry"]
        _require(entry is None or (type(entry) is int and 0 <= entry < 1 << 53), "the entry of a problem")
        texts = [problem[key] for key in ("pointer", "message", "expected")]
        _require(all(isinstance(text, str) and _PROBLEM_TEXT.match(text) for text in texts), "the text of a problem")
        _require(_POINTER.match(problem["pointer"]) is not None, "the pointer of a problem")
    return PredictionError([Problem(**problem) for problem in problems], total)
