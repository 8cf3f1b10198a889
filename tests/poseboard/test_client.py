"""The API client against a real HTTP server."""

from __future__ import annotations

import gzip
import hashlib
import socket
import time
from pathlib import Path

import pytest

from poseboard.client import ApiError, Client, StillRunning, is_loopback
from poseboard.packing import packed

TOKEN = "plb_3_secret_crc"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Waiting takes no time; the pauses that were asked for are kept."""
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    return pauses


@pytest.fixture
def client(server):
    with Client(server.url, TOKEN) as client:
        yield client


def test_benchmarks_come_from_all_pages(client) -> None:
    assert [(b.slug, b.dataset, b.split, b.hidden) for b in client.benchmarks()] == [
        ("lsp-test-pc", "lsp", "test", True),
        ("mpii-val", "mpii", "val", False),
    ]


def test_submit_compresses_and_counts(client, server, results) -> None:
    calls: list[tuple[int, int]] = []
    submission = client.submit("lsp-test-pc", results, method="Pose + Größe", progress=lambda *pair: calls.append(pair))
    assert (submission.id, submission.state, submission.benchmark) == ("1", "queued", "lsp-test-pc")
    assert submission.method == "Pose + Größe" and not submission.finished
    sent = server.files["results.json.gz"]
    assert gzip.decompress(sent) == results.read_bytes()
    assert submission.sha256 == hashlib.sha256(sent).hexdigest()
    assert calls[-1] == (len(sent), len(sent))
    headers = server.requests[-1][2]
    assert headers["Authorization"] == f"Bearer {TOKEN}" and headers["Content-Length"].isdigit()
    assert server.submissions["1"]["publish"] is None


def test_submit_may_publish(client, server, results) -> None:
    client.submit("lsp-test-pc", results, method="A", publish=True)
    assert server.submissions["1"]["publish"] == "true"


def test_the_same_file_gives_the_same_bytes(results, tmp_path) -> None:
    copy = tmp_path / "results2.json"
    copy.write_bytes(results.read_bytes())
    with packed(results) as (_, one, size), packed(copy) as (_, two, _):
        content = one.read()
        assert content == two.read() and len(content) == size


@pytest.mark.parametrize("head", [b"\x1f\x8b rest of a gzip", b"PK\x03\x04 rest of a zip"])
def test_what_is_compressed_goes_as_it_is(client, server, tmp_path, head) -> None:
    (tmp_path / "packed.bin").write_bytes(head)
    client.submit("lsp-test-pc", tmp_path / "packed.bin", method="A")
    assert server.files == {"packed.bin": head}


def test_a_broken_connection_is_tried_again_and_accepted_once(client, server, results) -> None:
    server.drop_connections = 2
    assert client.submit("lsp-test-pc", results, method="A").id == "1"
    keys = {headers["Idempotency-Key"] for method, _, headers in server.requests if method == "POST"}
    assert server.path_counts("POST") == 3 and len(keys) == 1 and len(server.submissions) == 1


def test_a_refusal_is_not_tried_again(client, server, results) -> None:
    problem = {"status": 429, "title": "-", "detail": "5 of 5 used today.", "code": "quota_day"}
    server.responses["/api/v1/submissions"] = [(429, {"Retry-After": "3600"}, problem)]
    with pytest.raises(ApiError, match="5 of 5 used today") as caught:
        client.submit("lsp-test-pc", results, method="A")
    assert (caught.value.status, caught.value.code, caught.value.retry_after) == (429, "quota_day", 3600)
    assert server.path_counts("POST") == 1


LIMITED = {"status": 429, "title": "-", "detail": "Too many requests.", "code": "rate_limited"}


def test_a_rate_limit_is_waited_for_and_said(server, results, quick) -> None:
    said: list[float] = []
    server.responses["/api/v1/submissions"] = [
        (429, {"Retry-After": "42"}, LIMITED),
        (429, {"Retry-After": "7"}, LIMITED),
    ]
    server.responses["/api/v1/benchmarks"] = [(429, {"Retry-After": "3"}, LIMITED)]
    with Client(server.url, TOKEN, waiting=said.append) as client:
        assert client.submit("lsp-test-pc", results, method="A").id == "1"
        assert len(client.benchmarks()) == 2
    assert said == quick == [42, 7, 3]
    # each time the whole file, once taken
    sent = {headers["Content-Length"] for method, _, headers in server.requests if method == "POST"}
    assert server.path_counts("POST") == 3 and len(sent) == 1 and len(server.submissions) == 1
    assert gzip.decompress(server.files["results.json.gz"]) == results.read_bytes()


@pytest.mark.parametrize(
    ("waits", "asked"), [(["301"], 1), (["200", "101"], 2), (["100"] * 9, 4), ([""], 1), (["Thu, 1 Jan 2026"], 1)]
)
def test_the_patience_with_a_rate_limit_ends(client, server, quick, waits, asked) -> None:
    server.responses["/api/v1/benchmarks"] = [(429, {"Retry-After": wait}, LIMITED) for wait in waits]
    with pytest.raises(ApiError, match="Too many requests") as caught:
        client.benchmarks()
    assert caught.value.code == "rate_limited" and server.path_counts("GET") == asked and sum(quick) <= 300


def test_a_quota_is_not_waited_for_however_short(client, server, results, quick) -> None:
    problem = {**LIMITED, "detail": "3 at once.", "code": "quota_running"}
    server.responses["/api/v1/submissions"] = [(429, {"Retry-After": "5"}, problem)]
    with pytest.raises(ApiError, match="3 at once"):
        client.submit("lsp-test-pc", results, method="A")
    assert server.path_counts("POST") == 1 and not quick


def test_waiting_for_scores_heeds_a_rate_limit_within_its_own_time(server, results, quick) -> None:
    said: list[float] = []
    with Client(server.url, TOKEN, waiting=said.append) as client:
        submission = client.submit("lsp-test-pc", results, method="A")
        server.responses[f"/api/v1/submissions/{submission.id}"] = [(429, {"Retry-After": "33"}, LIMITED)]
        assert client.wait(submission.id).state == "scored"
        assert said == [33] and 33 in quick
        server.responses[f"/api/v1/submissions/{submission.id}"] = [(429, {"Retry-After": "33"}, LIMITED)]
        with pytest.raises(ApiError, match="Too many requests"):
            client.wait(submission.id, timeout=0)


def test_wait_until_scored(client, server, results, quick) -> None:
    submission = client.submit("lsp-test-pc", results, method="A")
    states: list[str] = []
    done = client.wait(submission.id, changed=lambda now: states.append(now.state))
    assert states == ["queued", "running", "scored"] and done.finished
    assert [(s.metric, s.part, s.value, s.low) for s in done.scores] == [
        ("pck@0.2", "all", 0.7749285714285715, 0.7),
        ("pck@0.2", "wrist", 0.632, None),
    ]
    assert len(quick) == 2


def test_wait_asks_less_and_less_often(client, server, results, quick) -> None:
    server.states = ["running"] * 20 + ["scored"]
    client.wait(client.submit("lsp-test-pc", results, method="A").id)
    assert 0.3 < quick[0] < 0.5 and max(quick) <= 12.0 and sum(quick[-5:]) >= 5 * 8
    assert sorted(quick[:8:2]) == quick[:8:2]


def test_wait_outlasts_a_restart_and_heeds_a_limit(client, server, results, quick) -> None:
    submission = client.submit("lsp-test-pc", results, method="A")
    problem = {"status": 0, "title": "-", "detail": "Soon.", "code": "x"}
    server.responses[f"/api/v1/submissions/{submission.id}"] = [
        (503, {}, problem),
        (429, {"Retry-After": "33"}, problem),
        (502, {"Content-Type": "text/html"}, b"<html>Bad gateway</html>"),
    ]
    assert client.wait(submission.id).state == "scored"
    assert 33 in quick


def test_wait_ends_at_an_error_that_will_not_pass(client, server) -> None:
    with pytest.raises(ApiError) as caught:
        client.wait("17")
    assert caught.value.status == 404 and server.path_counts("GET") == 1


def test_wait_ends_after_its_time(client, server, results) -> None:
    server.states = ["running"]
    submission = client.submit("lsp-test-pc", results, method="A")
    with pytest.raises(StillRunning, match="submission 1 is still running") as caught:
        client.wait(submission.id, timeout=0)
    assert caught.value.submission.state == "running"


def test_board(client) -> None:
    result = client.board("lsp-test-pc", metric="pckh@0.5", part="wrist")
    assert (result.metric, result.part) == ("pckh@0.5", "wrist")
    first, second, _ = result.entries
    assert (first.rank, first.method, first.team, first.kind, first.value, first.low) == (
        1,
        "Hourglass",
        "Alice",
        "baseline",
        0.9,
        0.85,
    )
    assert second.rank is None and second.kind == "reported"


def test_a_slug_cannot_leave_its_place_in_the_address(client, server) -> None:
    with pytest.raises(ApiError):
        client.board("../submissions/1?x=")
    assert server.requests[-1][1] == "/api/v1/boards/..%2Fsubmissions%2F1%3Fx%3D"


def test_an_invalid_token(server) -> None:
    with Client(server.url, "plb_wrong") as client, pytest.raises(ApiError) as caught:
        client.benchmarks()
    assert (caught.value.status, caught.value.code) == (401, "token_invalid")


@pytest.mark.parametrize(
    ("status", "headers", "content", "message"),
    [
        (502, {"Content-Type": "text/html"}, b"<html>", "responded 502 Bad Gateway"),
        (301, {"Location": "https://pose.example.org/"}, b"", "responded 301 .* to https://pose.example.org/: use the"),
        (
            200,
            {"Content-Type": "text/html"},
            b"<html>",
            r"does not respond as a PoseBoard server \(it sent text/html\)",
        ),
        (200, {}, [1], "does not respond as a PoseBoard server"),
        (200, {}, {"rows": []}, "no list 'items'"),
    ],
)
def test_other_servers(client, server, status, headers, content, message) -> None:
    server.responses["/api/v1/benchmarks"] = [(status, headers, content)]
    with pytest.raises(ApiError, match=message):
        client.benchmarks()


def test_nobody_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with Client(url) as client, pytest.raises(ApiError, match="cannot be reached") as caught:
            client.benchmarks()
    assert caught.value.status == 0 and caught.value.code == "unreachable"


@pytest.mark.parametrize("url", ["pose.example.org", "ftp://pose.example.org", "https://", ""])
def test_addresses_of_no_server(url) -> None:
    with pytest.raises(ValueError, match="is not the address of a server"):
        Client(url)


def test_loopback_takes_no_proxy(server, monkeypatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with Client(server.url) as client:
        assert len(client.benchmarks()) == 2
    assert is_loopback("::1") and is_loopback("localhost") and not is_loopback("192.168.0.7")


def test_a_large_file_is_not_held_in_memory(tmp_path: Path) -> None:
    """A spool beyond its limit goes to disk: what is packed is a stream with its size."""
    (tmp_path / "big.json").write_bytes(b"[" + b" " * (1 << 20) + b"]")
    with packed(tmp_path / "big.json") as (name, stream, size):
        assert name == "big.json.gz" and size < 4096 and stream.tell() == 0
        assert len(gzip.decompress(stream.read())) == (1 << 20) + 2
