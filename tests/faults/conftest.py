"""The fixtures of tests/leaderboard, for tests that really commit."""

from tests.leaderboard.conftest import *
from tests.leaderboard.conftest import _own_folders  # noqa: F401  a fixture that `*` leaves out
