"""Who is asking: a bearer token in the header, or the session of a page of this site.

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

from leaderboard import tokens
from leaderboard.api.problems import REALM, Problem
from leaderboard.models import ApiToken, User

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True)
class Caller:
    """The user of a request, and the token when it came with one."""

    user: User | AnonymousUser
    token: ApiToken | None = None


class BearerToken(AuthBase):
    """Asks for a token of a scope; `required=False` lets anonymous callers in, but never a bad token."""

    openapi_type = "http"
    openapi_scheme = "bearer"
    openapi_bearerFormat = "plb_<id>_<secret>_<crc>"

    def __init__(self, scope: str | None, *, required: bool = True) -> None:
        super().__init__()
        self.scope, self.required = scope, required

    def __call__(self, request: HttpRequest) -> Caller:
        header = request.headers.get("Authorization")
        if header is not None:
            return self._by_token(request, header)
        if request.user.is_authenticated:
            if request.method not in SAFE_METHODS and check_csrf(request):
                raise Problem(403, "csrf_failed", "Reload the page and try again: its form has expired.")
            return Caller(request.user)
        if self.required:
            raise Problem(
                401,
                "token_missing",
                "Send an API token: `Authorization: Bearer plb_...`. Your profile page makes one.",
                headers={"WWW-Authenticate": REALM},
            )
        return Caller(AnonymousUser())

    def _by_token(self, request: HttpRequest, header: str) -> Caller:
        known = tokens.authenticate(header)
        if known is None:
            raise Problem(
                401,
                "token_invalid",
                "The API token is not valid: mistyped, expired or revoked. Your profile page makes a new one.",
                headers={"WWW-Authenticate": f'{REALM}, error="invalid_token"'},
            )
        user, token = known
        request.user = user
        if self.scope is not None and self.scope not in token.scopes:
            raise Problem(
                403,
                "scope_missing",
                f"This token lacks the scope `{self.scope}`. Make one that has it on your profile page.",
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
