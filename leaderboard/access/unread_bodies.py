"""The rest of a body that was not read to its end before the response."""

from __future__ import annotations

import logging

from django.conf import settings
from django.http import HttpRequest

log = logging.getLogger(__name__)

_PIECE = 1 << 16


def read_on(request: HttpRequest) -> None:
    """Read the rest, up to a bound: a client that is still sending would see a broken pipe instead of the response."""
    try:
        length = int(request.META.get("CONTENT_LENGTH") or 0)
        most = min(length, 4 * settings.UPLOAD_LIMIT)
        while most > 0 and (piece := request.read(min(_PIECE, most))):
            most -= len(piece)
    except (OSError, ValueError):
        log.debug("the rest of the body cannot be read")
