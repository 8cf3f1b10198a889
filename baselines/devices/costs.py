"""What a network costs: parameters, and multiply-accumulates of one forward pass."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn


def parameters(network: nn.Module) -> int:
    """The number of weights; running statistics are not counted."""
    return sum(p.numel() for p in network.parameters())


def gmacs(network: nn.Module, input_size: tuple[int, int]) -> float:
    """1e9 multiply-accumulates of all convolutional and linear layers on one image of (width, height)."""
    total = 0

    def count(module: nn.Module, _: object, output: Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.Conv2d):
            kernel = module.kernel_size[0] * module.kernel_size[1]
            total += output.numel() * kernel * module.in_channels // module.groups
        elif isinstance(module, nn.ConvTranspose2d):
            pixels = output.shape[-2] * output.shape[-1] // (module.stride[0] * module.stride[1])
            kernel = module.kernel_size[0] * module.kernel_size[1]
            total += output.shape[0] * pixels * kernel * module.in_channels * module.out_channels // module.groups
        elif isinstance(module, nn.Linear):
            total += output.numel() * module.in_features

    on_shapes(network, input_size, count)
    return total / 1e9


def on_shapes(
    network: nn.Module, input_size: tuple[int, int], hook: Callable[[nn.Module, object, Tensor], None]
) -> None:
    """Call `hook` with every layer and what it puts out for one image of (width, height).

    Nothing is computed: the pass runs on shapes alone, with a copy of the network on the meta device.
    """
    shadow = copy.deepcopy(network).to("meta").eval()
    handles = [layer.register_forward_hook(hook) for layer in shadow.modules()]
    try:
        with torch.no_grad():
            shadow(torch.empty(1, 3, input_size[1], input_size[0], device="meta"))
    finally:
        for handle in handles:
            handle.remove()
