"""Rejected uploads leave no file; how much a user may store; what happens when there is no space."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from leaderboard.files import blobs
from leaderboard.models import BaselineRun, Benchmark, Method, Submission, Team, User
from leaderboard.operations import annotation_store, quotas
from tests.leaderboard.api.conftest import API, with_token
from tests.leaderboard.conftest import predictions

Sender = Callable[..., Any]


@pytest.fixture(autouse=True)
def spool(settings: Any, tmp_path: Path) -> Path:
    """Where Django spools uploads; nothing may be left there after a test."""
    folder = tmp_path / "spool"
    folder.mkdir()
    settings.FILE_UPLOAD_TEMP_DIR = folder
    return folder


def stored() -> list[str]:
    """The names of all files in the uploads folder besides the image list of the benchmark."""
    root = blobs.path("0" * 64).parent.parent
    lists = set(Benchmark.objects.values_list("image_list_sha256", flat=True))
    return sorted(file.name for file in root.rglob("*") if file.is_file() and file.name not in lists)


def send_page(client: Client, team: Team, content: bytes | None = None, method: str = "Mine") -> Any:
    file = SimpleUploadedFile("mine.json", predictions() if content is None else content)
    return client.post(
        "/lsp-test-pc/submit/", {"file": file, "team": team.pk, "method": method, "visibility": "private"}
    )


@pytest.fixture
def browser(alice: User) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(alice)
    return client


def close(benchmark: Benchmark) -> None:
    Benchmark.objects.update(closes_at=timezone.now() - timedelta(days=1))


def not_open_yet(benchmark: Benchmark) -> None:
    Benchmark.objects.update(opens_at=timezone.now() + timedelta(days=1))


def without_annotations(benchmark: Benchmark) -> None:
    Benchmark.objects.update(truth_sha256="")


def used_up(benchmark: Benchmark) -> None:
    Benchmark.objects.update(daily_limit=0)


def none_in_total(benchmark: Benchmark) -> None:
    Benchmark.objects.update(total_limit=0)


def none_at_once(benchmark: Benchmark) -> None:
    Benchmark.objects.update(running_limit=0)


def too_many_rejects(benchmark: Benchmark) -> None:
    Benchmark.objects.update(reject_limit=0)


STATES = [
    (close, 409, "closed"),
    (not_open_yet, 409, "not_open"),
    (without_annotations, 409, "no_annotations"),
    (used_up, 429, "quota_day"),
    (none_in_total, 429, "quota_total"),
    (none_at_once, 429, "quota_running"),
    (too_many_rejects, 429, "too_many_rejects"),
]


@pytest.mark.parametrize("when", ["at first", "only while accepting"])
@pytest.mark.parametrize(("state", "status", "code"), STATES, ids=[each[2] for each in STATES])
def test_rejected_upload_leaves_nothing(
    when: str,
    state: Callable[[Benchmark], None],
    status: int,
    code: str,
    as_alice: Client,
    browser: Client,
    team: Team,
    post: Sender,
    benchmark: Benchmark,
    spool: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whether the rules stop it at first, or only in the transaction because another request was faster."""
    state(benchmark)
    stores = 0
    store = blobs.Received.keep

    def counted(self: blobs.Received) -> blobs.Blob:
        nonlocal stores
        stores += 1
        return store(self)

    monkeypatch.setattr(blobs.Received, "keep", counted)
    if when != "at first":
        monkeypatch.setattr("leaderboard.operations.submissions.check", lambda **_: None)
    for number in range(3):
        response = post(as_alice, content=b"[%d]" % number)
        assert (response.status_code, response.json()["code"]) == (status, code)
    assert send_page(browser, team).status_code == status
    assert stored() == []
    assert list(spool.iterdir()) == []
    assert not Method.objects.exists()
    assert stores == (0 if when == "at first" else 4)


def test_invalid_method_is_rejected_before_the_file_is_stored(
    as_alice: Client, post: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blobs, "received", None)
    response = post(as_alice, paper_url="http://example.org")
    assert (response.status_code, response.json()["code"]) == (422, "method_invalid")
    assert not Method.objects.exists()


def test_same_file_again_gives_the_earlier_submission_when_nothing_more_is_accepted(
    as_alice: Client, browser: Client, team: Team, post: Sender, benchmark: Benchmark
) -> None:
    first = post(as_alice, headers={"Idempotency-Key": "one"}).json()
    for state in (used_up, close):
        state(benchmark)
        assert post(as_alice).json()["id"] == first["id"]
        assert post(as_alice, method="Another", headers={"Idempotency-Key": "one"}).json()["code"] == (
            "idempotency_conflict"
        )
        again = send_page(browser, team, method="Pictorial structures")
        assert again["Location"] == f"/submissions/{first['id']}/"
    assert stored() == [first["sha256"]]


def test_same_file_again_puts_a_damaged_one_right(as_alice: Client, post: Sender) -> None:
    sha256 = post(as_alice).json()["sha256"]
    blobs.path(sha256).write_bytes(b"cut")
    assert post(as_alice).status_code == 202
    assert blobs.is_intact(sha256)


def test_strangers_rejected_upload_leaves_what_others_submitted(
    as_alice: Client, as_charlie: Client, post: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256 = post(as_alice).json()["sha256"]
    file = blobs.path(sha256).stat().st_ino
    assert post(as_charlie).status_code == 202
    monkeypatch.setattr("leaderboard.operations.submissions.check", lambda **_: None)
    Benchmark.objects.update(daily_limit=1)
    assert post(as_charlie, method="Another").status_code == 429
    assert blobs.path(sha256).stat().st_ino == file


def test_operators_rejected_import_leaves_nothing(benchmark: Benchmark, tmp_path: Path) -> None:
    file = tmp_path / "released.json"
    file.write_bytes(predictions())
    without_annotations(benchmark)
    with pytest.raises(CommandError, match="no annotations"):
        call_command("import_submission", benchmark.slug, str(file), method="Old", team="Authors")
    with pytest.raises(CommandError, match=r"no file .*nothing\.json"):
        call_command("import_submission", benchmark.slug, str(tmp_path / "nothing.json"), method="Old", team="Authors")
    assert stored() == []


# --- boxes -----------------------------------------------------------------------------------------------------------

BOXES = json.dumps([{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}]).encode()


@pytest.fixture
def board(olu: User) -> Benchmark:
    """A benchmark that takes boxes: COCO's form, one image, and no images to run on unless a test says so."""
    board = Benchmark.objects.create(slug="coco-val", dataset="coco", split="val", title="COCO", has_images=True)
    board.organisers.add(olu)
    image_list = blobs.store([json.dumps({"images": [{"id": 1, "width": 9, "height": 9}]}).encode()], limit=1 << 20)
    Benchmark.objects.filter(pk=board.pk).update(image_list_sha256=image_list.sha256, truth_sha256="0" * 64)
    return board


@pytest.mark.parametrize(
    ("content", "baseline", "code"),
    [(b"[{]", "blazepose", "boxes"), (BOXES, "nothing", "no_such_baseline"), (BOXES, "blazepose", "no_images")],
)
def test_boxes_of_a_refused_run_are_not_stored(
    content: bytes, baseline: str, code: str, board: Benchmark, olu: User, as_olu: Client, spool: Path
) -> None:
    if code == "no_images":
        Benchmark.objects.update(has_images=False)
    form = {"baseline": baseline, "benchmark": board.slug}
    file = SimpleUploadedFile("boxes.json", content)
    response = as_olu.post(f"{API}/baselines/runs/with-boxes", {**form, "file": file})
    assert response.json()["code"] == code
    browser = Client()
    browser.force_login(olu)
    # the page offers only what can run, so it is refused there for its choice or for its boxes
    browser.post(f"/organise/{board.slug}/run", {"all": "1", "boxes": SimpleUploadedFile("boxes.json", content)})
    runs = BaselineRun.objects.exclude(boxes_sha256="").values_list("boxes_sha256", flat=True)
    assert set(stored()) == set(runs)
    assert list(spool.iterdir()) == []


# --- storage limits --------------------------------------------------------------------------------------------------


def test_person_may_keep_so_much_and_no_more(
    as_alice: Client, as_bob: Client, browser: Client, team: Team, post: Sender, settings: Any, benchmark: Benchmark
) -> None:
    settings.PERSON_STORAGE = 2000  # two files of 1,000 bytes fit exactly
    mine = [post(as_alice, content=b"[]" + b" " * 998, method=name) for name in "ab"]
    assert [response.status_code for response in mine] == [202, 202]
    # the same bytes count once, whatever they are submitted for
    assert post(as_alice, content=b"[ ]" + b" " * 997).status_code == 202
    assert post(as_alice, content=b"[]" + b" " * 998, method="c").status_code == 202
    refused = post(as_alice, content=b"[  ]" + b" " * 996)
    assert (refused.status_code, refused.json()["code"]) == (413, "storage_person")
    assert "Retry-After" not in refused
    page = send_page(browser, team, content=b"[  ]" + b" " * 996)
    assert page.status_code == 413 and "Ask the operator for more storage" in page.content.decode()
    assert len(stored()) == 2
    # a team mate has storage of their own
    assert post(as_bob, content=b"[  ]" + b" " * 996).status_code == 202
    settings.PERSON_STORAGE = 0
    assert post(as_alice, content=b"[   ]" + b" " * 995).status_code == 202


def test_site_may_keep_so_much_and_no_more(
    as_alice: Client, as_charlie: Client, post: Sender, settings: Any, team: Team, benchmark: Benchmark
) -> None:
    settings.SITE_STORAGE = 1000
    assert post(as_alice, content=b"[]" + b" " * 998).status_code == 202
    assert post(as_charlie, content=b"[]" + b" " * 998).status_code == 202
    refused = post(as_charlie, content=b"[ ]" + b" " * 997)
    assert (refused.status_code, refused.json()["code"], refused["Retry-After"]) == (507, "storage_full", "600")
    assert quotas.usage(team, benchmark).day_used == 1
    assert len(stored()) == 1


def test_disk_is_never_filled_to_the_brim(
    as_alice: Client, browser: Client, team: Team, post: Sender, settings: Any, olu: User, benchmark: Benchmark
) -> None:
    settings.FREE_DISK = 1 << 60
    refused = post(as_alice)
    assert (refused.status_code, refused.json()["code"], refused["Retry-After"]) == (507, "storage_full", "600")
    page = send_page(browser, team)
    assert (page.status_code, page["Retry-After"]) == (507, "600")
    assert "out of storage space" in page.content.decode()
    browser.force_login(olu)
    said = browser.post(
        f"/organise/{benchmark.slug}/import", {"file": SimpleUploadedFile("truth.json", b"{}")}, follow=True
    )
    assert "out of storage space" in said.content.decode()
    assert stored() == [] and not Path(settings.DROP_DIR).exists()


# --- a full disk -----------------------------------------------------------------------------------------------------


def database_is_full(kind: str) -> OperationalError:
    """As Django raises it. PostgreSQL's own disk cannot be filled here without an account of its own."""
    if kind == "postgresql":
        import psycopg

        cause: Exception = psycopg.errors.DiskFull("could not extend file: No space left on device")
    else:
        import sqlite3

        cause = sqlite3.OperationalError("database or disk is full")
        cause.sqlite_errorcode = sqlite3.SQLITE_FULL  # type: ignore[attr-defined]
    error = OperationalError(str(cause))
    error.__cause__ = cause
    return error


@pytest.mark.parametrize("kind", ["postgresql", "sqlite"])
def test_full_database_is_507_and_leaves_no_file(
    kind: str, as_alice: Client, browser: Client, team: Team, post: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(**_: object) -> None:
        raise database_is_full(kind)

    monkeypatch.setattr("leaderboard.operations.submissions.Evaluation.objects.create", full)
    response = post(as_alice)
    assert (response.status_code, response.json()["code"], response["Retry-After"]) == (507, "storage_full", "600")
    page = send_page(browser, team)
    assert (page.status_code, page["Retry-After"]) == (507, "600")
    assert "The server is out of storage space" in page.content.decode()
    assert stored() == []
    assert not Submission.objects.exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_body_that_cannot_be_spooled_is_507(
    number: int, alice: User, browser: Client, team: Team, post: Sender, monkeypatch: pytest.MonkeyPatch, spool: Path
) -> None:
    """On a real full disk in tests/faults; a share of the disk and a limit of the process cannot be had everywhere."""

    def full(*_: object) -> None:
        raise OSError(number, "no space")

    client = with_token(alice)
    client.raise_request_exception = False
    with monkeypatch.context() as patch:
        patch.setattr("django.core.files.uploadhandler.TemporaryFileUploadHandler.receive_data_chunk", full)
        large = predictions().ljust(300_000)
        response = post(client, content=large)
        page = send_page(browser, team, content=large)
        assert list(spool.iterdir()) == []
    for each in (response, page):
        # the rest was read all the same: a client that is still sending would see a broken pipe, not the response
        assert each.wsgi_request.environ["wsgi.input"].read() == b""
    assert (response.status_code, response.json()["code"], response["Retry-After"]) == (507, "storage_full", "600")
    assert (page.status_code, page["Retry-After"]) == (507, "600")
    assert "The server is out of storage space" in page.content.decode()
    assert post(client).status_code == 202


def test_session_that_cannot_be_saved_is_507(
    browser: Client, alice: User, benchmark: Benchmark, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise database_is_full("sqlite")

    monkeypatch.setattr("django.contrib.sessions.backends.db.SessionStore.save", full)
    browser.logout()
    response = browser.post("/account/login/", {"login": "alice", "password": "a-long-password"})
    assert (response.status_code, response["Retry-After"]) == (507, "600")
    assert "The server is out of storage space" in response.content.decode()


def test_pages_say_503_while_the_database_is_away(browser: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object, **__: object) -> None:
        raise OperationalError("connection to server at 10.1.2.3 failed")

    monkeypatch.setattr("leaderboard.boards.visibility.benchmarks_for", away)
    response = browser.get("/lsp-test-pc/submit/")
    assert (response.status_code, response["Retry-After"]) == (503, "5")
    assert "The database is not responding" in response.content.decode() and "10.1.2.3" not in response.content.decode()


def test_annotations_are_not_in_what_a_full_disk_leaves(
    olu: User, browser: Client, benchmark: Benchmark, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    browser.force_login(olu)
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        said = browser.post(
            f"/organise/{benchmark.slug}/import", {"file": SimpleUploadedFile("truth.json", b"{}")}, follow=True
        )
    assert "out of storage space" in said.content.decode()
    assert not list(Path(settings.DROP_DIR).iterdir())
    assert annotation_store.truth_path(benchmark, benchmark.truth_sha256).exists()
