"""The check of a reply: nothing of it is accepted but finite numbers and the words of public definitions."""

from __future__ import annotations

import json
import math
from dataclasses import asdict

import pytest

from evaluator.errors import PredictionError, Problem
from leaderboard.sandbox.report_check import ScoringFailed, read_problems, read_reply
from tests.leaderboard.sandbox import hostile
from tests.leaderboard.sandbox.conftest import HERE


def altered(**changes: object) -> str:
    return json.dumps({"report": hostile.report(**changes)})


SCORE = hostile.report()["scores"][0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        "{" * 100_000,
        "[" * 100_000,
        '{"report": null}',
        '{"report": {}, "failed": ["memory", ""]}',
        '{"failed": ["lease_lost", ""]}',
        '{"failed": "memory"}',
        '{"prediction_error": {}}',
        '{"prediction_error": "no"}',
        altered(dataset="mpii"),
        altered(extra=1),
        altered(images=-1),
        altered(images=True),
        altered(images=1.5),
        altered(protocol=7),
        altered(protocol="\x1b[2J"),
        altered(protocol="x" * 5000),
        altered(truth_sha256="0" * 63),
        altered(scores=[]),
        altered(scores=[SCORE, SCORE]),
        altered(scores=[SCORE | {"value": math.nan}]),
        altered(scores=[SCORE | {"value": math.inf}]),
        altered(scores=[SCORE | {"value": None}]),
        altered(scores=[SCORE | {"value": "0.5"}]),
        altered(scores=[SCORE | {"value": True}]),
        altered(scores=[SCORE | {"low": math.nan}]),
        altered(scores=[SCORE | {"metric": "<script>"}]),
        altered(scores=[SCORE | {"part": ""}]),
        altered(scores=[SCORE | {"more": 1}]),
        altered(scores=[{"metric": "pck@0.2"}]),
        altered(scores=[SCORE | {"part": f"p{number}"} for number in range(10_001)]),
        altered(scores=[SCORE | {"value": 1}]).replace('"value": 1', '"value": 1' + "0" * 400),
    ],
    ids=lambda text: text[:60],
)
def test_a_reply_that_is_not_a_report_is_rejected(text):
    with pytest.raises(ScoringFailed) as caught:
        read_reply(text.encode(), "lsp")
    assert caught.value.code == "protocol"


def test_a_report_is_believed_as_it_is():
    assert read_reply(altered().encode(), "lsp") == hostile.report()
    with_interval = hostile.report(scores=[SCORE | {"low": 0.4, "high": 0.6}])
    assert read_reply(json.dumps({"report": with_interval}).encode(), "lsp") == with_interval


PROBLEMS = [
    Problem("wrong_type", 3, "/3/score", 'score is "0.5"', "a number"),
    Problem("not_json", None, "", "not valid JSON at line 1, column 2", "a JSON list of entries"),
]


def rejected(**changes: object) -> bytes:
    error = PredictionError(PROBLEMS, 1234).to_dict()
    return json.dumps({"problems": error["problems"], "total": error["total"]} | changes).encode()


def test_the_submitters_error_comes_back_word_for_word():
    error = read_problems(rejected())
    assert error.problems == PROBLEMS
    assert error.total == 1234
    assert str(error) == str(PredictionError(PROBLEMS, 1234))


@pytest.mark.parametrize(
    "changes",
    [
        {"problems": []},
        {"problems": [{}]},
        {"total": 1},
        {"total": "2"},
        {"problems": [asdict(PROBLEMS[0])] * 101, "total": 101},
        {"problems": [asdict(PROBLEMS[0]) | {"code": "made_up"}]},
        {"problems": [asdict(PROBLEMS[0]) | {"entry": 1.5}]},
        {"problems": [asdict(PROBLEMS[0]) | {"entry": -1}]},
        {"problems": [asdict(PROBLEMS[0]) | {"entry": 1 << 60}]},
        {"problems": [asdict(PROBLEMS[0]) | {"pointer": "/0/of your own"}]},
        {"problems": [asdict(PROBLEMS[0]) | {"message": "x" * 401}]},
        {"problems": [asdict(PROBLEMS[0]) | {"expected": "x" * 401}]},
        {"problems": [asdict(PROBLEMS[0]) | {"message": "\x00"}]},
        {"problems": [asdict(PROBLEMS[0]) | {"message": "a\nb"}]},
        {"problems": [asdict(PROBLEMS[0]) | {"message": "\u202e"}]},
        {"problems": [asdict(PROBLEMS[0]) | {"more": 1}]},
        {"valid": True},
        {"report": {}},
    ],
    ids=str,
)
def test_a_malformed_error_is_rejected(changes):
    with pytest.raises(ScoringFailed, match="protocol"):
        read_problems(rejected(**changes))


@pytest.mark.parametrize("text", ['{"valid": true}', '{"report": {}}', "[]", '{"prediction_error": true}'])
def test_a_check_that_finds_nothing_wrong_is_not_an_error_of_the_submitters(text):
    with pytest.raises(ScoringFailed, match="protocol"):
        read_problems(text.encode())


@pytest.mark.parametrize("content", [{}, [], "text", 1, False, None, PredictionError(PROBLEMS).to_dict()], ids=str)
def test_a_process_with_annotations_cannot_say_what_is_wrong(content):
    with pytest.raises(ScoringFailed, match="protocol"):
        read_reply(json.dumps({"prediction_error": content}).encode(), "lsp")
    assert read_reply(b'{"prediction_error": true}', "lsp") is None


HERE_IT_FAILED = {"type": "ValueError", "errno": 13, "frames": [[str(HERE / "hostile.py"), 3]]}


def test_of_a_crash_the_log_gets_the_kind_and_the_lines():
    reply = json.dumps({"failed": ["crashed", HERE_IT_FAILED]}).encode()
    with pytest.raises(ScoringFailed) as caught:
        read_reply(reply, "lsp", [HERE])
    assert str(caught.value) == "crashed: ValueError EACCES sandbox/hostile.py:3"


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "Secret4711"},
        {"errno": 4711},
        {"errno": "secret"},
        {"frames": [["/etc/secret.py", 3]]},
        {"frames": [[str(HERE / "secret.py"), 3]]},
        {"frames": [[str(HERE / "hostile.py"), 4711]]},
        {"frames": [[str(HERE / ".." / "scoring" / "hostile.py"), 4]]},
        {"frames": [[["secret"], 3], [3, "secret"]]},
        {"frames": [[str(HERE / "hostile.py"), 3]] * 5000},
        {"type": ["secret"]},
        {"frames": "secret"},
        {"frames": {"secret": 4711}},
        {"frames": [["secret"]]},
        {"more": "secret"},
    ],
    ids=lambda changes: str(changes)[:50],
)
def test_of_a_crash_no_word_of_the_process_itself_gets_into_the_log(changes):
    with pytest.raises(ScoringFailed) as caught:
        read_reply(json.dumps({"failed": ["crashed", HERE_IT_FAILED | changes]}).encode(), "lsp", [HERE])
    words = str(caught.value)
    assert "ecret" not in words and "4711" not in words and ".." not in words
    assert len(words) < 250
