"""Public checkpoint formats: from the names that other implementations give their weights to ours.

A converter takes tensors by name and returns them under our names. It knows every name of its format: one that it does
not know, even if it is ours, raises CheckpointError, so that a file with an altered name is never accepted. Skips that
an implementation registers but never uses are left out, once all of them have been found with the right shapes.

Formats are not parts of models, whose files know nothing of checkpoints: mmpose names the weights of two models by the
same rule, and the Stacked Hourglass exists in the names of two toolkits. How images are prepared for a format differs
from model to model, and is on the model's card.
"""

import re
from collections.abc import Callable, Iterable, Mapping

from torch import Tensor

from baselines.weights.checkpoints import CheckpointError

_NUMBER = "(0|[1-9][0-9]*)"
_WRAPPERS = re.compile(r"(?:(?:model|module|_orig_mod)\.)*")  # a trainer, several devices, a compiled network
_HEADS = ("deconv_layers", "final_layer")  # what top-down networks have besides their trunk
_TOOLKIT_PLACES = {"0": "side", "1": "down", "2": "up", "3": "inner"}
_AUTHORS_PLACES = {"up1": "side", "low1": "down", "low2": "inner", "low3": "up"}
_TOOLKIT_UNIT = {"bn1": "norm1", "bn2": "norm2", "bn3": "norm3", "conv1": "conv1", "conv2": "conv2", "conv3": "conv3",
                 "downsample.0": "skip"}  # fmt: skip
_AUTHORS_UNIT = {"bn1": "norm1", "bn2": "norm2", "bn3": "norm3", "conv1.conv": "conv1", "conv2.conv": "conv2",
                 "conv3.conv": "conv3", "skip_layer.conv": "skip"}  # fmt: skip


def wrapper(names: Iterable[str]) -> str:
    """The prefix that wrappers put in front of all names, such as `module.` or `model.module.`; empty for none."""
    prefixes = {re.match(_WRAPPERS, name)[0] for name in names}  # type: ignore[index]  # the pattern matches nothing, too
    return prefixes.pop() if len(prefixes) == 1 else ""


def without_prefix(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights without the prefix that wrappers have put in front of all of them."""
    prefix = wrapper(weights)
    return {name.removeprefix(prefix): value for name, value in weights.items()}


def mmpose_name(name: str) -> str | None:
    """A name of the `mmpose` toolkit without `backbone.` or `head.` (once `keypoint_head.`); None where it has none."""
    if match := re.fullmatch(r"backbone\.(.+)", name):
        return None if match[1].startswith(_HEADS) else match[1]
    match = re.fullmatch(r"(?:keypoint_)?head\.(.+)", name)
    return match[1] if match and match[1].startswith(_HEADS) else None


def mmpose(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """HRNet or SimpleBaseline as the `mmpose` toolkit names them."""
    heads = {name.split(".")[0] for name in without_prefix(weights)} - {"backbone"}
    if len(heads) > 1:
        raise CheckpointError("mismatch", f"the head has several names: {', '.join(sorted(heads))}")
    return _renamed(weights, mmpose_name)


def alphapose_simple(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """SimpleBaseline as AlphaPose's release names it: the ResNet is `preact`."""

    def named(name: str) -> str | None:
        if match := re.fullmatch(r"preact\.(.+)", name):
            return None if match[1].startswith(_HEADS) else match[1]
        return name if name.startswith(_HEADS) else None

    return _renamed(weights, named)


def _renamed(weights: Mapping[str, Tensor], named: Callable[[str], str | None]) -> dict[str, Tensor]:
    """The weights, once unwrapped, under other names. Raises CheckpointError for a name that has none."""
    weights = without_prefix(weights)
    found = {name: named(name) for name in weights}
    unknown = sorted(name for name, ours in found.items() if ours is None)
    if unknown:
        more = f", and {len(unknown) - 4} more" if len(unknown) > 4 else ""
        raise CheckpointError("mismatch", f"this format has no weights {', '.join(unknown[:4])}{more}")
    return {str(found[name]): value for name, value in weights.items()}


def cpm_caffe(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convolutional Pose Machines by the layer names of its authors' network definition.

    Stage 2 owns the trunk that all later stages share (`conv1_stage2` to `conv3_stage2`) and names its own 5x5 layer
    `conv4_stage2`; in later stages that layer is `conv1_stage3` and so on.
    """

    def named(name: str) -> str | None:
        match = re.fullmatch(r"(M?)conv([1-7])_stage([1-9][0-9]*)\.(weight|bias)", name)
        if match is None:
            return None
        later, layer, stage, kind = match[1], int(match[2]), int(match[3]), match[4]
        if later:
            return f"later.{stage - 2}.conv{layer}.{kind}" if stage >= 2 else None
        if stage == 1:
            return f"first.trunk.conv{layer}.{kind}" if layer <= 4 else f"first.conv{layer}.{kind}"
        if stage == 2 and layer <= 3:
            return f"trunk.conv{layer}.{kind}"
        return f"later.{stage - 2}.features.{kind}" if layer == (4 if stage == 2 else 1) else None

    return _renamed(weights, named)


def hourglass_toolkit(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Stacked Hourglass as the `pytorch-pose` toolkit names it.

    Where its hourglasses have one residual unit in every place, that unit is our place itself; otherwise units are
    numbered.
    """
    plain = without_prefix(weights)
    levels = 1 + max((int(m[1]) for name in plain if (m := re.match(r"hg\.\d+\.hg\.(\d+)\.", name))), default=0)
    several = any(re.match(r"hg\.0\.hg\.0\.0\.1\.", name) for name in plain)

    def unit(place: str, number: str, layer: str) -> str | None:
        ours = _TOOLKIT_UNIT.get(layer)
        if ours is None or (number != "0" and not several):
            return None
        return f"{place}.{number}.{ours}" if several else f"{place}.{ours}"

    def named(path: str) -> str | None:
        if match := re.fullmatch(rf"hg\.{_NUMBER}\.hg\.{_NUMBER}\.([0-3])\.{_NUMBER}\.(.+)", path):
            stack, level, place, number, layer = match.groups()
            if int(level) >= levels or (place == "3" and level != "0"):
                return None
            inner = "inner." * (levels - 1 - int(level))
            return unit(f"hourglasses.{stack}.{inner}{_TOOLKIT_PLACES[place]}", number, layer)
        if match := re.fullmatch(r"layer([123])\.0\.(.+)", path):
            layer = _TOOLKIT_UNIT.get(match[2])
            return layer and f"res{match[1]}.{layer}"
        if match := re.fullmatch(rf"res\.{_NUMBER}\.{_NUMBER}\.(.+)", path):
            return unit(f"features.{match[1]}.0", match[2], match[3])
        if match := re.fullmatch(rf"fc\.{_NUMBER}\.([01])", path):
            return f"features.{match[1]}.{1 + int(match[2])}"
        if match := re.fullmatch(rf"(score|score_|fc_)\.{_NUMBER}", path):
            ours = {"score": "heatmaps", "score_": "from_heatmaps", "fc_": "from_features"}[match[1]]
            return f"{ours}.{match[2]}"
        return {"conv1": "conv", "bn1": "norm"}.get(path)

    return _renamed(weights, _by_layer(named))


def hourglass_authors(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Stacked Hourglass as the authors' PyTorch implementation names it, which registers a skip in every unit."""
    plain = without_prefix(weights)
    levels = 1 + max((name.count("low2.") for name in plain if re.match(r"hgs\.0\.0\.(low2\.)*up1\.", name)), default=0)

    def named(path: str) -> str | None:
        if match := re.fullmatch(rf"hgs\.{_NUMBER}\.0\.((?:low2\.)*)(up1|low1|low2|low3)\.(.+)", path):
            stack, deeper, place, layer = match.groups()
            ours, depth = _AUTHORS_UNIT.get(layer), deeper.count("low2.")
            if ours is None or depth >= levels or (place == "low2" and depth < levels - 1):
                return None
            return f"hourglasses.{stack}.{'inner.' * depth}{_AUTHORS_PLACES[place]}.{ours}"
        if match := re.fullmatch(r"(pre\.[134]|features\.[0-9]+\.0)\.(.+)", path):
            layer = _AUTHORS_UNIT.get(match[2])
            place = {"pre.1": "res1", "pre.3": "res2", "pre.4": "res3"}.get(match[1], match[1])
            return layer and f"{place}.{layer}"
        if match := re.fullmatch(rf"features\.{_NUMBER}\.1\.(conv|bn)", path):
            return f"features.{match[1]}.{1 if match[2] == 'conv' else 2}"
        if match := re.fullmatch(rf"outs\.{_NUMBER}\.conv", path):
            return f"heatmaps.{match[1]}"
        if match := re.fullmatch(rf"merge_(features|preds)\.{_NUMBER}\.conv\.conv", path):
            return f"from_{'features' if match[1] == 'features' else 'heatmaps'}.{match[2]}"
        return {"pre.0.conv": "conv", "pre.0.bn": "norm"}.get(path)

    unused = _unused_skips(plain)
    return _renamed({name: value for name, value in plain.items() if name not in unused}, _by_layer(named))


def _by_layer(named: Callable[[str], str | None]) -> Callable[[str], str | None]:
    """A naming of weights from one of layers: the part after the last dot does not change."""

    def whole(name: str) -> str | None:
        path, _, kind = name.rpartition(".")
        ours = named(path)
        return ours and f"{ours}.{kind}"

    return whole


def _unused_skips(weights: Mapping[str, Tensor]) -> set[str]:
    """Names of the skips of units that keep their number of channels: registered, but not used.

    Either all of them are present with the right shapes, or none is. Raises CheckpointError.
    """
    unused, present = set(), set()
    for name, value in weights.items():
        match = re.fullmatch(r"(.+)\.conv1\.conv\.weight", name)
        last = weights.get(f"{match[1]}.conv3.conv.weight") if match else None
        if match is None or last is None or len(value.shape) < 2 or value.shape[1] != last.shape[0]:
            continue
        channels, skip = last.shape[0], f"{match[1]}.skip_layer.conv"
        for kind, shape in (("weight", (channels, channels, 1, 1)), ("bias", (channels,))):
            found = weights.get(f"{skip}.{kind}")
            unused.add(f"{skip}.{kind}")
            if found is not None and tuple(found.shape) != shape:
                raise CheckpointError(
                    "mismatch", f"{skip}.{kind} has the shape {list(found.shape)}, expected {list(shape)}"
                )
            present |= {f"{skip}.{kind}"} if found is not None else set()
    if present and present != unused:
        raise CheckpointError("mismatch", f"missing {sorted(unused - present)[0]}, which other units have")
    return unused


CONVERTERS: dict[str, Callable[[Mapping[str, Tensor]], dict[str, Tensor]]] = {
    "hrnet": without_prefix,  # our names are the authors' own
    "simple_baseline": without_prefix,
    "mmpose": mmpose,
    "alphapose_simple": alphapose_simple,
    "alphapose": without_prefix,
    "cpm_caffe": cpm_caffe,
    "pytorch_pose": hourglass_toolkit,
    "princeton": hourglass_authors,
}
