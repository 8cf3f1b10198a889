"""Plain data is frozen, and compared by identity where it holds arrays, whose == has no single truth value."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil

import evaluator

ARRAYS = ("Floats", "Integers", "Booleans", "NDArray", "Annotations", "Predictions", "Matches", "Tally")

# while a file is read; they are not handed on
FILLED = ("Problems", "_Rows")


def dataclasses_of_the_evaluator() -> list[type]:
    found = []
    for module in pkgutil.walk_packages(evaluator.__path__, "evaluator."):
        if not module.name.endswith("__main__"):
            each = importlib.import_module(module.name)
            found += [
                kind
                for _, kind in inspect.getmembers(each, dataclasses.is_dataclass)
                if isinstance(kind, type) and kind.__module__ == module.name
            ]
    return found


def test_data_is_frozen_and_compared_by_identity_where_it_holds_arrays() -> None:
    found = dataclasses_of_the_evaluator()
    assert len(found) > 40
    for kind in found:
        if kind.__name__ in FILLED:
            continue
        assert kind.__dataclass_params__.frozen, kind  # type: ignore[attr-defined]
        holds_arrays = any(name in str(field.type) for field in dataclasses.fields(kind) for name in ARRAYS)
        assert (kind.__eq__ is object.__eq__) == holds_arrays, kind
