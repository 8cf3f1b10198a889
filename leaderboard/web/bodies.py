"""How large a request's body may be, by address, and the response to one that is refused.

The web server (`web.worker`) checks before it reads a body, so nothing of a refused one is written anywhere. The
middleware checks again, for other servers, and gives every refusal the headers of any other page.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.auth.views import redirect_to_login
from django.db import DatabaseError, close_old_connections
from django.http import HttpRequest, HttpResponse, parse_cookie
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import Resolver404, resolve

from leaderboard.access.unread_bodies import read_on
from leaderboard.api import problems
from leaderboard.operations import storage, tokens
from leaderboard.web.faults import out_of_storage

# The addresses that accept a file, by the name of the route and, where the route has one, its action. All others accept
# forms only, and the proxy's configuration (docker/Caddyfile) repeats this list.
UPLOADS = frozenset(
    {
        "api:create_submission",
        "api:start_run_with_boxes",
        "submit_to",
        "organise_act import",
        "organise_act run",
    }
)
# of a multipart body besides the file: boundaries, headers and form fields
FORM_ALLOWANCE = 1 << 20
# the key in a request's environment under which the web server says why it did not read the body
REFUSED = "poseboard.refused"
TOO_LARGE, TOO_SLOW, ANONYMOUS, BUSY, FULL = "too large", "too slow", "anonymous", "busy", "full"
RETRY_SECONDS = 10

_API = "/api/"


def is_upload(method: str, path: str) -> bool:
    """Whether the address accepts a file."""
    if method != "POST":
        return False
    try:
        found = resolve(path)
    except Resolver404:
        return False
    return " ".join([found.view_name, *filter(None, [found.kwargs.get("action")])]) in UPLOADS


def limit(*, upload: bool) -> int:
    """The largest body in bytes."""
    return int(settings.UPLOAD_LIMIT + FORM_ALLOWANCE if upload else settings.FORM_LIMIT)


def says_411(path: str) -> bool:
    """Whether a body without a Content-Length is refused there, unread: the API does, forms may be chunked."""
    return path.startswith(_API)


def known(environ: dict[str, Any]) -> bool:
    """Whether a request carries a token or a session of an account. Raises DatabaseError when that cannot be told."""
    try:
        if "HTTP_AUTHORIZATION" in environ:
            return tokens.authenticate(environ["HTTP_AUTHORIZATION"]) is not None
        key = parse_cookie(environ.get("HTTP_COOKIE", "")).get(settings.SESSION_COOKIE_NAME)
        if not key:
            return False
        request = HttpRequest()
        request.session = import_module(settings.SESSION_ENGINE).SessionStore(key)
        return bool(get_user(request).is_authenticated)
    finally:
        close_old_connections()


def why_refused(environ: dict[str, Any]) -> str:
    """Why a large body is not read: its sender is unknown. Empty for a user."""
    try:
        return "" if known(environ) else ANONYMOUS
    except DatabaseError:
        return BUSY


class BodyLimits:
    """Middleware: rejects a body that is too large for its address before anything reads it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        refused = request.META.get(REFUSED) or _too_large(request)
        # the API responds to a stranger without looking at the body
        if not refused or (refused == ANONYMOUS and request.path_info.startswith(_API)):
            return self.get_response(request)
        response = _respond(request, refused)
        response["Cache-Control"] = "no-store"
        return response


def _too_large(request: HttpRequest) -> str:
    length = request.META.get("CONTENT_LENGTH") or "0"
    # what is no number is a bad request, which is reported elsewhere
    if not length.isdecimal() or int(length) <= settings.FORM_LIMIT:
        return ""
    most = limit(upload=is_upload(request.method or "", request.path_info))
    if int(length) <= most:
        return ""
    read_on(request)
    return TOO_LARGE


def _respond(request: HttpRequest, refused: str) -> HttpResponseBase:
    if refused == ANONYMOUS:
        return redirect_to_login(request.get_full_path())
    upload = is_upload(request.method or "", request.path_info)
    if request.path_info.startswith(_API):
        return _problem(refused, upload=upload)
    if refused == FULL:
        return out_of_storage(request)
    status, title, text = _PAGES[refused]
    if refused == TOO_LARGE and not upload:
        title, text = "The request is too large", f"This page accepts at most {_size(settings.FORM_LIMIT)}."
    response = render(
        request, "refused_body.html", {"title": title, "text": text.format(_size(settings.UPLOAD_LIMIT))}, status=status
    )
    if status == 503:
        response["Retry-After"] = str(RETRY_SECONDS)
    return response


_PAGES = {
    TOO_LARGE: (413, "The file is too large", "Files may have at most {}. Compress yours (.json.gz) and try again."),
    TOO_SLOW: (
        408,
        "The request arrived too slowly",
        "The connection stalled before everything had arrived. Try again.",
    ),
    BUSY: (503, "The server is busy", "Too many requests are being processed. Try again in a few seconds."),
}


def _problem(refused: str, *, upload: bool) -> HttpResponse:
    if refused == TOO_LARGE and upload:
        return problems.respond(HttpRequest(), problems.too_large())
    if refused == TOO_LARGE:
        detail = f"The request body is larger than {_size(settings.FORM_LIMIT)}."
        return problems.response(413, "form_too_large", detail)
    if refused == TOO_SLOW:
        detail = "The request body stalled or arrived too slowly. Send the request again."
        return problems.response(408, "request_timeout", detail)
    if refused == FULL:
        return problems.respond(HttpRequest(), storage.full())
    return problems.response(
        503,
        "unavailable",
        "The server is busy. Send the request again.",
        headers={"Retry-After": str(RETRY_SECONDS)},
    )


def _size(count: int) -> str:
    return f"{count >> 20} MiB" if count >= 1 << 20 and not count % (1 << 20) else f"{count >> 10} KiB"
