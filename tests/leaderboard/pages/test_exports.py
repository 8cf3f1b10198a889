"""A board as a file: the same bytes each time, and nothing in it that a reader's program would run."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from django.test import Client

from leaderboard.models import Benchmark, Method, ReportedResult
from leaderboard.views.exports import cell_safe, tex_safe

FORMS = ("csv", "json", "md", "tex", "bib")


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1", "\ufeff=1", "＝1"]
)  # fmt: skip
def test_formulas_become_text(text: str) -> None:
    assert cell_safe(text).startswith("'")


def test_plain_text_stays() -> None:
    assert cell_safe("HRNet-W32 (a=b)") == "HRNet-W32 (a=b)"


def test_tex_has_no_commands_of_its_own() -> None:
    assert tex_safe(r"50% \input{x} $a_b$ & #~^") == (
        r"50\% \textbackslash{}input\{x\} \$a\_b\$ \& \#\textasciitilde{}\textasciicircum{}"
    )


@pytest.mark.parametrize("form", FORMS)
def test_export_is_stable_and_a_download(
    form: str, scored: Any, printed: ReportedResult, benchmark: Benchmark, client: Client
) -> None:
    scored(0.7, low=0.65, high=0.75)
    first = client.get(f"/{benchmark.slug}/board.{form}")
    again = client.get(f"/{benchmark.slug}/board.{form}")
    assert first.status_code == 200
    assert first.content == again.content != b""
    assert first["Content-Disposition"] == f'attachment; filename="lsp-test-pc.{form}"'
    assert first["ETag"] == again["ETag"]
    assert client.get(f"/{benchmark.slug}/board.xlsx").status_code == 404


def test_csv_holds_the_rows_without_formulas(
    scored: Any, printed: ReportedResult, method: Method, benchmark: Benchmark, client: Client
) -> None:
    Method.objects.filter(pk=method.pk).update(name='=HYPERLINK("http://x")', authors="@a", extra_data="-x")
    scored(0.7, low=0.65, high=0.75)
    rows = list(csv.DictReader(io.StringIO(client.get(f"/{benchmark.slug}/board.csv").content.decode())))
    assert [row["kind"] for row in rows] == ["reported", "submission"]
    assert rows[1]["method"] == '\'=HYPERLINK("http://x")'
    assert (rows[1]["authors"], rows[1]["extra_data"]) == ("'@a", "'-x")
    assert float(rows[1]["pck@0.2/all"]) == 0.7
    assert rows[0]["rank"] == "" and rows[1]["rank"] == "1"


def test_json_names_every_score(scored: Any, benchmark: Benchmark, client: Client) -> None:
    scored(0.7, low=0.65, high=0.75)
    exported = json.loads(client.get(f"/{benchmark.slug}/board.json").content)
    assert exported["metric"] == "pck@0.2"
    (entry,) = exported["entries"]
    assert {"metric": "pck@0.2", "part": "wrist", "value": 0.6, "low": 0.58, "high": 0.62} in entry["scores"]


def test_markdown_and_latex_escape_names(scored: Any, method: Method, benchmark: Benchmark, client: Client) -> None:
    Method.objects.filter(pk=method.pk).update(name="a|b_<c>\\d")
    scored(0.7)
    assert r"a\|b\_\<c\>\\d" in client.get(f"/{benchmark.slug}/board.md").content.decode()
    assert r"a|b\_<c>\textbackslash{}d" in client.get(f"/{benchmark.slug}/board.tex").content.decode()


def test_bibtex_has_a_paper_once(printed: ReportedResult, benchmark: Benchmark, client: Client) -> None:
    ReportedResult.objects.create(
        benchmark=benchmark, key="cpm2", method="CPM again", authors="Wei et al.", year=2016,
        paper_title="Convolutional pose machines", source="x", scores=printed.scores,
    )  # fmt: skip
    text = client.get(f"/{benchmark.slug}/board.bib").content.decode()
    assert text.count("@misc{") == 1
    assert "author = {Wei and others}" in text and "year = {2016}" in text


def test_export_follows_the_view(scored: Any, printed: ReportedResult, benchmark: Benchmark, client: Client) -> None:
    scored(0.7)
    exported = json.loads(client.get(f"/{benchmark.slug}/board.json?hide=reported").content)
    assert [entry["kind"] for entry in exported["entries"]] == ["submission"]
