"""docs/api.md lists every code that the API can send under its HTTP status: clients decide by them."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.conftest import ROOT
from tests.leaderboard.conftest import documented_codes

SENT = ("operations/*.py", "api/*.py", "web/bodies.py")
# put together from a quota's kind, or named by an exception's class
COMPOSED = {("429", "quota_day"), ("429", "quota_total"), ("429", "quota_running"), ("429", "rate_limited")}


def sent() -> Iterator[tuple[str, str]]:
    """(status, code) of every literal one in the source."""
    for pattern in SENT:
        for file in sorted((ROOT / "leaderboard").glob(pattern)):
            for node in ast.walk(ast.parse(file.read_text())):
                if not isinstance(node, ast.Call):
                    continue
                name, given = ast.unparse(node.func), [ast.unparse(each) for each in node.args]
                if name == "Refused":
                    status = {each.arg: ast.unparse(each.value) for each in node.keywords}.get("status", "409")
                    code = given[0]
                elif name.rpartition(".")[2] in ("Problem", "response") and len(given) > 1:
                    status, code = given[:2]
                else:
                    continue
                if code.startswith("'") and status.isdigit():
                    yield status, code.strip("'")


def test_every_code_is_documented_under_its_status() -> None:
    assert documented_codes() == {*sent(), *COMPOSED}
