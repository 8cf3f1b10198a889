"""What a scoring process gives up before it reads an untrusted file. Standard library only; Linux does all of it.

Each defence is one function that either holds or raises `Unavailable`; `confine` applies those that were asked for
and returns the names of those that hold, `probe` finds out beforehand (in a child of its own) which do here. Rlimits
and the process group are POSIX; namespaces, capabilities, no_new_privs, seccomp and Landlock are Linux, and their
numbers are those of the kernel's headers (`linux/prctl.h`, `linux/capability.h`, `linux/seccomp.h`, `linux/landlock.h`,
`asm/unistd.h`).
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
    # The bounding set: without CAP_SETPCAP it stays, and then no_new_privs keeps a program from gaining from it
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


# linux/filter.h, linux/seccomp.h
_LOAD, _AND, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_AT_NUMBER, _AT_ARCHITECTURE = 0, 4
_EPERM, _ENOSYS = 1, 38

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

SYSTEM_CALLS: dict[str, tuple[int | None, int | None]] = {
    # memory
    "mremap": (25, 216), "munmap": (11, 215), "brk": (12, 214), "madvise": (28, 233),
    # what is open already, and reading
    "read": (0, 63), "write": (1, 64), "close": (3, 57), "lseek": (8, 62), "pread64": (17, 67), "readv": (19, 65),
    "writev": (20, 66), "fadvise64": (221, 223), "dup": (32, 23), "poll": (7, None), "ppoll": (271, 73),
    "select": (23, None), "pselect6": (270, 72),
    # what is there; Landlock decides what can be opened
    "stat": (4, None), "fstat": (5, 80), "lstat": (6, None), "newfstatat": (262, 79), "statx": (332, 291),
    "access": (21, None), "faccessat": (269, 48), "faccessat2": (439, 439), "readlink": (89, None),
    "readlinkat": (267, 78), "getdents64": (217, 61), "getcwd": (79, 17),
    # threads, and signals to be caught
    "set_robust_list": (273, 99), "rseq": (334, 293), "sched_yield": (24, 124), "exit": (60, 93),
    "exit_group": (231, 94), "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132), "restart_syscall": (219, 128),
    # time and chance
    "clock_gettime": (228, 113), "clock_getres": (229, 114), "clock_nanosleep": (230, 115), "nanosleep": (35, 101),
    "gettimeofday": (96, 169), "time": (201, None), "getrandom": (318, 278),
    # about itself and the machine
    "getpid": (39, 172), "gettid": (186, 178), "getppid": (110, 173), "getpgrp": (111, None), "getuid": (102, 174),
    "geteuid": (107, 175), "getgid": (104, 176), "getegid": (108, 177), "getcpu": (309, 168), "uname": (63, 160),
    "sysinfo": (99, 179), "times": (100, 153), "getrusage": (98, 165), "getrlimit": (97, 163),
}  # fmt: skip
"""asm/unistd.h: what an evaluation may call whatever the arguments, with the numbers on x86_64 and aarch64; None where
the architecture has no such call. What is neither here nor among `CHECKED_CALLS` fails.

Found by tracing the evaluation of every dataset on every engine. Most of what a program can do to others is absent
for a reason: what changes a file's mode, owner or times has no permission of Landlock's to ask for; shared memory,
semaphores and queues outlive a process and its limits; a descriptor may be asked to send signals.
"""

CHECKED_CALLS: dict[str, tuple[int | None, int | None]] = {
    "futex": (202, 98), "openat": (257, 56), "open": (2, None), "mmap": (9, 222), "mprotect": (10, 226),
    "ioctl": (16, 29), "fcntl": (72, 25), "clone": (56, 220), "tgkill": (234, 131), "prlimit64": (302, 261),
    "getpgid": (121, 155), "getsid": (124, 156), "sched_getaffinity": (204, 123),
}  # fmt: skip
"""What it may call with some arguments only: `filter_system_calls` says with which."""

ABSENT_CALLS: dict[str, tuple[int | None, int | None]] = {"clone3": (435, 435), "openat2": (437, 437)}
"""What does not exist for it, so that the C library takes an older call: these hide their flags behind a pointer."""

_NEWEST_KNOWN = 462
"""Later system calls do not exist either: the C library then does without them."""

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_PROT_WRITE, _PROT_EXEC, _MAP_ANONYMOUS = 2, 4, 0x20
# to wait and to wake, with a bitset or a second place or without: none that lends a priority
_FUTEX_COMMAND, _FUTEX_COMMANDS = 0x7F, (0, 1, 3, 4, 5, 9, 10)
_TERMINAL_QUESTIONS = (0x5401, 0x802C542A)  # TCGETS, TCGETS2: open() asks whether a file is a terminal
_CLOSE_ON_EXEC = (0x5450, 0x5451)  # FIONCLEX, FIOCLEX
_F_COMMANDS = (0, 1, 2, 3, 1030)  # F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC
# CLONE_THREAD, and what else the C library asks for when it starts one
_CLONE_THREAD, _OF_A_THREAD = 0x00010000, 0x007D0F00
FATAL_SIGNALS = tuple(getattr(signal, f"SIG{name}") for name in ("ABRT", "SEGV", "BUS", "FPE", "ILL", "TRAP", "SYS"))
"""By which a process dies of its own fault. It may send itself these and no others: a death by SIGKILL or SIGTERM is
then always somebody else's doing."""

Instruction = tuple[int, int, int, int]


def _argument(number: int, *, upper: bool = False) -> Instruction:
    return (_LOAD, 0, 0, 16 + 8 * number + 4 * upper)


def _one_of(values: Iterable[int], then: list[Instruction]) -> list[Instruction]:
    """`then`, which must return, when what was loaded is one of the values; otherwise what follows."""
    *others, last = values
    jumps = [(_EQUAL, len(others) - index, 0, value) for index, value in enumerate(others)]
    return [*jumps, (_EQUAL, 0, len(then), last), *then]


def filter_program(machine: str, process: int) -> list[Instruction]:
    """The filter as (code, jump if true, jump if false, operand), for a process of this number.

    `machine` is one of `ARCHITECTURES`.
    """
    column = list(ARCHITECTURES).index(machine)
    allow: list[Instruction] = [(_RETURN, 0, 0, _ALLOW)]
    refuse: list[Instruction] = [(_RETURN, 0, 0, _ERRNO | _EPERM)]
    absent: list[Instruction] = [(_RETURN, 0, 0, _ERRNO | _ENOSYS)]

    def without(bits: int) -> list[Instruction]:
        return [(_ANY_BIT, 0, 1, bits & 0xFFFFFFFF), *refuse, *allow]

    def only(values: Iterable[int]) -> list[Instruction]:
        return [*_one_of(values, allow), *refuse]

    itself = (0, process)
    checked: dict[str, list[Instruction]] = {
        "openat": [_argument(2), *without(_WRITING)],
        "open": [_argument(1), *without(_WRITING)],
        "futex": [_argument(1), (_AND, 0, 0, _FUTEX_COMMAND), *only(_FUTEX_COMMANDS)],
        # code comes from files, as libraries do, and is not written to
        "mmap": [
            _argument(2), (_ANY_BIT, 1, 0, _PROT_EXEC), *allow, (_ANY_BIT, 0, 1, _PROT_WRITE), *refuse,
            _argument(3), *without(_MAP_ANONYMOUS),
        ],
        "mprotect": [_argument(2), *without(_PROT_EXEC)],
        "ioctl": [_argument(1), *only((*_TERMINAL_QUESTIONS, *_CLOSE_ON_EXEC))],
        "fcntl": [_argument(1), *only(_F_COMMANDS)],
        "clone": [_argument(0), (_ANY_BIT, 1, 0, _CLONE_THREAD), *refuse, *without(~_OF_A_THREAD)],
        "tgkill": [_argument(0), (_EQUAL, 1, 0, process), *refuse, _argument(2), *only(map(int, FATAL_SIGNALS))],
        # to look, not to set: the new limit is a null pointer
        "prlimit64": [
            _argument(0), *_one_of(itself, [_argument(2), (_EQUAL, 0, 3, 0), _argument(2, upper=True),
                                            (_EQUAL, 0, 1, 0), *allow, *refuse]), *refuse,
        ],
        "getpgid": [_argument(0), *only(itself)],
        "getsid": [_argument(0), *only(itself)],
        "sched_getaffinity": [_argument(0), *only(itself)],
    }  # fmt: skip
    program = [
        (_LOAD, 0, 0, _AT_ARCHITECTURE),
        (_EQUAL, 1, 0, ARCHITECTURES[machine]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _AT_NUMBER),
        # on x86_64 the x32 numbers would pass under another name
        (_AT_LEAST, 0, 1, _NEWEST_KNOWN + 1),
        *absent,
    ]
    bodies = dict.fromkeys(SYSTEM_CALLS, allow) | checked | dict.fromkeys(ABSENT_CALLS, absent)
    for name, numbers in (SYSTEM_CALLS | CHECKED_CALLS | ABSENT_CALLS).items():
        number, body = numbers[column], bodies[name]
        if number is not None:
            program += [(_EQUAL, 0, len(body), number), *body]
    return program + refuse


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
