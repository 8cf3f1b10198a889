"""Picks what reads and matches large inputs: the C, or numpy and the standard library. Both give the same bits.

The C is built when the package is installed. Where that failed, or `POSEBOARD_PURE=1` prevented it, numpy does all of
the work, more slowly, and the log says so once.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from types import SimpleNamespace
from typing import Any

ENGINES = ("native", "numpy")

log = logging.getLogger("evaluator")

_state = SimpleNamespace(engine=None)


def engine() -> str:
    """The engine in use: the first of ENGINES that was built, unless `using` names another."""
    if _state.engine is None:
        _state.engine = next(name for name in ENGINES if has(name))
        if _state.engine == "numpy":
            log.warning("The evaluator's C was not built at installation: numpy gives the same scores, more slowly.")
    return str(_state.engine)


@cache
def has(name: str) -> bool:
    """Whether an engine of ENGINES can be used here."""
    if name == "native":
        try:
            import_module("evaluator.native.compiled")
        except ImportError:
            return False
    return name in ENGINES


@contextmanager
def using(name: str) -> Iterator[None]:
    """Everything inside runs on that engine. RuntimeError when it was not built."""
    if not has(name):
        raise RuntimeError(f"the evaluator has no engine {name} here")
    before, _state.engine = _state.engine, name
    try:
        yield
    finally:
        _state.engine = before


def native() -> Any:
    """The functions in C (`evaluator.native.compiled`), or None where numpy is in use."""
    return import_module("evaluator.native.compiled") if engine() == "native" else None


def warm_up(say: object = None) -> bool:
    """Loads the C before it is needed: for servers before they fork. False where numpy is in use.

    `say` does nothing; callers of earlier versions pass it.
    """
    return native() is not None


warm_up_if_compiled = warm_up
"""The same, under its name of earlier versions."""
