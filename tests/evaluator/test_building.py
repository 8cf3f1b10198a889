"""The build brings a compiler where there is none that works, and where `POSEBOARD_PURE=1` asks for none, no C."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def building(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The build backend as pip imports it, with nothing of the environment."""
    monkeypatch.syspath_prepend(str(ROOT / "evaluator" / "native"))
    for name in ("POSEBOARD_PURE", "POSEBOARD_TARGET", "CC"):
        monkeypatch.delenv(name, raising=False)
    import building

    building.compiler_works.cache_clear()
    yield building
    building.compiler_works.cache_clear()


HOOKS = ["get_requires_for_build_wheel", "get_requires_for_build_editable"]


@pytest.mark.parametrize("hook", HOOKS)
def test_a_machine_without_a_compiler_gets_one(building: Any, hook: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "/nowhere/cc")
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    assert building.ZIG in getattr(building, hook)()


@pytest.mark.parametrize("hook", HOOKS)
def test_a_compiler_that_fails_is_none(
    building: Any, hook: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Such as one that is installed without the headers of the C library."""
    broken = tmp_path / "cc"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CC", str(broken))
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    assert building.ZIG in getattr(building, hook)()


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize(
    ("system", "machine", "variables"),
    [
        ("Linux", "x86_64", {"POSEBOARD_PURE": "1", "CC": "/nowhere/cc"}),
        ("Windows", "AMD64", {"CC": "/nowhere/cc"}),
        ("Linux", "riscv64", {"CC": "/nowhere/cc"}),
    ],
)
def test_nothing_is_brought_that_is_not_wanted_or_not_made(
    building: Any, hook: str, system: str, machine: str, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert building.ZIG not in getattr(building, hook)()


def test_without_the_extension_numpy_is_used_and_said_once() -> None:
    code = (
        "import sys; sys.modules['evaluator.native.extension'] = None\n"
        "from evaluator.native import engine\n"
        "print(engine.engine(), engine.has('native'), engine.native(), engine.warm_up())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["numpy", "False", "None", "False"]
    assert done.stderr.count("numpy gives the same scores, more slowly") == 1
