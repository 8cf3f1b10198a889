"""Three people everywhere: Alice owns, Bob is on the team, Charlie is a stranger; Olu organises. A small LSP board.

`server` is the site as it is run: gunicorn with several processes on a database of its own.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from leaderboard.models import ApiToken, Benchmark, Evaluation, Membership, Submission, Team, User
from leaderboard.operations import releases, submissions, tokens
from leaderboard.operations.teams import own_team
from leaderboard.queue.leases import claim_next
from tests.leaderboard.conftest import annotations_json, predictions

ROOT = Path(__file__).resolve().parents[3]
BOTH = (ApiToken.Scope.READ, ApiToken.Scope.SUBMIT)
API = "/api/v1"


@pytest.fixture(autouse=True)
def _own_folders(settings: Any, tmp_path: Path) -> None:
    settings.UPLOADS_DIR = tmp_path / "uploads"
    settings.ANNOTATIONS_DIR = tmp_path / "annotations"
    settings.DROP_DIR = tmp_path / "drop"


def person(name: str) -> User:
    return User.objects.create_user(name, f"{name}@example.org", "a-long-password")


@pytest.fixture
def alice(db: None) -> User:
    return person("alice")


@pytest.fixture
def team(alice: User) -> Team:
    """Alice's own team, which Bob was let into."""
    return own_team(alice)


@pytest.fixture
def bob(team: Team) -> User:
    user = person("bob")
    Membership.objects.create(team=team, user=user)
    return user


@pytest.fixture
def charlie(db: None) -> User:
    return person("charlie")


@pytest.fixture
def olu(benchmark: Benchmark) -> User:
    user = person("olu")
    benchmark.organisers.add(user)
    return user


@pytest.fixture
def benchmark(db: None) -> Benchmark:
    board = Benchmark.objects.create(
        slug="lsp-test-pc", dataset="lsp", split="test-pc", title="LSP", daily_limit=20, running_limit=20
    )
    releases.put_into_force(board, json.dumps(annotations_json()).encode())
    return board


@pytest.fixture
def private_benchmark(team: Team) -> Benchmark:
    """Only Alice's team may see it."""
    board = Benchmark.objects.create(slug="secret-test", dataset="lsp", split="secret", title="Secret", is_public=False)
    board.teams.add(team)
    releases.put_into_force(board, json.dumps(annotations_json()).encode())
    return board


def with_token(user: User, scopes: tuple[str, ...] = BOTH) -> Client:
    """A client that sends a new token of the user with each request, and checks CSRF as a browser's requests are."""
    _, text = tokens.create(user=user, name="test", scopes=scopes)
    return Client(enforce_csrf_checks=True, headers={"Authorization": f"Bearer {text}"})


@pytest.fixture
def as_alice(alice: User) -> Client:
    return with_token(alice)


@pytest.fixture
def as_bob(bob: User) -> Client:
    return with_token(bob)


@pytest.fixture
def as_charlie(charlie: User) -> Client:
    return with_token(charlie)


@pytest.fixture
def as_olu(olu: User) -> Client:
    return with_token(olu)


@pytest.fixture
def anonymous() -> Client:
    return Client()


Sender = Callable[..., Any]


@pytest.fixture
def post(benchmark: Benchmark) -> Sender:
    """`post(client, miss=3, publish="true")`: send a file whose poses miss their first three joints."""

    def post(
        client: Client, *, miss: int = 0, content: bytes | None = None, name: str = "predictions.json", **fields: Any
    ) -> Any:
        file = SimpleUploadedFile(name, predictions(miss=miss) if content is None else content)
        headers = fields.pop("headers", {})
        form = {"benchmark": benchmark.slug, "method": "Pictorial structures", "file": file, **fields}
        return client.post(f"{API}/submissions", {k: v for k, v in form.items() if v is not None}, headers=headers)

    return post


def score_next(value: float = 0.5) -> None:
    """What a worker does, without its sandbox: claim the next evaluation and record a report with one score."""
    claim = claim_next(Evaluation)
    assert claim is not None
    score = {"metric": "pck@0.2", "part": "all", "value": value, "low": value - 0.1, "high": value + 0.1}
    report = {"protocol": "pck@0.2", "images": 8, "people": 8, "entries": 8, "scores": [score]}
    assert submissions.record(claim, report, seconds=0.1)


@pytest.fixture
def submission(post: Sender, as_alice: Client) -> Submission:
    """Alice's, scored 0.5 and not published."""
    response = post(as_alice)
    assert response.status_code == 202, response.content
    score_next()
    return Submission.objects.get(pk=response.json()["id"])


@pytest.fixture
def published(submission: Submission, alice: User) -> Submission:
    submissions.publish(submission=submission, by=alice)
    return submission


# --- the site as it is run -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Server:
    """A running site: its address, its data folder, and a token for each person."""

    url: str
    data: Path
    tokens: dict[str, str]
    environment: dict[str, str]

    def python(self, *arguments: str) -> str:
        """Run a program of the project on this site's data, and return what it prints."""
        done = subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


SETTLE = """
import json, sys
import django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from leaderboard.models import Benchmark, User
from leaderboard.operations import releases, tokens
from tests.leaderboard.conftest import annotations_json
board = Benchmark.objects.create(
    slug="lsp-test-pc", dataset="lsp", split="test-pc", title="LSP", daily_limit=5, running_limit=100
)
releases.put_into_force(board, json.dumps(annotations_json()).encode())
texts = {}
for name in ("alice", "charlie"):
    user = User.objects.create_user(name, f"{name}@example.org", "a-long-password")
    texts[name] = tokens.create(user=user, name="test", scopes=["read", "submit"])[1]
print(json.dumps(texts))
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def fresh_database() -> tuple[dict[str, str], Callable[[], None]]:
    """The environment for a database of its own, of the kind that the tests run on, and how to drop it."""
    url = os.environ.get("DATABASE_URL")
    if not url:
        return {}, lambda: None
    import psycopg

    name = f"poseboard_api_{os.getpid()}_{time.time_ns()}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')

    def drop() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    return {"DATABASE_URL": urlunsplit(urlsplit(url)._replace(path=f"/{name}"))}, drop


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Gunicorn with two processes of sixteen threads, and no workers."""
    database, drop = fresh_database()
    port = free_port()
    data = tmp_path / "site"
    environment = {
        **os.environ,
        **database,
        "DJANGO_SETTINGS_MODULE": "leaderboard.settings",
        "POSEBOARD_DATA": str(data),
        "POSEBOARD_URL": f"http://127.0.0.1:{port}",
        "POSEBOARD_UPLOAD_MIB": "1",
        # hundreds of requests at once are what is tested
        "POSEBOARD_RATE_LIMITS": "0",
        # nobody listens: the site must take submissions all the same
        "BROKER_URL": "redis://127.0.0.1:1/0",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "OMP_NUM_THREADS": "1",
    }
    data.mkdir()
    site = Server(f"http://127.0.0.1:{port}", data, {}, environment)
    process = None
    try:
        site.tokens.update(json.loads(site.python("-c", SETTLE).splitlines()[-1]))
        log = (data / "gunicorn.log").open("w")
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "leaderboard.wsgi", "--bind", f"127.0.0.1:{port}",
             "--worker-class", "leaderboard.web.Worker", "--workers", "2", "--threads", "16", "--timeout", "60",
             "--no-control-socket", "--access-logfile", "-"],
            cwd=ROOT, env=environment, stdout=log, stderr=log,
        )  # fmt: skip
        _wait_until_up(site, process)
        yield site
    finally:
        if process is not None:
            process.terminate()
            process.wait(20)
        drop()


def _wait_until_up(site: Server, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, (site.data / "gunicorn.log").read_text()
        try:
            if httpx.get(f"{site.url}/healthz", trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    pytest.fail(f"the site did not start: {(site.data / 'gunicorn.log').read_text()}")
