"""What is committed speaks of the project alone, and the documents are true."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


def tracked() -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listing.split("\0") if name and (ROOT / name).is_file()]


def test_no_file_names_a_path_of_the_machine_it_was_written_on() -> None:
    pattern = re.compile(r"/(?:work|farm|root)/(?!\*)|/opt/(?:wheels|pypi)")
    wrong = [
        path.relative_to(ROOT).as_posix()
        for path in tracked()
        if path.suffix not in {".png", ".safetensors", ".jpg"} and path != Path(__file__)
        if pattern.search(path.read_text(errors="replace"))
    ]
    assert not wrong


def test_repository_stays_light() -> None:
    heavy = [path.name for path in tracked() if path.stat().st_size > 1_500_000]
    assert not heavy


def test_every_setting_is_documented() -> None:
    settings = (ROOT / "leaderboard" / "settings.py").read_text()
    names = set(re.findall(r'(?:text|flag|whole)\(\s*"([A-Z_]+)"', settings))
    assert len(names) > 15
    documented = (ROOT / "docs" / "deploy.md").read_text()
    assert not {name for name in names if f"`{name}`" not in documented}


@pytest.mark.parametrize("document", [path.relative_to(ROOT).as_posix() for path in tracked() if path.suffix == ".md"])
def test_links_between_documents_lead_somewhere(document: str) -> None:
    text = (ROOT / document).read_text()
    broken = [
        target
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
        if "://" not in target
        and not target.startswith("mailto:")
        and not (ROOT / document).parent.joinpath(target).exists()
    ]
    assert not broken


def test_constraints_pin_every_direct_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(each for extra in project["optional-dependencies"].values() for each in extra),
    ]
    names = {re.split(r"[\[<>=;~! ]", each)[0].lower().replace("_", "-") for each in wanted} - {"poseboard"}
    pinned = {
        line.split("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    assert not names - pinned


@pytest.mark.parametrize("document", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_files_and_folders_that_guides_name_exist(document: str) -> None:
    """In backticks, from the root or from leaderboard/. Capitals (`NAME.toml`) stand for the reader's own name."""
    named = re.findall(r"`([\w.-]+(?:/[\w.-]*)+|[\w-]+\.(?:py|toml|md))`", (ROOT / document).read_text())
    paths = [each for each in named if "NAME" not in each and not each.startswith("/")]
    assert len(paths) > 5
    assert [each for each in paths if not any((base / each).exists() for base in (ROOT, ROOT / "leaderboard"))] == []
