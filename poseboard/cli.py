"""The `poseboard` command. Each group of commands is a file; what is slow to import is imported when a command runs."""

from __future__ import annotations

from typing import Annotated

import typer

from poseboard import comparing, converting, scoring, serving

app = typer.Typer(
    name="poseboard",
    help="Score human pose estimation results as the server does, and submit them.",
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help and plain errors, in a pipe as on a terminal
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"poseboard {version('poseboard')}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Score human pose estimation results as the server does, and submit them."""


app.command()(scoring.evaluate)
app.command()(scoring.validate)
app.command()(comparing.compare)
app.add_typer(converting.app, name="convert")
app.command()(serving.login)
app.command()(serving.submit)
app.command()(serving.status)
app.command()(serving.board)
