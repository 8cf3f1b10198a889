"""Files in the layouts that the datasets' authors publish, written small or with invented numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.io import savemat

Writer = Callable[..., Path]


def matlab(path: Path, **arrays: NDArray[np.generic]) -> Path:
    """A MATLAB 5 file, compressed as MATLAB's `save` does."""
    savemat(path, arrays, do_compression=True)
    return path


def matlab73(path: Path, **arrays: NDArray[np.generic]) -> Path:
    """What MATLAB's `save -v7.3` writes: HDF5 behind a header of 512 bytes, axes reversed, classes as attributes."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            item = file.create_dataset(name, data=np.asarray(array).transpose(), compression="gzip")
            item.attrs["MATLAB_class"] = np.bytes_("double" if array.dtype == np.float64 else array.dtype.name)
    with path.open("r+b") as file:
        file.write(
            b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Mon Feb  2 10:00:00 2015 HDF5 schema 1.00 .".ljust(
                116
            )
        )
        file.write(b"\x00" * 8 + b"\x00\x02IM")
    return path


def unmarked_hdf5(path: Path, **arrays: NDArray[np.generic]) -> Path:
    """HDF5 in MATLAB's order of axes without its marks, as Octave-like programs write it."""
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = np.asarray(array).transpose()
    return path


def plain_hdf5(path: Path, **arrays: NDArray[np.generic]) -> Path:
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array
    return path


@pytest.fixture(params=[matlab, matlab73, unmarked_hdf5, plain_hdf5], ids=lambda writer: writer.__name__)
def any_writer(request: pytest.FixtureRequest) -> Writer:
    """Each way in which the arrays of a dataset come."""
    writer: Writer = request.param
    return writer


@pytest.fixture
def write_matlab() -> Writer:
    return matlab


@pytest.fixture
def write_matlab73() -> Writer:
    return matlab73


@pytest.fixture
def write_hdf5() -> Writer:
    return plain_hdf5


@pytest.fixture
def numbers() -> np.random.Generator:
    return np.random.default_rng(20100901)
