"""System checks with ids: a misconfigured site says so at start, not in the middle of a request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import DEFAULT_DB_ALIAS, connection


@register()
def demo_stays_on_loopback(**_: Any) -> list[CheckMessage]:
    if settings.DEMO and not settings.LOOPBACK:
        return [
            Error(
                "Demo accounts have public passwords and must not be reachable from elsewhere.",
                hint="Unset POSEBOARD_DEMO, or set POSEBOARD_URL to a loopback address.",
                id="poseboard.E001",
            )
        ]
    return []


@register()
def sqlite_is_for_one_machine(**_: Any) -> list[CheckMessage]:
    if str(settings.DATABASES["default"]["ENGINE"]).endswith("sqlite3") and not settings.LOOPBACK:
        return [
            Warning(
                "SQLite serves one machine only.",
                hint="Set DATABASE_URL to a PostgreSQL server, or keep every process on this machine.",
                id="poseboard.W001",
            )
        ]
    return []


@register(Tags.database)
def postgresql_keeps_what_it_commits(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """An accepted submission must survive a power cut."""
    if DEFAULT_DB_ALIAS not in (databases or []) or connection.vendor != "postgresql":
        return []
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM pg_settings WHERE name IN ('fsync', 'synchronous_commit') AND setting = 'off'")
        off = sorted(name for (name,) in cursor.fetchall())
    return [
        Warning(
            f"PostgreSQL runs with {name} = off: an accepted submission can be lost in a power cut.",
            hint=f"Set {name} = on in postgresql.conf.",
            id="poseboard.W003",
        )
        for name in off
    ]


@register(deploy=True)
def visitors_are_told_apart(**_: Any) -> list[CheckMessage]:
    if not settings.LOOPBACK and not settings.TRUSTED_PROXIES:
        return [
            Warning(
                "No proxy is trusted: behind one, all visitors count as one for the rate limits.",
                hint="Set POSEBOARD_TRUSTED_PROXIES to the address of the proxy.",
                id="poseboard.W002",
            )
        ]
    return []


@register(Tags.security, deploy=True)
def debug_is_off(**_: Any) -> list[CheckMessage]:
    if settings.DEBUG:
        return [Error("POSEBOARD_DEBUG shows source code to visitors.", hint="Unset it.", id="poseboard.E002")]
    return []
