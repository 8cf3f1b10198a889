"""The API as a whole: what holds for every response, whatever endpoint, error or unknown address it comes from."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import URLPattern, URLResolver, re_path
from django.utils.cache import patch_vary_headers
from ninja import NinjaAPI
from ninja.openapi.schema import OpenAPISchema

from leaderboard.api import problems
from leaderboard.api.access import BearerToken, admit

View = Callable[..., HttpResponseBase]

# caches ask whether they changed before using a copy
REVALIDATED = "public, no-cache"


class Api(NinjaAPI):
    """django-ninja with problem details also for unknown addresses and methods, HEAD, and careful caching."""

    def _get_urls(self) -> list[URLResolver | URLPattern]:
        patterns = [*super()._get_urls(), re_path(r"^.*$", _nothing_here)]
        for pattern in patterns:
            assert isinstance(pattern, URLPattern)
            pattern.callback = guarded(pattern.callback)
        return patterns

    def get_openapi_schema(self, **options: Any) -> OpenAPISchema:
        schema = super().get_openapi_schema(**options)
        definition = problems.ProblemDetails.model_json_schema(ref_template="#/components/schemas/{model}")
        schema["components"]["schemas"].update(definition.pop("$defs", {}))
        schema["components"]["schemas"]["ProblemDetails"] = definition
        reference = {"$ref": "#/components/schemas/ProblemDetails"}
        for router in self._get_bound_routers():
            for path_view in router.path_operations.values():
                for operation in path_view.operations:
                    _complete(schema, self.get_openapi_operation_id(operation), operation.auth_callbacks, reference)
        return schema

    def get_openapi_operation_id(self, operation: Any) -> str:
        return str(operation.operation_id or operation.view_func.__name__)


def _complete(schema: OpenAPISchema, name: str, auth: Any, problem: dict[str, str]) -> None:
    for methods in schema["paths"].values():
        for details in methods.values():
            if details["operationId"] != name:
                continue
            details["responses"]["429"] = {
                "description": "Too many requests (`rate_limited`), or a quota is used up (`quota_day` and others)",
                "headers": {
                    "Retry-After": {"description": "Seconds to wait", "schema": {"type": "integer"}},
                },
                "content": {problems.CONTENT_TYPE: {"schema": problem}},
            }
            details["responses"]["default"] = {
                "description": "What went wrong, as problem details (RFC 9457)",
                "content": {problems.CONTENT_TYPE: {"schema": problem}},
            }
            if any(isinstance(each, BearerToken) and not each.required for each in auth):
                details["security"] = [{}, *details.get("security", [])]


def _nothing_here(request: HttpRequest, **_: Any) -> HttpResponseBase:
    raise problems.not_found("There is no such endpoint. See the API reference.")


_nothing_here.csrf_exempt = True  # type: ignore[attr-defined]


def guarded(view: View) -> View:
    """Wrap a view: requests are counted, no exception leaves as a page, HEAD works where GET does, and nothing private
    is cached.
    """

    @functools.wraps(view)
    def guard(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        # before the view signs the caller in
        personal = "Authorization" in request.headers or settings.SESSION_COOKIE_NAME in request.COOKIES
        head = request.method == "HEAD"
        if head:
            request.method = "GET"
        try:
            admit(request)
            _check_length(request)
            response = view(request, *args, **kwargs)
        except Exception as error:
            response = problems.respond(request, error)
        if (usage := getattr(request, "usage", None)) is not None:
            for name, value in usage.headers().items():
                response.setdefault(name, value)
        if response.status_code == 405:
            allowed = response["Allow"]
            detail = f"This endpoint accepts {allowed}."
            response = problems.response(405, "method_not_allowed", detail, headers={"Allow": allowed})
        if head:
            request.method = "HEAD"
        if personal:
            response["Cache-Control"] = "private, no-store"
        else:
            response.setdefault("Cache-Control", "no-store")
        patch_vary_headers(response, ["Authorization", "Cookie"])
        return response

    return guard


def _check_length(request: HttpRequest) -> None:
    """Reject a body of unknown length before any of it is written; `web.bodies` rejects one that is too large."""
    if "chunked" in request.headers.get("Transfer-Encoding", "").lower():
        raise problems.Problem(411, "length_required", "Send the body with a Content-Length.")
    try:
        int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        raise problems.Problem(400, "bad_request", "The Content-Length is not a number.") from None
