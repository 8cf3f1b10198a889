"""What the commands print: tables on a terminal, tab-separated lines in a pipe, JSON on request; errors as exit codes.

Results go to standard output, everything else to standard error.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import contextmanager
from enum import IntEnum
from typing import Any, ParamSpec, TypeVar

import typer

NUMBER = "number"  # the unit of what is neither a fraction nor has a unit, as the evaluator and the API name it

P = ParamSpec("P")
R = TypeVar("R")


class Exit(IntEnum):
    """The exit codes (docs/cli.md). 1 is left for unexpected errors, which end in a traceback."""

    OK = 0
    BAD_FILE = 2  # or a wrong option or argument
    NO_ACCESS = 3
    REFUSED = 4
    SERVER = 5
    UNFINISHED = 6


class Failure(Exception):
    """End the command with an exit code and a message; `as_json` is what --json prints."""

    def __init__(self, code: Exit, message: str, as_json: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.as_json = code, message, as_json


def on_terminal() -> bool:
    return sys.stdout.isatty()


def emit_json(content: Any) -> None:
    typer.echo(json.dumps(content, indent=2, allow_nan=False))


def note(message: str) -> None:
    """A line for the person at the terminal, not part of the result."""
    typer.echo(message, err=True)


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: int = 0) -> None:
    """Rows as a table below a title, whose last `right` columns are numbers; only called on a terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    console.print(Text(printable(title), style="bold"), soft_wrap=True)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        number = index >= len(columns) - right
        table.add_column(column, justify="right" if number else "left", no_wrap=number)
    for row in rows:
        table.add_row(*[Text(printable(cell)) for cell in row])
    console.print(table)


def show_lines(rows: Sequence[Sequence[object]]) -> None:
    """Rows as tab-separated lines for a pipe; floats at full precision, nothing for None."""
    for row in rows:
        typer.echo("\t".join("" if cell is None else printable(str(cell)) for cell in row))


def printable(text: str) -> str:
    """Text from a server without control characters, which could rewrite the terminal or break a line in two."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def number(value: float | None, unit: str = "") -> str:
    """A score as tables print it: a fraction in percent, a length in its unit, a plain number as it is."""
    if value is None:
        return ""
    return f"{value:.3f}" if unit == NUMBER else f"{value if unit else 100 * value:.2f}"


def interval(low: float | None, high: float | None, unit: str = "") -> str:
    return "" if low is None or high is None else f"{number(low, unit)} to {number(high, unit)}"


def heading(word: str, units: Collection[str]) -> str:
    """The head of a column: `score %`, `score mm`, or `score` of plain numbers, or where the rows say the units."""
    return f"{word} {_sign(next(iter(units)))}".rstrip() if len(units) == 1 else word


def _sign(unit: str) -> str:
    return "" if unit == NUMBER else unit or "%"


def in_unit(value: float | None, unit: str, units: Collection[str]) -> str:
    """A number of such a column."""
    if len(units) < 2 or value is None:
        return number(value, unit)
    return f"{number(value, unit)} {_sign(unit)}".rstrip()


def reports_failures(command: Callable[P, R]) -> Callable[P, R]:
    """Turn what a command raises into a message on standard error, an exit code and, with --json, JSON."""

    @functools.wraps(command)
    def run(*arguments: P.args, **options: P.kwargs) -> R:
        try:
            return command(*arguments, **options)
        except Failure as failure:
            end = failure
        except BrokenPipeError:
            raise
        except (ValueError, OSError, RuntimeError) as error:
            end = _failure(error)
        if options.get("json_output"):
            emit_json(end.as_json or {"error": {"code": end.code.name.lower(), "message": end.message}})
        typer.echo(end.message, err=True)
        raise typer.Exit(int(end.code))

    return run


def _failure(error: ValueError | OSError | RuntimeError) -> Failure:
    """The failure for a rejected file or argument, in the words of the check; a fault of ours stays a traceback."""
    from evaluator import DatasetDefinitionError, GroundTruthError, PredictionError
    from evaluator.convert.errors import ConversionError

    if isinstance(error, PredictionError):
        return Failure(Exit.BAD_FILE, str(error), {"error": error.to_dict()})
    if isinstance(error, GroundTruthError):
        return Failure(Exit.BAD_FILE, str(error), {"error": {"code": "ground_truth", "message": str(error)}})
    if isinstance(error, ConversionError):
        return Failure(Exit.BAD_FILE, str(error), {"error": {"code": "conversion", "message": str(error)}})
    if isinstance(error, DatasetDefinitionError):
        return Failure(Exit.BAD_FILE, str(error), {"error": {"code": "dataset", "message": str(error)}})
    if isinstance(error, OSError) and error.filename is not None:
        message = f"{error.filename}: {error.strerror}"
        return Failure(Exit.BAD_FILE, message, {"error": {"code": "file", "message": message}})
    raise error


@contextmanager
def api_failures() -> Any:
    """Exit codes for a server's errors."""
    from poseboard.client import ApiError

    try:
        yield
    except ApiError as error:
        raise api_failure(error) from error


def api_failure(error: Any) -> Failure:
    """The exit code says who can fix it: 3 the owner of the token, 4 the submitter, 5 the server's operator."""
    message = printable(error.detail)
    if error.retry_after is not None:
        message += f" (try again in {error.retry_after:.0f} s)"
    problem = error.problem or {"status": error.status, "code": error.code, "detail": error.detail}
    if error.status in {401, 403}:
        code = Exit.NO_ACCESS
    elif 400 <= error.status < 500:
        code = Exit.REFUSED
    else:
        code = Exit.SERVER
    return Failure(code, message, {"error": problem})
