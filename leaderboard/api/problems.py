"""Errors as problem details (RFC 9457): `application/problem+json` with a stable `code` that programs can rely on.

They say what is wrong with the request and what to do next, and reveal nothing about the server.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError
from pydantic import BaseModel

from evaluator import DatasetDefinitionError
from leaderboard.access.rate_limits import RateLimited
from leaderboard.access.unread_bodies import read_on
from leaderboard.boards.rankings import UnknownMetric
from leaderboard.files.blobs import TooLarge
from leaderboard.operations import storage
from leaderboard.operations.refusals import Refused

log = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"
REALM = 'Bearer realm="PoseBoard"'


class Problem(Exception):
    """Raise it in an endpoint to respond with it. `headers` go on the response."""

    def __init__(self, status: int, code: str, detail: str, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail
        self.headers = headers or {}


class FieldError(BaseModel):
    """An invalid field of the request, and what is wrong with it."""

    field: str
    message: str


class ProblemDetails(BaseModel):
    """RFC 9457. `code` is stable; `detail` is for people."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str
    errors: list[FieldError] | None = None


def response(
    status: int,
    code: str,
    detail: str,
    *,
    errors: Iterable[dict[str, str]] = (),
    headers: dict[str, str] | None = None,
) -> HttpResponse:
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
    }
    if errors := list(errors):
        body["errors"] = errors
    return HttpResponse(json.dumps(body), status=status, content_type=CONTENT_TYPE, headers=headers)


def not_found(what: str = "Not found, or you do not have access.") -> Problem:
    """Missing, or not visible to this caller: the two look alike."""
    return Problem(404, "not_found", what)


def too_large() -> Problem:
    return Problem(
        413,
        "file_too_large",
        f"The file is larger than {settings.UPLOAD_LIMIT >> 20} MiB. Send it compressed (.json.gz).",
    )


def _fields(error: ValidationError) -> list[dict[str, str]]:
    """The fields and what is wrong with each, without the values that were sent."""
    listed = []
    for each in error.errors[:100]:
        # ("form", "form", "year") or ("file", "file"): source, parameter, field
        named = [str(step) for step in each["loc"][1:]] or [str(each["loc"][0])]
        listed.append({"field": named[-1], "message": str(each["msg"])})
    return listed


def _failed(request: HttpRequest, error: Exception) -> HttpResponse:
    reference = f"R-{uuid.uuid4().hex[:10]}"
    log.error("%s %s failed (%s)", request.method, request.path, reference, exc_info=error)
    return response(500, "internal", f"Server error. Quote this reference to the operator: {reference}.")


def _refused(request: HttpRequest, error: Refused) -> HttpResponse:
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    if isinstance(error, RateLimited):
        headers |= error.usage.headers()
    return response(error.status, error.code, error.message, headers=headers)


def _invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
    errors = _fields(error)
    detail = "; ".join(f"{each['field']}: {each['message']}" for each in errors[:3])
    return response(422, "invalid", f"The request has invalid fields. {detail}", errors=errors)


def _http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
    if error.status_code == 401:
        return response(401, "unauthorized", "Send an API token.", headers={"WWW-Authenticate": REALM})
    details = {400: "The request body could not be read.", 403: "That is not allowed.", 404: str(not_found())}
    detail = details.get(error.status_code, HTTPStatus(error.status_code).phrase)
    return response(error.status_code, HTTPStatus(error.status_code).phrase.lower().replace(" ", "_"), detail)


def _problem(request: HttpRequest, problem: Problem) -> HttpResponse:
    return response(problem.status, problem.code, problem.detail, headers=problem.headers)


def _unreadable(request: HttpRequest, error: Exception) -> HttpResponse:
    return response(400, "bad_request", "The request body could not be read.")


def _unavailable(request: HttpRequest, error: Exception) -> HttpResponse:
    if storage.is_full(error):
        return _full(request, error)
    log.warning("%s %s: the database is down (%s)", request.method, request.path, type(error).__name__)
    return response(
        503, "unavailable", "The database is not responding. Send the request again.", headers={"Retry-After": "5"}
    )


def _full(request: HttpRequest, error: BaseException) -> HttpResponse:
    log.error("%s %s: no space left (%s)", request.method, request.path, error)
    read_on(request)
    return _refused(request, storage.full())


def _os_error(request: HttpRequest, error: OSError) -> HttpResponse:
    return _full(request, error) if storage.is_full(error) else _failed(request, error)


def respond(request: HttpRequest, error: Any) -> HttpResponse:
    """The response to anything that an endpoint or its middleware raised."""
    for kind, handler in _HANDLERS.items():
        if isinstance(error, kind):
            return handler(request, error)
    return _failed(request, error)


_HANDLERS: dict[type[Exception], Any] = {
    Problem: _problem,
    Refused: _refused,
    ValidationError: _invalid,
    HttpError: _http_error,
    TooLarge: lambda request, error: _problem(request, too_large()),
    RequestDataTooBig: lambda request, error: _problem(
        request, Problem(413, "form_too_large", "The form fields are larger than 1 MiB together.")
    ),
    UnknownMetric: lambda request, error: response(404, "metric_unknown", str(error)),
    DatasetDefinitionError: lambda request, error: response(
        404, "dataset_unknown", "The definition of the benchmark's dataset is missing. Contact the operator."
    ),
    Http404: lambda request, error: _problem(request, not_found()),
    PermissionDenied: lambda request, error: response(403, "forbidden", "That is not allowed."),
    MultiPartParserError: _unreadable,
    SuspiciousOperation: _unreadable,
    UnreadablePostError: _unreadable,
    RecursionError: _unreadable,
    OperationalError: _unavailable,
    InterfaceError: _unavailable,
    OSError: _os_error,
}


def install(api: NinjaAPI) -> None:
    """Turn every exception into problem details."""
    for kind in [*_HANDLERS, Exception]:
        api.add_exception_handler(kind, respond)
