"""What a run has predicted so far, kept image by image, so that the successor of a killed worker goes on from there.

A run has a folder, and every worker that had the run a file in it, named by the worker's fence. A worker writes to its
own file only: one that was thought dead and is not cannot damage what its successor writes. The first line of a file
says what is being run, each other one what came of an image, with which batch the worker goes on, or that it ended by
itself. Lines are handed to the operating system as they come, so they outlive the process; the last one may be torn,
and is then predicted again.

A worker that is killed for want of memory cannot say so: whoever comes after one that did not end by itself starts with
half of its batch.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any


@dataclass(frozen=True)
class Answer:
    """What came of an image: the entries of the predictions file, or why it was left out; the seconds since this
    worker's start."""

    image_id: int
    entries: list[dict[str, Any]]
    left_out: str
    seconds: float


@dataclass(frozen=True)
class Earlier:
    """What earlier workers left: answers by image, the seconds that they worked for them, and the batch of the last one
    that was lost; None where none was."""

    answers: dict[int, Answer]
    seconds: float
    lost_with_batch: int | None = None


class SavedRun:
    """The predictions of one run in `folder`; this worker's are those of `fence`."""

    def __init__(self, folder: Path, fence: int) -> None:
        self.folder, self.fence = folder, fence
        self._file: IO[str] | None = None

    @classmethod
    def after_all(cls, folder: Path) -> SavedRun:
        """Of one who comes after all that have a file in the folder."""
        return cls(folder, 1 + max(cls(folder, 0)._fences(), default=0))

    def begin(self, what: dict[str, Any]) -> Earlier:
        """Open this worker's file, and read those of earlier workers that ran the very same.

        `what` is everything that the predictions depend on: the weights, the images, the device.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        answers: dict[int, Answer] = {}
        seconds = 0.0
        for fence in sorted(self._fences()):
            lines = list(_lines(self._path(fence)))
            if fence >= self.fence or lines[:1] != [json.loads(json.dumps(what))]:
                continue
            own = [Answer(**line) for line in lines[1:] if "image_id" in line]
            answers |= {answer.image_id: answer for answer in own}
            seconds += own[-1].seconds if own else 0.0
        self._file = self._path(self.fence).open("w")
        self._write(what)
        before = sorted((fence for fence in self._fences() if fence < self.fence), reverse=True)
        return Earlier(answers, seconds, next(filter(None, map(self._lost_with, before)), None))

    def add(self, answer: Answer) -> None:
        """Keep what came of an image."""
        self._write(asdict(answer))

    def note_batch(self, batch: int) -> None:
        """Keep with how many people at a time this worker goes on."""
        self._write({"batch": batch})

    def close(self) -> None:
        """Say that this worker was not killed."""
        if self._file is not None:
            with self._file:
                self._write({"ended": True})
            self._file = None

    def got_further(self) -> bool:
        """Whether the worker right before this one kept the answer to an image."""
        return any("image_id" in line for line in _lines(self._path(self.fence - 1)))

    def can_halve(self) -> bool:
        """Whether the worker right before this one was lost with a batch of more than one person."""
        return (self._lost_with(self.fence - 1) or 1) > 1

    def _path(self, fence: int) -> Path:
        return self.folder / f"{fence}.jsonl"

    def _lost_with(self, fence: int) -> int | None:
        """The batch that a lost worker had at last; None of one that ended by itself, or had not begun."""
        lines = list(_lines(self._path(fence)))
        noted = [int(line["batch"]) for line in lines if "batch" in line]
        return noted[-1] if noted and "ended" not in lines[-1] else None

    def _fences(self) -> list[int]:
        return [int(path.stem) for path in self.folder.glob("*.jsonl") if path.stem.isdigit()]

    def _write(self, line: dict[str, Any]) -> None:
        if self._file is None:
            raise ValueError("begin() comes first")
        self._file.write(json.dumps(line, separators=(",", ":")) + "\n")
        self._file.flush()


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of a file, up to the first that was torn; none where there is no file."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                return
            yield json.loads(line)
