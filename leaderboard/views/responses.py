"""What every answer of the pages has in common: who may keep a copy of it, and the title of what was not found."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_cache_control, patch_vary_headers

from leaderboard.models import User
from leaderboard.operations.refusals import Refused

View = Callable[..., HttpResponseBase]


def person(request: HttpRequest) -> User:
    """Who is signed in, behind a view that lets nobody else in."""
    assert isinstance(request.user, User)
    return request.user


def private_page(view: View) -> View:
    """Nobody but the reader's own session sees this: no cache keeps it."""

    @wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = view(request, *args, **kwargs)
        patch_cache_control(response, private=True, no_store=True)
        return response

    return answer


def public_for_anonymous(view: View) -> View:
    """Everyone who is not signed in gets the same; a cache may keep it if it asks again. Signed in: not at all."""

    @wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = view(request, *args, **kwargs)
        patch_vary_headers(response, ["Cookie"])
        if request.user.is_authenticated or request.session.modified or response.status_code not in (200, 304):
            patch_cache_control(response, private=True, no_store=True)
        elif not response.has_header("Cache-Control"):
            patch_cache_control(response, public=True, max_age=0, must_revalidate=True)
        return response

    return answer


def say_refusal(request: HttpRequest, refusal: Refused) -> None:
    """A rule stopped it: its sentence, word for word."""
    messages.error(request, str(refusal))


def with_retry(response: HttpResponse, refusal: Refused) -> HttpResponse:
    if refusal.retry_after:
        response["Retry-After"] = str(refusal.retry_after)
    return response
