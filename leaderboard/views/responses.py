"""What all pages have in common: who may cache them, who is signed in, and how a refusal is shown."""

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
    """Only the reader's own session sees this page: no cache may store it."""

    @wraps(view)
    def respond(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = view(request, *args, **kwargs)
        patch_cache_control(response, private=True, no_store=True)
        return response

    return respond


def public_for_anonymous(view: View) -> View:
    """Caches may store and revalidate the page of anonymous readers; pages of signed-in readers are not stored."""

    @wraps(view)
    def respond(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = view(request, *args, **kwargs)
        patch_vary_headers(response, ["Cookie"])
        if request.user.is_authenticated or request.session.modified or response.status_code not in (200, 304):
            patch_cache_control(response, private=True, no_store=True)
        elif not response.has_header("Cache-Control"):
            patch_cache_control(response, public=True, max_age=0, must_revalidate=True)
        return response

    return respond


def say_refusal(request: HttpRequest, refusal: Refused) -> None:
    """Show why the rules stopped it, word for word."""
    messages.error(request, str(refusal))


def with_retry(response: HttpResponse, refusal: Refused) -> HttpResponse:
    if refusal.retry_after:
        response["Retry-After"] = str(refusal.retry_after)
    return response
