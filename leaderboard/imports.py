"""An organiser's annotation file: the web process drops it, a worker checks it and puts it into force."""

from __future__ import annotations

import os
import re
import time
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from django.conf import settings
from django.db import transaction

from leaderboard import files, storage
from leaderboard.doorbell import ring
from leaderboard.jobs import Claim
from leaderboard.models import AnnotationImport, Benchmark, State, User
from leaderboard.models.jobs import OPEN_STATES
from leaderboard.refusals import Refused

DROP_NAME = re.compile(r"[0-9a-f]{32}\.json")
YOUNG_SECONDS = 3600.0
"""A file of the drop that no row names may be one that is still being written, up to this age."""


class UploadedFile(Protocol):
    name: str | None

    def chunks(self) -> Iterable[bytes]: ...


def take(*, benchmark: Benchmark, uploaded_file: UploadedFile, by: User) -> AnnotationImport:
    """Leave the file in the drop for a worker, and queue its check."""
    if benchmark.imports.filter(state__in=[State.QUEUED, State.RUNNING]).exists():
        raise Refused("import_running", f"Another annotation file for {benchmark} is being checked: wait for it.")
    folder = Path(settings.DROP_DIR)
    storage.check_disk(0, folder=folder)
    name = f"{uuid.uuid4().hex}.json"
    try:
        files.make_folder(folder)
        # no read permission for the process that writes it: the worker, which owns the folder, gives itself one
        handle = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o220)
        with os.fdopen(handle, "wb") as out:
            for chunk in uploaded_file.chunks():
                out.write(chunk)
            out.flush()
            files.sync(out.fileno())
        files.sync_folder(folder)
        with transaction.atomic():
            job = AnnotationImport.objects.create(
                benchmark=benchmark, uploaded_by=by, drop_name=name, file_name=(uploaded_file.name or "")[-255:]
            )
            transaction.on_commit(lambda: ring("score"))
    except BaseException as error:
        (folder / name).unlink(missing_ok=True)
        if storage.is_full(error):
            raise storage.full() from error
        raise
    return job


def dropped(job: AnnotationImport) -> Path:
    return Path(settings.DROP_DIR) / job.drop_name


def record(claim: Claim[AnnotationImport], summary: dict[str, Any]) -> bool:
    """The file is in force."""
    done = claim.move(State.DONE, summary=summary, error_code="", error_message="")
    if done:
        dropped(claim.job).unlink(missing_ok=True)
    return done


def reject(claim: Claim[AnnotationImport], message: str) -> bool:
    """The file cannot serve: the organiser reads why."""
    rejected = claim.move(State.REJECTED, error_code="annotations", error_message=message)
    if rejected:
        dropped(claim.job).unlink(missing_ok=True)
    return rejected


def fail(claim: Claim[AnnotationImport], reference: str) -> bool:
    """Our fault: try again, three times at most."""
    if claim.job.attempts < settings.MAX_ATTEMPTS:
        return claim.move(State.QUEUED)
    return claim.move(State.ERRORED, error_code="platform", error_message=f"The check failed on our side: {reference}.")


def collect_orphans(*, older_than_seconds: float = YOUNG_SECONDS) -> int:
    """Delete files of the drop that no open import names and that are not being written. Returns how many."""
    # listed before the rows are read: a file whose row comes in between is young
    dropped = [file for file in Path(settings.DROP_DIR).glob("*.json") if DROP_NAME.fullmatch(file.name)]
    named = set(AnnotationImport.objects.filter(state__in=OPEN_STATES).values_list("drop_name", flat=True))
    horizon, gone = time.time() - older_than_seconds, 0
    for file in dropped:
        if file.name not in named and file.exists() and file.stat().st_mtime < horizon:
            file.unlink(missing_ok=True)
            gone += 1
    return gone
