"""Members of the public families other than those whose original outputs are stored.

`plain_networks` and `plain_hourglasses` implement again, from the names alone, which weights a member has and what it
computes; `python -m baselines check-checkpoint` must find the same outputs, and must reject every altered list.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from baselines.__main__ import main
from baselines.weights import checkpoints, parity
from baselines.weights.checkpoints import CheckpointError
from baselines.weights.recognition import Recognised, recognise
from tests.baselines import plain_hourglasses as hourglasses
from tests.baselines import plain_networks as plain
from tests.baselines.plain_networks import Shapes, Weights

SEED = 9
Outputs = Tensor | list[Tensor]


def _mmpose(name: str) -> str:
    return f"head.{name}" if name.startswith(("final_layer", "deconv_layers")) else f"backbone.{name}"


def _mmpose_before_1(name: str) -> str:
    return _mmpose(name).replace("head.", "keypoint_head.")


def _behind(prefix: str) -> Callable[[str], str]:
    return lambda name: f"{prefix}{name}"


def _same(name: str) -> str:
    return name


def _check(
    tmp_path: Path, shapes: Shapes, run: Callable[..., Outputs], *, named: Callable[[str], str] = _same,
    stacked: bool = False, inputs: tuple[tuple[int, ...], ...] = ((1, 3, 64, 64),),
) -> list[str]:  # fmt: skip
    """Files shaped like the shared ones, with what `run` gives; the arguments of the command that compares them."""
    theirs = {named(name): shape for name, shape in shapes.items()}
    drawn = parity.seeded_weights(theirs, SEED)
    w: Weights = {name: drawn[named(name)] for name in shapes}
    given = [parity.seeded_input(shape, 7 + number) for number, shape in enumerate(inputs)]
    if given[0].shape[-1] == 3:
        given[0] = given[0].permute(0, 3, 1, 2)  # [B, H, W, 3] to [B, 3, H, W]
    with torch.inference_mode():
        found = run(w, *given)
    if isinstance(found, Tensor):
        outputs = {"out": found}
    else:
        outputs = {"out": torch.stack(found, 1)} if stacked else {f"out{n}": value for n, value in enumerate(found)}
    keys = {
        "state": {name: [list(shape), "torch.float32"] for name, shape in theirs.items()},
        "state_seed": SEED,
        "input_shapes": [list(shape) for shape in inputs],
        "input_seeds": [7 + number for number in range(len(inputs))],
    }
    (tmp_path / "keys.json").write_text(json.dumps(keys))
    np.savez(tmp_path / "outputs.npz", **{name: value.numpy() for name, value in outputs.items()})
    return ["check-checkpoint", str(tmp_path / "keys.json"), str(tmp_path / "outputs.npz")]


def _network_found(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    assert main(arguments) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["max_relative_difference"] < 1e-5  # ten times better than required
    return printed["family"], printed["variant"]


def _old(shapes: Shapes) -> Shapes:
    """As files of early versions of PyTorch, which had no batch counters."""
    return {name: shape for name, shape in shapes.items() if not name.endswith("num_batches_tracked")}


MEMBERS = {
    # published sizes, with other joints or in the names of others than the shared lists
    "hrnet w48 mpii, mmpose": ("hrnet", "w48", plain.hrnet_names(48, 16), plain.hrnet, _mmpose),
    "hrnet w32 mpii": ("hrnet", "w32-mpii", plain.hrnet_names(32, 16), plain.hrnet, _behind("module.")),
    "simple r101, crowdpose": ("simple_baseline", "r101", plain.simple_baseline_names(101, 14),
                               plain.simple_baseline, _mmpose_before_1),
    "fastpose r101": ("rmpe", "fastpose-r101", plain.fastpose_names(101, 17, width=16), plain.fastpose, _same),
    # narrow, but with everything that can differ
    "hrnet w18": ("hrnet", "w18", plain.hrnet_names(18, 14, modules=(1, 1, 1)), plain.hrnet, _behind("model.module.")),
    "hrnet w5": ("hrnet", "w5", plain.hrnet_names(5, 21, modules=(2, 1, 2), depth=2, stem=8, bottlenecks=1, last=3),
                 plain.hrnet, _mmpose),
    "simple r18": ("simple_baseline", "r18",
                   plain.simple_baseline_names(18, 16, width=16, deconvolutions=(24, 16), kernel=3, last=3),
                   plain.simple_baseline, _mmpose),
    "simple r34": ("simple_baseline", "r34",
                   plain.simple_baseline_names(34, 3, width=8, deconvolutions=(8, 8, 8, 8), kernel=2),
                   plain.simple_baseline, _behind("_orig_mod.")),
    "simple r152, alphapose": ("simple_baseline", "r152", {
        name if name.startswith(("final", "deconv")) else f"preact.{name}": shape
        for name, shape in plain.simple_baseline_names(152, 26, width=4, deconvolutions=(12, 8, 4)).items()
    }, plain.simple_baseline, _behind("module.")),
    "fastpose r152": ("rmpe", "fastpose-r152", plain.fastpose_names(152, 26, width=4, shuffled=(32, 64)),
                      plain.fastpose, _behind("module.")),
    "hourglass 4, toolkit": ("stacked_hourglass", "stacks4", _old(hourglasses.toolkit_names(4, 1, 16, 14)),
                             hourglasses.toolkit, _behind("module.")),
    "hourglass 8, toolkit": ("stacked_hourglass", "stacks8", hourglasses.toolkit_names(8, 1, 8, 16),
                             hourglasses.toolkit, _behind("model.module.")),
    "hourglass 1, toolkit": ("stacked_hourglass", "stacks1", hourglasses.toolkit_names(1, 1, 128, 16),
                             hourglasses.toolkit, _same),
    "hourglass 2 x 4, toolkit": ("stacked_hourglass", "stacks2-blocks4", hourglasses.toolkit_names(2, 4, 16, 17),
                                 hourglasses.toolkit, _behind("module.")),
    "hourglass of 3 levels, toolkit": ("stacked_hourglass", "stacks1-blocks2",
                                       hourglasses.toolkit_names(1, 2, 12, 3, levels=3), hourglasses.toolkit, _same),
}  # fmt: skip


@pytest.mark.parametrize("member", MEMBERS)
def test_a_member_gives_the_outputs_of_its_plain_implementation(member, tmp_path, capsys):
    family, variant, shapes, run, named = MEMBERS[member]
    arguments = _check(tmp_path, shapes, run, named=named)
    assert _network_found(arguments, capsys) == (family, variant)
    with np.load(tmp_path / "outputs.npz") as stored:  # the outputs of another network are not these
        last = {name: stored[name] for name in stored.files}
    name = max(last)
    last[name] = last[name] * 1.01
    np.savez(tmp_path / "outputs.npz", **last)
    assert main(arguments) == 1


@pytest.mark.parametrize(
    ("stacks", "width", "joints", "increase", "levels", "variant", "prefix"),
    [
        (8, 256, 16, 0, 4, "full", "model.module."),
        (4, 32, 17, 0, 4, "stacks4", "module."),
        (1, 64, 14, 0, 3, "stacks1", "model."),
        (2, 32, 5, 8, 4, "stacks2-40", ""),
        (1, 32, 5, 8, 1, "stacks1-40", ""),
    ],
)
def test_hourglasses_of_the_authors(stacks, width, joints, increase, levels, variant, prefix, tmp_path, capsys):
    shapes = hourglasses.authors_names(stacks, width, joints, increase=increase, levels=levels)
    arguments = _check(
        tmp_path, shapes, hourglasses.authors, named=_behind(prefix), stacked=True, inputs=((2, 64, 64, 3),)
    )
    assert _network_found(arguments, capsys) == ("stacked_hourglass", variant)


@pytest.mark.parametrize(
    ("stages", "joints", "sizes", "image", "variant"),
    [
        (6, 16, {}, 64, "stages6"),  # MPII
        (6, 15, {"channels": 16, "features": 8, "wide": 24}, 96, "stages6"),
        (4, 9, {}, 64, "flic"),
        (3, 14, {"channels": 12, "features": 4, "wide": 20}, 200, "stages3"),
        (2, 5, {"channels": 12, "wide": 20}, 64, "stages2"),
        (1, 5, {"channels": 12, "wide": 20}, 64, "stages1"),
    ],
)
def test_convolutional_pose_machines(stages, joints, sizes, image, variant, tmp_path, capsys):
    shapes = plain.cpm_names(stages, joints, **sizes)
    inputs = ((1, 3, image, image), (1, 1, image, image))
    assert _network_found(_check(tmp_path, shapes, plain.cpm, inputs=inputs), capsys) == ("cpm", variant)


SHARED: dict[str, tuple[Shapes, Callable[..., Outputs]]] = {
    "hrnet_w32_coco17": (plain.hrnet_names(32, 17), plain.hrnet),
    "simplebaseline_r50_coco17": (plain.simple_baseline_names(50, 17), plain.simple_baseline),
    "cpm_shihenw_14": (plain.cpm_names(6, 14), plain.cpm),
    "fastpose_r50_coco17": (plain.fastpose_names(50, 17), plain.fastpose),
    "hg_bearpaw_s2b1": (hourglasses.toolkit_names(2, 1, 128, 16), hourglasses.toolkit),
    "hg_princeton_s2": (hourglasses.authors_names(2, 256, 16), hourglasses.authors),
}


@pytest.mark.real_data
@pytest.mark.parametrize("name", SHARED)
def test_the_plain_implementations_equal_the_original_networks(real_data, name):
    """Their names and shapes are those of the shared lists, and their outputs the originals'."""
    shapes, run = SHARED[name]
    keys = json.loads((real_data / "baselines" / "parity" / f"{name}.keys.json").read_text())
    assert shapes == {key: tuple(shape) for key, (shape, _) in keys["state"].items()}
    given = [parity.seeded_input(tuple(s), n) for s, n in zip(keys["input_shapes"], keys["input_seeds"], strict=True)]
    if given[0].shape[-1] == 3:
        given[0] = given[0].permute(0, 3, 1, 2)
    with torch.inference_mode():
        found = run(parity.seeded_weights(shapes, keys["state_seed"]), *given)
    stages = [found] if isinstance(found, Tensor) else found
    with np.load(real_data / "baselines" / "parity" / f"{name}.npz") as stored:
        expected = [stored[key] for key in sorted(stored.files)]
    if expected[0].ndim == 5:
        expected = list(expected[0].swapaxes(0, 1))
    for ours, theirs in zip(stages, expected, strict=True):
        assert np.abs(ours.numpy() - theirs).max() <= 1e-5 * np.abs(theirs).max()


# Every altered list of names is rejected


def _fits(shapes: Shapes, built: dict[str, torch.nn.Module]) -> Recognised:
    """The checks made before anything is allocated. Raises CheckpointError."""
    found = recognise(shapes)
    with torch.device("meta"):
        if repr(found) not in built:
            built[repr(found)] = found.build()
        weights = {name: torch.empty(shape) for name, shape in shapes.items()}
    checkpoints.check_names(built[repr(found)], found.convert(weights))
    return found


def _renamed(shapes: Shapes, name: str, to: str) -> Shapes:
    return {to if key == name else key: shape for key, shape in shapes.items()}


def _first_word(name: str) -> str:
    head, _, rest = name.partition(".")
    return f"{head}x.{rest}"


MUTATIONS: list[Callable[[Shapes, str], Shapes]] = [
    lambda shapes, name: _renamed(shapes, name, f"{name}_"),
    lambda shapes, name: _renamed(shapes, name, _first_word(name)),
    lambda shapes, name: _renamed(shapes, name, f"module.{name}"),
    lambda shapes, name: _renamed(shapes, name, name.rpartition(".")[0] + ".scale"),
    lambda shapes, name: _renamed(shapes, name, name.split(".", 1)[-1] if "." in name else f"x.{name}"),
    lambda shapes, name: {key: shape for key, shape in shapes.items() if key != name},
    lambda shapes, name: {**shapes, f"{name}.more": (1,)},
    lambda shapes, name: {**shapes, "backbone.conv1.weight": (64, 3, 7, 7)},
    lambda shapes, name: {**shapes, name: (*shapes[name], 1)},
    lambda shapes, name: {**shapes, name: (*shapes[name][:-1], 3 * shapes[name][-1]) if shapes[name] else (2,)},
    lambda shapes, name: {**shapes, name: shapes[name][::-1] if len(set(shapes[name])) > 1 else (7, 11)},
]
SMALL: dict[str, Shapes] = {
    "hrnet": plain.hrnet_names(5, 4, modules=(1, 1, 1), depth=1, stem=4, bottlenecks=1),
    "mmpose": {_mmpose(name): shape for name, shape in plain.simple_baseline_names(18, 4, width=4).items()},
    "simple": plain.simple_baseline_names(50, 4, width=4),
    "alphapose": MEMBERS["simple r152, alphapose"][2],
    "fastpose": plain.fastpose_names(50, 4, width=4),
    "cpm": plain.cpm_names(3, 4, channels=6, features=5, wide=7),
    "toolkit": hourglasses.toolkit_names(2, 1, 12, 4, levels=2),
    "toolkit of two units": hourglasses.toolkit_names(1, 2, 12, 4, levels=2),
    "authors": hourglasses.authors_names(2, 24, 4, levels=2),
}


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize("form", SMALL)
def test_every_altered_list_is_rejected(form):
    """A hundred names are altered in turn, cycling through the kinds of change, so that each kind meets every layer."""
    shapes, built = SMALL[form], {}
    _fits(shapes, built)
    _fits(_old(shapes), built)
    names = list(_old(shapes))
    names = names[:: 1 + len(names) // 100]
    for number, name in enumerate(names):
        wrong = MUTATIONS[number % len(MUTATIONS)](shapes, name)
        with pytest.raises(CheckpointError) as failure:
            _fits(wrong, built)
        assert failure.value.code in {"mismatch", "unknown_format"}, (name, set(wrong) ^ set(shapes))
    for name in [key for key in shapes if key.endswith("num_batches_tracked")][::5]:
        for wrong in (_renamed(shapes, name, _first_word(name)), {**shapes, name: (2,)}):
            with pytest.raises(CheckpointError):
                _fits(wrong, built)
        assert _fits({key: shape for key, shape in shapes.items() if key != name}, built).form  # it may be missing


def test_unused_skips_are_all_present_or_all_absent():
    """The authors' form registers them all; a list without any is accepted, one with only some of them is not."""
    shapes = SMALL["authors"]
    unused = [
        name
        for name, shape in shapes.items()
        if ".skip_layer." in name and len(set(shapes[f"{name.rpartition('.')[0]}.weight"][:2])) == 1
    ]
    assert len(unused) == 2 * (1 + 2 * 7 + 2)
    without = {name: shape for name, shape in shapes.items() if name not in unused}
    assert _fits(without, {}).convert({name: torch.empty(shape) for name, shape in without.items()})
    for wrong in (
        {name: shape for name, shape in shapes.items() if name != unused[4]},
        {**shapes, unused[4]: (*shapes[unused[4]][:-1], 3)},
        {**without, unused[0]: shapes[unused[0]]},
    ):
        with pytest.raises(CheckpointError, match="skip_layer"):
            _fits(wrong, {})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda keys: keys["state"].update({"final_layer.bias": [[-4], "torch.float32"]}), "a shape of"),
        (lambda keys: keys["state"].update({"final_layer.bias": [["4"], "torch.float32"]}), "not a list of names"),
        (lambda keys: keys.update(input_shapes=[], input_seeds=[]), "no inputs"),
        (lambda keys: keys.update(input_shapes=[[1, 3, 50, 64]]), "does not take inputs of"),
        (lambda keys: keys.update(input_shapes=[[1, 1, 64, 64]]), "does not take inputs of"),
        (lambda keys: keys.update(input_shapes=[[1, 3, 32, 64]]), "the reference"),
        (lambda keys: keys["state"].update({"stage4.99999999.x": [[1], "torch.float32"]}), "numbers go up to 99999999"),
        (lambda keys: keys["state"].update({"final_layer.weight": [[1 << 30, 5, 1, 1], "torch.float32"],
                                            "final_layer.bias": [[1 << 30], "torch.float32"]}), "at most"),
        (lambda keys: keys.pop("state_seed"), "not a list of names"),
    ],
)  # fmt: skip
def test_files_that_do_not_fit_end_with_a_message(change, words, tmp_path, capsys):
    arguments = _check(tmp_path, SMALL["hrnet"], plain.hrnet)
    assert main(arguments) == 0
    keys = json.loads((tmp_path / "keys.json").read_text())
    change(keys)
    (tmp_path / "keys.json").write_text(json.dumps(keys))
    assert main(arguments) == 2
    assert words in capsys.readouterr().err


def test_references_that_do_not_fit_end_with_a_message(tmp_path, capsys):
    arguments = _check(tmp_path, SMALL["toolkit"], hourglasses.toolkit)
    with np.load(tmp_path / "outputs.npz") as stored:
        first, second = stored["out0"], stored["out1"]
    for outputs, words in (
        ({"out0": first, "out1": second[:, :-1]}, "several shapes"),
        ({"out0": first, "out1": second * np.nan}, "not finite"),
        ({}, "no inputs or no outputs"),
    ):
        np.savez(tmp_path / "outputs.npz", **outputs)
        assert main(arguments) == 2
        assert words in capsys.readouterr().err
    (tmp_path / "outputs.npz").write_bytes(b"PK\3\4 is not enough")
    assert main(arguments) == 2
    np.savez(tmp_path / "outputs.npz", out1=first, out0=second)  # the stages' order counts
    assert main(arguments) == 1
