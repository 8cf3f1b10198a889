"""The package's build backend: setuptools', and a C compiler from PyPI where the machine has none that works.

pip imports it before anything is installed, so it uses the standard library and setuptools alone.

    POSEBOARD_PURE=1       builds nothing: numpy does the work, and an extension of an earlier build goes
    POSEBOARD_TARGET=...   builds with zig for another system, such as x86_64-linux-gnu.2.17 (`make wheel`)
"""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from setuptools import build_meta
from setuptools.build_meta import (
    build_editable,
    build_sdist,
    build_wheel,
    get_requires_for_build_sdist,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)
from setuptools.command.build_ext import build_ext

__all__ = [
    "BuildExtension",
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

ZIG = "ziglang==0.17.0"
# of its wheels, those for processors that the C is made for
ZIG_SYSTEMS = {("Linux", "x86_64"), ("Linux", "aarch64"), ("Darwin", "x86_64"), ("Darwin", "arm64")}


def get_requires_for_build_wheel(config_settings: Any = None) -> list[str]:
    return [*build_meta.get_requires_for_build_wheel(config_settings), *_compiler_needed()]


def get_requires_for_build_editable(config_settings: Any = None) -> list[str]:
    return [*build_meta.get_requires_for_build_editable(config_settings), *_compiler_needed()]


def _compiler_needed() -> list[str]:
    here = (platform.system(), platform.machine())
    if is_pure() or here not in ZIG_SYSTEMS or (compiler_works() and not target()):
        return []
    return [ZIG]


def is_pure() -> bool:
    return os.environ.get("POSEBOARD_PURE", "0") not in {"", "0"}


def target() -> str:
    return os.environ.get("POSEBOARD_TARGET", "")


@cache
def compiler_works() -> bool:
    """Whether the compiler that Python's build tools would call makes a shared library with the standard headers."""
    command = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "probe.c"
        source.write_text("#include <string.h>\nint probe(void) { return (int)strlen(__FILE__); }\n")
        try:
            made = subprocess.run(
                [*command, "-fPIC", "-shared", str(source), "-o", str(source.with_suffix(".so"))],
                capture_output=True, check=False, timeout=60,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired):
            return False
    return made.returncode == 0


class BuildExtension(build_ext):
    """setuptools' own, with zig's compiler where it is needed, and nothing at all with POSEBOARD_PURE=1."""

    extensions: list[Any]

    def run(self) -> None:
        if is_pure():
            for extension in self.extensions if self.inplace else []:
                Path(self.get_ext_fullpath(extension.name)).unlink(missing_ok=True)
            self.extensions = []
        super().run()

    def build_extensions(self) -> None:
        if target() or not compiler_works():
            zig = [sys.executable, "-m", "ziglang", "cc", *(["-target", target()] if target() else [])]
            shared = ["-bundle", "-undefined", "dynamic_lookup"] if sys.platform == "darwin" else ["-shared"]
            # -s: without debugging symbols, which would be most of the file
            self.compiler.set_executables(
                compiler=zig, compiler_so=[*zig, "-fPIC"], linker_so=[*zig, *shared, "-s"], linker_exe=zig
            )
        super().build_extensions()
