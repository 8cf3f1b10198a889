"""Transactions: one order in which rows are locked, and another attempt when the database ends one of several at once.

Two transactions that lock the same rows in different orders wait for each other until PostgreSQL ends one of them. So
every transaction locks in the order of `LOCK_ORDER`, whatever it does, and locks several rows of one table in ascending
order of their keys. What counts as a lock: `lock` and `select_for_update`, UPDATE, and INSERT where a unique constraint
makes another transaction wait for the outcome (the same counter, the same method, the same file). Only operators delete
rows, by hand; these deletions go in Django's order.

A row that is inserted also locks the rows it refers to against deletion and against a change of their keys. `lock` does
not conflict with that, so a submission never waits for a board; a renamed method does, and therefore `submit` locks
its method before the counters.

SQLite lets one transaction write at a time (BEGIN IMMEDIATE): there the order is of no account and nothing is retried.
"""

from __future__ import annotations

import functools
import logging
import random
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from django.db import OperationalError, connection, transaction
from django.db.models import Model, QuerySet

log = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")
M = TypeVar("M", bound=Model)

LOCK_ORDER = (
    # which a worker claimed, or somebody cancels
    "evaluation",
    "team",
    "method",
    "benchmark",
    "annotationimport",
    "reportedresult",
    "user",
    # in the order of QUOTA_ORDER
    "quota",
    "submission",
    "boardevent",
    # a run is moved in the transaction that submits its file, after it
    "baselinerun",
)
"""The models, by name in lower case, in the order in which a transaction locks their rows."""

QUOTA_ORDER = ("total", "day", "running", "rejects")
"""The kinds of counters, in the order in which a transaction locks those of a team on a benchmark."""

# serialization_failure, deadlock_detected: the transaction was rolled back, and the same may succeed now
RETRIED = frozenset({"40001", "40P01"})
ATTEMPTS = 8
# the bound of the random wait before the second attempt; it doubles with each
FIRST_WAIT, LONGEST_WAIT = 0.02, 0.5


def retried(operation: Callable[P, R]) -> Callable[P, R]:
    """Run a write operation as one transaction, again when the database ended it for the sake of another.

    The operation must be repeatable: it reads what it changes and leaves wake-up calls to `on_commit`, which runs once.
    Inside another transaction it becomes a savepoint, for only the outermost can be started again.
    """

    @functools.wraps(operation)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if connection.in_atomic_block:
            with transaction.atomic():
                return operation(*args, **kwargs)
        for attempt in range(1, ATTEMPTS + 1):
            committed: list[bool] = []
            try:
                with transaction.atomic():
                    # the first of the callbacks: what fails after it is not the transaction
                    transaction.on_commit(functools.partial(committed.append, True))
                    return operation(*args, **kwargs)
            except OperationalError as error:
                if committed or attempt == ATTEMPTS or _state(error) not in RETRIED:
                    raise
                log.warning("%s: %s, attempt %d", operation.__qualname__, _state(error), attempt)
            time.sleep(random.uniform(0, min(LONGEST_WAIT, FIRST_WAIT * 2 ** (attempt - 1))))  # noqa: S311
        raise AssertionError("the last attempt returns or raises")

    return run


def _state(error: OperationalError) -> str:
    """The SQLSTATE that the database gave; SQLite gives none."""
    return getattr(error.__cause__, "sqlstate", None) or ""


def lock(rows: QuerySet[M]) -> list[M]:
    """Lock rows in ascending order of their keys until the transaction ends, and read them as they are now.

    Others may still insert rows that refer to them.
    """
    return list(rows.order_by("pk").select_for_update(no_key=True, of=("self",)))
