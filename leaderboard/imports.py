"""An organiser's annotation file: the web process drops it, a worker checks it and puts it into force."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from django.conf import settings
from django.db import transaction

from leaderboard.doorbell import ring
from leaderboard.folders import is_shared
from leaderboard.jobs import Claim
from leaderboard.models import AnnotationImport, Benchmark, State, User
from leaderboard.refusals import Refused


class UploadedFile(Protocol):
    name: str | None

    def chunks(self) -> Iterable[bytes]: ...


def take(*, benchmark: Benchmark, uploaded_file: UploadedFile, by: User) -> AnnotationImport:
    """Leave the file in the drop for a worker, and queue its check."""
    if benchmark.imports.filter(state__in=[State.QUEUED, State.RUNNING]).exists():
        raise Refused("import_running", f"Another annotation file for {benchmark} is being checked: wait for it.")
    folder = Path(settings.DROP_DIR)
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{uuid.uuid4().hex}.json"
    # no read permission for the process that writes it: the worker, which owns the folder, gives itself one. Where it
    # is another user than this process, it has the group's: it cannot change the mode of a file that it does not own.
    mode = 0o240 if is_shared(folder) else 0o220
    handle = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "wb") as out:
        for chunk in uploaded_file.chunks():
            out.write(chunk)
        out.flush()
        os.fsync(out.fileno())
    with transaction.atomic():
        job = AnnotationImport.objects.create(
            benchmark=benchmark, uploaded_by=by, drop_name=name, file_name=(uploaded_file.name or "")[-255:]
        )
        transaction.on_commit(lambda: ring("score"))
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
