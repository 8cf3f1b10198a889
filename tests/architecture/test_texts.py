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


def named(document: str) -> list[str]:
    """Files and folders in backticks. Capitals (`NAME.toml`) stand for the reader's own name."""
    found = re.findall(r"`([\w.-]+(?:/[\w.-]*)+|[\w-]+\.(?:py|toml|md))`", (ROOT / document).read_text())
    return [each for each in found if "NAME" not in each and not each.startswith("/")]


@pytest.mark.parametrize("document", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_files_and_folders_that_guides_name_exist(document: str) -> None:
    """From the root or from leaderboard/."""
    paths = named(document)
    assert len(paths) > 5
    assert [each for each in paths if not any((base / each).exists() for base in (ROOT, ROOT / "leaderboard"))] == []


# the other documents name files of the reader, too: these
EXAMPLES = {
    "work/test.keypoints.json", "TS1/annot_data.mat", "out/annotations.json", "images/", "plain_hourglasses.py",
}  # fmt: skip


def test_files_and_folders_that_the_other_documents_name_exist() -> None:
    """From the root, a package, the datasets, or the document's own folder."""
    missing = [
        f"{path.relative_to(ROOT)}: {each}"
        for path in [ROOT / "README.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/**/*.md")]
        for each in sorted({*named(path.relative_to(ROOT).as_posix())} - EXAMPLES)
        if not any(
            (base / each).exists()
            for base in (ROOT, ROOT / "leaderboard", ROOT / "baselines", ROOT / "evaluator/datasets", path.parent)
        )
    ]
    assert missing == []


def test_tests_that_documents_name_exist() -> None:
    sources = "".join(path.read_text() for path in tracked() if path.match("tests/**/*.py"))
    cited = {
        (path.name, each)
        for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
        for each in re.findall(r"`(test_\w+)`", path.read_text())
        if each != "test_images"  # a failure of the training command
    }
    assert len(cited) > 15
    assert [each for each in sorted(cited) if f"def {each[1]}(" not in sources] == []
