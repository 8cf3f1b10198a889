"""Files that others may have open: written whole, on the disk before anyone is told of them, and never replaced.

The sandbox lets a scoring process open only the very file (the inode) that was there when it started, so a file is
replaced only when it is damaged. Whoever names or deletes a file holds the lock of its folder for that moment.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import stat
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

log = logging.getLogger(__name__)

# the disk is full, the user's share of it is, or the file would be larger than the process may write
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# the errors of link() on file systems without hard links
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}
_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EBADF}
# macOS: fsync leaves the bytes in the drive's cache
_FULL_SYNC = getattr(fcntl, "F_FULLFSYNC", None)
_PIECE = 1 << 20
PARTIAL = ".partial-"
"""How the name of a half-written file begins, beside the one that it will be."""


def is_full(error: BaseException) -> bool:
    """Whether the operation failed because there is no space left."""
    return isinstance(error, OSError) and error.errno in _FULL


def sync(handle: int) -> None:
    """Return when the file's bytes survive a power cut."""
    if _FULL_SYNC is not None:
        try:
            fcntl.fcntl(handle, _FULL_SYNC)
            return
        except OSError:  # not a local disk
            pass
    os.fsync(handle)


def sync_folder(folder: Path) -> None:
    """Return when the names in the folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        sync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that keeps its folders by itself
            raise
    finally:
        os.close(handle)


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, so that they survive a power cut."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in missing:
        sync_folder(each.parent)


@contextmanager
def written(final: Path, *, mode: int = 0o600, durable: bool = True) -> Iterator[IO[bytes]]:
    """A file to write what `final` will hold. It gets its name at the end, fsynced and whole, or is deleted.

    A file that is there with the same bytes stays as it is. One with other bytes is replaced; whoever has it open keeps
    reading the old one.
    `durable=False` does not wait for the disk, where many files are written that can be written again.
    """
    make_folder(final.parent)
    partial = final.with_name(f"{PARTIAL}{uuid.uuid4().hex}")
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            yield out
            out.flush()
            os.fchmod(out.fileno(), mode)
            if durable:
                sync(out.fileno())
        with locked(final.parent):
            if not _link(partial, final) and not same(partial, final):
                partial.replace(final)
        if durable:
            sync_folder(final.parent)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, one process at a time. Where folders cannot be locked, age alone protects young files."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
        yield
    finally:
        os.close(handle)


def place(partial: Path, final: Path, *, touch: bool = False) -> bool:
    """Give a finished and fsynced file its final name, unless the same bytes have that name already.

    A file that is there stays the same file; with `touch` it gets a later modification time. Only a damaged one, with
    other bytes, is replaced, in one step. When this returns, the name survives a power cut. Returns whether the file
    is new. Afterwards `partial` may still be there: the caller deletes it.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    with locked(final.parent):
        new = _link(partial, final)
        if not new:
            if same(partial, final):
                if touch:
                    _touch(final)
            else:
                log.error("%s was damaged: its content is not what was stored. It is replaced.", final)
                partial.replace(final)
    # also when another process made the file or its folder: it may not have come so far yet
    sync_folder(final.parent)
    with suppress(PermissionError):
        sync_folder(final.parent.parent)
    return new


def _link(partial: Path, final: Path) -> bool:
    """Give the file its name if nobody has it. Call it with the folder locked."""
    try:
        os.link(partial, final)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(final):
            return False
        partial.rename(final)
        sync_folder(partial.parent)
    return True


def same(one: Path, other: Path) -> bool:
    """Whether both are regular files with the same bytes."""
    first, second = one.lstat(), other.lstat()
    if not (stat.S_ISREG(first.st_mode) and stat.S_ISREG(second.st_mode)) or first.st_size != second.st_size:
        return False
    with one.open("rb") as left, other.open("rb") as right:
        while (piece := left.read(_PIECE)) == right.read(_PIECE):
            if not piece:
                return True
    return False


def _touch(file: Path) -> None:
    """A later modification time than it has. Some file systems count in steps of two seconds."""
    before = file.stat().st_mtime_ns
    for later in (before + 1, before + 2_000_000_000):
        moment = max(time.time_ns(), later)
        try:
            os.utime(file, ns=(moment, moment))
        except PermissionError:  # another user's
            log.warning("%s belongs to another user, so its modification time is unchanged", file)
            return
        if file.stat().st_mtime_ns > before:
            return
