"""Views, the API, commands, tasks and the admin write nothing themselves: operations do, each in a transaction."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
# what may write rows: the operations, what leases and lists workers, and the models themselves
ROOMS = {"operations", "queue", "models", "migrations"}
# of a manager, a query set, a related manager or a row
WRITING = {
    "save", "create", "bulk_create", "update", "bulk_update", "delete", "get_or_create", "update_or_create",
    "create_user", "set_password", "save_m2m", "asave", "acreate", "aupdate", "adelete",
}  # fmt: skip
ROW_SETS = {"add", "remove", "set", "clear"}


def writes(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, call) of what writes rows: by a manager or a query set, by a related manager, or on a row."""
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        name, of = node.func.attr, ast.unparse(node.func.value)
        a_query = ".objects" in of or ".filter(" in of or ".all()" in of or "_default_manager" in of
        related = of.rpartition(".")[2] in {"organisers", "teams", "memberships", "events", "imports", "submissions"}
        a_row = name in {"save", "delete", "set_password", "save_m2m"} and not of.startswith(("cache", "form", "self."))
        if (name in WRITING and (a_query or a_row)) or (name in ROW_SETS and related):
            yield node.lineno, f"{of}.{name}()"


def test_only_operations_write() -> None:
    files = [
        path
        for path in (ROOT / "leaderboard").rglob("*.py")
        if not ROOMS & set(path.relative_to(ROOT / "leaderboard").parts)
    ]
    assert len(files) > 60
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {call}"
        for path in files
        for line, call in writes(ast.parse(path.read_text()))
        # Django's admin writes what an operator edits by hand
        if not (path.name == "admin.py" and call == "super().save_model()")
    ]
    assert not wrong


@pytest.mark.parametrize(
    "planted",
    [
        "Benchmark.objects.create(slug='a')",
        "Benchmark.objects.filter(pk=1).update(title='a')",
        "Team.objects.get_or_create(name='a')",
        "found.organisers.add(user)",
        "user.save()",
        "team.delete()",
        "user.set_password('a')",
    ],
)
def test_a_planted_write_is_found(planted: str) -> None:
    assert list(writes(ast.parse(planted)))
