"""What people read is plain English: phrases that nobody would say do not come back."""

from __future__ import annotations

import ast
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from tests.phrases import PHRASES

ROOT = Path(__file__).resolve().parent.parent.parent


def tracked(*patterns: str) -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "-z", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()]


@cache
def texts(file: Path) -> str:
    """What people read of a file: sentences in Python and C, everything in templates and documents."""
    source = file.read_text()
    if file.suffix in {".h", ".c"}:
        found = re.findall(r"/\*(.*?)\*/", source, flags=re.DOTALL)
    elif file.suffix == ".js":
        found = re.findall(r"`[^`]*`|\"[^\"\n]*\"", source)
    elif file.suffix == ".py":
        strings = [node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)]
        found = [text for text in strings if isinstance(text, str)]
        found += re.findall(r"^ *# (.*(?:\n *# .*)*)", source, flags=re.MULTILINE)
    else:
        found = [re.sub(r"{%.*?%}|<svg.*?</svg>|<!--.*?-->", " ", source, flags=re.DOTALL)]
    return re.sub(r"\s+", " ", " | ".join(text for text in found if " " in text))


READ = tracked(
    "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/*.md", "docs/metrics/*.md", "leaderboard/templates/**",
    "leaderboard/static/*.js", "leaderboard/*.py", "leaderboard/**/*.py", "poseboard/*.py",
    "evaluator/*.py", "evaluator/**/*.py", "evaluator/**/*.toml", "evaluator/native/*.h", "evaluator/native/*.c",
)  # fmt: skip


@pytest.mark.parametrize("phrase", PHRASES)
def test_phrases_that_nobody_would_say(phrase: str) -> None:
    assert len(READ) > 150
    pattern = re.compile(phrase, re.IGNORECASE)
    wrong = [
        f"{file.relative_to(ROOT)}: {match[0]!r}"
        for file in READ
        if "migrations" not in file.parts
        for match in pattern.finditer(texts(file))
    ]
    assert not wrong, f"write: {PHRASES[phrase]}\n" + "\n".join(wrong)
