"""Reads .mat and .h5 files in a separate process, so that a crash of scipy on a damaged file becomes a message."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluator.convert.child import STRUCTURES
from evaluator.convert.errors import ConversionError

# Reading the largest official file (MPII's RELEASE structure) takes about 20 s; a damaged one must not hang forever.
TIME_LIMIT_SECONDS = 300


@dataclass(frozen=True, eq=False)
class OfficialFile:
    """The numeric arrays of a file by name, axes in the order in which MATLAB or the writing program shows them.

    `structures` names the variables of a .mat file that are not arrays.
    """

    path: Path
    arrays: dict[str, NDArray[np.generic]]
    structures: tuple[str, ...] = ()

    def get(self, *names: str) -> NDArray[np.generic] | None:
        """The first of `names` that the file has."""
        for name in names:
            if name in self.arrays:
                return self.arrays[name]
        return None

    def need(self, name: str, what: str) -> NDArray[np.generic]:
        """The array called `name`; ConversionError when the file has none, naming what it does have."""
        if name not in self.arrays:
            there = ", ".join(f"{key} {_shape(value)}" for key, value in sorted(self.arrays.items())) or "no arrays"
            raise ConversionError(f"{self.path.name}: no variable {name!r} ({what}); the file holds {there}")
        return self.arrays[name]


def read_arrays(path: Path) -> OfficialFile:
    """Every numeric and text array of a MATLAB file (any version) or an HDF5 file."""
    return _in_child("arrays", path)


def read_mpii_release(path: Path) -> OfficialFile:
    """The people of MPII's RELEASE structure as flat arrays (see evaluator.convert.mpii_release)."""
    return _in_child("mpii_release", path)


def read_mpii_groups(path: Path, groups: Path) -> OfficialFile:
    """Everybody of MPII's RELEASE structure, and the groups of people (see evaluator.convert.mpii_release)."""
    return _in_child("mpii_groups", path, groups)


def read_mpii_poses(path: Path) -> OfficialFile:
    """Predicted poses of groups of people, in the structure of the official toolkit."""
    return _in_child("mpii_poses", path)


def _in_child(reader: str, path: Path, *companions: Path) -> OfficialFile:
    packages = str(Path(__file__).resolve().parent.parent.parent)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([packages, *_python_path()]), "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory(prefix="poseboard-convert-") as folder:
        result = Path(folder) / "arrays.npz"
        command = [sys.executable, "-m", "evaluator.convert.child", reader, str(path.resolve()), str(result)]
        command += [str(companion.resolve()) for companion in companions]
        try:
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=TIME_LIMIT_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise ConversionError(
                f"{path.name}: not read within {TIME_LIMIT_SECONDS} s; the file is probably damaged"
            ) from None
        if done.returncode == 0:
            with np.load(result, allow_pickle=False) as stored:
                arrays = {name.removeprefix("array:"): stored[name] for name in stored.files}
            structures = tuple(str(name) for name in arrays.pop(STRUCTURES, ()))
            return OfficialFile(path=path, arrays=arrays, structures=structures)
    if done.returncode < 0:
        raise ConversionError(
            f"{path.name}: the file is damaged (reading it ended with {_signal_name(-done.returncode)})"
        )
    lines = done.stderr.strip().splitlines() or ["the reader failed without a message"]
    if done.returncode == 2:
        raise ConversionError(f"{path.name}: {lines[-1]}")
    raise ConversionError(f"{path.name}: damaged, or neither a MATLAB file nor an HDF5 file ({lines[-1][:300]})")


def _python_path() -> list[str]:
    return [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _shape(array: NDArray[np.generic]) -> str:
    return "x".join(str(size) for size in array.shape) or "scalar"
