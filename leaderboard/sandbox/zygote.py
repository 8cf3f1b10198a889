"""The process that scoring processes are forked from. `scorer` starts it; it never sees Django or Celery.

It is started by exec with a scrubbed environment, so it holds no database handle and no secret; it imports the
evaluator once, keeps parsed annotations, and forks one sandboxed child per job, which takes about 10 ms instead of the
0.6 s of a fresh interpreter. The control socket is descriptor 0; messages are JSON, one per line:

    scorer -> zygote   {"job": {...}} with the writing end of the result pipe as a passed descriptor; {"kill": true}
    zygote -> scorer   {"ready": {isolation}}; {"started": pid}; {"ended": wait status, "cpu_seconds": ...};
                       {"failed": [code, where]} when there is nothing to fork for

The child's reply goes straight into the result pipe and is one JSON object. Nothing the child says is trusted;
`report_check` checks it. The reply to a job with annotations is {"report": ...}, {"prediction_error": true} or
{"failed": [code, where]}: a process that has read annotations may not say more about a rejected file. What is wrong
with the file is the reply to a job without annotations, {"problems": ..., "total": ...} or {"valid": true}: `scorer`
gives that job to a second zygote, which never reads any.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from leaderboard.sandbox import defences

EVALUATE = "evaluator:evaluate"
CHECK = "evaluator:validate"
ROOT = Path(__file__).resolve().parent.parent.parent
CONTROL = 0
REQUEST_BYTES = 1 << 16
MOST_FRAMES = 8
PARSED_FILES = 16
PARSED_BYTES = 1 << 29
"""Of annotation files; the parsed arrays are smaller than their JSON."""


class ParsedFiles:
    """Parsed files by path and kind, as long as they do not change; the least recently used is dropped first."""

    def __init__(self, files: int, size: int) -> None:
        self._parsed: OrderedDict[tuple[str, str], tuple[tuple[int, int, int], Any]] = OrderedDict()
        self._files, self._size = files, size

    def get(self, path: str, kind: str, parse: Callable[[Path], Any]) -> Any:
        status = Path(path).stat()
        version = (status.st_ino, status.st_mtime_ns, status.st_size)
        if (path, kind) in self._parsed and self._parsed[path, kind][0] == version:
            self._parsed.move_to_end((path, kind))
            return self._parsed[path, kind][1]
        self._parsed.pop((path, kind), None)
        value = parse(Path(path))
        self._parsed[path, kind] = (version, value)
        while len(self._parsed) > self._files or (
            len(self._parsed) > 1 and sum(version[2] for version, _ in self._parsed.values()) > self._size
        ):
            self._parsed.popitem(last=False)
        return value


def readable() -> list[str]:
    """The folders that the interpreter and the libraries load from, and nothing of the data."""
    # not the prefixes themselves: somebody may keep the data beside the `lib` of a virtual environment
    folders = {f"{prefix}/{name}" for prefix in (sys.prefix, sys.base_prefix) for name in ("lib", "lib64")}
    folders |= {"/usr", "/lib", "/lib64", "/proc/self", str(ROOT / "evaluator")}
    # nor the project's folder, by whatever name it is on the path, for the data may lie in it
    folders.update(path for path in sys.path if Path(path).is_dir() and not ROOT.is_relative_to(Path(path).resolve()))
    return sorted(folders)


def resolve(target: str) -> Callable[..., Any]:
    module, _, function = target.partition(":")
    found = getattr(importlib.import_module(module), function)
    assert callable(found)
    return found


def located(error: BaseException) -> dict[str, Any]:
    """What an error is and where it was raised: no message, for that may quote annotations and goes to the log."""
    frames = traceback.extract_tb(error.__traceback__)[-MOST_FRAMES:]
    return {
        "type": type(error).__name__,
        "errno": error.errno if isinstance(error, OSError) else None,
        "frames": [[frame.filename, frame.lineno] for frame in frames],
    }


class Zygote:
    def __init__(self) -> None:
        self.control = socket.socket(fileno=CONTROL)
        self.parent = os.getppid()
        self.parsed_files = ParsedFiles(PARSED_FILES, PARSED_BYTES)
        self.unread = b""
        self.held: list[str] = []
        waking, self.woken = os.pipe()
        os.set_blocking(self.woken, False)
        os.set_blocking(waking, False)
        self.waking = waking
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self.woken, warn_on_full_buffer=False)

    def send(self, message: dict[str, Any]) -> None:
        self.control.sendall(json.dumps(message).encode() + b"\n")

    def receive(self) -> tuple[dict[str, Any], list[int]]:
        """The next message and the descriptors that came with it. Ends the process when the scorer is gone."""
        descriptors: list[int] = []
        while b"\n" not in self.unread:
            data, passed, _, _ = socket.recv_fds(self.control, REQUEST_BYTES, 1)
            descriptors += passed
            if not data:
                self.leave()
            self.unread += data
        line, self.unread = self.unread.split(b"\n", 1)
        return json.loads(line), descriptors

    def leave(self) -> NoReturn:
        os._exit(0)

    def abandon(self, child: int) -> NoReturn:
        """The scorer is gone: end the job, then this process."""
        end_group(child)
        os.waitpid(child, 0)
        end_leftovers()
        self.leave()

    def prepare(self, job: dict[str, Any]) -> Callable[[], Any]:
        """Everything of the job that is the server's own and can be parsed once: the annotations, the image list."""
        target = resolve(job["target"])
        if job["truth"] is None:
            known = job["images"] and self.images(job)
            return lambda: target(job["dataset"], Path(job["predictions"]), images=known)
        truth, images = job["truth"], job["images"]
        options: dict[str, Any] = {}
        if job["target"] == EVALUATE:
            options["intervals"] = True
            from evaluator.datasets import load_dataset
            from evaluator.reading.annotations import read_truth

            dataset = load_dataset(job["dataset"])
            truth = self.parsed_files.get(truth, dataset.name, lambda path: read_truth(path, dataset))
            images = images and self.images(job)
            if job["surface"]:
                from evaluator.surface.surfaces import read_surface

                # mapped before the fork: the child neither opens it nor pays for its address space
                options["surface"] = self.parsed_files.get(job["surface"], "surface", read_surface)
        return lambda: target(job["dataset"], Path(job["predictions"]), truth, images=images, **options)

    def images(self, job: dict[str, Any]) -> Any:
        from evaluator.reading.image_list import read_images

        return self.parsed_files.get(job["images"], "images", read_images)

    def run(self, job: dict[str, Any], result: int) -> None:
        try:
            evaluate = self.prepare(job)
        except Exception as error:  # the annotations or the definition are at fault, and the zygote goes on
            self.send({"failed": ["ground_truth", located(error)]})
            return
        zygote = os.getpid()
        child = os.fork()
        if child == 0:
            try:
                work(job, evaluate, result, zygote, self.held)
            finally:
                os._exit(70)
        os.close(result)
        try:
            self.send({"started": child})
        except OSError:
            self.abandon(child)
        ended = self.wait(child)
        try:
            self.send(ended)
        except OSError:
            self.leave()

    def wait(self, child: int) -> dict[str, Any]:
        """Until the child has ended and nothing of it is left; kills it when told to, or when the scorer is gone."""
        if self.unread:  # the request to kill came along with the job
            self.unread = b""
            end_group(child)
        with selectors.DefaultSelector() as selector:
            selector.register(self.control, selectors.EVENT_READ)
            selector.register(self.waking, selectors.EVENT_READ)
            while True:
                ended, status, usage = os.wait4(child, os.WNOHANG)
                if ended:
                    end_leftovers()
                    return {"ended": status, "cpu_seconds": usage.ru_utime + usage.ru_stime}
                for ready, _ in selector.select():
                    if ready.fileobj == self.waking:
                        with suppress(BlockingIOError):
                            os.read(self.waking, 4096)
                        continue
                    if not self.control.recv(REQUEST_BYTES):
                        self.abandon(child)
                    end_group(child)

    def serve(self) -> NoReturn:
        while True:
            message, descriptors = self.receive()
            if "job" in message and descriptors:
                self.run(message["job"], descriptors[0])
            for descriptor in descriptors:
                with suppress(OSError):
                    os.close(descriptor)


def end_group(child: int) -> None:
    """Kill a child that has not been waited for yet (so the number is still its own) and its process group."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)


def end_leftovers() -> None:
    """Kill and reap what a job left behind: it has become this process's child (see `defences.adopt_orphans`)."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            ended, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not ended:
            for left in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
                with suppress(ProcessLookupError):
                    os.kill(int(left), signal.SIGKILL)
            time.sleep(0.002)
    # a process that cannot be ended: die, so that the next job starts from a clean one
    os._exit(71)


def work(job: dict[str, Any], evaluate: Callable[[], Any], result: int, zygote: int, promised: list[str]) -> NoReturn:
    """The child: apply the defences, evaluate, reply, end. `promised` are the defences that must hold if asked for."""
    reply: dict[str, Any]
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        defences.stop_with_parent(zygote)
        defences.close_descriptors([result])
        os.chdir("/")
        limits = defences.Limits(**job["limits"])
        files = [path for path in (job["predictions"], job["truth"], job["images"], os.devnull) if path]
        _, missing = defences.apply(job["defences"], limits, folders=readable(), files=files)
        if not missing.keys().isdisjoint(promised):
            raise defences.Unavailable("a defence that held at the start does not hold now")
        reply = reply_of(evaluate(), checks=job["truth"] is None)
    except MemoryError as error:
        reply = {"failed": ["memory", located(error)]}
    except Exception as error:
        if not any(kind.__name__ == "PredictionError" for kind in type(error).__mro__):
            reply = {"failed": ["crashed", located(error)]}
        elif job["truth"] is None:
            reply = {key: error.to_dict()[key] for key in ("problems", "total")}  # type: ignore[attr-defined]
        else:
            reply = {"prediction_error": True}
    text = json.dumps(reply, allow_nan=False).encode()
    with open(result, "wb", closefd=False) as pipe:
        pipe.write(text)
    os._exit(0)


def reply_of(found: Any, *, checks: bool) -> dict[str, Any]:
    if checks:
        return {"valid": True}
    return {"report": found if isinstance(found, dict) else found.to_dict()}


def warm() -> None:
    """Import what an evaluation needs: in every child it would cost more than a small job."""
    import evaluator

    for name in evaluator.__all__:
        getattr(evaluator, name)
    for name in evaluator.dataset_names():
        evaluator.load_dataset(name)
    for file in sorted((ROOT / "evaluator" / "metrics").glob("[!_]*.py")):
        importlib.import_module(f"evaluator.metrics.{file.stem}")
    with suppress(ImportError):  # surface maps are pictures
        importlib.import_module("PIL.PngImagePlugin")
    evaluator.warm_up()


def main(target: str) -> NoReturn:
    """Serve the scorer at the other end of descriptor 0 until it closes. `target` is what the jobs will call."""
    zygote = Zygote()
    defences.stop_with_parent(zygote.parent)
    defences.adopt_orphans()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal: the scorer decides when to end
    isolation = defences.probe(defences.DEFENCES)
    if not isolation["held"]:  # somebody ended it?
        isolation = defences.probe(defences.DEFENCES)
    zygote.held = isolation["held"]
    if target in (EVALUATE, CHECK):
        warm()
        from evaluator.native.engine import engine

        isolation["engine"] = engine()
    # what is there now is shared with every child: keep the collector from writing to those pages
    gc.collect()
    gc.freeze()
    zygote.send({"ready": isolation})
    zygote.serve()
