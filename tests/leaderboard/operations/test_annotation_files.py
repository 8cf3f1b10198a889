"""Annotation files of every dataset, plain and compressed: one parse yields counts, image list and scores."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from evaluator import dataset_names, evaluate, load_dataset
from leaderboard import tasks
from leaderboard.files import blobs
from leaderboard.models import AnnotationImport, Benchmark, State, User
from leaderboard.operations import annotation_imports, annotation_store, releases
from tests.evaluator.pose_cases import case

pytestmark = pytest.mark.django_db


def zipped(content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("annotations.json", content)
    return out.getvalue()


PACKED: dict[str, Callable[[bytes], bytes]] = {"json": bytes, "json.gz": gzip.compress, "zip": zipped}


@pytest.mark.parametrize("dataset", dataset_names())
def test_annotations_of_every_dataset_come_into_force_plain_and_packed(dataset: str) -> None:
    truth, entries = case(dataset, 5, images=6)
    content = json.dumps(truth).encode()
    board = Benchmark.objects.create(slug=dataset, dataset=dataset, split="test", title=dataset)
    summaries = [releases.put_into_force(board, pack(content)) for pack in PACKED.values()]
    assert summaries[0] == summaries[1] == summaries[2]
    people = [row for row in truth["annotations"] if not row.get("iscrowd")]
    assert (summaries[0]["images"], summaries[0]["people"]) == (len(truth["images"]), len(people))
    assert [each["joint"] for each in summaries[0]["joints"]] == list(load_dataset(dataset).joints)
    # stored in one form, the JSON itself, and identified by its digest
    assert board.truth_sha256 == hashlib.sha256(content).hexdigest()
    assert [file.name for file in annotation_store.folder(board).iterdir()] == [f"{board.truth_sha256}.json"]
    stored = annotation_store.truth_path(board, board.truth_sha256)
    report = evaluate(dataset, entries, stored, images=blobs.path(board.image_list_sha256))
    assert report.truth_sha256 == board.truth_sha256 and report.scores


REAL = {
    "coco_wholebody": "field/test_coco_wholebody.json",
    "crowdpose": "field/test_crowdpose.json",
    "ochuman": "field/test_ochuman.json",
    "coco": "coco/xt_example_coco_val.json",
}


@pytest.mark.parametrize("packing", PACKED)
@pytest.mark.parametrize("dataset", REAL)
def test_official_files_come_into_force_from_the_page_and_the_shell(
    dataset: str, packing: str, real_data: Path, tmp_path: Path, alice: User
) -> None:
    content = (real_data / REAL[dataset]).read_bytes()
    truth = json.loads(content)
    file = tmp_path / f"annotations.{packing}"
    file.write_bytes(PACKED[packing](content))
    output = io.StringIO()
    call_command("import_benchmark", dataset, str(file), stdout=output)
    people = sum(not row.get("iscrowd") for row in truth["annotations"])
    assert f"{dataset}-test: {len(truth['images'])} images, {people} people" in output.getvalue()
    board = Benchmark.objects.get()
    upload = SimpleNamespace(name=file.name, chunks=lambda: [file.read_bytes()])
    annotation_imports.request(benchmark=board, uploaded_file=upload, by=alice)
    assert tasks.check_annotations().endswith("in force")
    assert (board.truth_sha256, board.person_count) == (hashlib.sha256(content).hexdigest(), people)


@pytest.mark.parametrize("packing", ["json", "json.gz"])
def test_a_datasets_own_json_form_is_converted_in_the_shell(packing: str, real_data: Path, tmp_path: Path) -> None:
    file = tmp_path / f"video.{packing}"
    file.write_bytes(PACKED[packing]((real_data / "field/posetrack18_val/009473_mpii_test.json").read_bytes()))
    call_command("import_benchmark", "posetrack", str(file), stdout=io.StringIO())
    assert Benchmark.objects.get().person_count > 0


def test_the_joints_of_official_wholebody_annotations_are_counted_from_all_their_fields(real_data: Path) -> None:
    content = (real_data / REAL["coco_wholebody"]).read_bytes()
    board = Benchmark.objects.create(slug="whole", dataset="coco_wholebody", split="val", title="WholeBody")
    counts = {each["joint"]: each for each in releases.put_into_force(board, content)["joints"]}
    rows = [row for row in json.loads(content)["annotations"] if not row["iscrowd"]]
    # the first joint of the body and of the feet and the last of the right hand, by position in the official fields
    for joint, field, position in (
        ("nose", "keypoints", 0),
        ("left_big_toe", "foot_kpts", 0),
        ("right_little_4", "righthand_kpts", 20),
    ):
        flags = [row[field][3 * position + 2] for row in rows]
        assert counts[joint]["annotated"] == sum(flag > 0 for flag in flags)
        assert counts[joint]["occluded"] == sum(flag == 1 for flag in flags)
    assert counts["nose"]["annotated"] > 0


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(b'{"images": [')[:-4],
        zipped(b"{}")[:-9],
        gzip.compress(gzip.compress(b"{}")),
        gzip.compress(b"[1, 2"),
        b"\x1f\x8b",
        b"PK\x03\x04",
    ],
    ids=["truncated gzip", "truncated zip", "gzip in gzip", "truncated JSON", "gzip signature", "zip signature"],
)
def test_a_damaged_archive_is_rejected_with_a_reason(
    benchmark: Benchmark, alice: User, content: bytes, tmp_path: Path
) -> None:
    before = benchmark.truth_sha256
    annotation_imports.request(
        benchmark=benchmark, uploaded_file=SimpleNamespace(name="t.gz", chunks=lambda: [content]), by=alice
    )
    tasks.check_annotations()
    job = AnnotationImport.objects.get()
    assert (job.state, job.error_code) == (State.REJECTED, "annotations") and len(job.error_message) > 20
    (tmp_path / "t.zip").write_bytes(content)
    with pytest.raises(CommandError):
        call_command("import_benchmark", "lsp", str(tmp_path / "t.zip"), "--split", "test-pc")
    assert Benchmark.objects.get().truth_sha256 == before


def test_an_import_that_fails_half_way_leaves_no_partial_file(
    benchmark: Benchmark, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {file.name for file in annotation_store.folder(benchmark).iterdir()}

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("leaderboard.files.writing.os.fsync", full)
    truth, _ = case("lsp", 1, images=3)
    with pytest.raises(OSError, match="No space"):
        releases.put_into_force(benchmark, json.dumps(truth).encode())
    assert {file.name for file in annotation_store.folder(benchmark).iterdir()} == names
