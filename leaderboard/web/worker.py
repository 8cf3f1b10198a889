"""gunicorn's worker for the site: `gunicorn leaderboard.wsgi --worker-class leaderboard.web.Worker`.

It is gunicorn's own asyncio worker, with `web.lanes` between it and the WSGI application, and with what that worker
lacks: a time limit for a request's head, a limit on connections, and an end for clients that read nothing.
"""

from __future__ import annotations

import resource
import socket
import struct
from contextlib import suppress
from typing import Any

from gunicorn.asgi.protocol import ASGIProtocol
from gunicorn.workers import gasgi

# from the first byte of a request's head, or from the connection, to the end of the head
HEAD_SECONDS = 10.0
# how long a client may read nothing of a response that waits for it
UNSENT_SECONDS = 30.0
SWEEP_SECONDS = 1.0
# the share of connections that may send files without being ended for a new one
UPLOAD_SHARE = 0.75
# how many clients at once are told that there is no room; for others the connection is closed
MOST_TURNED_AWAY, TURNED_AWAY_SECONDS = 32, 2.0
# open files of the process besides its connections: the database, the log, the files of threads
SPARE_FILES = 128

_AT_ONCE = struct.pack("ii", 1, 0)
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_FULL = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 10\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Connection(ASGIProtocol):
    """One client's connection, with the times that it is given."""

    def __init__(self, worker: Worker) -> None:
        super().__init__(worker)
        self.app = self._respond
        self._running = 0
        self._since = worker.loop.time()
        # the first request must begin at once; later ones when the client likes, for gunicorn's keep-alive time
        self._head_begun = True
        self._turned_away = self._last = False
        self._unsent, self._unsent_since = 0, 0.0

    def connection_made(self, transport: Any) -> None:
        if not self.worker.make_room():
            self._turned_away = True
            self.worker.turn_away(transport)
            return
        self.worker.connections.add(self)
        self.worker.idle[self] = None
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._turned_away:
            self.worker.turned_away -= 1
            return
        self.worker.connections.discard(self)
        self.worker.idle.pop(self, None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._turned_away:
            return
        if not self._running and not self._head_begun:
            self._head_begun, self._since = True, self.worker.loop.time()
        super().data_received(data)

    async def _respond(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if self._last:
            # this request was sent after the one whose response ended the connection
            return
        self._running += 1
        self.worker.idle.pop(self, None)
        try:
            await self.worker.asgi({**scope, "poseboard.connection": self}, receive, send)
        finally:
            self._running -= 1
            if self._last:
                self.transport.close()
            elif not self._running:
                self._head_begun = False
                self._may_be_ended()

    def last(self) -> None:
        self._last = True

    def receiving(self, *, upload: bool) -> None:
        """The sender of a form may be ended for a new connection; the sender of a file only where too many send one."""
        worker = self.worker
        if not upload or len(worker.connections) - len(worker.idle) > UPLOAD_SHARE * worker.most_connections:
            self._may_be_ended()

    def received(self) -> None:
        self.worker.idle.pop(self, None)

    def _may_be_ended(self) -> None:
        if self in self.worker.connections:
            self.worker.idle[self] = None

    def end(self) -> None:
        """Close without waiting for the client."""
        if self.transport is not None:
            self.transport.abort()

    def check(self, now: float) -> None:
        """End the connection if it is too slow."""
        unsent = self.transport.get_write_buffer_size()
        if unsent and unsent == self._unsent:
            if now - self._unsent_since > UNSENT_SECONDS:
                # and the kernel drops what it still holds for the client
                self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
                self.end()
        else:
            self._unsent, self._unsent_since = unsent, now
        if not self._running and self._head_begun and now - self._since > HEAD_SECONDS:
            self._since = now
            self.transport.write(_TOO_SLOW)
            self.transport.close()


class Worker(gasgi.ASGIWorker):
    """`--threads` is the number of threads for readers; `--worker-connections` bounds the connections."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.most_connections = _connections(self.cfg.worker_connections)
        self.connections: set[Connection] = set()
        # those that may be ended for a new one, the longest idle first
        self.idle: dict[Connection, None] = {}
        self.turned_away = 0

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        """gunicorn's own would warn that there are no threads."""

    def init_process(self) -> None:
        self.cfg.set("asgi_loop", "asyncio")
        super().init_process()

    def load_wsgi(self) -> None:
        super().load_wsgi()
        # imports Django's models, so not before the application is there
        from leaderboard.web.lanes import Site

        self.asgi: Any = Site(self.app.wsgi(), readers=self.cfg.threads if self.cfg.threads > 1 else 4)

    def run(self) -> None:
        create = self.loop.create_server

        async def create_server(_: Any, *, sock: Any, **options: Any) -> Any:
            # accept one connection at a time, not all that wait: the other processes take theirs
            server = await create(lambda: Connection(self), sock=sock, backlog=1, **options)
            sock.listen(self.cfg.backlog)
            return server

        # gunicorn's worker creates its connections here
        self.loop.create_server = create_server
        self.loop.call_soon(self._sweep)
        super().run()

    def handle_exit_signal(self) -> None:
        super().handle_exit_signal()
        self._end_idle()

    def _end_idle(self) -> None:
        """A stop waits for requests that run, and for nothing else."""
        for connection in list(self.idle):
            connection.end()

    def make_room(self) -> bool:
        """For one more connection, at the cost of the longest idle one if need be."""
        if len(self.connections) < self.most_connections:
            return True
        oldest = next(iter(self.idle), None)
        if oldest is None:
            return False
        del self.idle[oldest]
        self.connections.discard(oldest)
        oldest.end()
        return True

    def turn_away(self, transport: Any) -> None:
        """Say that there is no room, and wait a moment for the client to read it before the connection is closed."""
        self.turned_away += 1
        if self.turned_away > MOST_TURNED_AWAY:
            transport.abort()
            return
        transport.write(_FULL)
        transport.write_eof()
        self.loop.call_later(TURNED_AWAY_SECONDS, transport.close)

    def _sweep(self) -> None:
        if not self.alive:
            self._end_idle()
        now = self.loop.time()
        for connection in list(self.connections):
            connection.check(now)
        self.loop.call_later(SWEEP_SECONDS, self._sweep)


def _connections(wanted: int) -> int:
    """As many as were asked for, or as the limit on open files allows: each may have a body's file beside it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * wanted + SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        new = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (new, hard))
            soft = new
    if soft == resource.RLIM_INFINITY:
        return wanted
    return max(1, min(wanted, (soft - SPARE_FILES) // 2))
