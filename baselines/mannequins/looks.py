"""What people wear: colours, patterns, cuts and hair."""

from dataclasses import dataclass

import numpy as np

from baselines.mannequins.canvas import Colour, shade

SKIN = ((255, 219, 190), (241, 194, 160), (224, 172, 132), (198, 140, 100), (161, 108, 72), (122, 79, 52), (88, 57, 40))
HAIR = ((38, 28, 26), (66, 44, 32), (104, 68, 40), (160, 106, 56), (208, 164, 96), (150, 64, 40), (170, 168, 170))
CLOTHES = (
    (206, 68, 62), (228, 118, 66), (240, 178, 72), (246, 214, 130), (122, 168, 92), (58, 128, 96), (70, 158, 160),
    (86, 140, 196), (56, 88, 150), (44, 54, 84), (126, 96, 164), (198, 118, 158), (236, 172, 178), (244, 240, 230),
    (190, 196, 204), (112, 120, 130), (54, 56, 64), (150, 108, 78), (214, 190, 154), (96, 62, 66),
)  # fmt: skip
WOOD = ((222, 184, 135), (205, 160, 108), (186, 134, 84))
PATTERNS = ("plain", "plain", "stripes", "pinstripes", "blocks", "dots", "number")


@dataclass(frozen=True)
class Look:
    """A person's skin, hair and clothes."""

    skin: Colour
    hair: Colour
    hair_style: str  # short long bun bald cap curly
    top: Colour
    top_detail: Colour
    pattern: str
    sleeve: float  # 0 none .. 2 down to the wrist
    bottom: Colour
    leg: float  # 0 none .. 2 down to the ankle
    skirt: float  # 0 for none, otherwise its length as a share of the thigh
    shoe: Colour
    wooden: bool


def draw_look(rng: np.random.Generator) -> Look:
    """A random look; one person in twelve is an artist's wooden mannequin."""
    if rng.random() < 1 / 12:
        wood = WOOD[rng.integers(len(WOOD))]
        return Look(wood, wood, "bald", wood, shade(wood, 0.8), "plain", 2.0, wood, 2.0, 0.0, shade(wood, 0.85), True)
    top, detail, bottom, shoe = (CLOTHES[i] for i in rng.choice(len(CLOTHES), size=4, replace=False))
    skirt = float(rng.uniform(0.55, 1.15)) if rng.random() < 0.2 else 0.0
    return Look(
        skin=shade(SKIN[rng.integers(len(SKIN))], rng.uniform(0.94, 1.04)),
        hair=HAIR[rng.choice(len(HAIR), p=[0.26, 0.22, 0.16, 0.12, 0.1, 0.08, 0.06])],
        hair_style=str(
            rng.choice(["short", "long", "bun", "bald", "cap", "curly"], p=[0.34, 0.2, 0.13, 0.07, 0.13, 0.13])
        ),
        top=top,
        top_detail=detail,
        pattern=PATTERNS[rng.integers(len(PATTERNS))],
        sleeve=float(rng.choice([0.0, 0.5, 0.8, 2.0], p=[0.14, 0.34, 0.12, 0.4])),
        bottom=top if skirt and rng.random() < 0.5 else bottom,
        leg=0.0 if skirt else float(rng.choice([0.55, 0.9, 2.0], p=[0.2, 0.12, 0.68])),
        skirt=skirt,
        shoe=shoe,
        wooden=False,
    )
