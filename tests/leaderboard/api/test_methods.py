"""Methods: what their teams say about them."""

from __future__ import annotations

import json

import pytest
from django.test import Client

from leaderboard.models import Benchmark, Method, Submission
from tests.leaderboard.api.conftest import API

pytestmark = pytest.mark.django_db


def test_edit_a_method(as_alice: Client, as_bob: Client, published: Submission, benchmark: Benchmark) -> None:
    path = f"{API}/methods/{published.method_id}"
    version = Benchmark.objects.get().version
    edited = as_bob.patch(path, {"name": "Flexible  parts", "year": 2011}, content_type="application/json")
    assert edited.status_code == 200, edited.content
    assert (edited.json()["name"], edited.json()["year"]) == ("Flexible parts", 2011)
    assert Benchmark.objects.get().version > version
    assert published.method.events.filter(kind="renamed").count() == 1
    for body in ({"name": ""}, {"year": 3000}, {"paper_url": "http://example.org"}, {"description": "\ud800"}):
        assert as_alice.patch(path, json.dumps(body), content_type="application/json").status_code == 422
    assert as_alice.patch(path, {"is_baseline": True, "team": 3}, content_type="application/json").status_code == 422
    assert Method.objects.get().is_baseline is False
