"""The organiser's pages: benchmarks, limits and dates, annotations, baseline runs, publishing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from evaluator import load_dataset
from leaderboard.models import (
    AnnotationImport,
    BaselineRun,
    Benchmark,
    Checkpoint,
    Method,
    Team,
    User,
)
from tests.leaderboard.pages.conftest import squeezed


def new_benchmark(**fields: Any) -> dict[str, Any]:
    return {"dataset": "flic", "split": "test", "slug": "flic-test", "title": "FLIC", "hidden": "on", **fields}


def test_organiser_makes_a_benchmark(as_organiser: Client, organiser: User) -> None:
    response = as_organiser.post("/organise/new/", new_benchmark())
    assert response["Location"] == "/organise/flic-test/"
    made = Benchmark.objects.get(slug="flic-test")
    assert made.is_organiser(organiser) and made.hidden and not made.accepts_submissions
    assert "none yet" in as_organiser.get("/organise/").content.decode()


@pytest.mark.parametrize(
    "fields",
    [
        {"slug": "boards"}, {"slug": "lsp-test-pc"}, {"slug": "a b"}, {"dataset": "nope"},
        {"dataset": "lsp", "split": "test-pc"},
    ],
)  # fmt: skip
def test_invalid_benchmark_is_rejected(fields: dict[str, Any], as_organiser: Client) -> None:
    assert as_organiser.post("/organise/new/", new_benchmark(**fields)).status_code == 400
    assert Benchmark.objects.count() == 1


@pytest.mark.parametrize("address", ["/organise/lsp-test-pc/", "/organise/lsp-test-pc/live", "/organise/new/"])
def test_organisers_pages_are_not_there_for_others(
    address: str, benchmark: Benchmark, as_charlie: Client, client: Client
) -> None:
    assert as_charlie.get(address).status_code == 404
    assert client.get(address)["Location"].startswith("/account/login/")


@pytest.mark.parametrize("action", ["import", "run", "cancel-run", "publish"])
def test_strangers_organise_nothing(action: str, benchmark: Benchmark, as_charlie: Client) -> None:
    assert as_charlie.post(f"/organise/lsp-test-pc/{action}").status_code == 404


def test_limits_and_dates_are_saved_and_checked(benchmark: Benchmark, as_organiser: Client) -> None:
    fields = {
        "title": "LSP", "daily_limit": 7, "total_limit": 70, "running_limit": 2, "reject_limit": 9, "is_public": "on",
        "opens_at": "2026-05-01T00:00", "closes_at": "2026-06-01T00:00",
    }  # fmt: skip
    assert as_organiser.post("/organise/lsp-test-pc/", {**fields, "closes_at": "2026-04-01T00:00"}).status_code == 400
    assert as_organiser.post("/organise/lsp-test-pc/", {**fields, "daily_limit": 0}).status_code == 400
    version = Benchmark.objects.get().version
    assert as_organiser.post("/organise/lsp-test-pc/", fields).status_code == 302
    found = Benchmark.objects.get()
    assert (found.daily_limit, found.closes_at.isoformat() if found.closes_at else "") == (
        7,
        "2026-06-01T00:00:00+00:00",
    )
    assert found.version == version + 1


def test_annotations_go_into_the_drop_and_are_not_read_back(
    benchmark: Benchmark, as_organiser: Client, settings: Any, tmp_path: Any
) -> None:
    file = SimpleUploadedFile("truth.json", b'{"canary": 8127}', "application/json")
    page = as_organiser.post("/organise/lsp-test-pc/import", {"file": file}, follow=True).content.decode()
    job = AnnotationImport.objects.get()
    assert job.file_name == "truth.json" and "Waiting for a worker" in page
    assert "8127" not in page
    assert 'hx-get="/organise/lsp-test-pc/live?n=0"' in page
    assert (
        "Choose an annotation file first"
        in as_organiser.post("/organise/lsp-test-pc/import", follow=True).content.decode()
    )


def test_workers_summary_is_shown(benchmark: Benchmark, as_organiser: Client) -> None:
    summary = {"images": 8, "people": 8, "joints": [{"joint": "head_top", "annotated": 7, "occluded": 1}]}
    AnnotationImport.objects.create(
        benchmark=benchmark, drop_name="x", file_name="t.json", state="done", summary=summary
    )
    page = as_organiser.get("/organise/lsp-test-pc/").content.decode()
    assert "8 images, 8 people" in page and "Head top" in page
    assert "hx-trigger" not in page


def test_baseline_is_queued_with_a_button_and_cancelled(benchmark: Benchmark, as_organiser: Client) -> None:
    Benchmark.objects.update(dataset="mannequins")
    name = {"choice": "hrnet narrow"}
    refused = as_organiser.post("/organise/lsp-test-pc/run", name, follow=True).content.decode()
    assert "has no images" in refused
    Benchmark.objects.update(has_images=True)
    page = as_organiser.post("/organise/lsp-test-pc/run", name, follow=True).content.decode()
    assert "HRNet, narrow is queued" in page
    run = BaselineRun.objects.get()
    assert "waiting for a baseline worker" in page
    as_organiser.post("/organise/lsp-test-pc/cancel-run", {"run": run.pk})
    run.refresh_from_db()
    assert run.state == "cancelled"


def test_what_can_run_is_offered_and_what_cannot_says_why(
    benchmark: Benchmark, as_organiser: Client, settings: Any, tmp_path: Path
) -> None:
    settings.CHECKPOINTS_DIR = tmp_path / "checkpoints"
    Benchmark.objects.update(has_images=True)
    page = as_organiser.get("/organise/lsp-test-pc/").content.decode()
    # nothing that ships was trained for LSP's neck, and nothing was fetched
    assert "No model can run on this benchmark" in page and "<select" not in page
    assert "It was not trained for neck, head_top" in page and "Its weights are not installed" in page
    lsp = Checkpoint.objects.create(
        family="hrnet", variant="w32", sha256="a" * 64, file="w.pth", size=1, licence="MIT", source="the authors",
        joints=list(load_dataset("lsp").joints),
    )  # fmt: skip
    lsp.path.parent.mkdir()
    lsp.path.touch()
    page = as_organiser.get("/organise/lsp-test-pc/").content.decode()
    assert f'<option value="checkpoint {lsp.pk}">HRNet, w32, weights aaaaaaaa (checkpoint {lsp.pk})</option>' in page
    assert 'name="boxes"' not in page  # LSP lists its people
    for wrong in ({}, {"choice": "hrnet narrow"}, {"choice": "checkpoint 99"}):
        said = as_organiser.post("/organise/lsp-test-pc/run", wrong, follow=True).content.decode()
        assert "Choose a model that can run on this benchmark." in said
    said = as_organiser.post("/organise/lsp-test-pc/run", {"choice": f"checkpoint {lsp.pk}"}, follow=True)
    assert "weights aaaaaaaa" in said.content.decode()
    run = BaselineRun.objects.get()
    assert (run.baseline, run.variant, run.checkpoint) == ("hrnet", "w32", lsp)


def test_everything_is_queued_with_one_button_and_a_file_of_boxes(
    benchmark: Benchmark, as_organiser: Client, settings: Any, tmp_path: Path
) -> None:
    settings.CHECKPOINTS_DIR = tmp_path / "checkpoints"
    Benchmark.objects.update(dataset="mannequins", has_images=True)
    page = as_organiser.get("/organise/lsp-test-pc/").content.decode()
    assert "Queue all 9" in page and "3 models cannot run on this benchmark" in page and 'name="boxes"' in page

    def post(content: bytes, **fields: str) -> str:
        file = SimpleUploadedFile("people.json", content)
        response = as_organiser.post("/organise/lsp-test-pc/run", {"boxes": file, **fields}, follow=True)
        return str(response.content.decode())

    assert "people.json cannot be read as a list of boxes" in post(b"[", all="1")
    assert not BaselineRun.objects.exists()
    page = post(b'[{"image_id": 1001, "bbox": [1, 2, 30, 40]}]', all="1")
    assert "9 runs are queued. 3 cannot run on this benchmark." in page and "boxes of people.json" in page
    assert BaselineRun.objects.count() == 9
    assert set(BaselineRun.objects.values_list("boxes_name", flat=True)) == {"people.json"}
    refused = post(b"", choice="hrnet narrow")
    assert "The box file is empty." in refused and '<option value="hrnet narrow" selected>' in refused
    assert "larger than 16 MiB: an operator can queue it" in post(b" " * ((16 << 20) + 1), all="1")


def test_publish_all_leaves_what_was_decided(
    scored: Any, team: Team, organiser: User, as_organiser: Client, as_alice: Client
) -> None:
    team.memberships.create(user=organiser)  # her own team's: what is another's is not hers to publish
    withdrawn = scored(0.9, to=Method.objects.create(team=team, name="Withdrawn"))
    as_alice.post(f"/submissions/{withdrawn.pk}/withdraw")
    for value in (0.5, 0.6):
        scored(value, published=False)
    page = squeezed(as_organiser.get("/organise/lsp-test-pc/").content.decode())
    assert "You can publish 1 scored method not on the board" in page
    as_organiser.post("/organise/lsp-test-pc/publish")
    page = Client().get("/lsp-test-pc/").content.decode()
    assert "Pictorial structures" in page and "60.0" in page and "Withdrawn" not in page
    again = as_organiser.post("/organise/lsp-test-pc/publish", follow=True).content.decode()
    assert "Nothing to publish" in again
