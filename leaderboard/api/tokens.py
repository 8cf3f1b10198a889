"""The caller's tokens, without their secrets. They are made on the profile page, by a person who signed in there."""

from __future__ import annotations

from datetime import datetime

from django.http import HttpRequest
from ninja import Router
from pydantic import BaseModel

from leaderboard.api.access import caller, reads, signed_in
from leaderboard.api.problems import Problem, not_found
from leaderboard.models import ApiToken
from leaderboard.operations import tokens

router = Router(tags=["tokens"])


class TokenOut(BaseModel):
    id: int
    name: str
    prefix: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


class TokensOut(BaseModel):
    items: list[TokenOut]


def _shown(token: ApiToken) -> TokenOut:
    return TokenOut(
        id=token.pk,
        name=token.name,
        prefix=token.prefix,
        scopes=token.scopes,
        created_at=token.created_at,
        expires_at=token.expires_at,
        last_used_at=token.last_used_at,
        revoked_at=token.revoked_at,
    )


@router.get("", response=TokensOut, auth=reads)
def list_tokens(request: HttpRequest) -> TokensOut:
    """The caller's tokens, newest first."""
    return TokensOut(items=[_shown(token) for token in ApiToken.objects.filter(user=caller(request)).order_by("-pk")])


@router.post("/{int:token_id}/revoke", response=TokenOut, auth=signed_in)
def revoke_token(request: HttpRequest, token_id: int) -> TokenOut:
    """Revoke a token. A token can revoke only itself, so that a leaked token cannot lock out its owner."""
    token = ApiToken.objects.filter(user=caller(request), pk=token_id).first()
    if token is None:
        raise not_found()
    used = request.auth.token  # type: ignore[attr-defined]
    if used is not None and used.pk != token.pk:
        raise Problem(403, "other_token", "A token can revoke only itself. Revoke other tokens on your profile page.")
    tokens.revoke(token=token, by=caller(request))
    return _shown(token)
