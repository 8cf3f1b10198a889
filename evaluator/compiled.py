"""Which engine reads and scores, and where numba's machine code is kept.

There are three, with the same results to the bit. `native` is C, built at installation where there is a compiler;
`numba` takes its place where it was not built; `arrays` is numpy and the standard library, for where there is neither.
C costs nothing to start. Starting numba costs a second and compiling some twenty more, once for each machine, so it is
used for larger inputs only, or when `warm_up` asks.
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
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ENGINES = ("native", "numba", "arrays")

LARGE = 20_000
"""Bytes of a file, or numbers of arrays, from which numba pays."""

MODULES = ("decimals", "scan", "scan_annotations", "kernels")
PACKAGE = Path(__file__).parent
log = logging.getLogger("evaluator")

_state = SimpleNamespace(engine=None, loaded=False)


def engine() -> str:
    """The engine in use, of ENGINES: the first of those that are there, unless `using` says another."""
    if _state.engine is None:
        _state.engine = next(name for name in ENGINES if has(name))
    return str(_state.engine)


@cache
def has(name: str) -> bool:
    """Whether an engine of ENGINES can be used here."""
    if name == "native":
        try:
            import_module("evaluator.native")
        except ImportError:
            return False
        return True
    return name == "arrays" or (find_spec("numba") is not None and sys.byteorder == "little")


@contextmanager
def using(name: str) -> Iterator[None]:
    """Inside it everything runs on that engine. RuntimeError when it is not there."""
    if name not in ENGINES or not has(name):
        raise RuntimeError(f"the evaluator has no engine {name} here")
    before, _state.engine = _state.engine, name
    try:
        yield
    finally:
        _state.engine = before


def without() -> Any:
    """Inside it everything runs on numpy and the standard library alone."""
    return using("arrays")


def worth_it(size: int) -> bool:
    """Whether an input of this size (bytes of a file, or numbers) is to be read or scored by compiled code."""
    if engine() != "numba" or (size < LARGE and not _state.loaded):
        return engine() == "native"
    try:
        load_numba()
    except (ImportError, OSError, RuntimeError, MemoryError) as error:
        # A confined process may not be able to start numba; the array code gives the same.
        log.warning("Compiled code is not available: %s", error)
        give_up()
    return engine() == "numba"


def give_up() -> None:
    """Does without compiled code from now on."""
    _state.engine = "arrays"


def scanner() -> Any:
    """The module of the compiled scanner of uploads, once something was `worth_it`."""
    return import_module("evaluator.native" if engine() == "native" else "evaluator.scan")


def annotation_scanner() -> Any:
    """The module of the compiled scanner of annotation files."""
    return import_module("evaluator.native" if engine() == "native" else "evaluator.scan_annotations")


def kernels() -> Any:
    """The module of compiled matching and accumulation."""
    return import_module("evaluator.native" if engine() == "native" else "evaluator.kernels")


def load_numba(say: Callable[[str], None] | None = None) -> None:
    """Imports what numba compiles, with a folder for the machine code; `say` is told when there is none yet."""
    if _state.loaded:
        return
    folder = cache_folder()
    if not list(folder.rglob("*.nbi")):
        (say or _say)(f"Compiling the evaluator, once for this machine: about twenty seconds. It is kept in {folder}.")
    import numba

    before = numba.config.CACHE_DIR  # read when a function is declared; what others compile is not ours to move
    numba.config.CACHE_DIR = str(folder)
    try:
        for module in MODULES:
            import_module(f"evaluator.{module}")
    finally:
        numba.config.CACHE_DIR = before
    _state.loaded = True


def _say(text: str) -> None:
    log.info(text)
    if sys.stderr is not None and sys.stderr.isatty():
        print(text, file=sys.stderr, flush=True)


@cache
def cache_folder() -> Path:
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
