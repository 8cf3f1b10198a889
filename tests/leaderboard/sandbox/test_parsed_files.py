"""Annotations are parsed once, again when the file changes, and do not pile up."""

from __future__ import annotations

import os
from pathlib import Path

from leaderboard.sandbox.zygote import ParsedFiles


def test_a_file_is_parsed_once_until_it_changes(tmp_path: Path):
    file = tmp_path / "truth.json"
    file.write_text("one")
    parsed: list[str] = []

    def parse(path: Path) -> str:
        parsed.append(path.read_text())
        return parsed[-1]

    parsed_files = ParsedFiles(files=4, size=1 << 20)
    assert [parsed_files.get(str(file), "lsp", parse) for _ in range(3)] == ["one"] * 3
    assert parsed_files.get(str(file), "mpii", parse) == "one"  # another dataset reads it in another way
    assert parsed == ["one", "one"]
    file.write_text("two")  # the same size: the time tells
    os.utime(file, ns=(1, 1))
    assert parsed_files.get(str(file), "lsp", parse) == "two"
    assert parsed == ["one", "one", "two"]


def test_the_least_recently_used_go_when_there_are_too_many_or_they_are_too_large(tmp_path: Path):
    for name in "abcd":
        (tmp_path / name).write_text(10 * name)
    parsed: list[str] = []

    def get(parsed_files: ParsedFiles, name: str) -> None:
        parsed_files.get(str(tmp_path / name), "lsp", lambda path: parsed.append(path.name))

    few = ParsedFiles(files=2, size=1 << 20)
    for name in "abacab":  # c drives out b, which is then parsed again
        get(few, name)
    assert parsed == ["a", "b", "c", "b"]
    parsed.clear()
    small = ParsedFiles(files=9, size=25)
    for name in "abcaab":
        get(small, name)
    assert parsed == ["a", "b", "c", "a", "b"]
    one = ParsedFiles(files=9, size=1)
    get(one, "d")
    get(one, "d")
    assert parsed[-2:] == ["b", "d"]  # a single file larger than the limit is kept all the same
