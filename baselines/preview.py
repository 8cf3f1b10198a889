"""What a network sees: its heatmaps of one rendered person, joint by joint and stage by stage, as small pictures.

The person is a Mannequin of a public seed, so nothing of a hidden split is shown.
"""

from __future__ import annotations

import io
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from baselines.mannequins import generate
from baselines.protocol import Estimator
from baselines.run import crops
from baselines.run.images import read_image
from baselines.run.loading import load
from evaluator import load_dataset

SEED, IMAGES = 11, 12  # of the Mannequins among which the person is chosen
HEIGHT = 128  # of a picture, pixels
GAP = 4  # between the stages of a strip, pixels
QUALITY = 72  # of WebP
# a heatmap's colours from zero to its peak: the picture itself in grey, then violet, orange and pale yellow
STOPS = (0.0, 0.3, 0.65, 1.0)
COLOURS = ((20, 18, 40), (124, 46, 140), (238, 118, 70), (255, 246, 180))


@dataclass(frozen=True)
class Preview:
    """The crop, and for every joint a strip of its stages, side by side; each a WebP. `peaks` are the maxima of the
    maps, one per stage; `size` is that of one picture (width, height)."""

    crop: bytes
    size: tuple[int, int]
    stages: int
    joints: tuple[str, ...]
    peaks: tuple[tuple[float, ...], ...]
    strips: tuple[bytes, ...]

    @property
    def strip_width(self) -> int:
        return self.stages * (self.size[0] + GAP) - GAP


def render_with(
    name: str,
    dataset: str,
    *,
    variant: str | None = None,
    checkpoint: Path | None = None,
    checkpoints: Path | None = None,
) -> Preview | None:
    """As `render`, with a baseline that is loaded for it, on the CPU. Raises BaselineFailed."""
    made = load(name, dataset, variant=variant, checkpoint=checkpoint, checkpoints=checkpoints, device="cpu")
    return render(made, tuple(load_dataset(dataset).joints))


def render(estimator: Estimator, joints: tuple[str, ...]) -> Preview | None:
    """The person as the network sees it; None where the network predicts without heatmaps."""
    stages_of: Any = getattr(estimator, "stages", None)
    if stages_of is None:
        return None
    crop = person(estimator.input_size, estimator.padding)
    maps: NDArray[np.floating] = stages_of(np.array(crop)[None])[0]  # [stages, K, H', W']
    size = (round(crop.width * HEIGHT / crop.height), HEIGHT)
    small = crop.resize(size, Image.Resampling.LANCZOS)
    strips = tuple(as_webp(strip([drawn(small, stage[joint]) for stage in maps])) for joint in range(len(joints)))
    peaks = tuple(tuple(round(float(stage[joint].max()), 4) for stage in maps) for joint in range(len(joints)))
    return Preview(as_webp(small), size, len(maps), joints, peaks, strips)


def person(size: tuple[int, int], padding: float) -> Image.Image:
    """The crop of `size` (width, height) around the largest person whose joints are all visible."""
    with tempfile.TemporaryDirectory() as scratch:
        truth: dict[str, Any] = generate(Path(scratch), split="val", images=IMAGES, seed=SEED)
        whole = [each for each in truth["annotations"] if all(flag == 2 for flag in each["keypoints"][2::3])]
        chosen = max(whole or truth["annotations"], key=lambda each: each["area"])
        image = next(each for each in truth["images"] if each["id"] == chosen["image_id"])
        picture = read_image(Path(scratch) / "images" / image["file_name"])
    x, y, w, h = chosen["bbox"]
    return crops.warp(picture, crops.box_crop((x, y, w, h), size, padding), size)


def drawn(crop: Image.Image, heatmap: NDArray[np.floating]) -> Image.Image:
    """A heatmap [H', W'] over its crop: grey where it is zero, and as bright as its share of its own peak."""
    peak = max(float(heatmap.max()), 1e-9)
    share = np.clip(heatmap / peak, 0.0, 1.0)
    enlarged = Image.fromarray((share * 255).astype(np.uint8)).resize(crop.size, Image.Resampling.BICUBIC)
    level = np.asarray(enlarged, np.float64)[..., None] / 255  # [H, W, 1]
    colours = np.concatenate([np.interp(level, STOPS, [c[k] for c in COLOURS]) for k in range(3)], axis=2)
    grey = np.asarray(crop.convert("L"), np.float64)[..., None] * 0.55 + 30  # [H, W, 1]
    opacity = np.clip(level * 1.4, 0.0, 0.92)
    return Image.fromarray((grey * (1 - opacity) + colours * opacity).astype(np.uint8))


def strip(pictures: list[Image.Image]) -> Image.Image:
    """Pictures of one size side by side."""
    width, height = pictures[0].size
    whole = Image.new("RGB", (len(pictures) * (width + GAP) - GAP, height), (128, 128, 128))
    for index, picture in enumerate(pictures):
        whole.paste(picture, (index * (width + GAP), 0))
    return whole


def as_webp(picture: Image.Image) -> bytes:
    """The picture as the bytes of a WebP file."""
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=QUALITY, method=4)
    return buffer.getvalue()
