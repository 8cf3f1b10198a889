"""Compress a file on its way to the server."""

from __future__ import annotations

import gzip
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

GZIP, ZIP = b"\x1f\x8b", b"PK\x03\x04"
IN_MEMORY = 32 << 20  # a larger compressed file goes through the disk


@contextmanager
def packed(path: Path) -> Iterator[tuple[str, BinaryIO, int]]:
    """(name, stream, size) of the bytes to send: the file itself when it is gzip or zip, otherwise its gzip.

    The same file always gives the same bytes, so that the server knows it again by its sha256.
    """
    with path.open("rb") as plain:
        head = plain.read(4)
        plain.seek(0)
        if head.startswith((GZIP, ZIP)):
            yield path.name, plain, os.fstat(plain.fileno()).st_size
            return
        with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY) as spool:
            stream = cast(BinaryIO, spool)
            with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=stream, mtime=0) as target:
                shutil.copyfileobj(plain, target, 1 << 20)
            size = stream.tell()
            stream.seek(0)
            yield f"{path.name}.gz", stream, size
