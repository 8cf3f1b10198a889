"""Which network a public checkpoint is for, told by the names and shapes of its weights alone.

For every format a function recognises the names and reads the network's arguments from the shapes, or returns None. The
format's converter then gives the weights our names (`formats`, which says why formats are not parts of models).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from baselines import registry
from baselines.models.blocks_resnet import DEPTHS
from baselines.weights import formats
from baselines.weights.checkpoints import CheckpointError

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Recognised:
    """A network: the baseline, its variant (a listed one, otherwise one named by its sizes), the arguments of build().

    `form` says whose names its weights have: a key of formats.CONVERTERS, and of the card's `public_forms`.
    """

    family: str
    variant: str
    num_joints: int
    arguments: dict[str, Any]
    form: str

    def convert(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights under our names."""
        return formats.CONVERTERS[self.form](weights)

    def build(self) -> nn.Module:
        """The network with fresh weights."""
        made: nn.Module = registry.module(self.family).build(self.num_joints, **self.arguments)
        return made


def recognise(shapes: Shapes) -> Recognised:
    """The network of a checkpoint. Raises CheckpointError: `unknown_format`, or `mismatch` for one with an odd name."""
    prefix = formats.wrapper(shapes)
    plain = {name.removeprefix(prefix): tuple(shape) for name, shape in shapes.items()}
    for known in (_mmpose, _hrnet, _fastpose, _simple_baseline, _cpm, _hourglass_toolkit, _hourglass_authors):
        try:
            if (found := known(plain)) is not None:
                return found
        except (KeyError, IndexError, ValueError) as error:
            what = known.__name__.strip("_").replace("_", " ")
            if isinstance(error, CheckpointError):
                raise
            raise CheckpointError("mismatch", f"looks like {what}, but {error} is missing or misshapen") from error
    first = ", ".join(list(shapes)[:3])
    raise CheckpointError("unknown_format", f"these names belong to no network that is known here: {first} ...")


def shapes_of(weights: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """The shape of every weight, by name."""
    return {name: tuple(value.shape) for name, value in weights.items()}


def _count(shapes: Shapes, pattern: str) -> int:
    """1 + the largest number that the pattern's group finds; 0 when it finds none. Raises CheckpointError for more than
    there are weights, which would otherwise be built."""
    found = 1 + max((int(match[1]) for name in shapes if (match := re.match(pattern, name))), default=-1)
    if found > len(shapes):
        raise CheckpointError("mismatch", f"numbers go up to {found - 1}, but there are {len(shapes)} weights")
    return found


def _variant(family: str, arguments: dict[str, Any], num_joints: int, otherwise: str) -> str:
    """The listed variant with these arguments and joints, or `otherwise` where there is none."""
    card = registry.card(family)
    for name, settings in card.variants.items():
        if card.arguments(name) == arguments and settings.get("joints", num_joints) == num_joints:
            return str(name)
    return otherwise


def _mmpose(shapes: Shapes) -> Recognised | None:
    """HRNet or SimpleBaseline in the names of the `mmpose` toolkit."""
    if not any(name.startswith("backbone.") for name in shapes):
        return None
    named = {formats.mmpose_name(name): shape for name, shape in shapes.items()}
    plain = {name: shape for name, shape in named.items() if name is not None}
    found = _hrnet(plain) or _simple_baseline(plain)
    return None if found is None else replace(found, form="mmpose")


def _hrnet(shapes: Shapes) -> Recognised | None:
    if "transition1.0.0.weight" not in shapes:
        return None
    width = shapes["transition1.0.0.weight"][0]
    num_joints, _, kernel, _ = shapes["final_layer.weight"]
    modules = tuple(_count(shapes, rf"stage{stage}\.(\d+)\.") for stage in (2, 3, 4))
    depth = _count(shapes, r"stage2\.0\.branches\.0\.(\d+)\.")
    usual = {"modules": (1, 4, 3), "depth": 4, "kernel": 1, "stem": 64, "bottlenecks": 4}
    bottlenecks = _count(shapes, r"layer1\.(\d+)\.")
    stem = shapes["conv1.weight"][0]
    given = {"modules": modules, "depth": depth, "kernel": kernel, "stem": stem, "bottlenecks": bottlenecks}
    arguments = {"width": width, **{name: value for name, value in given.items() if value != usual[name]}}
    variant = _variant("hrnet", arguments, num_joints, f"w{width}")
    return Recognised("hrnet", variant, num_joints, arguments, "hrnet")


def _resnet(shapes: Shapes, prefix: str = "") -> dict[str, Any]:
    """Depth and width of the ResNet at `prefix`."""
    kind = "bottleneck" if f"{prefix}layer1.0.conv3.weight" in shapes else "basic"
    counts = tuple(_count(shapes, rf"{re.escape(prefix)}layer{layer}\.(\d+)\.") for layer in (1, 2, 3, 4))
    depths = [depth for depth, known in DEPTHS.items() if known == (kind, counts)]
    if not depths:
        raise CheckpointError("mismatch", f"no ResNet has {counts} {kind} blocks")
    width = shapes[f"{prefix}conv1.weight"][0]
    return {"depth": depths[0], **({"width": width} if width != 64 else {})}


def _fastpose(shapes: Shapes) -> Recognised | None:
    if "duc1.conv.weight" not in shapes:
        return None
    arguments = _resnet(shapes, "preact.")
    shuffled = shapes["duc1.conv.weight"][0], shapes["duc2.conv.weight"][0]
    if shuffled != (1024, 512):
        arguments["shuffled"] = shuffled
    num_joints = shapes["conv_out.weight"][0]
    variant = _variant("rmpe", arguments, num_joints, f"fastpose-r{arguments['depth']}")
    return Recognised("rmpe", variant, num_joints, arguments, "alphapose")


def _simple_baseline(shapes: Shapes) -> Recognised | None:
    layers = sorted(
        int(match[1])
        for name, shape in shapes.items()
        if (match := re.match(r"deconv_layers\.(\d+)\.weight$", name)) and len(shape) == 4
    )
    if not layers:
        return None
    arguments = _resnet(shapes, "preact." if "preact.conv1.weight" in shapes else "")
    deconvolutions = tuple(shapes[f"deconv_layers.{layer}.weight"][1] for layer in layers)
    if deconvolutions != (256, 256, 256):
        arguments["deconvolutions"] = deconvolutions
    num_joints, _, last, _ = shapes["final_layer.weight"]
    kernel = shapes[f"deconv_layers.{layers[0]}.weight"][2]
    arguments |= {k: v for k, v, usual in (("kernel", kernel, 4), ("last", last, 1)) if v != usual}
    variant = _variant("simple_baseline", arguments, num_joints, f"r{arguments['depth']}")
    form = "alphapose_simple" if "preact.conv1.weight" in shapes else "simple_baseline"
    return Recognised("simple_baseline", variant, num_joints, arguments, form)


def _cpm(shapes: Shapes) -> Recognised | None:
    if "conv1_stage1.weight" not in shapes:
        return None
    stages = max(_count(shapes, r"Mconv1_stage(\d+)\.") - 1, 1)
    num_joints = shapes["conv7_stage1.weight"][0] - 1  # the last map is the background
    usual = {"channels": 128, "features": 32, "wide": 512}
    channels, wide = shapes["conv1_stage1.weight"][0], shapes["conv5_stage1.weight"][0]
    given = {"channels": channels, "features": shapes["conv4_stage1.weight"][0], "wide": wide}
    arguments = {"stages": stages, **{name: value for name, value in given.items() if value != usual[name]}}
    variant = _variant("cpm", arguments, num_joints, f"stages{stages}")
    return Recognised("cpm", variant, num_joints, arguments, "cpm_caffe")


def _hourglass(
    form: str,
    stacks: int,
    stem: tuple[int, int, int],
    channels: int,
    levels: int,
    num_joints: int,
    *,
    blocks: int = 1,
    widths: tuple[int, ...] = (),
) -> Recognised:
    """A Stacked Hourglass of these arguments; those that are the usual ones are left out."""
    arguments: dict[str, Any] = {"stacks": stacks, "channels": channels, "levels": levels}
    arguments |= {
        name: value for name, value, usual in (("blocks", blocks, 1), ("widths", widths, ())) if value != usual
    }
    named = f"stacks{stacks}" + (f"-blocks{blocks}" if blocks > 1 else "")
    named += "".join(f"-{width}" for width in widths)
    variant = _variant("stacked_hourglass", arguments, num_joints, named)
    early = form == "pytorch_pose"
    if stem == (channels // 4, channels // 2, channels if early else channels // 2):
        arguments["early"] = early
    else:
        arguments["stem"] = stem
    return Recognised("stacked_hourglass", variant, num_joints, arguments, form)


def _hourglass_toolkit(shapes: Shapes) -> Recognised | None:
    if "hg.0.hg.0.0.0.bn1.weight" not in shapes:
        return None
    stem = tuple(shapes[f"layer{layer}.0.conv3.weight"][0] for layer in (1, 2))
    return _hourglass(
        "pytorch_pose",
        _count(shapes, r"hg\.(\d+)\."),
        (shapes["conv1.weight"][0], stem[0], stem[1]),
        shapes["layer3.0.conv3.weight"][0],
        _count(shapes, r"hg\.0\.hg\.(\d+)\."),
        shapes["score.0.weight"][0],
        blocks=_count(shapes, r"hg\.0\.hg\.0\.0\.(\d+)\."),
    )


def _hourglass_authors(shapes: Shapes) -> Recognised | None:
    if "hgs.0.0.up1.bn1.weight" not in shapes:
        return None
    deepest = max(name.count("low2.") for name in shapes if re.match(r"hgs\.0\.0\.(low2\.)*up1\.", name))
    first, second, channels = (shapes[f"pre.{block}.conv3.conv.weight"][0] for block in (1, 3, 4))
    below = [shapes[f"hgs.0.0.{'low2.' * depth}low1.conv3.conv.weight"][0] for depth in range(deepest + 1)]
    while below and below[-1] == (below[-2] if len(below) > 1 else channels):
        below.pop()  # the last holds for all that follow
    return _hourglass(
        "princeton",
        _count(shapes, r"hgs\.(\d+)\."),
        (shapes["pre.0.conv.weight"][0], first, second),
        channels,
        1 + deepest,
        shapes["outs.0.conv.weight"][0],
        widths=tuple(below),
    )
