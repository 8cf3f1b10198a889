"""A damaged file ends in a message, whatever it does to the library that reads it."""

from __future__ import annotations

import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from evaluator.convert import ConversionError, convert_predictions, convert_truth, reading


@pytest.fixture
def good(tmp_path, write_matlab, numbers) -> bytes:
    return write_matlab(tmp_path / "good.mat", pred=numbers.normal(100, 40, (2, 14, 1000))).read_bytes()


def convert(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(ConversionError) as caught:
        convert_predictions("lsp", path)
    message = str(caught.value)
    assert message.startswith(path.name) and "\n" not in message and "Traceback" not in message
    return message


@pytest.mark.parametrize("length", [0, 3, 100, 128, 140, 5000, -4])
def test_truncated(tmp_path, good, length) -> None:
    message = convert(tmp_path / "pred.mat", good[:length])
    # the header alone is a whole file of no variables
    expected = {0: "the file is empty", 128: "the file holds no arrays"}.get(length, "damaged, or neither")
    assert expected in message


OTHER_FILES = {
    "png": b"\x89PNG\r\n\x1a\n" + bytes(600),
    "jpeg": b"\xff\xd8\xff\xe0" * 200,
    "zeros": bytes(4096),
    "text": b"pred = 1;\n" * 50,
    "hdf5 signature alone": b"\x89HDF\r\n\x1a\n" + bytes(600),
}


@pytest.mark.parametrize("content", OTHER_FILES.values(), ids=OTHER_FILES.keys())
def test_something_else(tmp_path, content) -> None:
    assert "damaged, or neither a MATLAB file nor an HDF5 file" in convert(tmp_path / "pred.mat", content)


def test_truncated_hdf5(tmp_path, write_matlab73) -> None:
    content = write_matlab73(tmp_path / "good.mat", pred=np.ones((2, 14, 1000))).read_bytes()
    assert "damaged" in convert(tmp_path / "pred.mat", content[: len(content) // 2])


def test_a_reader_that_crashes_becomes_a_message(tmp_path, good, monkeypatch) -> None:
    """A reader that dies of a signal, as scipy does on some files, does not take this process with it."""
    crash = tmp_path / "python"
    crash.write_text("#!/bin/sh\nkill -SEGV $$\n")
    crash.chmod(0o755)
    monkeypatch.setattr(reading.sys, "executable", str(crash))
    assert convert(tmp_path / "pred.mat", good).endswith("the file is damaged (reading it ended with SIGSEGV)")


def test_a_reader_that_hangs_becomes_a_message(tmp_path, good, monkeypatch) -> None:
    hang = tmp_path / "python"
    hang.write_text("#!/bin/sh\nexec sleep 30\n")
    hang.chmod(0o755)
    monkeypatch.setattr(reading.sys, "executable", str(hang))
    monkeypatch.setattr(reading, "TIME_LIMIT_SECONDS", 0.2)
    assert "not read within 0.2 s" in convert(tmp_path / "pred.mat", good)


def test_no_file(tmp_path) -> None:
    with pytest.raises(ConversionError, match="no such file"):
        convert_truth("lsp", tmp_path / "joints.mat")
    with pytest.raises(ConversionError, match="is not a file"):
        convert_truth("lsp", tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="the address space is limited on Linux only")
def test_a_header_that_asks_for_all_memory(tmp_path) -> None:
    """An HDF5 file may declare terabytes in a few kilobytes."""
    with h5py.File(tmp_path / "huge.h5", "w") as file:
        file.create_dataset("preds", shape=(1 << 34, 16, 2), chunks=(1024, 16, 2), dtype="f8")
    with pytest.raises(ConversionError, match=r"huge\.h5: (not enough memory|damaged)"):
        convert_predictions("mpii", tmp_path / "huge.h5")
