"""The networks, decoding and suppression compared with those of public toolkits, on random weights and input.

    python -m benchmarks.network_parity [--docs]

The toolkits are installed without their dependencies into benchmarks/results/parity. Each network of theirs gets
weights drawn from the seeds of its own names, runs, and its names, shapes and outputs are written as files; then
`check-checkpoint` recognises, builds, fills and runs ours from these files. Exits with 1 when anything differs by more
than its tolerance.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch import Tensor, nn

from baselines.weights import parity
from benchmarks import caffe_network, decoding_parity, peers
from benchmarks.peers import ROOT, say

DOCS = ROOT / "docs" / "baselines.md"
BEGIN, END = "<!-- parity: begin -->", "<!-- parity: end -->"
SEED = 31


@dataclass(frozen=True)
class Member:
    """A network of a toolkit. `make` gives the module; `named` its names in the public form, None for those that the
    form does not have; `recognised` the family and variant that ours must be recognised as."""

    peer: str
    form: str
    recognised: tuple[str, str]
    joints: int
    make: Callable[[], nn.Module]
    named: Callable[[str], str | None] = lambda name: name
    size: tuple[int, ...] = (1, 3, 128, 96)


def _mmpose_hrnet(width: int, joints: int) -> nn.Module:
    from mmpose.models.backbones import HRNet  # type: ignore[import-not-found]

    stages = {
        f"stage{stage}": {
            "num_modules": modules, "num_branches": stage, "block": "BASIC", "num_blocks": (4,) * stage,
            "num_channels": tuple(width * 2**branch for branch in range(stage)),
        }
        for stage, modules in ((2, 1), (3, 4), (4, 3))
    }  # fmt: skip
    stages["stage1"] = {
        "num_modules": 1, "num_branches": 1, "block": "BOTTLENECK", "num_blocks": (4,), "num_channels": (64,),
    }  # fmt: skip
    return _mmpose(HRNet(stages, in_channels=3), width, joints, None, None)


def _mmpose_resnet(depth: int, joints: int, filters: tuple[int, ...], kernels: tuple[int, ...]) -> nn.Module:
    from mmpose.models.backbones import ResNet

    return _mmpose(ResNet(depth), 2048 if depth >= 50 else 512, joints, filters, kernels)


def _mmpose(backbone: nn.Module, channels: int, joints: int, filters: Any, kernels: Any) -> nn.Module:
    from mmpose.models.heads import HeatmapHead  # type: ignore[import-not-found]

    head = HeatmapHead(channels, joints, deconv_out_channels=filters, deconv_kernel_sizes=kernels)

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone, self.head = backbone, head

        def forward(self, images: Tensor) -> Tensor:
            return self.head(self.backbone(images))

    return Both()


def _plain(name: str) -> str:
    """mmpose's names as the authors': the same without `backbone.` and `head.`."""
    return name.split(".", 1)[1]


def _timm_hrnet(width: int, joints: int) -> nn.Module:
    import timm  # type: ignore[import-not-found]

    trunk = timm.create_model(f"hrnet_w{width}", pretrained=False, features_only=True)
    trunk.stage4[-1].fuse_layers = trunk.stage4[-1].fuse_layers[:1]

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.trunk, self.final_layer = trunk, nn.Conv2d(width, joints, 1)

        def forward(self, images: Tensor) -> Tensor:
            n: Any = self.trunk
            x = n.act2(n.bn2(n.conv2(n.act1(n.bn1(n.conv1(images))))))
            return self.final_layer(n.stages(x)[0])

    return Whole()


def _timm_named(name: str) -> str | None:
    """The names of the authors; heads for classes, which do not run here, have none."""
    return None if re.search(r"incre_modules|downsamp_modules", name) else name.removeprefix("trunk.")


def _toolkit_hourglass(stacks: int, blocks: int, joints: int) -> nn.Module:
    from stacked_hourglass.model import Bottleneck, HourglassNet  # type: ignore[import-not-found]

    network: nn.Module = HourglassNet(Bottleneck, stacks, blocks, joints)
    return network


def _pytorchcv_fastpose(depth: int, joints: int) -> nn.Module:
    from pytorchcv.models.alphapose_coco import AlphaPose  # type: ignore[import-not-found]
    from pytorchcv.models.fastseresnet import get_fastseresnet  # type: ignore[import-not-found]

    backbone = get_fastseresnet(blocks=depth, conv1_stride=False).features
    del backbone[-1]
    network: nn.Module = AlphaPose(backbone, 2048, [256, 128], return_heatmap=True, keypoints=joints)
    return network


def _pytorchcv_named(name: str) -> str:
    """pytorchcv's names as AlphaPose's."""
    if match := re.fullmatch(r"backbone\.0\.conv\.(conv|bn)\.(\w+)", name):
        return f"preact.{match[1]}1.{match[2]}"
    if match := re.fullmatch(r"backbone\.(\d)\.unit(\d+)\.(.+)", name):
        unit = f"preact.layer{match[1]}.{int(match[2]) - 1}"
        if inner := re.fullmatch(r"body\.conv(\d)\.(conv|bn)\.(\w+)", match[3]):
            return f"{unit}.{inner[2]}{inner[1]}.{inner[3]}"
        if inner := re.fullmatch(r"identity_conv\.(conv|bn)\.(\w+)", match[3]):
            return f"{unit}.downsample.{0 if inner[1] == 'conv' else 1}.{inner[2]}"
        if inner := re.fullmatch(r"se\.fc([12])\.(\w+)", match[3]):
            return f"{unit}.se.fc.{2 * int(inner[1]) - 2}.{inner[2]}"
    if match := re.fullmatch(r"decoder\.unit(\d)\.conv\.(conv|bn)\.(\w+)", name):
        return f"duc{match[1]}.{match[2]}.{match[3]}"
    return name.replace("decoder.final_block.", "conv_out.")


def _alphapose_hrnet(width: int, joints: int) -> nn.Module:
    from alphapose.models.hrnet import PoseHighResolutionNet  # type: ignore[import-not-found]

    stages = {
        f"STAGE{stage}": {
            "NUM_MODULES": modules, "NUM_BRANCHES": stage, "BLOCK": "BASIC", "NUM_BLOCKS": [4] * stage,
            "NUM_CHANNELS": [width * 2**branch for branch in range(stage)], "FUSE_METHOD": "SUM",
        }
        for stage, modules in ((2, 1), (3, 4), (4, 3))
    }  # fmt: skip
    network: nn.Module = PoseHighResolutionNet(
        PRESET={"NUM_JOINTS": joints}, FINAL_CONV_KERNEL=1, PRETRAINED_LAYERS=["*"], **stages
    )
    return network


def members() -> Iterator[Member]:
    """All networks that are compared, except Convolutional Pose Machines."""
    for width, joints, variant in (
        (18, 17, "w18"), (32, 16, "w32-mpii"), (48, 17, "w48"), (48, 16, "w48"), (48, 14, "w48"), (48, 133, "w48"),
    ):  # fmt: skip
        yield Member("mmpose", "mmpose", ("hrnet", variant), joints, lambda w=width, k=joints: _mmpose_hrnet(w, k))
    yield Member("mmpose", "the authors", ("hrnet", "w48"), 17, lambda: _mmpose_hrnet(48, 17), _plain)
    for width in (18, 30, 32, 40, 44, 48, 64):
        yield Member("timm, trunk", "the authors", ("hrnet", f"w{width}"), 17,
                     lambda w=width: _timm_hrnet(w, 17), _timm_named)  # fmt: skip
    for width, joints, variant in ((32, 17, "w32"), (48, 26, "w48")):
        yield Member("AlphaPose", "the authors", ("hrnet", variant), joints,
                     lambda w=width, k=joints: _alphapose_hrnet(w, k), lambda name: f"module.{name}")  # fmt: skip
    usual: tuple[tuple[int, ...], tuple[int, ...]] = ((256, 256, 256), (4, 4, 4))
    for depth, joints, (filters, kernels) in (
        (18, 17, usual), (34, 16, usual), (50, 16, usual), (101, 17, usual), (152, 17, usual), (152, 14, usual),
        (50, 17, ((128, 64), (2, 2))), (50, 17, ((256, 192, 128, 64), (3, 3, 3, 3))),
    ):  # fmt: skip
        for form, named in (("mmpose", lambda name: name), ("the authors", _plain)):
            yield Member("mmpose", form, ("simple_baseline", f"r{depth}"), joints,
                         lambda d=depth, k=joints, f=filters, n=kernels: _mmpose_resnet(d, k, f, n), named)  # fmt: skip
    yield Member("mmpose", "AlphaPose", ("simple_baseline", "r101"), 26, lambda: _mmpose_resnet(101, 26, *usual),
                 lambda name: f"preact.{_plain(name)}" if name.startswith("backbone.") else _plain(name))  # fmt: skip
    for depth, joints in ((50, 17), (101, 17), (101, 26), (152, 17)):
        yield Member("pytorchcv", "AlphaPose", ("rmpe", f"fastpose-r{depth}"), joints,
                     lambda d=depth, k=joints: _pytorchcv_fastpose(d, k), _pytorchcv_named)  # fmt: skip
    for stacks, blocks, joints, variant in (
        (1, 1, 16, "stacks1"), (2, 1, 14, "stacks2"), (4, 1, 16, "stacks4"), (8, 1, 16, "full"),
        (2, 4, 16, "stacks2-blocks4"), (1, 2, 17, "stacks1-blocks2"),
    ):  # fmt: skip
        yield Member("pytorch-stacked-hourglass", "pytorch-pose", ("stacked_hourglass", variant), joints,
                     lambda s=stacks, b=blocks, k=joints: _toolkit_hourglass(s, b, k),
                     lambda name: f"module.{name}", (1, 3, 128, 128))  # fmt: skip


def difference(member: Member, folder: Path) -> float:
    """Run the toolkit's network on random weights, and ours on the files with its outputs."""
    network = member.make().eval()
    state = network.state_dict()
    theirs = {name: public for name in state if (public := member.named(name)) is not None}
    shapes = {public: tuple(state[name].shape) for name, public in theirs.items()}
    drawn = parity.seeded_weights(shapes, SEED)
    network.load_state_dict({**state, **{name: drawn[public] for name, public in theirs.items()}})
    with torch.inference_mode():
        outputs = network(parity.seeded_input(member.size, 7))
    stages = outputs if isinstance(outputs, list) else [outputs]
    named = {"out": stages[0]} if len(stages) == 1 else {f"out{n}": value for n, value in enumerate(stages)}
    return checked(
        shapes, {name: value.numpy() for name, value in named.items()}, [member.size], member.recognised, folder
    )


def checked(
    shapes: Mapping[str, tuple[int, ...]], outputs: Mapping[str, np.ndarray], inputs: list[tuple[int, ...]],
    recognised: tuple[str, str], folder: Path,
) -> float:  # fmt: skip
    """The difference that check-checkpoint finds for these names, shapes and outputs."""
    keys = {
        "state": {name: [list(shape), "torch.float32"] for name, shape in shapes.items()}, "state_seed": SEED,
        "input_shapes": [list(shape) for shape in inputs], "input_seeds": [7 + n for n in range(len(inputs))],
    }  # fmt: skip
    (folder / "keys.json").write_text(json.dumps(keys))
    np.savez(folder / "outputs.npz", **outputs)
    found = parity.check(folder / "keys.json", folder / "outputs.npz")
    assert (found.family, found.variant) == recognised, (found, recognised)
    return found.max_relative_difference


def caffe(stages: int, joints: int, variant: str, folder: Path) -> float:
    """Convolutional Pose Machines: the authors' Caffe network, run by OpenCV."""
    from tests.baselines.plain_networks import cpm_names

    shapes = cpm_names(stages, joints)
    inputs: list[tuple[int, ...]] = [(1, 3, 184, 184), (1, 1, 184, 184)]
    drawn = [parity.seeded_input(shape, 7 + number) for number, shape in enumerate(inputs)]
    outputs = caffe_network.run(parity.seeded_weights(shapes, SEED), drawn[0], drawn[1], folder)
    return checked(shapes, outputs, inputs, ("cpm", variant), folder)


def networks() -> list[tuple[str, str, str, int, float]]:
    """Family and variant, names, peer, joints and largest relative difference of every member."""
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for member in members():
            found = difference(member, Path(scratch))
            rows.append((" ".join(member.recognised), member.form, member.peer, member.joints, found))
            say(" | ".join(map(str, rows[-1])))
        for stages, joints, variant in (
            (6, 14, "full"),
            (6, 16, "stages6"),
            (6, 15, "stages6"),
            (4, 9, "flic"),
            (1, 14, "stages1"),
        ):
            found = caffe(stages, joints, variant, Path(scratch))
            rows.append((f"cpm {variant}", "Caffe", "OpenCV's Caffe reader", joints, found))
            say(" | ".join(map(str, rows[-1])))
    return rows


def table(found: list[tuple[str, str, str, int, float]], others: list[decoding_parity.Compared]) -> str:
    """The section of docs/baselines.md: the members of a family in one line for each form and toolkit."""
    grouped: dict[tuple[str, str, str], list[tuple[str, float]]] = {}
    for name, form, peer, joints, value in found:
        family, variant = name.split()
        grouped.setdefault((family, form, peer), []).append((f"{variant} ({joints})", value))
    lines = [
        "| family | names of | computed by | members (joints) | largest relative difference |", "|---|---|---|---|---|",
    ]  # fmt: skip
    for (family, form, peer), rows in grouped.items():
        members_in_words, largest = ", ".join(member for member, _ in rows), max(value for _, value in rows)
        lines.append(f"| `{family}` | {form} | {peer} | {members_in_words} | {_number(largest)} |")
    lines += ["", "| what | peer | random cases | largest difference |", "|---|---|---|---|"]
    lines += [f"| {row.what} | {row.peer} | {row.cases} | {_number(row.difference)} {row.unit} |" for row in others]
    return "\n".join(line.replace("  |", " |") for line in lines)


def _number(value: float) -> str:
    return f"{value:.1e}" if value else "0"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docs", action="store_true", help="write the tables of docs/baselines.md")
    parser.add_argument("--only", choices=["networks", "decoding"], help="compare one part only")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    peers.install("parity", peers.TOOLKITS, peers.ABSENT)
    found = [] if chosen.only == "decoding" else networks()
    others = [] if chosen.only == "networks" else decoding_parity.compare()
    print(table(found, others))
    if chosen.docs:
        before, rest = DOCS.read_text().split(BEGIN)
        DOCS.write_text(f"{before}{BEGIN}\n\n{table(found, others)}\n\n{END}{rest.split(END)[1]}")
    same = all(value <= parity.TOLERANCE for *_, value in found) and all(row.same for row in others)
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
