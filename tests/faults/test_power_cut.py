"""A 202 survives a power cut: what it promises is on the disk before it is sent. Shown by the order of the calls."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.signals import post_save
from django.test import Client

from leaderboard.files import blobs, writing
from leaderboard.models import ApiToken, Benchmark, Submission, User
from leaderboard.operations import annotation_store, releases, tokens
from tests.leaderboard.conftest import predictions

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, Any]]]:
    """Calls to the disk and the database, in order: (name, inode or path)."""
    made: list[tuple[str, Any]] = []

    def watch(owner: Any, name: str, detail: Callable[..., Any]) -> None:
        original = getattr(owner, name)

        def watched(*arguments: Any, **options: Any) -> Any:
            result = original(*arguments, **options)
            made.append((name.lstrip("_"), detail(*arguments)))
            return result

        monkeypatch.setattr(owner, name, watched)

    watch(os, "fsync", lambda handle: os.fstat(handle).st_ino)
    monkeypatch.setattr(writing, "_FULL_SYNC", None)  # macOS has a call of its own for it
    watch(os, "link", lambda source, target: Path(target))
    watch(BaseDatabaseWrapper, "_commit", lambda self: None)

    def row_written(instance: Submission, **_: object) -> None:
        made.append(("row", None))

    post_save.connect(row_written, sender=Submission)
    yield made
    post_save.disconnect(row_written, sender=Submission)


def inode(path: Path) -> int:
    return path.stat().st_ino


@pytest.mark.parametrize("again", [False, True])
def test_file_and_its_names_are_on_the_disk_before_the_row_and_the_row_before_the_response(
    again: bool, calls: list[tuple[str, Any]], benchmark: Benchmark, alice: User
) -> None:
    """Also when the file exists already: the request that wrote it may not have got that far yet."""
    _, text = tokens.create(user=alice, name="test", scopes=[ApiToken.Scope.READ, ApiToken.Scope.SUBMIT])
    client = Client(headers={"Authorization": f"Bearer {text}"})
    form = {"benchmark": benchmark.slug, "method": "Mine", "file": SimpleUploadedFile("p.json", predictions())}
    if again:
        blobs.store([predictions()], limit=1 << 20)
    calls.clear()
    response = client.post("/api/v1/submissions", form)
    calls.append(("response", None))
    assert response.status_code == 202
    file = blobs.path(response.json()["sha256"])
    synced = [place for name, place in calls if name == "fsync"]
    # the uploaded bytes; a file that exists already was fsynced before it got its name
    sent = calls.index(("fsync", synced[0] if again else inode(file)))
    folder = calls.index(("fsync", inode(file.parent)))
    root = calls.index(("fsync", inode(file.parent.parent)), folder)
    row = calls.index(("row", None))
    committed = calls.index(("commit", None), row)
    if not again:
        assert sent < calls.index(("link", file)) < folder
    assert sent < folder < root < row < committed < calls.index(("response", None))


def test_folders_of_a_sites_first_upload_survive(calls: list[tuple[str, Any]], tmp_path: Path) -> None:
    file = blobs.path(blobs.store([b"[]"], limit=10).sha256)
    synced = [place for name, place in calls if name == "fsync"]
    assert {inode(folder) for folder in (file.parent, file.parent.parent, tmp_path)} <= set(synced)


def test_annotations_are_on_the_disk_before_they_are_in_force(
    calls: list[tuple[str, Any]], benchmark: Benchmark, settings: Any
) -> None:
    import json

    from tests.leaderboard.conftest import annotations_json

    calls.clear()
    releases.put_into_force(benchmark, json.dumps(annotations_json(images=3)).encode())
    truth = annotation_store.truth_path(benchmark, benchmark.truth_sha256)
    image_list = blobs.path(benchmark.image_list_sha256)
    last_commit = len(calls) - 1 - calls[::-1].index(("commit", None))
    for file in (truth, image_list):
        assert calls.index(("fsync", inode(file))) < calls.index(("link", file))
        assert calls.index(("link", file)) < calls.index(("fsync", inode(file.parent))) < last_commit


def test_dropped_file_is_on_the_disk_before_its_import_is_queued(
    calls: list[tuple[str, Any]], benchmark: Benchmark, alice: User, settings: Any
) -> None:
    from leaderboard.operations import annotation_imports

    calls.clear()
    job = annotation_imports.request(
        benchmark=benchmark, uploaded_file=SimpleUploadedFile("truth.json", b"{}"), by=alice
    )
    dropped = annotation_imports.dropped(job)
    order = [("fsync", inode(dropped)), ("fsync", inode(dropped.parent)), ("commit", None)]
    places = [calls.index(each) for each in order]
    assert places == sorted(places)


@pytest.mark.sqlite  # PostgreSQL's settings are checked below
def test_sqlite_waits_for_the_disk_at_each_commit() -> None:
    with connection.cursor() as cursor:
        assert cursor.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
        assert cursor.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert sqlite3.threadsafety > 0


def test_a_postgresql_that_does_not_wait_for_the_disk_is_warned_about() -> None:
    """The tests' own server does not: nothing in it has to survive."""
    found = {warning.msg.split(" = ")[0].split()[-1] for warning in run_checks(databases=["default"])
             if warning.id == "poseboard.W003"}  # fmt: skip
    expected = set()
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            for name in ("fsync", "synchronous_commit"):
                cursor.execute(f"SHOW {name}")
                expected |= {name} if cursor.fetchone() == ("off",) else set()
    assert found == expected
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET synchronous_commit = on")
        assert not [each for each in run_checks(databases=["default"]) if "synchronous_commit" in each.msg]
