"""The database's clock: the only one that all web and worker machines agree on."""

from __future__ import annotations

from datetime import UTC, date, datetime

from django.db import connection


def now() -> datetime:
    """The current time of the database, in UTC."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')")
            return datetime.fromisoformat(cursor.fetchone()[0]).replace(tzinfo=UTC)
        cursor.execute("SELECT statement_timestamp()")
        return cursor.fetchone()[0].astimezone(UTC)


def today() -> date:
    """The current UTC day of the database: the day that quotas count."""
    return now().date()
