"""Initial weights of networks without batch normalisation."""

from collections.abc import Iterable

from torch import nn


def keep_variance(layers: Iterable[nn.Conv2d]) -> None:
    """Weights with which a convolution and the ReLU after it neither shrink nor blow up what goes through them.

    Normal, of variance 2 / fan-in, and no bias (He et al., ICCV 2015, arXiv 1502.01852, section 2.2). PyTorch's
    default has a sixth of that variance: after ten layers next to nothing of the image is left.
    """
    for layer in layers:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
