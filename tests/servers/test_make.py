"""The Makefile: what each command would install, and that a repeated run installs nothing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What make needs of a clone."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def planned(clone: Path, *arguments: str) -> str:
    """What make would do."""
    shown = subprocess.run(["make", "-n", *arguments], cwd=clone, capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    return shown.stdout


@pytest.mark.parametrize(
    ("arguments", "extras"),
    [
        (["serve"], "server,baselines,convert"),
        (["serve", "BASELINES=0"], "server,convert"),
        (["setup"], "dev"),
        (["test"], "dev"),
    ],
    ids=" ".join,
)
def test_each_command_installs_what_it_needs_pinned(clone, arguments, extras):
    plan = planned(clone, *arguments)
    installed = re.findall(r'pip install .*-e "\.\[([\w,]+)\]"', plan)
    assert installed == [extras]
    assert all("-c constraints.txt" in line for line in plan.splitlines() if "pip install" in line)
    assert ("BASELINES=0 make serve leaves it out" in plan) == (extras != "server,convert")


def test_a_repeated_run_installs_nothing_until_the_definition_changes(clone):
    (clone / ".venv" / "bin").mkdir(parents=True)
    (clone / ".venv" / "bin" / "python").touch()
    (clone / ".venv" / ".installed-serve-without-baselines").touch()
    assert "pip" not in planned(clone, "serve", "BASELINES=0")
    assert '".[server,baselines,convert]"' in planned(clone, "serve")
    (clone / ".venv" / ".installed-serve").touch()
    assert "pip" not in planned(clone, "serve")
    stamp = (clone / ".venv" / ".installed-serve").stat()
    later = stamp.st_mtime_ns + 10**9
    (clone / "constraints.txt").touch()

    os.utime(clone / "constraints.txt", ns=(later, later))
    assert '".[server,baselines,convert]"' in planned(clone, "serve")


def test_help_names_every_command(clone):
    shown = subprocess.run(["make"], cwd=clone, capture_output=True, text=True, check=True).stdout
    assert re.findall(r"(?m)^make ([\w-]+)", shown) == [
        "serve", "setup", "test", "lint", "format", "mutants", "bench", "bench-baselines", "wheel", "clean",
    ]  # fmt: skip


def test_a_python_that_is_too_old_is_named(clone):
    refused = subprocess.run(
        ["make", "serve"],
        cwd=clone,
        env={"PATH": str(_only(clone, "make", "sh", "id"))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode != 0
    assert "PoseBoard needs Python 3.11, 3.12 or 3.13" in refused.stderr


def _only(clone: Path, *programs: str) -> Path:
    folder = clone / "programs"
    folder.mkdir()
    for name in programs:
        found = shutil.which(name)
        assert found
        (folder / name).symlink_to(found)
    return folder


def test_ci_calls_make_test():
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1] == "exec make test"
