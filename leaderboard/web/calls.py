"""One call of the WSGI application: its environment, and its response as far as it is made ahead of the client."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

Environ = dict[str, Any]
WSGI = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

AHEAD = 1 << 18
"""Bytes of a response that are made ahead of the client."""


@dataclass
class Response:
    """A response: its head, what of its body was made ahead, and the rest when there is more."""

    status: int
    headers: list[tuple[bytes, bytes]]
    ahead: bytes
    rest: Iterator[bytes] | None = None
    close: Callable[[], None] = field(default=lambda: None)


def call(wsgi: WSGI, environ: Environ) -> Response:
    """Call the application in this thread. Returns its response, with at most the first quarter of a megabyte made."""
    head: list[Any] = []
    written: list[bytes] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], None]:
        head[:] = [status, headers]
        return written.append

    result = wsgi(environ, start_response)
    close = getattr(result, "close", lambda: None)
    try:
        pieces = iter(result)
        ahead, more = some_of(pieces)
        response = Response(
            int(head[0].split(None, 1)[0]),
            [(name.encode("latin-1"), value.encode("latin-1")) for name, value in head[1]],
            b"".join(written) + ahead,
        )
    except BaseException:
        close()
        raise
    if more:
        response.rest, response.close = pieces, close
    else:
        close()
    return response


def some_of(pieces: Iterator[bytes]) -> tuple[bytes, bool]:
    """The next quarter of a megabyte, and whether there may be more."""
    found: list[bytes] = []
    size = 0
    for piece in pieces:
        found.append(piece)
        size += len(piece)
        if size >= AHEAD:
            return b"".join(found), True
    return b"".join(found), False


def environ_of(scope: dict[str, Any]) -> Environ:
    """The environment of PEP 3333, as gunicorn's other workers make it, without a body."""
    raw = scope["raw_path"]
    if not raw.startswith(b"/"):
        # the form of requests to a proxy: http://host/path
        raw = urlsplit(raw).path or b"/"
    environ: Environ = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": scope.get("root_path", ""),
        "PATH_INFO": unquote_to_bytes(raw).decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.input": io.BytesIO(),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    # a Unix socket has neither
    environ["SERVER_NAME"], environ["SERVER_PORT"] = map(str, scope["server"] or ("localhost", ""))
    environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = map(str, scope["client"] or ("", ""))
    for name, value in scope["headers"]:
        key = name.decode("latin-1").upper().replace("-", "_")
        if key not in {"CONTENT_LENGTH", "CONTENT_TYPE"}:
            key = f"HTTP_{key}"
        text = value.decode("latin-1")
        environ[key] = f"{environ[key]},{text}" if key in environ else text
    return environ
