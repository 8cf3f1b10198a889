"""`poseboard login`, `submit`, `status`, `board`: the commands that talk to a server."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from poseboard import credentials
from poseboard.output import (
    Exit,
    Failure,
    api_failures,
    emit_json,
    heading,
    in_unit,
    interval,
    note,
    number,
    on_terminal,
    printable,
    reports_failures,
    show_lines,
    show_table,
)

if TYPE_CHECKING:
    from poseboard.client import BoardEntry, Client, Submission

Server = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help="The server; default: POSEBOARD_URL, or the server of `login`."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the server's response as JSON.")]
Timeout = Annotated[float, typer.Option(min=0, metavar="SECONDS", help="How long --wait waits, in seconds.")]


@reports_failures
def login(
    url: Annotated[
        str | None, typer.Argument(metavar="[URL]", help="The server, such as https://pose.example.org.")
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            help="The API token. If left out, it is asked for, or read from standard input. Other users of this "
            "machine may see options."
        ),
    ] = None,
    json_output: Json = False,
) -> None:
    """Store a server's address and an API token for this user (mode 600), after trying them."""
    chosen = url or _known(None).url
    if chosen is None:
        raise Failure(Exit.BAD_FILE, "name the server: poseboard login https://pose.example.org")
    if token is None:
        token = typer.prompt("API token", hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.readline()
    token = token.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise Failure(Exit.BAD_FILE, "this is not an API token: create one on your profile page")
    with _client(chosen, token) as client, api_failures():
        benchmarks = client.benchmarks()
    path = credentials.store(client.url, token)
    if json_output:
        emit_json({"url": client.url, "stored": str(path), "benchmarks": len(benchmarks)})
    else:
        note(f"Logged in to {client.url} ({len(benchmarks)} benchmarks); stored in {path}")


@reports_failures
def submit(
    benchmark: Annotated[str, typer.Argument(metavar="BENCHMARK", help="The benchmark's slug, such as lsp-test-pc.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Prediction JSON; it is compressed for the upload.")],
    method: Annotated[str, typer.Option(metavar="NAME", help="The method's name; a new name creates a method.")],
    publish: Annotated[bool, typer.Option("--publish", help="Publish it as soon as it is scored.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the scores and print them.")] = False,
    timeout: Timeout = 3600.0,
    url: Server = None,
    json_output: Json = False,
) -> None:
    """Send a prediction file to a benchmark."""
    if not file.is_file():
        raise Failure(Exit.BAD_FILE, f"{file}: {'is not a file' if file.exists() else 'no such file'}")
    with _authorised(url) as client:
        with api_failures():
            submission = _send(client, benchmark, file, method, publish=publish)
        if not json_output:
            note(f"Submission {submission.id}: {submission.state}. {submission.url}")
        if wait:
            submission = _wait(client, submission, timeout, quiet=json_output)
    _finish(submission, json_output=json_output)


@reports_failures
def status(
    submission_id: Annotated[str, typer.Argument(metavar="ID", help="The submission's id.")],
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the scores.")] = False,
    timeout: Timeout = 3600.0,
    url: Server = None,
    json_output: Json = False,
) -> None:
    """Show a submission: its state, and its scores or what was wrong with its file."""
    with _authorised(url) as client:
        with api_failures():
            submission = client.submission(submission_id)
        if wait and not submission.finished:
            submission = _wait(client, submission, timeout, quiet=json_output)
    _finish(submission, json_output=json_output)


@reports_failures
def board(
    benchmark: Annotated[str, typer.Argument(metavar="BENCHMARK", help="The benchmark's slug.")],
    metric: Annotated[str | None, typer.Option(help="The metric; default: the benchmark's primary metric.")] = None,
    part: Annotated[str | None, typer.Option(help="The part, such as wrist; default: all joints.")] = None,
    url: Server = None,
    json_output: Json = False,
) -> None:
    """Show a leaderboard."""
    known = _known(url)
    with _client(_address(known), known.token) as client, api_failures():
        result = client.board(benchmark, metric=metric, part=part)
    if json_output:
        emit_json(result.raw)
    elif on_terminal():
        rows = [
            [
                _ranks(e),
                e.method,
                e.team,
                f"{e.kind}, scored on earlier annotations" if e.raw.get("stale") else e.kind,
                number(e.value, result.unit),
                interval(e.low, e.high, result.unit),
            ]
            for e in result.entries
        ]
        title = " ".join(part for part in (benchmark, result.metric, result.part) if part)
        show_table(
            title, ["rank", "method", "team", "kind", heading("score", {result.unit}), "95% interval"], rows, right=2
        )
    else:
        show_lines([(e.rank, e.method, e.team, e.kind, e.value, e.low, e.high) for e in result.entries])


def _known(url: str | None) -> credentials.Credentials:
    try:
        return credentials.read(url)
    except ValueError as error:
        raise Failure(Exit.NO_ACCESS, str(error)) from error


def _address(known: credentials.Credentials) -> str:
    if known.url is None:
        raise Failure(Exit.NO_ACCESS, "no server: run `poseboard login URL`, or set POSEBOARD_URL")
    return known.url


def _client(url: str, token: str | None) -> Client:
    from poseboard.client import Client, is_loopback

    if "://" not in url:
        raise Failure(Exit.BAD_FILE, f"{url!r} is not the address of a server: begin with https://")
    parts = urlsplit(url)
    if token and parts.scheme == "http" and parts.hostname and not is_loopback(parts.hostname):
        note(f"Warning: {url} is not encrypted; others on the network can read the token.")
    try:
        return Client(
            url, token, waiting=lambda seconds: note(f"Too many requests: trying again in {seconds:.0f} seconds.")
        )
    except ValueError as error:
        raise Failure(Exit.BAD_FILE, str(error)) from error


def _authorised(url: str | None) -> Client:
    known = _known(url)
    address = _address(known)
    if known.token is None:
        raise Failure(Exit.NO_ACCESS, f"no API token for {address}: run `poseboard login`, or set POSEBOARD_TOKEN")
    return _client(address, known.token)


def _send(client: Client, benchmark: str, file: Path, method: str, *, publish: bool) -> Submission:
    """Upload, with a progress bar on a terminal."""
    if not sys.stderr.isatty():
        return client.submit(benchmark, file, method=method, publish=publish)
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("Uploading"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("upload", total=None)

        def move(sent: int, total: int) -> None:
            bar.update(task, completed=sent, total=total)

        return client.submit(benchmark, file, method=method, publish=publish, progress=move)


def _wait(client: Client, submission: Submission, timeout: float, *, quiet: bool) -> Submission:
    from poseboard.client import StillRunning

    def say(now: Submission) -> None:
        if not quiet and not now.finished and now.state != submission.state:
            note(f"Submission {now.id}: {printable(now.state)}.")

    try:
        with api_failures():
            return client.wait(submission.id, timeout=timeout, changed=say)
    except StillRunning as late:
        raise Failure(
            Exit.UNFINISHED,
            f"{late} after {timeout:.0f} s. Scoring continues: poseboard status {submission.id} --wait",
            late.submission.raw,
        ) from late


def _finish(submission: Submission, *, json_output: bool) -> None:
    """Print a submission and end with the exit code of its state."""
    if json_output:
        emit_json(submission.raw)
    else:
        _show(submission)
    message = error_text(submission)
    if message:
        note(message)
    codes = {"rejected": Exit.BAD_FILE, "errored": Exit.SERVER, "cancelled": Exit.REFUSED}
    code = codes.get(submission.state, Exit.OK)
    if code != Exit.OK:
        raise typer.Exit(int(code))


def _show(submission: Submission) -> None:
    if not on_terminal():
        show_lines([("state", submission.state)])
        show_lines([(s.metric, s.part, repr(s.value), s.low, s.high) for s in submission.scores])
        return
    units = {score.unit for score in submission.scores}
    rows = [
        [s.metric, s.part, in_unit(s.value, s.unit, units), interval(s.low, s.high, s.unit)] for s in submission.scores
    ]
    title = f"{submission.method} on {submission.benchmark}: {submission.state}"
    show_table(printable(title), ["metric", "part", heading("score", units), "95% interval"], rows, right=2)


def error_text(submission: Submission) -> str:
    """What the server says is wrong with a submission, with every problem it lists."""
    if not submission.error:
        return ""
    lines = [str(submission.error.get("message") or submission.error.get("code") or "no reason was given")]
    for problem in submission.error.get("problems") or ():
        if isinstance(problem, dict) and (text := str(problem.get("message") or "")) and text not in lines[0]:
            entry = problem.get("entry")
            lines.append(f"entry {entry}: {text}" if entry is not None else text)
    return "\n".join(printable(line) for text in lines for line in text.splitlines())


def _ranks(entry: BoardEntry) -> str:
    """`2–4` where the server says that the rank is not settled."""
    worst = entry.raw.get("worst_rank")
    if entry.rank is None:
        return ""
    return f"{entry.rank}–{worst}" if isinstance(worst, int) and worst != entry.rank else str(entry.rank)
