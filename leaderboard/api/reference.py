"""The reference page, written by the server from the OpenAPI schema: no script, nothing from elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.html import format_html_join
from django.utils.safestring import SafeString, mark_safe
from ninja import NinjaAPI
from ninja.openapi.docs import DocsBase

Node = dict[str, Any]


@dataclass(frozen=True)
class FieldRow:
    name: str
    type: str
    required: bool
    description: SafeString


@dataclass(frozen=True)
class OperationRow:
    """One endpoint, ready to be shown. `sign_in`: "token", "optional" or "none"."""

    id: str
    method: str
    path: str
    description: SafeString
    sign_in: str
    parameters: list[FieldRow]
    body_type: str
    body: list[FieldRow]
    # status, description, names of the objects it may be
    responses: list[tuple[str, str, list[str]]]


class Reference(DocsBase):
    """Shows the schema in the look of the site."""

    def render_page(self, request: HttpRequest, api: NinjaAPI, **kwargs: Any) -> HttpResponse:
        schema = api.get_openapi_schema(path_params=kwargs)
        context = {
            "section": "api",
            "title": schema["info"]["title"],
            "groups": groups(schema),
            "schemas": named_schemas(schema),
            "root": request.build_absolute_uri(api.get_root_path(kwargs)).rstrip("/"),
            "openapi_url": self.get_openapi_url(api, kwargs),
        }
        return render(request, "api/reference.html", context)


def groups(schema: Node) -> list[tuple[str, list[OperationRow]]]:
    """The operations by tag, in the order in which the routers were added."""
    found: dict[str, list[OperationRow]] = {}
    for path, methods in schema["paths"].items():
        for method, details in methods.items():
            found.setdefault(details["tags"][0], []).append(_operation(schema, path, method, details))
    return list(found.items())


def named_schemas(schema: Node) -> list[tuple[str, SafeString, list[FieldRow]]]:
    """Every object that responses are made of: name, description, fields."""
    definitions = schema["components"]["schemas"]
    return [
        (name, marked_up(definitions[name].get("description", "")), rows)
        for name in sorted(definitions)
        if (rows := _rows(definitions[name]))
    ]


def _operation(schema: Node, path: str, method: str, details: Node) -> OperationRow:
    said: str = details.get("description") or details["summary"]
    # at most one media type per request
    contents: dict[str, Node] = details.get("requestBody", {}).get("content", {})
    body_type, content = next(iter(contents.items()), ("", {}))
    body = _rows(_resolved(schema, content.get("schema", {})))
    security = details.get("security", [])
    return OperationRow(
        id=details["operationId"],
        method=method.upper(),
        path=path,
        description=marked_up(said),
        sign_in="none" if not security else "optional" if {} in security else "token",
        parameters=[
            FieldRow(
                each["name"],
                type_name(each["schema"]),
                each.get("required", False),
                marked_up(each.get("description", "")),
            )
            for each in details["parameters"]
        ],
        body_type=body_type,
        body=body,
        responses=[
            (str(status), response["description"], _objects(response))
            for status, response in details["responses"].items()
        ],
    )


def _objects(response: Node) -> list[str]:
    schemas = [content["schema"] for content in response.get("content", {}).values()]
    each = [part for schema in schemas for part in schema.get("anyOf", [schema])]
    return [type_name(part) for part in each if "$ref" in part]


def _rows(definition: Node) -> list[FieldRow]:
    """The fields of an object, those that must be there first."""
    required = definition.get("required", [])
    rows = [
        FieldRow(name, type_name(each), name in required, marked_up(each.get("description", "")))
        for name, each in definition.get("properties", {}).items()
    ]
    return sorted(rows, key=lambda row: not row.required)


def marked_up(text: str) -> SafeString:
    """A docstring's text as HTML: the text between backticks is code."""
    pieces = text.split("`")
    return format_html_join("", "{}{}{}", (
        (mark_safe("<code>"), piece, mark_safe("</code>")) if number % 2 else ("", piece, "")
        for number, piece in enumerate(pieces)
    ))  # fmt: skip


def _resolved(schema: Node, node: Node) -> Node:
    if "$ref" in node:
        found: Node = schema["components"]["schemas"][node["$ref"].rsplit("/", 1)[-1]]
        return found
    return node


def type_name(node: Node) -> str:
    """A schema in words: `integer or null`, `list of ScoreOut`."""
    if "$ref" in node:
        return str(node["$ref"].rsplit("/", 1)[-1])
    if "enum" in node:
        return "one of " + ", ".join(repr(value) for value in node["enum"])
    for joined in ("anyOf", "oneOf", "allOf"):
        if joined in node:
            return " or ".join(type_name(each) for each in node[joined])
    if node.get("type") == "array":
        return f"list of {type_name(node.get('items', {}))}"
    return str(node.get("format") or node.get("type") or "any")
