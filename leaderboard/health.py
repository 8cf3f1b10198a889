"""Is the site up? For load balancers and people: names what does not answer, and nothing of where it is or why."""

from __future__ import annotations

import time

from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from redis import Redis, RedisError

BROKER_SECONDS = 0.5
# a probe every second must not open a connection to the broker every second
REMEMBER_SECONDS = 2.0

_broker: tuple[float, bool] = (-REMEMBER_SECONDS, False)


@never_cache
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """200 while submissions are accepted: `ok`, or `degraded` without the broker, for then scoring waits. Else 503."""
    if not database_answers():
        return JsonResponse({"status": "unavailable", "database": False}, status=503)
    broker = broker_answers()
    return JsonResponse({"status": "ok" if broker else "degraded", "database": True, "broker": broker})


def database_answers() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            return bool(cursor.fetchone() == (1,))
    except DatabaseError:
        return False


def broker_answers() -> bool:
    """Whether the broker answered within the last two seconds, or does now."""
    global _broker
    asked, answered = _broker
    if time.monotonic() - asked >= REMEMBER_SECONDS:
        answered = _ping()
        _broker = (time.monotonic(), answered)
    return answered


def _ping() -> bool:
    # Celery's name for a Unix socket
    url = settings.BROKER_URL.replace("redis+socket://", "unix://", 1)
    try:
        with Redis.from_url(url, socket_timeout=BROKER_SECONDS, socket_connect_timeout=BROKER_SECONDS) as broker:
            return bool(broker.ping())
    except (RedisError, OSError, ValueError):
        return False
