"""What is too large, or a stranger's, is refused before it is read: the web server over real sockets."""

from __future__ import annotations

import ast
import contextlib
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from leaderboard.web import bodies
from tests.conftest import ROOT
from tests.leaderboard.conftest import predictions
from tests.servers.slow_site import LOGIN, SUBMISSIONS, Site, open_socket, raw, read_all, site, status

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("processes")]
MIB = 1 << 20


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("large"), POSEBOARD_UPLOAD_MIB="4") as found:
        yield found


def asking(path: str, length: int, *headers: str) -> str:
    """The head of a request whose client waits to be asked for the body, as curl does with a large one."""
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {length}", "Expect: 100-continue", *headers]
    return "\r\n".join(lines) + "\r\nContent-Type: multipart/form-data; boundary=b\r\n\r\n"


def first_response(running: Site, head: str) -> bytes:
    """What arrives while nothing of the body is sent: a response, or `100 Continue` where the body is wanted."""
    with open_socket(running.port) as client:
        client.settimeout(15)
        client.sendall(head.encode())
        received = b""
        while b"\r\n\r\n" not in received or len(received.split(b"\r\n\r\n", 1)[1]) < _length(received):
            received += client.recv(4096)
        return received


def _length(response: bytes) -> int:
    found = re.search(rb"\r\ncontent-length: ([0-9]+)", response.lower())
    return int(found[1]) if found else 0


@pytest.mark.parametrize("path", [LOGIN, "/", "/nothing/here/", "/lsp-test-pc/", "/admin/login/", "/organise/new/"])
def test_a_page_without_files_accepts_a_mebibyte(running: Site, path: str) -> None:
    refused = first_response(running, asking(path, MIB + 1))
    assert status(refused) == 413
    assert b"connection: close" in refused.lower()
    assert b"content-security-policy" in refused.lower()
    assert status(first_response(running, asking(path, MIB))) == 100


def test_the_api_accepts_a_mebibyte_but_for_files(running: Site) -> None:
    for path in ("/api/v1/tokens", "/api/v1/nothing", "/api/v1/baselines/runs"):
        refused = first_response(running, asking(path, MIB + 1, running.bearer.strip(), "Connection: close"))
        assert status(refused) == 413
        assert b"application/problem+json" in refused
        assert b'"form_too_large"' in refused
    for path in (SUBMISSIONS, "/api/v1/baselines/runs/with-boxes"):
        assert status(first_response(running, asking(path, 5 * MIB, running.bearer.strip()))) == 100
        refused = first_response(running, asking(path, 5 * MIB + 1, running.bearer.strip()))
        assert status(refused) == 413
        assert b'"file_too_large"' in refused


def test_a_stranger_gets_a_response_before_the_body(running: Site) -> None:
    """Without an account, with a token that is none, and with a session that is none."""
    junk = "Authorization: Bearer plb_0123456789_" + "x" * 32 + "_00000000"
    for header in ("X-None: 1", junk, "Cookie: session=0123456789abcdef0123456789abcdef"):
        refused = first_response(running, asking(SUBMISSIONS, 3 * MIB, header))
        assert status(refused) == 401, refused
        assert b"application/problem+json" in refused
        for path in ("/lsp-test-pc/submit/", "/organise/lsp-test-pc/import"):
            sent_on = first_response(running, asking(path, 3 * MIB, header))
            assert status(sent_on) == 302
            assert f"{LOGIN}?next={path}".lower().encode() in sent_on.lower()
    signed_in = f"Cookie: session={running.session}"
    assert status(first_response(running, asking("/lsp-test-pc/submit/", 3 * MIB, signed_in))) == 100


@pytest.mark.parametrize("path", [LOGIN, SUBMISSIONS, "/lsp-test-pc/submit/", "/api/v1/tokens", "/nothing/here/"])
def test_nothing_of_a_refused_body_is_written(running: Site, path: str) -> None:
    """Sent at once, without waiting to be asked: the response arrives whole, and no file grows anywhere meanwhile."""
    begun = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
    before, written = set(running.files()), set()
    with open_socket(running.port) as client:
        client.settimeout(40)
        client.sendall(asking(path, 16 * MIB).replace("Expect: 100-continue\r\n", "").encode() + begun)
        left = 16 * MIB - len(begun)
        while left:
            client.sendall(b"x" * min(MIB, left))
            left -= min(MIB, left)
            written |= {str(file) for file in running.files() if file not in before} | set(nameless(running))
        assert status(read_all(client)) == 413
    assert not written


def nameless(running: Site) -> list[str]:
    """The files without a name that bodies are written to, where the system shows them."""
    found = []
    for number in running.processes():
        folder = Path(f"/proc/{number}/fd")
        for link in folder.iterdir() if folder.is_dir() else ():
            with contextlib.suppress(FileNotFoundError):
                found.append(str(link.readlink()))
    return [name for name in found if str(running.server.data / "uploads") in name and "(deleted)" in name]


def test_a_body_without_a_length(running: Site) -> None:
    """A form's is counted as it comes; the API wants a length."""
    head = f"POST {LOGIN} HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    assert status(raw(running.port, head.encode() + 17 * chunk + b"0\r\n\r\n")) == 413
    # counted and read: it lacks the token of a form
    short = head.replace("Host", "Connection: close\r\nHost")
    assert status(raw(running.port, short.encode() + 2 * chunk + b"0\r\n\r\n")) == 403
    refused = raw(running.port, head.replace(LOGIN, SUBMISSIONS).encode() + chunk + b"0\r\n\r\n")
    assert status(refused) == 411


def test_lengths_that_lie_old_clients_and_requests_in_a_row(running: Site) -> None:
    get = "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    last = get.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")
    assert [line[9:12] for line in re.findall(rb"HTTP/1.1 [0-9]+", raw(running.port, 3 * get + last))] == [b"200"] * 4
    # more than it says: what is over is no request
    form = f"POST {LOGIN} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 3\r\n\r\na=1"
    responses = raw(running.port, form + "&b=2\r\n\r\n")
    assert [line[9:12] for line in re.findall(rb"HTTP/1.1 [0-9]+", responses)] == [b"403", b"400"]
    # refused, with requests in the body and behind it: the connection ends, and none of them is served
    large = f"POST {LOGIN} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {2 * MIB}\r\n\r\n"
    responses = raw(running.port, large + get * (2 * MIB // len(get) + 1))
    assert [line[9:12] for line in re.findall(rb"HTTP/1.1 [0-9]+", responses)] == [b"413"]
    for wrong in ("-1", "x", "1, 2", "1" * 30):
        assert status(raw(running.port, form.replace(": 3", f": {wrong}"))) in {400, 413}
    # an old client waits for the end of the connection, however it asks
    for header in ("", "Connection: keep-alive\r\n"):
        started = time.monotonic()
        old = raw(running.port, f"GET /healthz HTTP/1.0\r\nHost: 127.0.0.1\r\n{header}\r\n")
        assert (status(old), b'"ok"' in old or b'"degraded"' in old) == (200, True)
        assert time.monotonic() - started < 10
    assert status(raw(running.port, f"HEAD / HTTP/1.1\r\nHost: {running.port}\r\n\r\n")) == 400
    head = raw(running.port, "HEAD / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    assert (status(head), head.endswith(b"\r\n\r\n")) == (200, True)


def test_a_large_file_arrives_and_comes_back(running: Site) -> None:
    """Through the file on disk and back as a stream, byte for byte."""
    content = predictions()
    content = content[:-1] + b" " * (3 * MIB) + content[-1:]
    headers = {"Authorization": f"Bearer {running.server.tokens['alice']}"}
    with httpx.Client(base_url=running.server.url, trust_env=False, timeout=60, headers=headers) as client:
        form = {"benchmark": "lsp-test-pc", "method": "Large"}
        sent = client.post(SUBMISSIONS, data=form, files={"file": ("p.json", content)})
        assert sent.status_code == 202, sent.text
        assert client.get(f"{SUBMISSIONS}/{sent.json()['id']}/file").content == content
    # nothing but the blob is left
    assert [file.stat().st_size for file in running.files() if file.stat().st_size > MIB] == [len(content)]


def test_a_client_that_leaves_in_the_middle_costs_nothing(running: Site) -> None:
    head = asking(SUBMISSIONS, 4 * MIB, running.bearer.strip()).replace("Expect: 100-continue\r\n", "")
    for _ in range(20):
        with open_socket(running.port) as client:
            client.sendall(head.encode() + b"x" * MIB)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert httpx.get(f"{running.server.url}/healthz", trust_env=False, timeout=20).status_code == 200
    deadline = time.monotonic() + 20
    while nameless(running):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_the_list_names_every_address_that_takes_a_file() -> None:
    """By the code: what reads `request.FILES` or has a parameter `File[...]`; and the proxy's list is the same."""
    for path, expected in {
        "/api/v1/submissions": True,
        "/api/v1/baselines/runs/with-boxes": True,
        "/lsp-test-pc/submit/": True,
        "/organise/lsp-test-pc/import": True,
        "/organise/lsp-test-pc/run": True,
        "/organise/lsp-test-pc/publish": False,
        "/submit/": False,
        LOGIN: False,
        "/api/v1/baselines/runs": False,
        "/nothing": False,
    }.items():
        assert bodies.is_upload("POST", path) == expected, path
        assert not bodies.is_upload("GET", path)
        assert _proxy_takes(path) == expected, path
    taking = set()
    for file in (ROOT / "leaderboard").rglob("*.py"):
        for function in ast.walk(ast.parse(file.read_text())):
            if isinstance(function, ast.FunctionDef) and re.search(r"request\.FILES|\bFile\[", ast.unparse(function)):
                taking.add(function.name)
    # names the file that `submit` was sent
    taking.remove("_name_of")
    assert taking == {"create_submission", "start_run_with_boxes", "submit", "_import", "_run"}
    assert len(bodies.UPLOADS) == len(taking)


def _proxy_takes(path: str) -> bool:
    caddyfile = (ROOT / "docker" / "Caddyfile").read_text()
    found = re.search(r"@files \{\s*method POST\s*path ([^\n]+)", caddyfile)
    assert found
    patterns = [re.escape(each).replace(r"\*", ".*") for each in found[1].split()]
    return any(re.fullmatch(pattern, path) for pattern in patterns)
