"""The sha256 of what was read, computed at its first use: hashing takes a tenth of the time of an evaluation."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload


@dataclass(frozen=True)
class Digest:
    """A file as it was when it was read. Asking for its digest is an error when the file has changed since."""

    path: str
    version: tuple[int, int, int, int]

    @classmethod
    def of(cls, path: str | Path, status: os.stat_result) -> Digest:
        """The file of an open descriptor's `status`."""
        return cls(str(Path(path).absolute()), _version(status))

    def text(self) -> str:
        """The digest as 64 hexadecimal digits; RuntimeError when the file is not the one that was read."""
        with Path(self.path).open("rb") as file:
            before = _version(os.fstat(file.fileno()))
            found = hashlib.file_digest(file, "sha256").hexdigest()
            after = _version(os.fstat(file.fileno()))
        if not self.version == before == after:
            raise RuntimeError(f"{self.path} has changed since it was read: its digest would be that of another file")
        return found


def _version(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


class DigestField:
    """A dataclass field that holds a digest, or a file whose digest it computes at its first use."""

    def __init__(self, default: str | None = None) -> None:
        self.default = default

    def __set_name__(self, owner: type, name: str) -> None:
        self.place = f"_{name}"

    @overload
    def __get__(self, instance: None, owner: type) -> str: ...
    @overload
    def __get__(self, instance: object, owner: type) -> str: ...
    def __get__(self, instance: object | None, owner: type) -> str:
        if instance is None:
            if self.default is None:
                raise AttributeError(self.place)
            return self.default
        value: Any = instance.__dict__[self.place]
        if isinstance(value, Digest):
            value = instance.__dict__[self.place] = value.text()
        return str(value)

    def __set__(self, instance: object, value: str | Digest) -> None:
        instance.__dict__[self.place] = value


def deferred(instance: object, name: str) -> str | Digest:
    """The field of that name as it was given, without computing a digest."""
    value: str | Digest = instance.__dict__[f"_{name}"]
    return value
