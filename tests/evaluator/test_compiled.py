"""Which engine is used, what it needs and what it costs: in processes of their own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path
from shutil import which

import numpy as np
import pytest

from evaluator import compiled, evaluate, native
from evaluator.matching import bits
from tests.evaluator.pose_cases import multi_person

# Of the two engines, without what the first of them was built from
WITHOUT_NATIVE = "import sys; sys.modules['evaluator.native'] = None\n"


def case(tmp_path: Path, images: int) -> tuple[Path, Path]:
    truth, entries = multi_person("coco", 1, images=images)
    paths = tmp_path / "truth.json", tmp_path / "predictions.json"
    for path, content in zip(paths, (truth, entries), strict=True):
        path.write_text(json.dumps(content))
    return paths


def fresh(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )


def test_where_there_is_a_compiler_the_extension_is_built() -> None:
    compiler = str(sysconfig.get_config_var("CC") or "cc").split()[0]
    header = Path(sysconfig.get_paths()["include"]) / "Python.h"
    assert compiled.has("native") or not (which(compiler) and header.exists()), "make setup builds it"


def test_c_is_preferred_and_what_is_missing_is_not_used() -> None:
    engine = "import evaluator; from evaluator import compiled; print(compiled.engine(), evaluator.warm_up())"
    assert fresh(engine).stdout == "native True\n"
    without_numba = (
        "import importlib.util as util; find = util.find_spec\n"
        "util.find_spec = lambda name, *more: None if name == 'numba' else find(name, *more)\n"
    )
    assert fresh(WITHOUT_NATIVE + without_numba + engine).stdout == "arrays False\n"
    assert fresh(WITHOUT_NATIVE + "from evaluator import compiled; print(compiled.engine())").stdout == "numba\n"
    with pytest.raises(RuntimeError, match="no engine fortran"), compiled.using("fortran"):
        pass


def test_matches_are_given_to_numba_in_one_order_of_memory() -> None:
    """It compiles for an order, and a confined process cannot keep what it compiles: DensePose's came in the other."""
    values = np.asfortranarray(np.random.default_rng(1).random((4, 10, 6)) < 0.5)
    assert bits(values).flags.c_contiguous
    assert (bits(values) == bits(np.ascontiguousarray(values))).all()


@pytest.mark.parametrize(("images", "without", "starts"), [(300, "", False), (5, WITHOUT_NATIVE, False)])
def test_numba_is_not_started_where_c_is_or_for_small_files(
    images: int, without: str, starts: bool, tmp_path: Path
) -> None:
    truth, predictions = case(tmp_path, images)
    code = (
        f"{without}import sys, evaluator; evaluator.evaluate('coco', {str(predictions)!r}, {str(truth)!r})\n"
        "print('numba' in sys.modules)"
    )
    assert fresh(code).stdout == f"{starts}\n"


def test_a_process_that_cannot_start_numba_goes_on_without(tmp_path: Path) -> None:
    truth, predictions = case(tmp_path, 300)
    expected = [score.value.hex() for score in evaluate("coco", predictions, truth).scores]
    code = (
        f"{WITHOUT_NATIVE}import evaluator, evaluator.compiled as compiled\n"
        "def fails(*_): raise OSError('no room')\n"
        "compiled.cache_folder = fails\n"
        f"report = evaluator.evaluate('coco', {str(predictions)!r}, {str(truth)!r})\n"
        "print(compiled.engine(), *[score.value.hex() for score in report.scores])"
    )
    done = fresh(code)
    assert done.stdout.split() == ["arrays", *expected]
    assert "Compiled code is not available: no room" in done.stderr


def test_machine_code_is_kept_where_this_user_can_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package, home, chosen = tmp_path / "package", tmp_path / "home", tmp_path / "chosen"
    package.mkdir()
    for name in compiled.MODULES:
        (package / f"{name}.py").write_text(name)
    can_write, barred = compiled._can_write, {package}
    monkeypatch.setattr(compiled, "_can_write", lambda folder: not barred & set(folder.parents) and can_write(folder))
    monkeypatch.setattr(compiled, "PACKAGE", package)
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    find = compiled.cache_folder.__wrapped__
    first = find()
    assert first.parent == home / "poseboard"
    (package / "scan.py").write_text("changed")
    assert find().parent == first.parent
    assert find() != first  # what another version compiled is never read
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(chosen))
    assert find().parent == chosen
    barred |= {home, chosen}
    one, other = find(), find()
    assert one != other  # no name in a shared folder that others can foresee
    for folder in (one, other):
        assert folder.stat().st_mode & 0o77 == 0
        folder.rmdir()


def test_a_server_does_not_compile_before_it_forks(tmp_path: Path) -> None:
    code = f"{WITHOUT_NATIVE}import evaluator; from evaluator import compiled\nprint(evaluator.warm_up_if_compiled())"
    empty = {"NUMBA_CACHE_DIR": str(tmp_path)}
    assert fresh(code, **empty).stdout == "False\n"
    assert fresh(code.replace(WITHOUT_NATIVE, ""), **empty).stdout == "True\n"


def test_the_first_compilation_says_what_it_does(tmp_path: Path) -> None:
    # Only what is declared is compiled, and nothing is called here.
    code = f"{WITHOUT_NATIVE}from evaluator import compiled; compiled.load_numba(print)"
    said = fresh(code, NUMBA_CACHE_DIR=str(tmp_path)).stdout
    assert re.fullmatch(r"Compiling the evaluator, once for this machine: about twenty seconds\. .*\n", said)
    assert str(tmp_path) in said


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = (
        "import sys; before = set(sys.modules); import evaluator; new = sorted(set(sys.modules) - before)\n"
        "print(*[name for name in new if not name.startswith('_')])"
    )
    names = set(fresh(code).stdout.split())
    assert names & {"numpy", "numba", "asyncio", "importlib.metadata", "tomllib"} == set()
    assert {name for name in names if name.startswith("evaluator")} == {"evaluator", "evaluator.errors"}
    assert len(names) < 40


def scanned(buffer: object, end: int, rows: int = 4, **changes: object) -> object:
    arguments = {
        "images": np.empty(rows, np.int64),
        "scores": np.empty(rows),
        "keypoints": np.empty((rows, 6)),
        "unsure": np.empty((9, 3), np.int64),
        "extras": np.empty((16, 2), np.int64),
        **changes,
    }
    return native.entries(buffer, 0, end, 0, 0, *arguments.values())


def test_the_extension_refuses_arrays_that_it_would_read_or_write_beyond() -> None:
    text = np.frombuffer(b"[]" + bytes(64), np.uint8)
    assert scanned(text, 2) == (2, 3, 0, 0, 0)  # done, no rows
    for buffer, end in ((text, 3), (text, -1), (text[:-1], 2), (text[1:], 1 << 62)):
        with pytest.raises(ValueError, match="does not end with zero bytes"):
            scanned(buffer, end)
    read_only = np.empty(4, np.int64)
    read_only.flags.writeable = False
    wrong = {
        "images": [np.empty(3, np.int64), np.empty(4, np.int32), np.empty((4, 1), np.int64), read_only, None],
        "scores": [np.empty(5), np.empty(8)[::2], np.empty(4, np.float32), np.empty(4, ">f8")],
        "keypoints": [np.empty((3, 6)), np.empty(24), np.empty((6, 4)).T],
        "unsure": [np.empty((9, 2), np.int64)],
        "extras": [np.empty((15, 2), np.int64)],
    }
    for name, values in wrong.items():
        for value in values:
            with pytest.raises((TypeError, ValueError, BufferError)):
                scanned(text, 2, **{name: value})
    with pytest.raises(IndexError):
        native.entries(text, 3, 2, 0, 0, *(np.empty(s, t) for s, t in (
            (1, np.int64), (1, float), ((1, 6), float), ((9, 3), np.int64), ((16, 2), np.int64))))  # fmt: skip
    ones = np.ones((1, 3))
    with pytest.raises(IndexError):
        native.ordered(np.array([0, 2]), np.ones(2), np.ones((2, 6)), 2, 20)
    with pytest.raises(IndexError):
        native.greedy(1, np.array([0]), np.array([7]), np.ones(1), ones > 0, ones[0] > 0, np.arange(3), np.ones(10))
    bits = np.ones((1, 2), np.uint16)
    with pytest.raises(IndexError):
        native.accumulate(bits, bits, np.array([0, 3]), np.array([0]), np.ones((1, 1), bool), ones, np.ones(101), 10)
