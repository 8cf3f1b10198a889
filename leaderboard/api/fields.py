"""The texts that requests may carry: no characters that reorder what a reader sees or that a database rejects."""

from __future__ import annotations

import unicodedata
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, StringConstraints

# they change the direction of the text around them, so that one name reads as another
_DIRECTION = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class Strict(BaseModel):
    """A JSON body: an object with no fields but these. A django-ninja schema would take the attributes of anything."""

    model_config = ConfigDict(extra="forbid")


def _visible(text: str, allowed: str = "") -> str:
    for letter in text:
        if letter not in allowed and (unicodedata.category(letter) in {"Cc", "Cs", "Zl", "Zp"} or letter in _DIRECTION):
            raise ValueError(f"holds U+{ord(letter):04X}, a control character: remove it")
    return text


def _visible_lines(text: str) -> str:
    return _visible(text.replace("\r\n", "\n"), allowed="\n\t")


def clean_file_name(name: str | None) -> str:
    """A file's name as it is shown; it is never used as a path."""
    last = (name or "").replace("\\", "/").rsplit("/", 1)[-1]
    shown = "".join(letter for letter in last if letter.isprintable() and letter not in _DIRECTION)
    return shown[-255:].strip()


def line(longest: int, shortest: int = 0) -> Any:
    """One line of text of at most `longest` characters."""
    limits = StringConstraints(strip_whitespace=True, min_length=shortest, max_length=longest)
    return Annotated[str, limits, AfterValidator(_visible)]


def lines(longest: int) -> Any:
    limits = StringConstraints(strip_whitespace=True, max_length=longest)
    return Annotated[str, limits, AfterValidator(_visible_lines)]


def _given(value: object) -> object:
    return None if value == "" else value


# a form sends an empty text for a number that was not filled in
WhenGiven = BeforeValidator(_given)
