"""API tokens `plb_<id>_<secret>_<crc>`: shown once, known afterwards only by the sha256 digest of the whole.

The id is not secret: with its `plb_` it is the prefix by which a person recognises the token. The crc lets a mistyped
token be rejected, and a leaked one be recognised, without asking the database.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import zlib
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from leaderboard.models import ApiToken, User
from leaderboard.operations.refusals import Refused

Scope = ApiToken.Scope

# a person with more has lost count of them
MOST_TOKENS = 50
# `last used` tells a person which token is in use; writing it at each request would make every read a write
LAST_USED_EVERY = timedelta(minutes=1)

_ID_LETTERS = string.digits + string.ascii_lowercase
_SECRET_LETTERS = string.digits + string.ascii_letters
_FORM = re.compile(r"(plb_[0-9a-z]{10}_[0-9A-Za-z]{32})_([0-9a-f]{8})", re.ASCII)


def create(*, user: User, name: str, scopes: Iterable[str], expires_at: datetime | None = None) -> tuple[ApiToken, str]:
    """A new token and its text, which nobody can be shown again. Raises `Refused` (422) where it cannot be."""
    name = " ".join(name.split())
    wanted = sorted(set(scopes))
    if not name or len(name) > 80 or not name.isprintable():
        raise Refused("token_name", "Give the token a name of 1 to 80 characters.", status=422)
    if not wanted or not set(wanted) <= set(Scope.values):
        raise Refused("token_scopes", f"Choose at least one of: {', '.join(Scope.values)}.", status=422)
    if expires_at is not None and expires_at <= timezone.now():
        raise Refused("token_expiry", "The token would have expired already. Choose a later date.", status=422)
    if ApiToken.objects.filter(user=user, revoked_at=None).count() >= MOST_TOKENS:
        raise Refused("token_count", f"You have {MOST_TOKENS} tokens. Revoke one that is no longer used.")
    prefix = "plb_" + _letters(_ID_LETTERS, 10)
    body = f"{prefix}_{_letters(_SECRET_LETTERS, 32)}"
    text = f"{body}_{_checksum(body)}"
    token = ApiToken.objects.create(
        user=user, name=name, prefix=prefix, digest=digest(text), scopes=wanted, expires_at=expires_at
    )
    return token, text


def revoke(*, token: ApiToken, by: User) -> None:
    """Revoke a token, as its owner or as an operator, from the next request on. Revoking again changes nothing."""
    if token.user_id != by.pk and not by.is_staff:
        raise Refused("not_yours", "Only its owner can revoke a token.", status=403)
    ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=Now())
    token.refresh_from_db(fields=["revoked_at"])


def authenticate(header: str) -> tuple[User, ApiToken] | None:
    """Whose token an `Authorization` header carries; None when it is no bearer token, unknown, expired or revoked."""
    scheme, _, text = header.strip().partition(" ")
    text = text.strip()
    if scheme.lower() != "bearer" or not well_formed(text):
        return None
    token = (
        ApiToken.objects.select_related("user")
        .filter(
            Q(expires_at=None) | Q(expires_at__gt=Now()), digest=digest(text), revoked_at=None, user__is_active=True
        )
        .first()
    )
    if token is None:
        return None
    _note_use(token)
    return token.user, token


def well_formed(text: str) -> bool:
    """Whether the text can be a token at all: its form and its checksum."""
    form = _FORM.fullmatch(text)
    return form is not None and secrets.compare_digest(_checksum(form[1]), form[2])


def digest(text: str) -> str:
    """What is stored of a token. Its secret has 190 random bits, so it needs no salt and no slow hash."""
    return hashlib.sha256(text.encode()).hexdigest()


def _note_use(token: ApiToken) -> None:
    if token.last_used_at is not None and timezone.now() - token.last_used_at < LAST_USED_EVERY:
        return
    # of several requests at once only one writes
    stale = Q(last_used_at=None) | Q(last_used_at__lt=Now() - LAST_USED_EVERY)
    ApiToken.objects.filter(stale, pk=token.pk).update(last_used_at=Now())


def _letters(alphabet: str, count: int) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(count))


def _checksum(body: str) -> str:
    return f"{zlib.crc32(body.encode()):08x}"
