"""What baselines there are, without torch: what they cost, which weights ship, what can run. For pages and commands.

`costs.json` is what `python -m baselines list --json` prints; a test holds the two together.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from baselines import architectures, names

FOLDER = Path(__file__).parent
COSTS = FOLDER / "costs.json"


@dataclass(frozen=True)
class Variant:
    """A size of a network. `gmacs` are 1e9 multiply-accumulates of one image of `input_size` (width, height)."""

    name: str
    parameters: int
    gmacs: float
    input_size: tuple[int, int]


@dataclass(frozen=True)
class Paper:
    """Where an architecture was published."""

    authors: str
    title: str
    venue: str
    year: int
    arxiv: str

    @property
    def url(self) -> str:
        return f"https://arxiv.org/abs/{self.arxiv}"


@dataclass(frozen=True)
class Block:
    """A step of the network in its drawing, at a (column, row) of a grid; `scale` is how often its maps were halved."""

    id: str
    shape: str
    at: tuple[float, float]
    label: str
    note: str = ""
    scale: int = 0


@dataclass(frozen=True)
class Architecture:
    """A baseline as its page shows it: descriptions/NAME.toml, with the costs of its variants and its paper."""

    name: str
    title: str
    way: str  # "top-down" or "bottom-up"
    summary: str
    stage: str  # what its successive answers are called
    note: str
    reported: tuple[str, ...]  # how the methods of reported results begin that are this one
    paper: Paper
    variants: tuple[Variant, ...]
    blocks: tuple[Block, ...]
    links: tuple[tuple[str, str], ...]
    skips: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Choice:
    """Something that could be run: a baseline's variant with weights; `why_not` is empty when it can."""

    baseline: str
    variant: str
    why_not: str = ""


def paper(source: str) -> Paper:
    """The parts of a SOURCE: `Authors: Title. Venue Year, arXiv Number`."""
    found = re.fullmatch(r"(.*?): (.*)\. (.*?) (\d{4}), arXiv ([\d.]+)", source)
    if found is None:
        raise ValueError(f"not `Authors: Title. Venue Year, arXiv Number`: {source}")
    authors, title, venue, year, arxiv = found.groups()
    return Paper(authors, title, venue, int(year), arxiv)


@cache
def catalogue() -> dict[str, Architecture]:
    """All architectures by name, oldest paper first."""
    rows = json.loads(COSTS.read_text())
    found = {}
    for name in architectures():
        own = [row for row in rows if row["name"] == name]
        variants = tuple(
            Variant(row["variant"], row["parameters"], row["gmacs"], tuple(row["input_size"])) for row in own
        )
        found[name] = _described(name, paper(own[0]["source"]), variants)
    return found


def _described(name: str, published: Paper, variants: tuple[Variant, ...]) -> Architecture:
    """Raises ValueError, with the file's name, for a description that cannot be drawn."""
    file = FOLDER / "descriptions" / f"{name}.toml"
    values = tomllib.loads(file.read_text())
    try:
        blocks = tuple(Block(**{**block, "at": tuple(block["at"])}) for block in values.pop("block"))
        links, skips = (tuple((a, b) for a, b in values.pop(key)) for key in ("links", "skips"))
        reported = tuple(values.pop("reported"))
        made = Architecture(
            name=name, paper=published, variants=variants, reported=reported, blocks=blocks, links=links, skips=skips,
            **values,
        )  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{file.name}: {error}") from error
    if unknown := {end for pair in (*made.links, *made.skips) for end in pair} - {block.id for block in blocks}:
        raise ValueError(f"{file.name}: no block {', '.join(sorted(unknown))}")
    return made


@cache
def shipped() -> tuple[dict[str, Any], ...]:
    """The descriptions of the checkpoints that come with PoseBoard, as their JSON files have them."""
    files = sorted((FOLDER / "checkpoints").glob("*.json"))
    found = [json.loads(file.read_text()) for file in files]
    return tuple(each for each in found if each.get("baseline") in architectures())


def weights(name: str) -> list[dict[str, Any]]:
    """The files of weights of a baseline: variant, file, sha256, licence, claim (empty: none), and how one gets it."""
    found = [
        {
            "variant": each["variant"],
            "file": each["file"],
            "sha256": each["sha256"],
            "licence": each["licence"],
            "claim": each.get("claim", {}),
            "how": "ships with PoseBoard",
            "command": each.get("training", {}).get("command", ""),
        }
        for each in shipped()
        if each["baseline"] == name
    ]
    if name == "blazepose":
        from baselines.models import blazepose

        found += [
            {
                "variant": variant,
                "file": each.file,
                "sha256": each.sha256,
                "licence": blazepose.LICENCE,
                "claim": {},
                "how": "fetched from a package registry",
                "command": f"python -m baselines fetch blazepose --variant {variant}",
            }
            for variant, each in blazepose.VARIANTS.items()
        ]
    return found


def untrained(joints: Sequence[str], trained: Sequence[str]) -> str:
    """Why a network that was trained for some joints cannot run for others; empty when it can."""
    missing = [joint for joint in joints if joint not in trained]
    return f"it was not trained for {', '.join(missing)}" if missing else ""


def choices(joints: Sequence[str], fetched: Path) -> list[Choice]:
    """Every baseline with weights, whether it can run for a dataset of these joints; `fetched`: where weights are put.

    Raises nothing: what cannot run says why.
    """
    found = []
    for checkpoint in shipped():
        if checkpoint["baseline"] in names():
            why_not = untrained(joints, checkpoint["joints"])
            found.append(Choice(checkpoint["baseline"], checkpoint["variant"], why_not))
    from baselines.models import blazepose

    for variant, weights in blazepose.VARIANTS.items():
        there = (fetched / weights.file).is_file()
        why_not = "" if there else f"its weights are not here: python -m baselines fetch blazepose --variant {variant}"
        if there and (unknown := [joint for joint in joints if not blazepose.has_joint(joint)]):
            why_not = f"it has no landmark for {', '.join(unknown)}"
        found.append(Choice("blazepose", variant, why_not))
    return found
