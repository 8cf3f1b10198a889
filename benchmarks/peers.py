"""Other people's packages to compare with: installed without what they depend on, into a folder of their own.

Modules that they import and that are not needed here are stood in for.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import subprocess
import sys
import types
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
# what the networks and their decoding are compared with, and what these toolkits import and do not need for that
TOOLKITS = {
    "mmpose": "1.3.2", "mmengine-lite": "0.10.7", "mmcv-lite": "2.2.0", "addict": "2.4.0", "yapf": "0.43.0",
    "termcolor": "3.3.0", "platformdirs": "4.14.8", "pyyaml": "6.0.4", "rich": "15.0.0",
    "opencv-python-headless": "4.11.0.86", "pytorch-stacked-hourglass": "1.0.0a9", "alphapose": "1.1",
    "pytorchcv": "0.0.74", "timm": "1.0.31", "tabulate": "0.9.0",
}  # fmt: skip
ABSENT = (
    "torchvision", "huggingface_hub", "xtcocotools", "json_tricks", "munkres", "matplotlib", "mmcv.ops", "mmdet",
    "alphapose.models.layers", "importlib_resources",
)  # fmt: skip


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def install(folder: str, packages: Mapping[str, str], absent: Collection[str]) -> None:
    """`packages` (name: version) into benchmarks/results/`folder`, which is put on the path; `absent` are the modules,
    with what is in them, that are stood in for."""
    target = RESULTS / folder
    done = target / "installed.txt"
    wanted = "".join(f"{name}=={version}\n" for name, version in packages.items())
    if not done.is_file() or done.read_text() != wanted:
        say(f"Installing {', '.join(wanted.split())} into {target.relative_to(ROOT)}")
        pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps", "--upgrade"]
        subprocess.run([*pip, "--target", str(target), *wanted.split()], check=True)
        done.write_text(wanted)
    sys.meta_path.insert(0, _StandIn(absent))
    sys.path.insert(0, str(target))


class _Names(type):
    def __getattr__(cls, name: str) -> str:
        if name.startswith("__"):
            raise AttributeError(name)
        return f"{cls.__name__}.{name}"


class _Absent(types.ModuleType):
    """A module whose every name is an empty class."""

    __path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Names(name, (), {})


class _StandIn(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives modules that are not installed, and that are imported without being used."""

    def __init__(self, names: Collection[str]) -> None:
        self.names = names

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        wanted = any(name == absent or name.startswith(f"{absent}.") for absent in self.names)
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if wanted else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return _Absent(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        pass
