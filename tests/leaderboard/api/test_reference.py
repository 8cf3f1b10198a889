"""The OpenAPI schema and the page written from it; what holds for unknown addresses and methods; health."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from django.db import DatabaseError
from django.test import Client

from leaderboard.api import api
from leaderboard.api.reference import marked_up, type_name
from leaderboard.views import health
from tests.leaderboard.api.conftest import API

pytestmark = pytest.mark.django_db


@pytest.fixture
def schema(anonymous: Client) -> dict[str, Any]:
    schema: dict[str, Any] = anonymous.get(f"{API}/openapi.json").json()
    return schema


def test_openapi(schema: dict[str, Any]) -> None:
    assert schema["openapi"] == "3.1.0"
    post = schema["paths"][f"{API}/submissions"]["post"]
    form = post["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert {"benchmark", "method", "file"} <= set(form["required"])
    assert form["properties"]["file"]["format"] == "binary"
    assert {parameter["name"] for parameter in post["parameters"]} == {"Idempotency-Key"}
    assert "202" in post["responses"]
    assert post["security"] == [{"BearerToken": []}]
    assert schema["paths"][f"{API}/boards/{{slug}}"]["get"]["security"] == [{}, {"BearerToken": []}]


def test_every_reference_in_the_schema_leads_somewhere(schema: dict[str, Any]) -> None:
    named = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(schema)))
    assert named
    assert named <= set(schema["components"]["schemas"])


def test_every_operation_says_how_it_fails_and_what_it_does(schema: dict[str, Any]) -> None:
    for methods in schema["paths"].values():
        for operation in methods.values():
            assert "application/problem+json" in operation["responses"]["default"]["content"]
            assert operation["description"]
            assert len(operation["tags"]) == 1


def test_backticks_are_code_and_the_rest_is_text() -> None:
    assert marked_up("`all` by <default>, `a&b`") == "<code>all</code> by &lt;default&gt;, <code>a&amp;b</code>"
    assert marked_up("") == ""


@pytest.mark.parametrize(
    ("node", "words"),
    [
        ({"type": "integer"}, "integer"),
        ({"type": "string", "format": "date-time"}, "date-time"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "integer or null"),
        ({"type": "array", "items": {"$ref": "#/components/schemas/ScoreOut"}}, "list of ScoreOut"),
        ({"enum": ["a", "b"]}, "one of 'a', 'b'"),
        ({}, "any"),
    ],
)
def test_types_in_words(node: dict[str, Any], words: str) -> None:
    assert type_name(node) == words


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_reference_page(anonymous: Client, schema: dict[str, Any]) -> None:
    response = anonymous.get(f"{API}/docs")
    assert response.status_code == 200
    text = response.content.decode()
    page = Page(text)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for path, methods in schema["paths"].items():
        assert path in text
        for operation in methods.values():
            assert operation["operationId"] in ids
    # everything comes from here, and nothing is inline: the content security policy would stop it
    for tag, attributes in page.tags:
        assert "style" not in attributes
        assert not any(name.startswith("on") for name in attributes)
        assert tag != "style"
        if tag in {"script", "img", "link"}:
            assert (attributes.get("src") or attributes.get("href") or "").startswith("/static/")
    targets = {attributes["href"] or "" for tag, attributes in page.tags if tag == "a"}
    assert {target[1:] for target in targets if target.startswith("#")} <= set(ids)
    assert "default-src 'none'" in response["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["/", "/nothing", "/submissions/", "/submissions/1/", "/docs/x", "/%00"])
def test_unknown_addresses(anonymous: Client, path: str) -> None:
    response = anonymous.get(API + path)
    assert response.status_code == 404
    assert response["Content-Type"] == "application/problem+json"
    assert response.json()["code"] == "not_found"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/submissions/1", {"GET"}),
        ("PUT", "/submissions", {"GET", "POST"}),
        ("GET", "/submissions/1/publish", {"POST"}),
    ],
)
def test_wrong_methods(anonymous: Client, method: str, path: str, allowed: set[str]) -> None:
    response = anonymous.generic(method, API + path)
    assert response.status_code == 405
    assert set(response["Allow"].split(", ")) == allowed
    assert response.json()["code"] == "method_not_allowed"


def test_head(anonymous: Client, benchmark: object) -> None:
    asked, got = anonymous.head(f"{API}/boards/lsp-test-pc"), anonymous.get(f"{API}/boards/lsp-test-pc")
    assert asked.status_code == 200
    assert asked.content == b""
    assert asked["ETag"] == got["ETag"]
    assert anonymous.head(f"{API}/submissions/1/publish").status_code == 405


def test_an_unknown_address_needs_no_csrf_token() -> None:
    strict = Client(enforce_csrf_checks=True)
    assert strict.post(f"{API}/nothing").status_code == 404


def test_no_cross_origin_reads(anonymous: Client, benchmark: object) -> None:
    response = anonymous.get(f"{API}/benchmarks", headers={"Origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in response.headers


def test_operations_are_named_once() -> None:
    names = [
        api.get_openapi_operation_id(operation)
        for router in api._get_bound_routers()
        for path in router.path_operations.values()
        for operation in path.operations
    ]
    assert len(names) == len(set(names))


# --- health ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """The results of the broker's pings, last one first; nothing is remembered between tests."""
    responses = [True]
    monkeypatch.setattr(health, "_watch", health._Watch())
    monkeypatch.setattr(health, "_ping", lambda: responses.pop())
    return responses


def test_healthy(anonymous: Client, broker: list[bool]) -> None:
    response = anonymous.get("/healthz")
    assert (response.status_code, response.json()) == (200, {"status": "ok", "database": True, "broker": True})
    assert "no-store" in response["Cache-Control"]
    # within two seconds the broker is not asked again
    assert anonymous.get("/healthz").json()["status"] == "ok"
    assert broker == []


def test_degraded_without_the_broker(anonymous: Client, broker: list[bool]) -> None:
    broker[:] = [False]
    response = anonymous.get("/healthz")
    assert (response.status_code, response.json()["status"]) == (200, "degraded")


def test_a_broker_that_is_away_is_noticed_soon(settings: Any) -> None:
    settings.BROKER_URL = "redis://:a-password@127.0.0.1:1/0"
    assert health._ping() is False


def test_unavailable_without_the_database(
    anonymous: Client, broker: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Away:
        def cursor(self) -> None:
            raise DatabaseError("password authentication failed for user postgres")

    monkeypatch.setattr(health, "connection", Away())
    response = anonymous.get("/healthz")
    assert (response.status_code, response.json()) == (503, {"status": "unavailable", "database": False})


def test_health_takes_no_post(anonymous: Client) -> None:
    assert anonymous.post("/healthz").status_code == 405
