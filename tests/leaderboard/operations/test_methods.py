"""What a team says of its methods, and their names."""

from __future__ import annotations

import pytest
from django.db.models import QuerySet

from leaderboard.models import Benchmark, Method, Team, User
from leaderboard.operations import teams
from leaderboard.operations.refusals import Refused

pytestmark = pytest.mark.django_db


def test_a_method_cannot_take_the_name_of_another_of_its_team(method: Method, team: Team, alice: User) -> None:
    other = Method.objects.create(team=team, name="Another")
    with pytest.raises(Refused, match="description is invalid") as refused:
        teams.edit_method(method=other, by=alice, name=method.name)
    assert (refused.value.code, refused.value.status) == ("method_invalid", 422)
    other.refresh_from_db()
    assert other.name == "Another"
    crew = Team.objects.create(name="Another crew")
    same_name = Method.objects.create(team=crew, name="Others")
    teams.edit_method(method=same_name, by=alice, name=method.name)
    same_name.refresh_from_db()
    assert same_name.name == method.name


def test_a_description_that_is_not_valid_changes_nothing(method: Method, team: Team, benchmark: Benchmark) -> None:
    with pytest.raises(Refused, match="paper_url"):
        teams.method_named(team=team, name=method.name, paper_url="http://example.org")
    method.refresh_from_db()
    assert method.paper_url == ""


def test_a_method_that_another_request_has_just_made_is_used(
    method: Method, team: Team, benchmark: Benchmark, monkeypatch: pytest.MonkeyPatch
) -> None:
    # it was not there when this request looked
    monkeypatch.setattr(QuerySet, "first", lambda _: None)
    found = teams.method_named(team=team, name=method.name, authors="Wei et al.")
    assert found == method
    method.refresh_from_db()
    assert method.authors == "Wei et al."
    assert Method.objects.count() == 1
