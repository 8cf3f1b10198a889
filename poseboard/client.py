"""The client of a server's API: submit a file, follow it, read boards. It uses `/api/v1` only."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, urlsplit

import httpx

from poseboard.packing import packed
from poseboard.responses import (
    ApiError,
    Benchmark,
    Board,
    BoardEntry,
    ScoreRow,
    StillRunning,
    Submission,
    entry_of,
    error_of,
    listed,
    not_poseboard,
    submission_of,
)

__all__ = ["ApiError", "Benchmark", "Board", "BoardEntry", "Client", "ScoreRow", "StillRunning", "Submission"]

POSTS = 3  # attempts to hand a file over when the connection breaks; they share one Idempotency-Key
PATIENCE = 300.0
"""How many seconds a call waits in all for a rate limit of the server before it raises."""


class Client:
    """One server, and the token to use there. Use it as a context manager, or close it.

    Where the server reports too many requests (`rate_limited`), a call waits as long as the server asks, up to PATIENCE
    seconds in all; `waiting(seconds)` is called before each wait. It does not wait for a quota that is used up.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        timeout: float = 60.0,
        waiting: Callable[[float], None] | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self._waiting = waiting
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"{url!r} is not the address of a server, such as https://pose.example.org")
        headers = {"Accept": "application/json", "User-Agent": "poseboard"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        # a proxy of the environment cannot reach this machine's own loopback
        self._http = httpx.Client(
            base_url=self.url,
            headers=headers,
            timeout=httpx.Timeout(timeout, connect=15.0),
            trust_env=not is_loopback(parts.hostname),
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def benchmarks(self) -> list[Benchmark]:
        """Every benchmark that the caller may see. Raises ApiError."""
        return [
            Benchmark(
                slug=str(item["slug"]),
                dataset=str(item["dataset"]),
                split=str(item["split"]),
                hidden=bool(item["hidden"]),
                raw=item,
            )
            for item in self._items("/api/v1/benchmarks", "items")
        ]

    def board(self, benchmark: str, *, metric: str | None = None, part: str | None = None) -> Board:
        """A leaderboard by one metric and part (the benchmark's own where they are None). Raises ApiError."""
        asked = {key: value for key, value in (("metric", metric), ("part", part)) if value is not None}
        content = self._json("GET", f"/api/v1/boards/{quote(benchmark, safe='')}", params=asked)
        entries = listed(content, "entries")
        return Board(
            benchmark=benchmark,
            metric=str(content.get("metric") or metric or ""),
            part=str(content.get("part") or part or ""),
            unit="" if (unit := str(content.get("unit") or "fraction")) == "fraction" else unit,
            entries=tuple(entry_of(each) for each in entries),
            raw=content,
        )

    def submission(self, submission_id: str) -> Submission:
        """The submission as it is now. Raises ApiError."""
        return submission_of(self._json("GET", _path_of(submission_id)))

    def submit(
        self,
        benchmark: str,
        file: Path,
        *,
        method: str,
        publish: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> Submission:
        """Send a prediction file, compressed on the way when it is not already. Raises ApiError.

        With `publish` it goes on the board as soon as it is scored. `progress(sent, total)` is called with bytes. A
        connection that breaks is tried again under the same Idempotency-Key, so that the server takes the file once.
        """
        key = str(uuid.uuid4())
        form = {"benchmark": benchmark, "method": method, **({"publish": "true"} if publish else {})}
        with packed(file) as (name, stream, size):

            def post() -> dict[str, Any]:
                stream.seek(0)
                upload = _Counting(stream, size, progress)
                return self._once(
                    "POST",
                    "/api/v1/submissions",
                    data=form,
                    files={"file": (name, upload, "application/octet-stream")},
                    headers={"Idempotency-Key": key},
                )

            for attempt in range(1, POSTS + 1):
                try:
                    return submission_of(self._patiently(post))
                except ApiError as error:
                    if error.status or attempt == POSTS:
                        raise
                    time.sleep(attempt)
        raise AssertionError("unreachable")

    def wait(
        self,
        submission_id: str,
        *,
        timeout: float = 3600.0,
        changed: Callable[[Submission], None] | None = None,
    ) -> Submission:
        """Ask until the submission is finished, less and less often, and no more often than the server allows.

        Trouble on the way (a restart, a limit on requests) is waited out. Raises StillRunning after `timeout` seconds,
        and ApiError where waiting does not help.
        """
        deadline = time.monotonic() + timeout
        pause, last, trouble = 0.4, None, None
        while True:
            wanted = 0.0
            try:
                now = submission_of(self._once("GET", _path_of(submission_id)))
                if changed is not None and (last is None or now.state != last.state):
                    changed(now)
                last, trouble = now, None
                if now.finished:
                    return now
            except ApiError as error:
                if 400 <= error.status < 500 and error.status not in {408, 429}:
                    raise
                wanted, trouble = error.retry_after or 0.0, error
            left = deadline - time.monotonic()
            if left <= 0:
                if last is not None:
                    raise StillRunning(last)
                assert trouble is not None
                raise trouble
            if trouble is not None and trouble.code == "rate_limited":
                self._say(wanted)
            # spread out, so that a class of a hundred clients does not ask in step
            time.sleep(min(left, max(wanted, pause * random.uniform(0.8, 1.2))))  # noqa: S311
            pause = min(10.0, pause * 1.5)

    def _items(self, path: str, key: str) -> list[Mapping[str, Any]]:
        """All pages of a list: `next` is the cursor of the following one."""
        items: list[Mapping[str, Any]] = []
        cursor: str | None = None
        while True:
            content = self._json("GET", path, params={"cursor": cursor} if cursor else {})
            items += listed(content, key)
            following = content.get("next")
            if not following or following == cursor:
                return items
            cursor = str(following)

    def _json(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        return self._patiently(lambda: self._once(method, path, **request))

    def _patiently(self, ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Ask again after the wait that a rate limit names, as long as PATIENCE lasts."""
        left = PATIENCE
        while True:
            try:
                return ask()
            except ApiError as error:
                pause = error.retry_after
                if error.code != "rate_limited" or pause is None or not 0 < pause <= left:
                    raise
            self._say(pause)
            time.sleep(pause)
            left -= pause

    def _say(self, seconds: float) -> None:
        if self._waiting is not None:
            self._waiting(seconds)

    def _once(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        try:
            response = self._http.request(method, path, **request)
        except httpx.TimeoutException as error:
            raise ApiError(0, "timeout", f"{self.url} did not respond in time") from error
        except httpx.HTTPError as error:
            raise ApiError(0, "unreachable", f"{self.url} cannot be reached: {error}") from error
        if not response.is_success:
            raise error_of(self.url, response)
        try:
            content = response.json()
        except ValueError as error:
            raise not_poseboard(self.url, response) from error
        if not isinstance(content, dict):
            raise not_poseboard(self.url, response)
        return content


class _Counting:
    """A file that reports how much of it was read."""

    def __init__(self, stream: BinaryIO, size: int, progress: Callable[[int, int], None] | None) -> None:
        self._stream, self._size, self._progress = stream, size, progress

    def read(self, size: int = -1) -> bytes:
        block = self._stream.read(size)
        if self._progress is not None:
            self._progress(self._stream.tell(), self._size)
        return block

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def __iter__(self) -> Iterator[bytes]:
        while block := self.read(65536):
            yield block


def is_loopback(host: str) -> bool:
    """Whether an address or name means this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _path_of(submission_id: str) -> str:
    return f"/api/v1/submissions/{quote(str(submission_id), safe='')}"
