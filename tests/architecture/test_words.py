"""What people read is plain English: phrases that nobody would say do not come back."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

from tests.phrases import PHRASES

ROOT = Path(__file__).resolve().parent.parent.parent


def tracked(*patterns: str) -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "-z", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()]


def texts(file: Path) -> str:
    """What is read of a file: of Python its strings that are sentences, of templates and documents everything."""
    source = file.read_text()
    if file.suffix == ".js":
        return " | ".join(text for text in re.findall(r"`[^`]*`|\"[^\"\n]*\"", source) if " " in text)
    if file.suffix != ".py":
        return re.sub(r"{%.*?%}|<svg.*?</svg>|<!--.*?-->", " ", source, flags=re.DOTALL)
    strings = [node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)]
    return " | ".join(text for text in strings if isinstance(text, str) and " " in text)


READ = tracked(
    "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/*.md", "docs/metrics/*.md", "leaderboard/templates/**",
    "leaderboard/static/*.js", "leaderboard/*.py", "leaderboard/**/*.py", "poseboard/*.py",
    "evaluator/datasets/*.toml",
)  # fmt: skip


@pytest.mark.parametrize("phrase", PHRASES)
def test_phrases_that_nobody_would_say(phrase: str) -> None:
    assert len(READ) > 150
    pattern = re.compile(phrase, re.IGNORECASE)
    wrong = [
        f"{file.relative_to(ROOT)}: {match[0]!r}"
        for file in READ
        if "migrations" not in file.parts
        for match in pattern.finditer(re.sub(r"\s+", " ", texts(file)))
    ]
    assert not wrong, f"write: {PHRASES[phrase]}\n" + "\n".join(wrong)
