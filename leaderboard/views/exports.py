"""A board as a file: CSV, JSON, Markdown, LaTeX, BibTeX. The same board gives the same bytes."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from typing import Any

from evaluator.dataset import Column, unit_name
from leaderboard.boards.rankings import Board
from leaderboard.boards.rows import Cell, Row
from leaderboard.drawing import numbers
from leaderboard.operations.baseline_runs import public_record
from leaderboard.views import citations

TYPES = {
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
    "md": "text/markdown; charset=utf-8",
    "tex": "text/x-tex; charset=utf-8",
    "bib": "text/x-bibtex; charset=utf-8",
}

# of a baseline's run, at the end of a row: a speed means little without what it was measured on
STALE = "scored on earlier annotations, not ranked"
RUN_COLUMNS = ("images_per_second", "device", "device_name", "batch", "precision")


def write(form: str, board: Board, rows: Sequence[Row], columns: Sequence[Column]) -> str:
    """The rows in the form of that file ending."""
    return {"csv": _csv, "json": _json, "md": _markdown, "tex": _latex, "bib": _bibtex}[form](board, rows, columns)


def cell_safe(text: str) -> str:
    """A text that no spreadsheet takes for a formula: a leading = + - @ tab or return is preceded by an apostrophe."""
    return (
        f"'{text}"
        if text.lstrip(" \u00a0\ufeff")[:1]
        in ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
        else text
    )


def _csv(board: Board, rows: Sequence[Row], columns: Sequence[Column]) -> str:
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\r\n")
    main = f"{board.metric.name}/{board.part}"
    names = [f"{column.metric}/{column.part}" for column in columns]
    table.writerow(
        [
            "rank",
            "worst_rank",
            "kind",
            "method",
            "team",
            "authors",
            "year",
            main,
            f"{main} low",
            f"{main} high",
            *names,
            "approach",
            "backbone",
            "input_size",
            "parameters",
            "gflops",
            "extra_data",
            "paper",
            "code",
            "source",
            *RUN_COLUMNS,
            "note",
        ]
    )
    for row in rows:
        cells = [row.cells.get((column.metric, column.part)) for column in columns]
        values: list[Any] = [
            row.rank,
            row.worst_rank,
            row.kind,
            row.name,
            row.team,
            row.authors,
            row.year,
            row.value,
            row.low,
            row.high,
            *(cell.value if cell else None for cell in cells),
            row.approach,
            row.backbone,
            row.input_size,
            row.parameters,
            row.gflops,
            row.extra_data,
            row.paper_url,
            row.code_url,
            row.source,
            *(row.record.get(name) for name in RUN_COLUMNS),
            STALE if row.stale else None,
        ]
        table.writerow(
            ["" if value is None else cell_safe(value) if isinstance(value, str) else value for value in values]
        )
    return out.getvalue()


def _json(board: Board, rows: Sequence[Row], columns: Sequence[Column]) -> str:
    exported = {
        "benchmark": board.benchmark.slug,
        "dataset": board.benchmark.dataset,
        "split": board.benchmark.split,
        "metric": board.metric.name,
        "part": board.part,
        "unit": board.metric.unit or "fraction",
        "higher_is_better": board.metric.higher_is_better,
        "version": board.version,
        "at": board.at.isoformat() if board.at else None,
        "truth_sha256": board.in_force.truth_sha256,
        "entries": [
            {
                "rank": row.rank,
                "worst_rank": row.worst_rank,
                "kind": row.kind,
                "stale": row.stale,
                "method": row.name,
                "team": row.team,
                "authors": row.authors,
                "year": row.year,
                "value": row.value,
                "low": row.low,
                "high": row.high,
                "scores": [
                    {"metric": metric, "part": part, "value": cell.value, "low": cell.low, "high": cell.high}
                    for (metric, part), cell in sorted(row.cells.items())
                ],
                "approach": row.approach,
                "backbone": row.backbone,
                "input_size": row.input_size,
                "parameters": row.parameters,
                "gflops": row.gflops,
                "extra_data": row.extra_data,
                "paper_title": row.paper_title,
                "paper_url": row.paper_url,
                "code_url": row.code_url,
                "source": row.source,
                "run": public_record(row.record) if row.kind == "baseline" else None,
                "published_at": row.published_at.isoformat() if row.published_at else None,
            }
            for row in rows
        ],
    }
    return json.dumps(exported, ensure_ascii=False, indent=1) + "\n"


_KIND = {"submission": "", "baseline": " (baseline, run on this site)", "reported": " (reported, not verified)"}


def _markdown(board: Board, rows: Sequence[Row], columns: Sequence[Column]) -> str:
    def safe(text: str) -> str:
        return re.sub(r"([\\`*_{}\[\]<>|#!~&])", r"\\\1", " ".join(text.split()))

    head = ["Rank", "Method", _titled(board), "95% interval", *(column.label for column in columns)]
    lines = ["| " + " | ".join(safe(each) for each in head) + " |", "|---:|:---|" + "---:|" * (len(head) - 2)]
    for row in rows:
        cells = [row.cells.get((column.metric, column.part)) for column in columns]
        named = safe(row.name) + _KIND[row.kind] + (f" ({STALE})" if row.stale else "")
        values = [
            _rank(row),
            named,
            numbers.number(row.value, row.unit),
            numbers.interval(row.low, row.high, row.unit) or numbers.MISSING,
            *(_printed(cell) for cell in cells),
        ]
        lines.append("| " + " | ".join(values) + " |")
    return "\n".join(lines) + "\n"


_TEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip


def tex_safe(text: str) -> str:
    """A text in which no character is a command of TeX."""
    return "".join(_TEX.get(character, character) for character in " ".join(text.split()))


def _latex(board: Board, rows: Sequence[Row], columns: Sequence[Column]) -> str:
    lines = [
        f"% {board.benchmark.slug}, {board.metric.name}/{board.part}, board version {board.version}; needs booktabs",
        r"\begin{tabular}{rl" + "r" * (1 + len(columns)) + "}",
        r"\toprule",
        " & ".join(["Rank", "Method", tex_safe(_titled(board)), *(tex_safe(column.label) for column in columns)])
        + r" \\",
        r"\midrule",
    ]
    for row in rows:
        cells = [row.cells.get((column.metric, column.part)) for column in columns]
        mark = {"submission": "", "baseline": r"$^\diamond$", "reported": r"$^\circ$"}[row.kind]
        values = [
            _rank(row, dash="--"),
            tex_safe(row.name) + mark + (r"$^\dagger$" if row.stale else ""),
            _printed(row, missing="--"),
            *(_printed(cell, missing="--") for cell in cells),
        ]
        lines.append(" & ".join(values) + r" \\")
    lines += [
        r"\bottomrule",
        r"\end{tabular}",
        r"% diamond: baseline, run on the server; circle: reported in a paper, not verified",
        *([rf"% dagger: {STALE}"] if any(row.stale for row in rows) else []),
    ]
    return "\n".join(lines) + "\n"


def _bibtex(board: Board, rows: Sequence[Row], columns: Sequence[Column]) -> str:
    return citations.bibtex(rows)


def _rank(row: Row, dash: str = "–") -> str:
    if row.rank is None:
        return dash
    between = "--" if dash == "--" else "–"
    return str(row.rank) if row.worst_rank in (None, row.rank) else f"{row.rank} ({row.rank}{between}{row.worst_rank})"


def _printed(number: Row | Cell | None, missing: str = numbers.MISSING) -> str:
    """A row's or a cell's value as tables print it."""
    return missing if number is None or number.value is None else numbers.number(number.value, number.unit)


def _titled(board: Board) -> str:
    """The metric's title, with its unit where it is not percent."""
    unit = unit_name(board.metric.unit)
    return f"{board.metric.title}, {unit}" if unit else board.metric.title
