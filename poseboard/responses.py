"""The contents of a server's responses as types: submissions, benchmarks, boards, and what went wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

FINISHED = frozenset({"scored", "rejected", "errored", "cancelled"})


class ApiError(Exception):
    """The server responded with an error, or not at all (`status` 0). `code` is stable; `detail` is for people."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        retry_after: float | None = None,
        problem: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail
        self.retry_after = retry_after
        self.problem = dict(problem or {})


class StillRunning(Exception):
    """The submission did not finish within the time that the caller gave; `submission` is its last known state."""

    def __init__(self, submission: Submission) -> None:
        super().__init__(f"submission {submission.id} is still {submission.state}")
        self.submission = submission


@dataclass(frozen=True)
class ScoreRow:
    """One score with its interval where there is one: a fraction, or a length in its unit."""

    metric: str
    part: str
    value: float
    low: float | None = None
    high: float | None = None
    unit: str = ""


@dataclass(frozen=True)
class Submission:
    """A submission as the server tells it; `raw` is its whole JSON."""

    id: str
    state: str
    benchmark: str
    method: str
    sha256: str
    created_at: str
    scores: tuple[ScoreRow, ...]
    error: Mapping[str, Any] | None
    url: str
    public: bool
    raw: Mapping[str, Any] = field(repr=False)

    @property
    def finished(self) -> bool:
        return self.state in FINISHED


@dataclass(frozen=True)
class Benchmark:
    slug: str
    dataset: str
    split: str
    hidden: bool
    raw: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class BoardEntry:
    """One row of a board; `rank` is None for rows that are shown without one."""

    rank: int | None
    method: str
    team: str
    kind: str
    value: float | None
    low: float | None
    high: float | None
    raw: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Board:
    benchmark: str
    metric: str
    part: str
    unit: str  # of the values; "" for fractions
    entries: tuple[BoardEntry, ...]
    raw: Mapping[str, Any] = field(repr=False)


def error_of(url: str, response: httpx.Response) -> ApiError:
    """The problem details of a response; plain text where a proxy or another program responded."""
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict) or "detail" not in problem:
        text = f"{url} responded {response.status_code} {response.reason_phrase}"
        if response.is_redirect:
            text += f" to {response.headers.get('Location', 'nowhere')}: use the address it names"
        problem = {"detail": text, "code": "not_a_problem"}
    wait = response.headers.get("Retry-After", "")
    return ApiError(
        response.status_code,
        str(problem.get("code") or "unknown"),
        str(problem["detail"]),
        retry_after=float(wait) if wait.isdigit() else None,
        problem=problem,
    )


def not_poseboard(url: str, response: httpx.Response) -> ApiError:
    kind = response.headers.get("Content-Type", "no content type")
    return ApiError(0, "not_poseboard", f"{url} does not respond as a PoseBoard server (it sent {kind})")


def listed(content: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    items = content.get(key)
    if not isinstance(items, list):
        raise ApiError(0, "not_poseboard", f"the response has no list {key!r}: client and server do not match")
    return items


def submission_of(content: Mapping[str, Any]) -> Submission:
    try:
        return Submission(
            id=str(content["id"]),
            state=str(content["state"]),
            benchmark=str(content["benchmark"]),
            method=_name(content["method"]),
            sha256=str(content.get("sha256") or ""),
            created_at=str(content.get("created_at") or ""),
            scores=tuple(_score(each, content.get("units") or {}) for each in content.get("scores") or ()),
            error=content.get("error"),
            url=str(content.get("url") or ""),
            public=bool(content.get("public", False)),
            raw=content,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ApiError(0, "not_poseboard", f"the server's response is not a submission ({error!r})") from error


def _score(row: Mapping[str, Any], units: Mapping[str, Any]) -> ScoreRow:
    return ScoreRow(
        unit=str(units.get(row["metric"], "")),
        metric=str(row["metric"]),
        part=str(row["part"]),
        value=float(row["value"]),
        low=_optional(row.get("low")),
        high=_optional(row.get("high")),
    )


def entry_of(row: Mapping[str, Any]) -> BoardEntry:
    rank = row.get("rank")
    return BoardEntry(
        rank=None if rank is None else int(rank),
        method=_name(row.get("method") or row.get("name")),
        team=_name(row.get("team")),
        kind=str(row.get("kind") or ""),
        value=_optional(row.get("value")),
        low=_optional(row.get("low")),
        high=_optional(row.get("high")),
        raw=row,
    )


def _name(value: Any) -> str:
    """A method or a team: its name, or an object that has one."""
    if isinstance(value, Mapping):
        value = value.get("name")
    return str(value or "")


def _optional(value: Any) -> float | None:
    return None if value is None else float(value)
