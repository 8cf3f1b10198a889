"""The site that the tests in Chromium open, and the pages they open it in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from django.test import Client
from PIL import Image

from evaluator import PredictionError, Problem, load_dataset
from leaderboard.models import (
    AnnotationImport,
    BaselineRun,
    Benchmark,
    Method,
    ReportedResult,
    State,
    Team,
    User,
)
from leaderboard.operations import submissions, tokens
from leaderboard.operations.baseline_runs import store_pictures
from tests.leaderboard.conftest import claim

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def see_middle() -> Any:
    """Three stages of the joints of LSP, each in the middle of a grey picture."""
    from baselines.preview import Preview, as_webp, drawn, strip  # imports torch

    heatmap = np.zeros((16, 12))
    heatmap[8, 6] = 1
    tile = drawn(Image.new("RGB", (96, 128), (120, 120, 120)), heatmap)
    joints = tuple(load_dataset("lsp").joints)
    strips = (as_webp(strip([tile] * 3)),) * len(joints)
    return Preview(as_webp(tile), (96, 128), 3, joints, ((0.1, 0.2, 0.5),) * len(joints), strips)


@pytest.fixture
def site(
    transactional_db: None, live_server: Any, scored: Any, send: Any, team: Team, printed: ReportedResult,
    benchmark: Benchmark, organiser: User, alice: User,
) -> Any:  # fmt: skip
    """A board with rows of every kind, ties, submissions in every state, an import and runs."""
    Benchmark.objects.update(has_images=True, public_elsewhere=True, boxes_given=True, daily_limit=40)
    for name, value in (("Alpha", 0.8), ("Beta", 0.7), ("Gamma", 0.7)):
        scored(
            value, low=value - 0.02, high=value + 0.02,
            to=Method.objects.create(
                team=team, name=name, year=2014, parameters=5_000_000, paper_url="https://example.org/p"
            ),
        )  # fmt: skip
    reference = scored(
        0.65, low=0.6, high=0.7, to=Method.objects.create(team=team, name="Reference"), source="baseline"
    )
    run = BaselineRun.objects.create(
        baseline="cpm", variant="narrow", benchmark=benchmark, submission=reference, state=State.DONE,
        record={"title": "Reference", "device": "cpu", "precision": "float32", "batch": 16, "images_per_second": 9.5,
                "parameters": 200_000, "gmacs": 0.2, "input_size": "96 × 128", "checkpoint_sha256": "ab" * 32},
    )  # fmt: skip
    store_pictures(run, see_middle())
    scored(0.66, to=Method.objects.create(team=team, name="Unpublished"), published=False)
    send(b"[-1]")
    submissions.reject(
        claim(), PredictionError([Problem("wrong_count", 7, "/7/keypoints", "keypoints has 2 values", "42 numbers")])
    )
    send(b"[-2]")
    AnnotationImport.objects.create(
        benchmark=benchmark, drop_name="x", file_name="truth.json", state="done", uploaded_by=organiser,
        summary={"images": 8, "people": 8, "joints": [{"joint": "neck", "annotated": 8, "occluded": 1}]},
    )  # fmt: skip
    BaselineRun.objects.create(baseline="stacked_hourglass", benchmark=benchmark, images_total=8)
    tokens.create(user=alice, name="CI", scopes=["read"])
    return live_server


@pytest.fixture
def open_page(chromium: Any, site: Any) -> Iterator[Callable[..., Any]]:
    """A page of a fresh context, signed in as somebody or nobody; what its console complains of fails the test."""
    contexts: list[Any] = []
    complaints: list[str] = []

    def wrong(message: Any) -> bool:
        """Whether it is an error; not a rejected submission, since Chromium logs every status of 400 and above."""
        refused = message.location["url"].endswith("/submit/") and "Failed to load resource" in message.text
        return message.type == "error" and not refused

    def make(user: User | None = None, **options: Any) -> Any:
        context = chromium.new_context(**{"viewport": {"width": 1440, "height": 900}, **options})
        contexts.append(context)
        if user is not None:
            client = Client()
            client.force_login(user)
            context.add_cookies([{"name": "session", "value": client.cookies["session"].value, "url": site.url}])
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text) if wrong(message) else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        return page

    yield make
    for context in contexts:
        context.close()
    assert complaints == []
