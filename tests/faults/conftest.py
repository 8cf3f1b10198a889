"""The board and the people of tests/leaderboard, for tests that commit for real."""

from tests.leaderboard.conftest import *
