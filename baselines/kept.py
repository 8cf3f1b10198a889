"""What a run has predicted so far, kept image by image, so that the successor of a killed worker goes on from there.

A run has a folder, and every worker that had the run a file in it, named by the worker's fence. A worker writes to its
own file only: one that was thought dead and is not cannot damage what its successor writes. The first line of a file
says what is being run, each other one what came of an image. Lines are handed to the operating system as they come, so
they outlive the process; the last one may be torn, and is then predicted again.
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
    """What earlier workers left: answers by image, and the seconds that they worked for them."""

    answers: dict[int, Answer]
    seconds: float


class Kept:
    """The predictions of one run in `folder`; this worker's are those of `fence`."""

    def __init__(self, folder: Path, fence: int) -> None:
        self.folder, self.fence = folder, fence
        self._file: IO[str] | None = None

    @classmethod
    def after_all(cls, folder: Path) -> Kept:
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
            own = [Answer(**line) for line in lines[1:]]
            answers |= {answer.image_id: answer for answer in own}
            seconds += own[-1].seconds if own else 0.0
        self._file = self._path(self.fence).open("w")
        self._write(what)
        return Earlier(answers, seconds)

    def add(self, answer: Answer) -> None:
        """Keep what came of an image."""
        self._write(asdict(answer))

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def got_further(self) -> bool:
        """Whether the worker before this one kept the answer to at least one image."""
        before = [fence for fence in self._fences() if fence < self.fence]
        return bool(before) and sum(1 for _ in _lines(self._path(max(before)))) > 1

    def _path(self, fence: int) -> Path:
        return self.folder / f"{fence}.jsonl"

    def _fences(self) -> list[int]:
        return [int(path.stem) for path in self.folder.glob("*.jsonl") if path.stem.isdigit()]

    def _write(self, line: dict[str, Any]) -> None:
        if self._file is None:
            raise ValueError("begin() comes first")
        self._file.write(json.dumps(line, separators=(",", ":")) + "\n")
        self._file.flush()


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of a file, up to the first that was torn."""
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                return
            yield json.loads(line)
