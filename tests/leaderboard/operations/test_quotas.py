"""Counters that two requests make at the same moment."""

from __future__ import annotations

import pytest
from django.db.models import QuerySet

from leaderboard.models import Benchmark, Quota, Team
from leaderboard.operations import quotas

pytestmark = pytest.mark.django_db


def test_a_counter_that_another_request_has_just_made_is_used(
    benchmark: Benchmark, team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter = Quota.objects.create(team=team, benchmark=benchmark, kind=Quota.Kind.TOTAL, used=2)
    # the other's transaction ended between this one's look and its insert
    monkeypatch.setattr(QuerySet, "exists", lambda _: False)
    assert not quotas._raise(team, benchmark, Quota.Kind.TOTAL, "", limit=2)
    assert quotas._raise(team, benchmark, Quota.Kind.TOTAL, "", limit=3)
    counter.refresh_from_db()
    assert counter.used == 3
    assert Quota.objects.count() == 1


def test_a_team_that_has_submitted_nothing_has_used_nothing(benchmark: Benchmark, team: Team) -> None:
    Benchmark.objects.update(daily_limit=5, total_limit=6, running_limit=3, reject_limit=20)
    benchmark.refresh_from_db()
    found = quotas.usage(team, benchmark)
    assert (found.day_used, found.total_used, found.running, found.rejects) == (0, 0, 0, 0)
    assert (found.day_limit, found.total_limit, found.running_limit, found.reject_limit) == (5, 6, 3, 20)
    assert found.day_left == 5
    Quota.objects.create(team=team, benchmark=benchmark, kind=Quota.Kind.TOTAL, used=4)
    assert quotas.usage(team, benchmark).day_left == 2
    Quota.objects.update(used=7)
    assert quotas.usage(team, benchmark).day_left == 0
