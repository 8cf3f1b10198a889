"""Runs over the API: what can run and why not, registered weights, all at once, a box file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from baselines import registry
from baselines.mannequins import generate
from evaluator import load_dataset
from leaderboard.files import blobs
from leaderboard.models import BaselineRun, Benchmark, Checkpoint, User
from leaderboard.operations import releases
from tests.leaderboard.api.conftest import API

pytestmark = pytest.mark.django_db

BOX = {"image_id": 1, "category_id": 1, "bbox": [10, 20, 60, 90], "score": 0.9}


@pytest.fixture
def people(olu: User, tmp_path: Path, settings: Any) -> Benchmark:
    """A Mannequins board of four images that Olu organises; no weights were fetched."""
    settings.CHECKPOINTS_DIR = tmp_path / "checkpoints"
    board = Benchmark.objects.create(slug="mannequins-test", dataset="mannequins", split="test", title="Mannequins")
    truth = generate(tmp_path / "mannequins", split="test", images=4, seed=7)
    releases.put_into_force(board, json.dumps(truth).encode())
    board.organisers.add(olu)
    board.has_images = True
    board.save()
    return board


@pytest.fixture
def registered(people: Benchmark) -> Checkpoint:
    made = Checkpoint.objects.create(
        family="hrnet", variant="w32", sha256="a" * 64, file="w.pth", size=1, licence="MIT", source="the authors",
        joints=list(load_dataset("coco").joints),
    )  # fmt: skip
    made.path.parent.mkdir()
    made.path.touch()
    return made


def post(client: Client, path: str, **body: Any) -> Any:
    return client.post(f"{API}/baselines/{path}", body, content_type="application/json")


def send_boxes(client: Client, rows: object, **fields: Any) -> Any:
    file = SimpleUploadedFile("people.json", rows if isinstance(rows, bytes) else json.dumps(rows).encode())
    return client.post(f"{API}/baselines/runs/with-boxes", {"file": file, **fields})


def test_weights_are_listed_with_why_some_cannot_run(
    people: Benchmark, registered: Checkpoint, as_olu: Client, as_alice: Client
) -> None:
    short = Checkpoint.objects.create(
        family="hrnet", variant="w48", sha256="b" * 64, file="v.pth", size=1, licence="MIT", source="somebody",
        joints=["nose"],
    )  # fmt: skip
    address = f"{API}/baselines/choices?benchmark={people.slug}"
    items = as_olu.get(address).json()["items"]
    said = {(each["baseline"], each["variant"], each["checkpoint"]): each["why_not"] for each in items}
    assert said["hrnet", "narrow", None] == "" and said["hrnet", "w32", registered.pk] == ""
    assert said["hrnet", "w48", short.pk].startswith("it was not trained for left_eye")
    assert said["blazepose", "full", None].startswith("its weights are not installed: python -m baselines fetch")
    registered.path.unlink()
    items_then = as_olu.get(address).json()["items"]
    gone = [each["why_not"] for each in items_then if each["checkpoint"] == registered.pk]
    assert gone == ["its file is missing from the checkpoints folder"]
    titles = {each["title"] for each in items}
    assert {"HRNet, narrow", f"HRNet, w32, weights aaaaaaaa (checkpoint {registered.pk})"} <= titles
    assert as_alice.get(address).status_code == 403
    assert as_olu.get(f"{API}/baselines/choices?benchmark=a%00b").status_code == 422
    assert as_olu.get(f"{API}/baselines/choices?benchmark=nothing").status_code == 404


def test_a_run_with_registered_weights(people: Benchmark, registered: Checkpoint, as_olu: Client) -> None:
    response = post(as_olu, "runs", baseline="hrnet", benchmark=people.slug, checkpoint=registered.pk)
    assert response.status_code == 202, response.content
    assert (response.json()["variant"], response.json()["checkpoint"]) == ("w32", registered.pk)
    assert BaselineRun.objects.get().checkpoint == registered
    wrong = post(as_olu, "runs", baseline="cpm", benchmark=people.slug, checkpoint=registered.pk)
    assert (wrong.status_code, wrong.json()["code"]) == (409, "other_checkpoint")
    none = post(as_olu, "runs", baseline="hrnet", benchmark=people.slug, checkpoint=99)
    assert (none.status_code, none.json()["code"]) == (422, "no_such_checkpoint")


def test_all_that_can_run_at_once(
    people: Benchmark, registered: Checkpoint, as_olu: Client, as_charlie: Client
) -> None:
    response = post(as_olu, "runs/all", benchmark=people.slug)
    assert response.status_code == 202, response.content
    queued = [(each["baseline"], each["variant"], each["checkpoint"]) for each in response.json()["items"]]
    # the narrow networks that ship (and whatever needs no weights), and the registered one
    ready = [each for each in registry.runnable(load_dataset(people.dataset).joints, Path()) if not each.why_not]
    assert len(queued) == len(ready) + 1 == len(set(queued)) == BaselineRun.objects.count()
    assert len([variant for _, variant, checkpoint in queued if (variant, checkpoint) == ("narrow", None)]) == 9
    assert ("hrnet", "w32", registered.pk) in queued and ("pyranet", "narrow", None) in queued
    assert {each["variant"] for each in response.json()["left_out"]} == {"lite", "full", "heavy"}
    again = post(as_olu, "runs/all", benchmark=people.slug)
    assert [each["id"] for each in again.json()["items"]] == [each["id"] for each in response.json()["items"]]
    assert post(as_charlie, "runs/all", benchmark=people.slug).status_code == 403
    people.has_images = False
    people.save()
    refused = post(as_olu, "runs/all", benchmark=people.slug)
    assert (refused.status_code, refused.json()["code"]) == (409, "no_images")


def test_a_file_of_boxes_is_checked_and_stored_with_the_run(people: Benchmark, as_olu: Client) -> None:
    response = send_boxes(as_olu, [BOX], baseline="hrnet", benchmark=people.slug)
    assert response.status_code == 202, response.content
    assert response.json()["boxes"] == "people.json"
    run = BaselineRun.objects.get()
    assert json.loads(blobs.path(run.boxes_sha256).read_bytes()) == [BOX]
    # other boxes are another run, the same ones are not
    assert send_boxes(as_olu, [BOX], baseline="hrnet", benchmark=people.slug).json()["id"] == run.pk
    assert send_boxes(as_olu, [BOX, BOX], baseline="hrnet", benchmark=people.slug).json()["id"] != run.pk
    assert post(as_olu, "runs", baseline="hrnet", benchmark=people.slug).json()["boxes"] == ""


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{}", "people.json cannot be read as a list of boxes: not a list"),
        ([{**BOX, "bbox": [1, 2, 0, 4]}], "people.json, entry 0: the box has no finite size above 0"),
        ([BOX, {"image_id": 1}], "people.json, entry 1: expected image_id, bbox [x, y, w, h] and score"),
        ([{**BOX, "image_id": 500}], "people.json has no box of a person in these images"),
    ],
)
def test_a_file_without_boxes_is_rejected_at_once(
    content: object, words: str, people: Benchmark, as_olu: Client
) -> None:
    response = send_boxes(as_olu, content, baseline="hrnet", benchmark=people.slug)
    assert (response.status_code, response.json()["code"]) == (422, "boxes") and words in response.json()["detail"]
    assert not BaselineRun.objects.exists()


def test_boxes_for_a_benchmark_that_lists_its_people_are_rejected(
    people: Benchmark, benchmark: Benchmark, as_olu: Client, as_alice: Client
) -> None:
    response = send_boxes(as_olu, [BOX], baseline="hrnet", benchmark=benchmark.slug)
    assert (response.status_code, response.json()["code"]) == (422, "boxes")
    assert "lists its people" in response.json()["detail"]
    # nobody else's file is even read
    assert send_boxes(as_alice, b"{}", baseline="hrnet", benchmark=people.slug).status_code == 403
    too_large = send_boxes(as_olu, b" " * ((16 << 20) + 1), baseline="hrnet", benchmark=people.slug)
    assert (too_large.status_code, too_large.json()["code"]) == (413, "boxes")
    assert "people.json is larger than 16 MiB" in too_large.json()["detail"]
