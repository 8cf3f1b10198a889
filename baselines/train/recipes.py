"""How each architecture is trained: what its publication (or the authors' release) says, and what its narrow variant
takes to learn within minutes on one CPU core.

A recipe is data; the objective of an architecture is the one hook that makes it differ (`Architecture.objective`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import cos, pi
from typing import Any

from baselines.estimators.protocol import BaselineFailed
from baselines.train.data import Augmentation
from baselines.train.objectives import Beliefs, Heatmaps, Objective, Parts, Regional, Windows

OPTIMISERS = ("adam", "adamw", "rmsprop", "sgd")
SCHEDULES = ("steps", "one_cycle")


@dataclass(frozen=True)
class Recipe:
    """Everything that decides how a network comes out, but the data. Rotation in degrees; see Augmentation."""

    epochs: int
    batch: int
    optimiser: str
    learning_rate: float
    weight_decay: float = 0.0
    momentum: float = 0.9  # of sgd
    schedule: str = "steps"
    drops: tuple[int, ...] = ()  # after these epochs the rate is divided by 10
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
        """The learning rate when the share `done` of all steps lies behind, in `epoch` (from 0).

        `steps`: divided by 10 after the epochs of `drops`. `one_cycle`: by half cosines from 1/25 of the rate to the
        rate at 15 % of the steps, and down to nothing (Smith and Topin 2019, arXiv 1708.07120).
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
class Architecture:
    """How an architecture is trained. `objective` is made from a recipe and the size (width, height) of the input;
    `slower` gives the weights whose names begin so a share of the learning rate."""

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
    """As published, or by degrees, from which more is learned on a small budget."""
    return Windows(radius=3.0, sigma=0.0 if recipe.schedule == "steps" else recipe.sigma)


def _parts(recipe: Recipe, size: tuple[int, int]) -> Parts:
    """17 pixels where a person stands 340 pixels tall (the authors' release); here one fills the padded crop. Never
    less than the stride, so that the places around a part know it. On a small budget the maps are helped more: places
    of a part weigh twice, offsets and pairs more than the 0.05 of the release."""
    radius = max(17 * size[1] / recipe.padding / 340, 8.0)
    return Parts(radius) if recipe.schedule == "steps" else Parts(radius, refinement=0.3, pairwise=0.1, balance=2.0)


# Where a paper gives no figure, the authors' release does; numbers of epochs that neither gives, and the rates of the
# oldest, are ours, as is `padding`, of our crops.
_HOURGLASS = Recipe(  # section 3.2; MPII has one scale a person, 200 pixels of body and a quarter more
    epochs=100, batch=6, optimiser="rmsprop", learning_rate=2.5e-4, sigma=1.0, rotation=30, scale=0.25
)  # fmt: skip
_SMALL = Recipe(
    epochs=3, batch=16, optimiser="adamw", learning_rate=4e-3, weight_decay=1e-4, schedule="one_cycle",
    loss="cross_entropy", rotation=20, scale=0.15, shift=0.02, colour=0.25, validation=0.05,
)  # fmt: skip


def _hourglass(**changes: Any) -> Recipe:
    """Of those that came after the hourglass, and changed its network."""
    later = {"batch": 16, "epochs": 200, "drops": (150, 170), "colour": 0.2}
    return Recipe(**{**vars(_HOURGLASS), **later, **changes})


def _small(**changes: Any) -> Recipe:
    return Recipe(**{**vars(_SMALL), **changes})


ARCHITECTURES: dict[str, Architecture] = {
    "jain2014": Architecture(  # section 3.1: binary cross-entropy on windows
        _windows,
        Recipe(
            epochs=60, batch=16, optimiser="sgd", learning_rate=1e-2, weight_decay=1e-4, drops=(40, 55),
            rotation=15, scale=0.15,
        ),
        _SMALL,
    ),
    # section 4.2 and the release: rotation 40, scale 0.7 to 1.3. Its rate of 8e-5 is for half the sum over 15 maps of
    # 46 x 46, ours is a mean: 8e-5 * 15 * 46 * 46 / 2 = 1.27, and the weight decay is so much smaller
    "cpm": Architecture(
        lambda recipe, _: Beliefs(recipe.loss, recipe.sigma),
        Recipe(
            epochs=200, batch=16, optimiser="sgd", learning_rate=1.27, weight_decay=3e-8, drops=(120, 160),
            sigma=7 / 8, rotation=40, scale=0.3,
        ),
        _small(learning_rate=2e-3, clip=1.0, sigma=0.75),
    ),
    "deepercut": Architecture(  # section 3; scale 0.85 to 1.15 and mirroring; people 340 pixels tall of 688
        _parts,
        Recipe(
            epochs=60, batch=1, optimiser="sgd", learning_rate=5e-3, weight_decay=1e-4, drops=(40, 55),
            padding=2.0, rotation=0, scale=0.15,
        ),
        _small(epochs=9, padding=1.4, scale=0.2, shift=0.15),
    ),
    "stacked_hourglass": Architecture(_heatmaps, _HOURGLASS, _small(epochs=4)),
    "multi_context_attention": Architecture(  # section 6: as the hourglass
        _heatmaps,
        _hourglass(),
        _SMALL,
    ),
    "pyranet": Architecture(  # section 5.1: RMSprop, 7e-4, divided by 10 at epochs 150 and 170
        _heatmaps,
        _hourglass(learning_rate=7e-4),
        _SMALL,
    ),
    # the release: Adam, 1e-3, epochs 90 and 120; boxes 30 % larger (section 4), drawn as a detector gives them (section
    # 3.3; the number of atomic poses is ours)
    "rmpe": Architecture(
        lambda recipe, _: Regional(recipe.loss, recipe.sigma),
        Recipe(
            epochs=200, batch=32, optimiser="adam", learning_rate=1e-3, drops=(90, 120), sigma=2.0, padding=1.3,
            rotation=40, scale=0.3, half_body=0.3, atomic_poses=20,
        ),
        _small(padding=1.3, clip=1.0),
        slower={"transformer.": 0.1},  # at the full rate it runs away with the person, and nothing is learned
    ),
    "simple_baseline": Architecture(  # section 3.1
        _heatmaps,
        Recipe(
            epochs=140, batch=128, optimiser="adam", learning_rate=1e-3, drops=(90, 120), sigma=2.0,
            rotation=40, scale=0.3,
        ),
        _small(epochs=9),
    ),
    "hrnet": Architecture(  # section 4.1
        _heatmaps,
        Recipe(
            epochs=210, batch=32, optimiser="adam", learning_rate=1e-3, drops=(170, 200), sigma=2.0,
            rotation=45, scale=0.35, half_body=0.3,
        ),
        _small(epochs=6),
    ),
}  # fmt: skip


def architecture(name: str) -> Architecture:
    """How an architecture is trained. Raises BaselineFailed for one that comes with its weights."""
    from baselines import module

    module(name)  # says which names there are
    if name not in ARCHITECTURES:
        raise BaselineFailed("not_trainable", f"{name} comes with its weights and is not trained here")
    return ARCHITECTURES[name]
