"""The predictions of a run, saved image by image, so that the next worker resumes where a killed one stopped.

A run has a folder, and in it every worker has a file named by its fence. A worker writes to its own file only, so that
one that was wrongly thought dead cannot damage what its successor writes. The first line of a file says what is being
run; each other line has the predictions of an image, the batch with which the worker continues, or the note that it
ended by itself. Lines are flushed to the operating system one by one, so they survive the process; the last one may be
incomplete, and its image is then predicted again.

A worker that is killed because memory ran out cannot report it, so the worker after one that did not end by itself
starts with half of its batch.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any


@dataclass(frozen=True)
class ImagePredictions:
    """The entries of an image in the predictions file, or why it was left out; and the seconds since this worker
    started."""

    image_id: int
    entries: list[dict[str, Any]]
    left_out: str
    seconds: float


@dataclass(frozen=True)
class Earlier:
    """What earlier workers saved: the predictions by image id, the seconds that they took, and the batch of the last
    worker that was lost, None where none was."""

    images: dict[int, ImagePredictions]
    seconds: float
    lost_with_batch: int | None = None


class SavedRun:
    """The predictions of one run in `folder`; this worker writes those of `fence`."""

    def __init__(self, folder: Path, fence: int) -> None:
        self.folder, self.fence = folder, fence
        self._file: IO[str] | None = None

    @classmethod
    def after_all(cls, folder: Path) -> SavedRun:
        """For a worker that comes after all that have a file in the folder."""
        return cls(folder, 1 + max(cls(folder, 0)._fences(), default=0))

    def begin(self, what: dict[str, Any]) -> Earlier:
        """Open this worker's file, and read those of earlier workers that ran exactly the same.

        `what` is everything that the predictions depend on: the weights, the images, the device.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        images: dict[int, ImagePredictions] = {}
        seconds = 0.0
        for fence in sorted(self._fences()):
            lines = list(_lines(self._path(fence)))
            if fence >= self.fence or lines[:1] != [json.loads(json.dumps(what))]:
                continue
            own = [ImagePredictions(**line) for line in lines[1:] if "image_id" in line]
            images |= {predicted.image_id: predicted for predicted in own}
            seconds += own[-1].seconds if own else 0.0
        self._file = self._path(self.fence).open("w")
        self._write(what)
        before = sorted((fence for fence in self._fences() if fence < self.fence), reverse=True)
        return Earlier(images, seconds, next(filter(None, map(self._lost_with, before)), None))

    def add(self, predicted: ImagePredictions) -> None:
        """Save the predictions of an image."""
        self._write(asdict(predicted))

    def note_batch(self, batch: int) -> None:
        """Save the batch with which this worker continues."""
        self._write({"batch": batch})

    def close(self) -> None:
        """Note that this worker ended by itself."""
        if self._file is not None:
            with self._file:
                self._write({"ended": True})
            self._file = None

    def got_further(self) -> bool:
        """Whether the worker right before this one saved the predictions of an image."""
        return any("image_id" in line for line in _lines(self._path(self.fence - 1)))

    def can_halve(self) -> bool:
        """Whether the worker right before this one was lost with a batch of more than one person."""
        return (self._lost_with(self.fence - 1) or 1) > 1

    def _path(self, fence: int) -> Path:
        return self.folder / f"{fence}.jsonl"

    def _lost_with(self, fence: int) -> int | None:
        """The last batch of a lost worker; None for one that ended by itself, or had not begun."""
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
    """The lines of a file, up to the first incomplete one; none where there is no file."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                return
            yield json.loads(line)
