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
