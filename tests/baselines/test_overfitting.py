"""Every architecture that is trained here can overfit one batch with its own objective."""

import numpy as np
import pytest
import torch

import baselines
from baselines import registry
from baselines.train.recipes import trainable, training_of

SIZE = (64, 64)  # width, height


def _batch() -> tuple[torch.Tensor, np.ndarray, np.ndarray]:
    """Two images of noise with three joints each: bright spots of a colour of their own, two of which are annotated in
    the second image."""
    draw = np.random.default_rng(0)
    joints = np.array([[[18.0, 22], [44, 14], [34, 46]], [[40.0, 40], [14, 46], [20, 14]]])
    y, x = np.mgrid[: SIZE[1], : SIZE[0]] + 0.5
    images = draw.normal(0, 0.1, (2, 3, SIZE[1], SIZE[0]))
    for image in range(2):
        for k, (u, v) in enumerate(joints[image]):
            images[image, k] += 3 * np.exp(-((x - u) ** 2 + (y - v) ** 2) / 18)
    weights = np.array([[1, 1, 1], [1, 1, 0]], np.float32)
    return torch.from_numpy(images.astype(np.float32)), joints, weights


def _found(network: torch.nn.Module, name: str, images: torch.Tensor) -> np.ndarray:
    """The place of the highest response of every joint [2, 3, 2], pixels."""
    with torch.inference_mode():
        maps = network(images)[:, -1].numpy()  # [2, 3, h, w]
    height, width = maps.shape[2:]
    v, u = np.unravel_index(maps.reshape(2, 3, -1).argmax(axis=2), (height, width))
    return (np.stack([u, v], axis=2) + 0.5) * [SIZE[0] / width, SIZE[1] / height]


@pytest.mark.parametrize("name", trainable())
def test_every_architecture_overfits_one_batch(name):
    torch.manual_seed(0)
    settings = dict(registry.card(name).variants["narrow"])
    settings.pop("input_size"), settings.pop("joints", None)
    network = baselines.module(name).build(3, **settings)
    how = training_of(name)
    objective = how.objective(how.recipe("narrow"), SIZE)
    images, joints, weights = _batch()
    objective.prepared(network, joints, weights)
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    network.train()
    for module in network.modules():  # randomness prevents overfitting
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    losses = []
    for _ in range(STEPS):
        loss = objective(network, images, joints, weights)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        losses.append(loss.item())
    assert np.isfinite(losses).all()
    # the statistics of the batch are those that the network was trained with
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.train()
        elif not list(module.children()):
            module.eval()
    away = np.linalg.norm(_found(network, name, images) - joints, axis=2)[weights > 0]
    # within the half diagonal of a cell of the coarsest maps, stride 8; every place of DeeperCut within the radius of a
    # part is labelled as that part's, and its offsets cover the rest
    bound = max(8 * np.sqrt(0.5) + 0.5, getattr(objective, "radius", 0.0))
    assert away.max() <= bound, (losses[0], losses[-1], away)


STEPS = 30
