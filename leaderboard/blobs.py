"""Uploaded files, stored once under their sha256. A row points at a blob only after it is safely on disk."""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings


class TooLarge(ValueError):
    """The stream holds more than the limit; nothing of it was kept."""


@dataclass(frozen=True)
class Blob:
    sha256: str
    size: int


def path(sha256: str) -> Path:
    """Where the blob is, or would be. Refuses anything that is not a digest, so a name never becomes a path."""
    if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
        raise ValueError("not a sha256 digest")
    return Path(settings.UPLOADS_DIR) / sha256[:2] / sha256


def store(chunks: Iterable[bytes], *, limit: int) -> Blob:
    """Write a stream under its digest: to a temporary name, fsynced, then renamed, so no reader sees half a file."""
    folder = Path(settings.UPLOADS_DIR) / "partial"
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / uuid.uuid4().hex
    digest, size = hashlib.sha256(), 0
    try:
        with partial.open("xb") as out:
            for chunk in chunks:
                size += len(chunk)
                if size > limit:
                    raise TooLarge(f"the file is larger than {limit >> 20} MiB")
                digest.update(chunk)
                out.write(chunk)
            out.flush()
            os.fsync(out.fileno())
        final = path(digest.hexdigest())
        final.parent.mkdir(exist_ok=True)
        partial.replace(final)
        _sync_folder(final.parent)
    finally:
        partial.unlink(missing_ok=True)
    return Blob(digest.hexdigest(), size)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def collect_orphans(known: set[str], *, older_than_seconds: float = 86_400) -> int:
    """Delete blobs and partial uploads that no row names and that are older than a day. Returns how many."""
    root, horizon, gone = Path(settings.UPLOADS_DIR), time.time() - older_than_seconds, 0
    for file in root.glob("*/*"):
        if file.is_file() and file.name not in known and file.stat().st_mtime < horizon:
            file.unlink(missing_ok=True)
            gone += 1
    return gone
