"""Is the site up? For load balancers and people: says what is not responding, and not where it is or why.

No request asks the broker itself, since a frozen one responds to nobody: a thread of the process asks and remembers.
"""

from __future__ import annotations

import os
import threading
import time

from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

BROKER_SECONDS = 0.5
# a probe every second must not open a connection to the broker every second
REMEMBER_SECONDS = 2.0
# the thread stops asking once nobody has wanted to know for so long
WATCH_SECONDS = 600.0
# how long a request waits for the first response of the broker
WAIT_SECONDS = 0.05


@never_cache
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """200 while submissions are accepted: `ok`, or `degraded` without the broker (scoring waits). Otherwise 503."""
    if not database_responds():
        return JsonResponse({"status": "unavailable", "database": False}, status=503)
    broker = broker_responds()
    return JsonResponse({"status": "ok" if broker else "degraded", "database": True, "broker": broker})


def database_responds() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            return bool(cursor.fetchone() == (1,))
    except DatabaseError:
        return False


def broker_responds() -> bool:
    """Whether the broker responded when it was last asked, a few seconds ago at most."""
    return _watch.responded_lately()


class _Watch:
    """The last response of the broker, and the thread that asks for the next one."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.responded: bool | None = None
        self.wanted = 0.0
        self.thread: threading.Thread | None = None

    def responded_lately(self) -> bool:
        with self.changed:
            self.wanted = time.monotonic()
            if self.thread is None or not self.thread.is_alive():
                # what is known is old; only the request that starts the thread waits for the broker
                self.responded = None
                self.thread = threading.Thread(target=self._ask, name="broker-watch", daemon=True)
                try:
                    self.thread.start()
                except RuntimeError:  # no more threads: nobody can say
                    self.thread = None
                    return False
                patience = BROKER_SECONDS
            else:
                patience = WAIT_SECONDS
            self.changed.wait_for(lambda: self.responded is not None, patience)
            return bool(self.responded)

    def _ask(self) -> None:
        while True:
            responded = _ping()
            with self.changed:
                self.responded = responded
                self.changed.notify_all()
                idle = time.monotonic() - self.wanted
                if idle > WATCH_SECONDS:
                    self.thread = None
                    return
            threading.Event().wait(REMEMBER_SECONDS)


def _ping() -> bool:
    # Celery's name for a Unix socket
    url = settings.BROKER_URL.replace("redis+socket://", "unix://", 1)
    # one attempt: by default the library tries a hundred times
    patience = {"socket_timeout": BROKER_SECONDS, "socket_connect_timeout": BROKER_SECONDS}
    try:
        with Redis.from_url(url, retry=Retry(NoBackoff(), 0), **patience) as broker:
            return bool(broker.ping())
    except (RedisError, OSError, ValueError):
        return False


_watch = _Watch()


def _forget() -> None:
    """In a forked process there is no such thread, and its lock may have been held at that moment."""
    global _watch
    _watch = _Watch()


os.register_at_fork(after_in_child=_forget)
