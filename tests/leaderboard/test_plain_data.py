"""What operations, the queue and boards hand to one another does not change on its way."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil

import leaderboard

ROOMS = ("boards", "operations", "queue")


def test_data_is_frozen() -> None:
    found = []
    for room in ROOMS:
        package = importlib.import_module(f"{leaderboard.__name__}.{room}")
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            for _, kind in inspect.getmembers(importlib.import_module(module.name), dataclasses.is_dataclass):
                if kind.__module__ == module.name:
                    found.append(kind)
                    assert kind.__dataclass_params__.frozen, kind
    assert len(found) > 8
