"""Who sent a request, by a bearer token or by the session of a page of this site, and whether they send too many.

A request with a token needs no CSRF token, since a browser never adds that header by itself. One that changes something
and comes by session must have one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from ninja.security.base import AuthBase
from ninja.utils import check_csrf

from leaderboard.access import rate_limits, visitors
from leaderboard.api.problems import REALM, Problem
from leaderboard.models import ApiToken, User
from leaderboard.operations import tokens

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def admit(request: HttpRequest) -> None:
    """Look the token up and count the request, before any of its body is read. Raises `RateLimited`.

    A request counts for its user, or without one for the network that it comes from. A valid token passes even where
    invalid ones came from: they cannot be guessed, and one broken script must not stop the others of a laboratory.
    """
    header = request.headers.get("Authorization")
    known = None if header is None else tokens.authenticate(header)
    request.bearer = known  # type: ignore[attr-defined]
    user = known[0] if known is not None else request.user if header is None else AnonymousUser()
    if user.is_authenticated:
        who = f"user {user.pk}"
        request.usage = rate_limits.take("api", who)  # type: ignore[attr-defined]
        if request.content_type == "multipart/form-data" and request.method not in SAFE_METHODS:
            rate_limits.take("upload", who)
        return
    network = visitors.network(request)
    if header is not None:
        rate_limits.take("api_invalid", network)
    request.usage = rate_limits.take("api_network", network)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Caller:
    """The user of a request, and the token when it came with one."""

    user: User | AnonymousUser
    token: ApiToken | None = None


class BearerToken(AuthBase):
    """Requires a token with a scope; `required=False` also lets anonymous callers in, but never an invalid token."""

    openapi_type = "http"
    openapi_scheme = "bearer"
    openapi_bearerFormat = "plb_<id>_<secret>_<crc>"

    def __init__(self, scope: str | None, *, required: bool = True) -> None:
        super().__init__()
        self.scope, self.required = scope, required

    def __call__(self, request: HttpRequest) -> Caller:
        if "Authorization" in request.headers:
            return self._by_token(request)
        if request.user.is_authenticated:
            if request.method not in SAFE_METHODS and check_csrf(request):
                raise Problem(403, "csrf_failed", "Reload the page and try again: its form has expired.")
            return Caller(request.user)
        if self.required:
            raise Problem(
                401,
                "token_missing",
                "Send an API token: `Authorization: Bearer plb_...`. Create one on your profile page.",
                headers={"WWW-Authenticate": REALM},
            )
        return Caller(AnonymousUser())

    def _by_token(self, request: HttpRequest) -> Caller:
        known = request.bearer  # type: ignore[attr-defined]  # of `admit`
        if known is None:
            raise Problem(
                401,
                "token_invalid",
                "The API token is not valid: mistyped, expired or revoked. Create a new one on your profile page.",
                headers={"WWW-Authenticate": f'{REALM}, error="invalid_token"'},
            )
        user, token = known
        request.user = user
        if self.scope is not None and self.scope not in token.scopes:
            raise Problem(
                403,
                "scope_missing",
                f"This token lacks the scope `{self.scope}`. Create one that has it on your profile page.",
                headers={"WWW-Authenticate": f'{REALM}, error="insufficient_scope", scope="{self.scope}"'},
            )
        return Caller(user, token)


reads = BearerToken(ApiToken.Scope.READ)
submits = BearerToken(ApiToken.Scope.SUBMIT)
anyone = BearerToken(None, required=False)
reads_if_signed_in = BearerToken(ApiToken.Scope.READ, required=False)
signed_in = BearerToken(None)


def caller(request: HttpRequest) -> Any:
    """The signed-in user of a request that `reads`, `submits` or `signed_in` let through."""
    return request.user
