"""A small real HTTP server that speaks the API's contract, and the command line called in this process."""

from __future__ import annotations

import email
import email.policy
import hashlib
import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from typer.testing import CliRunner, Result

TOKEN = "plb_3_secret_crc"
SCORES = [
    {"metric": "pck@0.2", "part": "all", "value": 0.7749285714285715, "low": 0.7, "high": 0.8},
    {"metric": "pck@0.2", "part": "wrist", "value": 0.632, "low": None, "high": None},
]


@dataclass
class FakeServer:
    """What the server knows, and what it was asked. `responses` replace the next ones of a path."""

    url: str = ""
    submissions: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    keys: dict[str, str] = field(default_factory=dict)
    states: list[str] = field(default_factory=lambda: ["queued", "running", "scored"])
    responses: dict[str, list[tuple[int, dict[str, str], Any]]] = field(default_factory=dict)
    problems: list[dict[str, Any]] = field(default_factory=list)
    drop_connections: int = 0

    def path_counts(self, method: str) -> int:
        return sum(each[0] == method for each in self.requests)


class Handler(BaseHTTPRequestHandler):
    fake: FakeServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        return

    def respond(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        kind = "application/problem+json" if status >= 400 else "application/json"
        for name, value in {"Content-Type": kind, "Content-Length": str(len(payload)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(payload)

    def problem(self, status: int, code: str, detail: str, headers: dict[str, str] | None = None) -> None:
        body = {"type": "about:blank", "title": "-", "status": status, "detail": detail, "code": code}
        self.respond(status, body, headers)

    def admitted(self, *, required: bool) -> bool:
        header = self.headers.get("Authorization")
        if header == f"Bearer {TOKEN}" or (header is None and not required):
            return True
        self.problem(401, "token_invalid" if header else "token_missing", "The API token is not valid.")
        return False

    def scripted(self, path: str) -> bool:
        planned = self.fake.responses.get(path)
        if not planned:
            return False
        status, headers, body = planned.pop(0)
        self.respond(status, body, headers)
        return True

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self.fake.requests.append(("GET", self.path, dict(self.headers)))
        if self.scripted(parts.path):
            return
        *_, collection, name = ["", *parts.path.removeprefix("/api/v1").strip("/").split("/")]
        if parts.path == "/api/v1/benchmarks" and self.admitted(required=False):
            one = {"slug": "lsp-test-pc", "dataset": "lsp", "split": "test", "hidden": True}
            cursor = parse_qs(parts.query).get("cursor")
            other = {**one, "slug": "mpii-val", "dataset": "mpii", "split": "val", "hidden": False}
            self.respond(200, {"items": [other], "next": None} if cursor else {"items": [one], "next": "abc"})
        elif collection == "boards" and name == "lsp-test-pc" and self.admitted(required=False):
            asked = parse_qs(parts.query)
            metric = asked.get("metric", ["pck@0.2"])[0]
            row = {"team": "Alice", "low": None, "high": None, "scores": []}
            best = {"rank": 1, "method": "Hourglass", "kind": "baseline", "value": 0.9, "low": 0.85, "high": 0.95}
            self.respond(
                200,
                {
                    "benchmark": name,
                    "metric": metric,
                    "part": asked.get("part", ["all"])[0],
                    "entries": [
                        {**row, **best},
                        {**row, "rank": None, "method": "CPM\x1b[31m", "kind": "reported", "value": 0.875},
                        # a board whose annotations were replaced
                        *([{**row, **best, "rank": None, "stale": True}] if metric == "pckh@0.5" else []),
                    ],
                },
            )
        elif collection == "submissions" and name in self.fake.submissions and self.admitted(required=True):
            submission = self.fake.submissions[name]
            if self.fake.states:
                submission["state"] = self.fake.states.pop(0)
            if submission["state"] == "scored":
                submission["scores"] = SCORES
            if submission["state"] in {"rejected", "errored"}:
                message = "entry 3: no score" if submission["state"] == "rejected" else "Our fault: F-12."
                submission["error"] = {
                    "code": "missing_key",
                    "message": message,
                    "problems": self.fake.problems,
                }
            self.respond(200, submission)
        else:
            self.problem(404, "not_found", "Not found, or you do not have access.")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.fake.requests.append(("POST", self.path, dict(self.headers)))
        if self.scripted(self.path) or not self.admitted(required=True):
            return
        message = email.message_from_bytes(
            b"Content-Type: " + self.headers["Content-Type"].encode() + b"\r\n\r\n" + body, policy=email.policy.HTTP
        )
        fields = {part.get_param("name", header="content-disposition"): part for part in message.iter_parts()}
        texts = {name: part.get_payload(decode=True).decode() for name, part in fields.items() if name != "file"}
        payload = fields["file"].get_payload(decode=True)
        key = self.headers["Idempotency-Key"]
        number = self.fake.keys.setdefault(key, str(len(self.fake.submissions) + 1))
        self.fake.files[fields["file"].get_filename()] = payload
        submission = {
            "id": int(number),
            "state": "queued",
            "benchmark": texts["benchmark"],
            "method": {"id": 4, "name": texts["method"]},
            "sha256": hashlib.sha256(payload).hexdigest(),
            "created_at": "2026-05-01T12:00:00Z",
            "scores": [],
            "error": None,
            "url": f"{self.fake.url}/submissions/{number}/",
            "public": False,
            "publish": texts.get("publish"),
        }
        self.fake.submissions[number] = submission
        if self.fake.drop_connections:
            self.fake.drop_connections -= 1
            self.close_connection = True
            self.connection.close()
            return
        self.respond(202, submission, {"Location": f"/api/v1/submissions/{number}"})


class QuietServer(ThreadingHTTPServer):
    """Says nothing of a stranger that hangs up: another test's poll may have found this port."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@pytest.fixture
def server() -> Iterator[FakeServer]:
    """A running server on a free port of this machine."""
    known = FakeServer()
    listening = QuietServer(("127.0.0.1", 0), type("FakeHandler", (Handler,), {"fake": known}))
    known.url = f"http://127.0.0.1:{listening.server_port}"
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield known
    listening.shutdown()
    listening.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def own_config(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees or changes the credentials of the user who runs it."""
    monkeypatch.setenv("POSEBOARD_CONFIG", str(tmp_path / "config"))
    for name in ("POSEBOARD_URL", "POSEBOARD_TOKEN"):
        monkeypatch.delenv(name, raising=False)


class Command:
    """Calls `poseboard` in this process."""

    def __call__(self, *arguments: object, stdin: str | None = None) -> Result:
        from poseboard.cli import app

        return CliRunner().invoke(app, [str(each) for each in arguments], input=stdin, catch_exceptions=False)

    def json(self, *arguments: object) -> Any:
        """The output of a command that must succeed with --json."""
        result = self(*arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


@pytest.fixture
def poseboard() -> Command:
    return Command()


@pytest.fixture
def logged_in(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> FakeServer:
    monkeypatch.setenv("POSEBOARD_URL", server.url)
    monkeypatch.setenv("POSEBOARD_TOKEN", TOKEN)
    return server


@pytest.fixture
def results(tmp_path: Any) -> Any:
    """A small prediction file."""
    path = tmp_path / "results.json"
    path.write_text(json.dumps([{"image_id": 1001, "keypoints": [1.5, 2, 1] * 14, "score": 1.0}] * 50))
    return path
