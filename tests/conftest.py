"""What every test may ask for. Real annotations and predictions come from POSEBOARD_TEST_DATA, not the project."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent
TEST_DATA = Path(os.environ.get("POSEBOARD_TEST_DATA", ROOT.parent / "shared" / "data"))

# no limit on the time of one example: a busy machine is no fault
settings.register_profile("poseboard", deadline=None)
settings.load_profile("poseboard")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with real annotations, predictions and images; its absence fails CI and is said loudly elsewhere."""
    if (TEST_DATA / "published_scores.json").exists():
        return TEST_DATA
    message = f"POSEBOARD_TEST_DATA: no real data in {TEST_DATA}; the tests on published methods did not run"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A browser for the whole session; its absence fails CI and is said loudly elsewhere."""
    from playwright.sync_api import sync_playwright

    from tests import services

    found = services.chromium()
    if found is None:
        message = "no Chromium: run `make test`, which installs it, or `python tests/services.py install`"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    # the browser's event loop lives in this thread; the ORM is used outside it all the same
    before = os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    flags = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    flags += "--disable-component-update --disable-sync --disable-dev-shm-usage"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=flags.split())
        yield browser
        browser.close()
    if before is None:
        del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture(autouse=True)
def lock_order() -> Iterator[Any]:
    """Every transaction of every test locks rows in the one order, or the test fails. PostgreSQL only."""
    from tests.lock_order import Watch

    with Watch() as watch:
        yield watch
    assert not watch.problems, "\n".join(watch.problems)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that are about the other database: `make test` runs with both."""
    other = "sqlite" if os.environ.get("DATABASE_URL") else "postgres"
    left_out = [item for item in items if item.get_closest_marker(other)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not (TEST_DATA / "published_scores.json").exists():
        terminalreporter.section("REAL DATA MISSING", sep="!", red=True)
        terminalreporter.line(f"No real data in {TEST_DATA}: set POSEBOARD_TEST_DATA to check the published scores.")
