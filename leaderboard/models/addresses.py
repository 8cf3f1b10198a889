"""The addresses of benchmarks: what a slug and a split may be, and how any slug of a row becomes part of an address.

The rules are checked where a benchmark is made. A row that came into the database by another way, or before a rule
existed, must still be listed: its address is written by `AnySlug`, which no slug can break.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote, unquote

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.urls import URLPattern, URLResolver, get_resolver, register_converter

from evaluator import dataset_names

# for future pages of the site, and what browsers and robots request from every site
RESERVED_WORDS = frozenset(
    ["about", "accounts", "compare", "docs", "favicon", "help", "media", "privacy", "robots", "search", "terms"]
)

split_validator = RegexValidator(
    r"^[A-Za-z0-9][A-Za-z0-9._-]*\Z",
    "A split is letters, digits, dots, dashes and underscores, beginning with a letter or a digit, such as test-pc.",
)


def validate_dataset(name: str) -> None:
    """Reject a dataset without a definition."""
    if name not in dataset_names():
        raise ValidationError(f"There is no dataset {name}: choose one of {', '.join(dataset_names())}.")


def validate_slug_is_free(slug: str) -> None:
    """Reject a slug whose address belongs to another page of the site."""
    if slug.lower() in reserved_slugs():
        raise ValidationError(f"The site needs the address {slug} itself: choose another.", code="reserved")


class AnySlug:
    """`<benchmark:slug>` in an address: any text but an empty one; a slash travels quoted."""

    regex = "[^/]+"

    def to_python(self, value: str) -> str:
        slug = unquote(value)
        if "\0" in slug:
            raise ValueError("a text that no database has")
        return slug

    def to_url(self, value: object) -> str:
        text = str(value)
        if not text:
            return "%"  # the address of no benchmark
        return quote(text, safe=" ") if "/" in text or "%" in text else text


register_converter(AnySlug, "benchmark")


def reserved_slugs() -> frozenset[str]:
    """Every word that some address of the site has in the place where another address has a benchmark's slug."""
    addresses = [route.split("/") for route in _routes(get_resolver().url_patterns)]
    before_slugs = {
        tuple(segments[:place])
        for segments in addresses
        for place, segment in enumerate(segments)
        if segment == "<benchmark:slug>"
    }
    words = {
        segments[len(before)]
        for segments in addresses
        for before in before_slugs
        if tuple(segments[: len(before)]) == before and len(segments) > len(before)
    }
    words |= {url.strip("/").partition("/")[0] for url in (settings.STATIC_URL, settings.MEDIA_URL)}
    return RESERVED_WORDS | {word.lower() for word in words if word and not word.startswith("<")}


def _routes(patterns: list[URLPattern | URLResolver], before: str = "") -> Iterator[str]:
    for each in patterns:
        route = before + str(each.pattern)
        if isinstance(each, URLResolver):
            yield from _routes(each.url_patterns, route)
        else:
            yield route
