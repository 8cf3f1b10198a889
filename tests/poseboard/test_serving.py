"""login, submit, status, board: what they print, store and end with."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from poseboard import credentials

TOKEN = "plb_3_secret_crc"
PIPE_SCORES = "pck@0.2\tall\t0.7749285714285715\t0.7\t0.8\npck@0.2\twrist\t0.632\t\t\n"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)


def test_login_stores_for_this_user_alone(poseboard, server, tmp_path) -> None:
    result = poseboard("login", server.url + "/", stdin=TOKEN + "\n")
    assert result.exit_code == 0, result.output
    assert "Logged in to" in result.stderr and "2 benchmarks" in result.stderr and result.stdout == ""
    path = tmp_path / "config" / "credentials.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert json.loads(path.read_text()) == {"url": server.url, "token": TOKEN}
    assert TOKEN not in result.output
    assert poseboard("submit", "lsp-test-pc", __file__, "--method", "A").exit_code == 0
    assert [each.name for each in path.parent.iterdir()] == ["credentials.json"]


def test_login_stores_no_token_that_does_not_work(poseboard, server, tmp_path) -> None:
    result = poseboard("login", server.url, "--token", "plb_wrong")
    assert result.exit_code == 3 and "The API token is not valid." in result.stderr
    assert not (tmp_path / "config").exists()


@pytest.mark.parametrize("token", ["", "two words", "schlüssel"])
def test_login_rejects_what_is_no_token(poseboard, server, token) -> None:
    result = poseboard("login", server.url, stdin=token + "\n")
    assert result.exit_code == 2 and "this is not an API token" in result.stderr and server.requests == []


def test_login_needs_a_server(poseboard) -> None:
    assert poseboard("login", "--token", "x").exit_code == 2
    result = poseboard("login", "pose.example.org", "--token", "x")
    assert result.exit_code == 2 and "begin with https://" in result.stderr


def test_the_environment_comes_before_what_is_stored(server, monkeypatch) -> None:
    credentials.store("https://stored.example.org", "stored")
    assert credentials.read() == credentials.Credentials("https://stored.example.org", "stored")
    monkeypatch.setenv("POSEBOARD_URL", server.url)
    assert credentials.read() == credentials.Credentials(server.url, None)  # a stored token goes to its own server only
    monkeypatch.setenv("POSEBOARD_TOKEN", TOKEN)
    assert credentials.read() == credentials.Credentials(server.url, TOKEN)
    assert credentials.read("https://option.example.org/").url == "https://option.example.org"


def test_a_damaged_store_says_what_to_do(poseboard, tmp_path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "credentials.json").write_text("{")
    result = poseboard("board", "lsp-test-pc")
    assert result.exit_code == 3 and "is damaged: run `poseboard login` again" in result.stderr


def test_without_a_login(poseboard, results, monkeypatch) -> None:
    result = poseboard("submit", "lsp-test-pc", results, "--method", "A")
    assert result.exit_code == 3 and "no server: run `poseboard login URL`" in result.stderr
    monkeypatch.setenv("POSEBOARD_URL", "http://127.0.0.1:9")
    result = poseboard("status", "1")
    assert result.exit_code == 3 and "no API token for http://127.0.0.1:9" in result.stderr


def test_submit_and_wait(poseboard, logged_in, results) -> None:
    result = poseboard("submit", "lsp-test-pc", results, "--method", "Hourglass", "--wait")
    assert result.exit_code == 0, result.output
    assert result.stdout == "state\tscored\n" + PIPE_SCORES
    assert result.stderr.splitlines() == [
        f"Submission 1: queued. {logged_in.url}/submissions/1/",
        "Submission 1: running.",
    ]
    assert logged_in.submissions["1"]["method"]["name"] == "Hourglass"


def test_submit_without_waiting(poseboard, logged_in, results) -> None:
    result = poseboard("submit", "lsp-test-pc", results, "--method", "A")
    assert result.exit_code == 0 and result.stdout == "state\tqueued\n" and logged_in.path_counts("GET") == 0


def test_submit_json_is_the_servers_response(poseboard, logged_in, results) -> None:
    printed = poseboard.json("submit", "lsp-test-pc", results, "--method", "A", "--wait", "--publish")
    assert printed == logged_in.submissions["1"] and printed["state"] == "scored" and printed["publish"] == "true"


def test_submit_a_rejected_file(poseboard, logged_in, results) -> None:
    logged_in.states = ["rejected"]
    logged_in.problems = [
        {"code": "missing_key", "entry": 3, "message": "no score"},
        {"entry": 9, "message": "no keypoints"},
    ]
    result = poseboard("submit", "lsp-test-pc", results, "--method", "A", "--wait")
    assert result.exit_code == 2 and result.stdout == "state\trejected\n"
    assert result.stderr.splitlines()[1:] == ["entry 3: no score", "entry 9: no keypoints"]
    logged_in.states = ["rejected"]
    result = poseboard("status", "1", "--json")
    assert result.exit_code == 2 and json.loads(result.stdout)["error"]["code"] == "missing_key"


@pytest.mark.parametrize(("state", "code"), [("errored", 5), ("cancelled", 4), ("running", 0), ("scored", 0)])
def test_exit_codes_of_states(poseboard, logged_in, results, state, code) -> None:
    poseboard("submit", "lsp-test-pc", results, "--method", "A")
    logged_in.states = [state]
    result = poseboard("status", "1")
    assert result.exit_code == code and result.stdout.startswith(f"state\t{state}\n")


def test_waiting_has_an_end(poseboard, logged_in, results) -> None:
    logged_in.states = ["running"]
    result = poseboard("submit", "lsp-test-pc", results, "--method", "A", "--wait", "--timeout", "0", "--json")
    assert result.exit_code == 6 and "poseboard status 1 --wait" in result.stderr
    assert json.loads(result.stdout)["state"] == "running"
    logged_in.states = ["queued", "scored"]
    assert poseboard("status", "1", "--wait").stdout.startswith("state\tscored\n")


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (401, 3, "Nope."),
        (403, 3, "Nope."),
        (404, 4, "Nope."),
        (409, 4, "Nope."),
        (413, 4, "Nope."),
        (429, 4, r"Nope. (try again in 90 s)"),
        (500, 5, "Nope."),
        (503, 5, "Nope."),
    ],
)
def test_exit_codes_of_refusals(poseboard, logged_in, results, status, code, message) -> None:
    problem = {"type": "about:blank", "title": "-", "status": status, "detail": "Nope.", "code": "some_code"}
    headers = {"Retry-After": "90"} if status == 429 else {}
    logged_in.responses["/api/v1/submissions"] = [(status, headers, problem)]
    result = poseboard("submit", "lsp-test-pc", results, "--method", "A", "--json")
    assert result.exit_code == code and result.stderr.strip() == message
    assert json.loads(result.stdout) == {"error": problem}


def test_submit_a_file_that_is_not_there(poseboard, logged_in, tmp_path) -> None:
    result = poseboard("submit", "lsp-test-pc", tmp_path / "none.json", "--method", "A")
    assert result.exit_code == 2 and "none.json: no such file" in result.stderr and logged_in.requests == []
    assert poseboard("submit", "lsp-test-pc", tmp_path, "--method", "A").exit_code == 2
    assert poseboard("submit", "lsp-test-pc", tmp_path / "none.json").exit_code == 2  # no --method


def test_board_in_a_pipe(poseboard, server) -> None:
    result = poseboard("board", "lsp-test-pc", "--url", server.url)
    assert result.exit_code == 0, result.output
    assert result.stdout == "1\tHourglass\tAlice\tbaseline\t0.9\t0.85\t0.95\n\tCPM [31m\tAlice\treported\t0.875\t\t\n"


def test_board_json_and_its_metric(poseboard, logged_in) -> None:
    printed = poseboard.json("board", "lsp-test-pc", "--metric", "pck_auc", "--part", "knee")
    assert (printed["metric"], printed["part"]) == ("pck_auc", "knee") and len(printed["entries"]) == 2


def test_board_on_a_terminal(poseboard, logged_in, monkeypatch) -> None:
    monkeypatch.setattr("poseboard.serving.on_terminal", lambda: True)
    output = poseboard("board", "lsp-test-pc").stdout
    assert "90.00" in output and "85.00 to 95.00" in output and "lsp-test-pc pck@0.2 all" in output
    assert "\x1b" not in output  # a name does not reach the terminal's controls


def test_board_says_on_a_terminal_which_rows_are_stale(poseboard, logged_in, monkeypatch) -> None:
    monkeypatch.setattr("poseboard.serving.on_terminal", lambda: True)
    words = " ".join(poseboard("board", "lsp-test-pc", "--metric", "pckh@0.5").stdout.replace("│", " ").split())
    assert words.count("earlier") == 1 and "earlier" not in poseboard("board", "lsp-test-pc").stdout


def test_submission_on_a_terminal(poseboard, logged_in, results, monkeypatch) -> None:
    monkeypatch.setattr("poseboard.serving.on_terminal", lambda: True)
    output = poseboard("submit", "lsp-test-pc", results, "--method", "A", "--wait").stdout
    assert "A on lsp-test-pc: scored" in output and "77.49" in output and "70.00 to 80.00" in output


def test_no_board(poseboard, server) -> None:
    result = poseboard("board", "nothing", "--url", server.url)
    assert result.exit_code == 4 and "Not found, or you do not have access." in result.stderr


def test_a_token_on_an_open_line_is_warned_of(poseboard, monkeypatch) -> None:
    from poseboard.serving import _client

    said: list[str] = []
    monkeypatch.setattr("poseboard.serving.note", said.append)
    _client("http://192.0.2.7:8000", "token").close()
    _client("http://192.0.2.7:8000", None).close()
    _client("https://192.0.2.7", "token").close()
    _client("http://127.0.0.1:8000", "token").close()
    assert len(said) == 1 and "not encrypted" in said[0]


def test_the_stored_file_is_whole_or_old(tmp_path: Path, monkeypatch) -> None:
    credentials.store("https://a.example.org", "one")
    monkeypatch.setattr(credentials.json, "dump", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        credentials.store("https://a.example.org", "two")
    monkeypatch.undo()
    monkeypatch.setenv("POSEBOARD_CONFIG", str(tmp_path / "config"))
    assert credentials.read().token == "one"
    assert [each.name for each in (tmp_path / "config").iterdir()] == ["credentials.json"]
