"""What a scoring process may be made to do by a hostile file. Each function is called as an evaluator is."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

SHA = "0" * 64


def report(dataset: str = "lsp", **changes: Any) -> dict[str, Any]:
    score = {"metric": "pck@0.2", "part": "all", "value": 0.5, "low": None, "high": None}
    return {
        "dataset": dataset,
        "protocol": "test",
        "evaluator_version": "1",
        "truth_sha256": SHA,
        "predictions_sha256": SHA,
        "scores": [score],
        "images": 1,
        "people": 1,
        "entries": 1,
    } | changes


def tell(**facts: object) -> dict[str, Any]:
    """A valid report that carries what was found out."""
    return report(protocol=json.dumps(facts))


def honest(dataset: str, predictions: Path, truth: Any, *, images: Any = None) -> dict[str, Any]:
    return tell(predictions=predictions.read_text(), truth=Path(truth).read_text())


def eat_memory(*_: Any, **__: Any) -> dict[str, Any]:
    held = []
    while True:
        held.append(bytearray(16 << 20))


def eat_numpy_memory(*_: Any, **__: Any) -> dict[str, Any]:
    import numpy as np

    return tell(size=float(np.ones((1 << 31,)).sum()))


def spin(*_: Any, **__: Any) -> dict[str, Any]:
    signal.signal(signal.SIGXCPU, signal.SIG_IGN)
    while True:
        pass


def sleep(*_: Any, **__: Any) -> dict[str, Any]:
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError):
            continue
    while True:
        time.sleep(1000)


def segfault(*_: Any, **__: Any) -> dict[str, Any]:
    ctypes.string_at(0)
    return report()


def abort(*_: Any, **__: Any) -> dict[str, Any]:
    os.abort()


def leave(*_: Any, **__: Any) -> dict[str, Any]:
    os._exit(3)


def raise_error(*_: Any, **__: Any) -> dict[str, Any]:
    raise RuntimeError("a fault of the evaluator")


def flood(*_: Any, **__: Any) -> dict[str, Any]:
    return report(protocol="x" * (20 << 20))


def write_nonsense(*_: Any, **__: Any) -> dict[str, Any]:
    for number in range(3, 64):
        try:
            os.write(number, b'{"report": nonsense')
        except OSError:
            continue
    os._exit(0)


def answer(dataset: str, predictions: Path, truth: Any, *, images: Any = None) -> dict[str, Any]:
    """Answers with the prediction file's text, as it is: the child says whatever the file wants."""
    result = next(number for number in range(3, 64) if _is_pipe(number))
    with os.fdopen(result, "wb") as pipe:
        pipe.write(predictions.read_bytes())
    os._exit(0)


def _is_pipe(number: int) -> bool:
    import stat

    try:
        return stat.S_ISFIFO(os.fstat(number).st_mode)
    except OSError:
        return False


def look_around(dataset: str, predictions: Path, truth: Any, *, images: Any = None) -> dict[str, Any]:
    """What is open, in the environment, and imported."""
    opened = [number for number in range(3, 256) if _is_open(number)]
    environment = sorted(os.environ)
    heavy = sorted({name.split(".")[0] for name in sys.modules} & {"django", "celery", "kombu", "torch", "evaluator"})
    return tell(
        opened=len(opened),
        environment=environment,
        heavy=heavy,
        group=os.getpgrp() == os.getpid(),
        folder=str(Path.cwd()),
    )


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _outcome(action: Any) -> str:
    try:
        action()
    except OSError as error:
        return type(error).__name__
    return "done"


def attack(dataset: str, predictions: Path, truth: Any, *, images: Any = None) -> dict[str, Any]:
    """Tries what a foreign program would; the names of the errors come back."""
    folder = predictions.parent

    def connect() -> None:
        port = int((folder / "port").read_text())
        with socket.create_connection(("127.0.0.1", port), timeout=2):
            pass

    def fork() -> None:
        if os.fork() == 0:
            os._exit(0)

    return tell(
        open_socket=_outcome(lambda: socket.socket().close()),
        connect=_outcome(connect),
        write=_outcome(lambda: (folder / "written").write_text("x")),
        truncate=_outcome(lambda: os.truncate(predictions, 0)),
        remove=_outcome(lambda: (folder / "victim").unlink()),
        rename=_outcome(lambda: (folder / "victim").rename(folder / "moved")),
        temporary=_outcome(lambda: Path("/tmp/poseboard-hostile").write_text("x")),
        read_secret=_outcome(lambda: (folder / "victim").read_text()),
        run=_outcome(lambda: subprocess.run(["/bin/true"], check=False)),
        fork=_outcome(fork),
        signal_parent=_outcome(lambda: os.kill(os.getppid(), 0)),
        signal_everyone=_outcome(lambda: os.kill(-1, 0)),
        raise_limit=_outcome(_raise_limits),
    )


def _raise_limits() -> None:
    import resource

    try:
        resource.setrlimit(resource.RLIMIT_CPU, (10_000, 10_000))
    except ValueError as error:
        raise PermissionError(str(error)) from None


def connect_only(dataset: str, predictions: Path, truth: Any, *, images: Any = None) -> dict[str, Any]:
    port = int((predictions.parent / "port").read_text())

    def connect() -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=2):
            pass

    return tell(connect=_outcome(connect))


def leave_a_process(*_: Any, **__: Any) -> dict[str, Any]:
    """Forks a process that leaves the group and the session (seccomp would not let it)."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.write(writing, str(os.getpid()).encode())
            while True:
                time.sleep(1000)
        os._exit(0)
    left = os.read(reading, 32).decode()
    return tell(left=left)


def use_threads(*_: Any, **__: Any) -> dict[str, Any]:
    import threading

    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(1))
    thread.start()
    thread.join()
    return tell(found=found)


def read_when_stored_again(dataset: str, predictions: Path, truth: Any, *, images: Any = None) -> dict[str, Any]:
    """Not hostile: reads the file only after somebody has stored the same bytes again, ten seconds at most."""
    before = predictions.stat().st_mtime_ns
    deadline = time.monotonic() + 10
    while predictions.stat().st_mtime_ns == before and time.monotonic() < deadline:
        time.sleep(0.01)
    return tell(predictions=predictions.read_text(), again=predictions.stat().st_mtime_ns != before)
