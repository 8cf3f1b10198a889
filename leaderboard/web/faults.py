"""The pages for a full disk and for a database that is down, and what is tidied up after each request."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views.defaults import server_error as plain_server_error

from leaderboard.access.unread_bodies import read_on
from leaderboard.api import problems
from leaderboard.operations import storage

log = logging.getLogger(__name__)

_DATABASE_RETRY_SECONDS = 5


def server_error(request: HttpRequest) -> HttpResponse:
    """The handler of what no view caught: 507 for a full disk, 503 without the database, otherwise 500.

    It also handles what middleware raises, such as a session that cannot be saved, on the API's addresses as well.
    """
    error = sys.exc_info()[1]
    if request.path.startswith("/api/"):
        return problems.respond(request, error)
    if storage.is_full(error):
        read_on(request)
        return out_of_storage(request)
    if isinstance(error, OperationalError | InterfaceError):
        return _unavailable(request, 503, _DATABASE_RETRY_SECONDS)
    return plain_server_error(request)


def out_of_storage(request: HttpRequest) -> HttpResponse:
    """The page for a disk that is full."""
    return _unavailable(request, 507, storage.RETRY_SECONDS)


def _unavailable(request: HttpRequest, status: int, retry_after: int) -> HttpResponse:
    # without the request: its context processors ask the database
    response = render(None, "unavailable.html", {"full": status == 507}, status=status)
    response["Retry-After"] = str(retry_after)
    response["Cache-Control"] = "private, no-store"
    return response


def spooled_files_closed(get_response: Callable[[HttpRequest], HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Middleware: the spooled files of a body are deleted with the request, even where its parsing was interrupted."""

    def respond(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        if request.content_type == "multipart/form-data":
            for handler in request.upload_handlers:
                if (file := getattr(handler, "file", None)) is not None:
                    file.close()
        return response

    return respond
