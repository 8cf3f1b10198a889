"""What people read is plain English: phrases that nobody would say do not come back."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.phrases import PHRASES, SHOWN

ROOT = Path(__file__).resolve().parent.parent.parent
# whose docstrings are shown, in the API reference
DESCRIBED = ("leaderboard/api/",)


def tracked(*patterns: str) -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "-z", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()]


def strings(tree: ast.Module) -> Iterator[tuple[str, bool]]:
    """Its texts with what f-strings fill in as {}, and whether each is a docstring or documents a constant."""
    inside: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            inside.add(node.value)
            if isinstance(node.value.value, str):
                yield node.value.value, True
        elif isinstance(node, ast.JoinedStr):
            inside.update(node.values)
            yield "".join(str(each.value) if isinstance(each, ast.Constant) else "{}" for each in node.values), False
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in inside:
            yield node.value, False


@cache
def texts(file: Path, *, shown: bool = False) -> str:
    """What is read of a file: sentences in Python and C, everything in templates and documents.

    shown: without docstrings and comments, which only engineers read.
    """
    source = file.read_text()
    if file.suffix in {".h", ".c"}:
        found = re.findall(r"\"[^\"\n]*\"" if shown else r"/\*(.*?)\*/|\"[^\"\n]*\"", source, flags=re.DOTALL)
    elif file.suffix == ".js":
        found = re.findall(r"`[^`]*`|\"[^\"\n]*\"", source)
    elif file.suffix == ".py":
        described = file.relative_to(ROOT).as_posix().startswith(DESCRIBED)
        found = [text for text, is_doc in strings(ast.parse(source)) if not (shown and is_doc and not described)]
        if not shown:
            found += re.findall(r"^ *# (.*(?:\n *# .*)*)", source, flags=re.MULTILINE)
    else:
        found = [re.sub(r"{%.*?%}|{#.*?#}|<svg.*?</svg>|<!--.*?-->", " ", source, flags=re.DOTALL)]
    return re.sub(r"\s+", " ", " | ".join(text for text in found if " " in text))


READ = [
    file
    for file in tracked(
        "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/*.md", "docs/metrics/*.md", "leaderboard/templates/**",
        "leaderboard/static/*.js", "leaderboard/*.py", "leaderboard/**/*.py", "poseboard/*.py",
        "evaluator/*.py", "evaluator/**/*.py", "evaluator/**/*.toml", "evaluator/native/*.h", "evaluator/native/*.c",
        "baselines/*.py", "baselines/**/*.py", "benchmarks/*.py",
    )
    if "migrations" not in file.parts
]  # fmt: skip


def wrong(phrase: str, *, shown: bool) -> list[str]:
    pattern = re.compile(phrase, re.IGNORECASE)
    return [
        f"{file.relative_to(ROOT)}: {match[0]!r}"
        for file in READ
        for match in pattern.finditer(texts(file, shown=shown))
    ]


@pytest.mark.parametrize("phrase", PHRASES)
def test_phrases_that_nobody_would_say(phrase: str) -> None:
    assert len(READ) > 300
    found = wrong(phrase, shown=False)
    assert not found, f"write: {PHRASES[phrase]}\n" + "\n".join(found)


@pytest.mark.parametrize("phrase", SHOWN)
def test_phrases_that_nobody_would_say_to_a_reader(phrase: str) -> None:
    found = wrong(phrase, shown=True)
    assert not found, f"write: {SHOWN[phrase]}\n" + "\n".join(found)


def test_strings_are_read_whole(tmp_path: Path) -> None:
    tree = ast.parse('"""A docstring."""\nx = f"{n} files a day"\n"""Documents x."""\nraise ValueError("a " "b")')
    assert sorted(strings(tree)) == [
        ("A docstring.", True),
        ("Documents x.", True),
        ("a b", False),
        ("{} files a day", False),
    ]
