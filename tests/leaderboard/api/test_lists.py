"""Lists by pages, with filters; numbers in addresses that name nothing."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from leaderboard.models import Benchmark
from tests.leaderboard.api.conftest import API, Sender, score_next

pytestmark = pytest.mark.django_db


def test_list_by_pages(as_alice: Client, as_bob: Client, as_charlie: Client, post: Sender) -> None:
    ids = [post(as_alice, miss=miss).json()["id"] for miss in range(5)][::-1]
    first = as_alice.get(f"{API}/submissions?limit=2").json()
    assert [each["id"] for each in first["items"]] == ids[:2]
    # a new row on top does not shift the pages
    newest = post(as_alice, miss=9).json()["id"]
    second = as_alice.get(f"{API}/submissions?limit=2&cursor={first['next']}").json()
    third = as_alice.get(f"{API}/submissions?limit=2&cursor={second['next']}").json()
    assert [each["id"] for each in second["items"] + third["items"]] == ids[2:]
    assert third["next"] is None
    assert [each["id"] for each in as_bob.get(f"{API}/submissions").json()["items"]] == [newest, *ids]
    assert as_charlie.get(f"{API}/submissions").json() == {"items": [], "next": None}


def test_list_filters(as_alice: Client, post: Sender, benchmark: Benchmark) -> None:
    scored, queued = post(as_alice).json()["id"], post(as_alice, miss=1).json()["id"]
    score_next()

    def listed(query: str) -> list[int]:
        return [each["id"] for each in as_alice.get(f"{API}/submissions?{query}").json()["items"]]

    assert listed("state=scored") == [scored]
    assert listed("state=queued") == [queued]
    assert listed(f"benchmark={benchmark.slug}") == [queued, scored]
    assert as_alice.get(f"{API}/submissions?state=lost").status_code == 422
    assert as_alice.get(f"{API}/submissions?benchmark=nothing").status_code == 404


@pytest.mark.parametrize("query", ["cursor=x", "cursor=%00", "cursor=YmVmb3JlIC0x", "limit=0", "limit=101", "limit=x"])
def test_list_with_a_wrong_query(as_alice: Client, query: str) -> None:
    assert as_alice.get(f"{API}/submissions?{query}").status_code == 422


def test_a_list_costs_the_same_queries_for_more_rows(
    as_alice: Client, post: Sender, django_assert_max_num_queries: Any
) -> None:
    for miss in range(6):
        post(as_alice, miss=miss)
    with django_assert_max_num_queries(8):
        as_alice.get(f"{API}/submissions")


@pytest.mark.parametrize("number", ["0", "-1", "99999999999999999999999999", "1e3", "%00", "1/../2"])
def test_numbers_that_are_nobodys(as_alice: Client, number: str) -> None:
    for path in (
        f"/submissions/{number}",
        f"/submissions/{number}/file",
        f"/methods/{number}",
        f"/baselines/runs/{number}",
    ):
        assert as_alice.get(API + path).status_code == 404
    assert as_alice.post(f"{API}/submissions/{number}/publish").status_code == 404
    assert as_alice.post(f"{API}/tokens/{number}/revoke").status_code == 404
