"""The smallest SVG builder that cannot forget to escape."""

from __future__ import annotations

from django.utils.html import conditional_escape
from django.utils.safestring import SafeString, mark_safe

# SVG's attributes whose names have capitals
CAMEL_CASE = {"viewBox", "refX", "refY", "markerWidth", "markerHeight", "markerUnits"}


def el(name: str, *children: object, **attributes: object) -> SafeString:
    """An element. `class_` and `text_anchor` become `class` and `text-anchor`; attributes that are None are left out.

    Children and attribute values are escaped unless they are safe strings already; floats are cut to two decimals.
    """
    written = "".join(f' {_attribute(key)}="{_value(value)}"' for key, value in attributes.items() if value is not None)
    inside = "".join(_escaped(child) for child in children)
    body = f"<{name}{written}>{inside}</{name}>" if children else f"<{name}{written}/>"
    return mark_safe(body)  # noqa: S308  every part of it was escaped above


def join(parts: list[SafeString]) -> SafeString:
    """Elements one after another."""
    return mark_safe("".join(conditional_escape(part) for part in parts))  # noqa: S308  escaped here


def _escaped(child: object) -> str:
    return conditional_escape(child if isinstance(child, str) else str(child))


def _attribute(key: str) -> str:
    if key in CAMEL_CASE:
        return key
    return key.rstrip("_").replace("_", "-")


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return str(value) if isinstance(value, int) else _escaped(value)
