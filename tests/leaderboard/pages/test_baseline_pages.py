"""A page per baseline: drawing, costs, weights, numbers here and in papers, what the network sees."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from baselines import registry
from baselines.preview import Preview
from baselines.run import counting
from leaderboard import tasks
from leaderboard.drawing import architecture
from leaderboard.files import blobs
from leaderboard.models import BaselineRun, Benchmark, Method, ReportedResult, State, Submission, Team
from leaderboard.operations import baseline_runs
from tests.leaderboard.pages.test_every_page import check

PREVIEW = Preview(b"crop", (96, 128), 3, ("neck", "head_top"), ((0.1, 0.25, 0.5), (0.2, 0.3, 0.75)), (b"one", b"two"))


@pytest.fixture
def run(scored: Any, team: Team, benchmark: Benchmark) -> BaselineRun:
    method = Method.objects.create(team=team, name="Convolutional Pose Machines, narrow", is_baseline=True)
    sent = scored(0.625, low=0.6, high=0.65, to=method, source=Submission.Source.BASELINE)
    made = BaselineRun.objects.create(
        baseline="cpm", variant="narrow", benchmark=benchmark, submission=sent, state=State.DONE, images_done=8,
        images_total=8, record={
            "title": "Convolutional Pose Machines, narrow", "device": "cuda", "precision": "float32", "batch": 64,
            "images_per_second": 123.4, "parameters": 250_000, "gmacs": 0.75, "input_size": "96 × 128",
            "checkpoint_sha256": "ab" * 32, "boxes": "given", "taken_over": 3, "lost_with_batch": 128,
            "left_out": ["im1004.jpg: cannot identify /srv/images/im1004.jpg"],
        },
    )  # fmt: skip
    baseline_runs.store_pictures(made, PREVIEW)
    made.refresh_from_db()
    return made


@pytest.mark.django_db
def test_every_architecture_has_its_drawing_and_its_sizes(client: Client, settings: Any, tmp_path: Path) -> None:
    settings.CHECKPOINTS_DIR = tmp_path
    assert "not counted yet" in client.get("/baselines/hrnet/").content.decode()
    counting.write(tmp_path)
    for name, about in registry.cards().items():
        variants = registry.variants(name, tmp_path)
        page = client.get(f"/baselines/{name}/").content.decode()
        check(page, name)
        if about.drawing.blocks:
            assert page.count('<figure class="panel">') == 1 and 'class="plot archfig"' in page
        assert about.citation.link in page
        for block in about.drawing.blocks:
            assert block.label in page
        rows = re.findall(r"<td><code>([\w-]+)</code></td><td>([\d,]+)</td><td>([\d.]+)</td>", page)
        assert [(variant, int(count.replace(",", ""))) for variant, count, _ in rows] == [
            (variant.name, variant.parameters) for variant in variants
        ]
        assert [float(cost) for *_, cost in rows] == pytest.approx([v.gmacs for v in variants], abs=0.0051)
    assert client.get("/baselines/nonsense/").status_code == 404


def test_every_shape_of_a_drawing_is_known_and_no_two_blocks_overlap() -> None:
    for about in registry.cards().values():
        assert {block.shape for block in about.drawing.blocks} <= set(architecture.SHAPES)
        places = [block.at for block in about.drawing.blocks]
        for index, (x, y) in enumerate(places):
            for u, v in places[index + 1 :]:
                assert abs(x - u) * architecture.COLUMN > architecture.WIDTH or abs(y - v) >= 1, about.name


def test_a_measured_number_is_listed_beside_the_reported_one(
    run: BaselineRun, printed: ReportedResult, client: Client
) -> None:
    page = client.get("/baselines/cpm/").content.decode()
    here, paper = page.index("62.5"), page.index("90.5")
    assert here < paper
    assert "60.0–65.0" in page and "table 2" in page and "baseline, run on this site" in page
    assert "123.4 images/s on cuda, batch 64" in page


def test_what_the_network_saw_is_shown_joint_by_joint(run: BaselineRun, client: Client) -> None:
    page = client.get("/baselines/cpm/").content.decode()
    assert "its 3 stages from left to right" in page
    assert "0.10 → 0.25 → 0.50" in page
    assert 'width="296" height="128" alt="Neck: where the network locates it"' in page  # 3 x 96 + 2 x 4
    for which, content in (("crop", b"crop"), ("0", b"one"), ("1", b"two")):
        response = client.get(f"/baselines/cpm/seen/{run.pk}/{which}.webp")
        assert response.content == content and response["Content-Type"] == "image/webp"
    for wrong in (
        f"cpm/seen/{run.pk}/2.webp", f"hrnet/seen/{run.pk}/0.webp", f"cpm/seen/{run.pk + 1}/0.webp",
        f"cpm/seen/{run.pk}/{run.submission.sha256}.webp",
    ):  # fmt: skip
        assert client.get(f"/baselines/{wrong}").status_code == 404, wrong


def test_a_private_board_s_runs_are_nobody_else_s(run: BaselineRun, client: Client, as_organiser: Client) -> None:
    Benchmark.objects.update(is_public=False)
    assert "62.5" not in client.get("/baselines/cpm/").content.decode()
    assert client.get(f"/baselines/cpm/seen/{run.pk}/0.webp").status_code == 404
    assert as_organiser.get(f"/baselines/cpm/seen/{run.pk}/0.webp").status_code == 200


def test_pictures_live_as_long_as_their_run(run: BaselineRun, monkeypatch: pytest.MonkeyPatch) -> None:
    digests = baseline_runs.needed_blobs()
    assert len(digests) == 3
    monkeypatch.setattr(blobs.time, "time", lambda: 4e9)  # long after
    tasks.collect()
    assert all(blobs.path(digest).exists() for digest in digests)
    run.delete()
    tasks.collect()
    assert not any(blobs.path(digest).exists() for digest in digests)


def test_the_submission_page_says_how_it_was_run(run: BaselineRun, client: Client, as_organiser: Client) -> None:
    page = client.get(f"/submissions/{run.submission_id}/").content.decode()
    for words in (
        "123.4 images/s",
        "cuda, float32, batch 64",
        "0.2 M",
        "0.75",
        "3 images resumed from a lost worker",
        "a batch of 128",
    ):
        assert words in page, words
    assert "1 image whose file cannot be used" in page and "im1004.jpg" not in page
    own = as_organiser.get(f"/submissions/{run.submission_id}/").content.decode()
    assert "whose file cannot be used: im1004.jpg" in own and "/srv/images" not in own


def test_a_run_s_progress_is_polled_while_it_runs(benchmark: Benchmark, client: Client) -> None:
    BaselineRun.objects.create(baseline="cpm", benchmark=benchmark, images_total=8, images_done=2)
    page = client.get("/baselines/cpm/").content.decode()
    assert 'hx-get="/baselines/cpm/" hx-select="#runs"' in page
    BaselineRun.objects.update(state=State.CANCELLED)
    assert "hx-get" not in client.get("/baselines/cpm/").content.decode()
