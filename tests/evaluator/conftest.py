"""The engines: a test that asks for `engine` runs on the C and on numpy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from evaluator.native import engine as engines


@pytest.fixture(scope="module", params=engines.ENGINES)
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    with engines.using(request.param):
        yield request.param
