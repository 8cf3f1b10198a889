"""Cursor pagination: newest first, stable while new rows arrive."""

from __future__ import annotations

import base64
import binascii
from typing import Any, TypeVar

from django.db.models import Model, QuerySet
from ninja import Field
from pydantic import BaseModel

from leaderboard.api.problems import Problem

M = TypeVar("M", bound=Model)

LARGEST_KEY = 2**63 - 1


class Page(BaseModel):
    """A page of a list: `cursor` is the `next` from the previous page."""

    cursor: str | None = Field(None, max_length=64, description="`next` from the previous page")
    limit: int = Field(50, ge=1, le=100)


def page_of(rows: QuerySet[M, Any], page: Page) -> tuple[list[M], str | None]:
    """One page of rows, newest first, and the cursor of the next one, if there is one."""
    rows = rows.order_by("-pk")
    if page.cursor:
        rows = rows.filter(pk__lt=_read(page.cursor))
    found = list(rows[: page.limit + 1])
    if len(found) <= page.limit:
        return found, None
    return found[: page.limit], _write(found[page.limit - 1].pk)


def _write(key: int) -> str:
    return base64.urlsafe_b64encode(f"before {key}".encode()).decode().rstrip("=")


def _read(cursor: str) -> int:
    try:
        word, _, key = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii").partition(" ")
        if word != "before" or not 0 <= int(key) <= LARGEST_KEY:
            raise ValueError
        return int(key)
    except (ValueError, binascii.Error):
        raise Problem(422, "cursor_invalid", "Invalid cursor. Leave it out to start at the beginning.") from None
