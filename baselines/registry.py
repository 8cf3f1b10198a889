"""The baselines: the MODEL cards of the files in `baselines/models/`. Imports no torch, so that pages can read them.

A model is one file there, which may define:

- `MODEL`, its card: one dictionary, written out, so that it is read without importing the file;
- `build(num_joints, **arguments)`, its network, and in the card `estimator`: what turns the network's outputs into
  people (a name of `baselines.run.loading.ESTIMATORS`); or
- `estimator(variant, dataset, *, checkpoint, checkpoints, device)`, where it needs neither.

Only `title` and `citation` are required in a card. `weights` says what it needs to run: a "checkpoint" (the default:
one that ships, `checkpoints/NAME-VARIANT.json`, or a registered one), "published" files (`published_weights`),
which `python -m baselines fetch` downloads, or "none".
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

from baselines.protocol import BaselineFailed

FOLDER = Path(__file__).parent
MODELS = FOLDER / "models"
CHECKPOINTS = FOLDER / "checkpoints"
COSTS = "costs.json"


@dataclass(frozen=True)
class Citation:
    """Where a model was published. `authors` are surnames, all of them."""

    authors: tuple[str, ...]
    title: str
    venue: str
    year: int
    arxiv: str = ""
    url: str = ""

    @property
    def link(self) -> str:
        return self.url or (f"https://arxiv.org/abs/{self.arxiv}" if self.arxiv else "")

    @property
    def by(self) -> str:
        """As a text cites the authors: by name up to three, otherwise the first and et al."""
        return ", ".join(self.authors) if len(self.authors) <= 3 else f"{self.authors[0]} et al."

    def __str__(self) -> str:
        arxiv = f", arXiv {self.arxiv}" if self.arxiv else ""
        return f"{', '.join(self.authors)}: {self.title}. {self.venue} {self.year}{arxiv}"


@dataclass(frozen=True)
class Block:
    """A step of the network in its drawing, at a (column, row) of a grid; `scale` is how often its maps were halved."""

    id: str
    shape: str
    at: tuple[float, float]
    label: str
    note: str = ""
    scale: int = 0


Links = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Drawing:
    """A network as blocks and the links between them; `skips` are links that pass over blocks."""

    blocks: tuple[Block, ...] = ()
    links: Links = ()
    skips: Links = ()


@dataclass(frozen=True)
class Card:
    """The contents of a MODEL."""

    name: str
    title: str
    citation: Citation
    approach: str = "top-down"  # or "bottom-up"
    # arguments of build(), with "joints", for which the published costs are counted, and "input_size" (width, height)
    variants: dict[str, dict[str, Any]] = field(default_factory=dict)
    default_variant: str = ""
    input_size: tuple[int, int] = (256, 256)
    estimator: str = ""
    pose_nms: bool = False  # merge the poses that several boxes gave for one person
    weights: str = "checkpoint"
    published_weights: Mapping[str, Any] = field(default_factory=dict)
    joints: tuple[str, ...] = ()  # that it can predict without a checkpoint; empty: any
    training: Mapping[str, Any] = field(default_factory=dict)  # see baselines.train.recipes
    # by toolkit whose names public weights may have: the preparation of images, see baselines.weights.registration
    public_forms: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    summary: str = ""
    note: str = ""
    stage: str = "heatmaps"
    reported_as: tuple[str, ...] = ()
    drawing: Drawing = field(default_factory=Drawing)

    @property
    def files(self) -> dict[str, dict[str, Any]]:
        """The published files of weights by variant: file, sha256, parameters, gmacs."""
        return dict(self.published_weights.get("files", {}))

    @property
    def variant_names(self) -> tuple[str, ...]:
        return (*self.variants, *self.files) or (self.default_variant,)

    def size(self, variant: str) -> tuple[int, int]:
        """(width, height) of the input of a variant."""
        width, height = self.variants.get(variant, {}).get("input_size", self.input_size)
        return width, height

    def arguments(self, variant: str) -> dict[str, Any]:
        """What build() is given for a variant, besides the number of joints."""
        return {k: v for k, v in self.variants[variant].items() if k not in ("joints", "input_size")}


@cache
def cards() -> dict[str, Card]:
    """Every model's card by name, oldest paper first. Raises ValueError, with the file's name, for a wrong one."""
    found = [card for file in sorted(MODELS.glob("[!_]*.py")) if (card := read(file)) is not None]
    return {card.name: card for card in sorted(found, key=lambda card: (card.citation.year, card.name))}


def card(name: str) -> Card:
    """A model's card. Raises BaselineFailed for an unknown name."""
    if name not in cards():
        raise BaselineFailed("unknown_baseline", f"there is no baseline {name!r}: one of {', '.join(cards())}")
    return cards()[name]


def module(name: str) -> ModuleType:
    """The file of a model. Raises BaselineFailed for an unknown name."""
    return import_module(f"baselines.models.{card(name).name}")


def read(file: Path) -> Card | None:
    """The card in a file; None where there is none. Raises ValueError for one that cannot be used."""
    for node in ast.parse(file.read_text()).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        value = getattr(node, "value", None)
        if isinstance(target, ast.Name) and target.id == "MODEL" and value is not None:
            try:
                return _checked(file.stem, ast.literal_eval(value))
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(f"{file.name}: MODEL: {error}") from error
    return None


def _checked(name: str, values: dict[str, Any]) -> Card:
    citation = Citation(**values.pop("citation"))
    drawn = values.pop("drawing", {})
    blocks = tuple(Block(*block) for block in drawn.get("blocks", ()))
    drawing = Drawing(blocks, *(_links(drawn.get(key, "")) for key in ("links", "skips")))
    ends = {end for pair in (*drawing.links, *drawing.skips) for end in pair}
    if unknown := ends - {block.id for block in blocks}:
        raise ValueError(f"no block {', '.join(sorted(unknown))}")
    if values.get("published_weights"):
        values.setdefault("weights", "published")
    made = Card(name=name, citation=citation, drawing=drawing, **values)
    if made.weights not in ("checkpoint", "published", "none"):
        raise ValueError(f"weights is {made.weights!r}: checkpoint, published or none")
    if made.default_variant not in ("", *made.variants, *made.files):
        raise ValueError(f"default_variant is {made.default_variant!r}, which is not among the variants")
    return made


def _links(chains: str) -> Links:
    """Pairs of blocks from chains: `a > b > c; a > d`."""
    return tuple(pair for chain in chains.split(";") for pair in pairwise(map(str.strip, chain.split(">"))))


def architectures() -> list[str]:
    """All models, with and without weights, oldest paper first."""
    return list(cards())


def names() -> list[str]:
    """The baselines that can run: with weights that ship, can be fetched, or are not needed. Oldest paper first."""
    shipping = {each["baseline"] for each in shipped()}
    return [name for name, each in cards().items() if name in shipping or each.weights != "checkpoint"]


@cache
def shipped() -> tuple[dict[str, Any], ...]:
    """The descriptions of the checkpoints that come with PoseBoard, as their JSON files have them."""
    found = [json.loads(file.read_text()) for file in sorted(CHECKPOINTS.glob("*.json"))]
    return tuple(each for each in found if each.get("baseline") in cards())


def weights(name: str) -> list[dict[str, Any]]:
    """The files of weights of a baseline: variant, file, sha256, licence, claim (empty for none), and how to get it."""
    about = card(name)
    found = [
        {
            "variant": each["variant"],
            "file": each["file"],
            "sha256": each["sha256"],
            "licence": each["licence"],
            "claim": each.get("claim", {}),
            "how": "included with PoseBoard",
            "command": each.get("training", {}).get("command", ""),
        }
        for each in shipped()
        if each["baseline"] == name
    ]
    return found + [
        {
            "variant": variant,
            "file": each["file"],
            "sha256": each["sha256"],
            "licence": about.published_weights["licence"],
            "claim": {},
            "how": "downloaded from a package registry",
            "command": _fetching(name, variant),
        }
        for variant, each in about.files.items()
    ]


def _fetching(name: str, variant: str) -> str:
    return f"python -m baselines fetch {name} --variant {variant}"


@dataclass(frozen=True)
class RunnableVariant:
    """A variant that has weights, or needs none. `why_not` is empty where it can run."""

    baseline: str
    variant: str
    why_not: str = ""


def untrained(joints: Sequence[str], trained: Sequence[str]) -> str:
    """Why a network that was trained for some joints cannot run for others; empty when it can."""
    missing = [joint for joint in joints if joint not in trained]
    return f"it was not trained for {', '.join(missing)}" if missing else ""


def runnable(joints: Sequence[str], fetched: Path) -> list[RunnableVariant]:
    """Every variant with weights, and why it cannot run on a dataset of these joints; `fetched`: the folder of fetched
    weights.

    Raises nothing.
    """
    found = [
        RunnableVariant(each["baseline"], each["variant"], untrained(joints, each["joints"])) for each in shipped()
    ]
    for name, about in cards().items():
        unknown = [joint for joint in joints if about.joints and joint not in about.joints]
        why_not = f"it has no landmark for {', '.join(unknown)}" if unknown else ""
        for variant, each in about.files.items():
            here = (fetched / each["file"]).is_file()
            missing = f"its weights are not installed: {_fetching(name, variant)}"
            found.append(RunnableVariant(name, variant, why_not if here else missing))
        if about.weights == "none":
            found += [RunnableVariant(name, variant, why_not) for variant in about.variant_names]
    return found


@dataclass(frozen=True)
class Variant:
    """A size of a network, for one image of `input_size` (width, height); its costs are None until they are counted."""

    name: str
    input_size: tuple[int, int]
    parameters: int | None = None
    gmacs: float | None = None  # 1e9 multiply-accumulates


def variants(name: str, folder: Path | None = None) -> tuple[Variant, ...]:
    """The variants of a baseline, with what they cost if `baselines.run.counting` has counted it into the folder."""
    about = card(name)
    counted = counts(folder).get(name, {}) if folder else {}
    for variant, each in about.files.items():
        counted = {**counted, variant: (each["parameters"], each["gmacs"])}
    return tuple(
        Variant(variant, about.size(variant), *counted.get(variant, (None, None)))
        for variant in (*about.variants, *about.files)
    )


def counts(folder: Path) -> dict[str, dict[str, tuple[int, float]]]:
    """What the variants cost, as counted into this folder from the present models; empty until they have been."""
    try:
        found = json.loads((folder / COSTS).read_text())
        return dict(found["costs"]) if found["models"] == models_sha256() else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def models_sha256() -> str:
    """The digest of the source of all models."""
    digest = hashlib.sha256()
    for file in sorted(MODELS.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()
