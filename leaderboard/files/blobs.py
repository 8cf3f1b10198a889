"""Uploaded files, stored once under their sha256. A row points at a blob only after it is safely on disk.

A blob's modification time says when it was last stored: one that is older than an hour and that no row names is no
longer wanted by any request, and may be deleted.
"""

from __future__ import annotations

import hashlib
import re
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings

from leaderboard.files import writing


class TooLarge(ValueError):
    """The stream holds more than the limit; nothing of it was stored."""


@dataclass(frozen=True)
class Blob:
    sha256: str
    size: int
    # the modification time (ns) that the file got when it was made for this request; None: it was there before
    made_at: int | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Received:
    """An upload that was written completely and is not a blob yet."""

    file: Path
    sha256: str
    size: int

    def keep(self) -> Blob:
        """Make it a blob. An existing blob stays the same file, since somebody may be reading it."""
        final = path(self.sha256)
        made_at = self.file.stat().st_mtime_ns
        new = writing.place(self.file, final, touch=True)
        return Blob(self.sha256, self.size, made_at if new else None)


def path(sha256: str) -> Path:
    """Where the blob is, or would be. Raises ValueError for anything but a digest, so that no name becomes a path."""
    if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
        raise ValueError("not a sha256 digest")
    return Path(settings.UPLOADS_DIR) / sha256[:2] / sha256


@contextmanager
def received(chunks: Iterable[bytes], *, limit: int) -> Iterator[Received]:
    """Write a stream to a file of its own, fsynced. It is deleted afterwards, whether it was made a blob or not."""
    folder = Path(settings.UPLOADS_DIR) / "partial"
    writing.make_folder(folder)
    partial = folder / uuid.uuid4().hex
    digest, size = hashlib.sha256(), 0
    try:
        with partial.open("xb") as out:
            for chunk in _limited(chunks, limit):
                size += len(chunk)
                digest.update(chunk)
                out.write(chunk)
            out.flush()
            writing.sync(out.fileno())
        yield Received(partial, digest.hexdigest(), size)
    finally:
        partial.unlink(missing_ok=True)


def store(chunks: Iterable[bytes], *, limit: int) -> Blob:
    """Write a stream under its digest: to a temporary name, fsynced, then linked, so no reader sees half a file."""
    with received(chunks, limit=limit) as upload:
        return upload.keep()


def digest(chunks: Iterable[bytes], *, limit: int) -> tuple[str, int]:
    """The sha256 and size that the stream would have as a blob. Nothing is written."""
    found, size = hashlib.sha256(), 0
    for chunk in _limited(chunks, limit):
        size += len(chunk)
        found.update(chunk)
    return found.hexdigest(), size


def _limited(chunks: Iterable[bytes], limit: int) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > limit:
            raise TooLarge(f"the file is larger than {limit >> 20} MiB")
        yield chunk


def is_intact(sha256: str) -> bool:
    """Whether the blob is there with the bytes of its name."""
    try:
        with path(sha256).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == sha256
    except FileNotFoundError:
        return False


def discard(blob: Blob) -> bool:
    """Delete a blob that was made for a request which came to nothing, unless another one has stored it since.

    The caller knows that no row names it. Returns whether it was deleted.
    """
    if blob.made_at is None:
        return False
    return _delete(path(blob.sha256), lambda modified: modified == blob.made_at)


def collect_orphans(
    known: Collection[str] | Callable[[], Collection[str]], *, older_than_seconds: float = 86_400
) -> int:
    """Delete blobs and partial uploads that no row names and that are older than a day. Returns how many.

    A function for `known` is called after the candidates are listed: a row that is written later was preceded by a
    new modification time.
    """
    horizon = int((time.time() - older_than_seconds) * 1e9)
    candidates = [file for file in _files() if (modified := _modified(file)) is not None and modified < horizon]
    if not candidates:
        return 0
    named = known() if callable(known) else known
    return sum(_delete(file, lambda modified: modified < horizon) for file in candidates if file.name not in named)


def _files() -> Iterator[Path]:
    """Every blob and partial upload, and nothing else that may lie in the folder."""
    root = Path(settings.UPLOADS_DIR)
    yield from root.glob("partial/*")
    for file in root.glob("[0-9a-f][0-9a-f]/*"):
        if re.fullmatch(r"[0-9a-f]{64}", file.name):
            yield file


def _modified(file: Path) -> int | None:
    """When the file was last stored, in ns; None where it is gone, or is no file."""
    try:
        return file.stat().st_mtime_ns if file.is_file() else None
    except FileNotFoundError:
        return None


def _delete(file: Path, wanted: Callable[[int], bool]) -> bool:
    """Delete a file if its modification time still says so: nobody stores it at the same moment."""
    if not file.parent.is_dir():
        return False
    with writing.locked(file.parent):
        modified = _modified(file)
        if modified is None or not wanted(modified):
            return False
        file.unlink(missing_ok=True)
    return True
