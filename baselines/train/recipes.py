"""How a model is trained: its card's `training`, with the recipe of its publication (or of the authors' release), and
that of its narrow variant, which trains within minutes on one CPU core.

A recipe is data; the objective is the one hook that makes models differ. Where a paper gives no figure, the authors'
release does; numbers of epochs that neither gives, and the rates of the oldest, are ours, as is the crops' `padding`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import cos, pi

from baselines import registry
from baselines.protocol import BaselineFailed
from baselines.train.data import Augmentation
from baselines.train.objectives import Beliefs, Heatmaps, Objective, Parts, Regional, Windows

OPTIMISERS = ("adam", "adamw", "rmsprop", "sgd")
SCHEDULES = ("steps", "one_cycle")


@dataclass(frozen=True)
class Recipe:
    """Everything except the data that decides the weights. Rotation is in degrees; see Augmentation."""

    epochs: int
    batch: int
    optimiser: str
    learning_rate: float
    weight_decay: float = 0.0
    momentum: float = 0.9  # of sgd
    schedule: str = "steps"
    drops: tuple[int, ...] = ()  # epochs after which the rate is divided by 10
    clip: float = 0.0  # largest norm of the gradient; 0 for no bound
    loss: str = "mse"
    sigma: float = 1.0  # of the Gaussians, heatmap pixels
    padding: float = 1.25
    rotation: float = 30.0
    scale: float = 0.25
    shift: float = 0.0
    colour: float = 0.0
    half_body: float = 0.0
    atomic_poses: int = 0  # of RMPE's pose-guided proposals; with 0 people are cut out by their annotated boxes
    validation: float = 0.1  # share of the training images that choose the epoch
    seed: int = 0

    @property
    def augmentation(self) -> Augmentation:
        """How far people are changed."""
        return Augmentation(self.rotation, self.scale, self.shift, self.colour, self.half_body)

    def rate(self, done: float, epoch: int) -> float:
        """The learning rate after the share `done` of all steps, in `epoch` (from 0).

        `steps`: divided by 10 after the epochs of `drops`. `one_cycle`: by half cosines from 1/25 of the rate to the
        rate at 15% of the steps, and down to zero (Smith and Topin 2019, arXiv 1708.07120).
        """
        if self.schedule == "steps":
            return self.learning_rate * 0.1 ** sum(epoch >= drop for drop in self.drops)
        if done < RISE:
            return self.learning_rate * (1 / 25 + (1 - 1 / 25) * _half_cosine(done / RISE))
        return self.learning_rate * (1 - _half_cosine((done - RISE) / (1 - RISE)))


RISE = 0.15  # of the steps of `one_cycle`


def _half_cosine(share: float) -> float:
    """From 0 to 1."""
    return (1 - cos(pi * min(share, 1.0))) / 2


@dataclass(frozen=True)
class Training:
    """How a model is trained. `objective` is made from a recipe and the size (width, height) of the input; `slower`:
    the share of the learning rate for weights whose names begin with a key."""

    objective: Callable[[Recipe, tuple[int, int]], Objective]
    published: Recipe
    narrow: Recipe
    slower: Mapping[str, float] = field(default_factory=dict)

    def recipe(self, variant: str) -> Recipe:
        """The defaults for a variant."""
        return self.narrow if variant == "narrow" else self.published


def _heatmaps(recipe: Recipe, _: tuple[int, int]) -> Heatmaps:
    return Heatmaps(recipe.loss, recipe.sigma)


def _windows(recipe: Recipe, _: tuple[int, int]) -> Windows:
    """As published, or with Gaussian targets, from which more is learned on a small budget."""
    return Windows(radius=3.0, sigma=0.0 if recipe.schedule == "steps" else recipe.sigma)


def _parts(recipe: Recipe, size: tuple[int, int]) -> Parts:
    """The radius is 17 pixels for a person 340 pixels tall (the authors' release), scaled to the person who fills the
    padded crop; at least a stride, so that the cells around a part belong to it. On a small budget these cells weigh
    twice, and offsets and pairs more than the release's 0.05."""
    radius = max(17 * size[1] / recipe.padding / 340, 8.0)
    return Parts(radius) if recipe.schedule == "steps" else Parts(radius, refinement=0.3, pairwise=0.1, balance=2.0)


# The recipe of all narrow variants; a card says what differs.
NARROW = Recipe(
    epochs=3, batch=16, optimiser="adamw", learning_rate=4e-3, weight_decay=1e-4, schedule="one_cycle",
    loss="cross_entropy", rotation=20, scale=0.15, shift=0.02, colour=0.25, validation=0.05,
)  # fmt: skip

# What a card's `objective` may name.
OBJECTIVES: dict[str, Callable[[Recipe, tuple[int, int]], Objective]] = {
    "heatmaps": _heatmaps,
    "windows": _windows,
    "parts": _parts,
    "beliefs": lambda recipe, _: Beliefs(recipe.loss, recipe.sigma),
    "regional": lambda recipe, _: Regional(recipe.loss, recipe.sigma),
}


def trainable() -> list[str]:
    """The models whose cards say how they are trained, oldest paper first."""
    return [name for name, card in registry.cards().items() if card.training]


def training_of(name: str) -> Training:
    """How a model is trained. Raises BaselineFailed for one that is not."""
    how = registry.card(name).training
    if not how:
        raise BaselineFailed("not_trainable", f"{name} comes with its weights and is not trained here")
    return Training(
        OBJECTIVES[how["objective"]],
        Recipe(**how["published"]),
        replace(NARROW, **how["narrow"]),
        how.get("slower", {}),
    )
