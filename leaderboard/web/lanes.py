"""The site behind an event loop: a request uses a thread only once all of it has arrived.

Django runs as a WSGI application in threads that live as long as the process, each with its own database connection.
Around it, in coroutines, the request's body is received and the response is sent: a slow client costs a coroutine, a
file descriptor and what it has sent, but no thread and no database connection.

The threads are divided into lanes, so that no kind of request can use up the threads of another: `readers` for requests
without a body, `forms` for those with one, `uploads` for the addresses that accept a file. A request waits a bounded
time for its lane; then the response is a 503 with Retry-After.
"""

from __future__ import annotations

import asyncio
import io
import logging
import math
import tempfile
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, BinaryIO, TypeVar

from django.conf import settings

from leaderboard.operations.storage import is_full
from leaderboard.web import bodies
from leaderboard.web.calls import WSGI, Response, call, environ_of, some_of

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

T = TypeVar("T")

log = logging.getLogger(__name__)

# how long a request waits for a thread of its lane; clients of the API give up after a minute
READER_WAIT, FORM_WAIT, UPLOAD_WAIT = 10.0, 20.0, 45.0
FORM_THREADS, UPLOAD_THREADS = 2, 3

# How long a body may pause, how fast it must be on average after the first seconds, how soon it must have arrived.
PAUSE_SECONDS = 20.0
GRACE_SECONDS, BYTES_PER_SECOND = 10.0, 1 << 10
FORM_SECONDS = 60.0
# How long an unread body is read and dropped, for a client that reads the response only when all is sent; a client that
# pauses has read it.
DROP_SECONDS, DROP_PAUSE_SECONDS = 30.0, 2.0

# of a body, in memory; the rest goes to a file
IN_MEMORY = 1 << 16
# of a body, written to the file at once
PIECE = 1 << 18
ROOM_POLL = 0.25


class Busy(Exception):
    """No thread, or no room for the body, within the time."""


class TooSlow(Exception):
    """The body did not arrive in time."""


class TooLarge(Exception):
    """The body is larger than its address allows."""


class Gone(Exception):
    """The client has left."""


class Lane:
    """A few threads for one kind of request, and how long a request waits for one of them."""

    def __init__(self, name: str, threads: int, wait: float) -> None:
        self.wait = wait
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)

    def submit(self, call: Callable[[], T]) -> Future[T]:
        return self._pool.submit(call)

    async def result(self, future: Future[T]) -> T:
        """What the call returns or raises. Raises Busy when no thread began it in time."""
        result = asyncio.wrap_future(future)
        try:
            done, _ = await asyncio.wait({result}, timeout=None if math.isinf(self.wait) else self.wait)
        except asyncio.CancelledError:
            # a call that no thread has begun will not run; one that has begun runs to its end
            future.cancel()
            raise
        if not done and future.cancel():
            raise Busy
        return await result

    async def run(self, call: Callable[[], T]) -> T:
        return await self.result(self.submit(call))


class Room:
    """The bytes of unfinished bodies that this process holds, in memory and in files."""

    def __init__(self, most: int) -> None:
        self.most, self.used = most, 0

    async def take(self, count: int) -> None:
        """Wait for room. Raises Busy when there is none in time."""
        waited = 0.0
        while self.used + count > self.most:
            if waited >= UPLOAD_WAIT:
                raise Busy
            await asyncio.sleep(ROOM_POLL)
            waited += ROOM_POLL
        self.used += count

    def give_back(self, count: int) -> None:
        self.used -= count


class Body:
    """A request's body as it arrives: the beginning in memory, a larger one in a file without a name."""

    def __init__(self, room: Room, disk: Lane) -> None:
        self.size = 0
        self._room, self._disk = room, disk
        self._pieces: list[bytes] = []
        self._held = 0
        self._file: BinaryIO | None = None

    async def add(self, piece: bytes) -> None:
        await self._room.take(len(piece))
        self.size += len(piece)
        self._pieces.append(piece)
        self._held += len(piece)
        if self._held > (PIECE if self._file else IN_MEMORY):
            await self._disk.run(self._write)

    def _write(self) -> None:
        if self._file is None:
            settings.UPLOADS_DIR.mkdir(parents=True, exist_ok=True)
            # on the disk that the upload is meant for: the folder for temporary files may be memory
            self._file = tempfile.TemporaryFile(dir=settings.UPLOADS_DIR)  # noqa: SIM115  closed by close()
        self._file.writelines(self._pieces)
        self._pieces, self._held = [], 0

    async def opened(self) -> BinaryIO:
        """The whole, to be read from its beginning."""
        if self._file is None:
            return io.BytesIO(b"".join(self._pieces))
        await self._disk.run(self._write)
        self._file.seek(0)
        return self._file

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._pieces = []
        self._room.give_back(self.size)
        self.size = 0


class Site:
    """The ASGI application around the WSGI one."""

    def __init__(self, wsgi: WSGI, *, readers: int) -> None:
        self.wsgi = wsgi
        self.readers = Lane("readers", readers, READER_WAIT)
        self.forms = Lane("forms", FORM_THREADS, FORM_WAIT)
        self.uploads = Lane("uploads", UPLOAD_THREADS, UPLOAD_WAIT)
        # responses to refused requests need no database: they are sent however busy the other lanes are
        self.refusals = Lane("refusals", 1, math.inf)
        # bodies are written by a thread, so that a slow disk stops nobody but uploads
        self.disk = Lane("disk", 1, UPLOAD_WAIT)
        self.room = Room(settings.SPOOL_LIMIT)

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
        elif scope["type"] == "http":
            request = _Request(self, scope, receive, send)
            try:
                await request.serve()
            except Gone:
                pass
            finally:
                request.close()


class Connection:
    """What a request tells the server about its connection."""

    def receiving(self, *, upload: bool) -> None:
        """The body of an upload or a form is arriving."""

    def received(self) -> None:
        """The body has arrived, and the request is being processed."""

    def last(self) -> None:
        """This was its last request."""


class _Request:
    def __init__(self, site: Site, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        self.site, self.receive, self.send = site, receive, send
        self.environ = environ_of(scope)
        self.path = self.environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace")
        self.method = self.environ["REQUEST_METHOD"]
        self.length = int(self.environ.get("CONTENT_LENGTH") or 0)
        self.chunked = "HTTP_TRANSFER_ENCODING" in self.environ
        self.connection: Connection = scope.get("poseboard.connection", Connection())
        self.body: Body | None = None
        self.call: Future[Response] | None = None
        self.response: Response | None = None
        self.unread = bool(self.length or self.chunked)

    async def serve(self) -> None:
        lane = self.site.readers
        if self.unread:
            upload = bodies.is_upload(self.method, self.path)
            refused = await self._take(upload)
            if refused:
                self.environ[bodies.REFUSED] = refused
                lane = self.site.readers if refused == bodies.ANONYMOUS else self.site.refusals
            elif self.body is not None:
                lane = self.site.uploads if upload else self.site.forms
        elif self.method not in {"GET", "HEAD", "OPTIONS"}:
            lane = self.site.forms
        try:
            self.response = await self._run(lane)
        except Busy:
            self.environ[bodies.REFUSED] = bodies.BUSY
            self.environ["wsgi.input"] = io.BytesIO()
            self.response = await self._run(self.site.refusals)
        await self._send(self.response, lane)
        if self.unread and self.environ.get(bodies.REFUSED) != bodies.TOO_SLOW:
            self.connection.receiving(upload=False)
            await self._drop()

    async def _take(self, upload: bool) -> str:
        """Receive the body. Returns why it is refused, or an empty text."""
        limit = bodies.limit(upload=upload)
        if self.chunked and bodies.says_411(self.path):
            return ""
        if self.length > limit:
            return bodies.TOO_LARGE
        if upload and (self.chunked or self.length > settings.FORM_LIMIT):
            try:
                if why := await self.site.readers.run(lambda: bodies.why_refused(self.environ)):
                    return why
            except Busy:
                return bodies.BUSY
        self.body = Body(self.site.room, self.site.disk)
        self.connection.receiving(upload=upload)
        try:
            await self._receive(self.body, limit, settings.UPLOAD_SECONDS if upload else FORM_SECONDS)
            self.environ["wsgi.input"] = await self.body.opened()
        except TooLarge:
            return bodies.TOO_LARGE
        except TooSlow:
            return bodies.TOO_SLOW
        except (Busy, OSError) as error:
            log.warning("%s %s: no room for the body (%s)", self.method, self.path, error or "too many at once")
            return bodies.FULL if is_full(error) else bodies.BUSY
        finally:
            self.connection.received()
        self.unread = False
        self.environ["CONTENT_LENGTH"] = str(self.body.size)
        return ""

    async def _receive(self, body: Body, limit: int, seconds: float) -> None:
        """Receive all of the body, counted and timed. Only the client's time counts, not ours."""
        clock, spent, more = asyncio.get_running_loop().time, 0.0, True
        while more:
            allowed = min(PAUSE_SECONDS, seconds - spent, GRACE_SECONDS + body.size / BYTES_PER_SECOND - spent)
            asked = clock()
            try:
                async with asyncio.timeout(max(allowed, 0)):
                    message = await self.receive()
            except TimeoutError:
                raise TooSlow from None
            spent += clock() - asked
            if message["type"] != "http.request":
                raise Gone
            piece, more = message.get("body", b""), message.get("more_body", False)
            if body.size + len(piece) > limit:
                raise TooLarge
            if piece:
                await body.add(piece)

    async def _run(self, lane: Lane) -> Response:
        self.call = lane.submit(lambda: call(self.site.wsgi, self.environ))
        return await lane.result(self.call)

    async def _send(self, response: Response, lane: Lane) -> None:
        if self.unread or self.environ["SERVER_PROTOCOL"] == "HTTP/1.0":
            # an old client waits for the end of the connection unless it is told that the connection stays open
            response.headers.append((b"Connection", b"close"))
            self.connection.last()
        try:
            await self.send({"type": "http.response.start", "status": response.status, "headers": response.headers})
            # some responses must have no body
            empty = self.method == "HEAD" or response.status in {204, 304}
            more = response.rest is not None and not empty
            await self.send({"type": "http.response.body", "body": b"" if empty else response.ahead, "more_body": more})
            while more and response.rest is not None:
                piece, more = await asyncio.wrap_future(lane.submit(partial(some_of, response.rest)))
                await self.send({"type": "http.response.body", "body": piece, "more_body": more})
        finally:
            if response.rest is not None:
                # in a thread, since it may close a database connection
                lane.submit(response.close)

    async def _drop(self) -> None:
        """Read the rest, up to a bound: a client that is still sending would see a broken pipe instead."""
        most, more, loop = 4 * bodies.limit(upload=True), True, asyncio.get_running_loop()
        end = loop.time() + DROP_SECONDS
        with suppress(TimeoutError):
            while more and most > 0:
                async with asyncio.timeout_at(min(end, loop.time() + DROP_PAUSE_SECONDS)):
                    message = await self.receive()
                most -= len(message.get("body", b""))
                more = message.get("more_body", False)

    def close(self) -> None:
        """Give everything back once no thread uses it: a call that has begun goes on when its client leaves."""
        body, loop = self.body, asyncio.get_running_loop()

        def done(call: Future[Response]) -> None:
            if self.response is None and not call.cancelled() and call.exception() is None:
                call.result().close()
            if body is not None:
                with suppress(RuntimeError):  # the loop may have ended before the thread
                    loop.call_soon_threadsafe(body.close)

        if self.call is not None:
            self.call.add_done_callback(done)
        elif body is not None:
            body.close()
