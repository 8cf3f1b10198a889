"""What a scoring process gives up before it reads an untrusted file. Standard library only; Linux does all of it.

Each defence is one function that either holds or raises `Unavailable`; `apply` applies those that were asked for
and returns the names of those that hold, `probe` finds out beforehand (in a child of its own) which ones work here.
Rlimits and the process group are POSIX; namespaces, capabilities, no_new_privs, seccomp and Landlock are Linux, and
their numbers are those of the kernel's headers (`linux/prctl.h`, `linux/capability.h`, `linux/landlock.h`).
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import platform
import resource
import signal
import socket
import struct
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leaderboard.sandbox.system_calls import ARCHITECTURES, filter_program

LINUX = sys.platform.startswith("linux")

PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 22, 36, 38
PR_CAPBSET_DROP, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 24, 47, 4
CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWNET = 0x08000000, 0x10000000, 0x40000000

DEFENCES = ("rlimits", "no_new_privs", "network_namespace", "dropped_capabilities", "landlock", "seccomp")
"""In the order in which they are applied: seccomp forbids the system calls that the earlier ones need."""

MOST_THREADS = 64


class Unavailable(OSError):
    """This kernel, or the container around it, does not allow the defence."""


@dataclass(frozen=True)
class Limits:
    """What one scoring process may use."""

    memory_bytes: int
    """Address space beyond what the process starts with."""
    cpu_seconds: int
    wall_seconds: float
    file_bytes: int = 0
    """The size a written file may reach: none is written."""
    open_files: int = 64


def _libc() -> ctypes.CDLL:
    if not LINUX:
        raise Unavailable(f"not on {sys.platform}")
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise Unavailable(number, f"{what}: {os.strerror(number)}")
    return result


def _prctl(option: int, *arguments: int | ctypes.c_void_p) -> None:
    padded = [ctypes.c_ulong(value) if isinstance(value, int) else value for value in (*arguments, 0, 0, 0, 0)[:4]]
    _checked(_libc().prctl(option, *padded), f"prctl {option}")


def stop_with_parent(parent: int, number: int = signal.SIGKILL) -> None:
    """Ask the kernel for a signal to this process when `parent` dies; where it cannot, a closed pipe has to tell."""
    with suppress(Unavailable):
        _prctl(PR_SET_PDEATHSIG, int(number))
    if os.getppid() != parent:  # it died before the request arrived
        os._exit(1)


def adopt_orphans() -> None:
    """Descendants that lose their parent become children of this process, so that it can find and end them."""
    with suppress(Unavailable):
        _prctl(PR_SET_CHILD_SUBREAPER, 1)


def limit_resources(limits: Limits) -> None:
    """RLIMIT_AS, CPU, FSIZE, NOFILE, CORE, MEMLOCK and MSGQUEUE."""
    wanted = {
        resource.RLIMIT_CORE: (0, 0),
        resource.RLIMIT_FSIZE: (limits.file_bytes, limits.file_bytes),
        resource.RLIMIT_NOFILE: (limits.open_files, limits.open_files),
        # the soft limit's SIGXCPU can be caught, the hard limit's SIGKILL cannot
        resource.RLIMIT_CPU: (limits.cpu_seconds, limits.cpu_seconds + 1),
    }
    if LINUX:
        space = address_space() + limits.memory_bytes
        wanted[resource.RLIMIT_AS] = (space, space)
        wanted |= {resource.RLIMIT_MEMLOCK: (0, 0), resource.RLIMIT_MSGQUEUE: (0, 0)}
    for which, (soft, hard) in wanted.items():
        ceiling = resource.getrlimit(which)[1]
        if ceiling != resource.RLIM_INFINITY:
            soft, hard = min(soft, ceiling), min(hard, ceiling)
        resource.setrlimit(which, (soft, hard))


def address_space() -> int:
    """Bytes of address space this process has mapped (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * mmap.PAGESIZE


def no_new_privileges() -> None:
    """`execve` of a setuid program gains nothing, and an unprivileged process may install the filters below."""
    _prctl(PR_SET_NO_NEW_PRIVS, 1)


def leave_network() -> None:
    """A network namespace of its own, with nothing in it but a loopback that is down; and one of System V IPC.

    What is put into the latter ends with the process. It and the limit on threads are a second layer beneath the
    system call filter, so a kernel without them is not reported as lacking this defence.
    """
    libc = _libc()
    if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWIPC) < 0:
        _checked(libc.unshare(CLONE_NEWUSER | CLONE_NEWNET), "unshare")
    # in a user namespace of its own the kernel counts this process's threads alone (from 5.14, and not root's)
    resource.setrlimit(resource.RLIMIT_NPROC, (MOST_THREADS, MOST_THREADS))


# linux/capability.h
_CAPABILITY_VERSION = 0x20080522
_LAST_CAPABILITY = 63


def drop_capabilities() -> None:
    """No capability is left in any set: not those of root, nor those that a user namespace of one's own brings."""
    libc = _libc()
    with suppress(Unavailable):  # it has no ambient set (Linux 4.2)
        _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    # without CAP_SETPCAP the bounding set stays, and then no_new_privs keeps a program from gaining from it
    with suppress(Unavailable):
        for number in range(_LAST_CAPABILITY + 1):
            _prctl(PR_CAPBSET_DROP, number)
    header = struct.pack("=Ii", _CAPABILITY_VERSION, 0)
    _checked(libc.capset(header, bytes(24)), "capset")  # effective, permitted, inheritable, twice 32 bits each


# linux/landlock.h
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_LANDLOCK_VERSION, _LANDLOCK_PATH_BENEATH = 1, 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_RIGHTS_BY_VERSION = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_O_PATH = getattr(os, "O_PATH", 0)


def read_only_beneath(folders: Iterable[str], files: Iterable[str]) -> None:
    """Landlock: nothing is written, made, renamed or removed anywhere, and only these paths can be opened at all."""
    libc = _libc()
    version = _checked(libc.syscall(_LANDLOCK_CREATE, None, 0, _LANDLOCK_VERSION), "landlock")
    rights = _RIGHTS_BY_VERSION[max(known for known in _RIGHTS_BY_VERSION if known <= version)]
    attributes = struct.pack("=Q", rights)
    ruleset = _checked(libc.syscall(_LANDLOCK_CREATE, attributes, len(attributes), 0), "landlock")
    try:
        for paths, allowed in ((folders, _READ_FILE | _READ_DIR | _EXECUTE), (files, _READ_FILE)):
            for path in paths:
                try:
                    opened = os.open(path, _O_PATH | os.O_CLOEXEC)
                except OSError:
                    continue  # what is not there needs no permission
                try:
                    rule = struct.pack("=Qi", allowed, opened)
                    _checked(libc.syscall(_LANDLOCK_ADD, ruleset, _LANDLOCK_PATH_BENEATH, rule, 0), f"landlock {path}")
                finally:
                    os.close(opened)
        _checked(libc.syscall(_LANDLOCK_RESTRICT, ruleset, 0), "landlock")
    finally:
        os.close(ruleset)


def filter_system_calls() -> None:
    """seccomp: what an evaluation needs passes, everything else fails with EPERM."""
    libc, machine = _libc(), platform.machine()
    if machine not in ARCHITECTURES:
        raise Unavailable(f"no system call table for {machine}")
    program = filter_program(machine, os.getpid())
    packed = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *instruction) for instruction in program))
    # struct sock_fprog: a count, padding, a pointer
    header = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(packed)))
    _checked(libc.prctl(PR_SET_SECCOMP, ctypes.c_ulong(2), header, ctypes.c_ulong(0), ctypes.c_ulong(0)), "seccomp")


def close_descriptors(keep: Iterable[int]) -> None:
    """Close every descriptor but these; 0, 1 and 2 become /dev/null."""
    spared = sorted(set(keep))
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        if number not in spared:
            os.dup2(null, number)
    before = 3
    for number in [*spared, 1 << 20]:
        os.closerange(before, number)
        before = max(before, number + 1)


def apply(
    defences: Iterable[str], limits: Limits, *, folders: Iterable[str], files: Iterable[str]
) -> tuple[list[str], dict[str, str]]:
    """Apply `defences` to this process for good. Returns those that hold, and why the others do not."""
    steps: dict[str, Callable[[], None]] = {
        "rlimits": lambda: limit_resources(limits),
        "no_new_privs": no_new_privileges,
        "network_namespace": leave_network,
        "dropped_capabilities": drop_capabilities,
        "landlock": lambda: read_only_beneath(folders, files),
        "seccomp": filter_system_calls,
    }
    wanted, held, missing = set(defences), [], {}
    for name in DEFENCES:
        if name in wanted:
            try:
                steps[name]()
                held.append(name)
            except OSError as error:
                missing[name] = str(error)
    return held, missing


def probe(defences: Iterable[str]) -> dict[str, Any]:
    """Try the defences in a child.

    Returns:
        `held`: names; `missing`: name to reason; `memory_limit`: whether RLIMIT_AS refuses memory here (on macOS it
        does not, and the resident size is watched instead); `sockets`: whether a sandboxed process still has a network.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            allowance = 1 << 28
            limits = Limits(memory_bytes=allowance, cpu_seconds=10, wall_seconds=10)
            held, missing = apply(defences, limits, folders=["/"], files=[])
            try:
                mmap.mmap(-1, 2 * allowance).close()
                memory = False
            except (OSError, MemoryError):
                memory = True
            try:
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unconnected:
                    unconnected.connect(("127.0.0.1", 9))
                sockets = True
            except OSError:
                sockets = False
            reply = {"held": held, "missing": missing, "memory_limit": memory, "sockets": sockets}
            os.write(writing, json.dumps(reply).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    if not text:
        return {
            "held": [],
            "missing": dict.fromkeys(defences, "the probe died"),
            "memory_limit": False,
            "sockets": True,
        }
    reply = json.loads(text)
    assert isinstance(reply, dict)
    return reply
