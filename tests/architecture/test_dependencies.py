"""What import-linter's contracts (pyproject.toml, `make lint`) cannot say of imports, and what exceptions may catch."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("evaluator", "baselines", "poseboard", "leaderboard")


def files(package: str) -> list[Path]:
    return [path for path in (ROOT / package).rglob("*.py") if "migrations" not in path.parts]


def at_module_level(tree: ast.Module) -> Iterator[str]:
    """The modules that importing the file imports."""
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if id(node) not in inside:
            if isinstance(node, ast.Import):
                yield from (name.name for name in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield node.module


def test_the_site_imports_baselines_inside_functions_only() -> None:
    """So that the web process needs no torch."""
    wrong = [
        path.relative_to(ROOT).as_posix()
        for path in files("leaderboard")
        if any(module.split(".")[0] == "baselines" for module in at_module_level(ast.parse(path.read_text())))
    ]
    assert not wrong


@pytest.mark.parametrize(
    ("planted", "broken"),
    [
        ("evaluator/tally.py", "import django"),
        ("evaluator/poses.py", "from evaluator.metrics import oks"),
        ("baselines/models/hrnet.py", "from baselines.run import crops"),
        ("leaderboard/models/teams.py", "from leaderboard.operations import tokens"),
        ("leaderboard/sandbox/scorer.py", "from leaderboard.models import Benchmark"),
        ("leaderboard/new_room.py", "import math"),
    ],
)
def test_the_contracts_break_when_an_arrow_is_reversed(planted: str, broken: str, tmp_path: Path) -> None:
    listing = subprocess.run(
        ["git", "ls-files", "-z", "pyproject.toml", "benchmarks", *PACKAGES],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    for name in filter(None, listing):
        if name.endswith((".py", ".toml")) and (ROOT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    file = tmp_path / planted
    file.write_text((file.read_text() if file.exists() else "") + f"\n{broken}\n")
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert re.search(r"BROKEN|not listed", done.stdout + done.stderr)


# What must answer whatever happens, and why it may catch everything.
BROAD = {
    "leaderboard/tasks.py": "no job may be stuck, and no text of ours may reach a user",
    "leaderboard/api/application.py": "the API answers every error as problem details",
    "leaderboard/local/broker.py": "a private name of a package may break in any way",
    "leaderboard/sandbox/zygote.py": "the scoring child turns what the evaluator raises into an answer",
    "baselines/weights/checkpoints.py": "pickle's errors have no class of their own",
    "baselines/train/loop.py": "nor have those of a state file that cannot be read",
}


def test_broad_excepts_are_few_and_known() -> None:
    broad = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or (isinstance(node.type, ast.Name) and node.type.id in {"Exception", "BaseException"}))
        and not any(isinstance(inner, ast.Raise) and inner.exc is None for inner in ast.walk(node))
    }
    assert broad == set(BROAD)


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import evaluator", ["django", "celery", "torch", "scipy", "h5py", "httpx", "PIL", "numba"]),
        ("import poseboard", ["django", "celery", "torch"]),
        ("import baselines", ["torch", "django"]),
        ("from baselines import registry; registry.cards()", ["torch", "django"]),
        ("import leaderboard.wsgi", ["torch", "scipy", "h5py"]),
        ("import leaderboard.sandbox.zygote", ["django", "celery", "torch"]),
    ],
)
def test_fresh_import_stays_light(statement: str, absent: list[str], tmp_path: Path) -> None:
    code = f"{statement}\nimport sys\nprint([m for m in {absent!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "POSEBOARD_DATA": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["utils", "helpers", "services", "base", "common"])
def test_no_drawer_for_everything(name: str) -> None:
    assert not [
        path
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.stem == name and path.suffix in ("", ".py")
    ]
