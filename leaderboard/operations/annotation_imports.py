"""An organiser's annotation file: the web process drops it, a worker checks it and puts it into force.

A benchmark has one open import at most, by a constraint of the database. An import from the shell does not wait: it
closes the open one, so that of two imports the later one wins in any order of events.
"""

from __future__ import annotations

import os
import re
import time
import uuid
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from leaderboard.files import writing
from leaderboard.files.folders import is_shared
from leaderboard.models import AnnotationImport, Benchmark, State, User
from leaderboard.models.jobs import OPEN_STATES
from leaderboard.models.transactions import lock
from leaderboard.operations import storage
from leaderboard.operations.refusals import Refused
from leaderboard.queue.leases import Claim
from leaderboard.queue.wake import wake

DROP_NAME = re.compile(r"[0-9a-f]{32}\.json")
YOUNG_SECONDS = 3600.0
"""A file of the drop that no row names may still be written to, up to this age."""


class UploadedFile(Protocol):
    name: str | None

    def chunks(self) -> Iterable[bytes]: ...


def request(*, benchmark: Benchmark, uploaded_file: UploadedFile, by: User) -> AnnotationImport:
    """Leave the file in the drop for a worker, and queue its check. Refused while another one is being checked."""
    if benchmark.imports.filter(state__in=OPEN_STATES).exists():
        raise _another(benchmark)
    folder = Path(settings.DROP_DIR)
    storage.check_disk(0, folder=folder)
    name = f"{uuid.uuid4().hex}.json"
    try:
        writing.make_folder(folder)
        # No read permission for the process that writes it: the worker, which owns the folder, gives itself one. Where
        # it is another user, it has the group's: it cannot change the mode of a file that it does not own.
        mode = 0o240 if is_shared(folder) else 0o220
        handle = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(handle, "wb") as out:
            for chunk in uploaded_file.chunks():
                out.write(chunk)
            out.flush()
            writing.sync(out.fileno())
        with suppress(PermissionError):  # of a folder that is another user's, whose names this process cannot list
            writing.sync_folder(folder)
        with transaction.atomic():
            job = AnnotationImport.objects.create(
                benchmark=benchmark, uploaded_by=by, drop_name=name, file_name=(uploaded_file.name or "")[-255:]
            )
            transaction.on_commit(lambda: wake("annotations"))
    except BaseException as error:
        (folder / name).unlink(missing_ok=True)
        if isinstance(error, IntegrityError) and benchmark.imports.filter(state__in=OPEN_STATES).exists():
            # both found none open, and the other one was faster
            raise _another(benchmark) from None
        if storage.is_full(error):
            raise storage.full() from error
        raise
    return job


def _another(benchmark: Benchmark) -> Refused:
    return Refused(
        "import_running",
        f"Another annotation file for {benchmark} is being checked. Wait for its result, then upload this one.",
    )


def dropped(job: AnnotationImport) -> Path:
    return Path(settings.DROP_DIR) / job.drop_name


def forget(job: AnnotationImport) -> None:
    """Delete the file of an import that has ended for good. A file that is missed here is collected later."""
    dropped(job).unlink(missing_ok=True)


def finish(claim: Claim[AnnotationImport], *, summary: dict[str, Any], truth_sha256: str) -> bool:
    """The file comes into force in the caller's transaction. False: the claim was lost, and it must not."""
    return claim.move(State.DONE, summary=summary, truth_sha256=truth_sha256, error_code="", error_message="")


def reject(claim: Claim[AnnotationImport], message: str) -> bool:
    """Reject the file; the organiser reads why."""
    rejected = claim.move(State.REJECTED, error_code="annotations", error_message=message)
    if rejected:
        forget(claim.job)
    return rejected


def fail(claim: Claim[AnnotationImport], reference: str) -> bool:
    """A failure on our side: try again, three times at most."""
    if claim.job.attempts < settings.MAX_ATTEMPTS:
        return claim.move(State.QUEUED)
    message = f"The check failed on our side. Upload the file again, or quote {reference} to the operator."
    errored = claim.move(State.ERRORED, error_code="platform", error_message=message)
    if errored:
        forget(claim.job)
    return errored


def supersede(benchmark: Benchmark) -> list[AnnotationImport]:
    """Close the import that is open, because a later one comes into force in the caller's transaction.

    Its organiser reads so, and a worker that is checking its file finds its claim lost. Returns what was closed.
    """
    lock(Benchmark.objects.filter(pk=benchmark.pk))
    closed = lock(benchmark.imports.filter(state__in=OPEN_STATES))
    for job in closed:
        AnnotationImport.objects.filter(pk=job.pk).update(
            state=State.CANCELLED,
            lease_expires_at=None,
            finished_at=Now(),
            error_code="superseded",
            error_message="Cancelled: the operator imported other annotations before this file was checked.",
        )
    return closed


def collect_orphans(*, older_than_seconds: float = YOUNG_SECONDS) -> int:
    """Delete files of the drop that no open import names and that are not being written. Returns how many."""
    # listed before the rows are read: a file whose row comes in between is young
    found = [file for file in Path(settings.DROP_DIR).glob("*.json") if DROP_NAME.fullmatch(file.name)]
    named = set(AnnotationImport.objects.filter(state__in=OPEN_STATES).values_list("drop_name", flat=True))
    horizon, gone = time.time() - older_than_seconds, 0
    for file in found:
        if file.name not in named and file.exists() and file.stat().st_mtime < horizon:
            file.unlink(missing_ok=True)
            gone += 1
    return gone
