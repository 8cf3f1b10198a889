"""Logs without secrets: no key to an account, wherever a line or a traceback got it from."""

from __future__ import annotations

import logging
import re

# what it looks like, and what is left of it
_SECRETS = [
    # an API token: its prefix says which one it was
    (re.compile(r"\b(plb_[0-9a-z]{1,20})_\w+"), r"\1_…"),
    (re.compile(r"(authorization\W{1,6}(?:bearer|basic|token)?\s*)[^\s'\",]+", re.IGNORECASE), r"\1…"),
    (re.compile(r"(\b(?:bearer|basic)\s+)[\w.~+/=-]{8,}", re.IGNORECASE), r"\1…"),
    # the links that are sent by e-mail
    (re.compile(r"(/account/password/reset/key/[0-9A-Za-z]+-)(?!set-password)[^\s/'\"?]+"), r"\1…"),
    (re.compile(r"(/account/confirm-email/)[^\s/'\"?]+"), r"\1…"),
    # cookies, and passwords in the address of a service
    (re.compile(r"(\b(?:__Host-)?(?:session|sessionid|csrf|csrftoken)=)[^\s;'\",]+"), r"\1…"),
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s/@]+(?=@)", re.IGNORECASE), r"\1…"),
]


def without_secrets(text: str) -> str:
    for pattern, left in _SECRETS:
        text = pattern.sub(left, text)
    return text


class WithoutSecrets(logging.Formatter):
    """Formats a record, its traceback included, and blots out what opens an account or a service."""

    def format(self, record: logging.LogRecord) -> str:
        return without_secrets(super().format(record))
