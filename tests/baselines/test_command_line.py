"""What `python -m baselines` says about itself."""

import argparse
from collections.abc import Iterator

import pytest

from baselines.__main__ import RECIPE_OPTIONS, make_parser
from baselines.mannequins.__main__ import make_parser as make_mannequins_parser
from baselines.train.detector import Plan
from baselines.train.recipes import Recipe


def _commands() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    yield "mannequins", make_mannequins_parser()
    for action in make_parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            assert {each.dest for each in action._choices_actions if each.help} == set(action.choices)
            yield from action.choices.items()


COMMANDS = dict(_commands())


def test_all_commands_are_found() -> None:
    expected = {"list", "train", "fit-grouping", "train-detector", "fetch", "predict", "check-checkpoint"}
    assert COMMANDS.keys() == expected | {"mannequins"}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_a_help_text(name: str) -> None:
    silent = [action.dest for action in COMMANDS[name]._actions if not action.help]
    assert not silent
    assert COMMANDS[name].format_help()  # a percent sign in a text would fail here


def test_every_field_of_a_recipe_is_an_option() -> None:
    assert {*RECIPE_OPTIONS, "drops"} == set(Recipe.__dataclass_fields__)


def test_the_help_names_the_detectors_defaults() -> None:
    texts = {action.dest: action.help for action in COMMANDS["train-detector"]._actions}
    for name in ("images", "epochs", "batch", "seed"):
        assert f"(default: {getattr(Plan(), name)})" in texts[name]
