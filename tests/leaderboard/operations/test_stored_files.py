"""Files that someone may be reading: stored once, replaced only when damaged, deleted when nobody needs them."""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.db import OperationalError
from PIL import Image

from leaderboard import tasks, worker_process
from leaderboard.files import blobs, writing
from leaderboard.models import AnnotationImport, Benchmark, Evaluation, State, Submission, User
from leaderboard.operations import annotation_imports, annotation_store, releases, storage
from leaderboard.operations.refusals import Refused
from leaderboard.sandbox.scorer import Limits, Scorer
from tests.leaderboard.conftest import annotations_json, predictions
from tests.leaderboard.sandbox import hostile

LIMIT = 1 << 20


def store(content: bytes = b"[]") -> blobs.Blob:
    return blobs.store([content], limit=LIMIT)


def stored() -> list[Path]:
    """Whatever is in the uploads folder."""
    return [file for file in Path(os.fspath(blobs.path("0" * 64))).parent.parent.rglob("*") if file.is_file()]


def grow_old(file: Path, seconds: float) -> None:
    moment = time.time() - seconds
    os.utime(file, (moment, moment))


# --- stored once -----------------------------------------------------------------------------------------------------


def test_storing_the_same_bytes_again_leaves_the_file_alone() -> None:
    first = store()
    before = blobs.path(first.sha256).stat()
    again = store()
    after = blobs.path(first.sha256).stat()
    assert again == first
    assert (after.st_ino, after.st_nlink) == (before.st_ino, 1)
    assert after.st_mtime_ns > before.st_mtime_ns  # the collector counts its age anew
    assert stored() == [blobs.path(first.sha256)]


@pytest.mark.parametrize("without", ["link", "link and lock"])
def test_storing_the_same_bytes_again_without_hard_links(without: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Imitates exFAT and some network file systems, which cannot be mounted wherever tests run."""

    def unsupported(*_: object, **__: object) -> None:
        raise OSError(errno.ENOTSUP if "lock" in without else errno.EPERM, "not supported")

    monkeypatch.setattr(os, "link", unsupported)
    if "lock" in without:
        monkeypatch.setattr("fcntl.flock", unsupported)
    first = store()
    before = blobs.path(first.sha256).stat()
    assert store() == first
    assert blobs.path(first.sha256).stat().st_ino == before.st_ino
    assert stored() == [blobs.path(first.sha256)]


@contextmanager
def stored_again_and_again(content: bytes) -> Iterator[None]:
    """Another client keeps sending the same bytes."""
    done = threading.Event()

    def send() -> None:
        while not done.wait(0.005):
            store(content)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield
    finally:
        done.set()
        sender.join()


def test_scoring_reads_its_file_after_the_same_bytes_were_stored_again(tmp_path: Path) -> None:
    """The sandbox has the file open that existed when scoring started."""
    truth = tmp_path / "truth.json"
    truth.write_text("{}")
    file = blobs.path(store(b"[1]").sha256)
    target = f"hostile:{hostile.read_when_stored_again.__name__}"
    limits = Limits(memory_bytes=256 << 20, cpu_seconds=20, wall_seconds=30)
    here = [Path(hostile.__file__).parent]
    with Scorer(limits, evaluate_target=target, search_path=here) as scorer, stored_again_and_again(b"[1]"):
        report = scorer.run(dataset="lsp", predictions=file, truth=truth)
    assert json.loads(report["protocol"]) == {"predictions": "[1]", "again": True}


@pytest.mark.django_db
def test_submissions_are_scored_while_the_same_bytes_are_stored_again(
    send: Callable[..., Submission], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_process, "_scorer", None)
    try:
        for miss in range(4):
            submission = send(miss=miss)
            with stored_again_and_again(predictions(miss=miss)):
                assert tasks.score() == f"{submission} scored"
            assert submission.evaluation.attempts == 1
    finally:
        if worker_process._scorer is not None:
            worker_process._scorer.close()


@pytest.mark.parametrize("damage", ["truncated", "other bytes", "a symbolic link", "empty"])
def test_a_damaged_file_is_detected_and_replaced(damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = blobs.path(store(b"[1, 2, 3]").sha256)
    if damage == "a symbolic link":
        (tmp_path / "elsewhere").write_bytes(b"[1, 2, 3]")
        file.unlink()
        file.symlink_to(tmp_path / "elsewhere")
    else:
        file.write_bytes({"truncated": b"[1, 2", "other bytes": b"[9, 9, 9]", "empty": b""}[damage])
    assert not blobs.is_intact(file.name) or file.is_symlink()
    store(b"[1, 2, 3]")
    assert file.read_bytes() == b"[1, 2, 3]" and not file.is_symlink()
    assert "was damaged" in caplog.text
    assert stored() == [file]


def test_too_large_a_stream_leaves_nothing() -> None:
    with pytest.raises(blobs.TooLarge):
        blobs.store([b"x" * 60, b"y" * 60], limit=100)
    assert stored() == []


# --- deleted when a request is refused -------------------------------------------------------------------------------


def refuse(content: bytes, meanwhile: Callable[[Path], object] = lambda file: None) -> Path:
    """A request that stores a file and is then refused; returns the file's path."""
    file = None
    try:
        with storage.stored([content], limit=LIMIT) as blob:
            file = blobs.path(blob.sha256)
            assert file.exists()
            meanwhile(file)
            raise LookupError
    except LookupError:
        assert file is not None
        return file


@pytest.mark.django_db
def test_blob_of_a_rejected_request_is_deleted_at_once() -> None:
    refuse(b"[]")
    assert stored() == []


@pytest.mark.django_db
def test_blob_that_another_request_found_in_the_meantime_stays() -> None:
    """The other request has no row yet, but was told that the file is stored."""
    assert refuse(b"[]", meanwhile=lambda file: store(b"[]")).exists()


@pytest.mark.django_db
def test_blob_that_was_there_before_a_rejected_request_stays() -> None:
    store(b"[]")
    assert refuse(b"[]").exists()


@pytest.mark.django_db
def test_blob_that_a_row_refers_to_stays(send: Callable[..., Submission]) -> None:
    blobs.path(send().sha256).unlink()  # lost
    assert refuse(predictions()).exists()


@pytest.mark.django_db
def test_what_cannot_be_decided_now_is_left_to_the_collection(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def away(*_: object) -> bool:
        raise OperationalError("the database is away")

    blob = store()
    monkeypatch.setattr(storage, "_is_named", away)
    assert storage.discard(blob) is False
    assert blobs.path(blob.sha256).exists()

    def closed(_: Path) -> bool:
        raise PermissionError

    (tmp_path / "partial-1").write_bytes(b"x")
    assert storage._is_older(tmp_path / "partial-1", time.time() + 60)
    monkeypatch.setattr(Path, "is_file", closed)
    assert not storage._is_older(tmp_path / "partial-1", time.time() + 60)


def test_an_accepted_request_finds_its_file_however_many_others_are_rejected() -> None:
    """In each round seven requests with the same bytes are refused and one is accepted, in any order."""
    for number in range(20):
        content, together = b"[%d]" % number, threading.Barrier(8)

        def request(refused: bool, content: bytes = content, together: threading.Barrier = together) -> None:
            together.wait()
            blob = store(content)
            if refused:
                blobs.discard(blob)

        threads = [threading.Thread(target=request, args=(each > 0,)) for each in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        digest, _ = blobs.digest([content], limit=LIMIT)
        assert blobs.is_intact(digest), f"round {number}"


# --- collected -------------------------------------------------------------------------------------------------------


@pytest.fixture
def roomy(settings: Any) -> None:
    settings.FREE_DISK, settings.SITE_STORAGE = 0, 0


@pytest.fixture
def short(settings: Any) -> None:
    """Less free space than the settings ask for."""
    settings.FREE_DISK, settings.SITE_STORAGE = 1 << 60, 0


@pytest.mark.django_db
@pytest.mark.usefixtures("roomy")
def test_orphans_are_collected_after_a_day(send: Callable[..., Submission]) -> None:
    named, orphan, young = (blobs.path(digest) for digest in (send().sha256, store(b"1").sha256, store(b"2").sha256))
    partial = blobs.path("0" * 64).parent.parent / "partial" / "unfinished"
    partial.write_bytes(b"x")
    for file in (named, orphan, partial):
        grow_old(file, 25 * 3600)
    grow_old(young, 23 * 3600)
    assert tasks.collect() == "2 files deleted"
    assert named.exists() and young.exists()
    assert not orphan.exists() and not partial.exists()
    assert tasks.collect(when_short=True) == "there is enough space"


@pytest.mark.django_db
@pytest.mark.usefixtures("short")
def test_orphans_of_an_hour_are_collected_when_space_runs_out(send: Callable[..., Submission]) -> None:
    named, orphan, young = (blobs.path(digest) for digest in (send().sha256, store(b"1").sha256, store(b"2").sha256))
    for file in (named, orphan):
        grow_old(file, 3700)
    grow_old(young, 3500)
    assert tasks.collect(when_short=True) == "1 files deleted"
    assert named.exists() and young.exists() and not orphan.exists()


@pytest.mark.django_db
def test_space_is_short_when_the_site_limit_is_nearly_reached(send: Callable[..., Submission], settings: Any) -> None:
    settings.FREE_DISK, settings.SITE_STORAGE = 0, 0
    size = send().size
    assert not storage.is_short()
    settings.SITE_STORAGE = size + 10
    assert storage.is_short()


def test_the_limit_is_named_in_mebibytes(settings: Any, alice: User) -> None:
    settings.PERSON_STORAGE = 1536 << 20
    with pytest.raises(Refused, match="may use 1,536 MiB in total"):
        storage.check_limits(user=alice, sha256="0" * 64, size=2 << 30)


def test_limits_are_checked_before_a_file_without_making_others_wait(
    send: Callable[..., Submission], settings: Any, monkeypatch: pytest.MonkeyPatch, alice: User
) -> None:
    """Only the transaction that accepts the file counts a person's uploads one after another."""
    settings.PERSON_STORAGE = 1 << 20
    locked: list[str] = []
    monkeypatch.setattr(storage, "lock", lambda rows: locked.append(str(rows.get())))
    storage.check_limits(user=alice, sha256="0" * 64, size=1)
    assert locked == []
    send()
    assert locked == [str(alice)]


@pytest.mark.usefixtures("db", "roomy")
def test_an_orphan_that_is_stored_again_during_collection_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """The collector found it old and unreferenced; then a request reuses it and has not written its row yet."""
    file = blobs.path(store().sha256)
    grow_old(file, 48 * 3600)

    def known() -> set[str]:
        store()
        return set()

    assert blobs.collect_orphans(known) == 0
    assert file.exists()
    grow_old(file, 48 * 3600)
    assert blobs.collect_orphans(set()) == 1


def test_nothing_else_in_the_folder_is_collected() -> None:
    root = blobs.path(store().sha256).parent.parent
    others = [root / "lost+found" / "#1", root / "README", root / "ab" / "notes.txt"]
    for file in others:
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"x")
        grow_old(file, 48 * 3600)
    assert blobs.collect_orphans(set()) == 0
    assert all(file.exists() for file in others)


@pytest.mark.django_db
@pytest.mark.usefixtures("roomy")
def test_leftovers_in_the_other_folders_are_collected(
    benchmark: Benchmark, alice: User, settings: Any, tmp_path: Path
) -> None:
    settings.CHECKPOINTS_DIR = tmp_path / "checkpoints"
    settings.RUNS_DIR = tmp_path / "runs"
    waiting = AnnotationImport.objects.create(benchmark=benchmark, uploaded_by=alice, drop_name=f"{'a' * 32}.json")
    left = [
        Path(settings.DROP_DIR) / f"{'b' * 32}.json",
        annotation_store.folder(benchmark) / f"{writing.PARTIAL}1",
        annotation_store.images_folder(benchmark) / "deep" / f"{writing.PARTIAL}2",
        settings.CHECKPOINTS_DIR / "partial-3.pth",
    ]
    wanted = [annotation_imports.dropped(waiting), annotation_store.truth_path(benchmark, benchmark.truth_sha256)]
    for file in (*left, wanted[0]):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
    for file in (*left, *wanted):
        grow_old(file, 48 * 3600)
    run = settings.RUNS_DIR / "77"
    run.mkdir(parents=True)
    assert tasks.collect() == f"{len(left)} files deleted"
    assert not any(file.exists() for file in left) and all(file.exists() for file in wanted)
    tasks.collect_runs()
    assert not run.exists()


# --- other files that someone may have open --------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_same_annotations_and_images_again_leave_the_files_alone(benchmark: Benchmark, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for image in annotations_json()["images"]:
        Image.fromarray(np.zeros((180, 120, 3), np.uint8)).save(source / image["file_name"])
    version = benchmark.version
    releases.put_images(benchmark, source)
    assert (benchmark.has_images, benchmark.version) == (True, version + 1)
    files = [
        annotation_store.truth_path(benchmark, benchmark.truth_sha256),
        blobs.path(benchmark.image_list_sha256),
        *annotation_store.images_folder(benchmark).iterdir(),
    ]
    before = [file.stat().st_ino for file in files]
    releases.put_into_force(benchmark, json.dumps(annotations_json()).encode())
    releases.put_images(benchmark, source)
    assert [file.stat().st_ino for file in files] == before
    assert files[0].stat().st_mode & 0o777 == 0o600
    # another image under that name: a reader that has the old one open can read it to its end
    first = annotation_store.images_folder(benchmark) / "im1001.jpg"
    with first.open("rb") as held:
        (source / first.name).write_bytes(b"other")
        releases.put_images(benchmark, source)
        assert first.read_bytes() == b"other"
        assert held.read(2) == b"\xff\xd8"
    assert not list(annotation_store.folder(benchmark).rglob(f"{writing.PARTIAL}*"))


@pytest.mark.django_db
def test_a_failed_write_leaves_no_partial_file_and_no_change(benchmark: Benchmark, monkeypatch: Any) -> None:
    target = annotation_store.folder(benchmark) / "surface.npz"
    with writing.written(target) as out:
        out.write(b"old")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError), writing.written(target) as out:
        out.write(b"new")
    assert target.read_bytes() == b"old"
    assert not list(target.parent.glob(f"{writing.PARTIAL}*"))


@pytest.mark.django_db
def test_an_annotation_file_whose_import_cannot_be_queued_is_deleted(
    benchmark: Benchmark, alice: User, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class File:
        name = "truth.json"

        def chunks(self) -> Iterator[bytes]:
            yield b"{}"

    def broken(**_: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(AnnotationImport.objects, "create", broken)
        with pytest.raises(RuntimeError):
            annotation_imports.request(benchmark=benchmark, uploaded_file=File(), by=alice)
    assert not list(Path(settings.DROP_DIR).iterdir())
    job = annotation_imports.request(benchmark=benchmark, uploaded_file=File(), by=alice)
    assert [file.name for file in Path(settings.DROP_DIR).iterdir()] == [job.drop_name]
    assert job.state == State.QUEUED
    assert not Evaluation.objects.exists()
