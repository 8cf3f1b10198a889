"""What a scoring process may say, checked word by word: it has read an untrusted file.

A verdict is a report with finite numbers, the submitter's errors, or a failure of ours. Standard library and the
evaluator's errors only: no Django here.
"""

from __future__ import annotations

import json
import re
from typing import Any

from evaluator.errors import CODES as PROBLEM_CODES
from evaluator.errors import MOST_PROBLEMS, PredictionError, Problem

CODES = {
    "memory": "the evaluation needed more memory than is allowed",
    "time": "the evaluation took longer than is allowed",
    "killed_<SIGNAL>": "the scoring process died by this signal",
    "crashed": "the evaluator raised an error of its own, or the scoring process ended without an answer",
    "protocol": "the scoring process answered with something that is not a report",
    "ground_truth": "the annotations or the dataset definition could not be read",
    "score_range": "a metric gave a score outside the range that it declares",
    "lease_lost": "another worker has taken the job over",
}

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


class ScoringFailed(Exception):
    """Our fault, or nobody's: the file was not scored. `code` is one of `CODES`, `detail` is for the operator's log."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code, self.detail = code, detail


def read_answer(answer: bytes, dataset: str) -> dict[str, Any]:
    """The checked report in a child's answer.

    Raises:
        evaluator.PredictionError: when the answer is one.
        ScoringFailed: `crashed` or `memory` when the answer says so, `protocol` when it is not an answer.
    """
    try:
        parsed = json.loads(answer, parse_constant=_refuse_constant)
        (kind, content), *more = parsed.items()
        _require(not more, "more than one answer")
        if kind == "report":
            return _checked_report(content, dataset)
        if kind == "prediction_error":
            verdict: Exception = _checked_prediction_error(content)
        else:
            _require(kind == "failed", "unknown kind of answer")
            code, detail = content
            _require(code in {"memory", "crashed"} and isinstance(detail, str), "unknown failure")
            verdict = ScoringFailed(code, detail[:4000])
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise ScoringFailed("protocol", f"{type(error).__name__}: {error}"[:400]) from None
    raise verdict


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(what)


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} in an answer")


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
    seen = set()
    for score in scores:
        _require(isinstance(score, dict) and score.keys() == _SCORE_KEYS, "the keys of a score")
        name = (score["metric"], score["part"])
        _require(all(isinstance(word, str) and _NAME.match(word) for word in name), "the name of a score")
        _require(name not in seen, "the same score twice")
        seen.add(name)
        _require(_is_number(score["value"]), "the value of a score")
        _require(all(score[end] is None or _is_number(score[end]) for end in ("low", "high")), "an interval")
    return report


def _checked_prediction_error(content: Any) -> PredictionError:
    problems, total = content["problems"], content["total"]
    _require(isinstance(problems, list) and 0 < len(problems) <= MOST_PROBLEMS, "the number of problems")
    _require(type(total) is int and len(problems) <= total < 1 << 53, "the total of problems")
    for problem in problems:
        _require(isinstance(problem, dict) and problem.keys() == _PROBLEM_KEYS, "the keys of a problem")
        _require(problem["code"] in PROBLEM_CODES, "the code of a problem")
        _require(problem["entry"] is None or type(problem["entry"]) is int, "the entry of a problem")
        _require(all(_is_text(problem[key]) for key in ("pointer", "message", "expected")), "the text of a problem")
    return PredictionError([Problem(**problem) for problem in problems], total)
