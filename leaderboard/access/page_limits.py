"""Rate limits on the pages: every form that is sent counts, and beyond a limit the page is a 429 with the time to wait.

The API counts for itself (leaderboard/api/access.py). Pages that are only read are not limited.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import patch_cache_control

from leaderboard.access import rate_limits, visitors
from leaderboard.access.rate_limits import RateLimited

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


def refuse(request: HttpRequest, limited: RateLimited) -> None:
    """Make the response to this request a 429, whatever the view returns: a form that says why keeps its fields."""
    request.limited = limited  # type: ignore[attr-defined]


def refusal(request: HttpRequest) -> RateLimited | None:
    """The limit that stops this request, when one does."""
    return getattr(request, "limited", None)


class RateLimits:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        limited = refusal(request)
        if limited is None:
            return response
        if 300 <= response.status_code < 400:
            # the view did not do what was limited, and the page that it redirects to would not say so
            response = page(request, limited, done=True)
        return marked(response, limited)

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], args: Any, kwargs: Any
    ) -> HttpResponse | None:
        match = request.resolver_match
        if request.method in SAFE_METHODS or (match is not None and "api" in match.namespaces):
            return None
        user = request.user
        # the user's session, or the network of whoever has none
        who = f"user {user.pk}" if user.is_authenticated else visitors.network(request)
        try:
            rate_limits.take("form", who)
            if user.is_authenticated and request.content_type == "multipart/form-data":
                rate_limits.take("upload", who)
        except RateLimited as limited:
            refuse(request, limited)
            return None if getattr(view, "says_limits", False) else page(request, limited)
        return None


def page(request: HttpRequest, limited: RateLimited, *, done: bool = False) -> HttpResponse:
    """`done`: the view has run, so the form need not be sent again as it was."""
    return render(request, "429.html", {"limited": limited, "done": done})


def marked(response: HttpResponse, limited: RateLimited) -> HttpResponse:
    """A 429 that says when to come back and what the limit is."""
    response.status_code = limited.status
    response["Retry-After"] = str(limited.retry_after)
    for name, value in limited.usage.headers().items():
        response[name] = value
    patch_cache_control(response, private=True, no_store=True)
    return response
