"""Run programs, restart what dies, stop all of it. Standard library only.

Every program has a session and process group of its own, so that Ctrl-C reaches the supervisor alone and a stop can
end whatever a program left running. On Linux the kernel stops a program when the supervisor itself is killed. There
are no threads here: programs are started with a `preexec_fn`, which is safe in a process of one thread only.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from leaderboard.sandbox.defences import stop_with_parent

FIRST_DELAY, LONGEST_DELAY = 0.5, 30.0
STEADY_SECONDS = 20.0
"""A program that ran for so long starts from the first delay again."""
STOP_SECONDS = 10.0
LINE_BYTES = 1 << 16


@dataclass
class Program:
    """`stop` is the signal that asks it to end, when told to or because the supervisor died.

    A `foundation` is what the other programs use: it is stopped after them. `user` and the three that follow are for a
    supervisor that is root; `variables` add to the environment.
    """

    name: str
    command: list[str]
    stop: signal.Signals = signal.SIGTERM
    foundation: bool = False
    user: int | None = None
    group: int | None = None
    groups: list[int] | None = None
    umask: int = -1
    variables: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    delay: float = FIRST_DELAY
    due: float = 0.0
    starts: int = 0
    unwritten: bytes = b""


@dataclass
class Supervisor:
    """Start programs with `add`, then call `run_until`, again and again if need be, and `stop` at the end."""

    environment: Mapping[str, str]
    folder: Path
    output: IO[bytes] = field(default_factory=lambda: sys.stdout.buffer)
    programs: list[Program] = field(default_factory=list)
    stopping: bool = False

    def __post_init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._waking, self._woken = os.pipe()
        for end in (self._waking, self._woken):
            os.set_blocking(end, False)
        self._selector.register(self._waking, selectors.EVENT_READ)
        signal.set_wakeup_fd(self._woken, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._asked_to_stop)

    def _asked_to_stop(self, *_: object) -> None:
        self.stopping = True

    def say(self, text: str) -> None:
        """One line to the output, whole."""
        self._write(b"", text.encode())

    def add(self, program: Program) -> Program:
        """Start a program and look after it from now on."""
        self.programs.append(program)
        self._start(program)
        return program

    def run_once(self, program: Program) -> int:
        """Run a program to its end, or until a stop is asked for, while the others run. Returns its status."""
        self._start(program)
        assert program.process is not None
        while program.process.poll() is None and not self.stopping:
            self._turn(0.5)
        self._end([program])
        return program.process.returncode

    def run_until(self, true: Callable[[], bool], *, seconds: float | None = None, every: float = 0.1) -> bool:
        """Look after the programs until `true()`; False when a stop was asked for or the time is over."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while not self.stopping and (deadline is None or time.monotonic() < deadline):
            if true():
                return True
            self._turn(every)
        return False

    def stop(self) -> None:
        """End every program with everything in its process group, those that others use after the others."""
        self.stopping = True
        for foundation in (False, True):
            self._end([program for program in reversed(self.programs) if program.foundation == foundation])
        self.programs.clear()

    def _start(self, program: Program) -> None:
        supervisor, number = os.getpid(), program.stop
        program.process = subprocess.Popen(
            program.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**self.environment, **program.variables},
            cwd=self.folder,
            start_new_session=True,
            user=program.user,
            group=program.group,
            extra_groups=program.groups,
            umask=program.umask,
            preexec_fn=lambda: stop_with_parent(supervisor, number),
        )
        program.started = time.monotonic()
        program.starts += 1
        stream = program.process.stdout
        assert stream is not None
        os.set_blocking(stream.fileno(), False)
        self._selector.register(stream, selectors.EVENT_READ, program)

    def _turn(self, seconds: float) -> None:
        """Wait for lines, a signal or the time to start a program again, `seconds` at most, and do what is due."""
        now = time.monotonic()
        waits = [program.due - now for program in self.programs if program.process is None and not self.stopping]
        for key, _ in self._selector.select(max(0.0, min([seconds, *waits]))):
            if key.data is None:
                with suppress(BlockingIOError):
                    os.read(self._waking, 4096)
            else:
                self._relay(key.data, key.fileobj)
        now = time.monotonic()
        for program in self.programs if not self.stopping else []:
            if program.process is not None and program.process.poll() is not None:
                self._bury(program, now)
            elif program.process is None and now >= program.due:
                self._start(program)

    def _bury(self, program: Program, now: float) -> None:
        """A program died: end what it left running, and start it again after a while."""
        assert program.process is not None
        status = program.process.returncode
        self._kill_group(program)
        if now - program.started > STEADY_SECONDS:
            program.delay = FIRST_DELAY
        how = f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"
        self._write(program.name.encode(), f"ended with {how}; restarting in {program.delay:g} s".encode())
        program.due, program.delay = now + program.delay, min(2 * program.delay, LONGEST_DELAY)
        program.process = None

    def _end(self, programs: Iterable[Program]) -> None:
        running = {program.process: program for program in programs if program.process is not None}
        for process, program in running.items():
            if process.poll() is None:
                process.send_signal(program.stop)
        deadline = time.monotonic() + STOP_SECONDS
        while any(process.poll() is None for process in running) and time.monotonic() < deadline:
            self._turn(0.1)
        for process, program in running.items():
            self._kill_group(program)
            process.wait()

    def _kill_group(self, program: Program) -> None:
        assert program.process is not None
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(program.process.pid, signal.SIGKILL)
        stream = program.process.stdout
        assert stream is not None
        if not stream.closed:
            self._relay(program, stream)
            with suppress(KeyError):
                self._selector.unregister(stream)
            stream.close()

    def _relay(self, program: Program, stream: object) -> None:
        """Hand on what a program wrote, line by line, with its name in front."""
        assert hasattr(stream, "fileno")
        try:
            data = os.read(stream.fileno(), LINE_BYTES)
        except BlockingIOError:
            return
        if not data:
            with suppress(KeyError):
                self._selector.unregister(stream)
            data = b"\n" if program.unwritten else b""
        *lines, program.unwritten = (program.unwritten + data).split(b"\n")
        if len(program.unwritten) > LINE_BYTES:
            lines, program.unwritten = [*lines, program.unwritten], b""
        for line in filter(bytes.strip, lines):
            self._write(program.name.encode(), line)

    def _write(self, name: bytes, line: bytes) -> None:
        with suppress(BrokenPipeError):  # nobody reads any more; the programs run on
            self.output.write(b"%-10s| %s\n" % (name, line) if name else line + b"\n")
            self.output.flush()
