"""What every test may ask for. Real annotations and predictions come from POSEBOARD_TEST_DATA, not the project."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TEST_DATA = Path(os.environ.get("POSEBOARD_TEST_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with real annotations, predictions and images; its absence fails CI and is said loudly elsewhere."""
    if (TEST_DATA / "published_scores.json").exists():
        return TEST_DATA
    message = f"POSEBOARD_TEST_DATA: no real data in {TEST_DATA}; the tests on published methods did not run"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not (TEST_DATA / "published_scores.json").exists():
        terminalreporter.section("REAL DATA MISSING", sep="!", red=True)
        terminalreporter.line(f"No real data in {TEST_DATA}: set POSEBOARD_TEST_DATA to check the published scores.")
