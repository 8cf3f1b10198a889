"""Wake-up calls to the workers. A call carries nothing that matters and may be lost: the sweep calls again.

A caller only leaves a note. A thread of the process delivers the notes to the broker, so that no request waits for a
broker that is down or frozen. Undelivered notes are tried again until the broker is back.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from typing import Any

from kombu.exceptions import OperationalError

log = logging.getLogger(__name__)

# kind of work: its task, and the queue of the workers that do it
TASKS = {
    "score": ("leaderboard.tasks.score", "score"),
    "annotations": ("leaderboard.tasks.check_annotations", "score"),
    "baseline": ("leaderboard.tasks.run_baseline", "baseline"),
}
# each call wakes one worker; calls beyond the number of workers find nothing to do
MOST_WAITING = 64
RETRY_SECONDS = 2.0
# the thread may wait for a frozen broker, but a process must be able to end
SOCKET_SECONDS = 2.0
EXIT_SECONDS = 5.0


def wake(work: str, times: int = 1) -> None:
    """Have one worker look for this kind of work, or as many as `times`. Returns at once, whatever the broker does."""
    if times:
        _caller.wake(work, times)


def flush(seconds: float = EXIT_SECONDS) -> bool:
    """Wait until all calls are delivered, `seconds` at most and not for a broker that is away. Whether they are."""
    return _caller.flush(seconds)


class _Caller:
    """The notes, and the thread that delivers them: started by the first call, and again if it has died."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.waiting: dict[str, int] = {}
        self.away = False
        self.thread: threading.Thread | None = None

    def wake(self, work: str, times: int) -> None:
        assert work in TASKS
        with self.changed:
            self.waiting[work] = min(MOST_WAITING, self.waiting.get(work, 0) + times)
            if self.thread is None or not self.thread.is_alive():
                self.thread = threading.Thread(target=self._deliver, name="wake-up calls", daemon=True)
                try:
                    self.thread.start()
                except RuntimeError as error:  # no more threads, or the interpreter is ending
                    log.warning("no thread to wake the workers with (%s): the sweep wakes them", error)
                    self.thread = None
            self.changed.notify_all()

    def flush(self, seconds: float) -> bool:
        with self.changed:
            self.changed.wait_for(
                lambda: not self.waiting or self.away or self.thread is None or not self.thread.is_alive(), seconds
            )
            return not self.waiting

    def _deliver(self) -> None:
        # imported here: it takes long, and no request should wait for it
        from leaderboard.celery import app

        # exit handlers run in reverse order: the last calls must go out before what Celery has registered shuts down
        atexit.register(flush)
        line = _Line(app)
        while True:
            with self.changed:
                self.changed.wait_for(lambda: bool(self.waiting))
                work = next(iter(self.waiting))
            try:
                line.send(work)
            except (OperationalError, OSError) as error:
                self._missed(error)
                continue
            with self.changed:
                if self.away:
                    log.warning("the broker is back: the workers are woken")
                self.away = False
                self.waiting[work] -= 1
                if not self.waiting[work]:
                    del self.waiting[work]
                self.changed.notify_all()

    def _missed(self, error: Exception) -> None:
        """One line in the log per outage, however often delivery is tried."""
        with self.changed:
            if not self.away:
                log.warning("the broker is down (%s): submissions are accepted and wait", error)
            self.away = True
            self.changed.notify_all()
        threading.Event().wait(RETRY_SECONDS)


class _Line:
    """The thread's own connection to the broker, opened again after every failure."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.connection: Any = None

    def send(self, work: str) -> None:
        task, queue = TASKS[work]
        if self.connection is None:
            self.connection = self.app.connection_for_write(transport_options={"socket_timeout": SOCKET_SECONDS})
        try:
            self.app.send_task(task, queue=queue, connection=self.connection, retry=False, ignore_result=True)
        except BaseException:
            self.connection.release()
            self.connection = None
            raise


_caller = _Caller()


def _forget() -> None:
    """In a forked process there is no such thread, and its lock may have been held at that moment."""
    global _caller
    _caller = _Caller()


os.register_at_fork(after_in_child=_forget)
atexit.register(flush)
