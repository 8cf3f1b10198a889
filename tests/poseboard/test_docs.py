"""docs/cli.md and docs/formats.md are true: every option and exit code is there, every example is valid."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer.main

from evaluator import CODES, evaluate, load_dataset, validate
from poseboard.cli import app
from poseboard.output import Exit

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"


def example(kind: str, dataset: str) -> Any:
    text = (DOCS / "formats.md").read_text()
    found = re.search(rf"<!-- {kind}: {dataset} -->\n```json\n(.*?)```", text, re.DOTALL)
    assert found, f"no example of {kind} for {dataset}"
    return json.loads(found.group(1))


def test_the_example_of_predictions_is_valid() -> None:
    checked = validate("mpii", example("predictions", "mpii"))
    assert checked.entries == 1


def test_the_example_of_annotations_can_be_scored_against() -> None:
    truth = example("annotations", "lsp")
    assert truth["categories"][0]["keypoints"] == list(load_dataset("lsp").joints)
    person = truth["annotations"][0]
    xs, ys = person["keypoints"][::3], person["keypoints"][1::3]
    assert person["bbox"] == [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
    assert person["area"] == person["bbox"][2] * person["bbox"][3]
    perfect = [{"image_id": 1001, "keypoints": person["keypoints"], "score": 1}]
    scores = {(score.metric, score.part): score.value for score in evaluate("lsp", perfect, truth).scores}
    assert scores["pck@0.2", "all"] == scores["pcp_strict@0.5", "all"] == 1.0


def test_the_examples_of_poses_in_space_and_of_surfaces_are_valid() -> None:
    truth, poses = example("annotations", "human36m"), example("predictions", "human36m")
    assert truth["annotations"][0]["keypoints_3d"][:-3] == poses[0]["keypoints_3d"][:-3]
    scores = {(score.metric, score.part): score.value for score in evaluate("human36m", poses, truth).scores}
    assert scores["mpjpe", "mean_of_actions"] == scores["mpjpe", "eating"] == 0.0
    assert validate("densepose", example("predictions", "densepose")).entries == 1


def commands() -> dict[str, Any]:
    root = typer.main.get_command(app)
    found = {}
    for name, command in root.commands.items():
        if hasattr(command, "commands"):
            found |= {f"{name} {inner}": each for inner, each in command.commands.items()}
        else:
            found[name] = command
    return found


@pytest.mark.parametrize("name", commands())
def test_every_option_is_documented_with_its_command(name: str) -> None:
    text = " ".join((DOCS / "cli.md").read_text().split())
    usage = re.findall(rf"`({name} [^`]*)`", text)
    assert usage, f"docs/cli.md does not show {name}"
    for parameter in commands()[name].params:
        if parameter.param_type_name == "option" and parameter.name != "help":
            assert any(flag in usage[0] for flag in parameter.opts), parameter.opts
    documented = set(re.findall(r"--[a-z]+", usage[0]))
    real = {flag for parameter in commands()[name].params for flag in parameter.opts if flag.startswith("--")}
    assert documented <= real


def test_every_exit_code_is_documented() -> None:
    documented = re.findall(r"^\| (\d) \|", (DOCS / "cli.md").read_text(), re.MULTILINE)
    assert [int(code) for code in documented] == [int(code) for code in Exit]


def test_every_variable_is_documented() -> None:
    source = "".join(path.read_text() for path in DOCS.parent.glob("poseboard/*.py"))
    for name in set(re.findall(r'environ\.get\("(\w+)"', source)):
        assert f"`{name}`" in (DOCS / "cli.md").read_text()


def test_every_code_is_documented_in_its_own_words() -> None:
    table = re.findall(
        r"^\| `(\w+)` \| (.+) \|$", (DOCS / "formats.md").read_text().split("What can be wrong")[1], re.MULTILINE
    )
    assert dict(table[: len(CODES)]) == CODES
