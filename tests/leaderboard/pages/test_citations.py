"""The BibTeX of a board, read by pybtex: every entry parses, and its authors are those that the row names."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from hypothesis import example, given
from hypothesis import strategies as st
from pybtex.database import BibliographyData, Person, parse_string
from pybtex.errors import set_strict_mode

from leaderboard.boards.rows import Row
from leaderboard.models import Benchmark, ReportedResult
from leaderboard.views.citations import bibtex

# the first warning is an error: a repeated key, a name with too many commas
set_strict_mode(True)


def row(name: str = "M", **fields: Any) -> Row:
    return Row(kind="reported", name=name, team="", cells={}, **{"paper_title": "A Title", **fields})


def parsed(*rows: Row) -> BibliographyData:
    return parse_string(bibtex(rows), "bibtex")


def people(text: str) -> list[str]:
    """First and last names as BibTeX takes them apart."""
    (entry,) = parsed(row(authors=text)).entries.values()
    return [
        " | ".join(
            " ".join(part) for part in (each.first_names + each.middle_names, each.prelast_names + each.last_names)
        )
        for each in entry.persons.get("author", [])
    ]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Wei et al.", [" | Wei", " | others"]),
        ("Wei, Ramakrishna et al", [" | Wei", " | Ramakrishna", " | others"]),
        ("Sun and others", [" | Sun", " | others"]),
        ("Newell, Yang, Deng", [" | Newell", " | Yang", " | Deng"]),
        ("Ke Sun, Bin Xiao, Dong Liu and Jingdong Wang", ["Ke | Sun", "Bin | Xiao", "Dong | Liu", "Jingdong | Wang"]),
        ("Ke Sun, Bin Xiao, and Dong Liu", ["Ke | Sun", "Bin | Xiao", "Dong | Liu"]),
        ("Chen & Yuille", [" | Chen", " | Yuille"]),
        ("Sun, Ke; Xiao, Bin", ["Ke | Sun", "Bin | Xiao"]),
        ("Sun, Ke and Xiao, Bin", ["Ke | Sun", "Bin | Xiao"]),
        ("Sun, K., Xiao, B., Liu, D.", ["K. | Sun", "B. | Xiao", "D. | Liu"]),
        ("Sun, K. and Xiao, B.-C. et al.", ["K. | Sun", "B.-C. | Xiao", " | others"]),
        ("MMPose Contributors", [" | {MMPose Contributors}"]),
        ("{Research and Development}, Ada Lovelace", [" | {Research and Development}", "Ada | Lovelace"]),
        ("Martin Luther King, Jr.", [" | {Martin Luther King, Jr.}"]),
        ("Alejandro Newell, Leonid Andersson-Berg", ["Alejandro | Newell", "Leonid | Andersson-Berg"]),
        ("Philipp Krähenbühl, 刘伟", ["Philipp | Krähenbühl", " | 刘伟"]),
        ("A_B & C%", [r" | A\_B", r" | C\%"]),
        ("Alexander Sandberg", ["Alexander | Sandberg"]),  # `and` within a name separates nothing
        ("", []),
        ("et al.", []),
    ],
)
def test_authors_are_those_that_are_named(text: str, names: list[str]) -> None:
    assert people(text) == names


@given(st.lists(st.tuples(st.text(max_size=40), st.text(max_size=30), st.text(max_size=30)), max_size=4))
@example(
    [("a } b", "{", "}"), ("a { b", "}}", "\\"), ("%", "@misc{x,", "é"), ('"', "and and", " and "), ("x", ",", ";,")]
)
def test_every_text_makes_entries_that_parse(texts: list[tuple[str, str, str]]) -> None:
    rows = [
        row(name, authors=by, paper_title=title, paper_url="https://example.org/{a}\\b c%7D", year=2019)
        for title, by, name in texts
    ]
    text = bibtex(rows)
    assert text.count("{") == text.count("}")
    found = parse_string(text, "bibtex") if text else BibliographyData()
    papers = {" ".join((title or name).split()).casefold() for title, _, name in texts} - {""}
    assert len(found.entries) == len(papers)
    assert all(re.fullmatch(r"[a-z0-9-]+", key) for key in found.entries)
    for entry in found.entries.values():
        assert entry.fields["url"] == "https://example.org/%7Ba%7D%5Cb%20c%7D"
        assert all(isinstance(each, Person) for each in entry.persons.get("author", []))


def test_keys_are_surname_year_and_word_and_never_repeat() -> None:
    rows = [
        row(authors="Ke Sun, Bin Xiao", year=2019, paper_title="Deep High-Resolution Learning"),
        row(authors="Sun, Ke; Xiao, Bin", year=2019, paper_title="Deep things"),
        row(authors="Élodie Krähenbühl", year=2020, paper_title="Ünique Poses"),
        row("刘", authors="刘伟", year=2020, paper_title="姿态"),
        row(authors="", paper_title="", paper_url="https://example.org/only-an-address", name="Nameless"),
    ]
    assert list(parsed(*rows).entries) == [
        "sun2019deep", "sun2019deep-2", "krahenbuhl2020unique", "anon2020pose", "namelessnameless",
    ]  # fmt: skip


def test_board_exports_its_reported_papers(benchmark: Benchmark, client: Client) -> None:
    for key, by in (("one", "Newell, Yang, Deng"), ("two", "Sun et al.")):
        ReportedResult.objects.create(
            benchmark=benchmark, key=key, method=key, authors=by, year=2016, paper_title=f"Paper {key} & more",
            source="x", scores=[{"metric": "pck@0.2", "part": "all", "value": 0.9}],
        )  # fmt: skip
    text = client.get(f"/{benchmark.slug}/board.bib").content.decode()
    assert "author = {Newell and Yang and Deng}" in text and "author = {Sun and others}" in text
    assert r"title = {{Paper one \& more}}" in text
    assert len(parse_string(text, "bibtex").entries) == 2


def test_shipped_results_parse(benchmark: Benchmark, client: Client) -> None:
    from leaderboard.operations import reported_results

    Benchmark.objects.create(slug="coco-val2017", dataset="coco", split="val2017", title="COCO")
    reported_results.load()
    for slug in ("lsp-test-pc", "coco-val2017"):
        found = parse_string(client.get(f"/{slug}/board.bib").content.decode(), "bibtex")
        assert found.entries and all(entry.persons["author"] for entry in found.entries.values())
