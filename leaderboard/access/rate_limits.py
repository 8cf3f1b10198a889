"""How often somebody may do something: counted by all web processes together, in the broker's Valkey.

The settings RATE_LIMITS name what is limited. A window begins with the first use and ends after its time; that is what
`Retry-After` says, to the second. While the broker is away each process counts for itself, so that nobody is locked out
and nothing becomes unlimited.
"""

from __future__ import annotations

import functools
import logging
import math
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from operator import methodcaller
from typing import TypeVar

from django.conf import settings
from django.utils.crypto import salted_hmac
from limits import RateLimitItem
from limits.storage import MemoryStorage, RedisStorage, Storage
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from leaderboard.operations.refusals import Refused

log = logging.getLogger(__name__)

T = TypeVar("T")

LOOK_AGAIN_SECONDS = 2.0
"""How often a thread, and never a request, tries a broker that was away."""

FREQUENT = frozenset({"api", "api_network", "api_invalid", "upload", "form"})
PATIENCE = 5
"""How many times longer rare requests wait for a slow broker: for them it matters that all processes count together."""

MESSAGES = {
    "login": "Too many wrong passwords for this account.",
    "login_account": "Too many wrong passwords for this account.",
    "login_network": "Too many wrong passwords from your network.",
    "signup": "Too many new accounts from your network.",
    "mail": "Too many e-mails to this address.",
    "mail_network": "Too many e-mails were requested from your network.",
    "api": "Too many requests.",
    "api_network": "Too many requests from your network.",
    "api_invalid": "Too many requests with invalid API tokens from your network.",
    "upload": "Too many files.",
    "form": "You sent too many forms.",
}


@dataclass(frozen=True)
class Usage:
    """What is left of a limit, and the seconds until all of it is available again."""

    limit: int
    remaining: int
    seconds: int

    def headers(self) -> dict[str, str]:
        """The fields that clients know (draft-ietf-httpapi-ratelimit-headers up to version 07)."""
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.seconds),
        }


class RateLimited(Refused):
    """A limit is reached: 429 with the code `rate_limited`. It passes after `retry_after` seconds."""

    def __init__(self, name: str, item: RateLimitItem, usage: Usage) -> None:
        super().__init__(
            "rate_limited",
            f"{MESSAGES[name]} The limit is {in_words(item)}. Try again in {waiting(usage.seconds)}.",
            status=429,
            retry_after=usage.seconds,
        )
        self.usage = usage


def in_words(item: RateLimitItem) -> str:
    unit = item.GRANULARITY.name
    return f"{item.amount:,} per {unit}" if item.multiples == 1 else f"{item.amount:,} per {item.multiples} {unit}s"


def waiting(seconds: int) -> str:
    if seconds <= 90:
        return "1 second" if seconds == 1 else f"{seconds} seconds"
    return f"{math.ceil(seconds / 60)} minutes"


def take(name: str, *who: str) -> Usage | None:
    """Count one use of a limit, and say what is left; None where limits are switched off. Raises `RateLimited`.

    `who` may be logged and is stored as a digest only: personal data in it should come as a digest already.
    """
    if not settings.RATE_LIMITED:
        return None
    items = settings.RATE_LIMITS[name]
    tightest: Usage | None = None
    for item in items:
        usage, used = _counted(name, functools.partial(_hit, name=name, item=item, who=who))
        if used > item.amount:
            if used == item.amount + 1:
                log.warning("the limit on %s, %s, is reached by %s", name, in_words(item), ", ".join(who))
            # the longest wait of all limits that are used up: after it the request must pass
            others = [_counted(name, functools.partial(_look, name=name, item=each, who=who)) for each in items]
            seconds = max([usage.seconds, *(left.seconds for left in others if not left.remaining)])
            raise RateLimited(name, item, Usage(item.amount, 0, seconds))
        if tightest is None or usage.remaining < tightest.remaining:
            tightest = usage
    return tightest


def give_back(name: str, *who: str) -> None:
    """Undo one `take`: it turned out not to count."""
    if settings.RATE_LIMITED:
        for item in settings.RATE_LIMITS[name]:
            _counted(name, methodcaller("incr", _key(name, item, who), item.get_expiry(), -1))


def clear(name: str, *who: str) -> None:
    """Forget all that was counted."""
    if settings.RATE_LIMITED:
        for item in settings.RATE_LIMITS[name]:
            _counted(name, methodcaller("clear", _key(name, item, who)))


def remember(name: str, *who: str, days: int) -> None:
    """Remember a fact for some days, counted from the first time it was remembered."""
    if settings.RATE_LIMITED:
        _counted(name, methodcaller("incr", _note(name, who), days * 86_400))


def remembers(name: str, *who: str) -> bool:
    return bool(settings.RATE_LIMITED and _counted(name, methodcaller("get", _note(name, who))))


def _hit(storage: Storage, *, name: str, item: RateLimitItem, who: tuple[str, ...]) -> tuple[Usage, int]:
    key = _key(name, item, who)
    used = storage.incr(key, item.get_expiry())
    return Usage(item.amount, max(0, item.amount - used), _seconds_left(storage, key, item)), used


def _look(storage: Storage, *, name: str, item: RateLimitItem, who: tuple[str, ...]) -> Usage:
    key = _key(name, item, who)
    return Usage(item.amount, max(0, item.amount - storage.get(key)), _seconds_left(storage, key, item))


def _seconds_left(storage: Storage, key: str, item: RateLimitItem) -> int:
    # Valkey rounds to the nearest second: one more is never too short
    return max(1, min(int(storage.get_expiry(key) - time.time()) + 1, item.get_expiry()))


def _key(name: str, item: RateLimitItem, who: tuple[str, ...]) -> str:
    return f"{name}:{item.amount}:{item.get_expiry()}:{_digest(who)}"


def _note(name: str, who: tuple[str, ...]) -> str:
    return f"{name}:{_digest(who)}"


def _digest(who: tuple[str, ...]) -> str:
    return salted_hmac("leaderboard.access.rate_limits", "\0".join(who)).hexdigest()[:32]


# --- where the counters are ------------------------------------------------------------------------------------------

_away = threading.Event()
_turn = threading.Lock()
# a forked child has neither the thread that looks for the broker nor, perhaps, a broker that is away
os.register_at_fork(after_in_child=_away.clear)


def _counted(name: str, operation: Callable[[Storage], T]) -> T:
    """Run it on the shared counters, or on this process's own while the broker is away."""
    url = settings.BROKER_URL
    if not url.startswith("memory:") and not _away.is_set():
        wait = settings.RATE_LIMIT_WAIT * (1 if name in FREQUENT else PATIENCE)
        try:
            return operation(_shared(url, wait))
        except (RedisError, OSError) as error:
            _lose(url, error)
    return operation(own())


@functools.cache
def own() -> Storage:
    return MemoryStorage()


@functools.lru_cache(maxsize=4)
def _shared(url: str, wait: float) -> RedisStorage:
    # Celery's name for a Unix socket
    url = url.replace("redis+socket://", "unix://", 1)
    patience = {"socket_timeout": wait, "socket_connect_timeout": wait, "retry": Retry(NoBackoff(), 0)}
    return RedisStorage(url, key_prefix="poseboard:limits", **patience)  # type: ignore[arg-type]


def _lose(url: str, error: Exception) -> None:
    """The broker is not responding: no request waits for it again until a thread has reached it."""
    with _turn:
        if _away.is_set():
            return
        _away.set()
    log.warning("the broker is down (%s): each process counts rate limits for itself", type(error).__name__)
    threading.Thread(target=_look_for, args=(url,), name="rate-limits", daemon=True).start()


def _look_for(url: str) -> None:
    while True:
        time.sleep(LOOK_AGAIN_SECONDS)
        try:
            # a write, as requests make: a broker that responds to a ping may still have no room for one
            _shared(url, settings.RATE_LIMIT_WAIT).incr("probe", 60)
        except (RedisError, OSError):
            continue
        log.warning("the broker is back: all processes count rate limits together")
        _away.clear()
        return
