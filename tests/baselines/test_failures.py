"""Networks that fail: the run ends with an error code, and their memory is released."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from baselines.devices import memory
from baselines.estimators.heatmap import HeatmapEstimator
from baselines.protocol import BaselineFailed
from baselines.run.predict import predict
from baselines.weights.checkpoints import Checkpoint
from evaluator import load_dataset

IMAGES = 6
LSP = load_dataset("lsp")


class Heatmaps(nn.Module):
    """Heatmaps of one layer; `wrong` says what goes wrong, from which batch size on."""

    def __init__(self, wrong: str = "", at: int = 1) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 14, 1)
        self.wrong, self.at = wrong, at
        self.batches: list[int] = []

    def forward(self, images: Tensor) -> Tensor:
        maps = self.layer(nn.functional.avg_pool2d(images, 4))[:, None]  # [B, 1, 14, H/4, W/4]
        if images.device.type == "meta":
            return maps
        self.batches.append(len(images))
        if self.wrong and len(images) >= self.at:
            if self.wrong == "allocates":
                torch.empty(1 << 50)  # a pebibyte: no machine has it
            if self.wrong == "raises":
                raise RuntimeError("the sizes of tensors must match")
            if self.wrong == "nan":
                return maps * float("nan")
        return maps


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(IMAGES):
        Image.new("RGB", (60, 80), (40 * number, 90, 160)).save(tmp_path / f"{number}.png")
    return tmp_path


def run(network: Heatmaps, folder: Path, monkeypatch: pytest.MonkeyPatch):
    checkpoint = Checkpoint(
        "toy", "only", "", "0" * 64, LSP.joints, LSP.flip_pairs, {}, (48, 64), 1.25, (0.5,) * 3, (0.25,) * 3,
        "heatmaps", "", "",
    )  # fmt: skip
    made = HeatmapEstimator(network, checkpoint, list(range(14)), "cpu")
    monkeypatch.setattr("baselines.run.predict.load", lambda *_, **__: made)
    images = [{"id": n, "file_name": f"{n}.png", "people": [{"person_id": 0}]} for n in range(IMAGES)]
    return predict("toy", {"images": images}, folder, "lsp")


@pytest.mark.parametrize(
    ("wrong", "code", "final", "words"),
    [
        ("raises", "network_failed", True, "toy failed on images 0 to 5: RuntimeError: the sizes of tensors"),
        ("allocates", "out_of_memory", False, "toy does not fit into the memory of cpu"),
        ("nan", "not_finite", True, "image 0"),
    ],
)
def test_a_failure_has_a_name_and_leaves_nothing_behind(
    wrong: str, code: str, final: bool, words: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = Heatmaps(wrong)
    held = weakref.ref(network)
    with pytest.raises(BaselineFailed) as failed:
        run(network, folder, monkeypatch)
    assert (failed.value.code, failed.value.final) == (code, final)
    assert words in str(failed.value)
    monkeypatch.undo()
    del network, failed
    memory.give_back()
    assert held() is None


def test_the_batch_shrinks_until_it_fits(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = Heatmaps("allocates", at=3)
    results, record = run(network, folder, monkeypatch)
    assert len(results) == IMAGES
    # 6 at once do not fit, nor do 3; each of the three ones that fit is run with its mirror image
    assert network.batches == [6, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]
    assert record.batch == 1


def test_the_batch_is_as_large_as_free_memory_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.MaxPool2d(2), nn.Conv2d(8, 4, 1))
    # of a 16 x 8 image: 8 x 16 x 8, 8 x 8 x 4 and 4 x 8 x 4 numbers of 4 bytes
    assert memory.activation_bytes(network, (16, 8)) == 4 * (8 * 128 + 8 * 32 + 4 * 32)
    # half of what is free, over twice the activations: 1 MiB * 0.5 / (2 * 5632) = 46.5
    monkeypatch.setattr(memory, "free_bytes", lambda _: 1 << 20)
    assert memory.batch_size(network, (16, 8), "cpu", 64) == 46
    assert memory.batch_size(network, (16, 8), "cpu", 16) == 16
    monkeypatch.setattr(memory, "free_bytes", lambda _: 100)
    assert memory.batch_size(network, (16, 8), "cpu", 16) == 1


def test_free_memory_is_that_of_the_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gc.collect()
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    (tmp_path / "memory.current").write_text("3000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.free_bytes("cpu") > 3000
    (tmp_path / "memory.max").write_text("5000\n")
    assert memory.free_bytes("cpu") == 2000
