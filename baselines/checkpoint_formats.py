"""Public checkpoint formats: from the names that other implementations give their weights to ours.

A converter takes tensors by name and returns them under our names. Nothing is dropped silently: a name that it does
not know stays as it is, and `checkpoints.fill` then refuses it. Skips that an implementation registers but never uses
are the exception.
"""

import re
from collections.abc import Callable, Mapping

from torch import Tensor

from baselines.checkpoints import CheckpointError

_WRAPPERS = re.compile(r"^(?:model\.)?(?:module\.)?")  # of several devices, or of a trainer
_BEARPAW_PARTS = {"0": "side", "1": "down", "2": "up", "3": "inner"}
_PRINCETON_PARTS = {"up1": "side", "low1": "down", "low2": "inner", "low3": "up"}


def without_prefix(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names without the `module.`, `model.` or `model.module.` that wrappers put in front."""
    return _renamed(weights, lambda name: _WRAPPERS.sub("", name))


def plain_name(name: str) -> str:
    """A name without the wrapper's prefix, and without those that the `mmpose` toolkit gives trunk and head."""
    return re.sub(r"^(backbone|head|keypoint_head)\.", "", _WRAPPERS.sub("", name))


def hrnet(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """HRNet as its authors name it, or as `mmpose` does (`backbone.`, and `head.` before the last layer)."""
    return _renamed(weights, plain_name)


def simple_baseline(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """SimpleBaseline as its authors name it, as `mmpose` does, or as AlphaPose's release does (`preact.`)."""
    return _renamed(weights, lambda name: re.sub(r"^preact\.", "", plain_name(name)))


def _renamed(weights: Mapping[str, Tensor], named: Callable[[str], str]) -> dict[str, Tensor]:
    """The weights under other names. Raises CheckpointError when two come to have the same."""
    found = {named(name): value for name, value in weights.items()}
    if len(found) < len(weights):
        raise CheckpointError("mismatch", "some weights are there twice, with and without a prefix")
    return found


def cpm_caffe(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convolutional Pose Machines by the layer names of its authors' network definition.

    Stage 2 owns the trunk that all later stages share (`conv1_stage2` to `conv3_stage2`) and names its own 5x5 layer
    `conv4_stage2`; in later stages that layer is `conv1_stage3` and so on.
    """

    def named(name: str) -> str:
        match = re.match(r"(M?)conv(\d)_stage(\d+)\.(weight|bias)$", name)
        if match is None:
            return name
        later, layer, stage, kind = match[1], int(match[2]), int(match[3]), match[4]
        if later and stage >= 2:
            return f"later.{stage - 2}.conv{layer}.{kind}"
        if not later and stage == 1:
            return f"first.trunk.conv{layer}.{kind}" if layer <= 4 else f"first.conv{layer}.{kind}"
        if not later and stage == 2:
            return f"trunk.conv{layer}.{kind}" if layer <= 3 else f"later.0.features.{kind}" if layer == 4 else name
        return f"later.{stage - 2}.features.{kind}" if not later and layer == 1 else name

    return _renamed(without_prefix(weights), named)


def hourglass_bearpaw(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Stacked Hourglass as the `pytorch-pose` toolkit names it, for `build(..., early=True)`.

    Where its hourglasses have one residual block in every place, ours are the place itself; else they are numbered.
    """
    weights = without_prefix(weights)
    levels = 1 + max((int(m[1]) for name in weights if (m := re.match(r"hg\.\d+\.hg\.(\d+)\.", name))), default=0)
    several = any(re.match(r"hg\.0\.hg\.0\.0\.1\.", name) for name in weights)

    def block(number: str) -> str:
        return f"{number}." if several else ""

    def named(name: str) -> str:
        if match := re.match(r"hg\.(\d+)\.hg\.(\d+)\.(\d)\.(\d+)\.(.+)", name):
            stack, level, part, number, rest = match.groups()
            inner = "inner." * (levels - 1 - int(level))
            where = f"hourglasses.{stack}.{inner}{_BEARPAW_PARTS.get(part, part)}"
            return f"{where}.{block(number)}{_residual(rest)}"
        name = re.sub(r"^(conv|bn)1\.", lambda m: {"conv": "conv.", "bn": "norm."}[m[1]], name)
        if match := re.match(r"layer(\d)\.0\.(.+)", name):
            return f"res{match[1]}.{_residual(match[2])}"
        if match := re.match(r"res\.(\d+)\.(\d+)\.(.+)", name):
            return f"features.{match[1]}.0.{block(match[2])}{_residual(match[3])}"
        if match := re.match(r"fc\.(\d+)\.([01])\.(.+)", name):
            return f"features.{match[1]}.{1 + int(match[2])}.{match[3]}"
        for theirs, ours in (("score_", "from_heatmaps"), ("fc_", "from_features"), ("score", "heatmaps")):
            name = re.sub(rf"^{theirs}\.", f"{ours}.", name)
        return name

    return _renamed(weights, named)


def hourglass_princeton(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Stacked Hourglass as the authors' PyTorch form names it. It registers a skip in every block, used or not."""
    weights = without_prefix(weights)

    def named(name: str) -> str:
        if match := re.match(r"hgs\.(\d+)\.0\.((?:low2\.)*)(up1|low1|low2|low3)\.(.+)", name):
            stack, deeper, part, rest = match.groups()
            return f"hourglasses.{stack}.{deeper.replace('low2', 'inner')}{_PRINCETON_PARTS[part]}.{_residual(rest)}"
        if match := re.match(r"pre\.0\.(conv|bn)\.(.+)", name):
            return f"{'conv' if match[1] == 'conv' else 'norm'}.{match[2]}"
        if match := re.match(r"pre\.([134])\.(.+)", name):
            return f"res{ {'1': 1, '3': 2, '4': 3}[match[1]] }.{_residual(match[2])}"
        if match := re.match(r"features\.(\d+)\.0\.(.+)", name):
            return f"features.{match[1]}.0.{_residual(match[2])}"
        if match := re.match(r"features\.(\d+)\.1\.(conv|bn)\.(.+)", name):
            return f"features.{match[1]}.{1 if match[2] == 'conv' else 2}.{match[3]}"
        if match := re.match(r"outs\.(\d+)\.conv\.(.+)", name):
            return f"heatmaps.{match[1]}.{match[2]}"
        if match := re.match(r"merge_(features|preds)\.(\d+)\.conv\.conv\.(.+)", name):
            return f"from_{'features' if match[1] == 'features' else 'heatmaps'}.{match[2]}.{match[3]}"
        return name

    used = {name: value for name, value in weights.items() if not _unused_skip(name, weights)}
    return _renamed(used, named)


def _residual(rest: str) -> str:
    """Names inside a residual block."""
    rest = re.sub(r"^bn([123])\.", r"norm\1.", rest)
    rest = re.sub(r"^(conv[123])\.conv\.", r"\1.", rest)
    return re.sub(r"^(downsample\.0|skip_layer\.conv)\.", "skip.", rest)


def _unused_skip(name: str, weights: Mapping[str, Tensor]) -> bool:
    """A registered skip of a block that keeps its number of channels is not used."""
    if ".skip_layer.conv." not in name:
        return False
    weight = weights.get(re.sub(r"\.bias$", ".weight", name))
    return weight is not None and weight.shape[0] == weight.shape[1]


CONVERTERS: dict[str, Callable[[Mapping[str, Tensor]], dict[str, Tensor]]] = {
    "hrnet": hrnet,
    "simple_baseline": simple_baseline,
    "alphapose_simple": simple_baseline,
    "alphapose": without_prefix,
    "cpm_caffe": cpm_caffe,
    "pytorch_pose": hourglass_bearpaw,
    "princeton": hourglass_princeton,
}
