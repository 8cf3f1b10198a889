"""Checkpoints that the operator brings: registered once and unchanged, or rejected with a code; registered ones run."""

from __future__ import annotations

import hashlib
import io
import pickle
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from django.core.management import CommandError, call_command

import baselines
from baselines.weights import checkpoints as stored
from leaderboard.models import Checkpoint

pytestmark = pytest.mark.django_db

TERMS = {"licence": "MIT", "source": "https://example.org/weights"}


@pytest.fixture(autouse=True)
def folder(settings, tmp_path: Path) -> Path:
    settings.CHECKPOINTS_DIR = tmp_path / "checkpoints"
    return tmp_path / "checkpoints"


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    """Those of a small HRNet, named as in its authors' release."""
    torch.manual_seed(0)
    network = baselines.module("hrnet").build(17, width=8, modules=(1, 2, 1), depth=1)
    return network.state_dict()


def _register(file: Path, **options: object) -> str:
    out = io.StringIO()
    call_command("register_checkpoint", file, stdout=out, **{**TERMS, **options})
    return out.getvalue()


def _saved(weights: dict[str, torch.Tensor], file: Path) -> Path:
    torch.save({"epoch": 210, "state_dict": {f"module.{name}": value for name, value in weights.items()}}, file)
    return file


def test_a_released_file_is_stored_unchanged_and_runs(weights, tmp_path: Path, folder: Path) -> None:
    file = _saved(weights, tmp_path / "pose_hrnet.pth.tar")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert "registered" in _register(file, sha256=digest.upper(), input_size=(96, 128))
    row = Checkpoint.objects.get()
    assert (row.family, row.variant, row.sha256, row.size) == ("hrnet", "w8", digest, file.stat().st_size)
    assert row.licence == "MIT" and row.source == "https://example.org/weights"
    assert (folder / row.file).read_bytes() == file.read_bytes()
    assert "already registered" in _register(file)
    assert Checkpoint.objects.count() == 1 and sorted(p.name for p in folder.iterdir()) == sorted(
        [row.file, row.path.name]
    )

    estimator = baselines.load("hrnet", "coco", checkpoint=row.path, device="cpu")
    assert estimator.checkpoint_sha256 == digest and estimator.variant == "w8"
    assert estimator.input_size == (96, 128)
    # the first heatmaps are those of the network with these weights, on the crop normalised as for HRNet
    network = baselines.module("hrnet").build(17, width=8, modules=(1, 2, 1), depth=1).eval()
    network.load_state_dict(weights)
    crop = np.random.default_rng(0).integers(0, 255, (1, 128, 96, 3), dtype=np.uint8)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    normalised = torch.from_numpy(((crop / 255.0 - mean) / std).astype(np.float32)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        expected = network(normalised)[:, -1].numpy()
    assert np.abs(estimator.forward(crop)[0] - expected).max() <= 1e-4 * np.abs(expected).max()


def test_safetensors_with_other_joints_and_sizes(weights, tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    safetensors.torch.save_file(
        {f"backbone.{k}" if "final" not in k else f"head.{k}": v for k, v in weights.items()}, file
    )
    _register(file, input_size=(96, 128), joints="mannequins")
    row = Checkpoint.objects.get()
    assert row.joints[:2] == ["nose", "left_eye"]
    assert baselines.load("hrnet", "mannequins", checkpoint=row.path).input_size == (96, 128)
    with pytest.raises(baselines.protocol.BaselineFailed) as other:
        baselines.load("simple_baseline", "mannequins", checkpoint=row.path)
    assert other.value.code == "checkpoint_mismatch"


class Payload:
    """A hostile pickle: loading it would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def _rejected(file: Path, **options: object) -> str:
    with pytest.raises(CommandError) as rejected:
        _register(file, **options)
    code, _, text = str(rejected.value).partition(": ")
    assert file.name in text or code == "no_licence"
    assert Checkpoint.objects.count() == 0
    return code


def test_an_unusable_file_is_rejected_with_a_code(
    weights, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = _saved(weights, tmp_path / "whole.pth")
    cut = tmp_path / "cut.pth"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert _rejected(cut) == "checkpoint_unreadable"

    tampered = tmp_path / "tampered.pth"
    content = bytearray(whole.read_bytes())
    content[len(content) // 2] ^= 1
    tampered.write_bytes(content)
    assert _rejected(tampered, sha256=hashlib.sha256(whole.read_bytes()).hexdigest()) == "checkpoint_digest"

    hostile, proof = tmp_path / "hostile.pth", tmp_path / "proof"
    hostile.write_bytes(pickle.dumps({"state_dict": Payload(proof)}, protocol=2))
    assert _rejected(hostile) == "checkpoint_unsafe" and not proof.exists()
    torch.save({"state_dict": Payload(proof)}, hostile)
    assert _rejected(hostile) == "checkpoint_unsafe" and not proof.exists()

    other = tmp_path / "other.pth"
    torch.save({"encoder.weight": torch.zeros(2, 2)}, other)
    assert _rejected(other) == "checkpoint_unknown_format"
    assert _rejected(_saved({k: v for k, v in weights.items() if k != "layer1.0.conv2.weight"}, other)) == (
        "checkpoint_mismatch"
    )
    assert _rejected(_saved({**weights, "layer1.0.conv2.weight": torch.zeros(64, 64, 5, 5)}, other)) == (
        "checkpoint_mismatch"
    )
    infinite = {**weights, "bn1.bias": weights["bn1.bias"] + float("inf")}
    assert _rejected(_saved(infinite, other)) == "checkpoint_mismatch"

    assert _rejected(tmp_path / "none.pth") == "checkpoint_missing"
    assert _rejected(whole, licence=" ") == "no_licence"
    assert _rejected(whole, joints="lsp") == "checkpoint_joints"  # 14 of 17
    assert _rejected(whole, joints="nowhere") == "checkpoint_joints"
    assert _rejected(whole, input_size=(100, 128)) == "checkpoint_input_size"
    monkeypatch.setattr(stored, "LARGEST_FILE", whole.stat().st_size - 1)
    assert _rejected(whole) == "checkpoint_too_large"
    assert list(folder.iterdir()) == []  # nothing was stored


def test_joints_must_be_named_where_their_number_is_ambiguous(tmp_path: Path) -> None:
    network = baselines.module("hrnet").build(14, width=8, modules=(1, 1, 1), depth=1)
    file = _saved(network.state_dict(), tmp_path / "fourteen.pth")
    assert _rejected(file) == "checkpoint_joints"
    _register(file, joints="crowdpose")
    assert Checkpoint.objects.get().joints[-2:] == ["head", "neck"]
