"""Limits that hold under any number of parallel requests: a counter rises only in the statement that checks it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from django.db.models import F

from leaderboard.models import Benchmark, Quota, Team
from leaderboard.models.transactions import retried
from leaderboard.operations.refusals import Refused
from leaderboard.queue import clock

Kind = Quota.Kind


@dataclass(frozen=True)
class Usage:
    """What a team has used of its limits on a benchmark."""

    day_used: int
    day_limit: int
    total_used: int
    total_limit: int
    running: int
    running_limit: int
    rejects: int
    reject_limit: int
    resets_at: datetime

    @property
    def day_left(self) -> int:
        return max(0, min(self.day_limit - self.day_used, self.total_limit - self.total_used))


def usage(team: Team, benchmark: Benchmark) -> Usage:
    """The team's counters on the benchmark, for the current UTC day."""
    day = clock.today()
    used = {
        (row.kind, row.window): row.used
        for row in Quota.objects.filter(team=team, benchmark=benchmark, window__in=["", day.isoformat()])
    }
    return Usage(
        day_used=used.get((Kind.DAY, day.isoformat()), 0),
        day_limit=benchmark.daily_limit,
        total_used=used.get((Kind.TOTAL, ""), 0),
        total_limit=benchmark.total_limit,
        running=used.get((Kind.RUNNING, ""), 0),
        running_limit=benchmark.running_limit,
        rejects=used.get((Kind.REJECTS, day.isoformat()), 0),
        reject_limit=benchmark.reject_limit,
        resets_at=_midnight_after(day),
    )


def _midnight_after(day: date) -> datetime:
    return datetime.combine(day + timedelta(days=1), time(), tzinfo=UTC)


def charge(*, team: Team, benchmark: Benchmark) -> date:
    """Take one of each limit, or raise `Refused` (429) and take none. Call it inside the accepting transaction.

    Returns the UTC day that was charged, so that a refund goes where the charge came from.
    """
    moment = clock.now()
    day = moment.date()
    rejects = Quota.objects.filter(team=team, benchmark=benchmark, kind=Kind.REJECTS, window=day.isoformat())
    if (rejects.values_list("used", flat=True).first() or 0) >= benchmark.reject_limit:
        raise _reached(Kind.REJECTS, team, benchmark, moment)
    # in the order of transactions.QUOTA_ORDER
    limits = [
        (Kind.TOTAL, "", benchmark.total_limit),
        (Kind.DAY, day.isoformat(), benchmark.daily_limit),
        (Kind.RUNNING, "", benchmark.running_limit),
    ]
    for kind, window, limit in limits:
        if not _raise(team, benchmark, kind, window, limit=limit):
            raise _reached(kind, team, benchmark, moment)
    return day


def check(*, team: Team, benchmark: Benchmark) -> None:
    """Raise what `charge` would raise now, and charge nothing. Another request may still be faster."""
    now = usage(team, benchmark)
    limits = [
        (Kind.REJECTS, now.rejects, now.reject_limit),
        (Kind.TOTAL, now.total_used, now.total_limit),
        (Kind.DAY, now.day_used, now.day_limit),
        (Kind.RUNNING, now.running, now.running_limit),
    ]
    for kind, used, limit in limits:
        if used >= limit:
            raise _reached(kind, team, benchmark, clock.now())


def _reached(kind: Quota.Kind, team: Team, benchmark: Benchmark, moment: datetime) -> Refused:
    """The refusal for a limit that is reached."""
    wait = int((_midnight_after(moment.date()) - moment).total_seconds()) + 1
    if kind == Kind.REJECTS:
        return Refused(
            "too_many_rejects",
            f"{benchmark.reject_limit} files of {team} were rejected today. Check files with `poseboard validate` "
            "first, and submit again after midnight UTC.",
            status=429,
            retry_after=wait,
        )
    limit, advice, retry_after = {
        Kind.TOTAL: (benchmark.total_limit, "per team in total, and this team has none left.", None),
        Kind.DAY: (benchmark.daily_limit, "per team per day. Submit again after midnight UTC.", wait),
        Kind.RUNNING: (benchmark.running_limit, "per team at once. Wait until one of them is scored.", 5),
    }[kind]
    what = "submission" if limit == 1 else "submissions"
    message = f"{benchmark} accepts {limit} {what} {advice}"
    return Refused(f"quota_{kind}", message, status=429, retry_after=retry_after)


def _raise(team: Team, benchmark: Benchmark, kind: str, window: str, *, limit: int | None = None) -> bool:
    """Add one to a counter, which is made when there is none. False, and nothing changes, when it is at its limit."""
    counter = {"team": team, "benchmark": benchmark, "kind": kind, "window": window}
    rows = Quota.objects.filter(**counter)
    below = rows if limit is None else rows.filter(used__lt=limit)
    if below.update(used=F("used") + 1):
        return True
    if not rows.exists():
        # of several requests at once, one makes the counter and the others wait here for its transaction
        Quota.objects.bulk_create([Quota(**counter)], ignore_conflicts=True)
    return bool(below.update(used=F("used") + 1))


@retried
def release(*, team: Team, benchmark: Benchmark, day: date | None, refund: bool, rejected: bool = False) -> None:
    """End a submission: it no longer counts as running, a refund gives back day and total, a rejection is counted."""
    if day is None:  # a baseline: it was never charged
        return
    # in the order of transactions.QUOTA_ORDER, in which `charge` locks them too
    counters = Quota.objects.filter(team=team, benchmark=benchmark)
    if refund:
        counters.filter(kind=Kind.TOTAL, window="").update(used=F("used") - 1)
        counters.filter(kind=Kind.DAY, window=day.isoformat()).update(used=F("used") - 1)
    counters.filter(kind=Kind.RUNNING, window="").update(used=F("used") - 1)
    if rejected:
        _raise(team, benchmark, Kind.REJECTS, clock.today().isoformat())
