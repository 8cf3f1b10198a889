"""Accounts that the site makes itself, for its demonstration. Others sign up."""

from __future__ import annotations

from leaderboard.models import User
from leaderboard.operations.teams import own_team


def ensure(*, username: str, full_name: str, password: str, staff: bool = False) -> User:
    """The person of that name, made with the password when there is none, with a team of one."""
    first, last = full_name.split()
    user = User.objects.filter(username=username).first()
    if user is None:
        user = User.objects.create_user(
            username, f"{username}@example.org", password, first_name=first, last_name=last, is_staff=staff
        )
    own_team(user)
    return user
