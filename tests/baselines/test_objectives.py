"""Training targets and losses, worked out by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from baselines import module, registry
from baselines.train.loop import optimiser_of
from baselines.train.objectives import Beliefs, Heatmaps, Parts, Regional, Windows, centred, gaussians, heatmap_loss
from baselines.train.recipes import trainable, training_of

ONE = np.ones((1, 1), np.float32)


class Says(nn.Module):
    """A network that returns fixed outputs for any input."""

    def __init__(self, **outputs):
        super().__init__()
        self.__dict__.update(outputs)

    def forward(self, images):
        return self.output

    def logits(self, images):
        return self.output

    def beliefs(self, images):
        return self.output


def test_losses_by_hand():
    output = torch.tensor([[[[[0.0, 1.0]], [[2.0, 2.0]]]]])  # one image, one stage, two joints, maps of 1 x 2
    targets = torch.tensor([[[[1.0, 1.0]], [[0.0, 0.0]]]])
    # the second joint is not annotated. mse: ((0-1)^2 + (1-1)^2) / 2 = 0.5; a flat target: mean of -log softmax(0, 1)
    weights = torch.tensor([[1.0, 0.0]])
    assert heatmap_loss("mse", output, targets, weights).item() == pytest.approx(0.5)
    expected = np.log(1 + np.e) - 0.5
    assert heatmap_loss("cross_entropy", output, targets, weights).item() == pytest.approx(expected, rel=1e-6)


def test_a_gaussian_peaks_where_the_joint_is():
    # (10, 6) of the image lies at (10 / 4 - 0.5, 6 / 4 - 0.5) = (2, 1) of the heatmap; its neighbour has exp(-1/2)
    maps = gaussians(torch.zeros(1, 3, 16, 24), np.array([[[10.0, 6.0]]]), ONE, 4, 1.0)[0, 0]
    assert maps.shape == (4, 6) and maps[1, 2] == 1 and maps[1, 3] == pytest.approx(math.exp(-0.5))


def test_every_stage_counts():
    images, joints = torch.zeros(1, 3, 16, 16), np.array([[[10.0, 6.0]]])
    right = gaussians(images, joints, ONE, 4, 1.0)[:, None]  # [1, 1, 1, 4, 4]
    objective = Heatmaps("mse", 1.0)
    # the first stage is right, the second is off by 1 everywhere: 0 + 1; the third by 2: 4
    output = torch.cat([right, right + 1, right - 2], dim=1)
    assert objective(Says(output=output), images, joints, ONE).item() == pytest.approx(5.0)
    assert objective.output == "heatmaps" and Heatmaps("cross_entropy", 1.0).output == "logits"


def test_the_background_of_belief_maps_is_what_no_joint_covers():
    images, joints = torch.zeros(1, 3, 32, 32), np.array([[[12.0, 20.0]]])
    joint = gaussians(images, joints, ONE, 8, 1.0)  # [1, 1, 4, 4], 1 at (1, 2)
    right = torch.cat([joint, 1 - joint], dim=1)[:, None]  # [1, 1, 2, 4, 4]
    objective = Beliefs("mse", 1.0)
    assert objective(Says(output=right), images, joints, ONE).item() == pytest.approx(0, abs=1e-12)
    # nobody annotated: the background alone is compared; it is 1 everywhere, and the output 1 - joint
    nobody = np.zeros((1, 1), np.float32)
    expected = joint.square().mean().item()
    assert objective(Says(output=right), images, joints, nobody).item() == pytest.approx(expected)


def test_windows_with_and_without_the_joint_have_the_same_weight():
    """16 x 16 pixels, windows at 2, 6, 10, 14: a joint at (6, 10) with radius 3 is in one window of 16."""
    images, joints = torch.zeros(1, 3, 16, 16), np.array([[[6.0, 10.0]]])
    objective = Windows(radius=3.0)
    flat = torch.zeros(1, 1, 4, 4)  # a half everywhere: -log(1/2), whatever the weights
    assert objective(Says(output=flat), images, joints, ONE).item() == pytest.approx(math.log(2))
    sure = flat.clone()
    sure[0, 0, 2, 1] = 40.0  # the right window is certain: what is left is half of log 2, from the others
    assert objective(Says(output=sure), images, joints, ONE).item() == pytest.approx(math.log(2) / 2)
    wrong = flat.clone()
    wrong[0, 0, 0, 0] = 3.0  # one of 15 windows without the joint is positive
    more = (math.log(1 + math.exp(3)) - math.log(2)) / 15 / 2
    assert objective(Says(output=wrong), images, joints, ONE).item() == pytest.approx(math.log(2) + more, rel=1e-5)
    # windows of 64 pixels without a border: one in 64 pixels, its middle at (32, 32)
    middle = objective(
        Says(output=torch.full((1, 1, 1, 2), 0.0)), torch.zeros(1, 3, 64, 68), np.array([[[32.0, 32.0]]]), ONE
    )
    assert middle.item() == pytest.approx(math.log(2))


def test_windows_with_gaussian_targets():
    """16 x 16 pixels, windows at 2, 6, 10, 14: a joint at (6, 10), sigma one window. The target of its window is 1,
    that of the four beside it exp(-1/2), and every window has the same weight."""
    images, joints = torch.zeros(1, 3, 16, 16), np.array([[[6.0, 10.0]]])
    objective = Windows(radius=3.0, sigma=1.0)
    assert objective.decoding == "vertex" and Windows(radius=3.0).decoding == "quarter"
    flat = torch.zeros(1, 1, 4, 4)  # a half everywhere costs log 2 per window, whatever the target
    assert objective(Says(output=flat), images, joints, ONE).item() == pytest.approx(16 * math.log(2))
    yes = flat.clone()
    yes[0, 0, 2, 0] = 3.0  # of the window beside it: log(1 + e^3) - 3 exp(-1/2) in place of log 2
    more = math.log(1 + math.exp(3)) - 3 * math.exp(-0.5) - math.log(2)
    assert objective(Says(output=yes), images, joints, ONE).item() == pytest.approx(16 * math.log(2) + more)
    network = module("jain2014").build(2, channels=(2, 2, 2), linear=(4, 2))
    objective.prepared(network, np.array([[[6.0, 10.0], [8.0, 12.0]]]), np.ones((1, 2), np.float32))
    assert network.linear3.bias.sigmoid().tolist() == pytest.approx([0.02, 0.02])  # few windows show a joint


def _maps(scores, offsets, pairs):
    from baselines.models.deepercut import Maps

    return Maps(scores, offsets, pairs)


def test_parts_offsets_and_pairs_of_deepercut():
    """Two parts on 16 x 16 pixels: places at 4 and 12. Part 0 is at (6, 4), part 1 at (12, 15); radius 6."""
    deepercut = module("deepercut")
    network = deepercut.build(2, depth=18, width=4)
    joints, both = np.array([[[6.0, 4.0], [12.0, 15.0]]]), np.ones((1, 2), np.float32)
    images = torch.zeros(1, 3, 16, 16)
    # part 0 belongs to the places (4, 4), 2 off, and (12, 4), 6 off; part 1 to (12, 12), 3 off
    scores = torch.full((1, 2, 2, 2), -40.0)
    scores[0, 0, 0, 0] = scores[0, 0, 0, 1] = scores[0, 1, 1, 1] = 40.0
    offsets, pairs = torch.zeros(1, 2, 2, 2, 2), torch.zeros(1, 2, 2, 2, 2)
    unit = deepercut.OFFSET_SCALE
    offsets[0, 0, 0, 0, 0], offsets[0, 0, 0, 0, 1], offsets[0, 1, 1, 1, 1] = 2 / unit, -6 / unit, 3 / unit
    # pair 0 leads from places of part 0 to part 1: (8, 11) and (0, 11); pair 1 from (12, 12) to part 0: (-6, -8)
    pairs[0, 0, :, 0, 0], pairs[0, 0, :, 0, 1] = torch.tensor([8.0, 11.0]), torch.tensor([0.0, 11.0])
    pairs[0, 1, :, 1, 1] = torch.tensor([-6.0, -8.0])
    objective = Parts(radius=6.0)
    network.logits = lambda _: _maps(scores, offsets, pairs)
    assert objective(network, images, joints, both).item() == pytest.approx(0, abs=1e-6)
    # pair_pixels, which predictions are read with, gives the same: here a unit is a pixel
    assert network.pair_pixels(pairs)[0, 1, :, 1, 1].tolist() == [-6, -8]
    # an offset that is 0.5 off costs 0.5^2 / 2 at one of three places, times 0.05
    offsets[0, 1, 0, 1, 1] = 0.5
    assert objective(network, images, joints, both).item() == pytest.approx(0.05 * 0.125 / 3, rel=1e-4)
    # a pair that is 3 off costs 3 - 0.5 (Huber) at one of three places
    offsets[0, 1, 0, 1, 1], pairs[0, 1, 0, 1, 1] = 0.0, -3.0
    assert objective(network, images, joints, both).item() == pytest.approx(0.05 * 2.5 / 3, rel=1e-4)
    # part 1 not annotated: neither its places nor pairs with it count
    first = np.array([[1.0, 0.0]], np.float32)
    assert objective(network, images, joints, first).item() == pytest.approx(0, abs=1e-6)


def test_places_belong_to_the_nearest_of_several_people():
    """32 x 8 pixels, places at 4, 12, 20, 28. The first person's parts are at (5, 4) and (13, 4), the second's at
    (9, 4) and (28, 4), of which the first one is 5 from place 4, and 3 from place 12; radius 6."""
    deepercut = module("deepercut")
    network = deepercut.build(2, depth=18, width=4)
    joints = np.array([[[[5.0, 4.0], [13.0, 4.0]], [[9.0, 4.0], [28.0, 4.0]]]])
    images, everyone = torch.zeros(1, 3, 8, 32), np.ones((1, 2, 2), np.float32)
    scores = torch.full((1, 2, 1, 4), -40.0)
    scores[0, 0, 0, :2] = scores[0, 1, 0, 1] = scores[0, 1, 0, 3] = 40.0
    offsets, pairs = torch.zeros(1, 2, 2, 1, 4), torch.zeros(1, 2, 2, 1, 4)
    unit = deepercut.OFFSET_SCALE
    # place 4 is 1 from the first one's part 0, place 12 is 3 from the second's; part 1: 1 and 0
    offsets[0, 0, 0, 0, 0], offsets[0, 0, 0, 0, 1], offsets[0, 1, 0, 0, 1] = 1 / unit, -3 / unit, 1 / unit
    # from place 4 to the first one's part 1: 9; from place 12 to the second's: 16; and back: -7 and -19
    pairs[0, 0, 0, 0, 0], pairs[0, 0, 0, 0, 1], pairs[0, 1, 0, 0, 1], pairs[0, 1, 0, 0, 3] = 9.0, 16.0, -7.0, -19.0
    objective = Parts(radius=6.0)
    assert objective.everyone and not Windows(radius=3.0).everyone and not Heatmaps("mse", 1.0).everyone
    network.logits = lambda _: _maps(scores, offsets, pairs)
    assert objective(network, images, joints, everyone).item() == pytest.approx(0, abs=1e-6)
    # the way to the other person's part, 16 - 9 off, costs 7 - 0.5 at one of four places, times 0.05
    pairs[0, 0, 0, 0, 0] = 16.0
    assert objective(network, images, joints, everyone).item() == pytest.approx(0.05 * 6.5 / 4, rel=1e-4)
    # the second person's part 1 is not annotated: where it is counts as a place without that part, and no pair leads
    # to it; -log(1 - s(40)) = 40 over 8 places; the mean over three pairs is of 6.5 once, and none of place 28
    known = np.array([[[1, 1], [1, 0]]], np.float32)
    expected = 40 / 8 + 0.05 * 6.5 / 2
    assert objective(network, images, joints, known).item() == pytest.approx(expected, rel=1e-4)


def test_pairs_are_normalised_by_the_training_people():
    network = module("deepercut").build(2, depth=18, width=4)
    joints = np.array([[[0.0, 0.0], [10.0, 4.0]], [[0.0, 0.0], [20.0, 4.0]], [[0.0, 0.0], [90.0, 90.0]]])
    weights = np.array([[1, 1], [1, 1], [1, 0]], np.float32)  # the third person's part 1 is unknown
    Parts(radius=6.0).prepared(network, joints, weights)
    # from 0 to 1: (10, 4) and (20, 4), mean (15, 4), deviation (5, 0), at least 1; from 1 to 0 the opposite
    assert network.pair_mean.tolist() == [15, 4, -15, -4] and network.pair_deviation.tolist() == [5, 1, 5, 1]


def test_people_are_moved_to_the_middle_for_the_parallel_branch():
    joints = np.array([[[2.0, 2.0], [6.0, 10.0], [90.0, 90.0]], [[1.0, 1.0]] * 3])
    weights = np.array([[1, 1, 0], [0, 0, 0]], np.float32)
    moved = centred(joints, weights, np.array([20, 40]))
    # the box of the annotated joints, 2..6 and 2..10, has its middle at (4, 6): they move by (6, 14)
    assert moved[0, :2].tolist() == [[8, 16], [12, 24]] and moved[1].tolist() == joints[1].tolist()


def test_the_parallel_branch_teaches_the_transformer_alone():
    """The parallel branch alone changes no weight of the estimator; with the heatmaps, both learn."""
    torch.manual_seed(0)
    network = module("rmpe").build(2, depth=18, width=4, shuffled=(16, 16), transformer=4)
    nn.init.normal_(network.transformer.affine.weight, std=0.01)
    images, joints = torch.randn(2, 3, 64, 32), np.random.default_rng(0).uniform(4, 28, size=(2, 2, 2))
    weights = np.ones((2, 2), np.float32)
    network.parallel(images).square().mean().backward()
    assert all(p.grad is None for p in network.estimator.parameters())
    assert network.transformer.affine.weight.grad.abs().max() > 0
    heatmaps = Heatmaps("mse", 1.0)(network, images, joints, weights).item()
    both = Regional("mse", 1.0)(network, images, joints, weights)
    both.backward()
    assert both.item() > heatmaps and network.estimator.conv_out.weight.grad.abs().max() > 0


def test_a_singular_transform_shows_nothing():
    rmpe = module("rmpe")
    maps = torch.ones(1, 1, 4, 4)
    flat = torch.zeros(1, 2, 3)  # has no inverse
    far = torch.tensor([[[1.0, 0.0, 1e30], [0.0, 1.0, 0.0]]])
    for theta in (rmpe.inverse(flat), torch.full((1, 2, 3), float("nan")), torch.full((1, 2, 3), 1e38), far):
        assert rmpe.transform(maps, theta).isfinite().all()
    assert rmpe.transform(maps, far).max() == 0


@pytest.mark.parametrize("name", trainable())
def test_every_architecture_learns_two_people_with_the_loss_of_its_narrow_variant(name):
    """Thirty steps go at least a quarter of the way from the first loss to the lowest possible one."""
    torch.manual_seed(0)
    found, how = module(name), training_of(name)
    settings = registry.card(name).arguments("narrow")
    network = found.build(3, **settings).train()
    for layer in network.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    objective = how.objective(how.narrow, (64, 64))
    images = torch.randn(2, 3, 64, 64)
    joints = np.array([[[10.0, 14.0], [40.0, 20.0], [30.0, 50.0]], [[50.0, 44.0], [20.0, 20.0], [14.0, 34.0]]])
    weights = np.array([[1, 1, 1], [1, 0, 1]], np.float32)
    objective.prepared(network, joints, weights)
    recipe = replace(how.narrow, optimiser="adam", learning_rate=2e-3, weight_decay=0.0)
    optimiser = optimiser_of(recipe, network, how.slower)
    losses = []
    for _ in range(30):
        loss = objective(network, images, joints, weights)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        losses.append(loss.item())
    lowest = 0.0
    if objective.output == "logits":  # the entropy of the targets, per stage and for the parallel branch
        outputs = network(images).shape[1] + (name == "rmpe")
        target = gaussians(images, joints, weights, objective.stride, how.narrow.sigma).flatten(2)
        share = target / target.sum(dim=2, keepdim=True).clamp(min=1e-6)
        entropy = -(share * share.clamp(min=1e-12).log()).sum(dim=2)  # [2, 3]
        lowest = outputs * (entropy * torch.from_numpy(weights)).sum().item() / weights.sum()
    assert min(losses[-5:]) - lowest < 0.75 * (losses[0] - lowest)


def test_convolutional_pose_machines_of_published_size_learn_at_the_published_rate():
    """Three steps of the published recipe lower the loss; from weights that keep the variance they blow it up.

    The rate is for the mean over maps of 46 x 46, so the image has their size.
    """
    cpm, how = module("cpm"), training_of("cpm")
    recipe, objective = how.published, how.objective(how.published, (368, 368))
    light = torch.linspace(-1, 1, 368)
    images = torch.stack([light.expand(368, 368), light[:, None].expand(368, 368), torch.zeros(368, 368)])[None]
    joints = np.linspace((60.0, 300.0), (310.0, 50.0), 14)[None]  # [1, 14, 2]
    ends = {}
    for even in (False, True):
        torch.manual_seed(0)
        network = cpm.build(14, stages=2, even_start=even)
        optimiser = optimiser_of(recipe, network, how.slower)
        losses = []
        for _ in range(3):
            loss = objective(network, images, joints, np.ones((1, 14), np.float32))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        ends[even] = losses
    assert ends[False][-1] < ends[False][0]
    assert not ends[True][-1] < ends[True][0]
