"""What a scoring process may be made to do by a hostile file. Each function is called as an evaluator is."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import struct
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


def sleep_lightly(*_: Any, **__: Any) -> dict[str, Any]:
    """Every signal does what it does by itself."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    while True:
        time.sleep(1000)


def sleep_until_there_is_a_sign(dataset: str, predictions: Path, truth: Any, *, images: Any = None) -> dict[str, Any]:
    if (predictions.parent / "sign").exists():
        return tell(sign=True)
    return sleep()


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


def reply_with_the_file(dataset: str, predictions: Path, truth: Any, *, images: Any = None) -> dict[str, Any]:
    """Replies with the text of the prediction file as it is: the child says whatever the file wants."""
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


LIBC = ctypes.CDLL(None, use_errno=True)


def _call(function: str, *arguments: Any) -> int:
    """A function of the C library; its errors as Python's."""
    result = int(getattr(LIBC, function)(*arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), function)
    return result


def residue(dataset: str, predictions: Path, truth: Any, *, images: Any = None) -> dict[str, Any]:
    """What would outlast the process, or reach others, without a file being opened."""
    import fcntl
    import resource

    victim, parent = predictions.parent / "victim", os.getppid()
    # nothing of the machine's own is changed where a defence is left out
    held, name = os.open(predictions, os.O_RDONLY), os.uname().nodename.encode()
    result = next(number for number in range(3, 64) if _is_pipe(number))
    return tell(
        chmod=_outcome(lambda: victim.chmod(0o777)),
        fchmod=_outcome(lambda: os.fchmod(held, 0o600)),
        utime=_outcome(lambda: os.utime(victim, (1, 1))),
        chown=_outcome(lambda: os.chown(victim, -1, -1)),
        setxattr=_outcome(lambda: os.setxattr(victim, "user.mark", b"1")),
        shared_memory=_outcome(lambda: _call("shmget", 0x5EED, 4096, 0o1600)),
        semaphores=_outcome(lambda: _call("semget", 0x5EED, 1, 0o1600)),
        messages=_outcome(lambda: _call("msgget", 0x5EED, 0o1600)),
        memory_file=_outcome(lambda: os.memfd_create("x")),
        posix_shared_memory=_outcome(lambda: _call("shm_open", b"/poseboard-hostile", 0o102, 0o600)),
        watch=_outcome(lambda: _call("inotify_init")),
        alarm=_outcome(lambda: _call("setitimer", 0, (ctypes.c_long * 4)(), None)),
        lock=_outcome(lambda: fcntl.flock(held, fcntl.LOCK_EX)),
        nice_parent=_outcome(lambda: os.setpriority(os.PRIO_PROCESS, parent, 19)),
        schedule_parent=_outcome(lambda: os.sched_setaffinity(parent, os.sched_getaffinity(0))),
        look_at_parent=_outcome(lambda: os.sched_getaffinity(parent)),
        idle_parent=_outcome(lambda: os.sched_setscheduler(parent, os.SCHED_BATCH, os.sched_param(0))),
        limit_parent=_outcome(lambda: resource.prlimit(parent, resource.RLIMIT_NOFILE)),
        signals_for_parent=_outcome(lambda: fcntl.fcntl(result, fcntl.F_SETOWN, parent)),
        larger_pipe=_outcome(lambda: fcntl.fcntl(result, 1031, 1 << 20)),
        rename_itself=_outcome(lambda: _call("prctl", 15, b"python")),
        kill_itself=_outcome(lambda: _signal_itself(signal.SIGKILL)),
        end_itself=_outcome(lambda: _signal_itself(signal.SIGTERM)),
        new_code=_outcome(_map_new_code),
        pipe=_outcome(os.pipe),
        change_folder=_outcome(lambda: os.chdir("/usr")),
        new_root=_outcome(lambda: os.chroot("/usr")),
        host_name=_outcome(lambda: _call("sethostname", name, len(name))),
        namespace=_outcome(lambda: _call("unshare", 0x10000000)),
    )


def _signal_itself(number: int) -> None:
    os.kill(os.getpid(), number)


def _map_new_code() -> None:
    import mmap

    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()


def change_a_file(dataset: str, predictions: Path, truth: Any, *, images: Any = None) -> dict[str, Any]:
    victim = predictions.parent / "victim"
    return tell(
        chmod=_outcome(lambda: victim.chmod(0o604)),
        utime=_outcome(lambda: os.utime(victim, (1, 1))),
        chown=_outcome(lambda: os.chown(victim, -1, -1)),
    )


def leave_memory(*_: Any, **__: Any) -> dict[str, Any]:
    return tell(shared_memory=_outcome(lambda: _call("shmget", 0x5EED, 4096, 0o1600)))


def slow_down_the_parent(*_: Any, **__: Any) -> dict[str, Any]:
    return tell(outcome=_outcome(lambda: os.setpriority(os.PRIO_PROCESS, os.getppid(), 19)))


def write_a_file(dataset: str, predictions: Path, truth: Any, *, images: Any = None) -> dict[str, Any]:
    return tell(outcome=_outcome(lambda: (predictions.parent / "written").write_text("x")))


def capabilities(*_: Any, **__: Any) -> dict[str, Any]:
    lines = Path("/proc/self/status").read_text().splitlines()
    return tell(sets={line.split()[0]: int(line.split()[1], 16) for line in lines if line.startswith("Cap")})


def look_at_others(dataset: str, predictions: Path, truth: Any, *, images: Any = None) -> dict[str, Any]:
    """The zygote and its parent, by way of /proc."""
    zygote = os.getppid()

    def opened(name: str) -> str:
        return _outcome(lambda: os.close(os.open(f"/proc/{zygote}/{name}", os.O_RDONLY)))

    def listed() -> None:
        list(Path(f"/proc/{zygote}/fd").iterdir())

    names = ("environ", "mem", "maps", "cmdline", "fd/0", "root/etc/passwd")
    return tell(**{name: opened(name) for name in names}, fd=_outcome(listed))


def call_everything_else(dataset: str, predictions: Path, truth: Any, *, images: Any = None) -> dict[str, Any]:
    """Every system call of the numbers in the prediction file; those that did anything but be refused come back."""
    assert "Seccomp:\t2" in Path("/proc/self/status").read_text()
    passed = []
    for number in json.loads(predictions.read_text()):
        ctypes.set_errno(0)
        if LIBC.syscall(number, 0, 0, 0, 0, 0, 0) != -1 or ctypes.get_errno() not in (1, 38):
            passed.append(number)
    return tell(passed=passed)


def start_threads(*_: Any, **__: Any) -> dict[str, Any]:
    """As many as there may be."""
    import threading

    threading.stack_size(1 << 16)
    done = threading.Event()
    started = 0
    try:
        while started < 400:
            threading.Thread(target=done.wait, daemon=True).start()
            started += 1
    except RuntimeError:
        pass
    done.set()
    return tell(started=started)


def reject_with_annotations(dataset: str, predictions: Path, truth: Any, *, images: Any = None) -> dict[str, Any]:
    """What the submitter reads, made of annotations."""
    from evaluator.errors import PredictionError, Problem

    secret = Path(truth).read_text()[:1900]
    found = Problem("wrong_type", 0, "/0/score", f"score is {secret}", secret)
    raise PredictionError([found] * 100, 1 << 40)


def say_annotations_in_a_crash(dataset: str, predictions: Path, truth: Any, *, images: Any = None) -> dict[str, Any]:
    secret = Path(truth).read_text()
    raise type(secret, (RuntimeError,), {})(secret)


def say_annotations_in_a_report(dataset: str, predictions: Path, truth: Any, *, images: Any = None) -> dict[str, Any]:
    return report(protocol=Path(truth).read_text()[:1000])


def say_annotations_in_a_name(dataset: str, predictions: Path, truth: Any, *, images: Any = None) -> dict[str, Any]:
    from evaluator import __version__, load_dataset

    secret = "".join(filter(str.isdigit, Path(truth).read_text()))[:60]
    score = report()["scores"][0] | {"part": secret}
    return report(protocol=load_dataset(dataset).protocol, evaluator_version=__version__, scores=[score])


def reject(*_: Any, **__: Any) -> dict[str, Any]:
    from evaluator.errors import PredictionError, Problem

    raise PredictionError([Problem("not_json", None, "", "no", "yes")])


def search_memory(dataset: str, predictions: Path, *, images: Any = None) -> None:
    """Says whether the number 4711.25 as the evaluator holds it is anywhere in this process."""
    from evaluator.errors import PredictionError, Problem

    wanted = struct.pack("<d", 4711.25)
    found = False
    with Path("/proc/self/maps").open() as maps, Path("/proc/self/mem").open("rb", buffering=0) as memory:
        for line in maps:
            span, rights = line.split()[:2]
            start, end = (int(number, 16) for number in span.split("-"))
            if "rw" not in rights or "[v" in line:
                continue
            memory.seek(start)
            try:
                held = memory.read(end - start) or b""
            except OSError:
                continue
            at = held.find(wanted)
            while at >= 0 and not found:
                # this constant's own copies are among bytes of code and text; an array holds it on an eighth
                found = at % 8 == 0 and held[at + 8 : at + 16] == wanted
                at = held.find(wanted, at + 1)
    raise PredictionError([Problem("not_json", None, "", f"found: {found}", "nothing")])


def say_much(dataset: str, predictions: Path, *, images: Any = None) -> None:
    from evaluator.errors import PredictionError, Problem

    raise PredictionError([Problem("not_json", None, "", "x" * 5000, "y")])


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
