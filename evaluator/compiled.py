"""When to use the compiled code, and where its machine code is kept.

Starting numba costs a second and compiling some twenty more, once for each machine; the smallest files take less than
that without it. So it is loaded for larger inputs, or when `warm_up` asks. Results are the same bits either way.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

LARGE = 20_000
"""Bytes of a file, or numbers of arrays, from which numba pays."""

COMPLETE = "complete"
"""The name of the empty file that says that the folder holds the machine code of every function."""

PADDING = 64
"""Zero bytes that follow the text in a scanner's buffer."""

MODULES = ("decimals", "scan", "scan_annotations", "kernels")
PACKAGE = Path(__file__).parent
log = logging.getLogger("evaluator")

# Every kind of number and value that the scanners know, so that all of their code is loaded by reading it.
SMALL_UPLOAD = (
    b'[{"image_id": 1, "category_id": 1, "keypoints": [' + b", ".join([b"1.5, 10.123456789012345678, 0.25"] * 17)
    + b'], "score": 0.5, "bbox": [1, 2, 3e0, null]}]'
)  # fmt: skip
SMALL_TRUTH = (
    b'{"images": [{"id": 1, "file_name": "1.jpg"}], "categories": [{"id": 1}], "annotations": [{"id": 1, "image_id": 1,'
    b' "num_keypoints": 17, "iscrowd": 0, "area": 100.5, "bbox": [0, 0, 20, 20], "keypoints": ['
    + b", ".join([b"1, 10, 2"] * 17) + b"]}]}"
)  # fmt: skip

_state = SimpleNamespace(enabled=True, loaded=False, warm=False)


def worth_it(size: int) -> bool:
    """Whether an input of this size (bytes of a file, or numbers) is to be read or scored by compiled code."""
    if not available() or (size < LARGE and not _state.loaded):
        return False
    try:
        _load("kernels")
    except (ImportError, OSError, RuntimeError, MemoryError) as error:
        # A confined process may not be able to start numba; the array code gives the same.
        log.warning("Compiled code is not available: %s", error)
        _state.enabled = False
    return _state.enabled


@cache
def _installed() -> bool:
    return find_spec("numba") is not None and sys.byteorder == "little"


def available() -> bool:
    """Whether there is compiled code: numba is installed, and nobody has switched it off."""
    return _state.enabled and _installed()


@contextmanager
def without() -> Iterator[None]:
    """Inside it everything runs on numpy and the standard library alone."""
    before, _state.enabled = _state.enabled, False
    try:
        yield
    finally:
        _state.enabled = before


def scanners() -> Any:
    """The module of the compiled scanner of uploads."""
    return _load("scan")


def annotation_scanner() -> Any:
    """The module of the compiled scanner of annotation files."""
    return _load("scan_annotations")


def kernels() -> Any:
    """The module of compiled matching and accumulation."""
    return _load("kernels")


def warm_up(say: Callable[[str], None] | None = None) -> bool:
    """Loads the compiled code, or compiles it, so that no later call has to: for servers before they fork.

    `say` is told when that will take long; by default a line on standard error if it is a terminal. False where
    numba is missing: everything works without it, more slowly.
    """
    if not available():
        return False
    _load("scan", say)
    if not _state.warm:
        from evaluator.evaluation import evaluate

        evaluate("coco", SMALL_UPLOAD, SMALL_TRUTH).to_dict()
        _state.warm = True
        (_cache_folder() / COMPLETE).touch()
    return True


def warm_up_if_compiled() -> bool:
    """Loads the compiled code where an earlier `warm_up` has left all of it, else does without it in this process.

    For servers: a process that is about to fork confined children must not compile, and its children cannot.
    """
    if available() and (_cache_folder() / COMPLETE).exists():
        return warm_up()
    _state.enabled = False
    return False


def _load(name: str, say: Callable[[str], None] | None = None) -> ModuleType:
    from importlib import import_module

    if not _state.loaded:
        folder = _cache_folder()
        if not list(folder.rglob("*.nbi")):
            (say or _say)(
                f"Compiling the evaluator, once for this machine: about twenty seconds. It is kept in {folder}."
            )
        import numba

        before = numba.config.CACHE_DIR  # read when a function is declared; what others compile is not ours to move
        numba.config.CACHE_DIR = str(folder)
        try:
            for module in MODULES:
                import_module(f"evaluator.{module}")
        finally:
            numba.config.CACHE_DIR = before
        _state.loaded = True
    return import_module(f"evaluator.{name}")


def _say(text: str) -> None:
    log.info(text)
    if sys.stderr is not None and sys.stderr.isatty():
        print(text, file=sys.stderr, flush=True)


@cache
def _cache_folder() -> Path:
    """A folder for machine code that belongs to exactly this source: a folder of another version is never read."""
    digest = hashlib.sha256(b"".join((PACKAGE / f"{name}.py").read_bytes() for name in MODULES)).hexdigest()[:16]
    candidates = [PACKAGE / "__pycache__"]
    if chosen := os.environ.get("NUMBA_CACHE_DIR"):
        candidates.insert(0, Path(chosen))
    home = os.environ.get("XDG_CACHE_HOME")
    candidates.append((Path(home) if home else Path("~/.cache").expanduser()) / "poseboard")
    for candidate in candidates:
        folder = candidate / f"compiled-{digest}"
        if _can_write(folder):  # numba reads from no folder that it cannot write to
            return folder
    # Never a folder of a name that others can guess: what lies in it is executed.
    return Path(tempfile.mkdtemp(prefix="poseboard-"))


def _can_write(folder: Path) -> bool:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
