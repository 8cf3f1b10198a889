"""The submit page contains the evaluator's own table of upload rules for the benchmark's dataset."""

from __future__ import annotations

import json
import re

from django.test import Client

from evaluator import load_dataset
from evaluator.reading.upload_rules import page_rules
from leaderboard.models import Benchmark, User


def test_the_page_contains_the_table_of_rules(client: Client, benchmark: Benchmark, alice: User) -> None:
    client.force_login(alice)
    page = client.get(f"/{benchmark.slug}/submit/").content.decode()
    found = re.search(r'<script id="rules" type="application/json">(.+?)</script>', page)
    assert found
    rules = json.loads(found[1])
    expected = json.loads(json.dumps(page_rules(load_dataset(benchmark.dataset))))
    assert {name: rules[name] for name in expected} == expected
    assert rules["texts"]["missing_key"] == ["missing_key", "no {key}", "the key {key}"]
