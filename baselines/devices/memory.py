"""How much memory a device has left, how much a network needs, and returning it."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import torch
from torch import Tensor, nn

from baselines.devices import costs

SHARE = 0.5  # of free memory for the activations of a batch; the rest is for everything else in the process
CGROUP = Path("/sys/fs/cgroup")


def free_bytes(device: str) -> int:
    """Free memory: that of a GPU as its driver reports it, otherwise that of this machine or container."""
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(device)[0])
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2]  # where nothing else is known: half of all
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        available = [line.split()[1] for line in meminfo.read_text().splitlines() if line.startswith("MemAvailable:")]
        found = [1024 * int(number) for number in available] or found
    limit, used = CGROUP / "memory.max", CGROUP / "memory.current"
    if limit.is_file() and used.is_file() and (text := limit.read_text().strip()).isdigit():
        found.append(max(0, int(text) - int(used.read_text())))
    return min(found)


def activation_bytes(network: nn.Module, input_size: tuple[int, int]) -> int:
    """Bytes of what all layers put out for one image of (width, height), in float32. Only shapes are computed.

    Not all of it is in use at a time; sums and concatenations between the layers are not counted.
    """
    total = 0

    def count(layer: nn.Module, _: object, output: object) -> None:
        nonlocal total
        if isinstance(output, Tensor) and not any(layer.children()):
            total += 4 * output.numel()

    costs.on_shapes(network, input_size, count)
    return total


def batch_size(network: nn.Module, input_size: tuple[int, int], device: str, largest: int) -> int:
    """How many crops at once: at most `largest`, and no more than fit into a share of the memory that is free.

    Twice the outputs of the layers are assumed, for what is computed between them.
    """
    fits = SHARE * free_bytes(device) / (2 * max(1, activation_bytes(network, input_size)))
    return max(1, min(largest, int(fits)))


def give_back() -> None:
    """Collect what ended in reference cycles, such as a traceback's frames, and return a GPU's memory to its driver."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
