"""Reads the SQL of every transaction of a test, and notes locks out of the order of LOCK_ORDER."""

from __future__ import annotations

import re
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from leaderboard.models.transactions import LOCK_ORDER, QUOTA_ORDER

TABLE = re.compile(r'^(?:UPDATE|INSERT INTO|SELECT .*? FROM) "leaderboard_(\w+)"', re.DOTALL)
LOCKING_SELECT = re.compile(r" FOR (NO KEY )?UPDATE\b")
BY_KEY = re.compile(r'WHERE \(?"leaderboard_\w+"\."(id|slug)" = %s')
REFERRED_TO = {"evaluation", "team", "method", "benchmark", "user", "submission"}
# a new row of these is nobody else's business: no unique constraint can make another transaction wait for it
INSERTED_FREELY = {"annotationimport", "evaluation", "baselinerun", "score", "checkpoint", "worker", "apitoken"}


class Watch:
    """A wrapper of every statement (`connection.execute_wrappers`). `problems` is what was found.

    It knows what one transaction has locked so far; a statement that locks something which should have been locked
    before is a problem. Only PostgreSQL has row locks.
    """

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._held: dict[int, tuple[object, list[tuple[float, str, object]]]] = {}

    def __enter__(self) -> Watch:
        connections["default"].execute_wrappers.append(self)
        connection_created.connect(self._created)
        return self

    def __exit__(self, *_: object) -> None:
        connection_created.disconnect(self._created)
        connections["default"].execute_wrappers.remove(self)

    def _created(self, connection: BaseDatabaseWrapper, **_: Any) -> None:
        if self not in connection.execute_wrappers:
            connection.execute_wrappers.append(self)

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        connection = context["connection"]
        if connection.vendor == "postgresql":
            # the outermost transaction of the code under test, not the one that undoes the test
            block = next((each for each in connection.atomic_blocks if not each._from_testcase), None)
            kept, held = self._held.get(id(connection), (None, []))
            if kept is not block:
                held = []
            self._held[id(connection)] = (block, held)
            if block is not None:
                self._note(sql, list(params or ()), held)
        return execute(sql, params, many, context)

    def _note(self, sql: str, params: list[Any], held: list[tuple[float, str, object]]) -> None:
        """Add what the statement locks to `held`: rank, model, and the row's id where it names one row."""
        found = TABLE.match(sql)
        locking = LOCKING_SELECT.search(sql)
        if found is None or (sql.startswith("SELECT") and locking is None):
            return
        name = found[1]
        if sql.startswith("INSERT") and name in INSERTED_FREELY:
            return
        if name not in LOCK_ORDER:
            if held and not sql.startswith("INSERT"):
                self.problems.append(f"{name} is locked after {held[-1][1]} and has no place in LOCK_ORDER: {sql}")
            return
        rank, row = float(LOCK_ORDER.index(name)), None
        by_key = BY_KEY.search(sql)
        if by_key is not None:
            row = params[sql[: by_key.start()].count("%s")]
        if name == "quota":
            kinds = [QUOTA_ORDER.index(each) for each in params if each in QUOTA_ORDER]
            rank += min(kinds, default=0) / len(QUOTA_ORDER)
        if any(each[1] == name and each[2] in (row, None) for each in held) and name != "quota":
            return  # it has this one already
        if held and max(held)[0] > rank:
            self.problems.append(f"{name} is locked after {max(held)[1]}: {sql}")
        stops_inserts = locking is not None and not locking[1] and name in REFERRED_TO
        if stops_inserts and any(each[1] != name for each in held):
            self.problems.append(f"FOR UPDATE stops inserts that refer to the row; use transactions.lock: {sql}")
        many = row is None and name == "benchmark" and not sql.startswith("INSERT")
        if many and 'ORDER BY "leaderboard_benchmark"."id" ASC' not in sql:
            self.problems.append(f"several rows of {name} are locked in no order; use transactions.lock: {sql}")
        held.append((rank, name, row))
