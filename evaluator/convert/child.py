"""The reading process that evaluator.convert.reading starts: READER FILE OUT.npz, for some with COMPANION.

It ends with 0 and the arrays in OUT.npz; with 2 and one line on standard error; or, on a damaged file, with whatever
exception or signal the libraries end it with, which evaluator.convert.reading turns into a message.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MATLAB_73 = b"MATLAB 7.3"
STRUCTURES = "structures"  # no variable of an official file has this name
MOST_MEMORY = 8 << 30
HDF5 = b"\x89HDF\r\n\x1a\n"


class Unreadable(Exception):
    """Its text is the one line that is written to standard error."""


def main(reader: str, path: Path, out: Path) -> None:
    """Read `path` and write its arrays to `out`; `matlab` says whether it was a MATLAB file."""
    if not path.stat().st_size:
        raise Unreadable("the file is empty")
    with path.open("rb") as file:
        head = file.read(1024)
    hdf5 = head.startswith(HDF5) or head[512:520] == HDF5
    matlab = not hdf5 or head.startswith(MATLAB_73)
    if reader in STRUCTURE_READERS:
        if hdf5:
            raise Unreadable(f"{reader} can only be read from its original file; save this one again with -v7")
        arrays = STRUCTURE_READERS[reader](path)
    elif hdf5:
        arrays = _hdf5(path, matlab=matlab)
    else:
        arrays = _plain(_matlab(path))
    stored: dict[str, Any] = {f"array:{name}": value for name, value in arrays.items()}
    np.savez(out, allow_pickle=False, **stored)


def _matlab(path: Path, **options: Any) -> dict[str, Any]:
    from scipy.io import loadmat

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # scipy warns where a variable is cut short or unreadable, and goes on
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        return {name: value for name, value in loadmat(path, **options).items() if not name.startswith("__")}


def _plain(variables: Mapping[str, Any]) -> dict[str, NDArray[np.generic]]:
    """The numeric arrays, text and cells of text as arrays of strings, and in STRUCTURES the names of all else."""
    arrays: dict[str, NDArray[np.generic]] = {}
    structures: list[str] = []
    for name, value in variables.items():
        kind = value.dtype.kind if isinstance(value, np.ndarray) else "O"
        texts = [_text(cell) for cell in value.flat] if kind == "O" and isinstance(value, np.ndarray) else [None]
        if kind in "buifcU":
            arrays[name] = value
        elif texts and None not in texts:
            arrays[name] = np.array(texts, dtype=str)
        else:
            structures.append(name)
    arrays[STRUCTURES] = np.array(structures, dtype=str)
    return arrays


def _text(cell: Any) -> str | None:
    if isinstance(cell, np.ndarray) and cell.dtype.kind == "U" and cell.size <= 1:
        return str(cell.item()) if cell.size else ""
    return cell if isinstance(cell, str) else None


def _hdf5(path: Path, *, matlab: bool) -> dict[str, NDArray[np.generic]]:
    """The datasets of a file's root. MATLAB 7.3 writes the axes in reverse, and marks each variable with its class."""
    import h5py

    arrays: dict[str, NDArray[np.generic]] = {}
    with h5py.File(path, "r") as file:
        for name, item in file.items():
            if not isinstance(item, h5py.Dataset) or item.dtype.kind not in "buifcSO":
                continue
            if item.dtype.kind == "O" and h5py.check_string_dtype(item.dtype) is None:
                continue
            value = np.asarray(item[()])
            if value.dtype.kind in "SO":
                value = np.array([_decoded(cell) for cell in value.flat], dtype=str).reshape(value.shape)
            reverse = matlab or "MATLAB_class" in item.attrs
            arrays[name] = value.transpose() if reverse else value
    return arrays


def _decoded(value: Any) -> str:
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)


def _variable(path: Path, name: str, *, squeezed: bool = True) -> Any:
    variables = _matlab(path, struct_as_record=False, squeeze_me=squeezed)
    if name not in variables:
        raise Unreadable(f"no variable {name!r}; the file holds {', '.join(sorted(variables)) or 'nothing'}")
    return variables[name]


def _mpii_release(path: Path) -> dict[str, NDArray[np.generic]]:
    from evaluator.convert.mpii_release import people

    return people(_variable(path, "RELEASE"), single_only=True)


def _mpii_groups(path: Path) -> dict[str, NDArray[np.generic]]:
    """The people of a RELEASE structure and, as `group:...`, the groups of the groups_v12.mat that COMPANION names."""
    from evaluator.convert.mpii_release import groups, people

    release = _variable(path, "RELEASE")
    found = groups(release, _variable(Path(sys.argv[4]), "groups", squeezed=False))
    return people(release, single_only=False) | {f"group:{name}": values for name, values in found.items()}


def _mpii_poses(path: Path) -> dict[str, NDArray[np.generic]]:
    from evaluator.convert.mpii_release import poses

    return poses(_variable(path, "pred"))


STRUCTURE_READERS = {"mpii_release": _mpii_release, "mpii_groups": _mpii_groups, "mpii_poses": _mpii_poses}


def _limit_memory() -> None:
    """A damaged header can ask for any amount of memory; the largest official file needs about 1 GiB."""
    import resource  # not on Windows, and without effect on macOS

    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY if hard < 0 else min(MOST_MEMORY, hard), hard))


if __name__ == "__main__":
    if sys.platform == "linux":
        _limit_memory()
    try:
        main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
    except Unreadable as problem:
        sys.stderr.write(f"{problem}\n")
        sys.exit(2)
    except MemoryError:
        sys.stderr.write("not enough memory to read the file, which is probably damaged\n")
        sys.exit(2)
    except ImportError as missing:
        sys.stderr.write(f"reading official files needs scipy and h5py: pip install 'poseboard[convert]' ({missing})\n")
        sys.exit(2)
