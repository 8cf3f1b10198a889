"""What people read is plain English: phrases that nobody would say do not come back."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
# each with what to write instead
PHRASES = {
    r"\bmend\b": "fix",
    r"\bof a team a day\b|\bfor a team a day\b": "per team per day",
    r"\b(?:one|several|many|an?) (?:entry|pose|row|box|image|person|joint|file) an? (?:image|person|method)\b": "per",
    r"\bsame door\b": "scored like any submission",
    r"\bnobody is annotated\b": "contains no annotated people",
    r"\bfollows by itself\b": "updates automatically",
    r"\bstands? (?:there|here|on (?:a|the|no|every|any) board|beside)\b": "is listed",
    r"\bconfined in every way\b": "fully sandboxed",
    r"\bopen without an end\b": "no closing date",
    r"\bnothing here that you may see\b": "not found, or you do not have access",
    r"\bwhom it fails\b": "where it fails",
    r"\bnothing here says whose\b": "counts only",
    r"\bexpected a (?:image|entry|id|integer)\b": "expected an",
    r"\bthe operator must act\b": "who does what",
    r"\bgoes on from epoch\b": "resuming from epoch",
    r"\bthe operator finds why\b": "quote the reference to the operator",
    r"\bwas sent before for this method\b": "you already submitted this file",
    r"\bwords, limits and dates\b": "title, limits and dates",
    r"\d+ %(?![\d(])": "no space before %",
    r"; ?else |, else |\. Else ": "otherwise",
    r"\bas soon as visible\b|\buntil visible\b": "a whole sentence",
    r"\bkept apart\b": "shown separately",
    r"\bstood here\b": "not found, or you do not have access",
    r"\bprinted (?:\d|{})": "reports",
    r"<dt>Truth\b": "Annotations",
    r"\ban entry for everybody\b|\bone entry a person\b": "one entry per person",
    r"\bthe document is\b": "the file contains",
    r"\ba day, per team\b": "per day",
    r"\bthe doorbell\b|\bdoorbell\b": "wake-up call",
}


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
