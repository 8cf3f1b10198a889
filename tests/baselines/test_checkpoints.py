"""Weights: the right file, safely read, for the right network, with the score it claims."""

import argparse
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from baselines import names
from baselines.mannequins import generate
from baselines.run import claims, simple_methods
from baselines.run.claims import CLAIM
from baselines.train.fit_grouping import MARGIN
from baselines.train.recipes import trainable
from baselines.weights import checkpoints
from baselines.weights.checkpoints import Checkpoint, CheckpointError, sha256_of
from evaluator import load_dataset, measure, public_images, read_predictions, read_truth
from evaluator.reading.annotations import listed
from evaluator.uncertainty import paired_differences, resamples


def _network() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4))


def test_weights_survive_writing_and_reading(tmp_path):
    network = _network()
    with torch.no_grad():
        network[0].weight.copy_(torch.arange(12.0).reshape(4, 3, 1, 1) / 8)  # exact in half precision
    digest = checkpoints.write_weights(network, tmp_path / "a.safetensors")
    other = _network()
    checkpoints.fill(other, checkpoints.read_weights(tmp_path / "a.safetensors", digest))
    assert torch.equal(other[0].weight, network[0].weight) and other[0].weight.dtype == torch.float32


def test_an_altered_or_truncated_file_is_rejected(tmp_path):
    path = tmp_path / "a.safetensors"
    digest = checkpoints.write_weights(_network(), path)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(CheckpointError, match="digest") as altered:
        checkpoints.read_weights(path, digest)
    assert altered.value.code == "digest"
    path.write_bytes(content[:40])  # truncated, with a digest that fits: the format itself must notice
    with pytest.raises(CheckpointError) as truncated:
        checkpoints.read_weights(path, sha256_of(path))
    assert truncated.value.code == "unreadable"
    with pytest.raises(CheckpointError) as missing:
        checkpoints.read_weights(tmp_path / "none.safetensors", digest)
    assert missing.value.code == "missing"


class Payload:
    """What a hostile pickle does when it is loaded."""

    def __reduce__(self):
        return (open, ("/tmp/never-written-by-a-checkpoint", "w"))


def test_a_pickle_with_code_is_rejected_and_not_run(tmp_path):
    for name, content in (("a.pth", None), ("b.pth", pickle.dumps({"weight": Payload()}, protocol=2))):
        path = tmp_path / name
        if content is None:
            torch.save({"weight": Payload()}, path)
        else:
            path.write_bytes(content)
        with pytest.raises(CheckpointError) as failure:
            checkpoints.read_weights(path, sha256_of(path))
        assert failure.value.code in {"unsafe", "unreadable"}


def test_a_plain_file_of_tensors_is_read(tmp_path):
    path = tmp_path / "a.pth"
    torch.save({"epoch": 3, "state_dict": _network().state_dict()}, path)
    checkpoints.fill(_network(), checkpoints.read_weights(path, sha256_of(path)))
    torch.save([1, 2], path)
    with pytest.raises(CheckpointError, match="table of tensors"):
        checkpoints.read_weights(path, sha256_of(path))


def _training(**more):
    """A training checkpoint, with numpy's numbers as the releases of HRNet and pytorch-pose have them."""
    network = _network()
    optimiser = torch.optim.Adam(network.parameters())
    network(torch.ones(2, 3, 4, 4)).sum().backward()
    optimiser.step()
    numbers = {"best_acc": np.float64(0.875), "lr": np.float32(2.5e-4), "epoch": np.int64(90), "best": np.bool_(True)}
    return {"arch": "hg", "state_dict": network.state_dict(), "optimizer": optimiser.state_dict(), **numbers, **more}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("older", [True, False])
def test_a_training_checkpoint_is_read(zipped, older, tmp_path):
    path = tmp_path / "model_best.pth.tar"
    torch.save(_training(), path, _use_new_zipfile_serialization=zipped)
    if older:  # than numpy 2, whose functions were elsewhere
        content = path.read_bytes().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
        if zipped:
            with zipfile.ZipFile(path) as packed:
                parts = {name: packed.read(name) for name in packed.namelist()}
            with zipfile.ZipFile(path, "w") as packed:
                for name, part in parts.items():
                    packed.writestr(name, part.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
        else:
            path.write_bytes(content)
        assert b"numpy._core" not in path.read_bytes() and b"numpy.core.multiarray" in path.read_bytes()
    found = checkpoints.read_weights(path, sha256_of(path))
    assert sorted(found) == sorted(_network().state_dict())


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"args": argparse.Namespace(lr=0.1)}, r"\(argparse\.Namespace\): save its state_dict alone"),
        ({"kind": np.dtype("O")}, "ObjectDType"),
        ({"name": np.str_("hg")}, "StrDType"),
        ({"row": np.zeros(1, dtype=[("a", "f4")])[0]}, "VoidDType"),
        ({"history": np.zeros(3)}, r"_reconstruct"),
        ({"path": Path("a")}, r"PosixPath"),
    ],
)
def test_anything_but_tensors_and_numbers_is_rejected(more, words, zipped, tmp_path):
    path = tmp_path / "a.pth"
    torch.save(_training(**more), path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=words) as failure:
        checkpoints.read_weights(path, sha256_of(path))
    assert failure.value.code == "unsafe"


def test_a_file_that_unpacks_to_too_much_is_rejected(tmp_path, monkeypatch):
    path, small = tmp_path / "a.pth", tmp_path / "small.pth"
    torch.save({"weight": torch.zeros(1 << 18)}, path)  # a megabyte of zeros
    with zipfile.ZipFile(path) as packed, zipfile.ZipFile(small, "w", zipfile.ZIP_DEFLATED) as repacked:
        for name in packed.namelist():
            repacked.writestr(name, packed.read(name))
    monkeypatch.setattr(checkpoints, "LARGEST_FILE", 1 << 19)
    assert small.stat().st_size < 1 << 14
    with pytest.raises(CheckpointError, match="unpacks to more") as failure:
        checkpoints.read_weights(small, sha256_of(small))
    assert failure.value.code == "too_large"


def _without(state, name):
    return {key: value for key, value in state.items() if key != name}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: _without(s, "0.weight"), "missing 0.weight"),
        (lambda s: {**s, "2.weight": s["0.weight"]}, "unexpected 2.weight"),
        (lambda s: {**s, "0.weight": s["0.weight"][:2]}, r"shape \[2, 3, 1, 1\], expected \[4, 3, 1, 1\]"),
        (lambda s: {**s, "0.bias": s["0.bias"] * float("nan")}, "0.bias is not finite"),
    ],
)
def test_weights_of_another_network_are_rejected_by_name(change, words):
    network = _network()
    before = network[0].weight.clone()
    with pytest.raises(CheckpointError, match=words):
        checkpoints.fill(network, change(_network().state_dict()))
    assert torch.equal(network[0].weight, before)  # nothing was loaded


def test_batch_counters_may_be_missing():
    state = _without(_network().state_dict(), "1.num_batches_tracked")
    checkpoints.fill(_network(), state)


def test_a_description_without_its_fields_is_rejected(tmp_path):
    path = tmp_path / "a.json"
    for content in ("{", "[]", '{"baseline": "x"}'):
        path.write_text(content)
        with pytest.raises(CheckpointError) as failure:
            Checkpoint.read(path)
        assert failure.value.code == "description"


SHIPPED = sorted(checkpoints.FOLDER.glob("*-narrow.json"))


def test_every_trainable_architecture_includes_a_narrow_variant_that_runs():
    assert [path.stem for path in SHIPPED] == sorted(f"{name}-narrow" for name in trainable())
    assert set(names()) == {*trainable(), "blazepose"}


@pytest.fixture(scope="module")
def claimed(tmp_path_factory):
    """The split of the claimed scores, its annotations, and the tallies of the mean pose of 100 training images."""
    folder, training = tmp_path_factory.mktemp("claimed"), tmp_path_factory.mktemp("training")
    truth = generate(folder, split=CLAIM["split"], images=CLAIM["images"], seed=CLAIM["seed"])
    generate(training, split="train", images=100, seed=1)
    public = public_images(truth, boxes=True)
    mean = simple_methods.demo_predictions(training, public, folder / "images", ["Mean pose"])["Mean pose"]
    return truth, folder / "images", _tally(mean, truth)


def _tally(results, truth):
    """The measurement behind AP."""
    definition = load_dataset("mannequins")
    annotations = read_truth(truth, definition)
    entries = read_predictions(results, definition, listed(annotations, definition))
    return next(t for t in measure(definition, entries, annotations) if ("ap", "all") in t.columns)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_an_included_checkpoint_is_small_reaches_its_claim_and_beats_the_mean_pose(path, claimed):
    truth, folder, mean = claimed
    checkpoint = Checkpoint.read(path)
    file = path.with_name(checkpoint.file)
    assert file.stat().st_size <= 1_000_000
    assert sha256_of(file) == checkpoint.sha256
    assert all(t.dtype == torch.float16 for t in safetensors.torch.load_file(file).values())
    assert {key: checkpoint.claim[key] for key in CLAIM} == CLAIM
    assert checkpoint.training["command"].startswith("OMP_NUM_THREADS=1 python -m baselines train ")
    assert checkpoint.training["cpu_seconds"] <= 300
    assert json.loads(path.read_text())["licence"] == "Apache-2.0"
    found = _tally(claims.predictions(checkpoint.baseline, path, truth, folder), truth)
    weights = resamples(read_truth(truth, load_dataset("mannequins")).sha256, CLAIM["images"])
    paired = {(d.metric, d.part): d for d in paired_differences(found, mean, weights)}
    better = paired["ap", "all"]
    assert better.a == pytest.approx(checkpoint.claim["value"], abs=0.01)
    assert better.low is not None and better.low > 0


def test_the_docs_match_the_checkpoints():
    """docs/baselines.md has a row for every checkpoint: parameters, input, CPU seconds, AP."""
    page = (Path(__file__).parents[2] / "docs" / "baselines.md").read_text()
    for path in SHIPPED:
        found = Checkpoint.read(path)
        seconds, score = found.training["cpu_seconds"], 100 * found.claim["value"]
        size = "{} x {}".format(*found.input_size)
        assert f"| {size} | {seconds} | {score:.1f} |" in page, path.stem


def test_the_docs_match_the_fitted_groupings():
    """docs/baselines.md has a row for every checkpoint with a fitted grouping: log-likelihoods, joints found and AP."""
    page = (Path(__file__).parents[2] / "docs" / "baselines.md").read_text()
    fitted = [found for found in map(Checkpoint.read, SHIPPED) if found.grouping]
    assert "deepercut" in {found.baseline for found in fitted}
    for found in fitted:
        record = found.training["grouping"]
        likely, joints, ap = (record[name] for name in ("log_likelihood", "joints_found", "ap"))
        assert likely["fitted"] > likely["prior"] and found.grouped == (joints["grouped"] > joints["alone"] + MARGIN)
        assert found.claim["value"] == ap["grouped" if found.grouped else "alone"]
        numbers = [f"{likely[name]:.3f}" for name in ("prior", "fitted")]
        numbers += [f"{100 * part[name]:.1f}" for part in (joints, ap) for name in ("alone", "grouped")]
        assert " | ".join(numbers) in page, found.baseline
