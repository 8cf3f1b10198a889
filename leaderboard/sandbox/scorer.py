"""Score one prediction file in a sandboxed process: no database, no network, limits on memory, time and files.

`Scorer.run` hands the job to the zygote (`sandbox.zygote`), which forks a child for it, and waits: it renews the
caller's lease, ends the child's process group when time is up or the lease is lost, and uses nothing the child says
before checking it against a fixed schema of finite numbers. Celery's workers are daemonic and may not use
multiprocessing, so the zygote is a subprocess. Standard library and the evaluator's errors only: no Django here.

A child that has annotations cannot say what is wrong with a file, only that something is: the words come from a second
zygote, which checks the file against public definitions and never reads annotations, so it has none to give away.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from leaderboard.sandbox.defences import DEFENCES, Limits
from leaderboard.sandbox.report_check import BY_FILE, ScoringFailed, read_problems, read_reply, where
from leaderboard.sandbox.watching import Lease, Watch, oom_kills
from leaderboard.sandbox.zygote import CHECK, EVALUATE, ROOT

__all__ = ["Limits", "Scorer", "ScoringFailed"]

REPLY_BYTES = 8 << 20
START_SECONDS = 60.0
STARTS = 5
"""How often a zygote that does not come up is started for one job, with pauses that double."""
FIRST_PAUSE = 0.1
END_SECONDS = 5.0
LEASE_CHECK_SECONDS = 1.0
BOOTSTRAP = """
import sys
root, target, *more = sys.argv[1:]
sys.path[:0] = [root, *more]
from leaderboard.sandbox import zygote
zygote.main(target)
"""


class ZygoteGone(Exception):
    """The zygote died or is not responding; a new one may do better. `with_job`: it had been given the job."""

    with_job = False


class Scorer:
    """Runs one job at a time in a sandboxed child. Start it where the jobs run: it is not shared between processes.

    Args:
        limits: of every job.
        evaluate_target: `module:function` called as `(dataset, predictions, truth, images=...)`, returns a `Report`
            or its dict.
        check_target: `module:function` called as `(dataset, predictions, images=...)` in the zygote without
            annotations; raises `PredictionError` for a file that `evaluate_target` rejected.
        search_path: folders besides the project's from which the targets may be imported.
        defences: which parts of the sandbox to ask for; the tests leave one out to see that it matters.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        evaluate_target: str = EVALUATE,
        check_target: str = CHECK,
        search_path: Iterable[Path] = (),
        defences: Iterable[str] = DEFENCES,
    ) -> None:
        self.limits, self.target, self.check_target = limits, evaluate_target, check_target
        self.search_path, self.defences = [str(path) for path in search_path], list(defences)
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._unread = b""
        self._isolation: dict[str, Any] = {}
        self._checker: Scorer | None = None
        self._owner = os.getpid()
        self._one_at_a_time = threading.Lock()

    def run(
        self,
        *,
        dataset: str,
        predictions: Path,
        truth: Path,
        images: Path | None = None,
        surface: Path | None = None,
        heartbeat: Callable[[], bool] = lambda: True,
        every: float = 20.0,
    ) -> dict[str, Any]:
        """Score `predictions` against `truth`; returns `Report.to_dict()`, checked.

        Raises:
            evaluator.PredictionError: the submitter's fault, word for word as the evaluator says it.
            ScoringFailed: ours; `lease_lost` when `heartbeat`, called about every `every` seconds, returned False.
        """
        job = {
            "dataset": dataset,
            "predictions": str(predictions.resolve()),
            "truth": str(truth.resolve()),
            "images": str(images.resolve()) if images else None,
            "surface": str(surface.resolve()) if surface else None,
            "target": self.target,
            "defences": self.defences,
            "limits": vars(self.limits) | {},
        }
        with self._one_at_a_time:
            lease = Lease(heartbeat, every)
            report = read_reply(self._reply(job, lease), dataset, self._sources())
            if report is not None:
                return report
            if self._checker is None:
                self._checker = Scorer(
                    self.limits,
                    evaluate_target=self.check_target,
                    search_path=map(Path, self.search_path),
                    defences=self.defences,
                )
            job |= {"target": self.check_target, "truth": None, "surface": None}
            raise read_problems(self._checker._reply(job, lease), self._sources())

    def ready(self, *, seconds: float = START_SECONDS) -> bool:
        """Whether the zygote runs; starts one where none does, for about so long at most."""
        deadline = time.monotonic() + seconds
        with self._one_at_a_time:
            for attempt in range(STARTS):
                try:
                    self._start(lambda: time.monotonic() < deadline)
                    return True
                except (ZygoteGone, ScoringFailed):
                    if time.monotonic() >= deadline:
                        break
                    time.sleep(FIRST_PAUSE * 2**attempt)
        return False

    def isolation(self) -> dict[str, Any]:
        """The defences that the sandbox has here, as `defences.probe` found them."""
        if not self.ready():
            raise ScoringFailed("crashed", "the zygote does not start")
        return self.known_isolation()

    def known_isolation(self) -> dict[str, Any]:
        """The same of the zygote that runs, or ran last; `{"started": False}` when none came up. From any thread."""
        return dict(self._isolation) or {"started": False}

    def close(self) -> None:
        """End the zygote and whatever it runs."""
        if self._checker is not None:
            self._checker.close()
            self._checker = None
        self._stop()

    def __enter__(self) -> Scorer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # the zygote

    def _start(self, wanted: Callable[[], bool]) -> None:
        """Have a zygote that runs. ScoringFailed when it is no longer `wanted`, which is asked about every second."""
        if self._owner != os.getpid():  # a copy made by fork: the zygote belongs to the process that started it
            self._process, self._control, self._owner = None, None, os.getpid()
        if self._process and self._process.poll() is None:
            return
        self._stop()
        ours, theirs = socket.socketpair()
        temporary = tempfile.gettempdir()
        environment = {"PATH": os.defpath, "HOME": temporary, "TMPDIR": temporary, "LANG": "C.UTF-8"}
        # a fork after a second thread has started may hang; two workers on two cores gain nothing from threads
        environment |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-c", BOOTSTRAP, str(ROOT), self.target, *self.search_path],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                cwd="/",
                env=environment,
                start_new_session=True,
            )
        self._control, self._unread = ours, b""
        deadline, message = time.monotonic() + START_SECONDS, None
        try:
            while message is None and time.monotonic() < deadline:
                if not wanted():
                    raise ScoringFailed("lease_lost")
                message = self._receive(min(deadline, time.monotonic() + LEASE_CHECK_SECONDS))
            if message is None or "ready" not in message:
                raise ZygoteGone("it did not start")
        except BaseException:
            self._stop()
            self._isolation = {}
            raise
        self._isolation = message["ready"]

    def _stop(self) -> None:
        process, control = self._process, self._control
        self._process = self._control = None
        if process is None or self._owner != os.getpid():
            return
        if control is not None:
            control.close()  # it ends its child and itself
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _send(self, message: dict[str, Any], descriptors: Iterable[int] = ()) -> None:
        assert self._control is not None
        data = json.dumps(message).encode() + b"\n"
        try:
            sent = socket.send_fds(self._control, [data], list(descriptors))
            self._control.sendall(data[sent:])
        except OSError as error:
            raise ZygoteGone(str(error)) from None

    def _receive(self, deadline: float) -> dict[str, Any] | None:
        """The zygote's next message, or None when the deadline passes first."""
        assert self._control is not None
        while b"\n" not in self._unread:
            self._control.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                data = self._control.recv(1 << 16)
            except TimeoutError:
                return None
            except OSError as error:
                raise ZygoteGone(str(error)) from None
            finally:
                self._control.settimeout(None)
            if not data:
                raise ZygoteGone(f"ended with {self._process.poll() if self._process else None}")
            self._unread += data
        line, self._unread = self._unread.split(b"\n", 1)
        message = json.loads(line)
        assert isinstance(message, dict)
        return message

    # one job

    def _sources(self) -> list[Path]:
        """The folders whose files may be named in the log."""
        return [ROOT / "evaluator", ROOT / "leaderboard", *map(Path, self.search_path)]

    def _reply(self, job: dict[str, Any], lease: Lease) -> bytes:
        """The child's reply, unchecked, from a second zygote where the first one died.

        One that dies with the job is replaced once, for the job may be what kills it; one that dies before, a few
        times more. Raises ScoringFailed when there is no reply.
        """
        died, starts = 0, 0
        while True:
            try:
                return self._attempt(job, lease)
            except ZygoteGone as gone:
                self._stop()
                died, starts = died + gone.with_job, starts + 1
                if died == 2:
                    raise ScoringFailed("crashed", f"the zygote died twice: {gone}") from None
                if starts == STARTS:
                    raise ScoringFailed("crashed", f"the zygote does not start: {gone}") from None
                if not gone.with_job:
                    time.sleep(FIRST_PAUSE * 2**starts)

    def _attempt(self, job: dict[str, Any], lease: Lease) -> bytes:
        self._start(lease.renewed)
        killed_before = oom_kills()
        reading, writing = os.pipe()
        given = False
        try:
            try:
                self._send({"job": job}, [writing])
                given = True
            finally:
                os.close(writing)
            memory_limited = bool(self._isolation.get("memory_limit"))
            watch = Watch(self.limits, memory_limited=memory_limited, end_seconds=END_SECONDS)
            return self._wait(reading, lease, watch, killed_before)
        except ScoringFailed:
            raise
        except ZygoteGone as gone:
            gone.with_job = given
            raise
        except BaseException:  # a heartbeat that raises, an interrupt: the job must not run on or reply to the next one
            self._stop()
            raise
        finally:
            os.close(reading)

    def _wait(self, reading: int, lease: Lease, watch: Watch, killed_before: int = 0) -> bytes:
        assert self._control is not None
        reply, open_pipe, reason = b"", True, ""
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ)
            selector.register(reading, selectors.EVENT_READ)
            while True:
                patience = (watch.due() if reason else min(lease.due(), watch.due())) - time.monotonic()
                for ready, _ in selector.select(max(0.0, patience)):
                    if ready.fileobj == reading:
                        data = os.read(reading, 1 << 16)
                        reply += data
                        if not data:
                            selector.unregister(reading)
                            open_pipe = False
                        elif len(reply) > REPLY_BYTES:
                            reason = reason or "protocol"
                            selector.unregister(reading)
                            open_pipe = False
                        continue
                    # both messages of a short job may have come at once, and then nothing wakes us for the second
                    while (message := self._receive(time.monotonic() + END_SECONDS)) is not None:
                        if "started" in message:
                            watch.started(message["started"])
                        elif "failed" in message:
                            code, error = message["failed"]
                            raise ScoringFailed(code, where(error, self._sources()))
                        elif "ended" in message:
                            while open_pipe and (data := os.read(reading, 1 << 16)) and len(reply) <= REPLY_BYTES:
                                reply += data
                            return self._conclude(reply, message, reason, killed_before)
                        if b"\n" not in self._unread:
                            break
                if not reason and not lease.renewed():
                    reason = "lease_lost"
                if not reason:
                    reason = watch.exceeded()
                if reason:
                    if watch.overdue():
                        # the zygote reads annotations, or hangs, which is not the file's fault; its child dies with it
                        assert self._process is not None
                        self._process.kill()
                        self._stop()
                        ours = "lease_lost" if reason == "lease_lost" else "crashed"
                        raise ScoringFailed(ours, f"the zygote did not answer and was killed ({reason})")
                    if watch.kill_asked():
                        self._send({"kill": True})

    def _conclude(self, reply: bytes, ended: dict[str, Any], reason: str, killed_before: int) -> bytes:
        if len(reply) > REPLY_BYTES:
            raise ScoringFailed("protocol", f"the reply is longer than {REPLY_BYTES} bytes")
        if reason:
            raise ScoringFailed(reason)
        status = int(ended["ended"])
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            name = signal.Signals(number).name if number in set(signal.Signals) else str(number)
            if name == "SIGXCPU" or ended["cpu_seconds"] >= self.limits.cpu_seconds:
                raise ScoringFailed("time", f"{ended['cpu_seconds']:.1f} s of processor time")
            code = f"killed_{name}"
            by_whom = "" if code in BY_FILE else "a signal from outside"
            if number == signal.SIGKILL and oom_kills() > killed_before:
                by_whom = "the kernel killed a process because memory ran out: lower POSEBOARD_SCORING_MEMORY_MIB"
            raise ScoringFailed(code, by_whom)
        if not reply:
            raise ScoringFailed("crashed", f"ended with {os.waitstatus_to_exitcode(status)} and no reply")
        return reply
