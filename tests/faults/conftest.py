"""The board and the people of tests/leaderboard, for tests that commit for real."""

from tests.leaderboard.conftest import *
from tests.leaderboard.conftest import _own_folders  # noqa: F401  a fixture, which the star leaves out
