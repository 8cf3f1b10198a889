"""The networks compared with timm's on this machine's CPU, and a run compared with its forward passes alone.

    python -m benchmarks.baseline_speed [--docs] [--images 1000]

timm is installed without its dependencies into benchmarks/results/timm; stand-ins replace what it imports of
torchvision and of the hub but does not use here. Both get the same weights, and their outputs are compared before
anything is timed. Times are CPU seconds of this process on one thread, measured alternately; the median of the rounds
is given. For the run, elapsed time is measured as well, with one thread for the network and with one per core; then the
same crops go through the same network again with nothing in parallel.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch import Tensor, nn

from baselines.devices import costs
from baselines.models import blocks_resnet, hrnet
from benchmarks import peers
from benchmarks.peers import RESULTS, ROOT, say

VERSION = "1.0.31"
FILE = RESULTS / "baseline_speed.json"
DOCS = ROOT / "docs" / "baselines.md"
BEGIN, END = "<!-- speed: begin -->", "<!-- speed: end -->"
SIZE = (192, 256)  # width, height
BATCH = 4
SAME = 1e-4  # largest relative difference of outputs


TEXT = """\
CPU milliseconds per image of {width} x {height} (batches of {batch}, one thread, float32), the median of {rounds}
alternating rounds, with torch {torch} and timm {version} on {machine}. Both have the same weights and the same
outputs.

| network | layout | PoseBoard | timm | ratio |
|---|---|---|---|---|
{rows}

A run of HRNet-W32 on {images:,} images of Mannequins, {people:,} people with their mirror images, from image files to a
predictions file, compared with the same forward passes alone on crops in memory, in batches of
{size_of_batch}:

| threads of the network | the run, s | forward passes alone, s | ratio | the run, CPU s | alone, CPU s | ratio |
|---|---|---|---|---|---|---|
{runs}

Reading, cropping, decoding and writing happen in parallel with the network."""


def install() -> None:
    """timm, into a folder of its own."""
    peers.install("timm", {"timm": VERSION}, ("torchvision", "huggingface_hub"))


class OurHRNet(nn.Module):
    """The trunk of HRNet: everything but the last 1x1 convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.network = hrnet.build(17)
        self.network.final_layer = nn.Identity()  # type: ignore[assignment]

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images)[:, 0]


class TimmHRNet(nn.Module):
    """The same computation: stem and stages, of the last exchange only what the top branch needs."""

    def __init__(self) -> None:
        super().__init__()
        from timm.models.hrnet import hrnet_w32  # type: ignore[import-not-found]

        self.network = hrnet_w32(pretrained=False, features_only=True)
        last = self.network.stage4[-1]
        last.fuse_layers = last.fuse_layers[:1]

    def forward(self, images: Tensor) -> Tensor:
        n = self.network
        x = n.act2(n.bn2(n.conv2(n.act1(n.bn1(n.conv1(images))))))
        return n.stages(x)[0]


class OurResNet(nn.Module):
    """The trunk of SimpleBaseline: everything before the transposed convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.network = blocks_resnet.ResNet(50)

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images)


class TimmResNet(nn.Module):
    """Without pooling and classes."""

    def __init__(self) -> None:
        super().__init__()
        from timm.models.resnet import resnet50  # type: ignore[import-not-found]

        self.network = resnet50(pretrained=False)

    def forward(self, images: Tensor) -> Tensor:
        return self.network.forward_features(images)


PAIRS: dict[str, tuple[Callable[[], nn.Module], Callable[[], nn.Module]]] = {
    "HRNet-W32, trunk": (OurHRNet, TimmHRNet),
    "ResNet-50, trunk": (OurResNet, TimmResNet),
}


def same_weights(ours: nn.Module, peer: nn.Module) -> None:
    """Give the peer our weights, which have the same names but for heads that neither runs."""
    state = ours.state_dict()
    wanted = peer.state_dict()
    unused = [name for name in wanted if name not in state]
    assert all(
        any(part in name for part in ("incre_modules", "downsamp_modules", "final_layer", "fc.")) for name in unused
    ), unused
    missing = [name for name in state if name not in wanted]
    assert not missing, missing
    peer.load_state_dict({name: state.get(name, value) for name, value in wanted.items()})


def seeded(network: nn.Module, seed: int = 0) -> None:
    """Weights and statistics that keep the activations finite and alive."""
    torch.manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        elif isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]
            nn.init.constant_(module.weight, 0.5)


def cpu_seconds(runs: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Median CPU seconds of each, measured alternately so that a busy machine affects all alike."""
    times: list[list[float]] = [[] for _ in runs]
    for run in runs:
        run()
    pairs = list(zip(times, runs, strict=True))
    for number in range(rounds):
        for row, run in pairs if number % 2 else reversed(pairs):
            start = time.process_time()
            run()
            row.append(time.process_time() - start)
    return [median(row) for row in times]


def forward_speed(name: str, rounds: int, compile_too: bool) -> list[dict[str, Any]]:
    """Rows of the table for one network: its memory layout, and CPU milliseconds per image of both."""
    ours, peer = (make().eval() for make in PAIRS[name])
    seeded(ours)
    same_weights(ours, peer)
    images = torch.randn(BATCH, 3, SIZE[1], SIZE[0])
    rows = []
    with torch.inference_mode():
        a, b = ours(images), peer(images)
        difference = float((a - b).abs().max() / b.abs().max())
        assert difference <= SAME, f"{name}: the outputs differ by {difference}"
        layouts = [("contiguous", torch.contiguous_format, False), ("channels-last", torch.channels_last, False)]
        if compile_too:
            layouts.append(("channels-last, torch.compile", torch.channels_last, True))
        for layout, memory, compiled in layouts:
            given = images.contiguous(memory_format=memory)
            pair = [n.to(memory_format=memory) for n in (ours, peer)]  # type: ignore[call-overload]
            if compiled:
                pair = [torch.compile(n) for n in pair]
            say(f"{name}, {layout}")
            seconds = cpu_seconds([lambda n=n, x=given: n(x) for n in pair], rounds)  # type: ignore[misc]
            rows.append(
                {
                    "network": name,
                    "layout": layout,
                    "ours_ms": round(1000 * seconds[0] / BATCH, 1),
                    "timm_ms": round(1000 * seconds[1] / BATCH, 1),
                    "ratio": round(seconds[0] / seconds[1], 3),
                    "gmacs": round(costs.gmacs(ours, SIZE), 3),
                    "difference": difference,
                }
            )
    return rows


def whole_runs(images: int) -> dict[str, Any]:
    """HRNet-W32 on a split, one person per image: seconds of the runs and of their forward passes alone."""
    from baselines.estimators import heatmap
    from baselines.mannequins import generate
    from baselines.run import predict
    from baselines.weights import checkpoints
    from evaluator import load_dataset, public_images

    definition = load_dataset("mannequins")
    network = hrnet.build(17)
    seeded(network)
    joints, pairs = tuple(definition.joints), tuple((a, b) for a, b in definition.flip_pairs)
    described = checkpoints.Checkpoint(
        "hrnet", "w32", "", "0" * 64, joints, pairs, {}, SIZE, 1.25, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225),
        "heatmaps", "", "",
    )  # fmt: skip
    made = heatmap.HeatmapEstimator(network, described, list(range(17)), "cpu")
    bare = made.forward
    batches: list[Any] = []  # the batches of a run

    def remembered(crops: Any) -> Any:
        batches.append(crops)
        return bare(crops)

    made.forward = remembered  # type: ignore[method-assign]
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        truth = generate(Path(scratch), split="test", images=images, seed=7)
        listed = public_images(truth, boxes=True)
        for image in listed["images"]:
            image["people"] = image["people"][:1]
        people = sum(len(image["people"]) for image in listed["images"])

        def run() -> None:
            results, _ = predict.predict("hrnet", listed, Path(scratch) / "images", "mannequins")
            (Path(scratch) / "predictions.json").write_text(json.dumps(results))

        def alone() -> None:
            for crops in batches:
                bare(crops)

        before, threads = predict.load, torch.get_num_threads()
        predict.load = lambda *_, **__: made  # type: ignore[assignment]
        try:
            for count in sorted({1, os.cpu_count() or 1}):
                torch.set_num_threads(count)
                bare(np.zeros((made.batch, SIZE[1], SIZE[0], 3), np.uint8))  # allocates memory and starts threads
                say(f"HRNet-W32 over {images} images, {count} threads")
                batches.clear()
                run_s, run_cpu_s = spent(run)
                forward_s, forward_cpu_s = spent(alone)
                assert sum(len(crops) for crops in batches) == people
                rows.append(
                    {
                        "threads": count,
                        "run_s": round(run_s, 1),
                        "forward_s": round(forward_s, 1),
                        "ratio": round(run_s / forward_s, 3),
                        "run_cpu_s": round(run_cpu_s, 1),
                        "forward_cpu_s": round(forward_cpu_s, 1),
                        "cpu_ratio": round(run_cpu_s / forward_cpu_s, 3),
                    }
                )
        finally:
            predict.load = before
            torch.set_num_threads(threads)
    return {"images": images, "people": people, "size_of_batch": made.batch, "rows": rows}


def spent(work: Callable[[], object]) -> tuple[float, float]:
    """Elapsed seconds and CPU seconds of this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def table(found: dict[str, Any]) -> str:
    """The section of docs/baselines.md."""
    rows = [
        f"| {row['network']} | {row['layout']} | {row['ours_ms']} | {row['timm_ms']} | {row['ratio']:.2f} |"
        for row in found["forward"]
    ]
    line = "| {threads} | {run_s} | {forward_s} | {ratio:.2f} | {run_cpu_s} | {forward_cpu_s} | {cpu_ratio:.2f} |"
    runs = [line.format(**row) for row in found["run"]["rows"]]
    return TEXT.format(
        width=SIZE[0], height=SIZE[1], batch=BATCH, version=VERSION, rows="\n".join(rows), runs="\n".join(runs),
        **{key: found["run"][key] for key in ("images", "people", "size_of_batch")},
        **{key: found[key] for key in ("rounds", "torch", "machine")},
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docs", action="store_true", help="write the section of docs/baselines.md")
    parser.add_argument("--rounds", type=int, default=7, help="measurements of each, of which the median counts")
    parser.add_argument("--images", type=int, default=1000, help="images of the whole run")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out: it needs a C++ compiler")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    install()
    found: dict[str, Any] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "torch": torch.__version__,
        "timm": VERSION,
        "rounds": chosen.rounds,
        "batch": BATCH,
        "forward": [row for name in PAIRS for row in forward_speed(name, chosen.rounds, not chosen.no_compile)],
        "run": whole_runs(chosen.images),
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    FILE.write_text(json.dumps(found, indent=2) + "\n")
    print(table(found))
    if chosen.docs:
        before, rest = DOCS.read_text().split(BEGIN)
        DOCS.write_text(f"{before}{BEGIN}\n\n{table(found)}\n\n{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    main()
