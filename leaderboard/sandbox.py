"""What a scoring process gives up before it reads an untrusted file. Standard library only; Linux does all of it.

Each defence is one function that either holds or raises `Unavailable`; `confine` applies those that were asked for
and returns the names of those that hold, `probe` finds out beforehand (in a child of its own) which do here. Rlimits
and the process group are POSIX; namespaces, no_new_privs, seccomp and Landlock are Linux, and their numbers are those
of the kernel's headers (`linux/prctl.h`, `linux/seccomp.h`, `linux/landlock.h`, `asm/unistd.h`).
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

LINUX = sys.platform.startswith("linux")

PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 22, 36, 38
CLONE_NEWUSER, CLONE_NEWNET, CLONE_THREAD = 0x10000000, 0x40000000, 0x00010000

DEFENCES = ("rlimits", "no_new_privs", "network_namespace", "landlock", "seccomp")
"""In the order in which they are applied: seccomp forbids the system calls that the earlier ones need."""


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
    """RLIMIT_AS, CPU, FSIZE, NOFILE, CORE; no new processes either, where the kernel counts them (not for root)."""
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
    """A network namespace of its own, with nothing in it but a loopback that is down."""
    _checked(_libc().unshare(CLONE_NEWUSER | CLONE_NEWNET), "unshare")


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


# linux/filter.h, linux/seccomp.h
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_AT_NUMBER, _AT_ARCHITECTURE, _AT_FIRST_ARGUMENT = 0, 4, 16
_EPERM, _ENOSYS = 1, 38

_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
# asm/unistd.h: (x86_64, aarch64); None where the architecture has no such call
_FORBIDDEN = {
    "socket": (41, 198),
    "socketpair": (53, 199),
    "connect": (42, 203),
    "bind": (49, 200),
    "sendto": (44, 206),
    "sendmsg": (46, 211),
    "fork": (57, None),
    "vfork": (58, None),
    "execve": (59, 221),
    "execveat": (322, 281),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "setsid": (112, 157),
    "setpgid": (109, 154),
    "prctl": (157, 167),  # else the request to die with the parent could be taken back
    # glibc falls back to the old calls, which do not ask for what the seccomp filter cannot see
    "clone3": (435, 435),
}
_ONLY_ITSELF = {"kill": (62, 129), "tgkill": (234, 131), "tkill": (200, 130), "prlimit64": (302, 261)}
_CLONE = (56, 220)


def filter_system_calls() -> None:
    """seccomp: sockets, processes (but not threads), programs and signals to others fail with EPERM."""
    libc, machine = _libc(), platform.machine()
    if machine not in _ARCHITECTURES:
        raise Unavailable(f"no system call table for {machine}")
    column = list(_ARCHITECTURES).index(machine)

    def when(number: int, body: list[tuple[int, int, int, int]]) -> list[tuple[int, int, int, int]]:
        return [(_EQUAL, 0, len(body), number), *body]

    def refuse(error: int) -> tuple[int, int, int, int]:
        return (_RETURN, 0, 0, _ERRNO | error)

    allow = (_RETURN, 0, 0, _ALLOW)
    program = [
        (_LOAD, 0, 0, _AT_ARCHITECTURE),
        (_EQUAL, 1, 0, _ARCHITECTURES[machine]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _AT_NUMBER),
    ]
    if machine == "x86_64":  # the x32 numbers would pass under another name
        program += [(_AT_LEAST, 0, 1, 0x40000000), refuse(_ENOSYS)]
    for name, numbers in _FORBIDDEN.items():
        number = numbers[column]
        if number is not None:
            program += when(number, [refuse(_ENOSYS if name == "clone3" else _EPERM)])
    program += when(
        _CLONE[column], [(_LOAD, 0, 0, _AT_FIRST_ARGUMENT), (_ANY_BIT, 0, 1, CLONE_THREAD), allow, refuse(_EPERM)]
    )
    for numbers in _ONLY_ITSELF.values():
        itself = [(_EQUAL, 1, 0, os.getpid()), (_EQUAL, 0, 1, 0), allow, refuse(_EPERM)]
        program += when(numbers[column], [(_LOAD, 0, 0, _AT_FIRST_ARGUMENT), *itself])
    program.append(allow)

    packed = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *instruction) for instruction in program))
    # struct sock_fprog: a count, padding, a pointer
    header = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(packed)))
    _checked(libc.prctl(PR_SET_SECCOMP, ctypes.c_ulong(2), header, ctypes.c_ulong(0), ctypes.c_ulong(0)), "seccomp")


def close_descriptors(keep: Iterable[int]) -> None:
    """Close every descriptor but these; 0, 1 and 2 become /dev/null."""
    kept = sorted(set(keep))
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        if number not in kept:
            os.dup2(null, number)
    before = 3
    for number in [*kept, 1 << 20]:
        os.closerange(before, number)
        before = max(before, number + 1)


def confine(
    defences: Iterable[str], limits: Limits, *, folders: Iterable[str], files: Iterable[str]
) -> tuple[list[str], dict[str, str]]:
    """Apply `defences` to this process for good. Returns those that hold, and why the others do not."""
    steps: dict[str, Callable[[], None]] = {
        "rlimits": lambda: limit_resources(limits),
        "no_new_privs": no_new_privileges,
        "network_namespace": leave_network,
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


def probe(defences: Iterable[str]) -> dict[str, object]:
    """Try the defences in a child.

    Returns:
        `held`: names; `missing`: name to reason; `memory_limit`: whether RLIMIT_AS refuses memory here (on macOS it
        does not, and the resident size is watched instead); `sockets`: whether a confined process still has a network.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            allowance = 1 << 28
            limits = Limits(memory_bytes=allowance, cpu_seconds=10, wall_seconds=10)
            held, missing = confine(defences, limits, folders=["/"], files=[])
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
            answer = {"held": held, "missing": missing, "memory_limit": memory, "sockets": sockets}
            os.write(writing, json.dumps(answer).encode())
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
    answer = json.loads(text)
    assert isinstance(answer, dict)
    return answer
