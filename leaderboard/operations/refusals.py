"""The exception of an operation that the rules, not a fault, stop."""

from __future__ import annotations


class Refused(Exception):
    """An operation the rules do not allow now. Its text is shown to the user word for word.

    `status` is the HTTP status: 409 for a state that forbids it, 429 for a quota, 403 for missing rights.
    """

    def __init__(self, code: str, message: str, *, status: int = 409, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.retry_after = retry_after
