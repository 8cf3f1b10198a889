"""Which system calls an evaluation may make: the tables, and the seccomp filter that is written from them.

The numbers are those of the kernel's headers (`linux/filter.h`, `linux/seccomp.h`, `asm/unistd.h`). Pure: `defences`
installs the filter.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable

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
"""What it may call with some arguments only, which `filter_program` checks."""

ABSENT_CALLS: dict[str, tuple[int | None, int | None]] = {"clone3": (435, 435), "openat2": (437, 437)}
"""What does not exist for it, so that the C library uses an older call: these hide their flags behind a pointer."""

_NEWEST_KNOWN = 462
"""Later system calls do not exist for it either; the C library then does without them."""

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_PROT_WRITE, _PROT_EXEC, _MAP_ANONYMOUS = 2, 4, 0x20
# to wait and to wake, also with a bitset or a second address; none that inherits a priority
_FUTEX_COMMAND, _FUTEX_COMMANDS = 0x7F, (0, 1, 3, 4, 5, 9, 10)
_TERMINAL_QUESTIONS = (0x5401, 0x802C542A)  # TCGETS, TCGETS2: open() asks whether a file is a terminal
_CLOSE_ON_EXEC = (0x5450, 0x5451)  # FIONCLEX, FIOCLEX
_F_COMMANDS = (0, 1, 2, 3, 1030)  # F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC
# CLONE_THREAD, and what else the C library asks for when it starts one
_CLONE_THREAD, _OF_A_THREAD = 0x00010000, 0x007D0F00
FATAL_SIGNALS = tuple(getattr(signal, f"SIG{name}") for name in ("ABRT", "SEGV", "BUS", "FPE", "ILL", "TRAP", "SYS"))
"""The signals by which a process dies of its own fault. It may send itself no others, so a death by SIGKILL or SIGTERM
always comes from outside."""

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
    deny: list[Instruction] = [(_RETURN, 0, 0, _ERRNO | _EPERM)]
    absent: list[Instruction] = [(_RETURN, 0, 0, _ERRNO | _ENOSYS)]

    def without(bits: int) -> list[Instruction]:
        return [(_ANY_BIT, 0, 1, bits & 0xFFFFFFFF), *deny, *allow]

    def only(values: Iterable[int]) -> list[Instruction]:
        return [*_one_of(values, allow), *deny]

    itself = (0, process)
    checked: dict[str, list[Instruction]] = {
        "openat": [_argument(2), *without(_WRITING)],
        "open": [_argument(1), *without(_WRITING)],
        "futex": [_argument(1), (_AND, 0, 0, _FUTEX_COMMAND), *only(_FUTEX_COMMANDS)],
        # code comes from files, as libraries do, and is not written to
        "mmap": [
            _argument(2), (_ANY_BIT, 1, 0, _PROT_EXEC), *allow, (_ANY_BIT, 0, 1, _PROT_WRITE), *deny,
            _argument(3), *without(_MAP_ANONYMOUS),
        ],
        "mprotect": [_argument(2), *without(_PROT_EXEC)],
        "ioctl": [_argument(1), *only((*_TERMINAL_QUESTIONS, *_CLOSE_ON_EXEC))],
        "fcntl": [_argument(1), *only(_F_COMMANDS)],
        "clone": [_argument(0), (_ANY_BIT, 1, 0, _CLONE_THREAD), *deny, *without(~_OF_A_THREAD)],
        "tgkill": [_argument(0), (_EQUAL, 1, 0, process), *deny, _argument(2), *only(map(int, FATAL_SIGNALS))],
        # to look, not to set: the new limit is a null pointer
        "prlimit64": [
            _argument(0), *_one_of(itself, [_argument(2), (_EQUAL, 0, 3, 0), _argument(2, upper=True),
                                            (_EQUAL, 0, 1, 0), *allow, *deny]), *deny,
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
    return program + deny
