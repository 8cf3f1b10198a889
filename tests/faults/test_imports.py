"""Annotation imports with lost workers, races and imports from the shell: the latest one wins, under its own fence."""

from __future__ import annotations

import hashlib
import importlib
import io
import json
import os
import pkgutil
import threading
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import IntegrityError, OperationalError, connection, connections, transaction
from django.db.models import F

from leaderboard import migrations, tasks
from leaderboard.models import AnnotationImport, Benchmark, Release, State, User
from leaderboard.operations import annotation_imports, releases
from leaderboard.operations.refusals import Refused
from leaderboard.queue.leases import Claim, claim_next
from tests.faults.test_races import at_once
from tests.leaderboard.conftest import annotations_json

pytestmark = pytest.mark.django_db(transaction=True)


def content(images: int) -> bytes:
    return json.dumps(annotations_json(images=images)).encode()


def digest(images: int) -> str:
    return hashlib.sha256(content(images)).hexdigest()


def drop(benchmark: Benchmark, by: User, data: bytes, name: str = "t.json") -> AnnotationImport:
    return annotation_imports.request(
        benchmark=benchmark, uploaded_file=SimpleNamespace(name=name, chunks=lambda: [data]), by=by
    )


def files(settings: Any) -> list[str]:
    return sorted(file.name for file in Path(settings.DROP_DIR).glob("*"))


def during_the_first_check(monkeypatch: pytest.MonkeyPatch, act: Any) -> None:
    """Call `act` after the first file was checked and before its worker writes."""
    real, first = releases.check, iter([True])

    def check(*args: Any, **options: Any) -> Any:
        checked = real(*args, **options)
        if next(first, False):
            act()
        return checked

    monkeypatch.setattr(releases, "check", check)


def test_a_fenced_out_worker_does_not_overwrite_a_later_file(
    benchmark: Benchmark, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = drop(benchmark, alice, content(3))

    def others() -> None:
        # its lease expires; another worker finishes the import, and the organiser's next file comes into force
        AnnotationImport.objects.filter(pk=first.pk).update(lease_expires_at="2026-01-01T00:00Z")
        assert tasks.check_annotations().endswith("in force")
        drop(benchmark, alice, content(4))
        assert tasks.check_annotations().endswith("in force")

    during_the_first_check(monkeypatch, others)
    assert tasks.check_annotations().endswith("fenced out")
    benchmark.refresh_from_db()
    assert benchmark.truth_sha256 == digest(4) and benchmark.image_count == 4
    assert list(benchmark.releases.values_list("image_count", flat=True)) == [8, 3, 4]


def test_a_fenced_out_worker_writes_nothing_at_all(
    benchmark: Benchmark, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = drop(benchmark, alice, content(3))
    before = Benchmark.objects.values().get()
    during_the_first_check(monkeypatch, lambda: AnnotationImport.objects.filter(pk=job.pk).update(fence=F("fence") + 1))
    tasks.check_annotations()
    assert Benchmark.objects.values().get() == before and Release.objects.count() == 1


def test_of_simultaneous_imports_one_is_accepted_and_the_others_leave_no_file(
    benchmark: Benchmark, alice: User, settings: Any
) -> None:
    all_have_looked = threading.Barrier(6)

    def upload(number: int) -> Any:
        def chunks() -> list[bytes]:
            all_have_looked.wait()
            return [content(3)]

        return annotation_imports.request(
            benchmark=benchmark, uploaded_file=SimpleNamespace(name="t.json", chunks=chunks), by=alice
        )

    results = at_once(6, upload)
    assert Counter(type(each).__name__ for each in results) == {"AnnotationImport": 1, "Refused": 5}
    assert {each.code for each in results if isinstance(each, Refused)} == {"import_running"}
    assert files(settings) == [AnnotationImport.objects.get().drop_name]


def test_the_database_holds_one_open_import_per_benchmark(benchmark: Benchmark) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        AnnotationImport.objects.bulk_create(AnnotationImport(benchmark=benchmark, drop_name=name) for name in "ab")
    AnnotationImport.objects.bulk_create(
        AnnotationImport(benchmark=benchmark, drop_name=name, state=state)
        for name, state in (("a", State.QUEUED), ("b", State.DONE), ("c", State.DONE), ("d", State.REJECTED))
    )


def test_a_long_check_keeps_its_lease(
    benchmark: Benchmark, alice: User, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.HEARTBEAT_SECONDS = 0.05
    job = drop(benchmark, alice, content(3))
    go_on, outcomes = threading.Event(), []
    during_the_first_check(monkeypatch, lambda: go_on.wait(60))

    def work() -> None:
        outcomes.append(tasks.check_annotations())
        connections.close_all()

    worker = threading.Thread(target=work)
    worker.start()
    leases: set[Any] = set()
    deadline = time.monotonic() + 60
    while len(leases) < 4 and time.monotonic() < deadline:
        job.refresh_from_db()
        leases |= {job.lease_expires_at} - {None}
        time.sleep(0.02)
    assert claim_next(AnnotationImport) is None
    go_on.set()
    worker.join()
    job.refresh_from_db()
    assert len(leases) >= 4, "the lease was not renewed"
    assert (job.state, job.attempts, job.fence) == (State.DONE, 1, 1) and outcomes == [f"{job}: in force"]


def test_a_short_database_outage_does_not_end_the_heartbeat(
    benchmark: Benchmark, alice: User, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.HEARTBEAT_SECONDS = 0.02
    drop(benchmark, alice, content(3))
    renewed, real, away = threading.Event(), Claim.renew, iter([True, True])

    def renew(self: Claim[Any]) -> bool:
        if next(away, False):
            raise OperationalError("the database is locked")
        renewed.set()
        return real(self)

    monkeypatch.setattr(Claim, "renew", renew)
    during_the_first_check(monkeypatch, lambda: renewed.wait(60))
    assert tasks.check_annotations().endswith("in force") and renewed.is_set()


def import_from_the_shell(tmp_path: Path, images: int) -> str:
    file, output = tmp_path / "shell.json", io.StringIO()
    file.write_bytes(content(images))
    call_command("import_benchmark", "lsp", str(file), "--split", "test-pc", stdout=output)
    return output.getvalue()


def test_an_import_from_the_shell_cancels_the_waiting_one(
    benchmark: Benchmark, alice: User, settings: Any, tmp_path: Path
) -> None:
    waiting = drop(benchmark, alice, content(3), "waiting.json")
    assert "waiting.json, waiting to be checked for lsp-test-pc, was cancelled" in import_from_the_shell(tmp_path, 5)
    assert tasks.check_annotations() == "nothing to do"
    waiting.refresh_from_db()
    assert waiting.state == State.CANCELLED and "the operator imported other annotations" in waiting.error_message
    assert Benchmark.objects.get().truth_sha256 == digest(5) and not files(settings)
    # the next upload is later than both
    drop(benchmark, alice, content(4))
    tasks.check_annotations()
    assert Benchmark.objects.get().truth_sha256 == digest(4)


def test_an_import_from_the_shell_fences_out_the_worker_that_checks_another(
    benchmark: Benchmark, alice: User, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(benchmark, alice, content(3))
    during_the_first_check(monkeypatch, lambda: import_from_the_shell(tmp_path, 5))
    assert tasks.check_annotations().endswith("fenced out")
    assert Benchmark.objects.get().truth_sha256 == digest(5) and not files(settings)


def test_no_file_stays_in_the_drop_folder_after_its_import_has_ended(
    benchmark: Benchmark, alice: User, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(benchmark, alice, content(3))
    tasks.check_annotations()
    drop(benchmark, alice, b"{}")
    tasks.check_annotations()
    monkeypatch.setattr(releases, "read_truth", lambda *_: 1 / 0)
    drop(benchmark, alice, content(3))
    for _ in range(3):
        assert len(files(settings)) == 1
        tasks.check_annotations()
    # the sweep ends an import whose last worker was lost
    lost = drop(benchmark, alice, content(3))
    AnnotationImport.objects.filter(pk=lost.pk).update(
        state=State.RUNNING, attempts=3, lease_expires_at="2026-01-01T00:00Z"
    )
    tasks.sweep()
    states = list(AnnotationImport.objects.order_by("pk").values_list("state", flat=True))
    assert states == [State.DONE, State.REJECTED, State.ERRORED, State.ERRORED]
    assert not files(settings)


def test_a_rejected_import_leaves_no_file(benchmark: Benchmark, alice: User, settings: Any) -> None:
    job = drop(benchmark, alice, content(3))
    with pytest.raises(Refused, match="Another annotation file for lsp-test-pc is being checked"):
        drop(benchmark, alice, content(4))

    def broken() -> Any:
        yield b"{"
        raise OSError("the connection was closed")

    job.benchmark.imports.update(state=State.CANCELLED)
    with pytest.raises(OSError, match="closed"):
        annotation_imports.request(
            benchmark=benchmark, uploaded_file=SimpleNamespace(name="t.json", chunks=broken), by=alice
        )
    assert files(settings) == [job.drop_name]


def test_of_a_long_file_name_the_end_is_stored(benchmark: Benchmark, alice: User) -> None:
    uploaded = SimpleNamespace(name="a" * 300 + ".json", chunks=lambda: [b"{}"])
    job = annotation_imports.request(benchmark=benchmark, uploaded_file=uploaded, by=alice)
    job.refresh_from_db()
    assert job.file_name == "a" * 250 + ".json"


def test_orphans_in_the_drop_folder_are_collected_after_an_hour(
    benchmark: Benchmark, alice: User, settings: Any
) -> None:
    waiting = drop(benchmark, alice, content(3)).drop_name
    ended = "e" * 32 + ".json"
    AnnotationImport.objects.create(benchmark=benchmark, drop_name=ended, state=State.DONE)
    young, others = "a" * 32 + ".json", "operators-notes.json"
    for name in ("b" * 32 + ".json", ended, young, others):
        (Path(settings.DROP_DIR) / name).write_bytes(b"{}")
    for name in files(settings):
        age = 3500 if name == young else 3700
        os.utime(Path(settings.DROP_DIR) / name, (time.time() - age,) * 2)
    tasks.collect()
    assert files(settings) == sorted([waiting, young, others])


def test_an_orphan_that_another_worker_deletes_meanwhile_is_no_fault(
    settings: Any, monkeypatch: pytest.MonkeyPatch, benchmark: Benchmark
) -> None:
    folder, delete = Path(settings.DROP_DIR), Path.unlink
    for name in ("b" * 32 + ".json", "c" * 32 + ".json"):
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"{}")
        os.utime(folder / name, (time.time() - 3700,) * 2)

    def deleted_twice(file: Path, **options: bool) -> None:
        delete(file)
        delete(file, **options)

    monkeypatch.setattr(Path, "unlink", deleted_twice)
    assert annotation_imports.collect_orphans() == 2
    assert files(settings) == []


def migration() -> Any:
    (name,) = [each.name for each in pkgutil.iter_modules(migrations.__path__) if each.name.endswith("_annotations")]
    return importlib.import_module(f"leaderboard.migrations.{name}")


def test_a_database_with_two_open_imports_can_be_migrated(benchmark: Benchmark) -> None:
    (one_open,) = [each for each in AnnotationImport._meta.constraints if each.name == "one_open_import_per_benchmark"]
    Release.objects.all().delete()
    with connection.schema_editor() as editor:
        editor.remove_constraint(AnnotationImport, one_open)
    AnnotationImport.objects.bulk_create(
        [
            AnnotationImport(
                benchmark=benchmark, drop_name="a", state=State.RUNNING, lease_expires_at="2026-05-01T00:00Z"
            ),
            AnnotationImport(benchmark=benchmark, drop_name="b"),
            AnnotationImport(benchmark=benchmark, drop_name="c", state=State.DONE),
        ]
    )
    migration().close_all_but_the_last_open_import(apps, None)
    with connection.schema_editor() as editor:
        editor.add_constraint(AnnotationImport, one_open)
    migration().note_what_is_in_force(apps, None)
    states = dict(AnnotationImport.objects.values_list("drop_name", "state"))
    assert states == {"a": State.CANCELLED, "b": State.QUEUED, "c": State.DONE}
    release = Release.objects.get()
    assert (release.truth_sha256, release.person_count) == (benchmark.truth_sha256, 8)
