"""Space for files: how much a user may store, and what is deleted when a request fails."""

from __future__ import annotations

import logging
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError
from django.db.models import Max, QuerySet, Sum

from leaderboard.files import blobs, writing
from leaderboard.files.blobs import Blob
from leaderboard.models import BaselineRun, Benchmark, Submission, User
from leaderboard.models.transactions import lock
from leaderboard.operations.refusals import Refused

log = logging.getLogger(__name__)

# by then the operator may have made room, and what nobody needs has been deleted
RETRY_SECONDS = 600
DAY, HOUR = 86_400, 3_600


def full() -> Refused:
    """The refusal where there is no space: the same request could succeed later."""
    return Refused(
        "storage_full",
        "The server is out of storage space. Nothing was stored, and your quota is unchanged. Try again later.",
        status=507,
        retry_after=RETRY_SECONDS,
    )


def is_full(error: BaseException | None) -> bool:
    """Whether there was no space left for the file system, SQLite or PostgreSQL."""
    while error is not None:
        if writing.is_full(error) or getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            return True
        if getattr(error, "sqlstate", None) == "53100":  # PostgreSQL's disk_full
            return True
        error = error.__cause__
    return False


def check_disk(size: int, *, folder: Path | None = None) -> None:
    """Raise `Refused` (507) unless the disk would still have the free space that everything else needs."""
    if _free(folder or Path(settings.UPLOADS_DIR)) - size < settings.FREE_DISK:
        log.error("a file was not stored: less than %d MiB would be free on the disk", settings.FREE_DISK >> 20)
        raise full()


def is_short() -> bool:
    """Whether space is about to run out: then what nobody needs is deleted earlier."""
    if _free(Path(settings.UPLOADS_DIR)) < 2 * settings.FREE_DISK:
        return True
    limit = settings.SITE_STORAGE
    return bool(limit) and _stored(Submission.objects.all()) > 0.9 * limit


def _free(folder: Path) -> int:
    """Bytes that may still be written to the folder's disk; the folder may not have been made yet."""
    return shutil.disk_usage(next(each for each in (folder, *folder.parents) if each.exists())).free


def check_limits(*, user: User | None, sha256: str, size: int, locked: bool = False) -> None:
    """Raise `Refused` when the file is more than the person (413) or the site (507) may still store.

    Each file counts once, however often and by whomever it was sent. With `locked`, inside the accepting transaction,
    the person's uploads are counted one after another.
    """
    if settings.PERSON_STORAGE and user is not None:
        if locked:
            lock(User.objects.filter(pk=user.pk))
        own = Submission.objects.filter(user=user)
        if not own.filter(sha256=sha256).exists() and _stored(own) + size > settings.PERSON_STORAGE:
            raise Refused(
                "storage_person",
                f"Your submitted files may use {settings.PERSON_STORAGE >> 20:,} MiB in total, and this file exceeds "
                "what is left. Ask the operator for more storage.",
                status=413,
            )
    if settings.SITE_STORAGE:
        everyone = Submission.objects.all()
        if not everyone.filter(sha256=sha256).exists() and _stored(everyone) + size > settings.SITE_STORAGE:
            log.error("a file was not stored: submissions have reached POSEBOARD_SITE_STORAGE_MIB")
            raise full()


def _stored(rows: QuerySet[Submission]) -> int:
    """Bytes of the distinct files of these submissions."""
    each = rows.order_by().values("sha256").annotate(bytes=Max("size"))
    return each.aggregate(total=Sum("bytes"))["total"] or 0


@contextmanager
def stored(chunks: Iterable[bytes], *, limit: int, look: Callable[[Path], object] | None = None) -> Iterator[Blob]:
    """Store a stream as a blob for the operation inside, whose row will name it.

    If the operation raises, the blob is deleted, unless another request has stored the same bytes since or a row names
    them. `look` gets the file before it is a blob and may raise. Raises `Refused` (507) when there is no space, and
    `blobs.TooLarge`.
    """
    try:
        with blobs.received(chunks, limit=limit) as upload:
            if look is not None:
                look(upload.file)
            blob = upload.keep()
    except OSError as error:
        if not is_full(error):
            raise
        log.error("a file was not stored: %s", error)
        raise full() from error
    try:
        yield blob
    except BaseException:
        discard(blob)
        raise


def discard(blob: Blob) -> bool:
    """Delete a blob that this request made and no row names. Where that cannot be decided now, `collect` does it."""
    try:
        return not _is_named(blob.sha256) and blobs.discard(blob)
    except (DatabaseError, OSError) as error:
        log.warning("blob %s was not deleted now and will be collected: %s", blob.sha256, error)
        return False


def _is_named(sha256: str) -> bool:
    return (
        Submission.objects.filter(sha256=sha256).exists()
        or BaselineRun.objects.filter(boxes_sha256=sha256).exists()
        or Benchmark.objects.filter(image_list_sha256=sha256).exists()
    )


def forget_partial(*, older_than_seconds: float = DAY) -> int:
    """Delete what a killed process left half-written beside annotations and checkpoints. Returns how many."""
    horizon = time.time() - older_than_seconds
    left = [
        *Path(settings.ANNOTATIONS_DIR).glob(f"*/{writing.PARTIAL}*"),
        *Path(settings.ANNOTATIONS_DIR).glob(f"*/images/**/{writing.PARTIAL}*"),
        *Path(settings.CHECKPOINTS_DIR).glob("partial-*"),
    ]
    return _unlink(file for file in left if _is_older(file, horizon))


def _is_older(file: Path, horizon: float) -> bool:
    try:
        return file.is_file() and file.stat().st_mtime < horizon
    except OSError:
        return False


def _unlink(found: Iterable[Path]) -> int:
    gone = 0
    for file in found:
        try:
            file.unlink()
            gone += 1
        except FileNotFoundError:
            pass
        except OSError as error:  # a worker that may read only
            log.warning("%s cannot be deleted: %s", file, error)
    return gone
